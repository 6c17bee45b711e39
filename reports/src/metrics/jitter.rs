//! The interarrival jitter of RFC 3550.

/// The filter of RFC 3550, sections 6.4.1 and A.8: `J += (|D(i-1, i)| - J) / 16` over packets in order of arrival, where D
/// is the change of transit time. J is 0 before the second packet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Jitter {
    last_transit: Option<i64>,
    state: f64,
    sum: f64,
    moved: u64,
}

impl Jitter {
    /// The next packet in order of arrival. `transit` is its receive time less its send time in nanoseconds; a constant
    /// offset between the clocks cancels.
    pub fn push(&mut self, transit: i64) {
        if let Some(last) = self.last_transit.replace(transit) {
            let change = transit.abs_diff(last) as f64;
            self.state += (change - self.state) / 16.0;
            self.sum += self.state;
            self.moved += 1;
        }
    }

    /// Packets that moved the filter: all but the first.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// Sum of the filter's states in nanoseconds, for the mean over several flows.
    pub fn sum_ns(&self) -> f64 {
        self.sum
    }

    /// Mean of the filter's state in nanoseconds over the packets that moved it; none of fewer than two packets. In the
    /// long run it is the mean of |IPDV|.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.moved > 0).then(|| self.sum / self.moved as f64)
    }

    /// The filter's last state in nanoseconds, which is what iperf3 prints; none of fewer than two packets. It remembers
    /// little more than the last 50 packets.
    pub fn last_ns(&self) -> Option<f64> {
        (self.moved > 0).then_some(self.state)
    }
}

impl Extend<i64> for Jitter {
    fn extend<T: IntoIterator<Item = i64>>(&mut self, transits: T) {
        for transit in transits {
            self.push(transit);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(transits: &[i64]) -> Jitter {
        let mut jitter = Jitter::default();
        jitter.extend(transits.iter().copied());
        jitter
    }

    /// All states at once, from the list of changes.
    fn batch(transits: &[i64]) -> Vec<f64> {
        let changes = transits.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        changes
            .scan(0.0_f64, |state, change| {
                *state += (change as f64 - *state) / 16.0;
                Some(*state)
            })
            .collect()
    }

    #[test]
    fn by_hand() {
        // |D| = 16 then 0: J = 1, then 15/16.
        let j = of(&[100, 116, 116]);
        assert_eq!(j.last_ns(), Some(0.9375));
        assert_eq!(j.mean_ns(), Some(0.968_75));
        assert_eq!(j.moved(), 2);
        for few in [&[][..], &[1]] {
            assert_eq!((of(few).mean_ns(), of(few).last_ns()), (None, None));
        }
    }

    proptest! {
        /// To the last bit: reports and `analyze` give the numbers that they gave before.
        #[test]
        fn one_by_one_is_the_same_as_all_at_once(
            transits in proptest::collection::vec(-1_000_000i64..1_000_000, 0..200),
        ) {
            let (online, states) = (of(&transits), batch(&transits));
            prop_assert_eq!(online.last_ns(), states.last().copied());
            let sum = states.iter().fold(0.0, |sum, state| sum + state);
            let mean = (!states.is_empty()).then(|| sum / states.len() as f64);
            prop_assert_eq!(online.mean_ns(), mean);
            prop_assert_eq!(online.moved(), states.len() as u64);
        }

        /// The filter's state is a weighted sum: J_n = sum_k |D_k| (15/16)^(n-k) / 16.
        #[test]
        fn last_state_is_the_weighted_sum(
            transits in proptest::collection::vec(-1_000_000i64..1_000_000, 2..100),
        ) {
            let n = transits.len() - 1;
            let expected: f64 = (1..=n)
                .map(|k| {
                    let change = (transits[k] - transits[k - 1]).abs() as f64;
                    change * 0.9375_f64.powi((n - k) as i32) / 16.0
                })
                .sum();
            let last = of(&transits).last_ns().expect("two packets");
            prop_assert!((last - expected).abs() <= 1e-6 * (1.0 + expected));
        }

        #[test]
        fn a_constant_offset_changes_nothing(
            transits in proptest::collection::vec(-1_000_000i64..1_000_000, 2..50),
            offset in -1_000_000_000i64..1_000_000_000,
        ) {
            let moved: Vec<i64> = transits.iter().map(|t| t + offset).collect();
            prop_assert_eq!(of(&transits).mean_ns(), of(&moved).mean_ns());
        }
    }
}
