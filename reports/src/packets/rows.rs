//! Where the row of each packet lies. Sequence numbers of a flow follow each other, so a list finds nearly all of them;
//! a map for ten million packets would take most of a report's time.

use std::collections::HashMap;

/// Rows by flow and sequence number.
#[derive(Default)]
pub(super) struct Rows {
    /// A trial has few flows.
    flows: Vec<(u16, Flow)>,
}

#[derive(Default)]
struct Flow {
    /// Row and one by sequence number; 0 where there is none.
    list: Vec<u32>,
    /// What would make the list much longer than there are packets: a stray number must not take all memory.
    far: HashMap<u32, usize>,
    known: usize,
}

impl Rows {
    /// The row of a packet; `new` makes one where there is none yet.
    pub(super) fn find_or(&mut self, flow: u16, seq: u32, new: impl FnOnce() -> usize) -> usize {
        let known = self.flows.iter().position(|(of, _)| *of == flow);
        let place = known.unwrap_or_else(|| {
            self.flows.push((flow, Flow::default()));
            self.flows.len() - 1
        });
        self.flows[place].1.find_or(seq, new)
    }
}

impl Flow {
    fn find_or(&mut self, seq: u32, new: impl FnOnce() -> usize) -> usize {
        let at = seq as usize;
        if let Some(row) = self.list.get(at).filter(|row| **row > 0) {
            return *row as usize - 1;
        }
        if let Some(row) = self.far.get(&seq) {
            return *row;
        }
        let row = new();
        self.known += 1;
        match u32::try_from(row + 1) {
            Ok(stored) if at < 4 * self.known + 4096 => {
                if self.list.len() <= at {
                    self.list.resize(at + 1, 0);
                }
                self.list[at] = stored;
            }
            _ => {
                self.far.insert(seq, row);
            }
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As a map would, and without a list that a far number makes long.
        #[test]
        fn finds_what_a_map_finds(
            packets in proptest::collection::vec((0u16..3, prop_oneof![0u32..3000, any::<u32>()]), 1..2000),
        ) {
            let mut rows = Rows::default();
            let mut map: HashMap<(u16, u32), usize> = HashMap::new();
            for (flow, seq) in packets {
                let next = map.len();
                let expected = *map.entry((flow, seq)).or_insert(next);
                prop_assert_eq!(rows.find_or(flow, seq, || next), expected);
            }
            for (_, flow) in &rows.flows {
                prop_assert!(flow.list.len() <= 4 * flow.known + 4096);
            }
        }
    }
}
