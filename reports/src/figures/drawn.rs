//! Every file of a report's figures.

use std::path::PathBuf;

use vifbench_scenarios::progress::Task;
use vifbench_store::ReportFolder;

use crate::error::ReportError;
use crate::figures::chart::Figure;
use crate::figures::layout::lay_out;
use crate::figures::provenance::{Origin, Provenance};
use crate::figures::sheet::{PAGE, PAPERS};
use crate::figures::{csv, draw, hover, pdf, pgf};

/// A figure as the page shows it.
pub struct Drawn {
    /// What it is.
    pub figure: Figure,
    /// For the page.
    pub svg: String,
    /// What the page shows under the pointer.
    pub values: String,
}

/// Writes every figure into `figures/`: `<id>.svg` and `.png` for the page, `<id>-<column>.pdf` and `.svg` for the
/// columns of papers, `<id>.csv` and `<id>.tex` (`PGFPlots`).
pub(crate) fn write_all(
    report: &ReportFolder,
    figures: Vec<Figure>,
    origin: &Origin,
    files: &mut Vec<PathBuf>,
    task: &dyn Task,
) -> Result<Vec<Drawn>, ReportError> {
    let folder = report.emptied("figures")?;
    let mut drawn = Vec::new();
    for (done, figure) in figures.into_iter().enumerate() {
        task.message(figure.id);
        let about = Provenance::of(&figure, origin);
        let mut put = |name: String, bytes: &[u8]| {
            files.push(folder.write(&name, bytes)?);
            Ok::<(), ReportError>(())
        };
        let id = figure.id;
        let laid = lay_out(&figure, &PAGE);
        let svg = draw::svg(&laid.scene, &folder.file(&format!("{id}.svg")))?;
        put(format!("{id}.svg"), draw::svg_file(&svg, &about).as_bytes())?;
        put(format!("{id}.csv"), csv::csv(&figure, &about).as_bytes())?;
        put(format!("{id}.tex"), pgf::pgf(&figure, &about).as_bytes())?;
        for sheet in &PAPERS {
            let scene = lay_out(&figure, sheet).scene;
            let name = format!("{id}{}", sheet.suffix);
            let pdf = pdf::pdf(&scene, &about).map_err(|reason| ReportError::Draw {
                path: folder.file(&format!("{name}.pdf")),
                reason,
            })?;
            put(format!("{name}.pdf"), &pdf)?;
            let path = folder.file(&format!("{name}.svg"));
            put(
                format!("{name}.svg"),
                draw::svg_on_paper(&scene, &about, &path)?.as_bytes(),
            )?;
        }
        files.push(draw::png(&laid.scene, &about, &folder, id)?);
        let values = hover::values(&figure, &laid);
        drawn.push(Drawn {
            figure,
            svg,
            values,
        });
        task.set(done as u64 + 1);
    }
    Ok(drawn)
}
