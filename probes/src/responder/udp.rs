//! Every packet goes back as it came (as RFC 862 has it).

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd;

use rustix::net::{SocketType, connect};

use super::{ResponderError, failed};
use crate::packet::{MAX_SIZE, Parsed, parse_payload};
use crate::protocol::{RespondSpec, Responded};
use crate::tcp_socket::bound;
use crate::wait::{Stop, wait_readable};

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
    pub fn run(self, stop: &Stop) -> Result<Responded, ResponderError> {
        let mut done = Responded {
            flow: self.spec.flow,
            ..Responded::default()
        };
        let mut buffer = vec![0; MAX_SIZE as usize];
        loop {
            let ready = wait_readable(&[stop.as_fd(), self.socket.as_fd()], None)
                .map_err(failed(&self.spec, "wait for requests"))?;
            if ready[0] {
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
