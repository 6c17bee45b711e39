//! Change points of a series: where its distribution changes, found after the fact.
//!
//! E-divisive (Matteson and James 2014): the split that sets the two sides furthest apart by energy distance is kept if
//! shuffled series are rarely split as well, and both sides are searched again. The shuffles are seeded, so the same
//! series always has the same change points. In one dimension all splits of a series cost n log n.

use crate::stats::random::Random;

/// Shuffles per test.
const SHUFFLES: usize = 199;
/// The chance that a segment without a change is split.
pub const LEVEL: f64 = 0.02;
/// Points on each side of a change: a single night that went wrong is none.
pub const LEAST_SIDE: usize = 5;

/// A change between two neighbours of a series.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Change {
    /// Index of the first point after it.
    pub at: usize,
    /// Mean of the segment before.
    pub before: f64,
    /// Mean of the segment after.
    pub after: f64,
    /// Share of shuffles that were split as well.
    pub p: f64,
}

/// All change points, in order. Values that are no numbers must not be in the series.
pub fn changes(series: &[f64]) -> Vec<Change> {
    let mut cuts: Vec<(usize, f64)> = Vec::new();
    let mut open = vec![(0, series.len())];
    while let Some((from, to)) = open.pop() {
        if let Some((at, p)) = split(&series[from..to]) {
            cuts.push((from + at, p));
            open.push((from, from + at));
            open.push((from + at, to));
        }
    }
    cuts.sort_by_key(|c| c.0);
    let mean = |from: usize, to: usize| {
        let part = &series[from..to];
        part.iter().sum::<f64>() / part.len() as f64
    };
    (0..cuts.len())
        .map(|i| {
            let (at, p) = cuts[i];
            let from = if i == 0 { 0 } else { cuts[i - 1].0 };
            let to = cuts.get(i + 1).map_or(series.len(), |c| c.0);
            Change {
                at,
                before: mean(from, at),
                after: mean(at, to),
                p,
            }
        })
        .collect()
}

/// Where a segment changes, if it does.
fn split(segment: &[f64]) -> Option<(usize, f64)> {
    if segment.len() < 2 * LEAST_SIDE {
        return None;
    }
    let mut sorted = segment.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut ranked: Vec<(f64, usize)> = segment
        .iter()
        .map(|v| (*v, sorted.partition_point(|s| s.total_cmp(v).is_lt())))
        .collect();
    let mut room = Room::new(segment.len());
    let (at, observed) = room.best(&ranked);
    if observed <= 0.0 {
        return None;
    }
    let mut random = Random::new(segment.len() as u64, 3);
    let mut as_far = 1;
    let most = ((SHUFFLES + 1) as f64 * LEVEL) as usize;
    for _ in 0..SHUFFLES {
        for last in (1..ranked.len()).rev() {
            ranked.swap(last, random.below(last + 1));
        }
        if room.best(&ranked).1 >= observed * (1.0 - 1e-12) {
            as_far += 1;
            if as_far > most {
                return None;
            }
        }
    }
    Some((at, as_far as f64 / (SHUFFLES + 1) as f64))
}

/// Memory for one segment's sums, used for every shuffle of it.
struct Room {
    counts: Vec<f64>,
    sums: Vec<f64>,
    before: Vec<f64>,
    after: Vec<f64>,
}

impl Room {
    fn new(n: usize) -> Self {
        Self {
            counts: vec![0.0; n + 1],
            sums: vec![0.0; n + 1],
            before: vec![0.0; n + 1],
            after: vec![0.0; n + 1],
        }
    }

    /// The best split of a series of values with their ranks, and its statistic.
    fn best(&mut self, ranked: &[(f64, usize)]) -> (usize, f64) {
        let n = ranked.len();
        // Sums of distances within the first i points, and within the points from i on.
        self.within(ranked.iter(), true);
        self.within(ranked.iter().rev(), false);
        let total = self.before[n];
        let mut best = (0, 0.0);
        for at in LEAST_SIDE..=n - LEAST_SIDE {
            let (left, right) = (at as f64, (n - at) as f64);
            let (within_left, within_right) = (self.before[at], self.after[n - at]);
            let between = total - within_left - within_right;
            let energy = 2.0 * between / (left * right)
                - 2.0 * within_left / (left * (left - 1.0))
                - 2.0 * within_right / (right * (right - 1.0));
            let statistic = left * right / (left + right) * energy;
            if statistic > best.1 {
                best = (at, statistic);
            }
        }
        best
    }

    fn within<'a>(&mut self, points: impl Iterator<Item = &'a (f64, usize)>, forwards: bool) {
        self.counts.fill(0.0);
        self.sums.fill(0.0);
        let (mut count, mut sum, mut distances) = (0.0, 0.0, 0.0);
        for (done, (value, rank)) in points.enumerate() {
            let (mut lower_count, mut lower_sum) = (0.0, 0.0);
            let mut i = *rank;
            while i > 0 {
                lower_count += self.counts[i];
                lower_sum += self.sums[i];
                i &= i - 1;
            }
            distances +=
                value * lower_count - lower_sum + (sum - lower_sum) - value * (count - lower_count);
            let mut i = rank + 1;
            while i < self.counts.len() {
                self.counts[i] += 1.0;
                self.sums[i] += value;
                i += i & i.wrapping_neg();
            }
            count += 1.0;
            sum += value;
            let to = if forwards {
                &mut self.before
            } else {
                &mut self.after
            };
            to[done + 1] = distances;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed, 8);
        (0..n).map(|_| 100.0 + random.normal()).collect()
    }

    #[test]
    fn a_step_is_found_where_it_is() {
        let mut series = noise(40, 1);
        for value in &mut series[25..] {
            *value += 5.0;
        }
        let found = changes(&series);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((24..=26).contains(&found[0].at), "{found:?}");
        assert!((found[0].after - found[0].before - 5.0).abs() < 1.0);
        assert_eq!(changes(&series), found, "the same every time");
    }

    #[test]
    fn a_step_there_and_back_is_two() {
        let mut series = noise(60, 2);
        for value in &mut series[20..40] {
            *value -= 6.0;
        }
        let at: Vec<usize> = changes(&series).iter().map(|c| c.at).collect();
        assert_eq!(at, [20, 40]);
    }

    #[test]
    fn a_single_night_is_no_change() {
        let mut series = noise(40, 3);
        series[30] += 50.0;
        assert_eq!(changes(&series), []);
        assert_eq!(changes(&[1.0; 30]), []);
        assert_eq!(changes(&[]), []);
    }

    #[test]
    fn noise_is_rarely_split() {
        let split = (0..300)
            .filter(|s| !changes(&noise(30, 100 + s)).is_empty())
            .count();
        // 2 % of 300, and four standard deviations.
        assert!(split <= 16, "{split}");
    }

    proptest! {
        /// The sums by ranks against their definition.
        #[test]
        fn distances_are_those_of_all_pairs(values in proptest::collection::vec(-100i32..100, 10..40)) {
            let series: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            let mut sorted = series.clone();
            sorted.sort_by(f64::total_cmp);
            let ranked: Vec<(f64, usize)> = series
                .iter()
                .map(|v| (*v, sorted.partition_point(|s| s < v)))
                .collect();
            let mut room = Room::new(series.len());
            room.within(ranked.iter(), true);
            for n in 0..=series.len() {
                let mut all = 0.0;
                for i in 0..n {
                    for j in 0..i {
                        all += (series[i] - series[j]).abs();
                    }
                }
                prop_assert!((all - room.before[n]).abs() < 1e-6, "{} {}", all, room.before[n]);
            }
        }
    }
}
