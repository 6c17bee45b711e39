//! Packets of the first capture that wait to be found in the second: a queue in sending order with an index by key.
//!
//! Packets with the same key form a chain in sending order. Which of them an arrival is follows from its time: see
//! [`Outstanding::find`].
//!
//! An entry takes 40 bytes and its place in the index 11 where the number of packets was foreseen, at most 16 where it
//! was not. Entries lie in blocks that are given back as the queue is emptied, so that memory does not hold them and
//! what is computed from them at once.
//!
//! Looking a packet up is a walk to a random place in memory, and waiting for memory would take most of the time.
//! So a place in the index holds a part of the key, which spares looking at entries that only share the place; and
//! [`Outstanding::warm`] looks at the places of many packets before the first is needed, so that the processor
//! waits for all of them at once. Packets mostly arrive in the order they were sent: then the next one lies right behind
//! the last one found, and the index is not asked at all.

use std::collections::VecDeque;

/// `rx_ns` of a packet that was not found yet.
const MISSING: i64 = i64::MIN;
/// Entries of a block.
const BLOCK: usize = 1 << 14;
/// Numbers of entries are kept modulo this in the index.
const WRAP: u32 = 1 << 31;
/// Marks a used place in the index.
const USED: u32 = 1 << 31;
/// Keys that follow one another and share a cache line.
const LINE: usize = 8;
const NONE: u32 = u32::MAX;
/// How far around its expected place a packet is looked for before the index is asked.
const BACK: u64 = 4;
const AHEAD: u64 = 12;
/// Of look-alikes, so many that were not found stay open behind those whose time has come; older ones are lost.
const OPEN_MAX: u32 = 64;
/// Look-alikes sent closer together than this may be copies that the capture made.
const CLOSE_NS: i64 = 5_000_000;

/// Another packet with the same key was sent not long before or after.
const CHAINED: u32 = 1;
/// It was found, but may have been a look-alike of it that arrived.
const UNSURE: u32 = 2;

/// One packet of the first capture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    key: u64,
    pub tx_ns: i64,
    rx_ns: i64,
    /// The next packet with the same key, and (where this is the first of them) the last.
    next: u32,
    tail: u32,
    /// Number of its flow.
    pub flow: u32,
    flags: u32,
}

impl Sent {
    /// When it was found; none where it was not.
    pub fn rx_ns(&self) -> Option<i64> {
        (self.rx_ns != MISSING).then_some(self.rx_ns)
    }

    pub fn key(&self) -> u64 {
        self.key
    }

    /// Another packet that looks the same was sent not long before or after.
    pub fn has_look_alike(&self) -> bool {
        self.flags & CHAINED != 0
    }

    /// Content and time leave a choice which of several look-alikes arrived.
    pub fn is_unsure(&self) -> bool {
        self.flags & UNSURE != 0
    }
}

/// What is known of the transit times of a flow about now, in nanoseconds: packets take `from..=to`, or are exceptions.
/// `contested`: by so much more an exception may still have taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Band {
    pub from: i64,
    pub to: i64,
    pub contested: i64,
}

impl Band {
    pub const UNKNOWN: Self = Self {
        from: i64::MIN,
        to: i64::MAX,
        contested: 0,
    };
}

/// Where the sending time of a candidate lies, seen from an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Sent so early that it is lost.
    TooOld,
    Within,
    /// Sent so late that it is not the one.
    TooNew,
}

/// What the times of packets allow.
pub(super) trait Judge {
    /// Whether a packet sent then may have arrived now at all.
    fn reach(&self, tx_ns: i64, rx_ns: i64) -> Reach;
    /// What is known of a flow's transit times about then.
    fn band(&self, flow: u32, rx_ns: i64) -> Band;
}

