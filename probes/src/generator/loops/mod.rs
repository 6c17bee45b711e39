//! Flows that wait for answers: requests and responses over UDP and TCP, and bulk transfer over TCP. Each has a thread of
//! its own and measures what nothing else can see: round trips, and what TCP did to carry the data.

mod quantiles;
mod tcp_bulk;
mod tcp_rr;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use rustix::thread::set_current_timer_slack;
use vifbench_scenarios::scenario::Arrivals;
use vifbench_wait::{Alarm, Cancel, Woken};
use vifbench_wire::packet::{source_port, tcp_port};
use vifbench_wire::protocol::{FlowSpec, LoopDone, Pace, TcpDone};

use super::error::{GeneratorError, LoopError};
use super::window::Times;
use crate::clock::reading::realtime_ns;
use crate::tcp_socket::{self, Info};

/// What became of a flow.
#[derive(Debug, Default)]
pub struct LoopSent {
    /// Packets, or requests of TCP, that the kernel took.
    pub sent: u64,
    /// Those that it refused.
    pub refused: u64,
    /// What was measured.
    pub done: LoopDone,
}

/// A flow that waits for answers.
pub enum Loop {
    /// Over UDP.
    Udp(Box<udp::UdpLoop>),
    /// Requests over TCP.
    TcpRr(tcp_rr::TcpRr),
    /// Bulk over TCP.
    TcpBulk(tcp_bulk::TcpBulk),
}

impl Loop {
    /// Gets one ready; none for flows that do not wait.
    ///
    /// # Errors
    /// When its frames cannot be built or its socket cannot be had.
    pub fn open(
        spec: &FlowSpec,
        interface: &str,
        pace: Pace,
    ) -> Result<Option<Self>, GeneratorError> {
        Ok(Some(match &spec.arrivals {
            Arrivals::ClosedLoop {
                round_trip,
                outstanding,
                samples,
            } => {
                let asked = udp::Asked {
                    round_trip: *round_trip,
                    outstanding: *outstanding,
                    samples: *samples,
                };
                Self::Udp(Box::new(udp::UdpLoop::open(spec, interface, pace, asked)?))
            }
            Arrivals::TcpRr {
                request,
                response,
                outstanding,
            } => Self::TcpRr(tcp_rr::TcpRr::new(
                Peers::of(spec),
                (request.bytes() as usize, response.bytes() as usize),
                *outstanding,
            )),
            Arrivals::TcpBulk {} => Self::TcpBulk(tcp_bulk::TcpBulk::new(Peers::of(spec))),
            _ => return Ok(None),
        }))
    }

    /// Goes on until the stop time.
    ///
    /// # Errors
    /// When the kernel or the other end ends it.
    pub fn run(self, times: Times, stop: &Cancel) -> Result<LoopSent, GeneratorError> {
        // Without this the kernel may end each wait up to 50 us late, to save power.
        set_current_timer_slack(Some(NonZeroU64::MIN))
            .map_err(|error| GeneratorError::Timer(error.into()))?;
        match self {
            Self::Udp(udp) => udp.run(times, stop),
            Self::TcpRr(requests) => Ok(requests.run(times, stop)?),
            Self::TcpBulk(bulk) => Ok(bulk.run(times, stop)?),
        }
    }
}

/// The two ends of a TCP flow.
#[derive(Debug, Clone, Copy)]
struct Peers {
    flow: u16,
    local: SocketAddr,
    peer: SocketAddr,
    max_segment: Option<u32>,
}

impl Peers {
    fn of(spec: &FlowSpec) -> Self {
        Self {
            flow: spec.flow,
            local: SocketAddr::new(spec.source, source_port(spec.flow)),
            peer: SocketAddr::new(spec.destination, tcp_port(spec.flow)),
            max_segment: spec.max_segment(),
        }
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(io::Error) -> LoopError + use<> {
        let (flow, peer) = (self.flow, self.peer);
        move |error| match error.kind() {
            // Which call meets a reset first depends on the network.
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected => LoopError::Closed { flow, peer },
            _ => LoopError::System {
                flow,
                peer,
                doing,
                error,
            },
        }
    }

    fn closed(&self) -> LoopError {
        LoopError::Closed {
            flow: self.flow,
            peer: self.peer,
        }
    }

    /// Connects at the start time; none where the word to stop came first.
    fn connect(
        &self,
        times: Times,
        alarm: &Alarm,
        stop: &Cancel,
    ) -> Result<Option<TcpStream>, LoopError> {
        let wait = "wait for the start";
        match alarm.until(times.window.start_ns, stop) {
            Ok(Woken::Cancelled) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.failed(wait)(error)),
        }
        let doing = "connect";
        let stream = tcp_socket::begin_to_connect(self.local, self.peer, self.max_segment)
            .map_err(self.failed(doing))?;
        let ready = (stream.as_fd(), PollFlags::OUT);
        match alarm.until_ready(times.window.stop_ns, stop, ready) {
            Ok(Woken::Ready) => {}
            Ok(Woken::Cancelled) => return Ok(None),
            Ok(Woken::Due) => {
                return Err(LoopError::NoConnection {
                    flow: self.flow,
                    peer: self.peer,
                });
            }
            Err(error) => return Err(self.failed(wait)(error)),
        }
        match stream.take_error() {
            Ok(None) => Ok(Some(stream)),
            Ok(Some(error)) | Err(error) => Err(self.failed(doing)(error)),
        }
    }
}

/// What the kernel counted between two moments.
struct Counted {
    from: Option<Info>,
}

impl Counted {
    fn not_yet() -> Self {
        Self { from: None }
    }

    /// Takes the first reading once the measured part has begun.
    fn begin(&mut self, times: Times, peers: &Peers, stream: &TcpStream) -> Result<(), LoopError> {
        if self.from.is_none() && realtime_ns() >= times.measure_from_ns {
            self.from = Some(Info::of(stream).map_err(peers.failed("read TCP_INFO"))?);
        }
        Ok(())
    }

    /// Everything since; nothing where the measured part never began.
    fn end(self, peers: &Peers, stream: &TcpStream) -> Result<Option<TcpDone>, LoopError> {
        let Some(from) = self.from else {
            return Ok(None);
        };
        let doing = "read TCP_INFO";
        let to = Info::of(stream).map_err(peers.failed(doing))?;
        Ok(Some(TcpDone {
            bytes_acked: to.bytes_acked.saturating_sub(from.bytes_acked),
            bytes_sent: to.bytes_sent.saturating_sub(from.bytes_sent),
            bytes_retransmitted: to
                .bytes_retransmitted
                .saturating_sub(from.bytes_retransmitted),
            // Both wrap at 2^32.
            segments_retransmitted: to
                .segments_retransmitted
                .wrapping_sub(from.segments_retransmitted)
                .into(),
            data_segments: to.data_segments.wrapping_sub(from.data_segments).into(),
            segment: to.segment,
            min_rtt_us: to.min_rtt_us,
            smoothed_rtt_us: to.smoothed_rtt_us,
            congestion: tcp_socket::congestion(stream).map_err(peers.failed(doing))?,
        }))
    }
}
