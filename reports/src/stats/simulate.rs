//! How far a verdict can be trusted: false alarms among simulated nights in which nothing differs, and how often a true
//! shift is found. What is simulated passes through the same comparison as a run's numbers.

use crate::stats::paired::{self, Differences};
use crate::stats::random::Random;

/// One judged number of a simulated run.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// Its metric.
    pub metric: String,
    /// Differences of a variant from itself, block by block, in percent of the base. Blocks are drawn whole over all
    /// numbers, so that what the numbers of a trial have in common is kept.
    pub noise: Vec<f64>,
    /// The smallest difference that counts, in percent: what matters, or the bound where that is larger.
    pub least_percent: f64,
}

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub struct Nights {
    /// How many.
    pub nights: u32,
    /// Judged numbers of a run.
    pub numbers: Vec<Number>,
    /// Blocks at each look.
    pub looks: Vec<u32>,
    /// Seed.
    pub seed: u64,
}

/// How often a true shift of one metric is found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Power {
    /// The metric that was shifted.
    pub metric: String,
    /// Nights in which it was said to be higher.
    pub found: u32,
    /// Deviation of its noise, in percent.
    pub deviation_percent: f64,
    /// What a difference had to exceed, in percent.
    pub least_percent: f64,
    /// Blocks that a night took on average.
    pub mean_blocks: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Trust {
    /// Nights simulated.
    pub nights: u32,
    /// Nights in which any number was said to differ though none did.
    pub false_alarms: u32,
    /// The same with the smallest difference that counts set to zero: what significance alone guards.
    pub false_alarms_by_significance: u32,
    /// The shift, in percent.
    pub shift_percent: f64,
    /// For the first number of every metric.
    pub power: Vec<Power>,
    /// Of all intervals of unshifted numbers, the share that held the truth.
    pub coverage: f64,
}

/// Runs all nights: once with no difference, and once for every metric with that one shifted.
pub fn simulate(of: &Nights, shift_percent: f64) -> Trust {
    let first = first_of_each(of);
    let mut trust = Trust {
        nights: of.nights,
        false_alarms: 0,
        false_alarms_by_significance: 0,
        shift_percent,
        power: first
            .iter()
            .map(|i| Power {
                metric: of.numbers[*i].metric.clone(),
                found: 0,
                deviation_percent: deviation(&of.numbers[*i].noise),
                least_percent: of.numbers[*i].least_percent,
                mean_blocks: 0.0,
            })
            .collect(),
        coverage: 0.0,
    };
    let least = least(of);
    let none = vec![0.0; least.len()];
    let (mut held, mut intervals) = (0_u64, 0_u64);
    for night in 0..of.nights {
        let mut drawn = draw(of, night);
        trust.false_alarms += u32::from(judge(of, &drawn, &least).any);
        trust.false_alarms_by_significance += u32::from(judge(of, &drawn, &none).any);
        let blocks = of.looks[0] as usize;
        for number in &drawn {
            if let Some(i) = paired::interval(&number[..blocks], 0.05, u64::from(night)) {
                intervals += 1;
                held += u64::from(i.low <= 0.0 && 0.0 <= i.high);
            }
        }
        for (which, power) in first.iter().zip(&mut trust.power) {
            for value in &mut drawn[*which] {
                *value += shift_percent;
            }
            let seen = judge(of, &drawn, &least);
            power.found += u32::from(seen.higher.contains(which));
            power.mean_blocks += f64::from(seen.blocks) / f64::from(of.nights);
            for value in &mut drawn[*which] {
                *value -= shift_percent;
            }
        }
    }
    trust.coverage = held as f64 / intervals.max(1) as f64;
    trust
}

/// How much longer trials must be, and how many blocks, to find a shift: for one metric and one number of blocks.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Needed {
    /// The metric that is shifted.
    pub metric: String,
    /// Blocks, at one look.
    pub blocks: u32,
    /// Length of a trial in lengths of the recorded ones; none where even the longest tried is too short.
    pub times: Option<u32>,
    /// Share of nights in which it is found with that length, else with the longest.
    pub found: f64,
}

