//! Writing the run store: append-only while running, so that a killed run keeps every finished trial.
//!
//! A trial is written to `trials/<n>.part` and renamed to `trials/<n>` when all of it is on disk: what has its
//! final name is whole. The formats are `vifbench_reports::store`'s.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_reports::cost_model;
use vifbench_reports::store::{Event, FORMAT, RunRecord, TrialRecord};
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::plan::Plan;
use vifbench_scenarios::scenario::Scenario;

use crate::error::room_hint;

/// Why the run store could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {doing} {}: {source}{}", path.display(), room_hint(source))]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is not a readable run file: {source}; the run folder may be damaged", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// Another version of vifbench wrote it.
    #[error("{} has format {found}, this vifbench reads {FORMAT}: use the version that made the run", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Another process works on it.
    #[error("{} is in use by another vifbench: wait for it, or end it", path.display())]
    Busy {
        /// The run folder.
        path: PathBuf,
    },
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Io {
        doing,
        path,
        source,
    }
}

/// A run's folder, locked for this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    record: RunRecord,
    events: File,
    /// Held for as long as the run is worked on; the kernel drops it with the process.
    _lock: File,
}

impl RunDir {
    /// Makes a new run folder below `out`.
    pub fn create(
        out: &Path,
        scenario: Scenario,
        lab: Lab,
        plan: Plan,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(out).map_err(io("create the folder", out))?;
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
                Err(source) => return Err(io("create the folder", &path)(source)),
            }
        };
        let history = vifbench_reports::history::folder(out);
        fs::create_dir_all(&history).map_err(io("create the folder", &history))?;
        let trials = path.join("trials");
        fs::create_dir(&trials).map_err(io("create the folder", &trials))?;
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
        // What is learned and acknowledged so far is what this run is judged under, also when it is reported later.
        for name in ["noise.json", "acknowledged.yaml", cost_model::FILE] {
            let beside = out.join(name);
            if beside.exists() {
                freeze(&beside, &path.join(name))?;
            }
        }
        Self::locked(path, record)
    }

    /// Goes on with more blocks: the plan so far stays what it was, and more of it follows.
    pub fn extend(&mut self, plan: Plan) -> Result<(), StoreError> {
        self.record.plan = plan;
        let path = self.path.join("run.json");
        let part = self.path.join("run.json.part");
        write_json(&part, &self.record)?;
        fs::rename(&part, &path).map_err(io("rename into place", &path))
    }

    /// Opens a run folder to go on with it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = path.join("run.json");
        let record: RunRecord = read_json(&file)?;
        if record.format != FORMAT {
            return Err(StoreError::Format {
                path: file,
                found: record.format,
            });
        }
        Self::locked(path.to_owned(), record)
    }

    fn locked(path: PathBuf, record: RunRecord) -> Result<Self, StoreError> {
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Busy { path }),
            Err(fs::TryLockError::Error(source)) => return Err(io("lock", &lock_path)(source)),
        }
        let events_path = path.join("events.jsonl");
        let events = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&events_path)
            .map_err(io("open", &events_path))?;
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

    /// What the run is.
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
        let mut line = serde_json::to_vec(&event).map_err(|source| StoreError::Json {
            path: path.clone(),
            source,
        })?;
        line.push(b'\n');
        self.events.write_all(&line).map_err(io("append to", &path))
    }

    /// Numbers of the trials that are whole on disk.
    pub fn finished(&self) -> Result<BTreeSet<u32>, StoreError> {
        let trials = self.path.join("trials");
        let mut finished = BTreeSet::new();
        for entry in fs::read_dir(&trials).map_err(io("list", &trials))? {
            let entry = entry.map_err(io("list", &trials))?;
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
            Err(source) => return Err(io("remove", &part)(source)),
        }
        fs::create_dir(&part).map_err(io("create the folder", &part))?;
        Ok(part)
    }

    /// Gives a trial its final name. `part` is what [`Self::begin_trial`] gave.
    pub fn finish_trial(&self, part: &Path, record: &TrialRecord) -> Result<PathBuf, StoreError> {
        write_json(&part.join("trial.json"), record)?;
        let done = self
            .path
            .join("trials")
            .join(record.plan.number.to_string());
        fs::rename(part, &done).map_err(io("rename into place", &done))?;
        Ok(done)
    }
}

/// Puts a copy of a file that a run is judged under beside the run, whole or not at all.
pub fn freeze(from: &Path, to: &Path) -> Result<(), StoreError> {
    let bytes = fs::read(from).map_err(io("read", from))?;
    let part = to.with_extension("part");
    fs::write(&part, bytes).map_err(io("write", &part))?;
    fs::rename(&part, to).map_err(io("rename into place", to))
}

/// Reads a JSON file of a run.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    let text = fs::read(path).map_err(io("read", path))?;
    serde_json::from_slice(&text).map_err(|source| StoreError::Json {
        path: path.to_owned(),
        source,
    })
}

/// Writes and syncs a JSON file.
pub fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|source| StoreError::Json {
        path: path.to_owned(),
        source,
    })?;
    text.push(b'\n');
    let mut file = File::create(path).map_err(io("create", path))?;
    file.write_all(&text).map_err(io("write", path))?;
    file.sync_all().map_err(io("sync", path))
}
