//! When a difference counts: it is significant, large enough to matter, and larger than what could have made it.

use serde::{Deserialize, Serialize};

use super::metrics::{Better, Metric};
use super::{Comparison, Finding, LEVEL, Meaning, Question, SEED, Unit, text};
use crate::stats::paired::{self, Differences};

/// What decides how large a difference must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdBy {
    /// What the scenario says matters.
    #[default]
    Least,
    /// The error bound of the measurement.
    Bound,
    /// Noise learned from a variant against itself.
    Noise,
}

/// What a difference must exceed to be called one. Whether it is small enough to be ignored is another question, for which
/// only `least` counts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Threshold {
    /// The largest of the three, in the number's unit.
    pub size: f64,
    /// Which of them it is.
    pub by: ThresholdBy,
    /// The smallest difference that matters.
    pub least: f64,
    /// Learned noise; none was learned without it.
    pub noise: Option<f64>,
}

/// Decides all comparisons of one variant with the base.
pub(super) fn decide(question: Question<'_>, of_variant: &mut [(&Metric, Comparison)]) {
    let mut blocks: Vec<u32> = of_variant
        .iter()
        .flat_map(|(_, c)| c.pairs.iter().map(|p| p.block))
        .collect();
    blocks.sort_unstable();
    blocks.dedup();
    let by_block = |c: &Comparison| -> Differences {
        blocks
            .iter()
            .map(|block| Some(c.pairs.iter().find(|p| p.block == *block)?.difference))
            .collect()
    };
    // Judged numbers share their chance of a false alarm; each of the others stands for itself.
    let judged: Vec<usize> = (0..of_variant.len())
        .filter(|i| of_variant[*i].1.judged)
        .collect();
    let family: Vec<Differences> = judged.iter().map(|i| by_block(&of_variant[*i].1)).collect();
    let together = paired::adjusted_p(&family, SEED);
    for (i, p) in judged.into_iter().zip(together) {
        of_variant[i].1.p = p.map(|p| (p * question.tests()).min(1.0));
    }
    for (_, c) in of_variant.iter_mut().filter(|(_, c)| !c.judged) {
        c.p = paired::adjusted_p(&[by_block(c)], SEED)[0];
    }
    for (metric, c) in of_variant {
        threshold(question, c);
        c.finding = finding(c, metric.better);
        c.meaning = match (c.finding, metric.better) {
            (Finding::Higher, Better::Higher) | (Finding::Lower, Better::Lower) => Meaning::Better,
            (Finding::Higher, Better::Lower) | (Finding::Lower, Better::Higher) => Meaning::Worse,
            _ => Meaning::Neither,
        };
        c.sentence = sentence(c, question.least_blocks());
    }
}

fn threshold(question: Question<'_>, c: &mut Comparison) {
    let base = c.pairs.iter().map(|p| p.base.abs()).sum::<f64>() / c.pairs.len() as f64;
    let t = &mut c.threshold;
    t.noise = question
        .noise
        .floor_percent(&c.metric)
        .map(|percent| percent / 100.0 * base);
    (t.size, t.by) = (t.least, ThresholdBy::Least);
    for (size, by) in [(t.noise, ThresholdBy::Noise), (c.bound, ThresholdBy::Bound)] {
        if let Some(size) = size
            && size > t.size
        {
            (t.size, t.by) = (size, by);
        }
    }
}

fn finding(c: &Comparison, better: Better) -> Finding {
    if c.min == 0.0 && c.max == 0.0 {
        return Finding::Equal;
    }
    let clear = c.p.is_some_and(|p| p <= LEVEL)
        && c.mean.abs() > c.threshold.size
        && c.interval.is_none_or(|i| i.low > 0.0 || i.high < 0.0);
    if clear {
        return if c.mean > 0.0 {
            Finding::Higher
        } else {
            Finding::Lower
        };
    }
    // Equality is judged against what matters alone. What the measurement may be off by widens the interval; learned noise
    // has no say here, or a noisier lab would pass more easily.
    let off = c.bound.unwrap_or(0.0);
    let least = c.threshold.least;
    let Some(i) = c.interval else {
        return Finding::CannotTell;
    };
    let (low, high) = (i.low - off, i.high + off);
    let not_worse = match better {
        Better::Lower => high <= least,
        Better::Higher => low >= -least,
    };
    if low >= -least && high <= least {
        Finding::Small
    } else if not_worse {
        Finding::NotWorse
    } else {
        Finding::CannotTell
    }
}

