//! The floor of noise: how far a variant differs from itself, learned from runs in which nothing differed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use vifbench_scenarios::scenario::Scenario;
use vifbench_scenarios::units::Span;

use crate::compare::{Comparison, base};
use crate::error::ReportError;
use crate::stats::median;

/// Share of the self-comparisons that the floor covers.
const COVERED: f64 = 0.95;
/// Fewer than this teach nothing.
pub const LEAST_RUNS: usize = 5;

/// What was learned: `noise.json` beside the runs, copied into each run as it starts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Noise {
    /// By metric.
    pub metrics: BTreeMap<String, Floor>,
    /// Runs that it was learned from.
    pub runs: Vec<String>,
    /// How long their trials were; none where they differ.
    #[serde(default)]
    pub duration: Option<Span>,
}

/// The floor of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// 95 % of the mean differences of a variant from itself were not above this, in percent of the base.
    pub percent: f64,
    /// Deviation of a block's difference, in percent of the base.
    pub deviation_percent: f64,
    /// What a difference had to exceed there, in percent of the base: what matters, or the bound of the measurement.
    pub least_percent: f64,
    /// Mean differences that it rests on.
    pub comparisons: usize,
}

impl Noise {
    /// Reads `noise.json`; nothing learned where there is none.
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        if !path.try_exists().map_err(ReportError::read(path))? {
            return Ok(Self::default());
        }
        let bytes = std::fs::read(path).map_err(ReportError::read(path))?;
        serde_json::from_slice(&bytes).map_err(|source| ReportError::Json {
            path: path.to_owned(),
            source,
        })
    }

    /// The floor of a metric in percent of the base, where enough was learned.
    pub fn floor_percent(&self, metric: &str) -> Option<f64> {
        self.metrics
            .get(metric)
            .filter(|_| self.runs.len() >= LEAST_RUNS)
            .map(|floor| floor.percent)
    }

    /// Learns from runs, each with its comparisons: only those of a variant with its twin count.
    pub fn learn(runs: &[(String, &Scenario, &[Comparison])]) -> Self {
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
        Self {
            metrics,
            runs: names,
            duration: durations.pop_first().filter(|_| durations.is_empty()),
        }
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
