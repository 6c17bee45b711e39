//! Where packets went: loss (RFC 7680), duplicates (RFC 5560) and everything else that must not vanish silently.

use serde::{Deserialize, Serialize};
use vifbench_wire::protocol::Point;

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
    }
}
