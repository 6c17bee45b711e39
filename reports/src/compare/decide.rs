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

/// What a difference must exceed to count.
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
        c.finding = finding(c);
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

fn finding(c: &Comparison) -> Finding {
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
    match c.interval {
        Some(i) if i.low >= -c.threshold.size && i.high <= c.threshold.size => Finding::Small,
        _ => Finding::CannotTell,
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
            "{name}: {size}, too small to matter ({evidence}; {}).",
            threshold_words(c)
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
            "difference below the bound of {}",
            c.unit.value(c.threshold.size)
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
