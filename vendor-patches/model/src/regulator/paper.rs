//! `paper`: the paper's formulas with what print lost put back, the reading that keeps its words.
//!
//! Thakur and Goudar (IJETT 11(2), 2014), completed as algorithm 1 of Ramjee et al. (INFOCOM 1994): the sample is the
//! gap between two arrivals ("the arrival rate of two packets"), state is kept for the life of the queue, frame j's own
//! release time is `t_j + D + 4 V` at its arrival, and the container leaves at the mean of its frames' release times,
//! at the latest T0 after it was opened. Before the first sample a frame's hold is T0 (the paper's step 1).

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, PAPER, PAPER_LONGEST};

/// The mean of the frames' own release times.
#[derive(Debug, Clone, Copy)]
pub struct Paper<A: Arithmetic> {
    cap: u64,
    gaps: Estimator<A>,
    sum: u64,
}

impl<A: Arithmetic> Paper<A> {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            cap: hold,
            gaps: Estimator::default(),
            sum: 0,
        }
    }
}

impl<A: Arithmetic> Regulator for Paper<A> {
    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        if let Some(gap) = gap {
            self.gaps.sample(A::time(gap.min(PAPER_LONGEST)), PAPER);
        }
    }

    #[inline]
    fn open(&mut self) {
        self.sum = 0;
    }

    #[inline]
    fn deadline(&mut self, now: u64, opened: u64, frames: u32) -> u64 {
        let own = now
            .saturating_sub(opened)
            .saturating_add(self.gaps.hold(self.cap));
        self.sum = self.sum.saturating_add(own);
        opened.saturating_add(self.sum / u64::from(frames))
    }
}
