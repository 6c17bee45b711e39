//! Where the least transit time jumped and stayed where it was then.
//!
//! No queue does that: it empties again. Either a clock was set, or the path became another one. Transit times are put
//! into cells of equally many packets, and of each the least is kept. A jump is found where all cells behind lie
//! above most cells before, or below, once a constant drift is taken out.

/// Cells that are kept; with more packets each holds more.
const MAX_CELLS: usize = 1024;
/// Packets in a cell at first.
const FIRST: u32 = 8;
/// Cells on each side of a jump, at least: what lasted shorter may have been a queue.
const SIDE_MIN: usize = 8;
/// Cells next to a jump that have to be on its side, all of them.
const EDGE: usize = 3;
/// A smaller jump is none.
const STEP_MIN_NS: i64 = 200_000;
/// It is larger than so many times what cells differ from their neighbours by.
const NOISE: i64 = 4;
/// Jumps that are told apart.
const MAX_STEPS: usize = 16;

/// A jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "all are nanoseconds")]
pub(super) struct Step {
    /// Packets sent before this time came before the jump.
    pub from_ns: i64,
    /// Packets sent at this time and later came behind it.
    pub to_ns: i64,
    /// How much longer packets seem to take behind it.
    pub by_ns: i64,
    /// What packets took right before.
    before_ns: i64,
}

impl Step {
    /// About when, by the clock of the first capture.
    pub fn at_ns(&self) -> i64 {
        self.from_ns
            .saturating_add(self.to_ns.saturating_sub(self.from_ns) / 2)
    }

    /// Whether a packet came behind the jump. Of those about that time its transit time tells.
    pub fn is_behind(&self, tx_ns: i64, transit_ns: i64) -> bool {
        if tx_ns < self.from_ns || tx_ns >= self.to_ns {
            return tx_ns >= self.to_ns;
        }
        let above = transit_ns.saturating_sub(self.before_ns);
        (above - self.by_ns).abs() < above.abs()
    }
}

/// What all jumps before a packet add to its transit time.
pub(super) fn shift(steps: &[Step], tx_ns: i64, transit_ns: i64) -> i64 {
    let mut shift = 0;
    for step in steps {
        if step.is_behind(tx_ns, transit_ns - shift) {
            shift += step.by_ns;
        }
    }
    shift
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    from_ns: i64,
    /// Its least transit time.
    least: i64,
}

/// The least transit times of one direction, in the order of sending.
#[derive(Debug)]
pub(super) struct Levels {
    /// The least; else the greatest, kept with its sign turned.
    lower: bool,
    cells: Vec<Cell>,
    /// Packets in a full cell, and in the last one.
    full: u32,
    n: u32,
}

impl Levels {
    pub fn new(lower: bool) -> Self {
        Self {
            lower,
            cells: Vec::new(),
            full: FIRST,
            n: FIRST,
        }
    }

    pub fn add(&mut self, tx_ns: i64, transit_ns: i64) {
        let value = if self.lower {
            transit_ns
        } else {
            transit_ns.saturating_neg()
        };
        if self.n == self.full {
            if self.cells.len() == MAX_CELLS {
                let halved = self.cells.chunks(2).map(|pair| Cell {
                    from_ns: pair[0].from_ns,
                    least: pair.iter().map(|cell| cell.least).min().unwrap_or(i64::MAX),
                });
                self.cells = halved.collect();
                self.full *= 2;
            }
            self.n = 0;
            self.cells.push(Cell {
                from_ns: tx_ns,
                least: value,
            });
        } else if let Some(cell) = self.cells.last_mut() {
            cell.least = cell.least.min(value);
        }
        self.n += 1;
    }

