//! What can go wrong between a run on disk and a report.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a run or a capture could not be read, or a report not written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}; check that the path is a vifbench run and may be read", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}; check free space and permissions, then run `vifbench report` again", path.display())]
    Write {
        /// What was written.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A JSON file of the run store does not hold what it should.
    #[error("{} is damaged or not of this version: {source}; restore it from a copy or repeat the trial", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A result has no form in JSON.
    #[error("cannot write {} as JSON: {source}", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// The run was written by another version of the store.
    #[error("{} has format {found}, this vifbench reads format {known}; use the vifbench that wrote it", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A probe named a file that does not lie in its own folder.
    #[error("{} names the file {name:?}, which is not a plain file name: the result came from a host and is refused", path.display())]
    UnsafeName {
        /// The file that holds the name.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A capture is missing, cut short or not a capture.
    #[error("the trial cannot be measured: {reason}", reason = capture_reason(path, reason))]
    Capture {
        /// The capture.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What the reader of captures said.
        #[source]
        source: Option<Box<vifbench_wire::pcap_file::PcapFileError>>,
    },
    /// A file of the history is not what this version writes.
    #[error("{} cannot be read as history: {reason}; make it again with `vifbench report` of its run, or remove it", path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// What polars said.
        reason: String,
    },
    /// A Parquet or CSV table could not be written.
    #[error("cannot write the table {}: {reason}; check free space and permissions", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// What polars said.
        reason: String,
    },
    /// A file that a person wrote, such as the acknowledgements, has faults.
    #[error(transparent)]
    File(#[from] Box<vifbench_scenarios::file::FileError>),
    /// No font to draw with.
    #[error("no font to draw figures with: none of {} can be read; install it with `apt-get install fonts-dejavu-core`", tried.join(", "))]
    Font {
        /// Paths that were tried.
        tried: Vec<String>,
    },
    /// A figure could not be drawn.
    #[error("cannot draw the figure {}: {reason}", path.display())]
    Draw {
        /// The figure's file.
        path: PathBuf,
        /// What plotters said.
        reason: String,
    },
}

/// The reader of captures names the file itself; other reasons do not.
fn capture_reason(path: &Path, reason: &str) -> String {
    let shown = path.display().to_string();
    if reason.contains(&shown) {
        reason.to_owned()
    } else {
        format!("{shown}: {reason}")
    }
}

impl ReportError {
    /// For `map_err` on reads.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// For `map_err` on writes.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
