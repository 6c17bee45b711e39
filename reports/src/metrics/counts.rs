//! Where packets went: loss (RFC 7680), duplicates (RFC 5560) and everything else that must not vanish silently.

use serde::{Deserialize, Serialize};
use vifbench_wire::protocol::{LATE_NS, Point};

use crate::packets::{Packet, index};

/// Measured packets by fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Seen at `tx`.
    pub sent: u64,
    /// Seen intact at `rx`, first copies.
    pub received: u64,
    /// Seen at `tx` and intact at `rx`.
    pub matched: u64,
    /// Seen at `tx`, never intact at `rx`.
    pub lost: u64,
    /// Further intact copies at `rx`.
    pub duplicated: u64,
    /// Arrived with a number below the next expected.
    pub reordered: u64,
    /// Greatest reordering extent, in packets.
    pub reorder_extent: u64,
    /// Seen at `rx`, never at `tx`.
    pub unmatched: u64,
    /// Arrived damaged, so that its flow cannot be told: counted where the guest has one flow only, and in the row
    /// of all flows. Without an intact copy such a packet is also counted as lost.
    pub corrupt: Option<u64>,
    /// Not stamped at `nic` or `vif`, though seen before and after it.
    pub unstamped: u64,
    /// `rx` stamped earlier than `tx`.
    pub negative: u64,
    /// Stamped at `tx` more than [`LATE_NS`] after they were due by the schedule; none where nothing was due at a known
    /// time (closed loops), or where the generator has no capture.
    #[serde(default)]
    pub late: Option<u64>,
}

impl Counts {
    /// All but reordering, which needs the order of arrival, and damaged packets, which have no number. `has` tells at which points there was a capture.
    pub fn of(packets: &[Packet], has: impl Fn(Point) -> bool) -> Self {
        let mut counts = Self::default();
        let between: Vec<Point> = [Point::Nic, Point::Vif]
            .into_iter()
            .filter(|p| has(*p))
            .collect();
        for packet in packets.iter().filter(|p| p.measured) {
            let (tx, rx) = (packet.at(Point::Tx), packet.at(Point::Rx));
            counts.sent += u64::from(tx.is_some());
            counts.received += u64::from(rx.is_some());
            counts.matched += u64::from(tx.is_some() && rx.is_some());
            counts.lost += u64::from(tx.is_some() && rx.is_none());
            counts.unmatched += u64::from(tx.is_none() && rx.is_some());
            counts.duplicated += u64::from(packet.copies[index(Point::Rx)]);
            counts.negative += u64::from(tx.zip(rx).is_some_and(|(tx, rx)| rx < tx));
            for point in &between {
                let later = packet.at_ns[index(*point) + 1..]
                    .iter()
                    .any(Option::is_some);
                counts.unstamped += u64::from(later && packet.at(*point).is_none());
            }
        }
        counts
    }

    /// Adds another flow's; damaged packets stay as they are.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.matched += other.matched;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.reorder_extent = self.reorder_extent.max(other.reorder_extent);
        self.unmatched += other.unmatched;
        self.unstamped += other.unstamped;
        self.negative += other.negative;
        self.late = match (self.late, other.late) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0) + b.unwrap_or(0)),
        };
    }

    /// Measured packets that left `tx` late. `start_ns` is when sending began, on the same clock as the stamps.
    ///
    /// The generator's own count is of the hand-over to the kernel, and a packet may wait long behind that: for its
    /// queueing discipline, or for a CPU that the generator shares with what it measures.
    pub fn late(packets: &[Packet], start_ns: i64) -> Option<u64> {
        let mut known = false;
        let mut late = 0;
        for packet in packets.iter().filter(|p| p.measured) {
            if let (Some(tx), Some(due)) = (packet.at(Point::Tx), packet.due_ns) {
                known = true;
                let behind = tx.saturating_sub(start_ns.saturating_add(due));
                late += u64::from(behind > LATE_NS as i64);
            }
        }
        known.then_some(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(due_ns: Option<i64>, tx: i64) -> Packet {
        Packet {
            flow: 1,
            seq: 0,
            size: 64,
            payload: 18,
            send_ns: due_ns.unwrap_or(tx),
            due_ns,
            at_ns: [Some(tx), None, None, None],
            copies: [0; 4],
            arrival: None,
            measured: true,
        }
    }

    #[test]
    fn what_waits_behind_the_hand_over_is_late() {
        let packets = [
            packet(Some(0), 1_000_100_000),
            packet(Some(500_000), 1_000_600_001),
            packet(Some(900_000), 1_000_890_000),
        ];
        assert_eq!(Counts::late(&packets, 1_000_000_000), Some(1));
        assert_eq!(Counts::late(&[packet(None, 1_500_000)], 0), None);
    }
}
