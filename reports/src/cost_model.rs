//! From instructions to time: a small model of what a processor needs for what was counted.
//!
//! Virtual time counts instructions. A real processor needs more for an instruction that waits for memory, and more than
//! instructions for an event or a switch between virtual CPUs. The model is a sum of five costs,
//!
//! ```text
//! time = instructions x a + misses of the first level x b + misses of the last level x c + events x d + switches x e
//! ```
//!
//! each known only within bounds. Before calibration the bounds are orders of magnitude of servers of the last ten years.
//! A hardware run of the same scenario narrows them: Bayesian linear regression with the known bounds as the prior
//! (Bishop 2006, section 3.3), so that one run with three variants is of use, and what it cannot tell stays as wide as it was.
//! Every time that the model gives carries its standard deviation.

use vifbench_store::{COST_MODEL_FORMAT, COSTS, Calibration, CostModelRecord};

use crate::instructions::VariantInstructions;
use crate::instructions::calls::{Call, EVENTS, SWITCHES};

/// The names of the costs, in order.
pub const NAMES: [&str; COSTS] = [
    "an instruction",
    "a line from the last level of caches",
    "a line from memory",
    "an event channel operation, beyond its instructions",
    "a switch of virtual CPUs, beyond its instructions",
];
/// Means and standard deviations before calibration, in nanoseconds. An instruction: 3 GHz and 1.3 instructions a cycle.
const PRIOR: [(f64, f64); COSTS] = [
    (0.25, 0.1),
    (4.0, 2.0),
    (80.0, 40.0),
    (500.0, 300.0),
    (1000.0, 600.0),
];
/// How far a measured time a packet may be from what any sum of costs gives, as a share of it: what the model leaves out.
const MISFIT: f64 = 0.05;

/// How much a packet takes of each cost.
pub type Amounts = [f64; COSTS];

/// A time with its standard deviation, both in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Modelled {
    /// The mean.
    pub ns: f64,
    /// Its standard deviation.
    pub sd: f64,
}

/// The costs, and how sure they are.
#[derive(Debug, Clone, PartialEq)]
pub struct CostModel(CostModelRecord);

/// One variant at one rate: what the lab counted and what hardware measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Counted a packet.
    pub amounts: Amounts,
    /// CPU time a packet on hardware, in nanoseconds.
    pub ns: f64,
}

impl Default for CostModel {
    fn default() -> Self {
        let mut covariance = [[0.0; COSTS]; COSTS];
        for (n, (_, sd)) in PRIOR.iter().enumerate() {
            covariance[n][n] = sd * sd;
        }
        Self(CostModelRecord {
            format: COST_MODEL_FORMAT,
            calibration: None,
            mean: PRIOR.map(|(mean, _)| mean),
            covariance,
        })
    }
}

impl From<CostModelRecord> for CostModel {
    fn from(record: CostModelRecord) -> Self {
        Self(record)
    }
}

impl CostModel {
    /// The model as it is stored.
    pub fn record(&self) -> &CostModelRecord {
        &self.0
    }

    /// The runs that it was calibrated with; none before calibration.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.0.calibration.as_ref()
    }

    /// The model after these points were seen, each as a Bayesian update by one equation: the order does not matter.
    #[must_use]
    pub fn calibrated(&self, points: &[Point], calibration: Calibration) -> Self {
        let mut model = self.clone();
        for point in points {
            model.see(point);
        }
        // Where the points lie further from the model than it allows for, it is less sure by as much.
        let strain = points.iter().map(|point| {
            let off = model.time(&point.amounts).ns - point.ns;
            (off / (MISFIT * point.ns)).powi(2)
        });
        let strain = strain.sum::<f64>() / points.len().max(1) as f64;
        for cell in model.0.covariance.iter_mut().flatten() {
            *cell *= strain.max(1.0);
        }
        model.0.calibration = Some(calibration);
        model
    }

    /// A Kalman update with a state that does not move.
    fn see(&mut self, point: &Point) {
        let x = &point.amounts;
        let spread = self.times(x);
        let variance = dot(x, &spread) + (MISFIT * point.ns).powi(2);
        let off = point.ns - dot(x, &self.0.mean);
        for (mean, spread) in self.0.mean.iter_mut().zip(&spread) {
            *mean += spread * off / variance;
        }
        for (row, a) in self.0.covariance.iter_mut().zip(&spread) {
            for (cell, b) in row.iter_mut().zip(&spread) {
                *cell -= a * b / variance;
            }
        }
    }

    /// The covariance times a vector.
    fn times(&self, x: &Amounts) -> Amounts {
        self.0.covariance.map(|row| dot(&row, x))
    }

    /// The time that these amounts take.
    pub fn time(&self, amounts: &Amounts) -> Modelled {
        Modelled {
            ns: dot(amounts, &self.0.mean),
            sd: dot(amounts, &self.times(amounts)).max(0.0).sqrt(),
        }
    }

    /// How much longer the second takes than the first. What both have in common is as uncertain in both, and falls out.
    pub fn difference(&self, one: &Amounts, other: &Amounts) -> Modelled {
        let mut more = *other;
        for (more, one) in more.iter_mut().zip(one) {
            *more -= one;
        }
        self.time(&more)
    }

    /// Each cost with its standard deviation.
    pub fn costs(&self) -> [(&'static str, Modelled); COSTS] {
        let mut all = NAMES.map(|name| (name, Modelled { ns: 0.0, sd: 0.0 }));
        for (n, (_, cost)) in all.iter_mut().enumerate() {
            cost.ns = self.0.mean[n];
            cost.sd = self.0.covariance[n][n].max(0.0).sqrt();
        }
        all
    }
}

