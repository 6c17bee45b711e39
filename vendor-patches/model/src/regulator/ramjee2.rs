//! `ramjee2`: fast up, slow down, algorithm 2 of Ramjee et al. (INFOCOM 1994), after Mills (RFC 956).
//!
//! As [`super::Ramjee1`], but the mean goes up with a weight of 3/4 for the past.

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, RAMJEE, RAMJEE_LONGEST, Weight};

/// b = 0.75.
const UP: Weight = Weight { keep: 3, of: 4 };

/// `D + 4 V` as of the container's first frame, D quick to rise.
#[derive(Debug, Clone, Copy)]
pub struct Ramjee2<A: Arithmetic> {
    cap: u64,
    gaps: Estimator<A>,
    hold: u64,
}

impl<A: Arithmetic> Ramjee2<A> {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            cap: hold,
            gaps: Estimator::default(),
            hold,
        }
    }
}

impl<A: Arithmetic> Regulator for Ramjee2<A> {
    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        let Some(gap) = gap else { return };
        let sample = A::time(gap.min(RAMJEE_LONGEST));
        let weight = if sample > self.gaps.mean { UP } else { RAMJEE };
        self.gaps.mean = A::blend(self.gaps.mean, sample, weight.keep, weight.of);
        self.gaps.deviate(sample, RAMJEE);
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
