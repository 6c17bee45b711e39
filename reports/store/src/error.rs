//! Why a run's folder could not be read or written.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_scenarios::file::FileError;

/// Why a file of a run could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}; check that the path is a vifbench run and may be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file or folder could not be created, written, renamed or removed.
    #[error("cannot {doing} {}: {source}{}", path.display(), write_hint(source))]
    Write {
        /// What was attempted.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} is damaged or not a file of a run: {source}; restore it from a copy or repeat the trial", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where the fault is, and what it is.
        source: serde_json::Error,
    },
    /// A value has no form in JSON.
    #[error("cannot write {} as JSON: {source}", path.display())]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// A later version of vifbench wrote the file.
    #[error("{} has format {found}, but this vifbench reads only formats up to {known}: use the later vifbench that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format that this version reads.
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
    /// The acknowledgements, which a person wrote, have faults.
    #[error(transparent)]
    Acknowledgements(#[from] Box<FileError>),
    /// Another process works on the run.
    #[error("{} is in use by another vifbench: wait for it, or end it", path.display())]
    Busy {
        /// The run's folder.
        path: PathBuf,
    },
}

impl StoreError {
    /// For `map_err` on reads.
    pub fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// For `map_err` on everything that changes files. `doing` completes "cannot ... PATH".
    pub fn write(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Write {
            doing,
            path,
            source,
        }
    }

    /// Whether the disk is full.
    pub fn is_out_of_room(&self) -> bool {
        matches!(self, Self::Write { source, .. } if is_full(source))
    }
}

fn is_full(source: &std::io::Error) -> bool {
    matches!(
        source.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// What to do about a full disk; empty for other errors.
pub fn room_hint(source: &std::io::Error) -> &'static str {
    if is_full(source) {
        "; free some space, then go on with `vifbench resume`"
    } else {
        ""
    }
}

/// What to do about a failed write.
fn write_hint(source: &std::io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; make the folder writable, or copy the run to a folder that is"
        }
        _ => room_hint(source),
    }
}
