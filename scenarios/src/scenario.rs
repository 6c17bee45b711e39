//! A scenario: traffic x variants x sweep, as YAML. The types are here; what makes one sound is in
//! `rules`, what makes it fit a lab in `fit`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::file::{self, FileError};
use crate::judge::Judge;
use crate::lab::HostName;
use crate::units::{Rate, Size, Span};
use crate::{rules, yaml};

/// Bytes of UDP payload that a probe packet needs for its own header (flow, sequence number, send time,
/// checksum). Exactly what the smallest Ethernet frame leaves: 64 - 4 FCS - 14 Ethernet - 20 IPv4 - 8 UDP.
pub const MIN_PAYLOAD: u64 = 18;

/// The largest untagged Ethernet frame, with FCS.
pub const MAX_FRAME: u64 = 1518;

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

impl Protocol {
    /// The smallest frame, with FCS, that holds the headers and a probe's payload: 64 B or 84 B.
    pub fn min_frame(self) -> Size {
        const ETHERNET_UDP_FCS: u64 = 14 + 8 + 4;
        let internet = match self {
            Self::Udp => 20,
            Self::Udp6 => 40,
        };
        Size::from_bytes(ETHERNET_UDP_FCS + internet + MIN_PAYLOAD)
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
    /// Rate of each flow: every point of the sweep replaces the rate of all flows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<Rate>,
}

impl Sweep {
    /// The points, in file order: a rate, or the one point of a scenario that sweeps nothing.
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
}

impl Patches {
    /// As it is written in scenarios and reports, and the name of the series' folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Shadow => "shadow",
        }
    }
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
    /// How the run is judged.
    #[serde(default, skip_serializing_if = "is_default")]
    pub judge: Judge,
}

fn is_default(judge: &Judge) -> bool {
    *judge == Judge::default()
}

fn default_blocks() -> u32 {
    8
}

impl Scenario {
    /// Reads and checks a scenario file.
    ///
    /// # Errors
    /// When the file cannot be read or has faults; all that can be found at once are in the error.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let text = file::text_of("scenario", path)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads and checks the text of a scenario; `origin` stands for the file name in messages.
    ///
    /// # Errors
    /// See [`Scenario::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, FileError> {
        let scenario: Self = file::read(text, origin, rules::explain_scenario)?;
        rules::scenario(&scenario, text, origin)?;
        Ok(scenario)
    }

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
