//! The report of a simulation: the same page, figures and tables as of a run, marked as simulated.
//!
//! Everything in it follows from the scenario, the seed and the version: made again it is the same byte for byte.

mod figures;
mod fit;
mod page;
mod tables;

use std::path::{Path, PathBuf};

use serde::Serialize;
use vifbench_model::experiment::{Outcome, Row};
use vifbench_model::pareto::Choice;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Scenario;
use vifbench_scenarios::units::{Rate, Span};
use vifbench_store::{ReportFolder, files as store_files};

pub use self::fit::{ServiceFitError, service_of};
use crate::data_hash;
use crate::error::ReportError;
use crate::figures::drawn::write_all;
use crate::figures::font;
use crate::figures::provenance::Origin;

/// Mark on everything that the model says.
pub const SIMULATED_MARK: &str = "simulated: what the model says, nothing was measured";

/// What a simulation was, and what came out.
#[derive(Debug, Clone, Copy)]
pub struct Simulation<'s> {
    /// What was asked.
    pub scenario: &'s Scenario,
    /// The seed.
    pub seed: u64,
    /// Version of vifbench.
    pub vifbench: &'s str,
    /// One a variant and point.
    pub outcomes: &'s [Outcome],
    /// Every regulator with every hold on the same traffic, where that was asked for.
    pub choices: &'s [Choice],
    /// When each request of closed loops came to its guest, in the first block; of other traffic nothing.
    pub answers: &'s [Answers],
}

/// When requests of closed loops came to their guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The variant.
    pub variant: String,
    /// The rate, where it was swept.
    pub rate: Option<Rate>,
    /// T0, where it matters.
    pub hold: Option<Span>,
    /// Nanoseconds of the simulation, in any order.
    pub delivered_ns: Vec<u64>,
}

/// What [`render`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `index.html`.
    pub index: PathBuf,
    /// Every file, the page first.
    pub files: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Summary<'s> {
    scenario: &'s Scenario,
    seed: u64,
    vifbench: &'s str,
    marks: [&'s str; 1],
    rows: &'s [Row],
    choices: &'s [Choice],
}

/// Writes `index.html`, `figures/`, `simulated.csv`, `tables/simulated.tex`, `summary.json` and, with choices, `pareto.csv`
/// into a folder.
///
/// # Errors
/// A file cannot be written, or there is no font to draw with.
pub fn render(
    simulation: &Simulation<'_>,
    report: &Path,
    progress: &dyn Progress,
) -> Result<Rendered, ReportError> {
    font::register()?;
    let rows: Vec<Row> = simulation.outcomes.iter().map(Outcome::row).collect();
    let figures = figures::figures(simulation);
    let report = ReportFolder::create(report)?;
    let task = progress.start("report", Some(figures.len() as u64 + 1));
    let index = report.file("index.html");
    let mut files = vec![index.clone()];
    let summary = Summary {
        scenario: simulation.scenario,
        seed: simulation.seed,
        vifbench: simulation.vifbench,
        marks: [SIMULATED_MARK],
        rows: &rows,
        choices: simulation.choices,
    };
    let json = store_files::json(&report.file("summary.json"), &summary)?;
    let origin = Origin {
        run: format!("{}, seed {}", simulation.scenario.name, simulation.seed),
        basis: figures::basis(simulation).join("; "),
        modules: Vec::new(),
        vifbench: simulation.vifbench.to_owned(),
        data: data_hash::of_bytes(&json),
    };
    let drawn = write_all(&report, figures, &origin, &mut files, task.as_ref())?;
    let table = tables::paper_table(simulation, &rows);
    let name = format!("{}.tex", table.label);
    let folder = report.folder("tables")?;
    files.push(folder.write(&name, table.tex(&origin).as_bytes())?);
    files.push(tables::write_rows(
        report.new_file("simulated.csv")?,
        simulation,
        &rows,
    )?);
    if simulation.choices.is_empty() {
        // An earlier simulation into the same folder may have left one.
        report.remove("pareto.csv")?;
    } else {
        let file = report.new_file("pareto.csv")?;
        files.push(tables::write_choices(file, simulation)?);
    }
    files.push(report.write("summary.json", &json)?);
    let page = page::page(simulation, &rows, &drawn, &origin);
    report.write("index.html", page.as_bytes())?;
    task.finish(&format!("report in {}", index.display()));
    Ok(Rendered { index, files })
}
