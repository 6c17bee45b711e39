//! Bulk transfer over one TCP connection: large writes for as long as the kernel takes them.

use std::io::{ErrorKind, Write as _};
use std::os::fd::AsFd;

use rustix::event::PollFlags;
use vifbench_wait::{Alarm, Cancel, Woken};
use vifbench_wire::packet::{BULK_BLOCK, bulk_block};
use vifbench_wire::protocol::LoopDone;

use super::{Counted, LoopSent, Peers};
use crate::clock::reading::realtime_ns;
use crate::generator::error::LoopError;
use crate::generator::window::Times;
use crate::tcp_socket;

/// As much as goes.
pub struct TcpBulk {
    peers: Peers,
}

impl TcpBulk {
    pub(super) fn new(peers: Peers) -> Self {
        Self { peers }
    }

    /// Connects, writes until the stop time, and drops the connection.
    pub fn run(self, times: Times, stop: &Cancel) -> Result<LoopSent, LoopError> {
        let peers = self.peers;
        let failed = |doing| peers.failed(doing);
        let alarm = Alarm::new().map_err(failed("have a timer"))?;
        let mut result = LoopSent::default();
        result.done.flow = peers.flow;
        let Some(mut stream) = peers.connect(times, &alarm, stop)? else {
            return Ok(result);
        };
        let data = bulk_block(peers.flow);
        let mut at = 0;
        let mut counted = Counted::not_yet();
        loop {
            let now = realtime_ns();
            if now >= times.window.stop_ns || stop.is_cancelled() {
                break;
            }
            counted.begin(times, &peers, &stream)?;
            match stream.write(&data[at..]) {
                Ok(0) => return Err(peers.closed()),
                Ok(n) => at = (at + n) % BULK_BLOCK,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        let until = if now < times.measure_from_ns {
                            times.measure_from_ns
                        } else {
                            times.window.stop_ns
                        };
                        let room = (stream.as_fd(), PollFlags::OUT);
                        let woken = alarm.until_ready(until, stop, room);
                        if woken.map_err(failed("wait"))? == Woken::Cancelled {
                            break;
                        }
                    }
                    ErrorKind::Interrupted => {}
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                        return Err(peers.closed());
                    }
                    _ => return Err(failed("write")(error)),
                },
            }
        }
        let measured_ns = times.measured_ns(realtime_ns());
        let tcp = counted.end(&peers, &stream)?;
        tcp_socket::drop_at_once(stream).map_err(failed("close the connection"))?;
        result.done = LoopDone {
            measured_ns,
            tcp,
            ..result.done
        };
        Ok(result)
    }
}