    /// All jumps, in order of time.
    pub fn steps(&self) -> Vec<Step> {
        let levels = self.without_drift();
        let mut steps = Vec::new();
        let mut open = vec![(0, levels.len())];
        while let Some((from, to)) = open.pop()
            && steps.len() < MAX_STEPS
        {
            if let Some((at, by)) = jump(&levels[from..to]) {
                let at = from + at;
                steps.push((at, by));
                open.extend([(from, at), (at, to)]);
            }
        }
        steps.sort_unstable();
        let step = |(at, by): (usize, i64)| {
            let near = &self.cells[at.saturating_sub(SIDE_MIN)..at];
            let before = median(near.iter().map(|cell| cell.least).collect());
            let sign = if self.lower { 1 } else { -1 };
            Step {
                from_ns: self.cells[at - 1].from_ns,
                // The cell behind may still hold packets that came before.
                to_ns: self.cells.get(at + 1).map_or(i64::MAX, |cell| cell.from_ns),
                by_ns: by * sign,
                before_ns: before * sign,
            }
        };
        steps.into_iter().map(step).collect()
    }

    /// By how much the level changes at the time of a jump that was found elsewhere.
    pub fn jump(&self, step: &Step) -> Option<i64> {
        let at = self.cells.partition_point(|cell| cell.from_ns < step.to_ns);
        let behind = self
            .cells
            .partition_point(|cell| cell.from_ns < step.from_ns);
        let before = &self.cells[behind.saturating_sub(1 + SIDE_MIN)..behind.saturating_sub(1)];
        let after = &self.cells[at..(at + SIDE_MIN).min(self.cells.len())];
        let level = |cells: &[Cell]| cells.iter().map(|cell| cell.least).min();
        let by = level(after)? - level(before)?;
        Some(if self.lower { by } else { -by })
    }

