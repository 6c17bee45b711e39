//! Sends one packet a call (`write`), through the queueing discipline; the call itself waits for room.
//!
//! [`super::PnetSender`] asks `poll` before each packet whether there is room. Under Xen a system call of a paravirtualised
//! guest is two switches of page tables, so where machines share a CPU it costs them all.

use std::os::fd::OwnedFd;

use super::frame_queue::FrameQueue;
use super::sender::{Refused, SEND_TIMEOUT, Sender, SenderError, index_of};
use super::sys;

/// A packet socket that waits.
pub struct RawSender {
    socket: OwnedFd,
    frames: FrameQueue,
}

impl RawSender {
    /// Opens a raw socket on an interface.
    ///
    /// # Errors
    /// When there is no such interface, or no right to raw sockets.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let failed = SenderError::open("raw", interface);
        let socket = sys::packet_socket(index_of(interface)?).map_err(&failed)?;
        sys::set_send_timeout(&socket, SEND_TIMEOUT).map_err(&failed)?;
        Ok(Self {
            socket,
            frames: FrameQueue::default(),
        })
    }
}

impl Sender for RawSender {
    fn capacity(&self) -> usize {
        1
    }

    fn push(&mut self, frame: &[u8]) {
        self.frames.push(frame);
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        self.frames.send_all(|frames| {
            let first = frames.get(0).unwrap_or_default();
            rustix::io::write(&self.socket, first)?;
            Ok(1)
        })
    }
}
