//! Sends up to 64 packets a call (`sendmmsg`), past the queueing discipline: straight to the driver.
//!
//! A driver that has no room refuses, and nothing waits: suits wires that are faster than the sender.

use std::os::fd::OwnedFd;

use super::frame_queue::FrameQueue;
use super::sender::{Refused, SEND_TIMEOUT, Sender, SenderError, index_of};
use super::sys::{self, Headers};

const BATCH: usize = 64;

/// `sendmmsg` with `PACKET_QDISC_BYPASS`.
pub struct MmsgSender {
    socket: OwnedFd,
    frames: FrameQueue,
    headers: Headers,
}

impl MmsgSender {
    /// Opens a raw socket on an interface.
    ///
    /// # Errors
    /// When there is no such interface, or no right to raw sockets.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let failed = SenderError::open("mmsg", interface);
        let socket = sys::packet_socket(index_of(interface)?).map_err(&failed)?;
        let on: sys::Number = 1;
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &on)
            .and_then(|()| sys::set_send_timeout(&socket, SEND_TIMEOUT))
            .map_err(&failed)?;
        Ok(Self {
            socket,
            frames: FrameQueue::default(),
            headers: Headers::default(),
        })
    }
}

impl Sender for MmsgSender {
    fn capacity(&self) -> usize {
        BATCH
    }

    fn push(&mut self, frame: &[u8]) {
        self.frames.push(frame);
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        self.frames.send_all(|frames| {
            let slices: Vec<&[u8]> = frames.iter().collect();
            sys::send_many(&self.socket, &slices, &mut self.headers)
        })
    }
}
