//! Every packet goes back as it came (as RFC 862 has it), or has only somewhere to go.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{SocketType, connect};
use vifbench_wait::{Cancel, Woken, until_cancelled, until_readable};
use vifbench_wire::packet::{MAX_SIZE, Parsed, parse_payload};
use vifbench_wire::protocol::{RespondSpec, Responded};

use super::{ResponderError, failed};
use crate::tcp_socket::bound;

/// A place for what nobody reads. Without a socket the guest's stack makes an ICMP message of every packet, most of which
/// it then does not send: a quarter of what an emulated guest executed for a packet of 64 bytes.
pub struct Sink {
    spec: RespondSpec,
    socket: OwnedFd,
}

impl Sink {
    /// Binds the port, for this peer alone.
    pub fn bind(spec: &RespondSpec) -> io::Result<Self> {
        let socket = bound(SocketType::DGRAM, spec.local)?;
        // The kernel makes it the least that there is: what does not fit is dropped behind the capture.
        set_socket_recv_buffer_size(&socket, 0)?;
        connect(&socket, &spec.peer)?;
        Ok(Self {
            spec: spec.clone(),
            socket,
        })
    }

    /// Stays bound until told to stop.
    pub fn run(self, stop: &Cancel) -> Result<Responded, ResponderError> {
        until_cancelled(stop).map_err(failed(&self.spec, "wait for the end"))?;
        drop(self.socket);
        Ok(Responded {
            flow: self.spec.flow,
            ..Responded::default()
        })
    }
}

/// An echo for one peer.
pub struct Echo {
    spec: RespondSpec,
    socket: UdpSocket,
}

impl Echo {
    /// Binds the port, for this peer alone.
    pub fn bind(spec: &RespondSpec) -> io::Result<Self> {
        let socket = bound(SocketType::DGRAM, spec.local)?;
        connect(&socket, &spec.peer)?;
        Ok(Self {
            spec: spec.clone(),
            socket: UdpSocket::from(socket),
        })
    }

    /// Answers until told to stop.
    pub fn run(self, stop: &Cancel) -> Result<Responded, ResponderError> {
        let mut done = Responded {
            flow: self.spec.flow,
            ..Responded::default()
        };
        let mut buffer = vec![0; MAX_SIZE as usize];
        loop {
            let woken = until_readable(self.socket.as_fd(), stop)
                .map_err(failed(&self.spec, "wait for requests"))?;
            if woken == Woken::Cancelled {
                return Ok(done);
            }
            loop {
                match self.socket.recv(&mut buffer) {
                    Ok(len) => self.answer(&buffer[..len], &mut done)?,
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock => break,
                        // An ICMP message: the generator has closed its end.
                        ErrorKind::Interrupted | ErrorKind::ConnectionRefused => {}
                        _ => return Err(failed(&self.spec, "read requests")(error)),
                    },
                }
            }
        }
    }

    fn answer(&self, request: &[u8], done: &mut Responded) -> Result<(), ResponderError> {
        done.bytes += request.len() as u64;
        match parse_payload(request, request.len()) {
            Parsed::Test(stamp) if stamp.flow == self.spec.flow => done.requests += 1,
            _ => done.corrupt += 1,
        }
        match self.socket.send(request) {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::ConnectionRefused | ErrorKind::Interrupted => {
                    done.refused += 1;
                    Ok(())
                }
                _ if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    done.refused += 1;
                    Ok(())
                }
                _ => Err(failed(&self.spec, "answer")(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use vifbench_wire::protocol::Answer;

    use super::*;

    /// Sends a packet; whether an ICMP message came back by the time of the next.
    fn refused(sender: &UdpSocket) -> bool {
        // The answer of the loopback is there before `send` returns.
        let first = sender.send(&[0; 18]);
        let second = sender.send(&[0; 18]);
        let kind = |sent: io::Result<usize>| sent.err().map(|error| error.kind());
        [kind(first), kind(second)].contains(&Some(ErrorKind::ConnectionRefused))
    }

    #[test]
    fn packets_for_a_sink_bring_no_message_back_however_many_they_are() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let sender = UdpSocket::bind(any).expect("a sender");
        let place = UdpSocket::bind(any).expect("a port");
        let local = place.local_addr().expect("its address");
        drop(place);
        sender.connect(local).expect("connects");
        assert!(refused(&sender), "without a socket there is a message");

        let spec = RespondSpec {
            flow: 0,
            answer: Answer::UdpSink,
            local,
            peer: sender.local_addr().expect("its address"),
            max_segment: None,
        };
        let sink = super::super::RunningResponder::start(&spec).expect("starts");
        sender
            .set_write_timeout(Some(Duration::from_secs(10)))
            .expect("sets");
        // An error of before may still be told once.
        drop(sender.take_error().expect("asks"));
        assert!((0..1000).all(|_| !refused(&sender)));
        sink.finish().expect("ends");
        assert!(refused(&sender), "it is gone");
    }
}
