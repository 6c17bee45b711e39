//! `noise.json`: how far a variant differs from itself, learned from runs in which nothing differed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vifbench_scenarios::units::Span;

/// The file beside runs, and in each run's folder.
pub const NOISE_FILE: &str = "noise.json";
/// Noise learned from fewer runs is not used.
pub const LEAST_RUNS: usize = 5;

/// `noise.json`. The default is noise that was never learned.
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
    /// The floor of a metric in percent of the base, where at least [`LEAST_RUNS`] runs were used.
    pub fn floor_percent(&self, metric: &str) -> Option<f64> {
        self.metrics
            .get(metric)
            .filter(|_| self.runs.len() >= LEAST_RUNS)
            .map(|floor| floor.percent)
    }
}
