//! What can go wrong between a run on disk and a report.

use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_store::StoreError;

/// Why a run or a capture could not be read, or a report not written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file of a run or of a report could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A verdict has no form in XML.
    #[error("cannot write {} as XML: {source}", path.display())]
    Junit {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: quick_junit::SerializeError,
    },
    /// A capture is missing, cut short or not a capture.
    #[error("the trial cannot be measured: {}", capture_reason(path, reason, source.is_some()))]
    Capture {
        /// The capture.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What the reader of captures said.
        #[source]
        source: Option<Box<vifbench_wire::pcap_file::PcapFileError>>,
    },
    /// A folder without a history.
    #[error("{} has no history: no run was made in it. Name the folder that `vifbench run` and `vifbench nightly` write to", folder.display())]
    NoHistory {
        /// The folder.
        folder: PathBuf,
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
fn capture_reason(path: &Path, reason: &str, by_reader: bool) -> String {
    if by_reader {
        reason.to_owned()
    } else {
        format!("{}: {reason}", path.display())
    }
}
