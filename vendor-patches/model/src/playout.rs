//! `playout`: the sender holds for T0, the receiver plays out so that delays are equal.
//!
//! The place that Ramjee et al. (INFOCOM 1994) and Hay and Scalosub (ESA 2005) have in mind for an estimate: each frame's
//! wait in the container, its age, is carried beside it, and the receiver delivers at `arrival + P`, or at once when that
//! has passed. Only ages are needed, no common clock.

use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, PAPER, PAPER_LONGEST};

/// The receiver's side.
#[derive(Debug, Clone, Copy)]
pub struct Playout<A: Arithmetic> {
    cap: u64,
    ages: Estimator<A>,
    last: u64,
    late: u64,
}

impl<A: Arithmetic> Playout<A> {
    /// `cap` bounds P; no age exceeds T0, so T0 equals all delays at the least cost. Without a cap (`u64::MAX`) P is
    /// D + 4 V whatever it comes to.
    pub fn new(cap: u64) -> Self {
        Self {
            cap,
            ages: Estimator::default(),
            last: 0,
            late: 0,
        }
    }

    /// When a frame is delivered that was taken from its container at `extracted`, `age` nanoseconds after its
    /// arrival. Never before an earlier frame; never lost.
    #[inline]
    pub fn deliver(&mut self, extracted: u64, age: u32) -> u64 {
        let age = u64::from(age);
        self.ages.sample(A::time(age.min(PAPER_LONGEST)), PAPER);
        let hold = self.ages.hold(self.cap);
        if age > hold {
            self.late += 1;
        }
        let at = extracted.saturating_add(hold.saturating_sub(age));
        self.last = self.last.max(at);
        self.last
    }

    /// Frames whose time had passed: delivered at once, and counted.
    pub fn late(&self) -> u64 {
        self.late
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fixed;

    proptest! {
        #[test]
        fn in_order_and_never_early(frames in prop::collection::vec((0u64..1 << 40, any::<u32>()), 0..300), cap: u64) {
            let mut playout = Playout::<Fixed>::new(cap);
            let mut now = 0;
            let mut before = 0;
            for (gap, age) in frames {
                now += gap;
                let at = playout.deliver(now, age);
                prop_assert!(at >= now && at >= before);
                prop_assert!(at <= before.max(now.saturating_add(cap)));
                before = at;
            }
        }
    }

    #[test]
    fn late_frames_are_counted() {
        let mut playout = Playout::<Fixed>::new(100);
        assert_eq!(playout.deliver(1000, 2000), 1000);
        assert_eq!(playout.late(), 1);
    }
}
