//! Where vifbench finds the files that it reads while it runs: image recipes, scripts, and patch series.
//!
//! They are searched in `/usr/share/vifbench`, where a package installs them, and in the source tree that the program was
//! built from. A folder counts only if its files are the ones that the program was built beside: the program and its
//! files are tested together, and a lab of one with a controller of the other fails in ways that nobody understands.
//! `$VIFBENCH_DATA` names another folder, which is used as it is.
//!
//! The ready scenarios are compiled into the program (`vifbench_scenarios::library`), so they are never searched.

mod part;

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;

pub use part::Part;

/// Names another folder for all files.
const VARIABLE: &str = "VIFBENCH_DATA";

/// Names another folder for the patch series alone.
const SERIES_VARIABLE: &str = "VIFBENCH_PATCHES";

/// Where a package installs the files.
const INSTALLED: &str = "/usr/share/vifbench";

/// The root of the source tree that this program was built from.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Why the files cannot be used.
#[derive(Debug)]
pub enum DataError {
    /// No folder has them.
    Missing {
        /// Which files.
        what: &'static str,
        /// Where, with the reason.
        looked: Vec<String>,
    },
    /// They have changed since the program was built.
    Differs {
        /// Which files.
        what: &'static str,
        /// The folder.
        folder: PathBuf,
    },
    /// The folder that the user named lacks them.
    Given {
        /// Which files.
        what: &'static str,
        /// The folder.
        folder: PathBuf,
        /// What is missing.
        source: io::Error,
    },
}

impl DataError {
    /// What is wrong.
    pub fn problem(&self) -> String {
        match self {
            Self::Missing { what, looked } => format!(
                "the {what} of vifbench are missing: looked in {}",
                looked.join(" and in ")
            ),
            Self::Differs { what, folder } => format!(
                "the {what} in {} are not those that this vifbench was built with",
                folder.display()
            ),
            Self::Given {
                what,
                folder,
                source,
            } => format!(
                "{VARIABLE} names {}, which does not have the {what}: {source}",
                folder.display()
            ),
        }
    }

    /// What to do about it.
    pub fn mend(&self) -> String {
        match self {
            Self::Missing { .. } => format!(
                "set {VARIABLE} to the folder that has them ({INSTALLED}, or a source tree of this version)"
            ),
            Self::Differs { folder, .. } => format!(
                "build vifbench again (`cargo build --release`), or set {VARIABLE}={} to use them as they are",
                folder.display()
            ),
            Self::Given { .. } => {
                format!("set {VARIABLE} to {INSTALLED} or to a source tree, or unset it")
            }
        }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.mend())
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Given { source, .. } => Some(source),
            Self::Missing { .. } | Self::Differs { .. } => None,
        }
    }
}

impl Part {
    /// What it is called in a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Recipes => "image recipes and scripts",
            Self::Series => "patch series",
        }
    }

    /// The digest of the files that this program was built beside.
    const fn built_with(self) -> &'static str {
        match self {
            Self::Recipes => env!("VIFBENCH_DIGEST_RECIPES"),
            Self::Series => env!("VIFBENCH_DIGEST_SERIES"),
        }
    }
}

/// The folder with vifbench's files.
#[derive(Debug, Clone)]
pub struct DataDir {
    /// The user's own choice, which is not checked.
    given: Option<PathBuf>,
    series: Option<PathBuf>,
    searched: Vec<PathBuf>,
}

impl DataDir {
    /// As the environment says.
    pub fn from_env() -> Self {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        Self {
            given: set(VARIABLE),
            series: set(SERIES_VARIABLE),
            searched: vec![PathBuf::from(INSTALLED), PathBuf::from(SOURCE)],
        }
    }

    /// The script that builds the lab's images.
    ///
    /// # Errors
    /// When the recipes are missing, or not this program's.
    pub fn image_script(&self) -> Result<PathBuf, DataError> {
        Ok(self
            .root(Part::Recipes)?
            .join("provisioning/images/build.sh"))
    }

    /// The script that makes a root to build modules in.
    ///
    /// # Errors
    /// When the scripts are missing, or not this program's.
    pub fn root_script(&self) -> Result<PathBuf, DataError> {
        Ok(self.root(Part::Recipes)?.join("provisioning/build-root.sh"))
    }

    /// The folder with a `linux-<line>/series` for each kernel line: `$VIFBENCH_PATCHES`, or vifbench's own.
    ///
    /// # Errors
    /// When the series are missing, or not this program's.
    pub fn series(&self) -> Result<PathBuf, DataError> {
        match &self.series {
            Some(folder) => Ok(folder.clone()),
            None => Ok(self.root(Part::Series)?.join("vendor-patches")),
        }
    }

