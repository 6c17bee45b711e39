//! Which files are read at run time, and the digest that names their content. The build script includes this file too,
//! so that the program carries the digest of the files that it was built beside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A part of the data. Each has a digest of its own, so that an edited patch does not keep a lab from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The scripts that build the lab's images and the roots in which modules are built, with all that they read.
    Recipes,
    /// The patch series of every kernel line.
    Series,
}

impl Part {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Recipes, Self::Series];

    /// Its files and folders, from the root of the data. A folder counts with all files below it.
    pub const fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Recipes => &[
                "provisioning/images",
                "provisioning/build-root.sh",
                "provisioning/deb-lines.sh",
            ],
            Self::Series => &[
                "vendor-patches/linux-6.1",
                "vendor-patches/linux-6.12",
                "vendor-patches/linux-7.3",
            ],
        }
    }

    /// The names and content of its files below `root`, as 32 hexadecimal digits.
    ///
    /// # Errors
    /// When one of them is missing or cannot be read.
    pub fn digest(self, root: &Path) -> io::Result<String> {
        let mut files = Vec::new();
        for path in self.paths() {
            collect(root, Path::new(path), &mut files)?;
        }
        files.sort();
        let mut hash = blake3::Hasher::new();
        for file in files {
            let name = file.to_string_lossy();
            for part in [name.as_bytes(), &fs::read(root.join(&file))?] {
                hash.update(&(part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        Ok(hash.finalize().to_hex()[..32].to_owned())
    }
}

fn collect(root: &Path, path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let full = root.join(path);
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", full.display()));
    if !fs::metadata(&full).map_err(named)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(&full).map_err(named)? {
        let name = entry.map_err(named)?.file_name();
        collect(root, &path.join(name), files)?;
    }
    Ok(())
}
