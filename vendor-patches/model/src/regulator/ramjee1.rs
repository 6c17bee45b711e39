//! `ramjee1`: exponential average, algorithm 1 of Ramjee, Kurose, Towsley and Schulzrinne (INFOCOM 1994).
//!
//! Their sample is a packet's network delay and their estimate sets the playout of a whole talkspurt. Here the sample
//! is the gap between two arrivals, and a container is a talkspurt: the estimate in force at its first frame counts for
//! all of it. Before the first sample the hold is T0.

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, RAMJEE, RAMJEE_LONGEST};

/// `D + 4 V` as of the container's first frame.
#[derive(Debug, Clone, Copy)]
pub struct Ramjee1<A: Arithmetic> {
    cap: u64,
    gaps: Estimator<A>,
    hold: u64,
}

impl<A: Arithmetic> Ramjee1<A> {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            cap: hold,
            gaps: Estimator::default(),
            hold,
        }
    }
}

impl<A: Arithmetic> Regulator for Ramjee1<A> {
    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        if let Some(gap) = gap {
            self.gaps.sample(A::time(gap.min(RAMJEE_LONGEST)), RAMJEE);
        }
    }

    #[inline]
    fn open(&mut self) {
        self.hold = self.gaps.hold(self.cap);
    }

    #[inline]
    fn deadline(&mut self, _now: u64, opened: u64, _frames: u32) -> u64 {
        opened.saturating_add(self.hold)
    }
}
