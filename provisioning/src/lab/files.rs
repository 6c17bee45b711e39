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

/// Makes a file under a temporary name beside it, and gives it its name when it is whole, with a file beside it that
/// names its content, by which [`check_sum`] knows it again. The sum is there first: a file without one is nobody's work
/// in progress. Several labs may want the same file: one at a time makes it.
pub fn make(
    path: &Path,
    content_of: impl FnOnce(&Path) -> Result<(), LabError>,
) -> Result<(), LabError> {
    let _alone = alone(path)?;
    let new = path.with_extension("new");
    content_of(&new)?;
    write(&sum_of(path), &content(&new)?)?;
    fs::rename(&new, path).map_err(failed("write", path))
}

/// Is the file what it was when [`make`] named it? If not, why, in words; one that was never named is not.
pub fn check_sum(path: &Path) -> Result<Option<String>, LabError> {
    let _alone = alone(path)?;
    let sum = sum_of(path);
    if !sum.exists() {
        return Ok(Some(format!("there is no {}", sum.display())));
    }
    let (wanted, found) = (read(&sum)?, content(path)?);
    Ok((wanted != found).then(|| format!("its content is {found}, not {wanted}")))
}

/// Waits until no other vifbench works in the file's folder, and keeps others waiting until this is dropped. A process
/// that ends lets go of it.
fn alone(path: &Path) -> Result<File, LabError> {
    let lock = path.with_file_name("lock");
    let file = File::options()
        .create(true)
        .append(true)
        .open(&lock)
        .map_err(failed("open", &lock))?;
    file.lock().map_err(failed("lock", &lock))?;
    Ok(file)
}

/// Removes a file and its sum, of which neither may be there.
pub fn remove_with_sum(path: &Path) -> Result<(), LabError> {
    remove(&sum_of(path))?;
    remove(path)
}

fn sum_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sum");
    path.with_file_name(name)
}

fn content(path: &Path) -> Result<String, LabError> {
    let mut hash = blake3::Hasher::new();
    let file = File::open(path).map_err(failed("read", path))?;
    hash.update_reader(file).map_err(failed("read", path))?;
    Ok(hash.finalize().to_hex().to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_again_only_as_it_was() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("a.machine");
        fs::write(&file, "as it was").expect("write");
        let why = check_sum(&file).expect("looked").expect("never named");
        assert!(why.contains("a.machine.sum"), "{why}");
        make(&file, |new| {
            fs::write(new, "as it was").map_err(failed("write", new))
        })
        .expect("named");
        assert_eq!(check_sum(&file).expect("looked"), None);
        // One byte among many, as a disk loses it: no length tells.
        fs::write(&file, "as it wan").expect("write");
        let why = check_sum(&file).expect("looked").expect("changed");
        assert!(why.contains("its content is"), "{why}");
        remove_with_sum(&file).expect("removed");
        let left: Vec<_> = fs::read_dir(folder.path()).expect("list").collect();
        assert_eq!(left.len(), 1, "only the lock: {left:?}");
    }

    #[test]
    fn a_file_that_several_make_is_whole_at_every_time() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("a.machine");
        let write_as = |letter: &str| {
            make(&file, |new| {
                // In pieces, as QEMU writes a machine.
                for end in 1..=64 {
                    let so_far = letter.repeat(end * 100);
                    fs::write(new, so_far).map_err(failed("write", new))?;
                }
                Ok(())
            })
        };
        write_as("a").expect("made");
        std::thread::scope(|scope| {
            for letter in ["b", "c", "d"] {
                scope.spawn(move || {
                    for _ in 0..50 {
                        write_as(letter).expect("made");
                    }
                });
            }
            for _ in 0..50 {
                assert_eq!(check_sum(&file).expect("looked"), None);
            }
        });
    }
}
