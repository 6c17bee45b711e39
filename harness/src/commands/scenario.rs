//! `vifbench scenario list|show|validate`, and finding a scenario by library name or file.

use std::path::{Path, PathBuf};

use serde_json::json;
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::library;
use vifbench_scenarios::scenario::Scenario;

use crate::cli::{Format, ScenarioCommand};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Carries out the command.
pub fn run(command: &ScenarioCommand, format: Format) -> Result<Exit, Failure> {
    match command {
        ScenarioCommand::List => list(format)?,
        ScenarioCommand::Show { scenario } => show(scenario, format)?,
        ScenarioCommand::Validate { scenario, lab } => {
            let found = find(scenario)?;
            if let Some(lab) = lab {
                fits(&found, &Lab::load(lab)?)?;
            }
            match format {
                Format::Text => writeln!(stdout(), "{}: good", found.name)?,
                Format::Json => stdout().json(&json!({"scenario": found.name, "valid": true}))?,
            }
        }
    }
    Ok(Exit::Pass)
}

fn list(format: Format) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for entry in library::all() {
        rows.push((entry.name, entry.scenario()?.about));
    }
    match format {
        Format::Text => {
            for (name, about) in rows {
                writeln!(stdout(), "{name:<16} {about}")?;
            }
        }
        Format::Json => {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(name, about)| json!({"name": name, "about": about}))
                .collect();
            stdout().json(&rows)?;
        }
    }
    Ok(())
}

fn show(name: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let scenario = find(name)?;
            stdout().json(&scenario)?;
        }
        Format::Text => match library::find(name) {
            Some(entry) => write!(stdout(), "{}", entry.text)?,
            None => write!(stdout(), "{}", find(name)?.to_yaml()?)?,
        },
    }
    Ok(())
}

/// A scenario by its library name, or by the path of its file.
pub fn find(name: &str) -> Result<Scenario, Failure> {
    if let Some(entry) = library::find(name) {
        return Ok(entry.scenario()?);
    }
    let looks_like_file = name.contains(['/', '.']);
    if looks_like_file || Path::new(name).exists() {
        return Ok(Scenario::load(Path::new(name))?);
    }
    let near = library::near(name)
        .map(|entry| format!(" (did you mean {}?)", entry.name))
        .unwrap_or_default();
    Err(Failure::Usage(format!(
        "there is no scenario `{name}` in the library{near}; `vifbench scenario list` shows them, or give a file's path"
    )))
}

/// Where a scenario's own paths begin: at its file; the library has none.
pub fn folder_of(name: &str) -> PathBuf {
    Path::new(name)
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// Checks a scenario against a lab.
pub fn fits(scenario: &Scenario, lab: &Lab) -> Result<(), Failure> {
    scenario.check(lab).map_err(|problems| Failure::Unfit {
        lab: lab.name.clone(),
        problems: problems.iter().map(ToString::to_string).collect(),
    })
}
