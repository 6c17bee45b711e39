//! Reading and writing single files, whole or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// Reads a file whole.
///
/// # Errors
/// [`StoreError::Read`].
pub fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(StoreError::read(path))
}

/// Reads a JSON file.
///
/// # Errors
/// The file cannot be read or is damaged.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, StoreError> {
    serde_json::from_slice(&read(path)?).map_err(|source| StoreError::Json {
        path: path.to_owned(),
        source,
    })
}

/// Whether there is something at `path`.
///
/// # Errors
/// That cannot be found out.
pub fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(StoreError::read(path))
}

/// What a folder holds, sorted by name; nothing if it is not a folder.
///
/// # Errors
/// The folder cannot be listed.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::read(folder))? {
        found.push(entry.map_err(StoreError::read(folder))?.path());
    }
    found.sort();
    Ok(found)
}

/// Writes and syncs a JSON file, indented and with a final newline.
///
/// # Errors
/// The file cannot be written.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let mut text = json(path, value)?;
    text.push(b'\n');
    let mut file = File::create(path).map_err(StoreError::write("create", path))?;
    file.write_all(&text)
        .map_err(StoreError::write("write", path))?;
    file.sync_all().map_err(StoreError::write("sync", path))
}

/// A value as indented JSON; `path` is for the error only.
///
/// # Errors
/// A value cannot be written as JSON.
pub fn json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec_pretty(value).map_err(|source| StoreError::NotWritten {
        path: path.to_owned(),
        source,
    })
}

/// Creates a folder and its parents; an existing folder is fine.
///
/// # Errors
/// [`StoreError::Write`].
pub fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(StoreError::write("create the folder", path))
}

/// Writes beside the file and renames, so that a reader never sees half of it.
///
/// # Errors
/// [`StoreError::Write`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let part = part_of(path);
    fs::write(&part, bytes).map_err(StoreError::write("write", &part))?;
    rename(&part, path)
}

/// Copies a file, whole or not at all.
///
/// # Errors
/// The file cannot be read or the copy cannot be written.
pub fn copy_whole(from: &Path, to: &Path) -> Result<(), StoreError> {
    write_whole(to, &read(from)?)
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::write("rename into place", to))
}

/// The name that a file has until it is whole.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    PathBuf::from(part)
}

/// `name`, if it can only mean a file or folder directly inside its parent. `said_by` is the file that names it. Names of
/// captures come from hosts, so they are not trusted.
///
/// # Errors
/// [`StoreError::UnsafeName`].
pub fn plain_name<'n>(said_by: &Path, name: &'n str) -> Result<&'n str, StoreError> {
    let plain = !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', '\0'])
        && !name.chars().any(char::is_control);
    if plain {
        Ok(name)
    } else {
        Err(StoreError::UnsafeName {
            path: said_by.to_owned(),
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn a_plain_name_never_leaves_its_folder(name in "\\PC{0,20}|[./\\\\a]{0,6}") {
            if plain_name(Path::new("x"), &name).is_ok() {
                let path = Path::new("folder").join(&name);
                prop_assert_eq!(path.parent(), Some(Path::new("folder")));
                prop_assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(name.as_str()));
            }
        }
    }
}
