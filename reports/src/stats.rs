//! Minimum, mean, quantiles and maximum of whole nanoseconds; below, the statistics of paired trials.

pub mod changes;
pub mod paired;
pub mod random;
pub mod simulate;

use serde::{Deserialize, Serialize};

/// Summary of a set of times, in whole nanoseconds (definition `quantile`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How many values.
    pub n: u64,
    /// Smallest.
    pub min: i64,
    /// Arithmetic mean, rounded half away from zero.
    pub mean: i64,
    /// Median.
    pub p50: i64,
    /// 90 % are not above it.
    pub p90: i64,
    /// 99 % are not above it.
    pub p99: i64,
    /// 99.9 % are not above it.
    pub p999: i64,
    /// Largest.
    pub max: i64,
}

impl Stats {
    /// Of values in any order, which are sorted in place; none of an empty set.
    pub fn of(values: &mut [i64]) -> Option<Self> {
        values.sort_unstable();
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self {
            n: values.len() as u64,
            min,
            mean: mean(values)?,
            p50: quantile(values, 500)?,
            p90: quantile(values, 900)?,
            p99: quantile(values, 990)?,
            p999: quantile(values, 999)?,
            max,
        })
    }
}

impl Stats {
    /// As [`Stats::of`] in linear time: the values are left in no particular order.
    pub fn select(values: &mut [i64]) -> Option<Self> {
        let n = values.len();
        let mean = mean(values)?;
        let mut from = 0;
        let mut next = |per_mille| {
            let rank = rank(n, per_mille);
            // Smaller quantiles lie before `from` already.
            let (_, value, _) = values[from..].select_nth_unstable(rank - from);
            from = rank;
            *value
        };
        let (p50, p90, p99, p999) = (next(500), next(900), next(990), next(999));
        let max = *values[from..].iter().max()?;
        let min = *values[..=rank(n, 500)].iter().min()?;
        Some(Self {
            n: n as u64,
            min,
            mean,
            p50,
            p90,
            p99,
            p999,
            max,
        })
    }
}

/// Index of the nearest-rank quantile among `n` sorted values.
fn rank(n: usize, per_mille: u32) -> usize {
    let rank = (n as u128 * u128::from(per_mille.min(1000))).div_ceil(1000);
    rank.max(1) as usize - 1
}

/// The nearest-rank quantile of sorted values: the smallest value that at least `per_mille`/1000 of all
/// values do not exceed. Always one of the values, never an interpolation between two.
pub fn quantile(sorted: &[i64], per_mille: u32) -> Option<i64> {
    sorted.get(rank(sorted.len(), per_mille)).copied()
}

/// Arithmetic mean in whole nanoseconds, rounded half away from zero.
pub fn mean(values: &[i64]) -> Option<i64> {
    if values.is_empty() {
        return None;
    }
    let sum: i128 = values.iter().map(|v| i128::from(*v)).sum();
    Some(rounded(sum, values.len() as u64))
}

/// A sum by a count above zero, rounded half away from zero.
pub(crate) fn rounded(sum: i128, n: u64) -> i64 {
    let n = i128::from(n);
    let half = n / 2;
    let rounded = if sum >= 0 {
        (sum + half) / n
    } else {
        (sum - half) / n
    };
    rounded as i64
}

/// Median of numbers that are one a trial: the mean of the middle two where their count is even.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(sorted[n / 2]),
        _ => Some(f64::midpoint(sorted[n / 2 - 1], sorted[n / 2])),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        let mut values: Vec<i64> = (1..=1000).rev().collect();
        let stats = Stats::of(&mut values).expect("not empty");
        assert_eq!(
            stats,
            Stats {
                n: 1000,
                min: 1,
                mean: 501,
                p50: 500,
                p90: 900,
                p99: 990,
                p999: 999,
                max: 1000
            }
        );
        assert_eq!(Stats::of(&mut []), None);
        assert_eq!(mean(&[-1, -2]), Some(-2));
        assert_eq!(mean(&[1, 2]), Some(2));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(median(&[3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    proptest! {
        /// Against the sentence that defines it, by counting.
        #[test]
        fn quantile_is_the_smallest_value_that_covers(
            mut values in proptest::collection::vec(-1_000_000i64..1_000_000, 1..200),
            per_mille in 1u32..=1000,
        ) {
            values.sort_unstable();
            let q = quantile(&values, per_mille).expect("not empty");
            let covers = |v: i64| {
                let not_above = values.iter().filter(|x| **x <= v).count() as u64;
                not_above * 1000 >= u64::from(per_mille) * values.len() as u64
            };
            prop_assert!(values.contains(&q));
            prop_assert!(covers(q));
            prop_assert!(values.iter().all(|v| *v >= q || !covers(*v)));
        }

        #[test]
        fn mean_is_within_half_a_nanosecond(
            values in proptest::collection::vec(-1_000_000i64..1_000_000, 1..200),
        ) {
            let exact = values.iter().sum::<i64>() as f64 / values.len() as f64;
            let ours = mean(&values).expect("not empty") as f64;
            prop_assert!((ours - exact).abs() <= 0.5 + 1e-9);
        }

        #[test]
        fn selecting_is_the_same_as_sorting(mut values in proptest::collection::vec(any::<i32>(), 1..2000)) {
            let mut one: Vec<i64> = values.drain(..).map(i64::from).collect();
            let mut two = one.clone();
            prop_assert_eq!(Stats::select(&mut one), Stats::of(&mut two));
        }

        #[test]
        fn order_does_not_matter(values in proptest::collection::vec(any::<i32>(), 1..100)) {
            let mut one: Vec<i64> = values.iter().map(|v| i64::from(*v)).collect();
            let mut two: Vec<i64> = one.iter().rev().copied().collect();
            prop_assert_eq!(Stats::of(&mut one), Stats::of(&mut two));
        }
    }
}
