//! `cost-model.json`: what instructions cost on a real processor. The arithmetic is in `vifbench-reports`.

use serde::{Deserialize, Serialize};

use crate::format::Versioned;

/// The file beside runs, and in each run's folder.
pub const COST_MODEL_FILE: &str = "cost-model.json";
/// Its format.
pub const COST_MODEL_FORMAT: u32 = 1;
/// The number of costs in a model.
pub const COSTS: usize = 5;

/// The runs from which a model was calibrated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The hardware run.
    pub hardware: String,
    /// The run in the virtual lab whose instructions were counted.
    pub lab: String,
    /// How many variants and rates both have.
    pub points: usize,
}

/// `cost-model.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostModelRecord {
    /// [`COST_MODEL_FORMAT`] of the writer.
    pub format: u32,
    /// None before calibration.
    pub calibration: Option<Calibration>,
    /// The mean of each cost, in nanoseconds.
    pub mean: [f64; COSTS],
    /// Covariance of the means.
    pub covariance: [[f64; COSTS]; COSTS],
}

impl Versioned for CostModelRecord {
    const FORMAT: u32 = COST_MODEL_FORMAT;
}
