//! `vifbench history`: all nights, and where something changed.

use std::path::Path;

use vifbench_reports::history;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;

/// Carries out the command.
pub fn run(
    out: &Path,
    only: Option<&str>,
    otava: Option<&Path>,
    format: Format,
) -> Result<Exit, Failure> {
    let mut history = history::read(out)?;
    if let Some(only) = only {
        history.series.retain(|s| s.key.title().contains(only));
    }
    if let Some(folder) = otava {
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(|source| Failure::Io {
                doing: "write",
                path: path.to_owned(),
                source,
            })
        };
        std::fs::create_dir_all(folder).map_err(|source| Failure::Io {
            doing: "create the folder",
            path: folder.to_owned(),
            source,
        })?;
        for (name, text) in history.otava() {
            write(&folder.join(name), &text)?;
        }
    }
    match format {
        Format::Json => println!("{}", serde_json::json!(history)),
        Format::Text => print!("{}", history.to_text()),
    }
    Ok(Exit::Pass)
}
