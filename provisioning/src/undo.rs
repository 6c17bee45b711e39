//! What was changed on a host and how to change it back, kept on the controller's disk.
//!
//! The rule: the way back is on the disk before the change is made. A controller that is killed at any moment
//! leaves at worst the way back of a change that was never made, so every inverse must be idempotent: running it
//! twice, or without its change, does no harm.
//!
//! The file is `<state>/undo/<lab>/<host>.jsonl`: one JSON record a line, only ever appended to, each synced
//! before the call returns. A last line without its end was being written when the controller died; its change
//! was not made, and it is dropped and reported.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vifbench_scenarios::lab::HostName;
use vifbench_scenarios::progress::Progress;

use crate::host::{Host, HostError, HostExt as _};
use crate::lock;
use crate::shell::quote;
use crate::state::{StateError, file_of};

/// Format of the records.
const VERSION: u32 = 1;

/// How long a change lasts if nobody undoes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasting {
    /// Until the host restarts (loaded modules, sysctls, processes, files in RAM): void in another boot than
    /// the one with this id.
    Boot(String),
    /// On the host's disk.
    Disk,
}

/// One change that can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, unique in its stack's lifetime.
    pub id: u64,
    /// What was changed, for people: `netback swapped for series shadow`.
    pub description: String,
    /// The shell command that changes it back. Idempotent.
    pub inverse: String,
    /// How long the change lasts.
    pub lasting: Lasting,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Record {
    Push { version: u32, entry: Entry },
    Done { id: u64 },
}

/// What is wrong with an undo stack, or with undoing.
#[derive(Debug, Error)]
pub enum UndoError {
    /// The stack's place cannot be told.
    #[error(transparent)]
    State(#[from] StateError),
    /// The file cannot be read or written.
    #[error("cannot {doing} the undo stack {}: {source}", path.display())]
    File {
        /// `read`, `write`, ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Another controller is at work on this host.
    #[error("another vifbench is working on {host} (it holds {}): wait for it, or end it first", path.display())]
    Busy {
        /// Which host.
        host: HostName,
        /// The file.
        path: PathBuf,
    },
    /// A record that this version cannot read. Nothing is guessed.
    #[error("line {line} of the undo stack {} cannot be read: {why}; mend or remove that line by hand", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// An inverse failed; it and what lies below it stay on the stack.
    #[error(
        "on {host}, could not undo `{description}` by `{inverse}`: {source}; still to undo: {}; mend the cause and run `vifbench undo {host}`",
        list(remaining)
    )]
    Step {
        /// Which host.
        host: HostName,
        /// Which change.
        description: String,
        /// Its inverse.
        inverse: String,
        /// What went wrong.
        #[source]
        source: Box<HostError>,
        /// Descriptions of all that is still on the stack, newest first.
        remaining: Vec<String>,
    },
    /// The host did not even say which boot it is in.
    #[error(
        "cannot begin to undo on {host}: {source}; still to undo: {}",
        list(remaining)
    )]
    Begin {
        /// Which host.
        host: HostName,
        /// What went wrong.
        #[source]
        source: Box<HostError>,
        /// Descriptions of all that is on the stack, newest first.
        remaining: Vec<String>,
    },
}

fn list(items: &[String]) -> String {
    items.join("; ")
}

/// The changes made to one host and not undone yet. Holds a lock: there is one at a time for each host.
#[derive(Debug)]
pub struct UndoStack {
    host: HostName,
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
    next_id: u64,
    torn: Option<String>,
}

impl UndoStack {
    /// Where the stack of that host lies.
    ///
    /// # Errors
    /// When a name cannot be a file name.
    pub fn path(state: &Path, lab: &str, host: &HostName) -> Result<PathBuf, StateError> {
        file_of(&file_of(&state.join("undo"), lab, "")?, &host.0, ".jsonl")
    }

