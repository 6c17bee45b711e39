//! A sealed trial is a function of what was asked: run again, it must give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use vifbench_reports::store::TrialRecord;

use crate::error::Failure;

/// Results of a trial: its record, and the folder with a folder a host.
pub type Results<'a> = (&'a TrialRecord, &'a Path);

/// The first file in which two results of one trial differ: records, packets and counters, byte for byte. The
/// controller's own time, and where the trial stood in its run, are no part of the results.
pub fn difference(
    (first, one): Results<'_>,
    (second, two): Results<'_>,
) -> Result<Option<PathBuf>, Failure> {
    for host in &first.probes {
        let (one, two) = (one.join(host), two.join(host));
        for file in list(&one)? {
            let again = two.join(&file);
            if !again.exists() || read(&one.join(&file))? != read(&again)? {
                return Ok(Some(Path::new(host).join(&file)));
            }
        }
    }
    let same = TrialRecord {
        wall_s: first.wall_s,
        plan: first.plan.clone(),
        ..second.clone()
    };
    Ok((same != *first).then(|| PathBuf::from("trial.json")))
}

fn list(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(Failure::io("list", path))? {
        names.push(PathBuf::from(
            entry.map_err(Failure::io("list", path))?.file_name(),
        ));
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(Failure::io("read", path))
}
