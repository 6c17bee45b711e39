//! What a capture is like, from its packets rather than from its header: which are vifbench's, how much of each was
//! captured, and in which order they lie in the file.

use vifbench_wire::dissect::{Dissected, IpPacket};

use super::files::CaptureFile;
use super::files::damaged;
use super::identity::is_own;
use super::placed::Place;
use super::source::{Choice, Order, is_damage, look, signed, unknown_link};
use crate::error::ReportError;

/// Packets that are looked at before anything contradicts them.
pub(super) const SAMPLE: u64 = 4096;
/// With fewer bytes of payload than this a packet is hardly told from others: where few were cut so short, they are left
/// out rather than that all are compared by so little.
const PAYLOAD_MIN: usize = 16;
/// Where stamps go back so often at most, and so many packets follow in order before the old time is reached again, the
/// clock was set.
const SET_MAX: usize = 3;
const BELOW_MIN: u64 = 16;

/// How much payload there is of packets that were not captured whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Depth {
    cut: u64,
    /// Of those with less than [`PAYLOAD_MIN`]: how many, and the least.
    shallow: u64,
    least: usize,
    /// The least of the others.
    enough: usize,
}

impl Default for Depth {
    fn default() -> Self {
        Self {
            cut: 0,
            shallow: 0,
            least: usize::MAX,
            enough: usize::MAX,
        }
    }
}

impl Depth {
    fn add(&mut self, packet: &IpPacket<'_>) {
        let Some(transport) = packet.transport() else {
            return;
        };
        let there = transport.payload.len();
        if there == transport.payload_len {
            return;
        }
        self.cut += 1;
        if there < PAYLOAD_MIN {
            self.shallow += 1;
            self.least = self.least.min(there);
        } else {
            self.enough = self.enough.min(there);
        }
    }

    /// So many bytes of payload are there of each packet that counts.
    fn hashed(self) -> usize {
        if self.shallow * 100 > self.cut {
            self.least
        } else {
            self.enough
        }
    }
}

/// A stamp before the latest one.
#[derive(Debug, Clone, Copy)]
struct Back {
    to_ns: i64,
    from_ns: i64,
    /// Packets that followed in order before the time was again what it had been.
    below: u64,
}

/// What a capture is like, as far as it was looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub own: bool,
    depth: Depth,
    /// The same of packets in tunnels as they are outside.
    outer: Depth,
    tunnels: u64,
    /// Of them, those whose inner headers were not captured.
    closed: u64,
    backs: Vec<Back>,
    first_ns: Option<i64>,
    place: Option<Place>,
    pub places: bool,
    pub records: u64,
    /// About how many packets the file holds.
    pub expected: u64,
    /// Everything was looked at.
    pub whole: bool,
}

impl Facts {
    /// Looks at the first packets of a capture.
    pub fn of(
        file: &CaptureFile,
        interface: Option<&str>,
        limit: u64,
    ) -> Result<Self, ReportError> {
        let mut reader = file.reader()?;
        let mut choice = Choice::new(interface);
        let mut facts = Self::default();
        let mut last_ns = i64::MIN;
        while facts.records < limit {
            let record = match reader.read() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    facts.whole = true;
                    choice.check(&reader, &file.path)?;
                    break;
                }
                Err(error) if is_damage(&error) && facts.records > 0 => break,
                Err(error) => return Err(damaged(&file.path, error)),
            };
            facts.records += 1;
            let Some(place) = choice.place(&record) else {
                continue;
            };
            facts.places |= *facts.place.get_or_insert(place) != place;
            let at_ns = signed(record.ts_ns);
            facts.stamp(at_ns, last_ns);
            last_ns = at_ns;
            match look(&record) {
                Dissected::Ip(packet) => facts.packet(packet),
                Dissected::NotIp | Dissected::Cut => {}
                Dissected::UnknownLink => {
                    return Err(unknown_link(&file.path, record.link_type));
                }
            }
        }
        facts.expected = file.packets(facts.records, reader.offset(), reader.consumed());
        Ok(facts)
    }

    fn stamp(&mut self, at_ns: i64, last_ns: i64) {
        self.first_ns.get_or_insert(at_ns);
        if at_ns < last_ns {
            if self.backs.len() <= SET_MAX {
                self.backs.push(Back {
                    to_ns: at_ns,
                    from_ns: last_ns,
                    below: 0,
                });
            }
        } else if let Some(back) = self.backs.last_mut() {
            back.below += u64::from(at_ns < back.from_ns);
        }
    }

    fn packet(&mut self, packet: IpPacket<'_>) {
        self.outer.add(&packet);
        let carried = packet.carried();
        self.tunnels += u64::from(matches!(carried, Some(Dissected::Ip(_) | Dissected::Cut)));
        match packet.innermost() {
            Some(inner) => {
                self.depth.add(&inner);
                self.own = self.own || is_own(&inner);
            }
            None => self.closed += 1,
        }
    }

    /// Whether stamps go back.
    pub fn is_disordered(&self) -> bool {
        !self.backs.is_empty()
    }

    /// In which order packets are to be taken.
    pub fn order(&self) -> Order {
        let Some(first_ns) = self.first_ns.filter(|_| self.is_disordered()) else {
            return Order::Checked;
        };
        // Set back, the clock goes on from some moment of the capture; two captures in one file begin anew.
        let was_set = |back: &Back| {
            let span = back.from_ns.saturating_sub(first_ns);
            let kept = back.to_ns.saturating_sub(first_ns);
            back.below >= BELOW_MIN && (kept < 0 || kept > span / 4)
        };
        if self.backs.len() <= SET_MAX && self.backs.iter().all(was_set) {
            Order::AsFiled
        } else {
            Order::NEARLY
        }
    }

    /// How many times the clock was set back, and the largest step.
    pub fn set_back(&self) -> Option<i64> {
        let steps = self.backs.iter().map(|b| b.from_ns.saturating_sub(b.to_ns));
        steps.max().filter(|_| self.order() == Order::AsFiled)
    }

    /// So much payload is there of each packet that counts.
    pub fn hashed(&self, inner: bool) -> usize {
        if inner { self.depth } else { self.outer }.hashed()
    }

    /// Whether the packets in tunnels can be told: few of their headers were cut off.
    pub fn is_open(&self) -> bool {
        self.closed * 10 <= self.tunnels
    }
}
