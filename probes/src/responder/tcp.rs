//! The guest's end of TCP flows: responses to requests, or a sink of data.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use vifbench_wait::{Alarm, Cancel, Woken, until_readable};
use vifbench_wire::packet::{BULK_BLOCK, bulk_block, fill};
use vifbench_wire::protocol::{Answer, RespondSpec, Responded};

use super::{ResponderError, failed};
use crate::tcp_socket;

/// So much is read at a time.
const CHUNK: usize = 1 << 18;
/// The end of time, for waits that only the word to stop ends.
const NEVER: u64 = i64::MAX as u64;

/// Takes one peer's connections, one after the other.
pub struct Server {
    spec: RespondSpec,
    listener: TcpListener,
}

/// Why a connection is over.
enum Over {
    /// The peer closed it.
    Closed,
    /// The trial ended.
    Told,
}

impl Server {
    /// Binds the port.
    pub fn bind(spec: &RespondSpec) -> io::Result<Self> {
        Ok(Self {
            spec: spec.clone(),
            listener: tcp_socket::listener(spec.local, spec.max_segment)?,
        })
    }

    /// Serves until told to stop.
    pub fn run(self, stop: &Cancel) -> Result<Responded, ResponderError> {
        let mut done = Responded {
            flow: self.spec.flow,
            ..Responded::default()
        };
        loop {
            let woken = until_readable(self.listener.as_fd(), stop)
                .map_err(failed(&self.spec, "wait for a connection"))?;
            if woken == Woken::Cancelled {
                return Ok(done);
            }
            let (stream, from) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock
                    | ErrorKind::Interrupted
                    | ErrorKind::ConnectionAborted => continue,
                    _ => return Err(failed(&self.spec, "take a connection")(error)),
                },
            };
            if from != self.spec.peer {
                done.foreign += 1;
                tcp_socket::drop_at_once(stream)
                    .map_err(failed(&self.spec, "close a stranger's connection"))?;
                continue;
            }
            if let Over::Told = self.serve(stream, stop, &mut done)? {
                return Ok(done);
            }
        }
    }

    fn serve(
        &self,
        mut stream: TcpStream,
        stop: &Cancel,
        done: &mut Responded,
    ) -> Result<Over, ResponderError> {
        stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true))
            .map_err(failed(&self.spec, "set up the connection"))?;
        let mut work: Box<dyn Work> = match self.spec.answer {
            Answer::TcpRr { request, response } => Box::new(Requests {
                flow: self.spec.flow,
                request: vec![0; request as usize],
                response: response as usize,
                come: 0,
                number: 0,
                out: Vec::new(),
            }),
            Answer::TcpSink | Answer::UdpEcho | Answer::UdpSink => Box::new(Sink {
                block: bulk_block(self.spec.flow),
                at: 0,
                nothing: Vec::new(),
            }),
        };
        let alarm = Alarm::new().map_err(failed(&self.spec, "have a timer"))?;
        let mut buffer = vec![0; CHUNK];
        let mut written = 0;
        let over = loop {
            let out = work.out();
            let mut what = PollFlags::IN;
            what.set(PollFlags::OUT, written < out.len());
            let woken = alarm
                .until_ready(NEVER, stop, (stream.as_fd(), what))
                .map_err(failed(&self.spec, "wait for requests"))?;
            if woken == Woken::Cancelled {
                break Over::Told;
            }
            match stream.read(&mut buffer) {
                Ok(0) => break Over::Closed,
                Ok(n) => work.take(&buffer[..n], done),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset => break Over::Closed,
                    _ => return Err(failed(&self.spec, "read requests")(error)),
                },
            }
            let out = work.out();
            while written < out.len() {
                match stream.write(&out[written..]) {
                    Ok(n) => written += n,
                    Err(error) => match error.kind() {
                        ErrorKind::WouldBlock => break,
                        ErrorKind::Interrupted => {}
                        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                            return Ok(Over::Closed);
                        }
                        _ => return Err(failed(&self.spec, "answer")(error)),
                    },
                }
            }
            if written == out.len() {
                out.clear();
                written = 0;
            }
        };
        tcp_socket::drop_at_once(stream).map_err(failed(&self.spec, "close the connection"))?;
        Ok(over)
    }
}

/// What is done with the data of a connection.
trait Work {
    /// Data came.
    fn take(&mut self, bytes: &[u8], done: &mut Responded);
    /// What is to be sent back.
    fn out(&mut self) -> &mut Vec<u8>;
}

/// A response for each request.
struct Requests {
    flow: u16,
    /// The request that is coming, as it should be.
    request: Vec<u8>,
    response: usize,
    come: usize,
    number: u32,
    out: Vec<u8>,
}

impl Work for Requests {
    fn take(&mut self, mut bytes: &[u8], done: &mut Responded) {
        done.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.come == 0 {
                fill(self.flow, self.number, &mut self.request);
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.request.len() - self.come));
            let wrong = part
                .iter()
                .zip(&self.request[self.come..])
                .filter(|(got, wanted)| got != wanted);
            done.corrupt += wrong.count() as u64;
            self.come += part.len();
            bytes = rest;
            if self.come == self.request.len() {
                done.requests += 1;
                self.come = 0;
                let from = self.out.len();
                self.out.resize(from + self.response, 0);
                fill(self.flow, self.number, &mut self.out[from..]);
                self.number = self.number.wrapping_add(1);
            }
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }
}

/// Takes everything.
struct Sink {
    block: Vec<u8>,
    at: usize,
    /// What it answers.
    nothing: Vec<u8>,
}

impl Work for Sink {
    fn take(&mut self, mut bytes: &[u8], done: &mut Responded) {
        done.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let wanted = &self.block[self.at..];
            let (part, rest) = bytes.split_at(bytes.len().min(wanted.len()));
            if part != &wanted[..part.len()] {
                let wrong = part
                    .iter()
                    .zip(wanted)
                    .filter(|(got, wanted)| got != wanted);
                done.corrupt += wrong.count() as u64;
            }
            self.at = (self.at + part.len()) % BULK_BLOCK;
            bytes = rest;
        }
    }

    fn out(&mut self) -> &mut Vec<u8> {
        &mut self.nothing
    }
}
