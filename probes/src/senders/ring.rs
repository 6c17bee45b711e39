//! Sends from a ring that is shared with the kernel (`PACKET_TX_RING`, version 2), past the queueing discipline: one call
//! for all frames that wait.
//!
//! The kernel drops what a driver has no room for and tells nobody: counts at the interface tell it.

use std::io;
use std::os::fd::OwnedFd;

use super::sender::{Refused, SEND_TIMEOUT, Sender, SenderError, index_of};
use super::sys::{self, Mapped};

/// Bytes of one frame's place: its header and the largest frame.
const SLOT: usize = 2048;
/// Places in the ring.
const SLOTS: usize = 256;
/// Frames sent together.
const BATCH: usize = 64;

// linux/if_packet.h
const TPACKET_V2: sys::Number = 1;
const TP_STATUS_AVAILABLE: u32 = 0;
const TP_STATUS_SEND_REQUEST: u32 = 1;
const TP_STATUS_WRONG_FORMAT: u32 = 4;
/// In `struct tpacket2_hdr`: the status is first, then the length.
const LEN_AT: usize = 4;
/// `TPACKET2_HDRLEN - sizeof(struct sockaddr_ll)`: where a frame begins.
const DATA_AT: usize = 32;

#[repr(C)]
#[derive(Clone, Copy)]
struct RingRequest {
    block_size: u32,
    blocks: u32,
    frame_size: u32,
    frames: u32,
}

/// `PACKET_TX_RING`.
pub struct RingSender {
    ring: Mapped,
    socket: OwnedFd,
    /// The place of the next frame.
    next: usize,
    /// Places that are filled and not handed over for good.
    waiting: usize,
}

impl RingSender {
    /// Opens a raw socket with a ring on an interface.
    ///
    /// # Errors
    /// When there is no such interface, or no right to raw sockets or to so much locked memory.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let failed = SenderError::open("ring", interface);
        let socket = sys::packet_socket(index_of(interface)?).map_err(&failed)?;
        let (on, version): (sys::Number, sys::Number) = (1, TPACKET_V2);
        // A block is one page or more, and holds whole places.
        let request = RingRequest {
            block_size: (SLOT * 16) as u32,
            blocks: (SLOTS / 16) as u32,
            frame_size: SLOT as u32,
            frames: SLOTS as u32,
        };
        let ring = sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .and_then(|()| {
                sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_TX_RING, &request)
            })
            .and_then(|()| {
                sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &on)
            })
            .and_then(|()| sys::set_send_timeout(&socket, SEND_TIMEOUT))
            .and_then(|()| Mapped::new(&socket, SLOT * SLOTS))
            .map_err(&failed)?;
        Ok(Self {
            ring,
            socket,
            next: 0,
            waiting: 0,
        })
    }
}

impl Sender for RingSender {
    fn capacity(&self) -> usize {
        BATCH
    }

    fn push(&mut self, frame: &[u8]) {
        let at = self.next * SLOT;
        self.ring.write(at + DATA_AT, frame);
        self.ring.store(at + LEN_AT, frame.len() as u32);
        // Everything before this is seen by who sees this.
        self.ring.store(at, TP_STATUS_SEND_REQUEST);
        self.next = (self.next + 1) % SLOTS;
        self.waiting += 1;
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        if self.waiting == 0 {
            return Ok(0);
        }
        // Waits until the driver has let go of every frame, so that a batch always finds its places free.
        let outcome = loop {
            match sys::kick(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome,
            }
        };
        let mut sent = 0;
        while self.waiting > 0 {
            let at = (self.next + SLOTS - self.waiting) % SLOTS * SLOT;
            match self.ring.load(at) {
                TP_STATUS_AVAILABLE => {
                    sent += 1;
                    self.waiting -= 1;
                }
                status => {
                    // Not sent: refused for good, or not taken in time.
                    self.ring.store(at, TP_STATUS_AVAILABLE);
                    self.waiting -= 1;
                    let error = match outcome {
                        Err(error) => error,
                        Ok(()) if status & TP_STATUS_WRONG_FORMAT != 0 => {
                            io::Error::from_raw_os_error(libc::EINVAL)
                        }
                        Ok(()) => io::Error::from_raw_os_error(libc::ENOBUFS),
                    };
                    return Err(Refused { sent, error });
                }
            }
        }
        match outcome {
            Ok(()) => Ok(sent),
            // Every frame is gone from the ring, the last for another reason than that it was sent.
            Err(error) => Err(Refused {
                sent: sent.saturating_sub(1),
                error,
            }),
        }
    }
}
