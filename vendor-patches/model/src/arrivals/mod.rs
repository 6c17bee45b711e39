//! When frames arrive, by shape: each a pure function of its parameters and a seed, the same on every machine.

mod cbr;
mod on_off;
mod poisson;

pub use cbr::Cbr;
pub use on_off::{BurstError, OnOff};
pub use poisson::Poisson;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;

/// A number in (0, 1], from the upper 53 bits of a word.
#[inline]
pub(crate) fn unit(random: &mut ChaCha8Rng) -> f64 {
    ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// One frame of a capture that is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Nanoseconds since the first frame of the capture.
    pub at: u64,
    /// Its length on the wire, without FCS.
    pub len: u32,
}

/// Where a flow's arrivals come from.
pub enum Source {
    /// Equal gaps.
    Cbr(Cbr),
    /// Exponential gaps.
    Poisson(Box<Poisson>),
    /// Bursts and silences.
    OnOff(Box<OnOff>),
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

impl Source {
    /// The next arrival that does not depend on a delivery, and its size if the source knows it.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u64, Option<u32>)> {
        match self {
            Self::Cbr(cbr) => Some((cbr.next(), None)),
            Self::Poisson(poisson) => Some((poisson.next(), None)),
            Self::OnOff(bursts) => Some((bursts.next(), None)),
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
            Self::Replay(_) => "Replay",
            Self::Times(_) => "Times",
            Self::ClosedLoop { .. } => "ClosedLoop",
        })
    }
}