/// What a packet of the second capture turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The packet of this number in sending order, for the first time. `sure`: it is no look-alike of it.
    Match {
        number: u64,
        flow: u32,
        tx_ns: i64,
        sure: bool,
    },
    /// A further copy, so long after the first one. `crowd`: there are several look-alikes that it may be a copy of.
    Copy {
        flow: u32,
        after_ns: i64,
        crowd: bool,
    },
    /// Not among those that wait.
    Nothing,
}

/// A chain that is walked along: its place in the index with the part of the key there, its first packet, and the one
/// passed last.
struct Chain {
    slot: (usize, u32),
    first: u64,
    before: Option<u64>,
}

/// A packet of a chain, and the one before it there; none before the first.
#[derive(Clone, Copy)]
struct Link {
    number: u64,
    before: Option<u64>,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Outstanding {
    blocks: VecDeque<Vec<Sent>>,
    /// Number of the first entry of the first block.
    base: u64,
    /// Number of the first entry that is still in the queue.
    first: u64,
    end: u64,
    /// Upper half: a part of the key. Lower half: the number of its entry, marked [`USED`].
    slots: Vec<u64>,
    used: usize,
    /// Number of the packet that is expected next.
    expected: u64,
    /// Packets looked for since the last batch, and those of them that were not where they were expected.
    sought: u32,
    strayed: u32,
    /// Look-alikes are counted that were sent within this time of one another.
    span_ns: i64,
    /// Packets sent that look like one that waits.
    pub look_alikes: u64,
    /// Of them, those sent within a few milliseconds of the one before.
    pub close: u64,
}

impl Outstanding {
    /// `expected`: about how many will be in it at once. `span_ns`: packets with the same key that were sent farther
    /// apart than this are no look-alikes.
    pub fn new(expected: usize, span_ns: i64) -> Self {
        let slots = (expected / 5 * 7).clamp(1 << 10, 1 << 31);
        Self {
            blocks: VecDeque::new(),
            base: 0,
            first: 0,
            end: 0,
            slots: vec![0; slots.next_multiple_of(LINE)],
            used: 0,
            expected: 0,
            sought: 0,
            strayed: 0,
            span_ns,
            look_alikes: 0,
            close: 0,
        }
    }

    /// With the counts of another one, whose packets are gone.
    pub fn counting(self, other: &Self) -> Self {
        Self {
            look_alikes: other.look_alikes,
            close: other.close,
            ..self
        }
    }

    pub fn front(&self) -> Option<&Sent> {
        (self.first < self.end).then(|| self.get(self.first))
    }

    /// All in it, in sending order.
    pub fn iter(&self) -> impl Iterator<Item = &Sent> {
        let skip = (self.first - self.base) as usize;
        self.blocks.iter().flatten().skip(skip)
    }

    fn get(&self, number: u64) -> &Sent {
        let at = (number - self.base) as usize;
        &self.blocks[at / BLOCK][at % BLOCK]
    }

    fn get_mut(&mut self, number: u64) -> &mut Sent {
        let at = (number - self.base) as usize;
        &mut self.blocks[at / BLOCK][at % BLOCK]
    }

    /// The number in full of one kept modulo [`WRAP`].
    fn full(&self, short: u32) -> u64 {
        let low = (self.first % u64::from(WRAP)) as u32;
        self.first + u64::from(short.wrapping_sub(low) % WRAP)
    }

    fn short(number: u64) -> u32 {
        (number % u64::from(WRAP)) as u32
    }

    /// Where a key's search begins, and the part of it that is kept there. Keys that follow one another, as sequence
    /// numbers do, share a cache line; the lines are scattered.
    fn home(&self, key: u64) -> (usize, u32) {
        let lines = (self.slots.len() / LINE) as u128;
        let scattered = (key / LINE as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line = ((u128::from(scattered) * lines) >> 64) as usize;
        let part = (key.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32;
        (line * LINE + key as usize % LINE, part)
    }

    fn slot(part: u32, number: u64) -> u64 {
        u64::from(part) << 32 | u64::from(Self::short(number) | USED)
    }

    fn number(&self, slot: u64) -> u64 {
        self.full(slot as u32 & !USED)
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() {
            0
        } else {
            at + 1
        }
    }

    /// The place of a key: of its entry, or the free one where it would go; and the part of the key to keep there.
    fn place(&self, key: u64) -> (usize, u32, Option<u64>) {
        let (mut at, part) = self.home(key);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return (at, part, None);
            }
            if (slot >> 32) as u32 == part {
                let number = self.number(slot);
                if self.get(number).key == key {
                    return (at, part, Some(number));
                }
            }
            at = self.after(at);
        }
    }

