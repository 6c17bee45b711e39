//! Where the lab keeps things, and file operations whose errors name the file.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::LabError;

/// `$VIFBENCH_CACHE`, or `vifbench` in the user's cache: what can be made again.
pub fn cache_root() -> PathBuf {
    env::var_os("VIFBENCH_CACHE").map_or_else(
        || base("XDG_CACHE_HOME", ".cache").join("vifbench"),
        PathBuf::from,
    )
}

/// `$VIFBENCH_STATE`, or `vifbench` in the user's state folder: what runs.
pub fn state_root() -> PathBuf {
    env::var_os("VIFBENCH_STATE").map_or_else(
        || base("XDG_STATE_HOME", ".local/state").join("vifbench"),
        PathBuf::from,
    )
}

fn base(variable: &str, below_home: &str) -> PathBuf {
    env::var_os(variable).map_or_else(
        || {
            env::var_os("HOME")
                .map_or_else(|| PathBuf::from("/root"), PathBuf::from)
                .join(below_home)
        },
        PathBuf::from,
    )
}

/// Wraps an I/O error with what was done to which file.
pub fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LabError {
    let path = path.to_owned();
    move |source| LabError::File {
        doing,
        path,
        source,
    }
}

pub fn read(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Writes by way of a temporary name beside it, so that the file is never half there.
pub fn write(path: &Path, content: &str) -> Result<(), LabError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, content).map_err(failed("write", &new))?;
    fs::rename(&new, path).map_err(failed("write", path))
}

pub fn create_dir(path: &Path) -> Result<(), LabError> {
    fs::create_dir_all(path).map_err(failed("create the folder", path))
}

/// Marks a file as used now: when it was last used decides how long it is kept.
pub fn touch(path: &Path) -> Result<(), LabError> {
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .map_err(failed("touch", path))
}

/// Removes a file that may not be there.
pub fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Looks that a folder's file system has room, before something large is begun.
pub fn need_space(path: &Path, need_mib: u64, variable: &'static str) -> Result<(), LabError> {
    create_dir(path)?;
    let stat = rustix::fs::statvfs(path)
        .map_err(|errno| failed("see the free space of", path)(errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
    if free < need_mib {
        return Err(LabError::NoSpace {
            path: path.to_owned(),
            free,
            need: need_mib,
            variable,
        });
    }
    Ok(())
}
