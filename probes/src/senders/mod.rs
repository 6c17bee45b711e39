//! What puts frames on the wire, one file a way of doing it.

mod pnet;

use std::io;

pub use self::pnet::PnetSender;

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

    /// Adds one Ethernet frame without FCS to the batch, which has room for it.
    fn push(&mut self, frame: &[u8]);

    /// Sends the batch in its order; how many frames that were. Must not wait for longer than a fraction of a second.
    ///
    /// # Errors
    /// When a frame is refused. It is dropped, and those behind it stay in the batch: call again.
    fn flush(&mut self) -> Result<usize, Refused>;
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
