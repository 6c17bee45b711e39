//! Requests over UDP: frames with vifbench's header, as every other flow has them, and answers read from a socket.
//!
//! The first requests are spread over the scenario's `round_trip`; from then on each answer lets the next request go.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use rustix::net::{SocketType, connect};
use vifbench_scenarios::timing::first_requests;
use vifbench_scenarios::units::Span;
use vifbench_wait::{Alarm, Cancel, Woken};
use vifbench_wire::flow_frames::FlowFrames;
use vifbench_wire::packet::{MAX_SIZE, Parsed, UDP_PORT, parse_payload, source_port};
use vifbench_wire::protocol::{ANSWER_TIMEOUT_NS, FlowSpec, LoopDone, Pace};

use super::LoopSent;
use super::quantiles::RoundTrips;
use crate::clock::reading::realtime_ns;
use crate::generator::error::{GeneratorError, LoopError};
use crate::generator::window::Times;
use crate::senders::{PnetSender, Sender, is_fatal};
use crate::tcp_socket::bound;

/// What the scenario asks.
pub struct Asked {
    pub round_trip: Span,
    pub outstanding: u32,
    pub samples: Option<u64>,
}

/// A closed loop over UDP.
pub struct UdpLoop {
    flow: u16,
    seed: u64,
    interface: String,
    pace: Pace,
    asked: Asked,
    frames: FlowFrames,
    sender: PnetSender,
    answers: UdpSocket,
    peer: SocketAddr,
}

impl UdpLoop {
    /// Builds frames, opens the interface, and binds the port that answers come to.
    pub fn open(
        spec: &FlowSpec,
        interface: &str,
        pace: Pace,
        asked: Asked,
    ) -> Result<Self, GeneratorError> {
        let flow = spec.flow;
        let peer = SocketAddr::new(spec.destination, UDP_PORT);
        let local = SocketAddr::new(spec.source, source_port(flow));
        let failed = |error| LoopError::System {
            flow,
            peer,
            doing: "bind the port that answers come to",
            error,
        };
        let socket = bound(SocketType::DGRAM, local).map_err(failed)?;
        // The kernel then lets nothing in that is not the guest's.
        connect(&socket, &peer).map_err(|error| failed(error.into()))?;
        Ok(Self {
            flow,
            seed: spec.seed,
            interface: interface.to_owned(),
            pace,
            asked,
            frames: FlowFrames::new(spec)?,
            sender: PnetSender::open(interface)?,
            answers: UdpSocket::from(socket),
            peer,
        })
    }

    /// Asks until the stop time, and then waits for answers that are still under way.
    pub fn run(
        mut self: Box<Self>,
        times: Times,
        stop: &Cancel,
    ) -> Result<LoopSent, GeneratorError> {
        let alarm = Alarm::new().map_err(GeneratorError::Timer)?;
        let window = times.window;
        let all = self.asked.samples.unwrap_or(u64::MAX);
        let first = u64::from(self.asked.outstanding).min(all);
        let mut first: Vec<u64> = first_requests(self.asked.round_trip, first, self.seed);
        first.sort_unstable();
        let mut first: VecDeque<u64> = first
            .into_iter()
            .map(|after| window.start_ns.saturating_add(after))
            .collect();
        let mut left = all;
        let mut state = State::default();
        let mut buffer = vec![0; MAX_SIZE as usize];
        loop {
            let now = realtime_ns();
            let asking = now < window.stop_ns;
            let over = (!asking && state.pending.is_empty()) || now >= window.give_up_ns;
            if over || stop.is_cancelled() {
                break;
            }
            // Places for requests: of those that timed out, that begin, that were answered.
            let mut free = state.time_out(now);
            while first.front().is_some_and(|at| *at <= now) {
                first.pop_front();
                free += 1;
            }
            free += self.read(&mut buffer, times, &mut state)?;
            if asking {
                let requests = free.min(left);
                for _ in 0..requests {
                    self.ask(&mut state)?;
                }
                left -= requests;
            }
            // The last sample was answered: what comes after is no part of it.
            if left == 0 && state.pending.is_empty() {
                break;
            }
            let next = [
                first.front().copied().filter(|_| asking),
                state.next_time_out(),
                Some(if asking {
                    window.stop_ns
                } else {
                    window.give_up_ns
                }),
            ];
            let until = next
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(window.give_up_ns);
            if self.pace == Pace::Sleep || now < window.start_ns {
                let answers = (self.answers.as_fd(), PollFlags::IN);
                let woken = alarm.until_ready(until, stop, answers);
                if woken.map_err(GeneratorError::Timer)? == Woken::Cancelled {
                    break;
                }
            }
        }
        let measured_ns = times.measured_ns(realtime_ns());
        Ok(LoopSent {
            sent: state.sent,
            refused: state.refused,
            done: LoopDone {
                flow: self.flow,
                measured_ns,
                transactions: state.trips.count(),
                round_trip: state.trips.summary(),
                unanswered: state.unanswered + state.pending.iter().flatten().count() as u64,
                unexpected: state.unexpected,
                corrupt: state.corrupt,
                tcp: None,
            },
        })
    }

