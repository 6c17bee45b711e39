//! TCP sockets as a trial needs them: bound to one address and port, talking to one other, gone at once when closed.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with, sockopt,
};

/// A socket of the address's family, for TCP or UDP, bound to the address.
pub fn bound(kind: SocketType, local: SocketAddr) -> io::Result<OwnedFd> {
    let family = match local {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, kind, flags, None)?;
    // The same flow's socket of the trial before may not be forgotten yet.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &local)?;
    Ok(socket)
}

/// A non-blocking listener for one peer.
pub fn listener(local: SocketAddr, max_segment: Option<u32>) -> io::Result<TcpListener> {
    let socket = bound(SocketType::STREAM, local)?;
    // Connections take it over.
    limit_segments(&socket, max_segment)?;
    listen(&socket, 1)?;
    Ok(TcpListener::from(socket))
}

/// Begins to connect; the socket can be written to when that is done.
pub fn begin_to_connect(
    local: SocketAddr,
    peer: SocketAddr,
    max_segment: Option<u32>,
) -> io::Result<TcpStream> {
    let socket = bound(SocketType::STREAM, local)?;
    limit_segments(&socket, max_segment)?;
    match connect(&socket, &peer) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Closes without a word: what is not sent yet never is, and nothing of the connection stays behind.
pub fn drop_at_once(stream: TcpStream) -> io::Result<()> {
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

/// The name of the connection's congestion control.
pub fn congestion(stream: &TcpStream) -> io::Result<String> {
    Ok(sockopt::tcp_congestion(stream)?)
}

#[expect(unsafe_code, reason = "an option that rustix does not have")]
fn limit_segments(socket: &impl AsFd, max_segment: Option<u32>) -> io::Result<()> {
    let Some(bytes) = max_segment else {
        return Ok(());
    };
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let len = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: the socket is open while it is borrowed, and the pointer is to `len` bytes that live past the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MAXSEG,
            (&raw const bytes).cast(),
            len,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The kernel's counters of a connection (`struct tcp_info` of linux/tcp.h, whose layout only grows).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// `tcpi_snd_mss`
    pub segment: u32,
    /// `tcpi_rtt`
    pub smoothed_rtt_us: u32,
    /// `tcpi_min_rtt`
    pub min_rtt_us: u32,
    /// `tcpi_total_retrans`
    pub segments_retransmitted: u32,
    /// `tcpi_bytes_acked`
    pub bytes_acked: u64,
    /// `tcpi_data_segs_out`
    pub data_segments: u32,
    /// `tcpi_bytes_sent`
    pub bytes_sent: u64,
    /// `tcpi_bytes_retrans`
    pub bytes_retransmitted: u64,
}

impl Info {
    /// Bytes up to the last field used; kernels since 4.19 have them.
    const LEN: usize = 216;

    /// Reads them.
    #[expect(unsafe_code, reason = "an option that no crate binds whole")]
    pub fn of(stream: &TcpStream) -> io::Result<Self> {
        let mut bytes = [0_u8; Self::LEN];
        let mut len = Self::LEN as libc::socklen_t;
        // SAFETY: the socket is open while it is borrowed, the kernel writes at most `len` bytes into `bytes`, and both
        // live past the call.
        let done = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        if (len as usize) < Self::LEN {
            return Err(io::Error::other(format!(
                "the kernel tells only {len} bytes of TCP_INFO, {} are needed: use Linux 4.19 or newer",
                Self::LEN
            )));
        }
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            u32::from_ne_bytes(word)
        };
        let long = |at: usize| {
            let mut long = [0; 8];
            long.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(long)
        };
        Self {
            segment: word(16),
            smoothed_rtt_us: word(68),
            min_rtt_us: word(148),
            segments_retransmitted: word(100),
            bytes_acked: long(120),
            data_segments: word(156),
            bytes_sent: long(200),
            bytes_retransmitted: long(208),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn the_counters_are_where_they_are_looked_for() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listener(any, Some(1000)).unwrap();
        listener.set_nonblocking(false).unwrap();
        let mut client = begin_to_connect(any, listener.local_addr().unwrap(), Some(1000)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_nonblocking(false).unwrap();
        server.set_nonblocking(false).unwrap();
        client.write_all(&[7; 5000]).unwrap();
        let mut got = [0; 5000];
        server.read_exact(&mut got).unwrap();
        // The answer acknowledges everything.
        server.write_all(&[1]).unwrap();
        client.read_exact(&mut got[..1]).unwrap();
        let info = Info::of(&client).unwrap();
        assert_eq!((info.bytes_acked, info.bytes_sent), (5001, 5000));
        assert_eq!(
            (info.segments_retransmitted, info.bytes_retransmitted),
            (0, 0)
        );
        // Without the 12 bytes of the time-stamp option, where that is on.
        assert!([988, 1000].contains(&info.segment), "{info:?}");
        assert!(info.data_segments >= 1 && info.smoothed_rtt_us >= info.min_rtt_us);
        assert!(!congestion(&client).unwrap().is_empty());
        drop_at_once(client).unwrap();
        assert_eq!(
            server.read(&mut got).unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    }
}
