//! Copies of packets that the capture itself made: `-i any` sees a forwarded packet on each interface that it passes, a
//! bridge is captured on both sides, and some drivers hand over twice what is sent.
//!
//! Such a copy has the same content and comes soon after. At another interface (or in the other direction) that
//! is enough. At the same one the sender may have sent the packet twice, or the network have doubled it; only where almost
//! every packet of a flow comes so, in groups that stay small, the capture is the reason.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use super::flow::AsIs;
use super::source::{Packet, Place, Source};
use crate::error::ReportError;

/// How long after the first a copy comes, at the same place and at another.
const SAME_NS: i64 = 5_000_000;
const OTHER_NS: i64 = 100_000_000;
/// A flow says how its packets come where it has so many; else the whole capture does.
const GROUPS_MIN: u64 = 8;
/// More than so many of a kind are sent, not copied.
const LARGEST: u32 = 4;
/// Flows that are judged one by one.
const MAX_FLOWS: usize = 1 << 16;

/// What counts as a copy in a capture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CopyRules {
    /// Packets were seen at more than one place.
    places: bool,
    /// Flows of many packets, and whether these come several times at one place.
    flows: HashMap<u64, bool>,
    /// Whether packets of the other flows do.
    others: bool,
}

impl CopyRules {
    /// Whether there is anything to be left out.
    pub fn is_needed(&self) -> bool {
        self.places || self.others || self.flows.values().any(|several| *several)
    }

    fn several(&self, flow: u64) -> bool {
        self.flows.get(&flow).copied().unwrap_or(self.others)
    }
}

/// Packets with one content that came soon one after the other, counted by how many they are.
#[derive(Debug, Clone, Copy, Default)]
struct Groups {
    n: u64,
    several: u64,
    largest: u32,
}

impl Groups {
    fn add(&mut self, size: u32) {
        self.n += u64::from(size == 1);
        self.several += u64::from(size == 2);
        self.largest = self.largest.max(size);
    }

    fn are_copies(&self) -> bool {
        self.largest <= LARGEST && self.several * 3 >= self.n * 2 && self.several > 1
    }
}

/// Looks for copies in the first packets of a capture, or in all of it.
pub(super) fn survey(source: &mut Source, limit: u64) -> Result<CopyRules, ReportError> {
    let mut recent: HashMap<(u64, Place), (i64, u32)> = HashMap::new();
    let mut queue = VecDeque::new();
    let mut flows: HashMap<u64, Groups> = HashMap::new();
    let (mut all, mut first, mut places, mut n) = (Groups::default(), None, false, 0);
    while n < limit
        && let Some((packet, place)) = source.placed()?
    {
        n += 1;
        places |= *first.get_or_insert(place) != place;
        let (now, what) = (packet.at_ns, (packet.identity.key, place));
        while let Some((at, old)) = queue.front()
            && now.saturating_sub(*at) > SAME_NS
        {
            if recent.get(old).is_some_and(|(last, _)| last == at) {
                recent.remove(old);
            }
            queue.pop_front();
        }
        queue.push_back((now, what));
        let group = recent.entry(what).or_insert((now, 0));
        *group = (now, group.1 + 1);
        all.add(group.1);
        if let Some(groups) = flows.get_mut(&packet.identity.flow) {
            groups.add(group.1);
        } else if flows.len() < MAX_FLOWS {
            let mut groups = Groups::default();
            groups.add(group.1);
            flows.insert(packet.identity.flow, groups);
        }
    }
    let judged = flows
        .into_iter()
        .filter(|(_, groups)| groups.n >= GROUPS_MIN);
    Ok(CopyRules {
        places,
        flows: judged
            .map(|(flow, groups)| (flow, groups.are_copies()))
            .collect(),
        others: all.are_copies(),
    })
}

/// Packets that passed lately.
pub(super) struct CopyFilter {
    rules: CopyRules,
    recent: HashMap<u64, (i64, Place), BuildHasherDefault<AsIs>>,
    queue: VecDeque<(i64, u64)>,
}

impl CopyFilter {
    pub fn new(rules: CopyRules) -> Self {
        Self {
            rules,
            recent: HashMap::default(),
            queue: VecDeque::new(),
        }
    }

    /// Whether the next packet is a copy of one that passed.
    pub fn is_copy(&mut self, packet: &Packet, place: Place) -> bool {
        let (now, key) = (packet.at_ns, packet.identity.key);
        while let Some((at, old)) = self.queue.front()
            && now.saturating_sub(*at) > OTHER_NS
        {
            if self.recent.get(old).is_some_and(|(last, _)| last == at) {
                self.recent.remove(old);
            }
            self.queue.pop_front();
        }
        if let Some((at, where_)) = self.recent.get(&key) {
            let after = now.saturating_sub(*at);
            let copy = if *where_ == place {
                after <= SAME_NS && self.rules.several(packet.identity.flow)
            } else {
                after <= OTHER_NS && self.rules.places
            };
            if copy {
                return true;
            }
        }
        self.recent.insert(key, (now, place));
        self.queue.push_back((now, key));
        false
    }
}