    /// Brings what keys will need into the processor's cache.
    pub fn warm(&self, keys: impl Iterator<Item = u64> + Clone) {
        let first = |key: u64| self.slots[self.home(key).0];
        let mut seen = keys.clone().fold(0, |seen, key| seen ^ first(key));
        for key in keys {
            let slot = first(key);
            if slot != 0 {
                seen ^= self.get(self.number(slot)).key;
            }
        }
        std::hint::black_box(seen);
    }

    /// Adds the next packet sent. Where keys are `unique`, one that is in it already is a copy: it is left out, and
    /// false is returned.
    pub fn push(&mut self, key: u64, tx_ns: i64, flow: u32, unique: bool) -> bool {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let number = self.end;
        let short = Self::short(number);
        if self.blocks.back().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push_back(Vec::with_capacity(BLOCK));
        }
        let (at, part, head) = self.place(key);
        if unique && let Some(head) = head {
            self.close += u64::from(tx_ns.saturating_sub(self.get(head).tx_ns) <= CLOSE_NS);
            return false;
        }
        if let Some(block) = self.blocks.back_mut() {
            block.push(Sent {
                key,
                tx_ns,
                rx_ns: MISSING,
                next: NONE,
                tail: short,
                flow,
                flags: 0,
            });
        }
        self.end += 1;
        let Some(head) = head else {
            self.slots[at] = Self::slot(part, number);
            self.used += 1;
            return true;
        };
        let tail = self.full(self.get(head).tail);
        let span_ns = self.span_ns;
        let before = self.get_mut(tail);
        before.next = short;
        let apart = tx_ns.saturating_sub(before.tx_ns);
        if apart <= span_ns {
            before.flags |= CHAINED;
            self.get_mut(number).flags |= CHAINED;
            self.look_alikes += 1;
            self.close += u64::from(apart <= CLOSE_NS);
        }
        self.get_mut(head).tail = short;
        true
    }

    /// Whether packets come in so wild an order that the index has to be asked for many: worth a [`Outstanding::warm`]
    /// for the next batch. Tells of the time since it was last asked.
    pub fn is_scattered(&mut self) -> bool {
        let scattered = self.strayed * 8 > self.sought;
        (self.sought, self.strayed) = (0, 0);
        scattered
    }

    /// The packet of this key, if it lies near where it is expected and has no look-alikes.
    fn near(&mut self, key: u64) -> Option<u64> {
        self.sought += 1;
        let from = self.expected.saturating_sub(BACK).max(self.first);
        let to = (self.expected + AHEAD).min(self.end);
        let known = |number: &u64| {
            let sent = self.get(*number);
            sent.key == key && sent.flags & CHAINED == 0
        };
        let ahead = (self.expected.max(from)..to).find(known);
        let near = ahead.or_else(|| (from..self.expected.min(to)).find(known));
        match near {
            Some(number) => self.expected = number + 1,
            None => self.strayed += 1,
        }
        near
    }

    /// A packet with this key was seen at `rx_ns`.
    ///
    /// Of look-alikes, the one is taken whose transit time agrees with what is known of the flow. Where several agree,
    /// the oldest of them that was not found yet is taken, and the match is not sure. Where none agrees, the nearest is
    /// taken; that is sure where no other is nearly as near.
    pub fn find(&mut self, key: u64, rx_ns: i64, judge: &impl Judge) -> Found {
        if let Some(number) = self.near(key) {
            return self.only(number, rx_ns, judge);
        }
        let (at, part, Some(first)) = self.place(key) else {
            return Found::Nothing;
        };
        if self.get(first).next == NONE && self.get(first).flags & CHAINED == 0 {
            self.expected = first + 1;
            return self.only(first, rx_ns, judge);
        }
        let found = self.of_chain((at, part), first, rx_ns, judge);
        if let Found::Match { number, .. } = found {
            self.expected = number + 1;
        }
        found
    }

