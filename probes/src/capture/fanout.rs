//! Several kernel rings that share the packets of one interface (packet(7), `PACKET_FANOUT`).
//!
//! Packets are dealt out in turn, so that one flow at line rate loads all rings alike; one that finds its ring full goes
//! to the next that has room. Until a socket has joined, its ring gets every packet of the interface, so that all let
//! nothing through before the last has joined; then each gets its filter.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use pcap::{Active, Capture};
use vifbench_wire::protocol::CaptureSpec;

use super::{CaptureError, filter};

// linux/if_packet.h
const PACKET_FANOUT_LB: u32 = 1;
const PACKET_FANOUT_FLAG_ROLLOVER: u32 = 0x1000;
const PACKET_FANOUT_FLAG_UNIQUEID: u32 = 0x2000;

/// A filter that no packet passes.
const NOTHING: &str = "less 0";

/// Joins rings.
pub(super) struct Fanout;

impl Fanout {
    /// Makes open captures of one interface share its packets, and sets the filter of each.
    pub(super) fn join(
        captures: &mut [Capture<Active>],
        spec: &CaptureSpec,
    ) -> Result<(), CaptureError> {
        let failed = |error| CaptureError::Fanout {
            interface: spec.interface.clone(),
            error,
        };
        let quiet = CaptureSpec {
            filter: NOTHING.to_owned(),
            ..spec.clone()
        };
        for capture in captures.iter_mut() {
            filter(capture, &quiet)?;
        }
        let mut group = 0;
        for (number, capture) in captures.iter_mut().enumerate() {
            let fd = capture.as_raw_fd();
            let flags = PACKET_FANOUT_FLAG_ROLLOVER
                | if number == 0 {
                    PACKET_FANOUT_FLAG_UNIQUEID
                } else {
                    0
                };
            set(fd, group | (PACKET_FANOUT_LB | flags) << 16).map_err(failed)?;
            if number == 0 {
                group = get(fd).map_err(failed)? & 0xffff;
            }
        }
        for capture in captures.iter_mut() {
            // What came before it had joined: libpcap empties the ring as it sets a filter.
            filter(capture, spec)?;
        }
        Ok(())
    }
}

fn set(fd: RawFd, value: u32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "there is no safe wrapper of PACKET_FANOUT")]
    // SAFETY: the option takes an int, which is as long as is said.
    let done = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw const value).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The group's id, and how it deals.
fn get(fd: RawFd) -> io::Result<u32> {
    let mut value = 0_u32;
    let mut length = size_of::<u32>() as libc::socklen_t;
    #[expect(unsafe_code, reason = "there is no safe wrapper of PACKET_FANOUT")]
    // SAFETY: the option gives an int, for which there is room.
    let done = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if done == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}
