//! Mean and deviation of a stream of times, as in RFC 6298 and Ramjee, Kurose, Towsley and Schulzrinne (INFOCOM 1994,
//! algorithm 1): `D' = a D + (1 - a) n`, `V' = a V + (1 - a) |D' - n|`, and from both the hold `P = D + 4 V`.

use crate::arithmetic::Arithmetic;

/// The weight of the past: `keep / of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Numerator.
    pub keep: u64,
    /// Denominator.
    pub of: u64,
}

/// a = 0.99, as the paper prints it (and Kurose and Ross's textbook, as u = 0.01).
pub const PAPER: Weight = Weight { keep: 99, of: 100 };
/// a = 0.998002, as Ramjee et al. chose for packets every 20 ms.
pub const RAMJEE: Weight = Weight {
    keep: 998_002,
    of: 1_000_000,
};

/// Samples beyond this many nanoseconds (4.3 s) count as this with [`PAPER`]'s weight, so that `99 D` fits a `u64`.
pub const PAPER_LONGEST: u64 = (1 << 32) - 1;
/// The same with [`RAMJEE`]'s weight (134 ms), whose numerator has 20 bits.
pub const RAMJEE_LONGEST: u64 = (1 << 27) - 1;

/// Mean and deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimator<A: Arithmetic> {
    /// D, the mean.
    pub mean: A::Value,
    /// V, the mean deviation.
    pub deviation: A::Value,
    /// Whether there was a sample.
    pub sampled: bool,
}

impl<A: Arithmetic> Default for Estimator<A> {
    fn default() -> Self {
        Self {
            mean: A::Value::default(),
            deviation: A::Value::default(),
            sampled: false,
        }
    }
}

impl<A: Arithmetic> Estimator<A> {
    /// One sample: the mean first, then the deviation from the new mean.
    #[inline]
    pub fn sample(&mut self, sample: A::Value, weight: Weight) {
        self.mean = A::blend(self.mean, sample, weight.keep, weight.of);
        self.deviate(sample, weight);
    }

    /// The deviation's half of a sample; the mean has been updated.
    #[inline]
    pub fn deviate(&mut self, sample: A::Value, weight: Weight) {
        let off = A::apart(self.mean, sample);
        self.deviation = A::blend(self.deviation, off, weight.keep, weight.of);
        self.sampled = true;
    }

    /// `D + max(floor, 4 V)`.
    #[inline]
    pub fn level(&self, floor: A::Value) -> A::Value {
        let twice = A::add(self.deviation, self.deviation);
        let four = A::add(twice, twice);
        A::add(self.mean, if four > floor { four } else { floor })
    }

    /// `D + 4 V` in whole nanoseconds, at most `cap`; `cap` before the first sample.
    #[inline]
    pub fn hold(&self, cap: u64) -> u64 {
        self.hold_above(0, cap)
    }

    /// `D + max(floor, 4 V)` in whole nanoseconds, at most `cap`; `cap` before the first sample.
    #[inline]
    pub fn hold_above(&self, floor: u64, cap: u64) -> u64 {
        if self.sampled {
            A::nanos(self.level(A::time(floor))).min(cap)
        } else {
            cap
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::{Fixed, Float};

    /// kernel's error bound for a weight of 99/100: 450 steps of 2^-16 ns, and what rounding to a nanosecond adds.
    const BOUND: f64 = 450.0 / 65536.0;

    fn compare(samples: impl IntoIterator<Item = u64>) -> f64 {
        let mut fixed = Estimator::<Fixed>::default();
        let mut float = Estimator::<Float>::default();
        let mut worst = 0.0f64;
        for n in samples {
            fixed.sample(Fixed::time(n), PAPER);
            float.sample(Float::time(n), PAPER);
            worst = worst.max((Fixed::exact(fixed.level(0)) - float.level(0.0)).abs());
        }
        worst
    }

    proptest! {
        #[test]
        fn integers_stay_within_the_bound(
            samples in prop::collection::vec(
                prop_oneof![0..=PAPER_LONGEST, 0..2000u64, Just(PAPER_LONGEST), Just(0)], 0..600),
        ) {
            // f64 itself is off by some 2^-52 of 2^34 ns, far below a step of 2^-16 ns.
            let worst = compare(samples);
            prop_assert!(worst <= BOUND + 1e-3, "{worst} ns");
        }

        #[test]
        fn nothing_overflows(samples in prop::collection::vec(any::<u64>(), 0..500)) {
            let mut paper = Estimator::<Fixed>::default();
            let mut ramjee = Estimator::<Fixed>::default();
            for n in samples {
                paper.sample(Fixed::time(n.min(PAPER_LONGEST)), PAPER);
                ramjee.sample(Fixed::time(n.min(RAMJEE_LONGEST)), RAMJEE);
                prop_assert!(paper.hold(1_000_000) <= 1_000_000);
                prop_assert!(Fixed::nanos(ramjee.level(0)) <= 5 * RAMJEE_LONGEST + 1);
            }
        }
    }

    #[test]
    fn the_worst_input_reaches_no_further() {
        // The longest samples first, then silence: every step rounds.
        let long = std::iter::repeat_n(PAPER_LONGEST, 5000);
        assert!(compare(long.chain(std::iter::repeat_n(0, 5000))) <= BOUND + 1e-3);
        assert!(
            compare((0..20_000).map(|i| if i % 2 == 0 { PAPER_LONGEST } else { 1 }))
                <= BOUND + 1e-3
        );
    }

    #[test]
    fn the_first_hold_is_the_cap() {
        let mut estimator = Estimator::<Fixed>::default();
        assert_eq!(estimator.hold(1000), 1000);
        estimator.sample(Fixed::time(100), PAPER);
        // D = 1, V = 0.99: P = 4.96.
        assert_eq!(estimator.hold(1000), 5);
    }
}
