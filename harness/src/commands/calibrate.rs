//! `vifbench calibrate`: what instructions cost, taught by a hardware run.

use std::path::Path;

use vifbench_reports::calibration::points;
use vifbench_reports::cost_model::{CostModel, Modelled};
use vifbench_reports::run_analysis::{Analysis, analyze};
use vifbench_scenarios::progress::Progress;
use vifbench_store::files::write_json;
use vifbench_store::{Calibration, RunReader};

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Carries out the command.
pub fn run(
    hardware: &Path,
    lab: &Path,
    keep: Option<&Path>,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let read = |path: &Path| -> Result<Analysis, Failure> {
        Ok(analyze(&RunReader::new(path), progress)?)
    };
    let (hardware, lab) = (read(hardware)?, read(lab)?);
    let points = points(&hardware, &lab)?;
    let before = CostModel::default();
    let model = before.calibrated(
        &points,
        Calibration {
            hardware: hardware.summary.run,
            lab: lab.summary.run,
            points: points.len(),
        },
    );
    match format {
        Format::Json => stdout().json(model.record())?,
        Format::Text => {
            writeln!(
                stdout(),
                "{:<52} {:>20} {:>20}",
                "cost, ns",
                "before",
                "calibrated"
            )?;
            for ((name, old), (_, new)) in before.costs().iter().zip(model.costs()) {
                writeln!(stdout(), "{name:<52} {:>20} {:>20}", text(*old), text(new))?;
            }
            writeln!(
                stdout(),
                "by {} variants and rates that both runs have; times of a packet on hardware and in the model:",
                points.len()
            )?;
            for point in &points {
                writeln!(
                    stdout(),
                    "  {:>10.0} ns measured, {:>20} ns modelled",
                    point.ns,
                    text(model.time(&point.amounts))
                )?;
            }
        }
    }
    if let Some(keep) = keep {
        write_json(keep, model.record())?;
        if format == Format::Text {
            writeln!(stdout(), "kept in {}", keep.display())?;
        }
    }
    Ok(Exit::Pass)
}

fn text(value: Modelled) -> String {
    format!("{:.2} ± {:.2}", value.ns, value.sd)
}
