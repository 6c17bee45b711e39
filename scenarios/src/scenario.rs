//! A scenario: traffic x variants x sweep, as YAML.

use serde::{Deserialize, Serialize};

use crate::lab::HostName;
use crate::units::{Rate, Size, Span};

/// How packets are spaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Constant bit rate: equal gaps.
    Cbr {
        /// Packets a second.
        rate: Rate,
    },
    /// Poisson: exponential gaps.
    Poisson {
        /// Mean packets a second.
        rate: Rate,
    },
}

impl Arrivals {
    /// The same shape at another rate.
    #[must_use]
    pub fn at_rate(&self, rate: Rate) -> Self {
        match self {
            Self::Cbr { .. } => Self::Cbr { rate },
            Self::Poisson { .. } => Self::Poisson { rate },
        }
    }
    /// The mean rate.
    pub fn rate(&self) -> Rate {
        match self {
            Self::Cbr { rate } | Self::Poisson { rate } => *rate,
        }
    }
}

/// The transport of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
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
    /// Size of the Ethernet frame as RFC 2544 counts it, with the 4-byte FCS: `64 B` is the smallest.
    pub size: Size,
    /// Spacing.
    pub arrivals: Arrivals,
}

fn default_protocol() -> Protocol {
    Protocol::Udp
}

/// What is varied between points of a sweep.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Total rate of each flow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<Rate>,
}

/// Which patch series a variant runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patches {
    /// The packaged modules' source, rebuilt without patches is not needed: the packaged pair itself.
    Stock,
    /// Shadow accounting: counts the containers that would form, changes nothing on the wire.
    Shadow,
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
    /// What is compared.
    pub variants: Vec<Variant>,
    /// Sealed unless it says otherwise.
    #[serde(default)]
    pub mode: Mode,
    /// Sent and captured, but not counted.
    #[serde(default)]
    pub warmup: Span,
    /// The measured part.
    pub duration: Span,
    /// How often every variant runs on every point.
    #[serde(default = "default_blocks")]
    pub blocks: u32,
}

fn default_blocks() -> u32 {
    5
}
