//! What the fast senders ask of the kernel beyond what `nix` and `rustix` have: options of packet sockets, `sendmmsg` and
//! a mapped ring. The only `unsafe` of the senders.
#![expect(
    unsafe_code,
    reason = "socket options, sendmmsg and mmap of packet sockets, which no safe crate binds whole"
)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A number that an option takes.
pub type Number = libc::c_int;

/// A raw socket of a family, of no protocol: nothing is received.
pub fn raw_socket(family: Number) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is involved.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: a descriptor that is not negative is open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A raw packet socket that sends on one interface and receives nothing.
pub fn packet_socket(index: u32) -> io::Result<OwnedFd> {
    let socket = raw_socket(libc::AF_PACKET)?;
    // SAFETY: all zeroes is a valid address.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = Number::try_from(index).unwrap_or(Number::MAX);
    bind(&socket, &address)?;
    Ok(socket)
}

/// `struct sockaddr_xdp`
#[repr(C)]
#[derive(Clone, Copy)]
struct XdpAddress {
    family: u16,
    flags: u16,
    index: u32,
    queue: u32,
    shared: u32,
}

/// Binds an `AF_XDP` socket to the first queue of an interface; the kernel copies frames where the driver cannot do without.
pub fn bind_xdp(socket: &OwnedFd, index: u32) -> io::Result<()> {
    const AF_XDP: u16 = 44;
    bind(
        socket,
        &XdpAddress {
            family: AF_XDP,
            flags: 0,
            index,
            queue: 0,
            shared: 0,
        },
    )
}

fn bind<T: Copy>(socket: &OwnedFd, address: &T) -> io::Result<()> {
    // SAFETY: the pointer is to an address of the length given, which lives past the call; the kernel only reads it.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(address).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

/// Sets an option of a packet socket, or of any socket.
pub fn set_option<T: Copy>(
    socket: &OwnedFd,
    level: Number,
    name: Number,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the pointer is to a value of the length given, which lives past the call; the kernel only reads it.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
}

/// Reads an option of plain numbers; what the kernel does not write stays as the default has it.
pub fn get_option<T: Copy + Default>(
    socket: &OwnedFd,
    level: Number,
    name: Number,
) -> io::Result<T> {
    let mut value = T::default();
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `value`, whose every pattern of bits is valid: callers ask for
    // structures of integers.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut len,
        )
    })?;
    Ok(value)
}

/// How long one call may wait for room.
pub fn set_send_timeout(socket: &OwnedFd, time: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: libc::suseconds_t::from(time.subsec_micros()),
    };
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &time)
}

fn check(answer: Number) -> io::Result<()> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Sends each frame as one message, in one call; how many the kernel took.
///
/// # Errors
/// When it did not take the first.
pub fn send_many(socket: &OwnedFd, frames: &[&[u8]], room: &mut Headers) -> io::Result<usize> {
    send_many_at(socket, frames, &[], room)
}

