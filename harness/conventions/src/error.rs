//! What keeps a source tree from being read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the modules of a crate are not known.
#[derive(Debug, Error)]
pub enum Error {
    /// A source file cannot be read.
    #[error("cannot read the source file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source file is not Rust.
    #[error("cannot parse {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: syn::Error,
    },
    /// A module has no file.
    #[error("the module `{module}` of {} has no file: looked for {}", parent.display(), tried.display())]
    NoFile {
        /// The module.
        module: String,
        /// The file that declares it.
        parent: PathBuf,
        /// Where it would be.
        tried: PathBuf,
    },
    /// Cargo does not list the crates.
    #[error("`cargo metadata` did not list the workspace's crates: {why}")]
    Metadata {
        /// In words.
        why: String,
    },
}