    /// An arrival of which only one packet can be the origin.
    fn only(&mut self, number: u64, rx_ns: i64, judge: &impl Judge) -> Found {
        let sent = self.get(number);
        if judge.reach(sent.tx_ns, rx_ns) != Reach::Within {
            return Found::Nothing;
        }
        self.taken(number, rx_ns, true)
    }

    /// The packet of this number arrived; again, where it has been found before.
    fn taken(&mut self, number: u64, rx_ns: i64, sure: bool) -> Found {
        let sent = self.get_mut(number);
        if sent.rx_ns != MISSING {
            return Found::Copy {
                flow: sent.flow,
                after_ns: rx_ns.saturating_sub(sent.rx_ns),
                crowd: !sure,
            };
        }
        sent.rx_ns = rx_ns;
        sent.flags |= if sure { 0 } else { UNSURE };
        Found::Match {
            number,
            flow: sent.flow,
            tx_ns: sent.tx_ns,
            sure,
        }
    }

    fn of_chain(
        &mut self,
        slot: (usize, u32),
        first: u64,
        rx_ns: i64,
        judge: &impl Judge,
    ) -> Found {
        let band = judge.band(self.get(first).flow, rx_ns);
        let mut chain = Chain {
            slot,
            first,
            before: None,
        };
        // Not found: how many took too long and the latest two of them; and the first that was sent too late. Found: the
        // latest that took too long. Each with how much it misses the band by.
        let (mut open, mut older, mut newer) = (0, [None; 2], None);
        let mut found_before: Option<(Link, i64)> = None;
        let (mut in_band, mut open_in_band) = (0, None);
        let mut found_in_band: Option<Link> = None;
        let mut next = Some(first);
        while let Some(number) = next {
            let sent = *self.get(number);
            next = (sent.next != NONE).then(|| self.full(sent.next));
            let link = Link {
                number,
                before: chain.before,
            };
            match judge.reach(sent.tx_ns, rx_ns) {
                Reach::Within => {}
                Reach::TooNew => break,
                Reach::TooOld => {
                    if !self.unlink(&mut chain, link) {
                        break;
                    }
                    continue;
                }
            }
            let found = sent.rx_ns != MISSING;
            let transit = rx_ns.saturating_sub(sent.tx_ns);
            chain.before = Some(number);
            if transit > band.to {
                let by = transit.saturating_sub(band.to);
                if found {
                    // Only of the latest may copies still be under way.
                    if let Some((stale, _)) = found_before.replace((link, by)) {
                        self.unlink_behind(&mut chain, stale, &mut found_before);
                    }
                } else {
                    open += 1;
                    older = [Some((number, by)), older[0]];
                }
            } else if transit >= band.from {
                in_band += 1;
                if !found {
                    open_in_band = open_in_band.or(Some(number));
                } else if let Some(stale) = found_in_band.replace(link) {
                    let mut latest = Some((link, 0));
                    self.unlink_behind(&mut chain, stale, &mut latest);
                    found_in_band = latest.map(|(link, _)| link);
                }
                if open_in_band.is_some() && in_band > 1 {
                    break;
                }
            } else {
                if !found {
                    newer = Some((number, band.from.saturating_sub(transit)));
                }
                break;
            }
        }
        if open > OPEN_MAX && self.get(chain.first).rx_ns == MISSING {
            let front = Link {
                number: chain.first,
                before: None,
            };
            self.unlink(&mut chain, front);
        }
        if let Some(number) = open_in_band {
            let contested = older[0].is_some_and(|(_, by)| by <= band.contested);
            return self.taken(number, rx_ns, in_band == 1 && !contested);
        }
        let near = |by: i64| by <= band.contested;
        let open_nearby = [older[0], newer]
            .into_iter()
            .flatten()
            .filter(|(_, by)| near(*by));
        if let Some(link) = found_in_band {
            if let Some((number, _)) = open_nearby.min_by_key(|(_, by)| *by) {
                // A copy, or a look-alike that took a little longer or shorter than any before.
                return self.taken(number, rx_ns, false);
            }
            return self.taken(link.number, rx_ns, in_band == 1);
        }
        let found_before = found_before.map(|(link, by)| (link.number, by));
        let mut all = [older[0], older[1], newer, found_before];
        all.sort_unstable_by_key(|candidate| candidate.map_or(i64::MAX, |(_, by)| by));
        let [Some((number, by)), second, ..] = all else {
            return Found::Nothing;
        };
        let rival = second.map_or(i64::MAX, |(_, by)| by);
        self.taken(number, rx_ns, rival / 4 >= by)
    }

