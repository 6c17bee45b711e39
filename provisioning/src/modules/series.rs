//! The patch series of a kernel line: `vendor-patches/linux-<line>/series`, in quilt's format.
//!
//! One patch file name a line; `#` begins a comment. The comment `# variant: NAME` names what the patches above it
//! make together, so that one series serves several variants.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// One patch of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// File name, unique in the series.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Subject line, without `[PATCH ...]`.
    pub subject: String,
}

/// A named beginning of the series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name in scenarios (`patches: NAME`).
    pub name: String,
    /// How many patches of the series it takes.
    pub patches: usize,
}

/// The patches of one kernel line, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Kernel line, such as `6.1`.
    pub line: String,
    /// All patches.
    pub patches: Vec<Patch>,
    /// The named beginnings, in order.
    pub variants: Vec<Variant>,
}

/// Why a series cannot be used.
#[derive(Debug, Error)]
pub enum SeriesError {
    /// There is no series for this kernel.
    #[error("there are no patches for Linux {line}: {} does not exist; the kernel lines with patches are: {known}", path.display())]
    NoSeries {
        /// Kernel line asked for.
        line: String,
        /// Where the series was looked for.
        path: PathBuf,
        /// Lines that have one.
        known: String,
    },
    /// A file of the series cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is neither comment nor patch.
    #[error("line {line} of {} is not the name of a patch beside it: `{text}`", path.display())]
    BadLine {
        /// The series file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A patch without a subject.
    #[error("the patch {} has no Subject line; make it with `git format-patch`", path.display())]
    NoSubject {
        /// The patch.
        path: PathBuf,
    },
    /// No such variant.
    #[error("the patches for Linux {line} have no variant `{variant}`; there are: {known}")]
    NoVariant {
        /// Kernel line.
        line: String,
        /// What was asked for.
        variant: String,
        /// What there is.
        known: String,
    },
}

impl Series {
    /// Reads `<patches>/linux-<line>/series` and the subjects of the patches it lists.
    pub fn read(patches: &Path, line: &str) -> Result<Self, SeriesError> {
        let folder = patches.join(format!("linux-{line}"));
        let path = folder.join("series");
        let text = std::fs::read_to_string(&path).map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                SeriesError::NoSeries {
                    line: line.to_owned(),
                    path: path.clone(),
                    known: known_lines(patches).join(", "),
                }
            } else {
                SeriesError::Read {
                    path: path.clone(),
                    source,
                }
            }
        })?;
        let mut series = Self {
            line: line.to_owned(),
            patches: Vec::new(),
            variants: Vec::new(),
        };
        for (number, text) in text.lines().enumerate() {
            match parse_line(text) {
                Line::Nothing => {}
                Line::Variant(name) => series.variants.push(Variant {
                    name: name.to_owned(),
                    patches: series.patches.len(),
                }),
                Line::Patch(name) => series.patches.push(read_patch(&folder, name)?),
                Line::Bad => {
                    return Err(SeriesError::BadLine {
                        path,
                        line: number + 1,
                        text: text.to_owned(),
                    });
                }
            }
        }
        Ok(series)
    }

    /// The patches of a variant, in order.
    pub fn variant(&self, name: &str) -> Result<&[Patch], SeriesError> {
        self.variants
            .iter()
            .find(|v| v.name == name)
            .map(|v| &self.patches[..v.patches])
            .ok_or_else(|| {
                let known: Vec<_> = self.variants.iter().map(|v| v.name.as_str()).collect();
                SeriesError::NoVariant {
                    line: self.line.clone(),
                    variant: name.to_owned(),
                    known: known.join(", "),
                }
            })
    }
}

/// The kernel lines that have patches, sorted; none where the folder cannot be read.
pub fn known_lines(patches: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(patches) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|e| e.path().join("series").is_file())
        .filter_map(|e| {
            e.file_name()
                .to_str()?
                .strip_prefix("linux-")
                .map(str::to_owned)
        })
        .collect();
    lines.sort();
    lines
}

enum Line<'a> {
    Nothing,
    Variant(&'a str),
    Patch(&'a str),
    Bad,
}

fn parse_line(text: &str) -> Line<'_> {
    let text = text.trim();
    if let Some(comment) = text.strip_prefix('#') {
        return match comment.trim().strip_prefix("variant:").map(str::trim) {
            None => Line::Nothing,
            Some(name) if is_word(name) => Line::Variant(name),
            Some(_) => Line::Bad,
        };
    }
    match text {
        "" => Line::Nothing,
        // Quilt allows options behind the name (`-p0`); we always strip one folder.
        name if is_word(name) && !name.starts_with('.') => Line::Patch(name),
        _ => Line::Bad,
    }
}

