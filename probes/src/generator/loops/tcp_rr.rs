//! Requests and responses over one TCP connection, with so many under way (as netperf's `TCP_RR` with a burst).

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use vifbench_wait::{Alarm, Cancel, Woken};
use vifbench_wire::packet::fill;
use vifbench_wire::protocol::LoopDone;

use super::quantiles::RoundTrips;
use super::{Counted, LoopSent, Peers};
use crate::clock::reading::realtime_ns;
use crate::generator::error::LoopError;
use crate::generator::window::Times;
use crate::tcp_socket;

/// So much is read at a time.
const CHUNK: usize = 1 << 16;

/// A closed loop over TCP.
pub struct TcpRr {
    peers: Peers,
    /// Bytes of a request and of a response.
    sizes: (usize, usize),
    outstanding: u32,
}

impl TcpRr {
    pub(super) fn new(peers: Peers, sizes: (usize, usize), outstanding: u32) -> Self {
        Self {
            peers,
            sizes,
            outstanding,
        }
    }

    /// Connects, asks until the stop time, and drops the connection.
    pub fn run(self, times: Times, stop: &Cancel) -> Result<LoopSent, LoopError> {
        let peers = self.peers;
        let failed = |doing| peers.failed(doing);
        let alarm = Alarm::new().map_err(failed("have a timer"))?;
        let mut result = LoopSent::default();
        result.done.flow = peers.flow;
        let Some(mut stream) = peers.connect(times, &alarm, stop)? else {
            return Ok(result);
        };
        stream
            .set_nodelay(true)
            .map_err(failed("set TCP_NODELAY"))?;
        let mut state = State {
            peers,
            sizes: self.sizes,
            sent_at: VecDeque::new(),
            out: Vec::new(),
            written: 0,
            next_request: 0,
            next_response: 0,
            expected: Vec::new(),
            come: 0,
            trips: RoundTrips::default(),
            corrupt: 0,
        };
        let mut counted = Counted::not_yet();
        let mut buffer = vec![0; CHUNK];
        for _ in 0..self.outstanding {
            state.ask();
        }
        loop {
            let now = realtime_ns();
            if now >= times.window.stop_ns || stop.is_cancelled() {
                break;
            }
            counted.begin(times, &peers, &stream)?;
            state.write(&mut stream)?;
            if state.read(&mut stream, &mut buffer, times)? {
                continue;
            }
            let mut what = PollFlags::IN;
            what.set(PollFlags::OUT, state.written < state.out.len());
            let until = if now < times.measure_from_ns {
                times.measure_from_ns
            } else {
                times.window.stop_ns
            };
            let woken = alarm.until_ready(until, stop, (stream.as_fd(), what));
            if woken.map_err(failed("wait"))? == Woken::Cancelled {
                break;
            }
        }
        let measured_ns = times.measured_ns(realtime_ns());
        let tcp = counted.end(&peers, &stream)?;
        tcp_socket::drop_at_once(stream).map_err(failed("close the connection"))?;
        result.sent = u64::from(state.next_request);
        result.done = LoopDone {
            flow: peers.flow,
            measured_ns,
            transactions: state.trips.count(),
            round_trip: state.trips.summary(),
            unanswered: state.sent_at.len() as u64,
            unexpected: 0,
            corrupt: state.corrupt,
            tcp,
        };
        Ok(result)
    }
}

struct State {
    peers: Peers,
    sizes: (usize, usize),
    /// When each request under way was begun to be written.
    sent_at: VecDeque<u64>,
    /// Requests that wait to be written.
    out: Vec<u8>,
    written: usize,
    next_request: u32,
    next_response: u32,
    /// The response that is coming, and how much of it has.
    expected: Vec<u8>,
    come: usize,
    trips: RoundTrips,
    corrupt: u64,
}

impl State {
    /// Queues the next request.
    fn ask(&mut self) {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        let from = self.out.len();
        self.out.resize(from + self.sizes.0, 0);
        fill(self.peers.flow, self.next_request, &mut self.out[from..]);
        self.next_request = self.next_request.wrapping_add(1);
        self.sent_at.push_back(realtime_ns());
    }

    fn write(&mut self, stream: &mut TcpStream) -> Result<(), LoopError> {
        while self.written < self.out.len() {
            match stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(self.peers.closed()),
                Ok(n) => self.written += n,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        return Err(self.peers.closed());
                    }
                    _ => return Err(self.peers.failed("write requests")(error)),
                },
            }
        }
        Ok(())
    }

    /// Reads once; whether requests wait to be written now. Responses that came in one piece are answered together.
    fn read(
        &mut self,
        stream: &mut TcpStream,
        buffer: &mut [u8],
        times: Times,
    ) -> Result<bool, LoopError> {
        let n = match stream.read(buffer) {
            Ok(0) => return Err(self.peers.closed()),
            Ok(n) => n,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(false),
                ErrorKind::Interrupted => return Ok(true),
                ErrorKind::ConnectionReset => return Err(self.peers.closed()),
                _ => return Err(self.peers.failed("read responses")(error)),
            },
        };
        let now = realtime_ns();
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            if self.come == 0 {
                self.expected.resize(self.sizes.1, 0);
                fill(self.peers.flow, self.next_response, &mut self.expected);
            }
            let (part, later) = rest.split_at(rest.len().min(self.sizes.1 - self.come));
            let wrong = part
                .iter()
                .zip(&self.expected[self.come..])
                .filter(|(got, wanted)| got != wanted);
            self.corrupt += wrong.count() as u64;
            self.come += part.len();
            rest = later;
            if self.come == self.sizes.1 {
                self.come = 0;
                self.next_response = self.next_response.wrapping_add(1);
                if let Some(sent) = self.sent_at.pop_front() {
                    if times.is_measured(now) {
                        self.trips.add(now.saturating_sub(sent));
                    }
                    self.ask();
                }
            }
        }
        Ok(true)
    }
}