fn dot(a: &Amounts, b: &Amounts) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// What a packet of a variant takes of each cost.
pub fn amounts(of: &VariantInstructions) -> Amounts {
    let all = of.sum(|_| true);
    let calls = |call: &Call| of.calls(call).unwrap_or(0.0);
    [
        all.instructions,
        all.missed_l1 - all.missed_ll,
        all.missed_ll,
        calls(&EVENTS),
        calls(&SWITCHES),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calibration(points: usize) -> Calibration {
        Calibration {
            hardware: "h".to_owned(),
            lab: "l".to_owned(),
            points,
        }
    }

    fn points(truth: &Amounts) -> Vec<Point> {
        let amounts = [
            [20_000.0, 300.0, 20.0, 1.0, 1.2],
            [17_000.0, 280.0, 15.0, 0.5, 0.6],
            [12_000.0, 150.0, 8.0, 0.02, 0.05],
            [9000.0, 60.0, 3.0, 0.01, 0.02],
            [15_000.0, 320.0, 40.0, 1.5, 0.4],
            [15_000.0, 120.0, 2.0, 0.3, 2.0],
        ];
        let point = |amounts: Amounts| Point {
            amounts,
            ns: dot(&amounts, truth),
        };
        amounts.map(point).to_vec()
    }

    #[test]
    fn calibration_finds_what_hardware_costs() {
        let truth = [0.33, 5.5, 60.0, 800.0, 1600.0];
        let points = points(&truth);
        let before = CostModel::default();
        let after = before.calibrated(&points, calibration(points.len()));
        for point in &points {
            let (old, new) = (before.time(&point.amounts), after.time(&point.amounts));
            assert!(
                (new.ns - point.ns).abs() < 0.05 * point.ns,
                "{new:?} {point:?}"
            );
            assert!(new.sd < 0.5 * old.sd, "{old:?} {new:?}");
        }
        // What is never larger than the noise of the others stays as uncertain as it was, and is not made up.
        for ((name, cost), truth) in after.costs().iter().zip(truth) {
            assert!(
                (cost.ns - truth).abs() < 3.0 * cost.sd,
                "{name}: {cost:?}, {truth}"
            );
        }
    }

    #[test]
    fn what_two_variants_share_does_not_blur_their_difference() {
        let model = CostModel::default();
        let one = [20_000.0, 300.0, 20.0, 1.0, 1.0];
        let mut other = one;
        other[0] += 100.0;
        let more = model.difference(&one, &other);
        assert!(
            (more.ns - 25.0).abs() < 1e-9 && (more.sd - 10.0).abs() < 1e-9,
            "{more:?}"
        );
        assert!(model.time(&one).sd > 100.0 * more.sd);
    }

    #[test]
    fn a_model_that_hardware_contradicts_is_less_sure() {
        let truth = [0.33, 5.5, 60.0, 800.0, 1600.0];
        let mut points = points(&truth);
        let calm = CostModel::default().calibrated(&points, calibration(6));
        points[0].ns *= 1.8;
        points[1].ns *= 0.6;
        let strained = CostModel::default().calibrated(&points, calibration(6));
        let sd = |model: &CostModel| model.time(&points[2].amounts).sd;
        assert!(sd(&strained) > 2.0 * sd(&calm));
    }

    proptest! {
        #[test]
        fn more_points_never_make_it_less_sure_of_what_agrees(
            costs in prop::array::uniform5(0.5_f64..1.5), seen in 1_usize..6
        ) {
            let mut truth = PRIOR.map(|(mean, _)| mean);
            for (truth, cost) in truth.iter_mut().zip(costs) {
                *truth *= cost;
            }
            let points = points(&truth);
            let mut model = CostModel::default();
            let mut last = model.time(&points[0].amounts).sd;
            for point in &points[..seen] {
                model.see(point);
                let sd = model.time(&points[0].amounts).sd;
                prop_assert!(sd <= last * (1.0 + 1e-9));
                last = sd;
            }
        }
    }
}
