//! How much later the second clock shows the same packets, from a sample of both captures.
//!
//! The sample has all packets of some keys, in both captures the same. Transit times of true twins lie close together;
//! those of look-alikes that are held to be twins lie anywhere, or a period beside. The densest stretch is taken, if no other
//! explains as many packets.

/// Keys are sampled so that about so many packets are.
const SAMPLE: u64 = 1 << 16;
/// A packet is compared with look-alikes so many places before and behind its own.
const APART: usize = 8;
/// Stretches of transit times that are tried, in nanoseconds.
const WIDTHS: [i64; 7] = [
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    i64::MAX / 4,
];
/// Stretches of the capture that have a value each.
const CELLS: usize = 16;

/// A packet of the sample: its key and its stamp.
pub(super) type Sampled = (u64, i64);

/// Which keys are in the sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampler {
    mask: u64,
}

impl Sampler {
    /// For captures of about so many packets.
    pub fn new(expected: u64) -> Self {
        let every = (expected / SAMPLE).max(1).next_power_of_two();
        Self { mask: every - 1 }
    }

    pub fn takes(self, key: u64) -> bool {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) & self.mask == 0
    }
}

/// Transit times about a moment: the least, the middle and the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Typical {
    pub least: i64,
    pub middle: i64,
    pub greatest: i64,
}

/// How much later the second clock shows a packet, by the time of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alignment {
    from_ns: i64,
    cell_ns: i64,
    cells: Vec<Typical>,
    /// No other offset of the clocks explains as many packets.
    pub clear: bool,
}

/// Sends of a key and its arrivals, both in order of time, paired up with those nearby.
fn pairs(tx: &mut [Sampled], rx: &mut [Sampled]) -> (Vec<(i64, i64)>, u64, u64) {
    tx.sort_unstable();
    rx.sort_unstable();
    let (mut pairs, mut arrivals, mut repeated) = (Vec::new(), 0, 0);
    let mut at = 0;
    for seen in rx.chunk_by(|a, b| a.0 == b.0) {
        let key = seen[0].0;
        at += tx[at..].partition_point(|(k, _)| *k < key);
        let sent = &tx[at..at + tx[at..].partition_point(|(k, _)| *k == key)];
        if sent.is_empty() {
            continue;
        }
        repeated += u64::from(sent.len() > 1);
        arrivals += seen.len() as u64;
        for (i, (_, rx_ns)) in seen.iter().enumerate() {
            let near = i.saturating_sub(APART).min(sent.len())..(i + APART + 1).min(sent.len());
            for (_, tx_ns) in &sent[near] {
                pairs.push((rx_ns.saturating_sub(*tx_ns), *tx_ns));
            }
        }
    }
    pairs.sort_unstable();
    (pairs, arrivals, repeated)
}

/// The densest stretch of so much time: where it begins and ends among sorted values.
fn densest(values: &[(i64, i64)], width: i64) -> (usize, usize) {
    let (mut best, mut from) = ((0, 0), 0);
    for to in 0..values.len() {
        while values[to].0.saturating_sub(values[from].0) > width {
            from += 1;
        }
        if to + 1 - from > best.1 - best.0 {
            best = (from, to + 1);
        }
    }
    best
}

impl Alignment {
    /// From the samples of both captures. `one_clock`: how far the clocks lie apart at most, where that is known.
    pub fn of(mut tx: Vec<Sampled>, mut rx: Vec<Sampled>, one_clock: Option<u64>) -> Option<Self> {
        let (pairs, arrivals, repeated) = pairs(&mut tx, &mut rx);
        let width = WIDTHS.into_iter().find(|width| {
            let (from, to) = densest(&pairs, *width);
            (to - from) as u64 * 10 >= arrivals * 6
        })?;
        let stretch = |values: &[(i64, i64)]| {
            let (mut from, mut to) = densest(values, width);
            let near = |a: usize, b: usize| values[b].0.saturating_sub(values[a].0) <= width;
            while from > 0 && near(from - 1, from) {
                from -= 1;
            }
            while to > 0 && to < values.len() && near(to - 1, to) {
                to += 1;
            }
            (from, to)
        };
        let (from, to) = stretch(&pairs);
        if from == to {
            return None;
        }
        let mut chosen = &pairs[from..to];
        // Each look-alike that comes again leaves one packet over where the offset is wrong by a period.
        let margin = (repeated / 2).max(8) as usize;
        let mut rest = [&pairs[..from], &pairs[to..]].concat();
        let mut clear = true;
        let mut rival = stretch(&rest);
        if repeated > 0 && rival.1 - rival.0 + margin > to - from {
            clear = false;
            // The clocks are one: no packet arrives before it was sent, and of what is left the least is likeliest.
            if let Some(apart) = one_clock {
                let floor = i64::try_from(apart).unwrap_or(i64::MAX).saturating_neg();
                let possible = |values: &[(i64, i64)]| values.first().is_some_and(|v| v.0 >= floor);
                let mut least: Option<Vec<(i64, i64)>> = None;
                let enough = (to - from) * 9 / 10;
                if possible(chosen) {
                    least = Some(chosen.to_vec());
                }
                while rival.1 - rival.0 >= enough.max(1) {
                    let values = rest[rival.0..rival.1].to_vec();
                    if possible(&values) && least.as_ref().is_none_or(|l| values[0] < l[0]) {
                        least = Some(values);
                    }
                    rest.drain(rival.0..rival.1);
                    rival = stretch(&rest);
                }
                if let Some(least) = least {
                    clear = true;
                    return Some(Self::cells(&least, clear));
                }
            }
            chosen = &pairs[from..to];
        }
        Some(Self::cells(chosen, clear))
    }