    /// Takes a packet out of its chain: nothing more arrives that could be it. The last one of a chain stays, and false is
    /// returned.
    fn unlink(&mut self, chain: &mut Chain, link: Link) -> bool {
        let next = self.get(link.number).next;
        if next == NONE {
            return false;
        }
        if let Some(before) = link.before {
            self.get_mut(before).next = next;
        } else {
            let (tail, next) = (self.get(chain.first).tail, self.full(next));
            self.get_mut(next).tail = tail;
            self.slots[chain.slot.0] = Self::slot(chain.slot.1, next);
            chain.first = next;
        }
        true
    }

    /// Takes a packet that was passed out of its chain; `latest` may come right behind it.
    fn unlink_behind(&mut self, chain: &mut Chain, stale: Link, latest: &mut Option<(Link, i64)>) {
        self.unlink(chain, stale);
        if let Some((link, _)) = latest
            && link.before == Some(stale.number)
        {
            link.before = stale.before;
        }
    }

    /// Takes the oldest out.
    pub fn pop(&mut self) -> Option<Sent> {
        let sent = *self.front()?;
        let (at, part, known) = self.place(sent.key);
        if known == Some(self.first) {
            if sent.next == NONE {
                self.vacate(at);
            } else {
                let next = self.full(sent.next);
                self.get_mut(next).tail = sent.tail;
                self.slots[at] = Self::slot(part, next);
            }
        }
        self.first += 1;
        if self.first - self.base == BLOCK as u64 {
            self.blocks.pop_front();
            self.base = self.first;
        }
        Some(sent)
    }

    /// Gives the index back: nothing is looked for any more, the queue is only emptied.
    pub fn drain(mut self) -> impl Iterator<Item = Sent> {
        self.slots = Vec::new();
        let skip = (self.first - self.base) as usize;
        self.blocks.into_iter().flatten().skip(skip)
    }

