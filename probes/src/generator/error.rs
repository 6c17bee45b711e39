//! Why the generator could not send.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use vifbench_wire::packet::PacketError;
use vifbench_wire::schedule::ScheduleError;

use crate::senders::SenderError;

/// Why nothing, or no more, was sent.
#[derive(Debug, Error)]
pub enum GeneratorError {
    /// There is no sender.
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// The interface went away or down.
    #[error("{interface} took no more packets after {sent}: {error}; is it up?")]
    Gone {
        /// Interface.
        interface: String,
        /// Packets sent before.
        sent: u64,
        /// What the system said.
        error: io::Error,
    },
    /// A flow cannot be built.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A flow has no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// A flow that waits for answers.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// The thread of a flow ended without a result.
    #[error("the thread of flow {flow} died: please report this as a defect of vifprobe")]
    Died {
        /// The flow's number.
        flow: u16,
    },
    /// A timer could not be had.
    #[error("cannot wait for send times: {0}")]
    Timer(io::Error),
}

/// Why a flow that waits for answers failed.
#[derive(Debug, Error)]
pub enum LoopError {
    /// The kernel refused something.
    #[error("flow {flow} to {peer}: cannot {doing}: {error}")]
    System {
        /// The flow's number.
        flow: u16,
        /// Where it goes.
        peer: SocketAddr,
        /// What was attempted.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody took the connection.
    #[error(
        "flow {flow}: {peer} did not take the connection before the trial's end; does the guest have the address, and is no \
         firewall in the way?"
    )]
    NoConnection {
        /// The flow's number.
        flow: u16,
        /// Where it goes.
        peer: SocketAddr,
    },
    /// The other end went away.
    #[error("flow {flow}: {peer} closed the connection in mid-trial; see the guest's probe")]
    Closed {
        /// The flow's number.
        flow: u16,
        /// Where it goes.
        peer: SocketAddr,
    },
}
