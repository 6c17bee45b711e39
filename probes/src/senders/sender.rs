//! The contract of every sender, and what they share.

use std::io;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};
use thiserror::Error;

/// How long one call may wait for room before the frame counts as refused.
pub(super) const SEND_TIMEOUT: Duration = Duration::from_millis(100);

/// Why there is no sender.
#[derive(Debug, Error)]
pub enum SenderError {
    /// There is no such interface.
    #[error("cannot send on {interface}: there is no such interface; check the lab file")]
    NoInterface {
        /// Interface.
        interface: String,
    },
    /// The socket could not be had.
    #[error(
        "cannot open the `{sender}` sender on {interface}: {error}; vifprobe must run as root, and the interface be up"
    )]
    Open {
        /// As in a scenario.
        sender: &'static str,
        /// Interface.
        interface: String,
        /// What the system said.
        error: io::Error,
    },
    /// This kernel, interface or traffic does not suit it.
    #[error(
        "the `{sender}` sender cannot work on {interface}: {why}; use another one, or `sender: auto`"
    )]
    Unable {
        /// As in a scenario.
        sender: &'static str,
        /// Interface.
        interface: String,
        /// What stands against it.
        why: String,
    },
}

impl SenderError {
    /// An error of opening, of what the system said.
    pub(super) fn open(sender: &'static str, interface: &str) -> impl Fn(io::Error) -> Self {
        let interface = interface.to_owned();
        move |error| Self::Open {
            sender,
            interface: interface.clone(),
            error,
        }
    }
}

/// The kernel's number of an interface.
pub(super) fn index_of(interface: &str) -> Result<u32, SenderError> {
    let missing = |_| SenderError::NoInterface {
        interface: interface.to_owned(),
    };
    let any = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None);
    let any = any.map_err(|error| SenderError::open("any", interface)(error.into()))?;
    rustix::net::netdevice::name_to_index(&any, interface).map_err(missing)
}

/// A frame that the kernel did not take.
#[derive(Debug)]
pub struct Refused {
    /// Frames of the batch before it, which were sent.
    pub sent: usize,
    /// As the kernel gave it; `ENOBUFS` and time-outs mean that this one frame was refused.
    pub error: io::Error,
}

/// What puts frames on the wire: they are collected, and sent together.
pub trait Sender: Send {
    /// The most frames that are sent together.
    fn capacity(&self) -> usize;

    /// How long before its time a frame may be handed over, in nanoseconds. None but who can hold it back asks for that.
    fn ahead_ns(&self) -> u64 {
        0
    }

    /// Adds one Ethernet frame without FCS to the batch, which has room for it.
    fn push(&mut self, frame: &[u8]);

    /// Adds one that is to leave at a time of `CLOCK_REALTIME`, which lies no further ahead than was asked for.
    fn push_at(&mut self, frame: &[u8], _at_ns: u64) {
        self.push(frame);
    }

    /// Sends the batch in its order; how many frames that were. Must not wait for longer than a fraction of a second.
    ///
    /// # Errors
    /// When a frame is refused. It is dropped, and those behind it stay in the batch: call again.
    fn flush(&mut self) -> Result<usize, Refused>;
}

impl<S: Sender + ?Sized> Sender for Box<S> {
    fn capacity(&self) -> usize {
        (**self).capacity()
    }
    fn ahead_ns(&self) -> u64 {
        (**self).ahead_ns()
    }
    fn push(&mut self, frame: &[u8]) {
        (**self).push(frame);
    }
    fn push_at(&mut self, frame: &[u8], at_ns: u64) {
        (**self).push_at(frame, at_ns);
    }
    fn flush(&mut self) -> Result<usize, Refused> {
        (**self).flush()
    }
}

/// Whether no later frame can do better.
pub fn is_fatal(error: &io::Error) -> bool {
    let fatal = [
        libc::ENETDOWN,
        libc::ENXIO,
        libc::ENODEV,
        libc::EBADF,
        libc::EMSGSIZE,
        libc::EINVAL,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| fatal.contains(&code))
}
