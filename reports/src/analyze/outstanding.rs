//! Packets of the first capture that wait to be found in the second: a queue in sending order with an index by key.
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
}

impl Sent {
    /// When it was found; none where it was not.
    pub fn rx_ns(&self) -> Option<i64> {
        (self.rx_ns != MISSING).then_some(self.rx_ns)
    }
}

/// What a packet of the second capture turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The packet of this number in sending order, for the first time.
    Match { number: u64, flow: u32, tx_ns: i64 },
    /// A further copy.
    Copy { flow: u32 },
    /// Not among those that wait.
    Nothing,
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
    /// Packets sent that cannot be told from one that waits.
    pub look_alikes: u64,
}

impl Outstanding {
    /// `expected`: about how many will be in it at once.
    pub fn new(expected: usize) -> Self {
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
            look_alikes: 0,
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
        if unique && head.is_some() {
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
            });
        }
        self.end += 1;
        let Some(head) = head else {
            self.slots[at] = Self::slot(part, number);
            self.used += 1;
            return true;
        };
        self.look_alikes += 1;
        let tail = self.full(self.get(head).tail);
        self.get_mut(tail).next = short;
        self.get_mut(head).tail = short;
        if self.get(head).rx_ns != MISSING {
            // The one before was found already: the next to be found is this one.
            self.slots[at] = Self::slot(part, number);
        }
        true
    }

    /// Whether packets come in so wild an order that the index has to be asked for many: worth a [`Outstanding::warm`]
    /// for the next batch. Tells of the time since it was last asked.
    pub fn is_scattered(&mut self) -> bool {
        let scattered = self.strayed * 8 > self.sought;
        (self.sought, self.strayed) = (0, 0);
        scattered
    }

    /// The packet of this key, if it lies near where it is expected. Only where all packets differ, so that there is no
    /// other that would have to be found first.
    fn near(&mut self, key: u64) -> Option<u64> {
        self.sought += 1;
        let near = if self.look_alikes > 0 {
            None
        } else {
            let from = self.expected.saturating_sub(BACK).max(self.first);
            let to = (self.expected + AHEAD).min(self.end);
            let known = |number: &u64| self.get(*number).key == key;
            let ahead = (self.expected.max(from)..to).find(known);
            ahead.or_else(|| (from..self.expected.min(to)).find(known))
        };
        match near {
            Some(number) => self.expected = number + 1,
            None => self.strayed += 1,
        }
        near
    }

    /// A packet with this key was seen at `rx_ns`.
    pub fn find(&mut self, key: u64, rx_ns: i64) -> Found {
        if let Some(number) = self.near(key) {
            let sent = self.get_mut(number);
            if sent.rx_ns != MISSING {
                return Found::Copy { flow: sent.flow };
            }
            sent.rx_ns = rx_ns;
            return Found::Match {
                number,
                flow: sent.flow,
                tx_ns: sent.tx_ns,
            };
        }
        let (at, part, Some(number)) = self.place(key) else {
            return Found::Nothing;
        };
        let sent = self.get_mut(number);
        if sent.rx_ns != MISSING {
            return Found::Copy { flow: sent.flow };
        }
        sent.rx_ns = rx_ns;
        let found = Found::Match {
            number,
            flow: sent.flow,
            tx_ns: sent.tx_ns,
        };
        let (next, tail) = (sent.next, sent.tail);
        self.expected = number + 1;
        if next != NONE {
            let next = self.full(next);
            self.get_mut(next).tail = tail;
            self.slots[at] = Self::slot(part, next);
        }
        found
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
            let mut queue = Outstanding::new(4);
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
                        let found = queue.find(key, time as i64);
                        let known = list.iter().any(|(_, k, _)| *k == key);
                        let open = list.iter_mut().find(|(_, k, f)| *k == key && !*f);
                        match open {
                            Some(entry) => {
                                entry.2 = true;
                                let matched = matches!(found, Found::Match { number, .. } if number == entry.0);
                                prop_assert!(matched, "{found:?} {entry:?}");
                            }
                            None if known => {
                                prop_assert_eq!(found, Found::Copy { flow: key as u32 });
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
        let mut queue = Outstanding::new(16);
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
            let found = queue.find(key(seq), 5);
            let matched = matches!(found, Found::Match { number, .. } if number == seq);
            assert!(
                matched || found == Found::Copy { flow: 1 },
                "{seq}: {found:?}"
            );
        }
        assert!(!queue.is_scattered());
        assert_eq!(queue.find(key(3), 6), Found::Copy { flow: 1 });
        assert_eq!(queue.find(key(60_000), 6), Found::Nothing);
        for seq in (0..50_000).map(|n| n * 7919 % 50_000) {
            queue.find(key(seq), 7);
        }
        assert!(queue.is_scattered());
    }

    #[test]
    fn many_keys_that_follow_one_another_stay_fast() {
        // Ten flows of numbered packets: clusters would make this quadratic.
        let mut queue = Outstanding::new(16);
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
