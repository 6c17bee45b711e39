//! Which way frames take to the wire.

use serde::{Deserialize, Serialize};

/// How the generator hands frames to the kernel. TCP and closed loops have their own ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendBy {
    /// What suits the traffic and the machine; the report says which.
    #[default]
    Auto,
    /// One packet a call, which waits for room: a packet socket.
    Raw,
    /// The same, with a call before it that asks for room: `pnet`.
    Pnet,
    /// Up to 64 packets a call, before their time; the kernel sends each when it is due: `SO_TXTIME` with `fq`.
    Txtime,
    /// Up to 64 packets a call, past the queueing discipline: `sendmmsg`.
    Mmsg,
    /// From a ring shared with the kernel, past the queueing discipline: `PACKET_TX_RING`.
    Ring,
    /// Up to 64 packets of a flow as one super-packet that the kernel cuts up: UDP GSO.
    Gso,
    /// From memory shared with the driver: `AF_XDP`.
    Xdp,
}

impl SendBy {
    /// As it is written in scenarios.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Raw => "raw",
            Self::Pnet => "pnet",
            Self::Txtime => "txtime",
            Self::Mmsg => "mmsg",
            Self::Ring => "ring",
            Self::Gso => "gso",
            Self::Xdp => "xdp",
        }
    }

    /// Unless it is named, it need not be written.
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde wants it
    pub(crate) fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}