    /// The cells' values less a constant drift: the median of all slopes over an eighth of the capture, most of which lie
    /// on one side of any jump.
    fn without_drift(&self) -> Vec<i64> {
        let apart = self.cells.len() / 8;
        let slope = |(a, b): (&Cell, &Cell)| {
            let run = b.from_ns.saturating_sub(a.from_ns).max(1);
            (b.least.saturating_sub(a.least)) as f64 / run as f64
        };
        let mut slopes: Vec<f64> = if apart == 0 {
            Vec::new()
        } else {
            self.cells
                .iter()
                .zip(&self.cells[apart..])
                .map(slope)
                .collect()
        };
        slopes.sort_by(f64::total_cmp);
        let drift = slopes.get(slopes.len() / 2).copied().unwrap_or(0.0);
        let first = self.cells.first().map_or(0, |cell| cell.from_ns);
        let line = |cell: &Cell| (drift * cell.from_ns.saturating_sub(first) as f64).round() as i64;
        self.cells
            .iter()
            .map(|cell| cell.least.saturating_sub(line(cell)))
            .collect()
    }
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// The values' nine tenths, the part before each place; from the front.
fn high_before(levels: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut sorted: Vec<i64> = Vec::new();
    levels
        .map(|level| {
            let at = sorted.partition_point(|l| *l < level);
            sorted.insert(at, level);
            sorted[(sorted.len() - 1) * 9 / 10]
        })
        .collect()
}

/// The least of the part before each place; from the front.
fn least_before(levels: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut least = i64::MAX;
    let running = levels.map(|level| {
        least = least.min(level);
        least
    });
    running.collect()
}

/// The clearest jump: at which value it is behind, and by how much.
fn jump(levels: &[i64]) -> Option<(usize, i64)> {
    let n = levels.len();
    if n < 2 * SIDE_MIN {
        return None;
    }
    let apart: Vec<i64> = levels.windows(2).map(|w| (w[1] - w[0]).abs()).collect();
    let noise = median(apart);
    let from_back = |values: Vec<i64>| values.into_iter().rev().collect::<Vec<_>>();
    let (high, least) = (
        high_before(levels.iter().copied()),
        least_before(levels.iter().copied()),
    );
    let high_behind = from_back(high_before(levels.iter().rev().copied()));
    let least_behind = from_back(least_before(levels.iter().rev().copied()));
    let edge = |part: &[i64]| part.iter().max().copied().unwrap_or(i64::MIN);
    let mut best: Option<(i64, usize, bool)> = None;
    for at in SIDE_MIN..=n - SIDE_MIN {
        let up = least_behind[at] - high[at - 1].max(edge(&levels[at - EDGE..at]));
        let down = least[at - 1] - high_behind[at].max(edge(&levels[at..at + EDGE]));
        for (gap, rises) in [(up, true), (down, false)] {
            if best.is_none_or(|(most, ..)| gap > most) {
                best = Some((gap, at, rises));
            }
        }
    }
    let (gap, at, _) = best.filter(|(gap, ..)| *gap >= STEP_MIN_NS.max(noise * NOISE))?;
    let near = |part: &[i64]| median(part.to_vec());
    let by = near(&levels[at..at + SIDE_MIN]) - near(&levels[at - SIDE_MIN..at]);
    // Most of the difference is the jump, and not what went on before and behind it.
    (gap * 2 >= by.abs()).then_some((at, by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Transit times of a packet a millisecond, with queues of a tenth of one; `clock`: what is added.
    fn levels(n: i64, seed: u64, clock: impl Fn(i64) -> i64) -> Levels {
        let mut noise = seed | 1;
        let mut levels = Levels::new(true);
        for i in 0..n {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            let queue = (noise % 1000 * (noise % 1000)) as i64 / 10;
            levels.add(i * 1_000_000, 300_000 + queue + clock(i * 1_000_000));
        }
        levels
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_clock_that_was_set_is_found(
            seed: u64, n in 2_000i64..20_000, part in 0.2..0.8f64, by in 1_000_000i64..100_000_000, back: bool,
            ppm in -50i64..50,
        ) {
            let at = (n as f64 * part) as i64 * 1_000_000;
            let by = if back { -by } else { by };
            let set = |t: i64| t * ppm / 1_000_000 + if t >= at { by } else { 0 };
            let steps = levels(n, seed, set).steps();
            prop_assert_eq!(steps.len(), 1, "{:?}", steps);
            let step = steps[0];
            prop_assert!((step.by_ns - by).abs() < 600_000, "{step:?} {by}");
            prop_assert!(step.from_ns <= at && at <= step.to_ns, "{step:?} {at}");
            for (t, queue) in [(at - 1_000_000, 0), (at, 0), (at, 90_000)] {
                let transit = 300_000 + queue + set(t);
                prop_assert_eq!(step.is_behind(t, transit), t >= at);
            }
        }

        /// Queues that fill and empty again, and clocks that drift, are none.
        #[test]
        fn queues_and_drift_are_no_steps(
            seed: u64, n in 500i64..20_000, from in 0.1..0.8f64, length in 0.02..0.1f64, by in 0i64..50_000_000, ppm in -100i64..100,
        ) {
            let (from, to) = ((n as f64 * from) as i64, (n as f64 * (from + length)) as i64);
            let busy = |i: i64| if (from..to).contains(&i) { by.min((i - from) * 200_000).min((to - i) * 200_000) } else { 0 };
            let levels = levels(n, seed, |t| busy(t / 1_000_000) + t * ppm / 1_000_000);
            prop_assert_eq!(levels.steps(), vec![]);
        }
    }

    #[test]
    fn several_steps_are_told_apart() {
        let set = |t: i64| match t / 1_000_000_000 {
            0..3 => 0,
            3..7 => 20_000_000,
            _ => -30_000_000,
        };
        let steps = levels(10_000, 5, set).steps();
        let by: Vec<i64> = steps
            .iter()
            .map(|s| (s.by_ns + 500_000).div_euclid(1_000_000))
            .collect();
        assert_eq!(by, [20, -50]);
        for t in [1, 5, 9].map(|s| s * 1_000_000_000) {
            assert!((shift(&steps, t, 300_000 + set(t)) - set(t)).abs() < 300_000);
        }
    }
}