    fn cells(chosen: &[(i64, i64)], clear: bool) -> Self {
        let times = || chosen.iter().map(|(_, tx_ns)| *tx_ns);
        let from_ns = times().min().unwrap_or(0);
        let span = times().max().unwrap_or(0).saturating_sub(from_ns);
        let cell_ns = (span / CELLS as i64).max(1);
        let mut values = vec![Vec::new(); CELLS];
        for (transit, tx_ns) in chosen {
            let cell = (tx_ns.saturating_sub(from_ns) / cell_ns).clamp(0, CELLS as i64 - 1);
            values[cell as usize].push(*transit);
        }
        let mut last = None;
        let mut cells: Vec<Option<Typical>> = values
            .into_iter()
            .map(|v| {
                // In order, as `chosen` is.
                let typical = v.first().zip(v.last()).map(|(least, greatest)| Typical {
                    least: *least,
                    middle: v[v.len() / 2],
                    greatest: *greatest,
                });
                last = typical.or(last);
                last
            })
            .collect();
        let first = cells.iter().flatten().next().copied();
        for cell in &mut cells {
            *cell = cell.or(first);
        }
        Self {
            from_ns,
            cell_ns,
            cells: cells.into_iter().flatten().collect(),
            clear,
        }
    }

    /// What is typical of packets sent at this time.
    pub fn at(&self, tx_ns: i64) -> Typical {
        let cell = tx_ns.saturating_sub(self.from_ns) / self.cell_ns;
        self.cells[cell.clamp(0, self.cells.len() as i64 - 1) as usize]
    }

    /// The least and the greatest middle of the whole capture.
    pub fn range(&self) -> (i64, i64) {
        let middles = || self.cells.iter().map(|cell| cell.middle);
        (middles().min().unwrap_or(0), middles().max().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shuffled(n: i64, period: i64, lost: i64) -> (Vec<Sampled>, Vec<Sampled>) {
        let tx: Vec<Sampled> = (0..n).map(|i| ((i % period) as u64, i * 5_000)).collect();
        let late = |i: i64| 200_000 + i * 7919 % 250_000;
        let rx = tx
            .iter()
            .enumerate()
            .filter(|(i, _)| *i as i64 % lost != 1)
            .map(|(i, (key, at))| (*key, at + late(i as i64)))
            .collect();
        (tx, rx)
    }

    #[test]
    fn numbers_that_come_again_do_not_mislead() {
        for n in [3_000, 10_500, 100_000] {
            let (tx, rx) = shuffled(n, 1_000, 97);
            let alignment = Alignment::of(tx, rx, None).unwrap();
            assert!(alignment.clear, "{n}");
            for at in [0, n * 2_500, n * 5_000] {
                let typical = alignment.at(at);
                assert!(
                    typical.least >= 200_000 && typical.greatest < 450_000,
                    "{n} {typical:?}"
                );
            }
        }
    }

    #[test]
    fn what_fits_as_well_a_period_beside_is_not_clear() {
        // Captured in the middle of a flood: what came first and what went last is not known.
        let (tx, rx) = shuffled(20_000, 1_000, 97);
        let rx: Vec<_> = rx
            .into_iter()
            .filter(|(_, at)| (40_000_000..60_000_000).contains(at))
            .collect();
        assert!(!Alignment::of(tx.clone(), rx.clone(), None).unwrap().clear);
        // But one clock leaves only one.
        let alignment = Alignment::of(tx, rx, Some(0)).unwrap();
        assert!(alignment.clear && (200_000..450_000).contains(&alignment.at(50_000_000).middle));
    }

    proptest! {
        #[test]
        fn an_offset_is_found_whatever_the_clocks(offset in -1_000_000_000_000i64..1_000_000_000_000, ppm in -100i64..100) {
            let tx: Vec<Sampled> = (0..2_000).map(|i| (i * 7 % 2003, i as i64 * 1_000_000)).collect();
            let rx: Vec<Sampled> = tx.iter()
                .map(|(key, at)| (*key, at + offset + at * ppm / 1_000_000 + (*key as i64 % 100) * 1_000)).collect();
            let alignment = Alignment::of(tx, rx, None).unwrap();
            prop_assert!(alignment.clear);
            for at in [0i64, 1_000_000_000, 1_999_000_000] {
                let truth = offset + at * ppm / 1_000_000;
                prop_assert!((alignment.at(at).middle - truth).abs() < 150_000);
            }
        }
    }
}