    /// Frees a place and moves up what had to give way to it.
    fn vacate(&mut self, mut hole: usize) {
        let size = self.slots.len();
        let away = |from: usize, to: usize| {
            if to >= from {
                to - from
            } else {
                to + size - from
            }
        };
        let mut at = hole;
        self.used -= 1;
        loop {
            at = self.after(at);
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let (home, _) = self.home(self.get(self.number(slot)).key);
            // It may move to the hole where its home does not lie behind that.
            if away(home, at) >= away(hole, at) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = 0;
    }

    fn grow(&mut self) {
        let larger = (self.slots.len() / 2 * 3).next_multiple_of(LINE);
        let old = std::mem::replace(&mut self.slots, vec![0; larger]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let key = self.get(self.number(slot)).key;
            let (mut at, _) = self.home(key);
            while self.slots[at] != 0 {
                at = self.after(at);
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Nothing is known of times.
    struct Anything;

    impl Judge for Anything {
        fn reach(&self, _: i64, _: i64) -> Reach {
            Reach::Within
        }
        fn band(&self, _: u32, _: i64) -> Band {
            Band::UNKNOWN
        }
    }

    /// Packets take 10 to 20, and are lost after 1000.
    struct Known;

    impl Judge for Known {
        fn reach(&self, tx_ns: i64, rx_ns: i64) -> Reach {
            match rx_ns - tx_ns {
                i64::MIN..-1000 => Reach::TooNew,
                -1000..=1000 => Reach::Within,
                _ => Reach::TooOld,
            }
        }
        fn band(&self, _: u32, _: i64) -> Band {
            Band {
                from: 10,
                to: 20,
                contested: 5,
            }
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Push(u64),
        Find(u64),
        Pop,
    }

    /// Of few keys, which come again and again, or of so many that hardly any does.
    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop_oneof![Just(400u64), Just(100_000)].prop_flat_map(steps_of)
    }

    fn steps_of(keys: u64) -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..keys).prop_map(Step::Push),
            3 => (0..keys).prop_map(Step::Find),
            2 => Just(Step::Pop),
        ];
        prop::collection::vec(step, 0..4000)
    }

    proptest! {
        /// Against a plain list, word for word: the oldest of a key that was not found yet; else a copy.
        #[test]
        fn same_as_a_plain_list(steps in steps()) {
            let mut queue = Outstanding::new(4, i64::MAX);
            let mut list: Vec<(u64, u64, bool)> = Vec::new();
            let mut number = 0;
            for (time, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(key) => {
                        prop_assert!(queue.push(key, time as i64, key as u32, false));
                        list.push((number, key, false));
                        number += 1;
                    }
                    Step::Find(key) => {
                        let found = queue.find(key, time as i64, &Anything);
                        let known = list.iter().any(|(_, k, _)| *k == key);
                        let open = list.iter_mut().find(|(_, k, f)| *k == key && !*f);
                        match open {
                            Some(entry) => {
                                entry.2 = true;
                                let matched = matches!(found, Found::Match { number, .. } if number == entry.0);
                                prop_assert!(matched, "{found:?} {entry:?}");
                            }
                            None if known => {
                                let copy = matches!(found, Found::Copy { flow, .. } if flow == key as u32);
                                prop_assert!(copy, "{found:?}");
                            }
                            None => prop_assert_eq!(found, Found::Nothing),
                        }
                    }
                    Step::Pop => {
                        let popped = queue.pop().map(|s| (s.flow, s.rx_ns().is_some()));
                        let expected = (!list.is_empty()).then(|| list.remove(0));
                        prop_assert_eq!(popped, expected.map(|(_, k, f)| (k as u32, f)));
                    }
                }
                prop_assert_eq!((queue.end - queue.first) as usize, list.len());
            }
            let left: Vec<_> = queue.drain().map(|s| s.flow).collect();
            prop_assert_eq!(left, list.iter().map(|(_, k, _)| *k as u32).collect::<Vec<_>>());
        }
    }

    /// Numbered packets that arrive about in order, some late, some lost, some twice: each is found for what it is.
    #[test]
    fn packets_in_order_are_found_without_the_index_and_the_others_with_it() {
        let mut queue = Outstanding::new(16, i64::MAX);
        let key = |seq: u64| seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for seq in 0..50_000 {
            assert!(queue.push(key(seq), 0, 1, true));
        }
        for seq in 0..49_000 {
            // Every third lies a little, every hundredth far from its place; every tenth is lost.
            let seq = match seq {
                s if s % 100 == 50 => 49_000 + s / 100,
                s if s % 3 == 0 => s + 2,
                s if s % 3 == 2 => s - 2,
                s => s,
            };
            if seq % 10 == 7 {
                continue;
            }
            let found = queue.find(key(seq), 5, &Anything);
            let matched = matches!(found, Found::Match { number, .. } if number == seq);
            assert!(
                matched || matches!(found, Found::Copy { flow: 1, .. }),
                "{seq}: {found:?}"
            );
        }
        assert!(!queue.is_scattered());
        assert!(matches!(
            queue.find(key(3), 6, &Anything),
            Found::Copy {
                flow: 1,
                after_ns: 1,
                crowd: false
            }
        ));
        assert_eq!(queue.find(key(60_000), 6, &Anything), Found::Nothing);
        for seq in (0..50_000).map(|n| n * 7919 % 50_000) {
            queue.find(key(seq), 7, &Anything);
        }
        assert!(queue.is_scattered());
    }