    /// Sends the next request.
    fn ask(&mut self, state: &mut State) -> Result<(), GeneratorError> {
        let seq = state.next_seq;
        let template = self.frames.next(None)?;
        template.number(seq);
        let now = realtime_ns();
        self.sender.push(template.stamp(now));
        match self.sender.flush() {
            Ok(_) => state.sent += 1,
            Err(refused) if is_fatal(&refused.error) => {
                return Err(GeneratorError::Gone {
                    interface: self.interface.clone(),
                    sent: state.sent,
                    error: refused.error,
                });
            }
            // It keeps its place until it times out, so that a full queue is not hammered.
            Err(_) => state.refused += 1,
        }
        state.pending.push_back(Some(now));
        state.next_seq = seq.wrapping_add(1);
        Ok(())
    }

    /// Reads every answer that is there; how many requests that ends.
    fn read(
        &self,
        buffer: &mut [u8],
        times: Times,
        state: &mut State,
    ) -> Result<u64, GeneratorError> {
        let mut ended = 0;
        loop {
            let len = match self.answers.recv(buffer) {
                Ok(len) => len,
                Err(error) => match error.kind() {
                    std::io::ErrorKind::WouldBlock => return Ok(ended),
                    std::io::ErrorKind::Interrupted => continue,
                    // An ICMP message: the guest's responder is gone or not there yet. Its requests time out.
                    std::io::ErrorKind::ConnectionRefused => {
                        state.unexpected += 1;
                        continue;
                    }
                    _ => {
                        return Err(LoopError::System {
                            flow: self.flow,
                            peer: self.peer,
                            doing: "read answers",
                            error,
                        }
                        .into());
                    }
                },
            };
            let now = realtime_ns();
            match parse_payload(&buffer[..len], len) {
                Parsed::Test(stamp) if stamp.flow == self.flow => match state.answer(stamp.seq) {
                    Some(sent) => {
                        ended += 1;
                        if times.is_measured(now) {
                            state.trips.add(now.saturating_sub(sent));
                        }
                    }
                    None => state.unexpected += 1,
                },
                Parsed::Test(_) => state.unexpected += 1,
                _ => state.corrupt += 1,
            }
        }
    }
}

/// Requests under way, and counts.
#[derive(Default)]
struct State {
    /// When each request was sent, from `next_seq - len` on; none where it is answered.
    pending: VecDeque<Option<u64>>,
    next_seq: u32,
    sent: u64,
    refused: u64,
    unanswered: u64,
    unexpected: u64,
    corrupt: u64,
    trips: RoundTrips,
}

impl State {
    /// When the request was sent, if it is under way; it then no longer is.
    fn answer(&mut self, seq: u32) -> Option<u64> {
        let first = self.next_seq.wrapping_sub(self.pending.len() as u32);
        let sent = self
            .pending
            .get_mut(seq.wrapping_sub(first) as usize)?
            .take();
        self.trim();
        sent
    }

    /// Gives up requests that have waited too long; how many.
    fn time_out(&mut self, now: u64) -> u64 {
        let mut lost = 0;
        while let Some(Some(sent)) = self.pending.front()
            && sent.saturating_add(ANSWER_TIMEOUT_NS) <= now
        {
            self.pending.pop_front();
            lost += 1;
            self.trim();
        }
        self.unanswered += lost;
        lost
    }

    fn next_time_out(&self) -> Option<u64> {
        let sent = (*self.pending.front()?)?;
        Some(sent.saturating_add(ANSWER_TIMEOUT_NS))
    }

    /// The front is always under way.
    fn trim(&mut self) {
        while self.pending.front() == Some(&None) {
            self.pending.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_requests_in_any_order() {
        let mut state = State {
            next_seq: u32::MAX,
            ..State::default()
        };
        for at in [10, 20, 30] {
            state.pending.push_back(Some(at));
            state.next_seq = state.next_seq.wrapping_add(1);
        }
        assert_eq!(state.answer(0), Some(20));
        assert_eq!(state.answer(0), None);
        assert_eq!(state.pending.len(), 3);
        assert_eq!(state.answer(u32::MAX), Some(10));
        assert_eq!(state.pending.len(), 1);
        assert_eq!(state.answer(7), None);
        assert_eq!(state.next_time_out(), Some(30 + ANSWER_TIMEOUT_NS));
        assert_eq!(state.time_out(30 + ANSWER_TIMEOUT_NS - 1), 0);
        assert_eq!(state.time_out(30 + ANSWER_TIMEOUT_NS), 1);
        assert_eq!((state.unanswered, state.pending.len()), (1, 0));
    }
}
