//! How packets are spaced, as a scenario says it. When each packet is due follows in [`crate::timing`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// Bursts of equal gaps whose length has a Pareto law, and exponential silences.
    #[serde(rename = "onoff")]
    OnOff {
        /// Mean packets a second.
        rate: Rate,
        /// Packets a second within a burst.
        peak: Rate,
        /// Mean packets a burst.
        burst: f64,
        /// Shape of the Pareto law, above 1; at 2 and below the variance is infinite.
        shape: f64,
    },
    /// Bursts of one length at equal times.
    Bursts {
        /// Mean packets a second.
        rate: Rate,
        /// Packets a burst.
        burst: u32,
        /// Packets a second within a burst; without it all of a burst are due at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peak: Option<Rate>,
    },
    /// A rate that goes evenly from one value to another and then stays.
    Ramp {
        /// Packets a second at the start, warm-up included.
        from: Rate,
        /// Packets a second at the end.
        to: Rate,
        /// How long it takes.
        over: Span,
    },
    /// As fast as the sender goes. Nothing is due at a given time, so nothing is late.
    Saturate {
        /// Never more packets a second than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cap: Option<Rate>,
    },
    /// Requests over UDP, each of them sent when an earlier one was answered; the guest sends each back whole.
    ClosedLoop {
        /// For the model: from a request's delivery in the guest to the arrival of the next, everything but the holds. A
        /// lab has its own round trip; there the first requests are spread over this time.
        round_trip: Span,
        /// Requests that are under way at any time.
        #[serde(default = "one")]
        outstanding: u32,
        /// How many in all; without it, as many as fit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        samples: Option<u64>,
    },
    /// As in a capture.
    Trace {
        /// A pcap or pcapng file; relative to the scenario's.
        file: PathBuf,
        /// How many times as fast as it was captured.
        #[serde(default = "unchanged", skip_serializing_if = "is_unchanged")]
        speed: f64,
    },
    /// Requests and responses over one TCP connection.
    TcpRr {
        /// Payload of a request.
        #[serde(default = "one_byte")]
        request: Size,
        /// Payload of a response.
        #[serde(default = "one_byte")]
        response: Size,
        /// Requests that are under way at any time.
        #[serde(default = "one")]
        outstanding: u32,
    },
    /// As much as one TCP connection carries, in large writes that the kernel and the NIC cut up (GSO, TSO).
    TcpBulk {},
}

fn one() -> u32 {
    1
}

fn one_byte() -> Size {
    Size::from_bytes(1)
}

fn unchanged() -> f64 {
    1.0
}

#[allow(clippy::float_cmp, clippy::trivially_copy_pass_by_ref)] // as serde wants it; 1 is written as 1
fn is_unchanged(speed: &f64) -> bool {
    *speed == 1.0
}

impl Arrivals {
    /// The same shape at another rate, where the shape has one.
    #[must_use]
    pub fn at_rate(&self, rate: Rate) -> Self {
        let mut other = self.clone();
        match &mut other {
            Self::Cbr { rate: own }
            | Self::Poisson { rate: own }
            | Self::OnOff { rate: own, .. }
            | Self::Bursts { rate: own, .. }
            | Self::Saturate { cap: Some(own) } => *own = rate,
            // Their rate follows from something else.
            Self::Ramp { .. }
            | Self::Saturate { cap: None }
            | Self::ClosedLoop { .. }
            | Self::Trace { .. }
            | Self::TcpRr { .. }
            | Self::TcpBulk {} => {}
        }
        other
    }

    /// The mean rate, or the most that it may be, where it is given beforehand.
    pub fn rate(&self) -> Option<Rate> {
        match self {
            Self::Cbr { rate }
            | Self::Poisson { rate }
            | Self::OnOff { rate, .. }
            | Self::Bursts { rate, .. } => Some(*rate),
            Self::Saturate { cap } => *cap,
            Self::Ramp { .. }
            | Self::ClosedLoop { .. }
            | Self::Trace { .. }
            | Self::TcpRr { .. }
            | Self::TcpBulk {} => None,
        }
    }

    /// As it is written in scenarios.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Cbr { .. } => "cbr",
            Self::Poisson { .. } => "poisson",
            Self::OnOff { .. } => "onoff",
            Self::Bursts { .. } => "bursts",
            Self::Ramp { .. } => "ramp",
            Self::Saturate { .. } => "saturate",
            Self::ClosedLoop { .. } => "closed_loop",
            Self::Trace { .. } => "trace",
            Self::TcpRr { .. } => "tcp_rr",
            Self::TcpBulk {} => "tcp_bulk",
        }
    }

    /// Whether the kernel's TCP makes the packets.
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::TcpRr { .. } | Self::TcpBulk {})
    }
}
