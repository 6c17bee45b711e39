//! A scenario: traffic x variants x sweep, as YAML. The types are here; what makes one sound is in
//! `rules`, what makes it fit a lab in `fit`.

use serde::{Deserialize, Serialize};

pub use crate::arrivals::Arrivals;
use crate::file::FileError;
pub use crate::frame_size::FrameSize;
use crate::host_name::HostName;
use crate::judge::Judge;
use crate::search::Search;
pub use crate::send_by::SendBy;
use crate::units::{Rate, Size, Span};
use crate::yaml;

/// Bytes of UDP payload that a probe packet needs for its own header (flow, sequence number, send time,
/// checksum). Exactly what the smallest Ethernet frame leaves: 64 - 4 FCS - 14 Ethernet - 20 IPv4 - 8 UDP.
pub const MIN_PAYLOAD: u64 = 18;

/// The largest untagged Ethernet frame, with FCS.
pub const MAX_FRAME: u64 = 1518;

/// The transport of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6.
    Tcp6,
}

/// The smallest segment that Linux lets a socket ask for (`TCP_MIN_MSS`).
const MIN_SEGMENT: u64 = 88;

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Udp6, Self::Tcp, Self::Tcp6];

    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Udp => "UDP over IPv4",
            Self::Udp6 => "UDP over IPv6",
            Self::Tcp => "TCP over IPv4",
            Self::Tcp6 => "TCP over IPv6",
        }
    }

    /// Whether it goes over IPv6.
    pub fn is_v6(self) -> bool {
        matches!(self, Self::Udp6 | Self::Tcp6)
    }

    /// Whether it is TCP.
    pub fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Tcp6)
    }

    /// Bytes of a frame, with FCS, that are not payload of the transport, and the least payload: of a probe's header,
    /// or of a TCP segment.
    fn parts(self) -> (u64, u64) {
        const ETHERNET_FCS: u64 = 14 + 4;
        let internet = if self.is_v6() { 40 } else { 20 };
        let (transport, least) = if self.is_tcp() {
            (20, MIN_SEGMENT)
        } else {
            (8, MIN_PAYLOAD)
        };
        (ETHERNET_FCS + internet + transport, least)
    }

    /// The smallest frame, with FCS, that a flow can ask for: 64 B or 84 B of UDP, which hold a probe's header; 146 B or
    /// 166 B as the limit of TCP's segments.
    pub fn min_frame(self) -> Size {
        let (headers, least) = self.parts();
        Size::from_bytes(headers + least)
    }

    /// What [`Protocol::min_frame`] is made of, for a message.
    pub fn min_frame_parts(self) -> String {
        let internet = if self.is_v6() { 40 } else { 20 };
        let transport = if self.is_tcp() {
            format!("20 TCP + {MIN_SEGMENT} for the smallest segment that Linux takes")
        } else {
            format!("8 UDP + {MIN_PAYLOAD} for the probe's own header")
        };
        format!("14 Ethernet + {internet} IP + {transport} + 4 FCS")
    }

    /// Payload of a TCP segment without options, or of a UDP packet, in a frame of that size with FCS.
    pub fn payload_of(self, frame: Size) -> u64 {
        frame.bytes().saturating_sub(self.parts().0)
    }
}

/// One flow of packets to one guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// The guest that receives it.
    pub to: HostName,
    /// Transport.
    #[serde(default = "default_protocol")]
    pub protocol: Protocol,
    /// Size of the Ethernet frame as RFC 2544 counts it, with the 4-byte FCS: `64 B` is the smallest. Or a mixture. Of TCP
    /// it is the largest frame that segments may make.
    pub size: FrameSize,
    /// Spacing.
    pub arrivals: Arrivals,
}

fn default_protocol() -> Protocol {
    Protocol::Udp
}

/// What is varied between points of a sweep: every rate with every hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Rate of each flow: every point of the sweep replaces the rate of all flows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<Rate>,
    /// The hold of each variant that has a regulator with one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<Span>,
}

impl Sweep {
    /// The rates, in file order, or the one point of a scenario that sweeps none.
    pub fn points(&self) -> Vec<Option<Rate>> {
        if self.rate.is_empty() {
            vec![None]
        } else {
            self.rate.iter().copied().map(Some).collect()
        }
    }
}

/// Which patch series a variant runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patches {
    /// The modules as the distribution packages them.
    Stock,
    /// Shadow accounting: counts the containers that would form, changes nothing on the wire.
    Shadow,
    /// Packet aggregation: containers on the wire.
    Aggregation,
    /// The same patches, holding packets as for containers, but each goes in a slot of its own: what batching alone does.
    Hold,
}

impl Patches {
    /// As it is written in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Shadow => "shadow",
            Self::Aggregation => "aggregation",
            Self::Hold => "hold",
        }
    }

    /// The variant of the patch series that it is built from; none for the packaged modules.
    pub fn series(self) -> Option<&'static str> {
        match self {
            Self::Stock => None,
            Self::Shadow => Some("shadow"),
            Self::Aggregation | Self::Hold => Some("aggregation"),
        }
    }
}

