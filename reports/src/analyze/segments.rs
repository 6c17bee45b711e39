//! TCP that was captured as super-packets on one side and as segments on the other: compared in bytes.
//!
//! Offload joins segments before they are captured (GSO on the way out, GRO on the way in). Such packets have no twin in the
//! other capture, but their bytes have: sequence numbers say which arrived.

use std::collections::BTreeMap;
use std::collections::HashMap;

/// Stretches of sequence numbers that are kept apart; a flow with more gaps is not compared in bytes.
const MAX_STRETCHES: usize = 1 << 14;

/// Sequence numbers that were seen, unrolled beyond 32 bits: disjoint stretches, each from its first to behind its last.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    stretches: BTreeMap<i64, i64>,
    last: i64,
    crowded: bool,
}

impl Ranges {
    /// The sequence number in full: the one nearest to the last one seen.
    fn unrolled(&self, seq: u32) -> i64 {
        self.last + i64::from(seq.wrapping_sub(self.last as u32) as i32)
    }

    fn add(&mut self, seq: u32, len: u32) -> (i64, i64) {
        let from = self.unrolled(seq);
        let to = from + i64::from(len);
        self.last = from;
        if let Some(mut latest) = self.stretches.last_entry()
            && *latest.key() <= from
            && *latest.get() >= from
        {
            let end = latest.get_mut();
            *end = to.max(*end);
            return (from, to);
        }
        let (mut start, mut end) = (from, to);
        if let Some((first, last)) = self.stretches.range_mut(..=from).next_back()
            && *last >= from
        {
            if *last >= to {
                return (from, to);
            }
            start = *first;
        }
        while let Some((first, last)) = self.stretches.range(start..=end).next_back() {
            let first = *first;
            end = end.max(*last);
            self.stretches.remove(&first);
        }
        if self.stretches.len() < MAX_STRETCHES {
            self.stretches.insert(start, end);
        } else {
            self.crowded = true;
        }
        (from, to)
    }

    fn covers(&self, from: i64, to: i64) -> bool {
        self.stretches
            .range(..=from)
            .next_back()
            .is_some_and(|(_, last)| *last >= to)
    }

    fn bytes(&self) -> u64 {
        self.stretches
            .iter()
            .map(|(from, to)| to.abs_diff(*from))
            .sum()
    }

    /// Bytes that are in both.
    fn shared(&self, other: &Self) -> u64 {
        let mut shared = 0;
        for (from, to) in &self.stretches {
            let first = other.stretches.range(..*from).next_back();
            for (a, b) in first.into_iter().chain(other.stretches.range(*from..*to)) {
                let overlap = (*to).min(*b) - (*from).max(*a);
                shared += u64::try_from(overlap).unwrap_or(0);
            }
        }
        shared
    }
}

/// What arrived of one flow of TCP.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    arrived: Ranges,
    /// Of packets that are not in the first capture as they are.
    others: Ranges,
    /// Such packets, their frames' and their payload's bytes, and when the first and the last of them came.
    pub unmatched: u64,
    pub frame_bytes: u64,
    pub payload_bytes: u64,
    pub first_ns: i64,
    pub last_ns: i64,
}

impl Stream {
    /// The first packet seen decides where counting begins.
    pub fn new(seq: u32) -> Self {
        let begun = Ranges {
            last: i64::from(seq),
            ..Ranges::default()
        };
        Self {
            arrived: begun.clone(),
            others: begun,
            unmatched: 0,
            frame_bytes: 0,
            payload_bytes: 0,
            first_ns: i64::MAX,
            last_ns: i64::MIN,
        }
    }

    pub fn add(&mut self, seq: u32, len: u32) {
        self.arrived.add(seq, len);
    }

    /// A packet that is not in the first capture: its payload, and the bytes of its frame.
    pub fn add_other(&mut self, (seq, len): (u32, u32), frame: u32, at_ns: i64) {
        self.others.add(seq, len);
        self.unmatched += 1;
        self.frame_bytes += u64::from(frame);
        self.payload_bytes += u64::from(len);
        self.first_ns = self.first_ns.min(at_ns);
        self.last_ns = self.last_ns.max(at_ns);
    }
}

/// What was sent of flows that have packets without a twin on both sides.
#[derive(Debug, Default)]
pub(super) struct Recount {
    flows: HashMap<u32, (Ranges, u64)>,
}

/// A flow in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct InBytes {
    pub sent: u64,
    pub lost: u64,
    /// Packets of which at least one byte did not arrive.
    pub lost_packets: u64,
}

impl Recount {
    /// A packet with data was sent.
    pub fn sent(&mut self, flow: u32, seq: u32, len: u32, stream: &Stream) {
        let (sent, missing) = self.flows.entry(flow).or_insert_with(|| {
            let begun = Ranges {
                last: stream.arrived.last,
                ..Ranges::default()
            };
            (begun, 0)
        });
        let (from, to) = sent.add(seq, len);
        *missing += u64::from(!stream.arrived.covers(from, to));
    }

    /// The flows whose bytes arrived in packets of other lengths.
    pub fn finish<'a>(self, stream: impl Fn(u32) -> Option<&'a Stream>) -> HashMap<u32, InBytes> {
        let judged = self
            .flows
            .into_iter()
            .filter_map(|(flow, (sent, missing))| {
                let stream = stream(flow)?;
                let arrived = &stream.arrived;
                let (bytes, shared) = (sent.bytes(), sent.shared(arrived));
                // Most bytes of the packets that were not sent so were sent in others.
                let other = sent.shared(&stream.others) * 2 > stream.others.bytes();
                let counted = !sent.crowded && !arrived.crowded && !stream.others.crowded;
                (other && counted).then_some((
                    flow,
                    InBytes {
                        sent: bytes,
                        lost: bytes - shared,
                        lost_packets: missing,
                    },
                ))
            });
        judged.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a table of single bytes.
        #[test]
        fn bytes_are_those_of_a_plain_table(
            origin: u32,
            sent in prop::collection::vec((0usize..400, 1usize..60), 1..60),
            arrived in prop::collection::vec((0usize..400, 1usize..60), 1..60),
        ) {
            let seq = |at: usize| origin.wrapping_add(at as u32);
            let (mut table, mut there) = ([false; 500], [false; 500]);
            let mut stream = Stream::new(seq(arrived[0].0));
            for (at, len) in &arrived {
                stream.add(seq(*at), *len as u32);
                stream.add_other((seq(*at), *len as u32), 0, 0);
                there[*at..at + len].fill(true);
            }
            let mut recount = Recount::default();
            for (at, len) in &sent {
                recount.sent(1, seq(*at), *len as u32, &stream);
                table[*at..at + len].fill(true);
            }
            let missing = sent.iter().filter(|(at, len)| !there[*at..at + len].iter().all(|b| *b)).count();
            let bytes = table.iter().filter(|b| **b).count() as u64;
            let both = table.iter().zip(&there).filter(|(a, b)| **a && **b).count() as u64;
            let judged = recount.finish(|_| Some(&stream));
            let all = there.iter().filter(|b| **b).count() as u64;
            let expected = (both * 2 > all).then_some(InBytes {
                sent: bytes, lost: bytes - both, lost_packets: missing as u64,
            });
            prop_assert_eq!(judged.get(&1).copied(), expected);
        }
    }
}
