//! One-way delay (RFC 7679), its variation (RFC 3393, RFC 5481), and the hops that it is made of.

use serde::{Deserialize, Serialize};
use vifbench_wire::protocol::Point;

use crate::packets::{PATH, Packet};
use crate::stats::Stats;

/// Delays of measured packets between two points, in nanoseconds, with the sequence number of each.
/// Packets must be of one flow, in order of sequence number.
pub fn delays(packets: &[Packet], from: Point, to: Point) -> Vec<(u32, i64)> {
    packets
        .iter()
        .filter(|p| p.measured)
        .filter_map(|p| Some((p.seq, p.between(from, to)?)))
        .collect()
}

/// IPDV, RFC 3393 and RFC 5481, section 4.1: the delay of a packet less that of the packet sent just before it. Signed; not
/// defined where either was lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ipdv {
    last_delay: Option<i64>,
}

impl Ipdv {
    /// The next packet in sending order: its delay in nanoseconds, or none if it was lost. Returns the variation from the
    /// packet before, where both arrived.
    pub fn push(&mut self, delay: Option<i64>) -> Option<i64> {
        let last = std::mem::replace(&mut self.last_delay, delay);
        Some(delay?.saturating_sub(last?))
    }
}

/// The IPDV of delays with the sequence number of each, in order of these: a number that is missing was lost.
pub fn ipdv(delays: &[(u32, i64)]) -> Vec<i64> {
    let mut ipdv = Ipdv::default();
    let mut next = None;
    let mut values = Vec::new();
    for (seq, delay) in delays {
        if next != Some(*seq) {
            ipdv.push(None);
        }
        values.extend(ipdv.push(Some(*delay)));
        next = Some(seq.wrapping_add(1));
    }
    values
}

/// PDV, RFC 5481: each delay less the smallest.
pub fn pdv(delays: &[(u32, i64)]) -> Vec<i64> {
    let Some(least) = delays.iter().map(|d| d.1).min() else {
        return Vec::new();
    };
    delays.iter().map(|d| d.1 - least).collect()
}

/// The time between two neighbouring points that both stamped the flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Where it begins.
    pub from: Point,
    /// Where it ends.
    pub to: Point,
    /// Time spent; none when the two clocks have no bound, or nothing passed.
    pub time: Option<Stats>,
    /// Error bound of every value in `time`, in nanoseconds.
    pub bound_ns: Option<i64>,
    /// Measured packets with a smaller stamp at the end than at the start.
    pub negative: u64,
    /// Measured packets that were seen at the start and never at the end or later.
    pub lost: u64,
}

/// Neighbouring points among those that have a stamp at all: what the path is cut into.
pub fn hops_of(has: impl Fn(Point) -> bool) -> Vec<(Point, Point)> {
    let seen: Vec<Point> = PATH.into_iter().filter(|p| has(*p)).collect();
    seen.windows(2).map(|w| (w[0], w[1])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ipdv_skips_what_was_lost() {
        assert_eq!(ipdv(&[(0, 10), (1, 15), (3, 40), (4, 38)]), vec![5, -2]);
        assert_eq!(ipdv(&[(7, 10)]), Vec::<i64>::new());
    }

    proptest! {
        #[test]
        fn one_by_one_is_the_same_as_all_at_once(
            packets in proptest::collection::vec(proptest::option::of(-1_000_000i64..1_000_000), 0..100),
        ) {
            let batch: Vec<i64> = packets
                .windows(2)
                .filter_map(|pair| Some(pair[1]? - pair[0]?))
                .collect();
            let mut online = Ipdv::default();
            let pushed: Vec<i64> = packets.iter().filter_map(|delay| online.push(*delay)).collect();
            prop_assert_eq!(&pushed, &batch);
            // Numbers wrap around.
            let numbered = packets.iter().zip((u32::MAX - 10..=u32::MAX).chain(0..));
            let delays: Vec<_> = numbered.filter_map(|(delay, seq)| Some((seq, (*delay)?))).collect();
            prop_assert_eq!(&ipdv(&delays), &batch);
        }
    }

    #[test]
    fn pdv_is_free_of_any_constant_offset() {
        let delays = [(0, 10), (1, 15), (3, 40)];
        let moved: Vec<_> = delays.iter().map(|(s, d)| (*s, d - 1_000_000)).collect();
        assert_eq!(pdv(&delays), vec![0, 5, 30]);
        assert_eq!(pdv(&delays), pdv(&moved));
        assert!(pdv(&[]).is_empty());
    }

    #[test]
    fn hops_join_the_points_that_were_captured() {
        let pairs = hops_of(|p| p != Point::Nic);
        assert_eq!(
            pairs,
            vec![(Point::Tx, Point::Vif), (Point::Vif, Point::Rx)]
        );
    }
}
