//! Paired differences: one number a block, and what they say of the difference behind them.
//!
//! The tests here need no assumption on how the noise is distributed. Were the two variants alike, every difference
//! might as well have had the other sign (Fisher 1935, section 21): the observed means are held against all choices of
//! signs. A block keeps one sign for all its numbers, so that what numbers of one trial have in common is kept, and the
//! largest of all numbers is what each is held against (Westfall and Young 1993, step-down maxT): the chance of even
//! one false alarm in the whole family is at most the level, whatever the numbers' dependence.

use serde::{Deserialize, Serialize};

use crate::stats::random::Random;

/// Up to so many blocks all choices of signs are tried; beyond, a sample of them.
const EXACT_BLOCKS: usize = 12;
/// Size of the sample.
const SAMPLED_SIGNS: usize = 1_999;
/// Resamples of a bootstrap.
const RESAMPLES: usize = 2_000;
/// Fewer differences than this have no interval: their resamples are too few.
pub const LEAST_FOR_INTERVAL: usize = 5;

/// A confidence interval of the mean difference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Differences of one number, by block: none where the block has no pair.
pub type Differences = Vec<Option<f64>>;

/// Fewest blocks with which a family can be decided at `level`: with fewer, no choice of signs is rare enough.
pub fn least_blocks(level: f64) -> u32 {
    // Of 2^n choices, two (the observed one and its mirror image) are the most extreme.
    (1..64)
        .find(|n| 2.0 / 2_f64.powi(*n) <= level)
        .map_or(64, |n| n as u32)
}

/// For each number of a family the probability, were no variant different, that any number of the family differs as
/// clearly as this one does. None for a number without differences other than zero.
pub fn adjusted_p(family: &[Differences], seed: u64) -> Vec<Option<f64>> {
    let blocks = family.iter().map(Vec::len).max().unwrap_or(0);
    // The mean over the root mean square, a monotone function of Student's t that stays finite; squares do not change
    // with signs, so each number is scaled once.
    let scaled: Vec<Option<Vec<f64>>> = family.iter().map(|d| scale(d, blocks)).collect();
    let observed: Vec<f64> = scaled
        .iter()
        .map(|s| s.as_ref().map_or(0.0, |s| s.iter().sum::<f64>().abs()))
        .collect();
    let mut order: Vec<usize> = (0..family.len()).filter(|i| scaled[*i].is_some()).collect();
    order.sort_by(|a, b| observed[*b].total_cmp(&observed[*a]).then(a.cmp(b)));
    let rows: Vec<&[f64]> = order.iter().filter_map(|i| scaled[*i].as_deref()).collect();
    let mut above = vec![0_u64; rows.len()];
    let mut tried = 0_u64;
    let mut count = |signs: &[f64]| {
        tried += 1;
        let mut largest = 0.0_f64;
        for (rank, row) in rows.iter().enumerate().rev() {
            let sum: f64 = row.iter().zip(signs).map(|(d, s)| d * s).sum();
            largest = largest.max(sum.abs());
            // Equal but for rounding counts as equal.
            if largest >= observed[order[rank]] * (1.0 - 1e-9) {
                above[rank] += 1;
            }
        }
    };
    let mut signs = vec![1.0; blocks];
    if blocks <= EXACT_BLOCKS {
        // Mirror images give the same sums: the first sign stays.
        for choice in 0..1_u64 << blocks.saturating_sub(1) {
            for (bit, sign) in signs.iter_mut().skip(1).enumerate() {
                *sign = if choice >> bit & 1 == 1 { -1.0 } else { 1.0 };
            }
            count(&signs);
        }
    } else {
        count(&signs);
        let mut random = Random::new(seed, 1);
        for _ in 0..SAMPLED_SIGNS {
            for some in signs.chunks_mut(64) {
                let bits = random.bits();
                for (bit, sign) in some.iter_mut().enumerate() {
                    *sign = if bits >> bit & 1 == 1 { -1.0 } else { 1.0 };
                }
            }
            count(&signs);
        }
    }
    let mut p = vec![None; family.len()];
    let mut least = 0.0_f64;
    for (rank, i) in order.iter().enumerate() {
        // A number is never surer than one that differs more clearly.
        least = least.max(above[rank] as f64 / tried as f64);
        p[*i] = Some(least);
    }
    p
}

