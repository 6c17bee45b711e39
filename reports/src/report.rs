//! `report/`: page, figures and CSV tables. All of it can be rebuilt from the rest of the run, byte for byte.

use std::path::{Path, PathBuf};

use vifbench_scenarios::progress::Progress;

use crate::analysis::{Analysis, analyze};
use crate::error::ReportError;
use crate::figures::files::write_all;
use crate::figures::provenance::Origin;
use crate::figures::{figures, font, of_run};
use crate::rundir::RunDir;
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
    let run = RunDir::new(run_dir);
    let analysis = analyze(&run, progress)?;
    font::register()?;
    let figures = figures(&analysis);
    let origin = origin(&run, &analysis)?;

    let report = run.report();
    let task = progress.start("report", Some(figures.len() as u64 + 1));
    let index = report.join("index.html");
    let mut files = vec![index.clone()];
    let drawn = write_all(&report, figures, &origin, &mut files, task.as_ref())?;

    let trials_csv = report.join("trials.csv");
    tables::write_trials_csv(&trials_csv, &analysis.summary)?;
    let comparisons_csv = report.join("comparisons.csv");
    tables::write_comparisons_csv(&comparisons_csv, &analysis.summary)?;
    let summary_json = report.join("summary.json");
    let json =
        serde_json::to_vec_pretty(&analysis.summary).map_err(|source| ReportError::NotWritten {
            path: summary_json.clone(),
            source,
        })?;
    write(&summary_json, &json)?;
    let junit_xml = report.join("junit.xml");
    write(&junit_xml, ci::junit(&analysis.summary).as_bytes())?;
    let verdict_md = report.join("verdict.md");
    write(&verdict_md, ci::markdown(&analysis.summary).as_bytes())?;
    let tables = report.join("tables");
    std::fs::create_dir_all(&tables).map_err(ReportError::write(&tables))?;
    for table in [
        tex_tables::results(&analysis.summary),
        tex_tables::comparisons(&analysis.summary),
    ] {
        let path = tables.join(format!("{}.tex", table.label));
        write(&path, table.tex(&origin).as_bytes())?;
        files.push(path);
    }
    files.extend([
        trials_csv,
        comparisons_csv,
        summary_json,
        junit_xml,
        verdict_md,
    ]);

    write(&index, page::page(&analysis, &drawn, &origin).as_bytes())?;
    task.finish(&format!("report in {}", index.display()));
    Ok(Rendered {
        summary: analysis.summary,
        index,
        files,
    })
}

/// What every figure says of where it comes from.
fn origin(run: &RunDir, analysis: &Analysis) -> Result<Origin, ReportError> {
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

/// Writes beside the file and renames, so that a reader never sees half of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    std::fs::write(&part, bytes).map_err(ReportError::write(&part))?;
    std::fs::rename(&part, path).map_err(ReportError::write(path))
}
