//! What a hardware run and a lab run of the same scenario have in common, to calibrate the cost model with.

use vifbench_scenarios::lab::Role;

use crate::cost_model::{Point, amounts};
use crate::run_analysis::Analysis;

/// Why two runs cannot calibrate the model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CalibrationError {
    /// The first is no hardware run.
    #[error(
        "{run} ran in the virtual lab, whose times are instruction times: name a run on hardware first"
    )]
    Virtual {
        /// The run.
        run: String,
    },
    /// The second has no counts.
    #[error(
        "the run {run} counted no instructions: run its scenario with `vifbench run --instructions`"
    )]
    NotCounted {
        /// The run.
        run: String,
    },
    /// They have nothing in common.
    #[error(
        "{hardware} and {lab} have no variant at the same rate in common, or {hardware} sampled no CPU time: run the same scenario on both"
    )]
    NothingInCommon {
        /// The hardware run.
        hardware: String,
        /// The lab run.
        lab: String,
    },
}

/// Every variant and rate that a hardware run measured and a lab run counted.
///
/// CPU time on hardware is that of all sampled domains together. A generator that is a machine of its own takes none of it, so
/// the lab's generator guest is then left out too; what the hypervisor does for it is not told apart and stays in.
///
/// # Errors
/// The runs are not of the right kinds, or have nothing in common.
pub fn points(hardware: &Analysis, lab: &Analysis) -> Result<Vec<Point>, CalibrationError> {
    let name = |run: &Analysis| run.summary.run.clone();
    if hardware.run.lab.is_virtual {
        return Err(CalibrationError::Virtual {
            run: name(hardware),
        });
    }
    let counted = lab.instructions();
    if counted.is_empty() {
        return Err(CalibrationError::NotCounted { run: name(lab) });
    }
    let sends_from_a_guest = hardware
        .run
        .lab
        .of_role(Role::Generator)
        .any(|spec| spec.on.is_some());
    let outside: Vec<String> = lab
        .run
        .lab
        .of_role(Role::Generator)
        .filter(|_| !sends_from_a_guest)
        .map(|spec| spec.name.to_string())
        .collect();
    let mut points = Vec::new();
    for mut one in counted {
        one.by.retain(|(domain, ..), _| !outside.contains(domain));
        let trials = hardware.summary.trials.iter();
        let times: Vec<f64> = trials
            .filter(|trial| trial.variant == one.variant && trial.rate == one.rate)
            .filter_map(|trial| {
                trial
                    .domains
                    .iter()
                    .map(|domain| domain.ns_per_packet)
                    .sum()
            })
            .filter(|ns: &f64| *ns > 0.0)
            .collect();
        if !times.is_empty() {
            points.push(Point {
                amounts: amounts(&one),
                ns: times.iter().sum::<f64>() / times.len() as f64,
            });
        }
    }
    if points.is_empty() {
        return Err(CalibrationError::NothingInCommon {
            hardware: name(hardware),
            lab: name(lab),
        });
    }
    Ok(points)
}
