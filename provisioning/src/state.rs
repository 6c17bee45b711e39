//! Where the controller keeps what must survive it: undo stacks and locks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why there is no place for state.
#[derive(Debug, Error)]
pub enum StateError {
    /// None of the environment variables is set.
    #[error("no folder for vifbench's state: set VIFBENCH_STATE (or HOME)")]
    NoFolder,
    /// A lab or host name that cannot be a file name.
    #[error("`{name}` cannot be used as the name of a lab or host: it becomes a file name")]
    BadName {
        /// The name.
        name: String,
    },
}

/// `$VIFBENCH_STATE`, else `$XDG_STATE_HOME/vifbench`, else `~/.local/state/vifbench`.
///
/// # Errors
/// When none of the three can be told.
pub fn folder() -> Result<PathBuf, StateError> {
    folder_from(|name| std::env::var_os(name))
}

fn folder_from(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, StateError> {
    let set = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("VIFBENCH_STATE")
        .or_else(|| set("XDG_STATE_HOME").map(|f| f.join("vifbench")))
        .or_else(|| set("HOME").map(|f| f.join(".local/state/vifbench")))
        .ok_or(StateError::NoFolder)
}

/// `<folder>/<name><suffix>`, if the name stays in the folder.
pub(crate) fn file_of(folder: &Path, name: &str, suffix: &str) -> Result<PathBuf, StateError> {
    let bad = name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']);
    if bad || name.len() > 200 {
        return Err(StateError::BadName {
            name: name.to_owned(),
        });
    }
    Ok(folder.join(format!("{name}{suffix}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_variable_wins() {
        let with = |set: &'static [(&str, &str)]| {
            folder_from(|name| {
                set.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| OsString::from(v))
            })
        };
        let path = |r: Result<PathBuf, StateError>| r.expect("a folder").display().to_string();
        assert_eq!(
            path(with(&[("VIFBENCH_STATE", "/a"), ("HOME", "/h")])),
            "/a"
        );
        assert_eq!(
            path(with(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")])),
            "/x/vifbench"
        );
        assert_eq!(
            path(with(&[("VIFBENCH_STATE", ""), ("HOME", "/h")])),
            "/h/.local/state/vifbench"
        );
        assert!(matches!(with(&[]), Err(StateError::NoFolder)));
    }

    #[test]
    fn names_stay_in_their_folder() {
        let folder = Path::new("/state");
        assert!(file_of(folder, "lab-1", ".lock").is_ok());
        for name in ["", "..", ".x", "a/b", "a\0b"] {
            assert!(matches!(
                file_of(folder, name, ""),
                Err(StateError::BadName { .. })
            ));
        }
    }
}