/// Lengths that are tried, in lengths of the recorded trials.
const TIMES: [u32; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
/// A length will do when so many nights find the shift.
pub const ENOUGH: f64 = 0.9;

/// For every metric and number of blocks the shortest trials that find the shift in [`ENOUGH`] of the nights.
///
/// The noise of a number that is estimated from a trial's packets is taken to fall with the square root of the trial's
/// length. What differs from one module load to the next does not: measure again at the length that is chosen.
pub fn needed(of: &Nights, shift_percent: f64, blocks: &[u32]) -> Vec<Needed> {
    let one = |blocks: u32| -> Vec<Needed> {
        let found = |which: usize, times: u32| {
            let scale = f64::from(times).sqrt().recip();
            let mut longer = of.clone();
            longer.looks = vec![blocks];
            for noise in longer.numbers.iter_mut().flat_map(|n| &mut n.noise) {
                *noise *= scale;
            }
            let nights = (0..of.nights).filter(|night| {
                let mut drawn = draw(&longer, *night);
                for value in &mut drawn[which] {
                    *value += shift_percent;
                }
                judge(&longer, &drawn, &least(&longer))
                    .higher
                    .contains(&which)
            });
            nights.count() as f64 / f64::from(of.nights)
        };
        first_of_each(of)
            .into_iter()
            .map(|which| {
                // More is found in longer trials: halving finds the first that will do.
                let enough = TIMES.partition_point(|times| found(which, *times) < ENOUGH);
                let times = TIMES.get(enough).copied();
                Needed {
                    metric: of.numbers[which].metric.clone(),
                    blocks,
                    times,
                    found: found(which, times.unwrap_or(TIMES[TIMES.len() - 1])),
                }
            })
            .collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = blocks
            .iter()
            .map(|blocks| scope.spawn(move || one(*blocks)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(needed) => needed,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

/// The first number of every metric.
fn first_of_each(of: &Nights) -> Vec<usize> {
    let mut first: Vec<usize> = Vec::new();
    for (i, number) in of.numbers.iter().enumerate() {
        if !first.iter().any(|f| of.numbers[*f].metric == number.metric) {
            first.push(i);
        }
    }
    first
}

fn least(of: &Nights) -> Vec<f64> {
    of.numbers.iter().map(|n| n.least_percent).collect()
}

fn deviation(noise: &[f64]) -> f64 {
    (noise.iter().map(|v| v * v).sum::<f64>() / noise.len().max(1) as f64).sqrt()
}

/// Blocks of one night: drawn from the noise with a random sign, for a twin might as well have been the base.
fn draw(of: &Nights, night: u32) -> Vec<Vec<f64>> {
    let mut random = Random::new(of.seed, 1_000_000 + u64::from(night));
    let most = of.looks.last().copied().unwrap_or(1) as usize;
    let pool = of.numbers.iter().map(|n| n.noise.len()).min().unwrap_or(0);
    let deviations: Vec<f64> = of.numbers.iter().map(|n| deviation(&n.noise)).collect();
    let mut numbers = vec![Vec::with_capacity(most); of.numbers.len()];
    for _ in 0..most {
        let sign = if random.bits() & 1 == 0 { 1.0 } else { -1.0 };
        let block = random.below(pool.max(1));
        // A little more or less than was seen: a resample alone would repeat values exactly.
        for (i, number) in numbers.iter_mut().enumerate() {
            let seen = &of.numbers[i].noise;
            number.push(sign * seen[block] + 0.25 * deviations[i] * random.normal());
        }
    }
    numbers
}

struct Seen {
    any: bool,
    higher: Vec<usize>,
    blocks: u32,
}

/// The rule of `compare::decide`, look by look.
fn judge(of: &Nights, numbers: &[Vec<f64>], least: &[f64]) -> Seen {
    let level = crate::compare::LEVEL / of.looks.len() as f64;
    let mut seen = Seen {
        any: false,
        higher: Vec::new(),
        blocks: 0,
    };
    for look in &of.looks {
        seen.blocks = *look;
        let n = *look as usize;
        let family: Vec<Differences> = numbers
            .iter()
            .map(|values| values[..n].iter().copied().map(Some).collect())
            .collect();
        let ps = paired::adjusted_p(&family, of.seed);
        for (i, p) in ps.iter().enumerate() {
            let (mean, _) = paired::mean_and_error(&numbers[i][..n]);
            if p.is_none_or(|p| p > level) || mean.abs() <= least[i] {
                continue;
            }
            let interval = paired::interval(&numbers[i][..n], 0.05, of.seed);
            if interval.is_none_or(|i| i.low > 0.0 || i.high < 0.0) {
                seen.any = true;
                if mean > 0.0 {
                    seen.higher.push(i);
                }
            }
        }
        if seen.any {
            break;
        }
    }
    seen
}

/// Noise as wide as given, where no run has been recorded: half of it common to all numbers of a trial, with the heavy
/// tail of one block in ten three times as wide.
pub fn assumed(deviations_percent: &[f64], blocks: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = Random::new(seed, 77);
    let mut noise = vec![Vec::with_capacity(blocks); deviations_percent.len()];
    for _ in 0..blocks {
        let common = random.normal();
        let wide = if random.below(10) == 0 { 3.0 } else { 1.0 };
        for (number, deviation) in noise.iter_mut().zip(deviations_percent) {
            let own = random.normal();
            // Of unit variance, whatever the tail adds: 0.9 + 0.1 * 9 = 1.8.
            let unit = wide * (common + own) / (2.0_f64 * 1.8).sqrt();
            number.push(deviation * unit);
        }
    }
    noise
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nights(nights: u32, deviation: f64, looks: Vec<u32>) -> Nights {
        let numbers = assumed(&[deviation; 14], 200, 5).into_iter().enumerate();
        Nights {
            nights,
            numbers: numbers
                .map(|(i, noise)| Number {
                    // Two metrics, with seven rows each.
                    metric: format!("m{}", i / 7),
                    noise,
                    least_percent: 2.0,
                })
                .collect(),
            looks,
            seed: 11,
        }
    }

    #[test]
    fn noise_is_as_wide_as_asked() {
        let noise = assumed(&[2.0, 4.0], 20_000, 3);
        for (number, asked) in noise.iter().zip([2.0_f64, 4.0]) {
            let variance = number.iter().map(|v| v * v).sum::<f64>() / number.len() as f64;
            assert!((variance.sqrt() / asked - 1.0).abs() < 0.05, "{variance}");
        }
    }

    #[test]
    fn alarms_are_rare_and_a_clear_shift_is_found() {
        for (n, looks) in [(300, vec![8]), (60, vec![8, 14, 20])] {
            let trust = simulate(&nights(n, 1.0, looks), 5.0);
            let most = 0.05 * f64::from(n) + 3.0 * (0.05 * 0.95 * f64::from(n)).sqrt();
            let alarms = f64::from(trust.false_alarms_by_significance);
            assert!(alarms <= most, "{trust:?}");
            assert_eq!(trust.power.len(), 2);
            for power in &trust.power {
                assert!(power.found * 10 >= n * 9, "{trust:?}");
            }
        }
    }

    #[test]
    fn longer_trials_and_more_blocks_find_what_short_ones_do_not() {
        let needed = super::needed(&nights(60, 10.0, vec![8]), 5.0, &[8, 16]);
        assert_eq!(needed.len(), 4, "two metrics, two numbers of blocks");
        for of in &needed {
            // 10 % must become less than the shift by about the root of the blocks: more than as long, less than all tried.
            let times = of.times.expect("a length that will do");
            assert!((2..=64).contains(&times), "{of:?}");
            assert!(of.found >= ENOUGH, "{of:?}");
        }
        let times = |i: usize| needed[i].times;
        assert!(
            times(2) <= times(0),
            "more blocks need no longer trials: {needed:?}"
        );
        // What counts only above 2 % is never found below.
        let small = super::needed(&nights(20, 1.0, vec![8]), 1.0, &[8]);
        assert_eq!(small[0].times, None);
    }

    #[test]
    fn without_noise_there_is_no_alarm_and_what_counts_is_found() {
        let exact = nights(20, 0.0, vec![6]);
        let trust = simulate(&exact, 5.0);
        assert_eq!(
            (trust.false_alarms, trust.false_alarms_by_significance),
            (0, 0)
        );
        assert!(trust.power.iter().all(|p| p.found == 20), "{trust:?}");
        assert!((trust.coverage - 1.0).abs() < 1e-12, "{trust:?}");
        assert!(
            simulate(&exact, 1.0).power.iter().all(|p| p.found == 0),
            "what counts from 2 % on is not found below"
        );
        let needed = super::needed(&exact, 5.0, &[6]);
        assert!(needed.iter().all(|n| n.times == Some(1)), "{needed:?}");
    }

    #[test]
    fn wide_noise_hides_a_shift_but_makes_no_alarm() {
        let trust = simulate(&nights(300, 10.0, vec![8]), 5.0);
        assert!(trust.false_alarms <= 26, "{trust:?}");
        assert!(trust.power.iter().all(|p| p.found < 150), "{trust:?}");
    }
}