    /// Opens the stack of a host, with what a former controller left on it.
    ///
    /// # Errors
    /// When another process has it open, or the file cannot be read.
    pub fn open(state: &Path, lab: &str, host: &HostName) -> Result<Self, UndoError> {
        let path = Self::path(state, lab, host)?;
        let failed = |doing, source| UndoError::File {
            doing,
            path: path.clone(),
            source,
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| failed("make the folder of", e))?;
        }
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(|e| failed("open", e))?;
        if !lock::take(&file).map_err(|e| failed("lock", e))? {
            return Err(UndoError::Busy {
                host: host.clone(),
                path,
            });
        }
        // The file's name must be on the disk too before anything is changed on a host.
        sync_folders(&path).map_err(|e| failed("write the folder of", e))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|e| failed("read", e))?;

        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let torn =
            (whole < bytes.len()).then(|| String::from_utf8_lossy(&bytes[whole..]).into_owned());
        if torn.is_some() {
            file.set_len(whole as u64)
                .map_err(|e| failed("cut the torn line of", e))?;
            file.sync_all().map_err(|e| failed("write", e))?;
        }
        let mut stack = Self {
            host: host.clone(),
            path: path.clone(),
            file,
            entries: Vec::new(),
            next_id: 0,
            torn,
        };
        for (index, line) in bytes[..whole].split(|b| *b == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            stack.replay(line).map_err(|why| UndoError::Damaged {
                path: path.clone(),
                line: index + 1,
                why,
            })?;
        }
        Ok(stack)
    }

    fn replay(&mut self, line: &[u8]) -> Result<(), String> {
        match serde_json::from_slice(line).map_err(|e| e.to_string())? {
            Record::Push {
                version: VERSION,
                entry,
            } => {
                self.next_id = self.next_id.max(entry.id + 1);
                self.entries.push(entry);
            }
            Record::Push { version, .. } => {
                return Err(format!(
                    "it is of format {version}, this vifbench knows {VERSION}"
                ));
            }
            Record::Done { id } => self.entries.retain(|e| e.id != id),
        }
        Ok(())
    }

    /// Whose it is.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// What is still to undo, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A line that was cut short when a former controller died; its change was not made.
    pub fn torn(&self) -> Option<&str> {
        self.torn.as_deref()
    }

    /// Records the way back. When this returns it is on the disk, and the change may be made.
    ///
    /// # Errors
    /// When it could not be written (a full disk): then do not make the change.
    pub fn push(
        &mut self,
        description: &str,
        inverse: &str,
        lasting: Lasting,
    ) -> Result<u64, UndoError> {
        let entry = Entry {
            id: self.next_id,
            description: description.to_owned(),
            inverse: inverse.to_owned(),
            lasting,
        };
        self.append(&Record::Push {
            version: VERSION,
            entry: entry.clone(),
        })?;
        self.next_id += 1;
        let id = entry.id;
        self.entries.push(entry);
        Ok(id)
    }

    /// Takes an entry off: it was undone, or is void.
    ///
    /// # Errors
    /// When that could not be written. The entry then comes back with the next controller, which does no harm.
    pub fn done(&mut self, id: u64) -> Result<(), UndoError> {
        if self.entries.iter().all(|e| e.id == id) {
            // Nothing remains: the file starts anew, or it would grow for ever.
            let emptied = self.file.set_len(0).and_then(|()| self.file.sync_all());
            emptied.map_err(|source| self.failed("empty", source))?;
        } else {
            self.append(&Record::Done { id })?;
        }
        self.entries.retain(|e| e.id != id);
        Ok(())
    }

    /// Drops everything without undoing it, for a host that no longer exists as it was (a virtual lab that was
    /// taken down or restored). Returns what was dropped.
    ///
    /// # Errors
    /// When the file could not be emptied.
    pub fn forget(&mut self) -> Result<Vec<Entry>, UndoError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.sync_all());
        emptied.map_err(|source| self.failed("empty", source))?;
        Ok(std::mem::take(&mut self.entries))
    }

    fn failed(&self, doing: &'static str, source: std::io::Error) -> UndoError {
        UndoError::File {
            doing,
            path: self.path.clone(),
            source,
        }
    }

    /// All or nothing: a line that could not be written whole is cut off again.
    fn append(&mut self, record: &Record) -> Result<(), UndoError> {
        let mut line = serde_json::to_vec(record)
            .map_err(|e| self.failed("write", std::io::Error::other(e)))?;
        line.push(b'\n');
        let end = self
            .file
            .seek(SeekFrom::End(0))
            .map_err(|source| self.failed("write", source))?;
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            if let Err(error) = self.file.set_len(end) {
                tracing::warn!(%error, path = %self.path.display(), "half a line may remain");
            }
            return Err(self.failed("write", source));
        }
        Ok(())
    }

    fn remaining(&self) -> Vec<String> {
        self.entries
            .iter()
            .rev()
            .map(|e| e.description.clone())
            .collect()
    }
}

impl Drop for UndoStack {
    fn drop(&mut self) {
        lock::release(&self.file);
    }
}

/// Syncs the folder of the file and those above it that may have been made just now.
fn sync_folders(path: &Path) -> std::io::Result<()> {
    for folder in path
        .ancestors()
        .skip(1)
        .take(4)
        .filter(|f| !f.as_os_str().is_empty())
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// A change together with its way back: the one place where the order of the two is kept.
///
/// ```no_run
/// # use vifbench_provisioning::{undo::{Change, Lasting, UndoError, UndoStack}, host::{Host, HostError, HostExt}};
/// # use std::time::Duration;
/// # #[derive(Debug, thiserror::Error)] enum Error {
/// #     #[error(transparent)] Undo(#[from] UndoError), #[error(transparent)] Host(#[from] HostError) }
/// # fn f(stack: &mut UndoStack, host: &mut dyn Host, boot: String) -> Result<(), Error> {
/// Change::new(stack, "pause the timer", "systemctl start apt-daily.timer", Lasting::Boot(boot))
///     .apply(|| Ok::<_, Error>(host.check("systemctl stop apt-daily.timer", Duration::from_secs(10))?))?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "nothing is changed before `apply`"]
pub struct Change<'a> {
    stack: &'a mut UndoStack,
    description: String,
    inverse: String,
    lasting: Lasting,
}