/// The same; each frame that has a time leaves then, by the clock that the socket was told (`SO_TXTIME`).
pub fn send_many_at(
    socket: &OwnedFd,
    frames: &[&[u8]],
    times: &[u64],
    room: &mut Headers,
) -> io::Result<usize> {
    room.times.clear();
    room.times.extend(times.iter().map(|time| SendTime {
        len: size_of::<SendTime>(),
        level: libc::SOL_SOCKET,
        kind: libc::SCM_TXTIME,
        time: *time,
    }));
    room.pieces.clear();
    room.pieces.extend(frames.iter().map(|frame| libc::iovec {
        // The kernel only reads what it sends.
        iov_base: frame.as_ptr().cast_mut().cast(),
        iov_len: frame.len(),
    }));
    room.messages.clear();
    room.messages
        .extend(room.pieces.iter_mut().map(|piece| libc::mmsghdr {
            msg_hdr: libc::msghdr {
                msg_name: std::ptr::null_mut(),
                msg_namelen: 0,
                msg_iov: std::ptr::from_mut(piece),
                msg_iovlen: 1,
                msg_control: std::ptr::null_mut(),
                msg_controllen: 0,
                msg_flags: 0,
            },
            msg_len: 0,
        }));
    for (message, time) in room.messages.iter_mut().zip(&mut room.times) {
        message.msg_hdr.msg_control = std::ptr::from_mut(time).cast();
        message.msg_hdr.msg_controllen = size_of::<SendTime>();
    }
    // SAFETY: every header points to one piece in `room.pieces`, and to one in `room.times` or to none; neither is touched
    // before the call has returned, and every piece points to a frame that is borrowed for as long.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            room.messages.as_mut_ptr(),
            room.messages.len() as libc::c_uint,
            0,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Room for the headers of a call, kept from one to the next.
#[derive(Default)]
pub struct Headers {
    pieces: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    times: Vec<SendTime>,
}

/// `struct cmsghdr` with a time behind it.
#[repr(C)]
struct SendTime {
    len: usize,
    level: Number,
    kind: Number,
    time: u64,
}

// SAFETY: the pointers are written and used within one call of `send_many`; between calls they are never read.
unsafe impl Send for Headers {}

/// Sends one message of two parts.
pub fn send_two(socket: &OwnedFd, head: &[u8], body: &[u8]) -> io::Result<()> {
    let pieces = [head, body].map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    // SAFETY: both pieces point to borrowed bytes; the kernel only reads them.
    let sent = unsafe { libc::writev(socket.as_raw_fd(), pieces.as_ptr(), 2) };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Has the kernel send what lies in the ring, and waits until it has.
pub fn kick(socket: &OwnedFd) -> io::Result<()> {
    send_nothing(socket, 0)
}

/// Has the kernel send what lies in the ring, as much as goes at once.
pub fn kick_now(socket: &OwnedFd) -> io::Result<()> {
    send_nothing(socket, libc::MSG_DONTWAIT)
}

fn send_nothing(socket: &OwnedFd, flags: Number) -> io::Result<()> {
    // SAFETY: nothing is read: the length is zero.
    let done = unsafe { libc::send(socket.as_raw_fd(), std::ptr::null(), 0, flags) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A ring of frames that is shared with the kernel.
pub struct Mapped {
    start: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `Mapped` is its only owner.
unsafe impl Send for Mapped {}

impl Mapped {
    /// Maps so many bytes of the socket's ring.
    pub fn new(socket: &OwnedFd, len: usize) -> io::Result<Self> {
        Self::at(socket, len, 0)
    }

    /// Maps so many bytes of one of the socket's rings, which the offset names.
    pub fn at(socket: &OwnedFd, len: usize, offset: i64) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED, socket.as_raw_fd(), offset)
    }

    fn map(len: usize, flags: Number, fd: Number, offset: i64) -> io::Result<Self> {
        // SAFETY: the kernel chooses the place, so that nothing else is mapped over.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                fd,
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            start: start.cast(),
            len,
        })
    }

    /// Copies bytes to a place in it.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(
            at <= self.len && bytes.len() <= self.len - at,
            "outside the ring"
        );
        // SAFETY: both ends lie in the mapping, which is writable; `bytes` is memory of the program and does not overlap it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(at), bytes.len()) }
    }

    fn word(&self, at: usize) -> &std::sync::atomic::AtomicU32 {
        assert!(
            at.is_multiple_of(4) && at + 4 <= self.len,
            "outside the ring"
        );
        // SAFETY: the place is aligned and in the mapping, which lives as long as `self`; the kernel and this program
        // read and write such words whole.
        unsafe { std::sync::atomic::AtomicU32::from_ptr(self.start.add(at).cast()) }
    }

    /// Reads a word that the kernel writes; what the kernel wrote before it is seen as well.
    pub fn load(&self, at: usize) -> u32 {
        self.word(at).load(std::sync::atomic::Ordering::Acquire)
    }

    /// Writes a word that the kernel reads; it then sees what was written before.
    pub fn store(&mut self, at: usize, value: u32) {
        self.word(at)
            .store(value, std::sync::atomic::Ordering::Release);
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is this long and nobody else's, and nothing borrows from it any more.
        if unsafe { libc::munmap(self.start.cast(), self.len) } != 0 {
            tracing::warn!("cannot unmap a ring: {}", io::Error::last_os_error());
        }
    }
}

/// Zeroed pages of the program that the kernel is given to read from.
pub struct Memory(Mapped);

impl Memory {
    /// So many bytes.
    pub fn new(len: usize) -> io::Result<Self> {
        Mapped::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).map(Self)
    }

    /// Where they begin.
    pub fn address(&self) -> u64 {
        self.0.start as u64
    }

    /// Copies bytes to a place in it.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.0.write(at, bytes);
    }
}
