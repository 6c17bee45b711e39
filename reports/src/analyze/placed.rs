//! A packet as a capture has it, and where it was seen.

use super::identity::Identity;

/// One packet that can be known again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub at_ns: i64,
    /// Bytes of the frame on Ethernet, with FCS.
    pub size: u32,
    pub identity: Identity,
}

/// Where a packet was seen: its interface, and whether on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub interface: usize,
    pub index: Option<u32>,
    pub outgoing: bool,
}
