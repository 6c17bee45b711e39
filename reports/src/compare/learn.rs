//! The floor of noise: how far a variant differs from itself, learned from runs in which nothing differed.

use std::collections::{BTreeMap, BTreeSet};

use vifbench_scenarios::scenario::Scenario;
use vifbench_store::{Floor, Noise};

use super::{Comparison, base};
use crate::stats::median;

/// Share of the self-comparisons that the floor covers.
const COVERED: f64 = 0.95;

/// Learns the floor of noise from runs, each with its id and its comparisons: only comparisons of a variant with its
/// twin count.
pub fn learn(runs: &[(String, &Scenario, &[Comparison])]) -> Noise {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut names = Vec::new();
    let mut durations = BTreeSet::new();
    for (run, scenario, comparisons) in runs {
        let mut any = false;
        for c in comparisons.iter().filter(|c| is_twin(scenario, &c.other)) {
            any = true;
            let of = seen.entry(c.metric.clone()).or_default();
            of.means.extend(c.percent.map(f64::abs));
            of.least.extend(least_percent(c));
            of.blocks.extend(
                c.pairs
                    .iter()
                    .filter(|p| p.base != 0.0)
                    .map(|p| p.difference / p.base * 100.0),
            );
        }
        if any {
            names.push(run.clone());
            durations.insert(scenario.duration);
        }
    }
    let metrics = seen
        .into_iter()
        .filter(|(_, of)| !of.means.is_empty())
        .map(|(metric, of)| {
            let Seen {
                mut means,
                blocks,
                least,
            } = of;
            means.sort_by(f64::total_cmp);
            let rank = (means.len() as f64 * COVERED).ceil() as usize;
            let squares: f64 = blocks.iter().map(|b| b * b).sum();
            let floor = Floor {
                percent: means[rank.clamp(1, means.len()) - 1],
                deviation_percent: (squares / blocks.len() as f64).sqrt(),
                least_percent: median(&least).unwrap_or(0.0),
                comparisons: means.len(),
            };
            (metric, floor)
        })
        .collect();
    Noise {
        metrics,
        runs: names,
        duration: durations.pop_first().filter(|_| durations.is_empty()),
    }
}

#[derive(Default)]
struct Seen {
    means: Vec<f64>,
    blocks: Vec<f64>,
    least: Vec<f64>,
}

/// What a difference must exceed without any learned noise, in percent of the base.
pub fn least_percent(c: &Comparison) -> Option<f64> {
    let base = c.pairs.iter().map(|p| p.base.abs()).sum::<f64>() / c.pairs.len() as f64;
    let least = c.threshold.least.max(c.bound.unwrap_or(0.0));
    (base > 0.0).then(|| least / base * 100.0)
}

/// Whether a variant is the base under another name.
pub fn is_twin(scenario: &Scenario, name: &str) -> bool {
    let variant = scenario.variants.iter().find(|v| v.name == name);
    let (Some(base), Some(variant)) = (base(&scenario.variants), variant) else {
        return false;
    };
    base.name != variant.name && {
        let mut renamed = variant.clone();
        renamed.name.clone_from(&base.name);
        renamed == *base
    }
}
