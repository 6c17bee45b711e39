//! Copies of packets that the capture itself made: `-i any` sees a forwarded packet on each interface that it passes, a
//! bridge is captured on both sides, and some drivers hand over twice what is sent.
//!
//! Such a copy has the same content and comes soon after. At another interface (or in the other direction) that
//! is enough. At the same one the sender may have sent the packet twice, or the network have doubled it; only where almost
//! every packet of a flow comes so, in groups that stay small, the capture is the reason.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;

use super::as_is::AsIs;
use super::placed::{Packet, Place};
use crate::error::ReportError;

/// How long after the first a copy comes, at the same place and at another.
const SAME_NS: i64 = 5_000_000;
const OTHER_NS: i64 = 100_000_000;
/// A flow says how its packets come where it has so many; else the whole capture does.
const GROUPS_MIN: u64 = 8;
/// More than so many of a kind are sent, not copied; few groups may be so large where the network doubles packets too.
const LARGEST: usize = 4;
const LARGER: u64 = 20;
/// Flows that are judged one by one.
const MAX_FLOWS: usize = 1 << 16;

/// What counts as a copy in a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyRules {
    /// Packets were seen at more than one place.
    places: bool,
    /// Flows of many packets, and how many times each of these comes at one place.
    flows: HashMap<u64, u32>,
    /// How many times each packet of the other flows does.
    others: u32,
}

impl CopyRules {
    /// That nothing is a copy.
    pub fn none() -> Self {
        Self {
            places: false,
            flows: HashMap::new(),
            others: 1,
        }
    }

    /// Whether there is anything to be left out.
    pub fn is_needed(&self) -> bool {
        self.places || self.others > 1 || self.flows.values().any(|times| *times > 1)
    }

    fn times(&self, flow: u64) -> u32 {
        self.flows.get(&flow).copied().unwrap_or(self.others)
    }
}

/// Packets with one content that came soon one after the other, counted by how many they are.
#[derive(Debug, Clone, Copy, Default)]
struct Groups {
    /// How many have one packet and more, two and more, and so on; the last: more than [`LARGEST`].
    of_size: [u64; LARGEST + 1],
}

impl Groups {
    /// A group has grown to this size.
    fn add(&mut self, size: u32) {
        if let Some(n) = self.of_size.get_mut(size as usize - 1) {
            *n += 1;
        }
    }

    fn n(&self) -> u64 {
        self.of_size[0]
    }

    /// How many times each packet comes: the most frequent size, where almost all groups have several.
    fn times(&self) -> u32 {
        let several = self.of_size[1];
        let larger = self.of_size[LARGEST];
        if several < 2 || several * 3 < self.n() * 2 || larger * LARGER > self.n() {
            return 1;
        }
        let of_size = |size: &u32| {
            let at = *size as usize;
            self.of_size[at - 1] - self.of_size[at]
        };
        // Of sizes that are as frequent the smallest.
        let sizes = (2..=LARGEST as u32).rev();
        sizes.max_by_key(of_size).unwrap_or(1)
    }
}

/// Looks for copies in the first packets of a capture, or in all of it. `next` returns its packets one by one.
pub(super) fn survey(
    mut next: impl FnMut() -> Result<Option<(Packet, Place)>, ReportError>,
    limit: u64,
) -> Result<CopyRules, ReportError> {
    let mut recent: HashMap<(u64, Place), (i64, u32)> = HashMap::new();
    let mut queue = VecDeque::new();
    let mut flows: HashMap<u64, Groups> = HashMap::new();
    let (mut all, mut first, mut places, mut n) = (Groups::default(), None, false, 0);
    while n < limit
        && let Some((packet, place)) = next()?
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
        .filter(|(_, groups)| groups.n() >= GROUPS_MIN);
    Ok(CopyRules {
        places,
        flows: judged
            .map(|(flow, groups)| (flow, groups.times()))
            .collect(),
        others: all.times(),
    })
}

/// A packet that passed.
#[derive(Debug, Clone, Copy)]
struct Passed {
    at_ns: i64,
    place: Place,
    /// Packets that came since at the same place, copies or not.
    more: u32,
}

/// Packets that passed lately.
pub(super) struct CopyFilter {
    rules: CopyRules,
    recent: HashMap<u64, Passed, BuildHasherDefault<AsIs>>,
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
            if self
                .recent
                .get(old)
                .is_some_and(|passed| passed.at_ns == *at)
            {
                self.recent.remove(old);
            }
            self.queue.pop_front();
        }
        let mut more = 0;
        if let Some(passed) = self.recent.get_mut(&key) {
            let after = now.saturating_sub(passed.at_ns);
            if passed.place != place {
                if after <= OTHER_NS && self.rules.places {
                    return true;
                }
            } else if after <= SAME_NS {
                // As many times as each comes, it is one packet; then it is the next one.
                passed.more += 1;
                more = passed.more;
                if more % self.rules.times(packet.identity.flow) != 0 {
                    return true;
                }
            }
        }
        self.recent.insert(
            key,
            Passed {
                at_ns: now,
                place,
                more,
            },
        );
        self.queue.push_back((now, key));
        false
    }
}
