//! Keeping results within their room.
//!
//! What goes, in this order, and only while there is too much: captures and packet tables of runs that passed, the oldest
//! first; then those of other runs, the oldest first. Never those of the night that runs. What stays of every run: its
//! plan, its trials' records, its tables, its report, its history.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vifbench_store::files::entries;
use vifbench_store::{RunReader, remove_captures};

use crate::error::Failure;

/// What was done.
pub struct Made {
    /// The results are within their room now.
    pub fits: bool,
    /// One sentence a run.
    pub removed: Vec<String>,
}

/// Removes until `out` holds no more than `room` bytes. Runs named `since` or later are of this night.
pub fn make(out: &Path, room: u64, since: &str) -> Result<Made, Failure> {
    let mut used = size(out)?;
    let mut made = Made {
        fits: used <= room,
        removed: Vec::new(),
    };
    if made.fits {
        return Ok(made);
    }
    let mut runs: Vec<(bool, String, PathBuf)> = Vec::new();
    for path in entries(out)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // Names of runs begin with when they started, so that they sort by age.
        if path.join("run.json").exists() && name.as_str() < since {
            runs.push((!passed(&path), name, path));
        }
    }
    runs.sort();
    for (_, name, path) in runs {
        if used <= room {
            break;
        }
        let freed = remove_captures(&RunReader::new(&path))?;
        if freed > 0 {
            used = used.saturating_sub(freed);
            made.removed.push(format!(
                "{name}: its captures and packets were removed to save {:.1} MB; its numbers and report stay",
                freed as f64 / 1e6
            ));
        }
    }
    made.fits = used <= room;
    Ok(made)
}

fn passed(run: &Path) -> bool {
    fs::read(run.join("report").join("summary.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .is_some_and(|summary| summary["verdict"] == "PASS")
}

fn size(folder: &Path) -> Result<u64, Failure> {
    let mut total = 0;
    for path in entries(folder)? {
        let about = fs::symlink_metadata(&path).map_err(Failure::io("look at", &path))?;
        total += if about.is_dir() {
            size(&path)?
        } else {
            about.len()
        };
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(out: &Path, name: &str, verdict: &str) {
        let path = out.join(name);
        for folder in ["trials/1/gen", "packets", "report"] {
            fs::create_dir_all(path.join(folder)).expect("folder");
        }
        let write = |file: &str, bytes: &[u8]| fs::write(path.join(file), bytes).expect("file");
        write("run.json", b"{}");
        write("trials/1/trial.json", b"{}");
        write("trials/1/gen/tx.pcap.zst", &[0; 600]);
        write("packets/1.parquet", &[0; 400]);
        write(
            "report/summary.json",
            format!("{{\"verdict\":\"{verdict}\"}}").as_bytes(),
        );
    }

    #[test]
    fn the_oldest_that_passed_goes_first_and_this_night_never() {
        let out = tempfile::tempdir().expect("folder");
        let out = out.path();
        run(out, "20260101-000000-a", "REGRESSION");
        run(out, "20260102-000000-a", "PASS");
        run(out, "20260103-000000-a", "PASS");
        run(out, "20260104-000000-a", "PASS");
        let tonight = "20260104-000000";
        let has = |name: &str| out.join(name).join("trials/1/gen/tx.pcap.zst").exists();

        assert!(make(out, 10_000, tonight).expect("made").removed.is_empty());
        let made = make(out, 3_500, tonight).expect("made");
        assert!(made.fits);
        assert_eq!(made.removed.len(), 1, "{:?}", made.removed);
        assert!(has("20260101-000000-a") && !has("20260102-000000-a") && has("20260103-000000-a"));

        let made = make(out, 100, tonight).expect("made");
        assert!(!made.fits, "this night's captures alone are too much");
        assert!(!has("20260101-000000-a") && has("20260104-000000-a"));
        assert!(out.join("20260101-000000-a/trials/1/trial.json").exists());
    }
}
