//! One short name for all data that a report is made from: the same name, the same data.

use std::fs::File;

use vifbench_store::{RunReader, StoreError};

/// The data of a run ([`RunReader::data_files`]), with each file's place.
///
/// # Errors
/// A file cannot be read.
pub fn of_run(run: &RunReader) -> Result<String, StoreError> {
    let mut whole = blake3::Hasher::new();
    for path in run.data_files()? {
        let place = path.strip_prefix(run.root()).unwrap_or(&path);
        let mut one = blake3::Hasher::new();
        let file = File::open(&path).map_err(StoreError::read(&path))?;
        one.update_reader(file).map_err(StoreError::read(&path))?;
        // Each part has a length of its own, so that no two sets of files are alike.
        whole.update(place.as_os_str().as_encoded_bytes());
        whole.update(&[0]);
        whole.update(one.finalize().as_bytes());
    }
    Ok(short(&whole.finalize()))
}

/// Data that are at hand.
pub fn of_bytes(bytes: &[u8]) -> String {
    short(&blake3::hash(bytes))
}

fn short(hash: &blake3::Hash) -> String {
    format!("blake3:{}", &hash.to_hex()[..32])
}
