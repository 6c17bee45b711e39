//! Format versions: every earlier one is read, a later one is refused with one sentence.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::files;

/// A record that says in which format it was written.
pub trait Versioned: DeserializeOwned {
    /// The latest format that this version of vifbench reads, and the one that it writes.
    const FORMAT: u32;
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// Reads a versioned JSON file.
///
/// # Errors
/// The file cannot be read, a later version wrote it, or it is damaged.
pub fn read_versioned<T: Versioned>(path: &Path) -> Result<T, StoreError> {
    let bytes = files::read(path)?;
    // A later version may have other fields, so its number is looked at before anything else.
    let json = |source| StoreError::Json {
        path: path.to_owned(),
        source,
    };
    let header: Header = serde_json::from_slice(&bytes).map_err(json)?;
    check_format(path, header.format, T::FORMAT)?;
    serde_json::from_slice(&bytes).map_err(json)
}

/// Refuses a format later than `known`.
///
/// # Errors
/// [`StoreError::Newer`].
pub fn check_format(path: &Path, found: u32, known: u32) -> Result<(), StoreError> {
    if found <= known {
        Ok(())
    } else {
        Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        })
    }
}
