//! `report/`: page, figures and CSV tables. All of it can be rebuilt from the rest of the run, byte for byte.

use std::path::{Path, PathBuf};

use vifbench_scenarios::progress::{Progress, Task};

use crate::analysis::analyze;
use crate::ci;
use crate::error::ReportError;
use crate::figures::{Figure, draw, figures, font};
use crate::page;
use crate::rundir::RunDir;
use crate::summary::RunSummary;
use crate::tables;

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

/// Analyses a run and writes its report: `index.html`, `figures/*.svg` and `*.png`, `trials.csv`,
/// `comparisons.csv`, `summary.json`, `junit.xml` and `verdict.md`; beside it `packets/<n>.parquet` and `trials.parquet`.
///
/// # Errors
/// The run cannot be read, a file cannot be written, or there is no font to draw with.
pub fn render(run_dir: &Path, progress: &dyn Progress) -> Result<Rendered, ReportError> {
    let run = RunDir::new(run_dir);
    let analysis = analyze(&run, progress)?;
    font::register()?;
    let figures = figures(&analysis);

    let report = run.report();
    let task = progress.start("report", Some(figures.len() as u64 + 1));
    let index = report.join("index.html");
    let mut files = vec![index.clone()];
    let drawn = draw_all(&report, figures, &mut files, task.as_ref())?;

    let trials_csv = report.join("trials.csv");
    tables::write_trials_csv(&trials_csv, &analysis.summary)?;
    let comparisons_csv = report.join("comparisons.csv");
    tables::write_comparisons_csv(&comparisons_csv, &analysis.summary)?;
    let summary_json = report.join("summary.json");
    let json =
        serde_json::to_vec_pretty(&analysis.summary).map_err(|source| ReportError::Json {
            path: summary_json.clone(),
            source,
        })?;
    write(&summary_json, &json)?;
    let junit_xml = report.join("junit.xml");
    write(&junit_xml, ci::junit(&analysis.summary).as_bytes())?;
    let verdict_md = report.join("verdict.md");
    write(&verdict_md, ci::markdown(&analysis.summary).as_bytes())?;
    files.extend([
        trials_csv,
        comparisons_csv,
        summary_json,
        junit_xml,
        verdict_md,
    ]);

    write(&index, page::page(&analysis, &drawn).as_bytes())?;
    task.finish(&format!("report in {}", index.display()));
    Ok(Rendered {
        summary: analysis.summary,
        index,
        files,
    })
}

/// Draws every figure into `figures/`, as SVG and as PNG.
pub(crate) fn draw_all(
    report: &Path,
    figures: Vec<Figure>,
    files: &mut Vec<PathBuf>,
    task: &dyn Task,
) -> Result<Vec<(Figure, String)>, ReportError> {
    let folder = report.join("figures");
    // Figures of an earlier version must not stay beside those of this one.
    if folder.try_exists().map_err(ReportError::read(&folder))? {
        std::fs::remove_dir_all(&folder).map_err(ReportError::write(&folder))?;
    }
    std::fs::create_dir_all(&folder).map_err(ReportError::write(&folder))?;
    let mut drawn = Vec::new();
    for (done, figure) in figures.into_iter().enumerate() {
        task.message(figure.id);
        let svg_path = folder.join(format!("{}.svg", figure.id));
        let png_path = folder.join(format!("{}.png", figure.id));
        let svg = draw::svg(&figure.scene, &svg_path)?;
        write(&svg_path, svg.as_bytes())?;
        draw::png(&figure.scene, &png_path)?;
        files.extend([svg_path, png_path]);
        drawn.push((figure, svg));
        task.set(done as u64 + 1);
    }
    Ok(drawn)
}

/// Writes beside the file and renames, so that a reader never sees half of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    std::fs::write(&part, bytes).map_err(ReportError::write(&part))?;
    std::fs::rename(&part, path).map_err(ReportError::write(path))
}
