//! A run's folder: where each file lies, and reading those that the harness wrote.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use vifbench_scenarios::acknowledged::Acknowledgements;
use vifbench_wire::protocol::ProbeResult;

use crate::error::ReportError;
use crate::instructions::InstructionsRecord;
use crate::noise::Noise;
use crate::store::{Event, FORMAT, RunRecord, TrialRecord};

/// Paths of one run (layout: [`crate::store`]).
#[derive(Debug, Clone)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// The run that lies in `root`. Nothing is touched yet.
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

    /// `traces/<name>`: when each frame of a capture came that is replayed, and how long it was.
    pub fn trace(&self, file: &Path) -> PathBuf {
        // Whatever else the path says: the file lies in this run.
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
        self.0.join("noise.json")
    }

    /// `acknowledged.yaml`: the regressions that were known.
    pub fn acknowledged_yaml(&self) -> PathBuf {
        self.0.join("acknowledged.yaml")
    }

    /// Reads `noise.json`; nothing learned where there is none.
    pub fn read_noise(&self) -> Result<Noise, ReportError> {
        Noise::read(&self.noise_json())
    }

    /// `cost-model.json`: what instructions cost on a real processor.
    pub fn cost_model_json(&self) -> PathBuf {
        self.0.join(crate::cost_model::FILE)
    }

    /// Reads `trials/<n>/instructions.json`; none where they were not counted.
    pub fn read_instructions(
        &self,
        number: u32,
    ) -> Result<Option<InstructionsRecord>, ReportError> {
        let path = self.trial(number).join(crate::instructions::FILE);
        if !path.try_exists().map_err(ReportError::read(&path))? {
            return Ok(None);
        }
        let record: InstructionsRecord = read_json(&path)?;
        check_format(&path, record.format)?;
        Ok(Some(record))
    }

    /// Reads `acknowledged.yaml`; nothing is known where there is none.
    pub fn read_acknowledgements(&self) -> Result<Acknowledgements, ReportError> {
        let path = self.acknowledged_yaml();
        if !path.try_exists().map_err(ReportError::read(&path))? {
            return Ok(Acknowledgements::default());
        }
        Ok(Acknowledgements::load(&path).map_err(Box::new)?)
    }

    /// Reads `run.json`.
    pub fn read_run(&self) -> Result<RunRecord, ReportError> {
        let path = self.run_json();
        let run: RunRecord = read_json(&path)?;
        check_format(&path, run.format)?;
        Ok(run)
    }

    /// Reads `trials/<n>/trial.json`; none when that trial has not finished.
    pub fn read_trial(&self, number: u32) -> Result<Option<TrialRecord>, ReportError> {
        let path = self.trial(number).join("trial.json");
        if !path.try_exists().map_err(ReportError::read(&path))? {
            return Ok(None);
        }
        let trial: TrialRecord = read_json(&path)?;
        check_format(&path, trial.format)?;
        Ok(Some(trial))
    }

    /// Reads `trials/<n>/<host>/result.json`, with the folder that it lies in.
    pub fn read_result(
        &self,
        number: u32,
        host: &str,
    ) -> Result<(PathBuf, ProbeResult), ReportError> {
        let trial = self.trial(number);
        let folder = trial.join(plain_name(&trial.join("trial.json"), host)?);
        let result = read_json(&folder.join("result.json"))?;
        Ok((folder, result))
    }

    /// Reads `events.jsonl`; a last line that was cut short by a kill is left out. No file, no events.
    pub fn read_events(&self) -> Result<Vec<Event>, ReportError> {
        let path = self.0.join("events.jsonl");
        if !path.try_exists().map_err(ReportError::read(&path))? {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&path).map_err(ReportError::read(&path))?;
        // A line counts once its end is written: what follows the last newline is an unfinished write.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line).map_err(|source| ReportError::Json {
                    path: path.clone(),
                    source,
                })
            })
            .collect()
    }
}

/// `name` if it can only mean a file or folder right inside its parent. Names of captures come from hosts.
pub(crate) fn plain_name<'n>(said_by: &Path, name: &'n str) -> Result<&'n str, ReportError> {
    let plain = !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', '\0'])
        && !name.chars().any(char::is_control);
    if plain {
        Ok(name)
    } else {
        Err(ReportError::UnsafeName {
            path: said_by.to_owned(),
            name: name.to_owned(),
        })
    }
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    let bytes = std::fs::read(path).map_err(ReportError::read(path))?;
    serde_json::from_slice(&bytes).map_err(|source| ReportError::Json {
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn check_format(path: &Path, found: u32) -> Result<(), ReportError> {
    if found == FORMAT {
        Ok(())
    } else {
        Err(ReportError::Format {
            path: path.to_owned(),
            found,
            known: FORMAT,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_hosts_stay_in_their_folder() {
        let said_by = Path::new("result.json");
        for good in ["tx.pcap.zst", "vif-u1.pcap.zst", "..x"] {
            assert!(plain_name(said_by, good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "a\nb",
            "a\0b",
        ] {
            let error = plain_name(said_by, bad).expect_err(bad);
            assert!(error.to_string().contains("result.json"), "{error}");
        }
    }

    #[test]
    fn a_cut_last_event_is_left_out_and_a_damaged_one_is_an_error() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let run = RunDir::new(folder.path());
        assert!(run.read_events().expect("no file").is_empty());
        let line = r#"{"at":"2026-11-22T00:00:00Z","what":"run-started","trial":null,"text":"x"}"#;
        let file = folder.path().join("events.jsonl");
        std::fs::write(&file, format!("{line}\n{}", &line[..20])).expect("write");
        assert_eq!(run.read_events().expect("one whole line").len(), 1);
        std::fs::write(&file, format!("{}\n{line}\n", &line[..20])).expect("write");
        assert!(matches!(run.read_events(), Err(ReportError::Json { .. })));
    }
}