impl<'a> Change<'a> {
    /// A change to come.
    pub fn new(
        stack: &'a mut UndoStack,
        description: impl Into<String>,
        inverse: impl Into<String>,
        lasting: Lasting,
    ) -> Self {
        Self {
            stack,
            description: description.into(),
            inverse: inverse.into(),
            lasting,
        }
    }

    /// Records the way back, then makes the change. Where that fails the way back stays recorded, because half
    /// of the change may have been made.
    ///
    /// # Errors
    /// When the way back could not be recorded (the change is then not made), or what the change returns.
    pub fn apply<T, E: From<UndoError>>(self, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.stack
            .push(&self.description, &self.inverse, self.lasting)?;
        make()
    }
}

/// What was undone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UndoReport {
    /// Whose changes.
    pub host: String,
    /// Undone, in this order.
    pub undone: Vec<String>,
    /// Gone by themselves, because the host restarted since.
    pub void: Vec<String>,
    /// A record that was cut short when the controller died: its change was not made.
    pub torn: Option<String>,
}

impl fmt::Display for UndoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        if self.undone.is_empty() && self.void.is_empty() {
            write!(f, "{host}: nothing to undo")?;
        } else {
            write!(f, "{host}: {} undone", self.undone.len())?;
        }
        if !self.void.is_empty() {
            write!(
                f,
                ", {} void because the host restarted since",
                self.void.len()
            )?;
        }
        for step in &self.undone {
            write!(f, "\n  undone: {step}")?;
        }
        for step in &self.void {
            write!(f, "\n  void: {step}")?;
        }
        if let Some(torn) = &self.torn {
            write!(
                f,
                "\n  a record was cut short, its change was never made: {torn}"
            )?;
        }
        Ok(())
    }
}

/// Undoes everything that is on the stack, newest first. Each step may take up to `deadline`.
///
/// # Errors
/// At the first step that fails; it stays on the stack with all below it.
pub fn undo_host(
    host: &mut dyn Host,
    stack: &mut UndoStack,
    deadline: Duration,
    progress: &dyn Progress,
) -> Result<UndoReport, UndoError> {
    let mut report = UndoReport {
        host: stack.host.0.clone(),
        torn: stack.torn.take(),
        ..UndoReport::default()
    };
    let steps: Vec<Entry> = stack.entries.iter().rev().cloned().collect();
    if steps.is_empty() {
        return Ok(report);
    }
    let boot = host.boot_id(deadline).map_err(|source| UndoError::Begin {
        host: stack.host.clone(),
        source: Box::new(source),
        remaining: stack.remaining(),
    })?;
    let task = progress.start(&format!("undo on {}", stack.host), Some(steps.len() as u64));
    for (index, entry) in steps.into_iter().enumerate() {
        task.message(&entry.description);
        if matches!(&entry.lasting, Lasting::Boot(made_in) if *made_in != boot) {
            report.void.push(entry.description);
        } else {
            host.check(&entry.inverse, deadline)
                .map_err(|source| UndoError::Step {
                    host: stack.host.clone(),
                    description: entry.description.clone(),
                    inverse: entry.inverse.clone(),
                    source: Box::new(source),
                    remaining: stack.remaining(),
                })?;
            report.undone.push(entry.description);
        }
        stack.done(entry.id)?;
        task.set(index as u64 + 1);
    }
    task.finish(&format!("{}: {} undone", stack.host, report.undone.len()));
    Ok(report)
}

/// The way back of a private folder on the host: ends every process whose program lies in it, then removes it.
/// None for a path that is not absolute, plain and at least two folders deep: such a one is not private.
pub fn folder_inverse(folder: &Path) -> Option<String> {
    use std::path::Component;
    let mut parts = folder.components();
    let deep = parts.next() == Some(Component::RootDir)
        && parts.clone().count() >= 2
        && parts.all(|c| matches!(c, Component::Normal(_)));
    let text = folder.to_str().filter(|_| deep)?;
    let quoted = quote(text.trim_end_matches('/'));
    Some(format!(
        "for p in /proc/[0-9]*; do case \"$(readlink \"$p/exe\")\" in {quoted}/*) \
         kill -9 \"${{p#/proc/}}\" ;; esac; done 2>/dev/null; rm -rf {quoted}"
    ))
}