    /// Sends at these times, all alike; then arrivals, each with what it should be: the number, and whether that is sure.
    fn look_alikes(sent: &[i64], arrivals: &[(i64, Option<(u64, bool)>)]) {
        let mut queue = Outstanding::new(16, i64::MAX);
        for at in sent {
            queue.push(7, *at, 0, false);
        }
        for (at, expected) in arrivals {
            let found = match queue.find(7, *at, &Known) {
                Found::Match { number, sure, .. } => Some((number, sure)),
                Found::Copy { .. } | Found::Nothing => None,
            };
            assert_eq!(found, *expected, "{sent:?} at {at}");
        }
    }

    #[test]
    fn of_look_alikes_the_one_is_taken_whose_time_agrees() {
        // The first is lost; it is not taken for the second.
        look_alikes(
            &[0, 100, 200],
            &[(115, Some((1, true))), (215, Some((2, true)))],
        );
        // Copies stay copies, also behind the band.
        look_alikes(
            &[0, 100],
            &[
                (15, Some((0, true))),
                (16, None),
                (30, None),
                (115, Some((1, true))),
            ],
        );
        // One late by far, with none nearer.
        look_alikes(&[0, 400], &[(60, Some((0, true))), (415, Some((1, true)))]);
        // As near to one as to the other.
        look_alikes(&[0, 100], &[(65, Some((0, false)))]);
        // Two agree: the older, and not for sure.
        look_alikes(&[0, 5], &[(17, Some((0, false))), (18, Some((1, false)))]);
        // One agrees, but another may just have been late.
        look_alikes(&[0, 14], &[(24, Some((1, false)))]);
        // Beyond the horizon.
        look_alikes(&[0, 1], &[(1500, None)]);
    }

    #[test]
    fn many_look_alikes_stay_fast() {
        for (gap, lost) in [(100, 3), (1, 3), (100, i64::MAX), (1, i64::MAX)] {
            let mut queue = Outstanding::new(16, i64::MAX);
            for i in 0..100_000 {
                queue.push(7, i * gap, 0, false);
            }
            let mut found = 0;
            for i in (0..100_000).filter(|i| i % lost != 1) {
                let hit = queue.find(7, i * gap + 15, &Known);
                found += u64::from(matches!(hit, Found::Match { .. }));
            }
            assert!(found >= 66_000, "{gap} {lost}: {found}");
        }
    }

    #[test]
    fn many_keys_that_follow_one_another_stay_fast() {
        // Ten flows of numbered packets: clusters would make this quadratic.
        let mut queue = Outstanding::new(16, i64::MAX);
        for seq in 0..50_000u64 {
            for flow in 0..10u64 {
                assert!(queue.push(flow << 32 | seq, 0, flow as u32, true));
                assert!(!queue.push(flow << 32 | seq, 0, flow as u32, true));
            }
        }
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for seq in 0..50_000u64 {
            for flow in 0..10u64 {
                let key = flow << 32 | seq;
                let (at, _, number) = queue.place(key);
                assert!(number.is_some());
                let away = (at + queue.slots.len() - queue.home(key).0) % queue.slots.len();
                *lengths.entry(away.min(1000)).or_default() += 1;
            }
        }
        let total: usize = lengths.iter().map(|(away, n)| away * n).sum();
        assert!(total / 500_000 < 50, "{}", total / 500_000);
    }
}
