//! `report/`: page, figures and CSV tables. All of it can be rebuilt from the rest of the run, byte for byte.

use std::path::{Path, PathBuf};

use vifbench_scenarios::progress::Progress;
use vifbench_store::{AnalysisWriter, RunReader, files};

use crate::error::ReportError;
use crate::figures::drawn::write_all;
use crate::figures::provenance::Origin;
use crate::figures::{figures, font, of_run};
use crate::run_analysis::{Analysis, analyze_into};
use crate::summary::RunSummary;
use crate::tables;
use crate::{ci, data_hash, page, tex_tables};

/// What [`render`] made.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The numbers.
    pub summary: RunSummary,
    /// `report/index.html`.
    pub index: PathBuf,
    /// Every file of the report, the page first.
    pub files: Vec<PathBuf>,
}

/// Analyses a run and writes its report: `index.html`, `figures/` (each as SVG, PNG, PDF, CSV and `PGFPlots` source),
/// `tables/*.tex`, `trials.csv`, `comparisons.csv`, `summary.json`, `junit.xml` and `verdict.md`; beside it
/// `packets/<n>.parquet` and `trials.parquet`.
///
/// # Errors
/// The run cannot be read, a file cannot be written, or there is no font to draw with.
pub fn render(run_dir: &Path, progress: &dyn Progress) -> Result<Rendered, ReportError> {
    let run = RunReader::new(run_dir);
    let writer = AnalysisWriter::new(&run);
    let analysis = analyze_into(&run, &writer, progress)?;
    font::register()?;
    let figures = figures(&analysis);
    let origin = origin(&run, &analysis)?;

    let report = writer.report()?;
    let task = progress.start("report", Some(figures.len() as u64 + 1));
    let index = report.file("index.html");
    let mut files = vec![index.clone()];
    let drawn = write_all(&report, figures, &origin, &mut files, task.as_ref())?;

    let summary = &analysis.summary;
    let tables = report.folder("tables")?;
    for table in [
        tex_tables::results(summary),
        tex_tables::comparisons(summary),
    ] {
        let name = format!("{}.tex", table.label);
        files.push(tables.write(&name, table.tex(&origin).as_bytes())?);
    }
    files.push(tables::write_trials_csv(
        report.new_file("trials.csv")?,
        summary,
    )?);
    files.push(tables::write_comparisons_csv(
        report.new_file("comparisons.csv")?,
        summary,
    )?);
    let json = files::json(&report.file("summary.json"), summary)?;
    files.push(report.write("summary.json", &json)?);
    let xml = ci::junit(summary).map_err(|source| ReportError::Junit {
        path: report.file("junit.xml"),
        source,
    })?;
    files.push(report.write("junit.xml", xml.as_bytes())?);
    files.push(report.write("verdict.md", ci::markdown(summary).as_bytes())?);

    let page = page::page(&analysis, &drawn, &origin);
    report.write("index.html", page.as_bytes())?;
    task.finish(&format!("report in {}", index.display()));
    Ok(Rendered {
        summary: analysis.summary,
        index,
        files,
    })
}

/// What every figure says of where it comes from.
fn origin(run: &RunReader, analysis: &Analysis) -> Result<Origin, ReportError> {
    let mut modules: Vec<String> = analysis
        .trials
        .iter()
        .filter_map(|t| t.record.as_ref())
        .flat_map(|record| &record.modules)
        .map(|m| {
            format!(
                "{} {} ({}) build-id {}",
                m.host, m.module, m.series, m.build_id
            )
        })
        .collect();
    modules.sort();
    modules.dedup();
    Ok(Origin {
        run: analysis.summary.run.clone(),
        basis: of_run::basis(analysis).join("; "),
        modules,
        vifbench: analysis.summary.vifbench.clone(),
        data: data_hash::of_run(run)?,
    })
}
