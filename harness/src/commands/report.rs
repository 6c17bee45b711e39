//! `vifbench report`, and the end of every run: analysis, tables, figures, the page, the verdict.

use std::path::Path;

use serde_json::json;
use vifbench_reports::report::render;
use vifbench_reports::verdict::Verdict;
use vifbench_scenarios::progress::Progress;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;

/// Makes the report and prints the summary.
pub fn make(run: &Path, format: Format, progress: &dyn Progress) -> Result<Exit, Failure> {
    let rendered = render(run, progress)?;
    match format {
        Format::Text => {
            print!("{}", rendered.summary.to_text());
            println!("report: {}", rendered.index.display());
        }
        Format::Json => {
            println!(
                "{}",
                json!({"summary": rendered.summary, "report": rendered.index})
            );
        }
    }
    Ok(match rendered.summary.judgement.verdict {
        Verdict::Pass => Exit::Pass,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Infra => Exit::Infra,
        Verdict::Setup => Exit::Setup,
        Verdict::DutCrash => Exit::DutCrash,
    })
}
