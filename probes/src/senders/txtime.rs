//! Hands frames to the kernel before their time, many a call, and the kernel sends each when it is due (`SO_TXTIME`, `fq`).
//!
//! The sending thread runs once for dozens of packets. Where machines share a CPU it so takes little from the others: under
//! Xen each of its two system calls a packet is two switches of a guest's page tables.

use std::os::fd::OwnedFd;

use super::frame_queue::FrameQueue;
use super::qdisc;
use super::sender::{Refused, SEND_TIMEOUT, Sender, SenderError, index_of};
use super::sys::{self, Headers};
use crate::clock::reading::{monotonic_ns, realtime_ns};

/// The only discipline that holds a packet back until its time and drops none that is late (tc-fq(8)).
const DISCIPLINE: &str = "fq";
/// Frames are handed over at most this long before their time.
const AHEAD_NS: u64 = 20_000_000;
const BATCH: usize = 64;
/// The kernel doubles it, and counts at least 768 bytes for a packet: at most 93 packets wait, and `fq` takes 100 of a flow.
const SEND_BUFFER: sys::Number = 36_000;

/// A packet socket whose packets have times.
pub struct TxtimeSender {
    socket: OwnedFd,
    frames: FrameQueue,
    /// When each of them is to leave, in `CLOCK_MONOTONIC`.
    times: Vec<u64>,
    /// `CLOCK_REALTIME` less `CLOCK_MONOTONIC`, as the batch began.
    offset_ns: u64,
    headers: Headers,
}

impl TxtimeSender {
    /// Opens a raw socket that takes times.
    ///
    /// # Errors
    /// When the interface's queueing discipline does not keep times, there is no such interface, or no right to raw sockets.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let failed = SenderError::open("txtime", interface);
        let index = index_of(interface)?;
        let root = qdisc::root(index).map_err(&failed)?;
        if root.as_deref() != Some(DISCIPLINE) {
            return Err(SenderError::Unable {
                sender: "txtime",
                interface: interface.to_owned(),
                why: format!(
                    "its queueing discipline is {}, and only {DISCIPLINE} sends at given times; `tc qdisc replace dev \
                     {interface} root {DISCIPLINE}` mends that",
                    root.as_deref().unwrap_or("none")
                ),
            });
        }
        let socket = sys::packet_socket(index).map_err(&failed)?;
        let clock = libc::sock_txtime {
            clockid: libc::CLOCK_MONOTONIC, // fq's clock
            flags: 0,
        };
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_TXTIME, &clock)
            .and_then(|()| {
                sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &SEND_BUFFER)
            })
            .and_then(|()| sys::set_send_timeout(&socket, SEND_TIMEOUT))
            .map_err(&failed)?;
        Ok(Self {
            socket,
            frames: FrameQueue::default(),
            times: Vec::new(),
            offset_ns: 0,
            headers: Headers::default(),
        })
    }
}

impl Sender for TxtimeSender {
    fn capacity(&self) -> usize {
        BATCH
    }

    fn ahead_ns(&self) -> u64 {
        AHEAD_NS
    }

    /// At once: `fq` sends what is due already.
    fn push(&mut self, frame: &[u8]) {
        self.push_at(frame, realtime_ns());
    }

    fn push_at(&mut self, frame: &[u8], at_ns: u64) {
        if self.frames.is_empty() {
            self.times.clear();
            self.offset_ns = realtime_ns().saturating_sub(monotonic_ns());
        }
        self.frames.push(frame);
        self.times.push(at_ns.saturating_sub(self.offset_ns));
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        self.frames.send_all(|frames| {
            let slices: Vec<&[u8]> = frames.iter().collect();
            let times = &self.times[self.times.len() - slices.len()..];
            sys::send_many_at(&self.socket, &slices, times, &mut self.headers)
        })
    }
}
