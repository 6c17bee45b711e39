//! `ramjee4`: spike detection, algorithm 4 of Ramjee et al. (INFOCOM 1994), with the gap as the sample.
//!
//! Their thresholds, 800 and 63 ticks of an 8 kHz clock, are absolute (100 ms and 8 ms) and mean nothing on a host.
//! Here a spike begins where two gaps differ by more than `2 V + max(0.8 T0, 200 us)` and is over when the slope tracker
//! falls to 0.063 T0, which keeps the ratio of the two.

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, PAPER_LONGEST, Weight};

/// The weight of the past: 0.875.
const SLOW: Weight = Weight { keep: 7, of: 8 };
/// The least threshold at which a spike begins, in nanoseconds.
const LEAST_ENTRY: u64 = 200_000;

/// `D + 4 V` as of the container's first frame, D following spikes.
#[derive(Debug, Clone, Copy)]
pub struct Ramjee4<A: Arithmetic> {
    cap: u64,
    entry: A::Value,
    exit: A::Value,
    gaps: Estimator<A>,
    hold: u64,
    spike: bool,
    slope: A::Value,
    /// The sample before, and the one before that.
    recent: [A::Value; 2],
}

impl<A: Arithmetic> Ramjee4<A> {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        let bounded = hold.min(PAPER_LONGEST);
        Self {
            cap: hold,
            entry: A::time((4 * bounded / 5).max(LEAST_ENTRY)),
            exit: A::shrink(A::time(63 * bounded), 1000),
            gaps: Estimator::default(),
            hold,
            spike: false,
            slope: A::Value::default(),
            recent: [A::Value::default(); 2],
        }
    }
}

impl<A: Arithmetic> Regulator for Ramjee4<A> {
    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        let Some(gap) = gap else { return };
        let n = A::time(gap.min(PAPER_LONGEST));
        let [n1, n2] = self.recent;
        self.recent = [n, n1];
        self.gaps.sampled = true;
        if self.spike {
            let bend = A::apart(A::add(n, n), A::add(n1, n2));
            self.slope = A::add(A::shrink(self.slope, 2), A::shrink(bend, 8));
            if self.slope <= self.exit {
                // The spike is over; its last sample moves nothing.
                self.spike = false;
                return;
            }
        } else {
            let v = self.gaps.deviation;
            if A::apart(n, n1) > A::add(A::add(v, v), self.entry) {
                self.slope = A::Value::default();
                self.spike = true;
            }
        }
        if self.spike {
            // An estimate of a gap is no longer than a gap can be.
            let longest = A::time(PAPER_LONGEST);
            let mean = A::sub(A::add(self.gaps.mean, n), n1);
            self.gaps.mean = if mean > longest { longest } else { mean };
        } else {
            self.gaps.mean = A::blend(self.gaps.mean, n, SLOW.keep, SLOW.of);
        }
        self.gaps.deviate(n, SLOW);
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
