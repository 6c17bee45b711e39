//! What a test needs of the machine that it runs on.
//!
//! `cargo test` works for anybody who clones the project. A test that needs root, a browser or the virtual lab begins with
//! [`needs!`]; where the machine lacks it, the test prints the reason and ends. `./check` sets [`NO_SKIP`], with which a
//! missing need is a failure: nothing that it should have tested goes untested.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Set (to anything) where no test may be skipped.
pub const NO_SKIP: &str = "VIFBENCH_NO_SKIP";
/// Names a file to which every skipped test appends a line: its name, and what it needs.
pub const SKIPS: &str = "VIFBENCH_SKIPS";
/// Set (to anything) to run the tests of the virtual lab outside of the nextest profiles that are made for them.
pub const LAB: &str = "VIFBENCH_LAB_TESTS";

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Root: network namespaces, raw sockets, mounts, other users' processes.
    Root,
    /// A headless Chromium.
    Browser,
    /// A program on the `PATH`.
    Program(&'static str),
    /// A file or folder, usually of a Debian package.
    Path(&'static str),
    /// The virtual lab: root, QEMU, and minutes.
    Lab,
}

impl Need {
    /// Why the need is not met; none where it is.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Root if rustix::process::geteuid().is_root() => None,
            Self::Root => Some("root".to_owned()),
            Self::Browser => Self::Path("/usr/bin/chromium").missing(),
            Self::Program(name) => {
                let path = env::var_os("PATH").unwrap_or_default();
                let found = env::split_paths(&path).any(|folder| folder.join(name).is_file());
                (!found).then(|| format!("the program {name}"))
            }
            Self::Path(path) => (!Path::new(path).exists()).then(|| path.to_owned()),
            Self::Lab => {
                let profile = env::var("NEXTEST_PROFILE").unwrap_or_default();
                let wanted = matches!(profile.as_str(), "lab" | "check" | "nightly");
                if wanted || env::var_os(LAB).is_some() {
                    Self::Root
                        .missing()
                        .or_else(|| Self::Program("qemu-system-x86_64").missing())
                } else {
                    Some(format!(
                        "the virtual lab (`cargo nextest run --profile lab`, or {LAB}=1)"
                    ))
                }
            }
        }
    }
}

/// Whether all needs are met. Where one is not, the reason is printed and, if asked for, written to [`SKIPS`].
///
/// # Panics
/// With [`NO_SKIP`], where a need is not met; and where the file of [`SKIPS`] cannot be written.
pub fn all_met(needs: &[Need], test: &str) -> bool {
    let Some(missing) = needs.iter().find_map(|need| need.missing()) else {
        return true;
    };
    assert!(
        env::var_os(NO_SKIP).is_none(),
        "{test} needs {missing}, and {NO_SKIP} forbids to skip it"
    );
    let line = format!("skipped: {test} needs {missing}\n");
    eprint!("{line}");
    if let Some(file) = env::var_os(SKIPS) {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("cannot append to {}: {error}", file.display()));
    }
    false
}

/// Ends the test, with its reason, where the machine lacks one of these [`Need`]s.
///
/// ```
/// use vifbench_testing::{Need, needs};
///
/// fn a_test() {
///     needs!(Need::Root, Need::Program("ip"));
///     // What needs root follows.
/// }
/// ```
#[macro_export]
macro_rules! needs {
    ($($need:expr),+ $(,)?) => {
        if !$crate::all_met(&[$($need),+], std::thread::current().name().unwrap_or(module_path!())) {
            return;
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_machine_has_is_met() {
        assert_eq!(Need::Program("sh").missing(), None);
        assert_eq!(Need::Path("/").missing(), None);
        assert!(all_met(&[Need::Path("/")], "this"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            Need::Program("no-such-program").missing().as_deref(),
            Some("the program no-such-program")
        );
        assert_eq!(
            Need::Path("/no/such").missing().as_deref(),
            Some("/no/such")
        );
    }
}