/// Divided by their root mean square times their count; none when all are zero. Missing ones are zeros in the sum.
fn scale(differences: &[Option<f64>], blocks: usize) -> Option<Vec<f64>> {
    let n = differences.iter().flatten().count();
    // Against overflow of squares, first by the largest.
    let largest = differences
        .iter()
        .flatten()
        .fold(0.0_f64, |m, d| m.max(d.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return None;
    }
    let squares: f64 = differences
        .iter()
        .flatten()
        .map(|d| (d / largest).powi(2))
        .sum();
    let by = largest * (squares / n as f64).sqrt() * n as f64;
    let mut row: Vec<f64> = differences
        .iter()
        .map(|d| d.map_or(0.0, |d| d / by))
        .collect();
    row.resize(blocks, 0.0);
    Some(row)
}

/// A bootstrap-t interval (Efron 1982; Hall 1988) of the mean: the spread of the studentised mean over resamples.
/// `level` is the chance of missing the truth: 0.05 for 95 %. None below [`LEAST_FOR_INTERVAL`] differences.
pub fn interval(differences: &[f64], level: f64, seed: u64) -> Option<Interval> {
    let n = differences.len();
    if n < LEAST_FOR_INTERVAL {
        return None;
    }
    let (mean, error) = mean_and_error(differences);
    if error == 0.0 {
        return Some(Interval {
            low: mean,
            high: mean,
        });
    }
    let mut random = Random::new(seed, 2);
    let mut resample = vec![0.0; n];
    let mut turns: Vec<f64> = Vec::with_capacity(RESAMPLES);
    while turns.len() < RESAMPLES {
        for value in &mut resample {
            *value = differences[random.below(n)];
        }
        let (m, e) = mean_and_error(&resample);
        // A resample of one value only has no spread to measure by; it stands at the far end of its side.
        turns.push(if e > 0.0 {
            (m - mean) / e
        } else {
            (m - mean).signum() * f64::MAX
        });
    }
    turns.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * (turns.len() - 1) as f64).round() as usize;
        turns[place]
    };
    // So few values may leave no finite end; Student's own would not be wider than this many errors.
    let widest = 40.0;
    let (low, high) = (at(level / 2.0), at(1.0 - level / 2.0));
    Some(Interval {
        low: mean - high.clamp(0.0, widest) * error,
        high: mean - low.clamp(-widest, 0.0) * error,
    })
}

/// The mean, and its standard error.
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    // A spread of rounding errors is none.
    let error = (squares / (n - 1.0) / n).sqrt();
    if error <= mean.abs() * 1e-13 {
        (mean, 0.0)
    } else {
        (mean, error)
    }
}