/// The rule that decides how long a container waits; `vendor-patches/model` defines each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regulator {
    /// What is queued goes together, nothing waits.
    NoWait,
    /// A fixed hold.
    Static,
    /// The paper's formulas as printed.
    Literal,
    /// The paper's formulas, completed.
    Paper,
    /// The same with a gate that asks whether holding pays.
    Gated,
    /// Exponential average.
    Ramjee1,
    /// Fast up, slow down.
    Ramjee2,
    /// Least of the last talkspurt.
    Ramjee3,
    /// Spike detection.
    Ramjee4,
    /// A fixed hold, and a receiver that evens delays out.
    Playout,
    /// Holds while the next frame is worth more than the wait.
    BreakEven,
    /// A fixed hold that the kernel's `net_dim` looks for, T0 at most. Not in the model.
    Dim,
}

impl Regulator {
    /// All that the model has, too.
    pub const ALL: [Self; 11] = [
        Self::NoWait,
        Self::Static,
        Self::Literal,
        Self::Paper,
        Self::Gated,
        Self::Ramjee1,
        Self::Ramjee2,
        Self::Ramjee3,
        Self::Ramjee4,
        Self::Playout,
        Self::BreakEven,
    ];

    /// As it is written in scenarios and in the kernel's interface.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoWait => "nowait",
            Self::Static => "static",
            Self::Literal => "literal",
            Self::Paper => "paper",
            Self::Gated => "gated",
            Self::Ramjee1 => "ramjee1",
            Self::Ramjee2 => "ramjee2",
            Self::Ramjee3 => "ramjee3",
            Self::Ramjee4 => "ramjee4",
            Self::Playout => "playout",
            Self::BreakEven => "breakeven",
            Self::Dim => "dim",
        }
    }

    /// Whether T0 matters to it.
    pub fn has_hold(self) -> bool {
        self != Self::NoWait
    }
}

/// When a container is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FillRule {
    /// As soon as another frame like the last one would not fit: what the patches do.
    F1,
    /// When a frame comes that does not fit: for the theory.
    F2,
}

/// What a transfer costs dom0: for the model, where the lab measures it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceTimes {
    /// For each transfer: c0.
    pub transfer: Span,
    /// For each packet in it: c1.
    pub packet: Span,
}

/// One set of drivers and parameters under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in reports.
    pub name: String,
    /// Which modules; without it the stock drivers.
    #[serde(default = "default_patches")]
    pub patches: Patches,
    /// The paper's time-out T0: how long a container may wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// The rule of release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regulator: Option<Regulator>,
    /// The time unit that `literal` leaves open; 1 ms without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Span>,
    /// Size of a container of the closed forms, which has no header; without this and `framing` it is that of the
    /// patches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Size>,
    /// What every frame takes beside its size (which then is as written, with FCS) in a container of the closed forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framing: Option<Size>,
    /// When a container is full; F1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<FillRule>,
}

impl Variant {
    /// A variant without parameters.
    pub fn new(name: impl Into<String>, patches: Patches) -> Self {
        Self {
            name: name.into(),
            patches,
            hold: None,
            regulator: None,
            unit: None,
            container: None,
            framing: None,
            fill: None,
        }
    }
}

fn default_patches() -> Patches {
    Patches::Stock
}

/// Where the generator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Traffic from the generator guest, tap down, nothing comes in from outside.
    #[default]
    Sealed,
    /// Traffic from the controller (or a generator host) through NIC and bridge.
    Open,
}

/// A scenario file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// One line on what it asks.
    pub about: String,
    /// All flows run at once.
    pub traffic: Vec<Traffic>,
    /// What is varied.
    #[serde(default)]
    pub sweep: Sweep,
    /// Which rate is searched for, instead of a sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// What is compared.
    pub variants: Vec<Variant>,
    /// What dom0's work costs, for the model; without it nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceTimes>,
    /// Sealed unless it says otherwise.
    #[serde(default)]
    pub mode: Mode,
    /// Which way frames take to the wire.
    #[serde(default, skip_serializing_if = "SendBy::is_auto")]
    pub sender: SendBy,
    /// Sent and captured, but not counted.
    #[serde(default)]
    pub warmup: Span,
    /// The measured part.
    pub duration: Span,
    /// How often every variant runs on every point; of a search, the trials of each load.
    #[serde(default = "default_blocks")]
    pub blocks: u32,
    /// In how many layouts of the virtual lab's memory its blocks run in turn, where it is sealed; at most [`LAYOUTS`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub layouts: u32,
    /// How the run is judged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub judge: Judge,
}

fn is_default(judge: &Judge) -> bool {
    *judge == Judge::default()
}

/// So many layouts at most: each is a state of the machine with each pair of modules, which takes a minute to make and
/// hundreds of megabytes to keep.
pub const LAYOUTS: u32 = 16;

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_one(layouts: &u32) -> bool {
    *layouts == 1
}

fn default_blocks() -> u32 {
    8
}

impl Scenario {
    /// The scenario as a scenario file.
    ///
    /// # Errors
    /// None that a scenario can cause; the writer's, should it fail.
    pub fn to_yaml(&self) -> Result<String, FileError> {
        yaml::write(self).map_err(|error| FileError::Write {
            kind: "scenario",
            why: error.to_string(),
        })
    }
}
