//! One short name for all data that a report is made from: the same name, the same data.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::ReportError;
use crate::rundir::RunDir;

/// The data of a run: `run.json`, what it is judged under, and everything in `trials/`, with each file's place.
/// Events and what analysis makes are no part of it.
///
/// # Errors
/// A file cannot be read.
pub fn of_run(run: &RunDir) -> Result<String, ReportError> {
    let mut paths = Vec::new();
    for path in [
        run.run_json(),
        run.noise_json(),
        run.acknowledged_yaml(),
        run.cost_model_json(),
    ] {
        if path.try_exists().map_err(ReportError::read(&path))? {
            paths.push(path);
        }
    }
    let trials = run.root().join("trials");
    if trials.try_exists().map_err(ReportError::read(&trials))? {
        collect(&trials, &mut paths)?;
    }
    paths.sort();
    let mut whole = blake3::Hasher::new();
    for path in paths {
        let place = path.strip_prefix(run.root()).unwrap_or(&path);
        let mut one = blake3::Hasher::new();
        let file = File::open(&path).map_err(ReportError::read(&path))?;
        one.update_reader(file).map_err(ReportError::read(&path))?;
        // Each part has a length of its own, so that no two sets of files are alike.
        whole.update(place.as_os_str().as_encoded_bytes());
        whole.update(&[0]);
        whole.update(one.finalize().as_bytes());
    }
    Ok(short(&whole.finalize()))
}

/// Data that are at hand.
pub fn of_bytes(bytes: &[u8]) -> String {
    short(&blake3::hash(bytes))
}

fn short(hash: &blake3::Hash) -> String {
    format!("blake3:{}", &hash.to_hex()[..32])
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), ReportError> {
    for entry in std::fs::read_dir(folder).map_err(ReportError::read(folder))? {
        let entry = entry.map_err(ReportError::read(folder))?;
        let kind = entry.file_type().map_err(ReportError::read(folder))?;
        if kind.is_dir() {
            collect(&entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}