/// The mean difference in standard deviations of the differences, with Hedges' correction for few of them (1981).
/// None without spread.
pub fn effect_size(differences: &[f64]) -> Option<f64> {
    let n = differences.len() as f64;
    let (mean, error) = mean_and_error(differences);
    if differences.len() < 3 || error == 0.0 {
        return None;
    }
    let correction = 1.0 - 3.0 / (4.0 * (n - 1.0) - 1.0);
    Some(mean / (error * n.sqrt()) * correction)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some(values: &[f64]) -> Differences {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn one_number_by_counting() {
        // All of one sign: of 2^6 choices only this and its mirror image are as extreme.
        let p = adjusted_p(&[some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])], 1);
        assert_eq!(p, [Some(2.0 / 64.0)]);
        // Sums over signs of (1, 1, -1): 3 3 in absolute value for two of 8 choices, 1 for six; observed 1.
        assert_eq!(adjusted_p(&[some(&[1.0, 1.0, -1.0])], 1), [Some(1.0)]);
        assert_eq!(adjusted_p(&[some(&[0.0, 0.0])], 1), [None]);
        assert_eq!(adjusted_p(&[], 1), []);
    }

    #[test]
    fn a_copy_of_a_number_costs_nothing() {
        let d = some(&[3.0, 2.5, 2.0, 3.1, 2.7, 2.9, 3.3, 2.2]);
        let alone = adjusted_p(std::slice::from_ref(&d), 1)[0];
        let twice = adjusted_p(&[d.clone(), d], 1);
        assert_eq!(twice, [alone, alone]);
    }

    #[test]
    fn one_clear_number_is_found_among_noise() {
        let mut random = Random::new(3, 9);
        let mut family: Vec<Differences> = (0..20)
            .map(|_| (0..8).map(|_| Some(random.normal())).collect())
            .collect();
        family.push((0..8).map(|_| Some(8.0 + random.normal())).collect());
        let p = adjusted_p(&family, 1);
        assert!(p[20] <= Some(0.02), "{:?}", p[20]);
        assert!(p[..20].iter().all(|p| *p > Some(0.05)), "{p:?}");
    }

    /// By definition the chance of a p-value at or below the level is at most the level.
    #[test]
    fn p_values_of_noise_are_not_too_small() {
        let nights = 2000;
        for blocks in [6, 8, 15] {
            let mut alarms = 0;
            for night in 0..nights {
                let mut random = Random::new(night, 5);
                let family: Vec<Differences> = (0..5)
                    .map(|_| {
                        // Heavy tails and one sign for most: nothing normal about it.
                        (0..blocks)
                            .map(|_| Some(random.normal() / random.unit()))
                            .collect()
                    })
                    .collect();
                if blocks == 15 && night % 20 != 0 {
                    continue;
                }
                alarms += i32::from(adjusted_p(&family, 1).iter().any(|p| *p <= Some(0.05)));
            }
            let nights = if blocks == 15 { nights / 20 } else { nights };
            // Three standard deviations above 5 %.
            let most = 0.05 * nights as f64 + 3.0 * (0.05 * 0.95 * nights as f64).sqrt();
            assert!(
                f64::from(alarms) <= most,
                "{alarms} of {nights} with {blocks} blocks"
            );
        }
    }

    #[test]
    fn a_missing_pair_counts_for_nothing() {
        let whole = some(&[1.0, 2.0, 1.5, 1.2, 1.9, 1.1]);
        let mut holed = whole.clone();
        holed.push(None);
        assert_eq!(adjusted_p(&[whole], 1), adjusted_p(&[holed], 1));
    }

    #[test]
    fn least_blocks_by_level() {
        assert_eq!(least_blocks(0.05), 6);
        assert_eq!(least_blocks(0.05 / 3.0), 7);
    }

    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say() {
        for n in [6, 8, 12, 20] {
            let nights = 600;
            let held = (0..nights)
                .filter(|night| {
                    let mut random = Random::new(*night, 6);
                    let values: Vec<f64> = (0..n).map(|_| 10.0 + random.normal()).collect();
                    let i = interval(&values, 0.05, *night).expect("enough values");
                    i.low <= 10.0 && 10.0 <= i.high
                })
                .count();
            let share = held as f64 / nights as f64;
            assert!((0.92..=0.995).contains(&share), "{share} with {n}");
        }
    }

    #[test]
    fn effect_in_deviations() {
        // Mean 2, deviation 1.
        let d = effect_size(&[1.0, 2.0, 3.0]).expect("has spread");
        assert!((d - 2.0 * (1.0 - 3.0 / 7.0)).abs() < 1e-12, "{d}");
        assert_eq!(effect_size(&[1.0, 1.0, 1.0]), None);
    }

    proptest! {
        #[test]
        fn scale_and_sign_change_no_p(
            values in proptest::collection::vec(-1e6f64..1e6, 2..9), by in 1e-3f64..1e3,
        ) {
            let one = adjusted_p(&[some(&values)], 1);
            let other: Vec<f64> = values.iter().map(|v| -v * by).collect();
            prop_assert_eq!(one, adjusted_p(&[some(&other)], 1));
        }

        #[test]
        fn an_interval_holds_the_mean(values in proptest::collection::vec(-1e6f64..1e6, 5..20)) {
            let i = interval(&values, 0.05, 1).expect("enough");
            let (mean, _) = mean_and_error(&values);
            prop_assert!(i.low <= mean && mean <= i.high);
            prop_assert_eq!(interval(&values, 0.05, 1), Some(i));
        }
    }
}
