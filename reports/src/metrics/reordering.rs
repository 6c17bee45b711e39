//! Reordering as RFC 4737 defines it.

use serde::{Deserialize, Serialize};

/// RFC 4737, section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reordering {
    /// Packets that arrived with a sequence number below the next one expected.
    pub reordered: u64,
    /// The greatest extent: how many packets earlier the first one with a larger number had come.
    pub max_extent: u64,
}

/// Over `(sequence number, counted)` in order of arrival, first copies only. Packets that are not counted
/// (warm-up) still move the number that is expected next.
pub fn rfc4737(arrivals: &[(u32, bool)]) -> Reordering {
    let mut found = Reordering::default();
    let mut next_expected = 0_u64;
    // Arrivals that raised the greatest number so far: ascending in both fields.
    let mut records: Vec<(u32, usize)> = Vec::new();
    for (position, (seq, counted)) in arrivals.iter().enumerate() {
        if u64::from(*seq) < next_expected {
            if *counted {
                found.reordered += 1;
                // The first arrival with a larger number is the first record with one.
                let first = records.partition_point(|(greatest, _)| greatest <= seq);
                if let Some((_, at)) = records.get(first) {
                    found.max_extent = found.max_extent.max((position - at) as u64);
                }
            }
        } else {
            next_expected = u64::from(*seq) + 1;
            records.push((*seq, position));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(sequence: &[u32]) -> Reordering {
        let arrivals: Vec<_> = sequence.iter().map(|s| (*s, true)).collect();
        rfc4737(&arrivals)
    }

    #[test]
    fn by_hand() {
        assert_eq!(of(&[0, 1, 2, 3]), Reordering::default());
        // A lost packet is not a reordered one.
        assert_eq!(of(&[0, 2, 3]), Reordering::default());
        // RFC 4737, 4.2.3: one packet late by two.
        assert_eq!(
            of(&[1, 4, 5, 2, 6]),
            Reordering {
                reordered: 1,
                max_extent: 2
            }
        );
        assert_eq!(
            of(&[3, 2, 1]),
            Reordering {
                reordered: 2,
                max_extent: 2
            }
        );
        assert_eq!(
            of(&[u32::MAX, 0]),
            Reordering {
                reordered: 1,
                max_extent: 1
            }
        );
    }

    #[test]
    fn warm_up_moves_the_expectation_but_does_not_count() {
        assert_eq!(rfc4737(&[(5, false), (3, false), (4, true)]).reordered, 1);
        assert_eq!(rfc4737(&[(5, true), (3, false)]).reordered, 0);
    }

    proptest! {
        /// Against the definition of the extent, word for word.
        #[test]
        fn same_as_the_slow_definition(sequence in proptest::collection::vec(0u32..40, 0..40)) {
            let mut seen = std::collections::HashSet::new();
            let sequence: Vec<u32> = sequence.into_iter().filter(|s| seen.insert(*s)).collect();
            let mut slow = Reordering::default();
            for (i, s) in sequence.iter().enumerate() {
                if let Some(j) = sequence[..i].iter().position(|earlier| earlier > s) {
                    slow.reordered += 1;
                    slow.max_extent = slow.max_extent.max((i - j) as u64);
                }
            }
            prop_assert_eq!(of(&sequence), slow);
        }
    }
}