    /// The folder that has this part.
    ///
    /// # Errors
    /// When no folder has it as this program needs it.
    pub fn root(&self, part: Part) -> Result<PathBuf, DataError> {
        let what = part.words();
        if let Some(folder) = &self.given {
            return match part.digest(folder) {
                Ok(digest) => {
                    if digest != part.built_with() {
                        warn_once(what, folder);
                    }
                    Ok(folder.clone())
                }
                Err(source) => Err(DataError::Given {
                    what,
                    folder: folder.clone(),
                    source,
                }),
            };
        }
        let mut looked = Vec::new();
        let mut differs = None;
        for folder in &self.searched {
            match part.digest(folder) {
                Ok(digest) if digest == part.built_with() => {
                    // Without the `..` of the source tree, for messages.
                    return Ok(folder.canonicalize().unwrap_or_else(|_| folder.clone()));
                }
                Ok(_) => differs = Some(folder.canonicalize().unwrap_or_else(|_| folder.clone())),
                Err(error) => looked.push(format!("{} ({error})", folder.display())),
            }
        }
        Err(match differs {
            Some(folder) => DataError::Differs { what, folder },
            None => DataError::Missing { what, looked },
        })
    }
}

fn warn_once(what: &str, folder: &Path) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the {what} in {} are not those that this vifbench was built with; they are used because {VARIABLE} names them",
            folder.display()
        );
    });
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn searching(folders: &[&Path]) -> DataDir {
        DataDir {
            given: None,
            series: None,
            searched: folders.iter().map(|f| (*f).to_owned()).collect(),
        }
    }

    /// The source tree's files, copied.
    fn copy() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("tempdir");
        for part in Part::ALL {
            for path in part.paths() {
                let to = folder.path().join(path);
                fs::create_dir_all(to.parent().expect("a folder")).expect("create");
                let copied = std::process::Command::new("cp")
                    .arg("-r")
                    .args([&Path::new(SOURCE).join(path), &to])
                    .status();
                assert!(copied.expect("cp starts").success());
            }
        }
        folder
    }

    #[test]
    fn the_source_tree_is_the_one_that_this_was_built_from() {
        let data = searching(&[Path::new("/nonexistent"), Path::new(SOURCE)]);
        assert!(data.image_script().expect("found").is_file());
        assert!(data.root_script().expect("found").is_file());
        assert!(
            data.series()
                .expect("found")
                .join("linux-6.1/series")
                .is_file()
        );
    }

    #[test]
    fn every_kernel_line_s_series_counts() {
        let found = fs::read_dir(Path::new(SOURCE).join("vendor-patches")).expect("listed");
        let mut names: Vec<String> = found
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("linux-"))
            .map(|name| format!("vendor-patches/{name}"))
            .collect();
        names.sort();
        assert_eq!(
            names,
            Part::Series.paths(),
            "list new lines in data/part.rs"
        );
    }

    #[test]
    fn a_tree_of_another_version_is_refused_and_the_right_one_found_behind_it() {
        let other = copy();
        let data = searching(&[other.path()]);
        data.image_script().expect("an exact copy is as good");
        fs::write(other.path().join("provisioning/images/suites"), "changed").expect("write");
        let error = data.image_script().expect_err("another tree").to_string();
        assert!(error.contains("build vifbench again"), "{error}");
        assert!(error.contains(&*other.path().to_string_lossy()), "{error}");
        data.series().expect("the series are the same");

        let both = searching(&[other.path(), Path::new(SOURCE)]);
        let script = both.image_script().expect("the second folder is right");
        assert!(!script.starts_with(other.path()));
    }

    #[test]
    fn a_file_more_or_of_another_name_is_another_tree() {
        let other = copy();
        let data = searching(&[other.path()]);
        let series = other.path().join("vendor-patches/linux-6.1");
        fs::write(series.join("9999-mine.patch"), "").expect("write");
        assert!(matches!(data.series(), Err(DataError::Differs { .. })));
    }

    #[test]
    fn what_is_missing_is_named() {
        let data = searching(&[Path::new("/nonexistent")]);
        let error = data.series().expect_err("nothing is there").to_string();
        assert!(
            error.contains("/nonexistent/vendor-patches/linux-6.1"),
            "{error}"
        );
        assert!(error.contains("VIFBENCH_DATA"), "{error}");
    }

    #[test]
    fn the_users_folder_is_taken_as_it_is() {
        let other = copy();
        fs::write(other.path().join("provisioning/images/suites"), "changed").expect("write");
        let given = |folder: &Path| DataDir {
            given: Some(folder.to_owned()),
            ..searching(&[Path::new(SOURCE)])
        };
        let script = given(other.path()).image_script().expect("as asked");
        assert!(script.starts_with(other.path()));
        let error = given(Path::new("/nonexistent"))
            .series()
            .expect_err("empty");
        assert!(
            error.to_string().starts_with("VIFBENCH_DATA names"),
            "{error}"
        );
    }
}
