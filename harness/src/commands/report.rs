//! `vifbench report`, and the end of every run: analysis, tables, figures, the page, the verdict.

use std::path::Path;

use serde_json::json;
use vifbench_reports::history;
use vifbench_reports::matrix::FILE;
use vifbench_reports::report::{Rendered, render};
use vifbench_reports::verdict::Verdict;
use vifbench_scenarios::acknowledged::Acknowledgements;
use vifbench_scenarios::progress::Progress;
use vifbench_store::{AnalysisWriter, RunReader, history_folder};

use super::matrix;
use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stdout};

/// Makes the report and prints the summary.
pub fn make(run: &Path, format: Format, progress: &dyn Progress) -> Result<Exit, Failure> {
    let rendered = render(run, progress)?;
    // `vifbench run` makes the folder; beside an archived copy of a run there is none.
    let out = run
        .canonicalize()
        .ok()
        .and_then(|run| run.parent().map(Path::to_owned));
    if let Some(out) = out.filter(|out| history_folder(out).is_dir()) {
        history::record(&out, &rendered.summary)?;
    }
    print(&rendered, format)?;
    Ok(exit(rendered.summary.judgement.verdict))
}

/// `vifbench report`: known regressions are put beside the run first, where a file of them is given.
pub fn run(
    run: &Path,
    acknowledged: Option<&Path>,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    if run.join(FILE).is_file() {
        if acknowledged.is_some() {
            return Err(Failure::Usage(format!(
                "{} is a matrix: give --acknowledged to its runs",
                run.display()
            )));
        }
        matrix::report(run, format, progress)?;
        return Ok(Exit::Pass);
    }
    if let Some(file) = acknowledged {
        // Faults are told with the file's own name, before it is copied.
        Acknowledgements::load(file)?;
        AnalysisWriter::new(&RunReader::new(run)).acknowledge(file)?;
    }
    make(run, format, progress)
}

fn print(rendered: &Rendered, format: Format) -> Result<(), OutputError> {
    match format {
        Format::Text => {
            write!(stdout(), "{}", rendered.summary.to_text())?;
            writeln!(stdout(), "report: {}", rendered.index.display())?;
        }
        Format::Json => {
            stdout().json(&json!({"summary": rendered.summary, "report": rendered.index.display().to_string()}))?;
        }
    }
    Ok(())
}

/// The exit code of a verdict.
pub fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass | Verdict::Improvement => Exit::Pass,
        Verdict::Regression => Exit::Regression,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Infra => Exit::Infra,
        Verdict::Setup => Exit::Setup,
        Verdict::DutCrash => Exit::DutCrash,
    }
}
