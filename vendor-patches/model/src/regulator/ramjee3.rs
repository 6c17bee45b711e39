//! `ramjee3`: least of the last talkspurt, algorithm 3 of Ramjee et al. (INFOCOM 1994), as `NeVoT` did.
//!
//! The mean is the least gap sampled at the frames of the previous container, its first one included. A container whose
//! only frame had no gap (the queue's first) leaves none behind; before there is one the mean is that of
//! [`super::Ramjee1`]. V is updated with the mean in force when the frame arrives.

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, RAMJEE, RAMJEE_LONGEST};

/// `D + 4 V` as of the container's first frame, D the least gap of the container before.
#[derive(Debug, Clone, Copy)]
pub struct Ramjee3<A: Arithmetic> {
    cap: u64,
    gaps: Estimator<A>,
    hold: u64,
    /// The last sample, until it is known whether its frame is put into a container.
    last: Option<A::Value>,
    /// Least of the open container.
    least: Option<A::Value>,
    /// The mean is a least gap.
    spurts: bool,
}

impl<A: Arithmetic> Ramjee3<A> {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            cap: hold,
            gaps: Estimator::default(),
            hold,
            last: None,
            least: None,
            spurts: false,
        }
    }
}

impl<A: Arithmetic> Regulator for Ramjee3<A> {
    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        self.last = gap.map(|gap| A::time(gap.min(RAMJEE_LONGEST)));
        if let Some(sample) = self.last {
            if !self.spurts {
                self.gaps.mean = A::blend(self.gaps.mean, sample, RAMJEE.keep, RAMJEE.of);
            }
            self.gaps.deviate(sample, RAMJEE);
        }
    }

    #[inline]
    fn open(&mut self) {
        self.hold = self.gaps.hold(self.cap);
    }

    #[inline]
    fn deadline(&mut self, _now: u64, opened: u64, _frames: u32) -> u64 {
        if let Some(sample) = self.last.take() {
            self.least = Some(match self.least {
                Some(least) if least < sample => least,
                _ => sample,
            });
        }
        opened.saturating_add(self.hold)
    }

    #[inline]
    fn release(&mut self, _frames: u32, _overdue: bool) {
        if let Some(least) = self.least.take() {
            self.gaps.mean = least;
            self.spurts = true;
        }
    }
}
