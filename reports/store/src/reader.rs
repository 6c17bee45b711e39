//! Reading a run: where each file lies, and what is in those that the harness wrote. Nothing is locked or written.

use std::path::{Path, PathBuf};

use vifbench_scenarios::acknowledged::Acknowledgements;
use vifbench_wire::protocol::ProbeResult;

use crate::cost_model::{COST_MODEL_FILE, CostModelRecord};
use crate::error::StoreError;
use crate::files::{self, exists, plain_name, read_json};
use crate::format::{Versioned, read_versioned};
use crate::instructions::{INSTRUCTIONS_FILE, InstructionsRecord};
use crate::noise::{NOISE_FILE, Noise};
use crate::record::{Event, RunRecord, TrialRecord};

/// `acknowledged.yaml`, beside runs and in each run's folder.
pub(crate) const ACKNOWLEDGED_FILE: &str = "acknowledged.yaml";

/// Reads one run.
#[derive(Debug, Clone)]
pub struct RunReader(PathBuf);

impl RunReader {
    /// The run in the folder `root`. Nothing is read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// `run.json`.
    pub fn run_json(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// `trials/<n>`.
    pub fn trial(&self, number: u32) -> PathBuf {
        self.0.join("trials").join(number.to_string())
    }

    /// `packets/<n>.parquet`.
    pub fn packets(&self, number: u32) -> PathBuf {
        self.0.join("packets").join(format!("{number}.parquet"))
    }

    /// `traces/<name>`: the time and the length of each frame of a capture that is replayed.
    pub fn trace(&self, file: &Path) -> PathBuf {
        // Only the name counts: the file lies in this run.
        self.0
            .join("traces")
            .join(file.file_name().unwrap_or_default())
    }

    /// `trials.parquet`.
    pub fn trials_parquet(&self) -> PathBuf {
        self.0.join("trials.parquet")
    }

    /// `report`.
    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }

    /// `noise.json`: the learned noise that the run is judged under.
    pub fn noise_json(&self) -> PathBuf {
        self.0.join(NOISE_FILE)
    }

    /// `acknowledged.yaml`: the regressions that were known.
    pub fn acknowledged_yaml(&self) -> PathBuf {
        self.0.join(ACKNOWLEDGED_FILE)
    }

    /// `cost-model.json`: what instructions cost on a real processor.
    pub fn cost_model_json(&self) -> PathBuf {
        self.0.join(COST_MODEL_FILE)
    }

    /// Reads `noise.json`; without that file nothing was learned.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn read_noise(&self) -> Result<Noise, StoreError> {
        let path = self.noise_json();
        Ok(if_there(&path, read_json)?.unwrap_or_default())
    }

    /// Reads `cost-model.json`; none where no hardware run was used to calibrate.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a later version.
    pub fn read_cost_model(&self) -> Result<Option<CostModelRecord>, StoreError> {
        read_if_there(&self.cost_model_json())
    }

    /// Reads `acknowledged.yaml`; without that file nothing is known.
    ///
    /// # Errors
    /// The file cannot be read or has faults.
    pub fn read_acknowledgements(&self) -> Result<Acknowledgements, StoreError> {
        let path = self.acknowledged_yaml();
        let load = |path: &Path| Ok(Acknowledgements::load(path).map_err(Box::new)?);
        Ok(if_there(&path, load)?.unwrap_or_default())
    }

    /// Reads `trials/<n>/instructions.json`; none where they were not counted.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a later version.
    pub fn read_instructions(&self, number: u32) -> Result<Option<InstructionsRecord>, StoreError> {
        read_if_there(&self.trial(number).join(INSTRUCTIONS_FILE))
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a later version.
    pub fn read_run(&self) -> Result<RunRecord, StoreError> {
        read_versioned(&self.run_json())
    }

    /// Reads `trials/<n>/trial.json`; none when that trial has not finished.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or is of a later version.
    pub fn read_trial(&self, number: u32) -> Result<Option<TrialRecord>, StoreError> {
        read_if_there(&self.trial(number).join("trial.json"))
    }

    /// Reads `trials/<n>/<host>/result.json`, with the folder that it lies in.
    ///
    /// # Errors
    /// The file cannot be read or is damaged, or `host` is not a plain name.
    pub fn read_result(
        &self,
        number: u32,
        host: &str,
    ) -> Result<(PathBuf, ProbeResult), StoreError> {
        let trial = self.trial(number);
        let folder = trial.join(plain_name(&trial.join("trial.json"), host)?);
        let result = read_json(&folder.join("result.json"))?;
        Ok((folder, result))
    }

    /// Reads `events.jsonl`; a last line that was cut short by a kill is left out. Without a file there are no events.
    ///
    /// # Errors
    /// The file cannot be read, or a whole line is damaged.
    pub fn read_events(&self) -> Result<Vec<Event>, StoreError> {
        let path = self.0.join("events.jsonl");
        let text = if_there(&path, files::read)?.unwrap_or_default();
        // A line counts once its end is written: what follows the last newline is an unfinished write.
        let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        text[..end]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_slice(line).map_err(|source| StoreError::Json {
                    path: path.clone(),
                    source,
                })
            })
            .collect()
    }

    /// Every file that a report is made from, sorted: `run.json`, what the run is judged under, and everything in
    /// `trials/`. Events and what analysis writes are not among them.
    ///
    /// # Errors
    /// A folder cannot be listed.
    pub fn data_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut paths = Vec::new();
        for path in [
            self.run_json(),
            self.noise_json(),
            self.acknowledged_yaml(),
            self.cost_model_json(),
        ] {
            if exists(&path)? {
                paths.push(path);
            }
        }
        let trials = self.0.join("trials");
        if exists(&trials)? {
            collect(&trials, &mut paths)?;
        }
        paths.sort();
        Ok(paths)
    }
}

/// What `read` makes of a file; none if there is no such file.
fn if_there<T>(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    if exists(path)? {
        read(path).map(Some)
    } else {
        Ok(None)
    }
}

fn read_if_there<T: Versioned>(path: &Path) -> Result<Option<T>, StoreError> {
    if_there(path, read_versioned)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<(), StoreError> {
    for entry in std::fs::read_dir(folder).map_err(StoreError::read(folder))? {
        let entry = entry.map_err(StoreError::read(folder))?;
        let kind = entry.file_type().map_err(StoreError::read(folder))?;
        if kind.is_dir() {
            collect(&entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_last_event_is_left_out_and_a_damaged_one_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let run = RunReader::new(folder.path());
        assert!(run.read_events().expect("no file").is_empty());
        let line = r#"{"at":"2026-11-22T00:00:00Z","what":"run-started","trial":null,"text":"x"}"#;
        let file = folder.path().join("events.jsonl");
        std::fs::write(&file, format!("{line}\n{}", &line[..20])).expect("write");
        assert_eq!(run.read_events().expect("one whole line").len(), 1);
        std::fs::write(&file, format!("{}\n{line}\n", &line[..20])).expect("write");
        assert!(matches!(run.read_events(), Err(StoreError::Json { .. })));
    }
}
