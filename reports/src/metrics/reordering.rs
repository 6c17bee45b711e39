//! Reordering as RFC 4737 defines it.

use std::collections::VecDeque;

/// Reordering of one flow, RFC 4737, section 4, over the first copies of its packets in order of arrival.
#[derive(Debug, Clone)]
pub struct Reordering {
    next_expected: u64,
    arrivals: u64,
    /// Arrivals that raised the greatest number so far: ascending in all fields.
    records: VecDeque<Record>,
    most_records: usize,
    reordered: u64,
    max_extent: u64,
    max_late_ns: i64,
}

/// An arrival that raised the greatest number so far.
#[derive(Debug, Clone, Copy)]
struct Record {
    number: u64,
    arrival: u64,
    at_ns: i64,
}

impl Default for Reordering {
    fn default() -> Self {
        Self::remembering(usize::MAX)
    }
}

impl Reordering {
    /// Looks for extents in the last `most_records` arrivals in order only, so that it needs no more memory than for
    /// these; an extent that reaches further back is counted as less than it is. The default looks in all of them.
    pub fn remembering(most_records: usize) -> Self {
        Self {
            next_expected: 0,
            arrivals: 0,
            records: VecDeque::new(),
            most_records,
            reordered: 0,
            max_extent: 0,
            max_late_ns: 0,
        }
    }

    /// The next arrival: its number in sending order, and when it came. A packet that is not counted (one of the warm-up)
    /// still moves the number that is expected next.
    pub fn push(&mut self, number: u64, at_ns: i64, counted: bool) {
        // RFC 4737, 4.2.1: reordered if s < NextExp, else NextExp = s + 1.
        if number >= self.next_expected {
            self.next_expected = number + 1;
            if self.records.len() == self.most_records {
                self.records.pop_front();
            }
            self.records.push_back(Record {
                number,
                arrival: self.arrivals,
                at_ns,
            });
        } else if counted {
            self.reordered += 1;
            // The first arrival with a larger number is the first record with one.
            let first = self.records.partition_point(|r| r.number <= number);
            if let Some(first) = self.records.get(first) {
                self.max_extent = self.max_extent.max(self.arrivals - first.arrival);
                self.max_late_ns = self.max_late_ns.max(at_ns.saturating_sub(first.at_ns));
            }
        }
        self.arrivals += 1;
    }

    /// Counted packets that arrived with a number below the next one expected.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// The greatest extent (RFC 4737, 4.2.2): how many packets earlier the first one with a larger number had come.
    pub fn max_extent(&self) -> u64 {
        self.max_extent
    }

    /// The greatest late time (RFC 4737, 4.3.2) in nanoseconds: how long before it the first one with a larger number had
    /// come.
    pub fn max_late_ns(&self) -> i64 {
        self.max_late_ns
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packets arrive ten nanoseconds after each other.
    fn of_counted(arrivals: &[(u64, bool)], most_records: usize) -> (u64, u64, i64) {
        let mut reordering = Reordering::remembering(most_records);
        for (place, (number, counted)) in arrivals.iter().enumerate() {
            reordering.push(*number, place as i64 * 10, *counted);
        }
        (
            reordering.reordered(),
            reordering.max_extent(),
            reordering.max_late_ns(),
        )
    }

    fn of(sequence: &[u64]) -> (u64, u64, i64) {
        let arrivals: Vec<_> = sequence.iter().map(|s| (*s, true)).collect();
        of_counted(&arrivals, usize::MAX)
    }

    #[test]
    fn by_hand() {
        assert_eq!(of(&[0, 1, 2, 3]), (0, 0, 0));
        // A lost packet is not a reordered one.
        assert_eq!(of(&[0, 2, 3]), (0, 0, 0));
        // RFC 4737, 4.2.3: one packet late by two.
        assert_eq!(of(&[1, 4, 5, 2, 6]), (1, 2, 20));
        assert_eq!(of(&[3, 2, 1]), (2, 2, 20));
        assert_eq!(of(&[u64::from(u32::MAX), 0]), (1, 1, 10));
    }

    #[test]
    fn warm_up_moves_the_expectation_but_does_not_count() {
        let reordered = |arrivals: &[(u64, bool)]| of_counted(arrivals, usize::MAX).0;
        assert_eq!(reordered(&[(5, false), (3, false), (4, true)]), 1);
        assert_eq!(reordered(&[(5, true), (3, false)]), 0);
    }

    #[test]
    fn what_is_forgotten_shortens_extents_and_hides_no_reordering() {
        let sequence: Vec<_> = [5, 6, 7, 8, 1].map(|n| (n, true)).to_vec();
        assert_eq!(of_counted(&sequence, usize::MAX), (1, 4, 40));
        assert_eq!(of_counted(&sequence, 2), (1, 2, 20));
    }

    proptest! {
        /// Against the definition of the extent, word for word, with all arrivals at hand.
        #[test]
        fn one_by_one_is_the_same_as_all_at_once(
            arrivals in proptest::collection::vec((0u64..40, any::<bool>()), 0..40),
        ) {
            let mut seen = std::collections::HashSet::new();
            let arrivals: Vec<_> = arrivals.into_iter().filter(|(n, _)| seen.insert(*n)).collect();
            let (mut reordered, mut extent) = (0, 0);
            for (i, (number, counted)) in arrivals.iter().enumerate() {
                let larger = arrivals[..i].iter().position(|(earlier, _)| earlier > number);
                if let (Some(j), true) = (larger, *counted) {
                    reordered += 1;
                    extent = extent.max((i - j) as u64);
                }
            }
            prop_assert_eq!(
                of_counted(&arrivals, usize::MAX),
                (reordered, extent, extent as i64 * 10)
            );
        }
    }
}