/// Names the number, the difference, its interval, the chance and the bound.
fn sentence(c: &Comparison, least_blocks: u32) -> String {
    let (unit, name) = (c.unit, &c.name);
    let pairs = c.pairs.len();
    if c.finding == Finding::Equal {
        return match pairs {
            1 => format!("{name}: equal in the one pair."),
            n => format!("{name}: equal in all {n} pairs."),
        };
    }
    let size = match c.percent {
        Some(percent) => format!(
            "{} ({})",
            unit.difference(c.mean),
            text::signed_percent(percent)
        ),
        None => unit.difference(c.mean),
    };
    let evidence = evidence(c);
    match c.finding {
        Finding::Equal => String::new(),
        Finding::Small => format!(
            "{name}: {size}, too small to matter ({evidence}; matters above {}).",
            unit.value(c.threshold.least)
        ),
        Finding::NotWorse => format!(
            "{name}: {size}, not worse by as much as matters ({evidence}; matters above {}).",
            unit.value(c.threshold.least)
        ),
        Finding::CannotTell => {
            let why = why_open(c, least_blocks);
            format!("{name}: {size}, cannot tell: {why} ({evidence}).")
        }
        Finding::Higher | Finding::Lower => {
            let word = if c.mean > 0.0 { "higher" } else { "lower" };
            format!(
                "{name}: {word} with {} than with {} by {size} ({evidence}; {}).",
                c.other,
                c.base,
                threshold_words(c)
            )
        }
    }
}

fn evidence(c: &Comparison) -> String {
    let unit = c.unit;
    let mut parts = vec![match (c.pairs.len(), c.interval) {
        (1, _) => "one pair, no spread known".to_owned(),
        (n, Some(i)) => format!(
            "95 % interval {} to {} over {n} pairs",
            unit.difference(i.low),
            unit.difference(i.high)
        ),
        (n, None) => format!(
            "{n} pairs: {} to {}",
            unit.difference(c.min),
            unit.difference(c.max)
        ),
    }];
    if let (Some(p), true) = (c.p, c.pairs.len() > 1) {
        parts.push(text::p_value(p));
    }
    parts.push(match c.bound {
        Some(0.0) => "counted exactly".to_owned(),
        Some(bound) => format!("bound {}", unit.value(bound)),
        None => "no error bound known".to_owned(),
    });
    parts.join(", ")
}

fn threshold_words(c: &Comparison) -> String {
    let unit: Unit = c.unit;
    let size = unit.value(c.threshold.size);
    match c.threshold.by {
        ThresholdBy::Least => format!("matters above {size}"),
        ThresholdBy::Bound => format!("counts above its bound of {size}"),
        ThresholdBy::Noise => format!("counts above the learned noise of {size}"),
    }
}

/// Why a difference is not decided, and what would decide it.
fn why_open(c: &Comparison, least_blocks: u32) -> String {
    let n = c.pairs.len();
    if c.bound.is_some_and(|b| c.mean.abs() < b) && c.threshold.by == ThresholdBy::Bound {
        return format!(
            "difference below the bound of {}, and {} matters",
            c.unit.value(c.threshold.size),
            c.unit.value(c.threshold.least)
        );
    }
    if (n as u32) < least_blocks {
        return format!(
            "{} cannot decide, {least_blocks} can",
            text::plural(n, "pair")
        );
    }
    let significant = c.p.is_some_and(|p| p <= LEVEL);
    let reason = if significant {
        format!("significant, but {}", threshold_words(c))
    } else {
        "not significant".to_owned()
    };
    match blocks_needed(c) {
        Some(blocks) => format!("{reason}; about {blocks} blocks may decide"),
        None => reason,
    }
}

