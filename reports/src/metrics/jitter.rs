//! The interarrival jitter of RFC 3550.

use serde::{Deserialize, Serialize};

/// RFC 3550, 6.4.1 and A.8, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Jitter {
    /// Mean of the filter's state over the packets that moved it. In the long run the mean of |IPDV|.
    pub mean_ns: f64,
    /// The filter's last state: what iperf3 prints. Remembers little more than the last 50 packets.
    pub last_ns: f64,
}

/// `J += (|D(i-1,i)| - J) / 16` over packets in order of arrival, where D is the change of transit time. J is 0
/// before the second packet. None of fewer than two.
///
/// `transits` are receive less send times, in order of arrival: a constant clock offset cancels.
pub fn rfc3550(transits: &[i64]) -> Option<Jitter> {
    let (mut state, mut sum) = (0.0_f64, 0.0_f64);
    for pair in transits.windows(2) {
        let change = (pair[1] - pair[0]).abs() as f64;
        state += (change - state) / 16.0;
        sum += state;
    }
    let moved = transits.len().checked_sub(1).filter(|n| *n > 0)?;
    Some(Jitter {
        mean_ns: sum / moved as f64,
        last_ns: state,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        // |D| = 16 then 0: J = 1, then 15/16.
        let j = rfc3550(&[100, 116, 116]).expect("three packets");
        assert!((j.last_ns - 0.9375).abs() < 1e-12);
        assert!((j.mean_ns - 0.968_75).abs() < 1e-12);
        assert_eq!(rfc3550(&[1]), None);
        assert_eq!(rfc3550(&[]), None);
    }

    proptest! {
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
            let j = rfc3550(&transits).expect("two packets");
            prop_assert!((j.last_ns - expected).abs() <= 1e-6 * (1.0 + expected));
        }

        #[test]
        fn a_constant_offset_changes_nothing(
            transits in proptest::collection::vec(-1_000_000i64..1_000_000, 2..50),
            offset in -1_000_000_000i64..1_000_000_000,
        ) {
            let moved: Vec<i64> = transits.iter().map(|t| t + offset).collect();
            prop_assert_eq!(rfc3550(&transits), rfc3550(&moved));
        }
    }
}