/// One plain word: also no way out of the folder.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
}

fn read_patch(folder: &Path, name: &str) -> Result<Patch, SeriesError> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).map_err(|source| SeriesError::Read {
        path: path.clone(),
        source,
    })?;
    match subject(&String::from_utf8_lossy(&bytes)) {
        Some(subject) => Ok(Patch {
            name: name.to_owned(),
            path,
            subject,
        }),
        None => Err(SeriesError::NoSubject { path }),
    }
}

/// The subject of a mail: unfolded, without the tag in brackets.
fn subject(mail: &str) -> Option<String> {
    let mut header = mail
        .lines()
        .take_while(|l| !l.is_empty())
        .skip_while(|l| !l.starts_with("Subject:"));
    let mut text = header.next()?.strip_prefix("Subject:")?.trim().to_owned();
    for folded in header.take_while(|l| l.starts_with([' ', '\t'])) {
        text.push(' ');
        text.push_str(folded.trim());
    }
    let plain = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some((_, rest)) => rest.trim(),
        None => text.as_str(),
    };
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder(series: &str, patches: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary folder");
        let folder = root.path().join("linux-6.1");
        std::fs::create_dir(&folder).expect("mkdir");
        std::fs::write(folder.join("series"), series).expect("write");
        for (name, text) in patches {
            std::fs::write(folder.join(name), text).expect("write");
        }
        root
    }

    #[test]
    fn a_variant_is_a_beginning_of_the_series() {
        let root = folder(
            "# about\n\n0001-a.patch\n# variant: shadow\n0002-b.patch\n# variant: aggregation\n",
            &[
                (
                    "0001-a.patch",
                    "From x\nSubject: [PATCH 1/2] xen-netback: a\n long one\nDate: now\n\nSubject: no\n",
                ),
                ("0002-b.patch", "Subject: b\n\n"),
            ],
        );
        let series = Series::read(root.path(), "6.1").expect("reads");
        assert_eq!(series.patches[0].subject, "xen-netback: a long one");
        assert_eq!(series.variant("shadow").expect("is there").len(), 1);
        assert_eq!(
            series.variant("aggregation").expect("is there")[1].subject,
            "b"
        );
        let error = series
            .variant("shadwo")
            .expect_err("is not there")
            .to_string();
        assert_eq!(
            error,
            "the patches for Linux 6.1 have no variant `shadwo`; there are: shadow, aggregation"
        );
        let error = Series::read(root.path(), "6.12")
            .expect_err("no such line")
            .to_string();
        assert!(
            error.contains("no patches for Linux 6.12") && error.ends_with(": 6.1"),
            "{error}"
        );
    }

    #[test]
    fn faults_name_the_place() {
        let root = folder("../evil.patch\n", &[]);
        let error = Series::read(root.path(), "6.1")
            .expect_err("bad")
            .to_string();
        assert!(
            error.starts_with("line 1 of ") && error.ends_with("`../evil.patch`"),
            "{error}"
        );
        let root = folder("a.patch\n", &[]);
        assert!(matches!(
            Series::read(root.path(), "6.1"),
            Err(SeriesError::Read { .. })
        ));
        let root = folder("a.patch\n", &[("a.patch", "--- a/x\n+++ b/x\n")]);
        assert!(matches!(
            Series::read(root.path(), "6.1"),
            Err(SeriesError::NoSubject { .. })
        ));
    }

    #[test]
    fn the_projects_own_series_has_the_shadow_variant() {
        let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vendor-patches");
        let series = Series::read(&patches, "6.1").expect("reads");
        let shadow = series.variant("shadow").expect("is there");
        assert_eq!(
            shadow[0].subject,
            "xen-netback: shadow accounting of guest Rx aggregation"
        );
    }

    proptest! {
        #[test]
        fn any_series_is_read_or_refused(text in "\\PC{0,200}", mail in "\\PC{0,200}") {
            let root = folder(&text, &[]);
            if let Ok(series) = Series::read(root.path(), "6.1") {
                prop_assert!(series.patches.is_empty());
            }
            if let Some(subject) = subject(&mail) {
                prop_assert!(!subject.is_empty());
            }
        }
    }
}
