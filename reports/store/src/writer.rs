//! Writing a run: append-only, so that a killed run keeps every finished trial.
//!
//! A trial is written to `trials/<n>.part` and renamed to `trials/<n>` when all of it is on disk: a trial that has its
//! final name is whole.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::plan::Plan;
use vifbench_scenarios::scenario::Scenario;

use crate::cost_model::COST_MODEL_FILE;
use crate::error::StoreError;
use crate::files::{self, create_folder, write_json};
use crate::noise::NOISE_FILE;
use crate::reader::{ACKNOWLEDGED_FILE, RunReader};
use crate::record::{Event, FORMAT, RunRecord, TrialRecord};

/// The folder of the history of the runs in `out`.
pub fn history_folder(out: &Path) -> PathBuf {
    out.join("history")
}

/// Removes the captures and the packet tables of a run, which are nearly all of its bytes, and returns how many bytes they
/// had. Records, tables and the report stay; the run can no longer be analysed.
///
/// # Errors
/// A folder cannot be listed, or a file cannot be removed.
pub fn remove_captures(run: &RunReader) -> Result<u64, StoreError> {
    let is_capture = |name: &str| {
        let name = name.strip_suffix(".zst").unwrap_or(name);
        Path::new(name).extension().is_some_and(|e| e == "pcap")
    };
    let mut freed = 0;
    for trial in files::entries(&run.root().join("trials"))? {
        for host in files::entries(&trial)? {
            freed += remove_if(&host, is_capture)?;
        }
    }
    freed += remove_if(&run.root().join("packets"), |name| {
        name.ends_with(".parquet")
    })?;
    Ok(freed)
}

/// Removes the files of a folder whose names are right, and returns how many bytes they had.
fn remove_if(folder: &Path, is_right: impl Fn(&str) -> bool) -> Result<u64, StoreError> {
    let mut freed = 0;
    for path in files::entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_right(&name) {
            let about = fs::symlink_metadata(&path).map_err(StoreError::read(&path))?;
            fs::remove_file(&path).map_err(StoreError::write("remove", &path))?;
            freed += about.len();
        }
    }
    Ok(freed)
}

/// A run's folder, locked for this process.
#[derive(Debug)]
pub struct RunWriter {
    path: PathBuf,
    record: RunRecord,
    events: File,
    /// Held as long as this value lives; the kernel releases it with the process.
    _lock: File,
}

impl RunWriter {
    /// Creates a run below `out`, and freezes in it what was learned and acknowledged so far.
    pub fn create(
        out: &Path,
        scenario: Scenario,
        lab: Lab,
        plan: Plan,
    ) -> Result<Self, StoreError> {
        create_folder(out)?;
        let now = jiff::Timestamp::now();
        let stamp = now.strftime("%Y%m%d-%H%M%S");
        let mut attempt = 0;
        let (run, path) = loop {
            let run = match attempt {
                0 => format!("{stamp}-{}", scenario.name),
                n => format!("{stamp}-{}-{n}", scenario.name),
            };
            let path = out.join(&run);
            match fs::create_dir(&path) {
                Ok(()) => break (run, path),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
                Err(source) => return Err(StoreError::write("create the folder", &path)(source)),
            }
        };
        create_folder(&history_folder(out))?;
        let trials = path.join("trials");
        fs::create_dir(&trials).map_err(StoreError::write("create the folder", &trials))?;
        let record = RunRecord {
            format: FORMAT,
            run,
            vifbench: env!("CARGO_PKG_VERSION").to_owned(),
            started: now.to_string(),
            scenario,
            lab,
            plan,
        };
        write_json(&path.join("run.json"), &record)?;
        // The run is judged under what is learned and acknowledged now, also when it is reported later.
        for name in [NOISE_FILE, ACKNOWLEDGED_FILE, COST_MODEL_FILE] {
            let beside = out.join(name);
            if files::exists(&beside)? {
                files::copy_whole(&beside, &path.join(name))?;
            }
        }
        Self::locked(path, record)
    }

    /// Extends the plan: what was planned so far stays, and more trials follow.
    pub fn extend(&mut self, plan: Plan) -> Result<(), StoreError> {
        self.record.plan = plan;
        let path = self.path.join("run.json");
        let part = files::part_of(&path);
        write_json(&part, &self.record)?;
        files::rename(&part, &path)
    }

    /// Opens a run to continue it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let record = RunReader::new(path).read_run()?;
        Self::locked(path.to_owned(), record)
    }

    fn locked(path: PathBuf, record: RunRecord) -> Result<Self, StoreError> {
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(StoreError::write("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Busy { path }),
            Err(fs::TryLockError::Error(source)) => {
                return Err(StoreError::write("lock", &lock_path)(source));
            }
        }
        let events_path = path.join("events.jsonl");
        let events = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&events_path)
            .map_err(StoreError::write("open", &events_path))?;
        Ok(Self {
            path,
            record,
            events,
            _lock: lock,
        })
    }

    /// The run's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what is on disk of it so far.
    pub fn reader(&self) -> RunReader {
        RunReader::new(&self.path)
    }

    /// `run.json`.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Appends an event.
    pub fn event(&mut self, what: &str, trial: Option<u32>, text: &str) -> Result<(), StoreError> {
        let event = Event {
            at: jiff::Timestamp::now().to_string(),
            what: what.to_owned(),
            trial,
            text: text.to_owned(),
        };
        let path = self.path.join("events.jsonl");
        let mut line = serde_json::to_vec(&event).map_err(|source| StoreError::NotWritten {
            path: path.clone(),
            source,
        })?;
        line.push(b'\n');
        self.events
            .write_all(&line)
            .map_err(StoreError::write("append to", &path))
    }

    /// Numbers of the trials that are whole on disk.
    pub fn finished(&self) -> Result<BTreeSet<u32>, StoreError> {
        let trials = self.path.join("trials");
        let mut finished = BTreeSet::new();
        for entry in fs::read_dir(&trials).map_err(StoreError::read(&trials))? {
            let entry = entry.map_err(StoreError::read(&trials))?;
            if let Some(number) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
                && entry.path().join("trial.json").exists()
            {
                finished.insert(number);
            }
        }
        Ok(finished)
    }

    /// An empty folder for a trial that begins; what an earlier, killed attempt left there is removed.
    pub fn begin_trial(&self, number: u32) -> Result<PathBuf, StoreError> {
        let part = self.path.join("trials").join(format!("{number}.part"));
        match fs::remove_dir_all(&part) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(StoreError::write("remove", &part)(source)),
        }
        fs::create_dir(&part).map_err(StoreError::write("create the folder", &part))?;
        Ok(part)
    }

    /// Writes `trial.json` and gives the trial its final name. `part` is the folder that [`Self::begin_trial`] returned.
    pub fn finish_trial(&self, part: &Path, record: &TrialRecord) -> Result<PathBuf, StoreError> {
        write_json(&part.join("trial.json"), record)?;
        let done = self
            .path
            .join("trials")
            .join(record.plan.number.to_string());
        files::rename(part, &done)?;
        Ok(done)
    }
}
