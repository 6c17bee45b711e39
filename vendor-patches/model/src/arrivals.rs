//! Where a flow's frames come from. Times and sizes are drawn as the generator of a lab draws them
//! ([`vifbench_scenarios::timing`]).

pub use vifbench_scenarios::timing::{BurstError, Captured, Cbr, OnOff, Poisson, Timing};

/// Where a flow's arrivals come from.
pub enum Source {
    /// Equal gaps.
    Cbr(Cbr),
    /// Exponential gaps.
    Poisson(Box<Poisson>),
    /// Bursts and silences.
    OnOff(Box<OnOff>),
    /// Any other shape whose times are known beforehand.
    Other(Timing),
    /// A capture, frame by frame.
    Replay(Box<dyn Iterator<Item = Captured>>),
    /// The times of a capture; sizes are drawn.
    Times(Box<dyn Iterator<Item = u64>>),
    /// A fixed number of requests, each sent when the one before was answered.
    ClosedLoop {
        /// From delivery in the guest to the next request's arrival.
        round_trip: u64,
        /// When the first requests arrive: as many as are under way at any time.
        start: Vec<u64>,
        /// Requests to be sent after those; none: as many as fit.
        samples: Option<u64>,
    },
}

impl From<Timing> for Source {
    fn from(timing: Timing) -> Self {
        match timing {
            Timing::Cbr(cbr) => Self::Cbr(cbr),
            Timing::Poisson(poisson) => Self::Poisson(poisson),
            Timing::OnOff(bursts) => Self::OnOff(bursts),
            other => Self::Other(other),
        }
    }
}

impl Source {
    /// The next arrival that does not depend on a delivery, and its size if the source knows it.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u64, Option<u32>)> {
        match self {
            Self::Cbr(cbr) => Some((cbr.draw(), None)),
            Self::Poisson(poisson) => Some((poisson.draw(), None)),
            Self::OnOff(bursts) => Some((bursts.draw(), None)),
            Self::Other(timing) => Some((timing.draw(), None)),
            Self::Replay(capture) => capture.next().map(|c| (c.at, Some(c.len))),
            Self::Times(capture) => capture.next().map(|at| (at, None)),
            Self::ClosedLoop { .. } => None,
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cbr(_) => "Cbr",
            Self::Poisson(_) => "Poisson",
            Self::OnOff(_) => "OnOff",
            Self::Other(_) => "Other",
            Self::Replay(_) => "Replay",
            Self::Times(_) => "Times",
            Self::ClosedLoop { .. } => "ClosedLoop",
        })
    }
}
