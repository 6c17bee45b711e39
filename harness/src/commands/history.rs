//! `vifbench history`: all nights, and where something changed.

use std::fs;
use std::path::Path;

use vifbench_reports::history;
use vifbench_scenarios::progress::Progress;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Carries out the command.
pub fn run(
    out: &Path,
    only: Option<&str>,
    otava: Option<&Path>,
    page: bool,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let mut history = history::read(out)?;
    if let Some(only) = only {
        history.series.retain(|s| s.key.title().contains(only));
    }
    if let Some(folder) = otava {
        fs::create_dir_all(folder).map_err(Failure::named("create the folder", folder))?;
        for (name, text) in history.otava() {
            let path = folder.join(name);
            fs::write(&path, text).map_err(Failure::named("write", &path))?;
        }
    }
    if page {
        let index = history::write_page(out, &history)?;
        progress.note(&format!("page: {}", index.display()));
    }
    match format {
        Format::Json => stdout().json(&history)?,
        Format::Text => write!(stdout(), "{}", history.to_text())?,
    }
    Ok(Exit::Pass)
}