/// Blocks after which the interval may be narrow enough: its width falls with the root of their number.
fn blocks_needed(c: &Comparison) -> Option<u32> {
    let i = c.interval?;
    let room = (c.mean.abs() - c.threshold.size)
        .abs()
        .max(c.threshold.size * 0.2);
    let half = (i.high - i.low) / 2.0;
    let blocks = (c.pairs.len() as f64 * (half / room).powi(2)).ceil();
    // A few more at least, in whole pairs of mirrored blocks.
    (room > 0.0 && blocks.is_finite() && blocks <= 1000.0).then(|| {
        (blocks as u32)
            .max(c.pairs.len() as u32 + 2)
            .next_multiple_of(2)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::paired::Interval;

    /// A comparison of which only what is decided on is set.
    fn comparison(mean: f64, half: f64, least: f64, p: f64) -> Comparison {
        Comparison {
            rate: None,
            flow: None,
            to: "all".into(),
            base: "stock".into(),
            other: "v1".into(),
            metric: "delay_p99".into(),
            name: "p99 delay".into(),
            definition: "delay".into(),
            unit: Unit::Ns,
            judged: true,
            pairs: Vec::new(),
            mean,
            min: mean - half,
            max: mean + half,
            percent: None,
            interval: Some(Interval {
                low: mean - half,
                high: mean + half,
            }),
            p: Some(p),
            effect: None,
            bound: None,
            threshold: Threshold {
                size: least,
                least,
                ..Threshold::default()
            },
            finding: Finding::CannotTell,
            meaning: Meaning::Neither,
            sentence: String::new(),
        }
    }

    /// As [`threshold`] sets it.
    fn with(mut c: Comparison, noise: f64, bound: f64) -> Comparison {
        c.bound = Some(bound);
        c.threshold.noise = Some(noise);
        c.threshold.size = c.threshold.least.max(noise).max(bound);
        c
    }

    fn is_green(finding: Finding, better: Better) -> bool {
        match finding {
            Finding::Equal | Finding::Small | Finding::NotWorse => true,
            Finding::CannotTell => false,
            Finding::Higher => better == Better::Higher,
            Finding::Lower => better == Better::Lower,
        }
    }

    #[test]
    fn a_clear_regression_below_the_noise_is_not_small() {
        // p99 +10 to +16 %, 2 % matters, and the lab's noise is 30 %.
        let c = with(comparison(13.0, 3.0, 2.0, 0.008), 30.0, 0.1);
        assert_eq!(finding(&c, Better::Lower), Finding::CannotTell);
        let quiet = with(comparison(13.0, 3.0, 2.0, 0.008), 0.0, 0.1);
        assert_eq!(finding(&quiet, Better::Lower), Finding::Higher);
    }

    #[test]
    fn a_bound_widens_what_must_be_small() {
        let c = |bound| with(comparison(0.5, 1.0, 2.0, 1.0), 0.0, bound);
        assert_eq!(finding(&c(0.5), Better::Lower), Finding::Small);
        assert_eq!(finding(&c(0.6), Better::Lower), Finding::CannotTell);
        // Towards the better end there is more room.
        let c = |bound| with(comparison(-2.5, 1.0, 2.0, 1.0), 0.0, bound);
        assert_eq!(finding(&c(3.5), Better::Lower), Finding::NotWorse);
        assert_eq!(finding(&c(3.6), Better::Lower), Finding::CannotTell);
        assert_eq!(finding(&c(3.5), Better::Higher), Finding::CannotTell);
    }

    proptest! {
        #[test]
        fn ignorance_never_improves_a_finding(
            mean in -30.0..30.0_f64,
            half in 0.0..20.0_f64,
            least in 0.0..10.0_f64,
            p in 0.0..0.1_f64,
            noise in 0.0..30.0_f64,
            bound in 0.0..10.0_f64,
            more in (0.0..30.0_f64, 0.0..10.0_f64, 0.0..20.0_f64),
            lower in any::<bool>(),
        ) {
            let better = if lower { Better::Lower } else { Better::Higher };
            let before = finding(&with(comparison(mean, half, least, p), noise, bound), better);
            let wider = comparison(mean, half + more.2, least, p);
            let after = finding(&with(wider, noise + more.0, bound + more.1), better);
            prop_assert!(
                !is_green(after, better) || is_green(before, better),
                "{before:?} became {after:?}"
            );
        }
    }
}
