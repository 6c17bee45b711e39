//! Reading files that people wrote, and saying what is wrong with them.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

pub use crate::yaml::At;
use crate::yaml::{self, Cause, Found, Mistake, Step, Wanted, path_text};

/// Why a lab or scenario file cannot be used. All of these are bad input (exit code 2).
#[derive(Debug, Error)]
pub enum FileError {
    /// The file cannot be read at all.
    #[error("cannot read the {kind} file {}: {source}; give the path of a readable YAML file", path.display())]
    Read {
        /// `lab` or `scenario`.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds bytes that are no text.
    #[error("the {kind} file {} is not UTF-8: byte {at} is part of no character; save it as UTF-8", path.display())]
    NotText {
        /// `lab` or `scenario`.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// The first such byte, from 0.
        at: usize,
    },
    /// It cannot be written as YAML.
    #[error("cannot write the {kind} as YAML: {why}; use only UTF-8 in its paths")]
    Write {
        /// `lab` or `scenario`.
        kind: &'static str,
        /// What the writer said.
        why: String,
    },
    /// It was read, and these are its faults, in file order. There is at least one.
    #[error("{}", join(faults))]
    Faulty {
        /// One line each.
        faults: Vec<Fault>,
    },
}

impl FileError {
    /// The faults of a file that could be read.
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Read { .. } | Self::NotText { .. } | Self::Write { .. } => &[],
            Self::Faulty { faults } => faults,
        }
    }
}

fn join(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(Fault::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// One fault of one file. Prints as `file:line:column: what is wrong; what to do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File name, or what stands for it.
    pub origin: String,
    /// Where, as near as the file allows.
    pub at: Option<At>,
    /// What is wrong.
    pub what: String,
    /// What to do about it; empty where that is said with what is wrong.
    pub mend: String,
}

impl Fault {
    fn new(origin: &str, at: Option<At>, what: &str, mend: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            at,
            what: one_line(what),
            mend: one_line(mend),
        }
    }
}

/// What a file says may hold line breaks and worse; a message is one line.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(at) = self.at {
            write!(f, ":{at}")?;
        }
        write!(f, ": {}", self.what)?;
        if self.mend.is_empty() {
            return Ok(());
        }
        write!(f, "; {}", self.mend)
    }
}

/// Reads the text of a file: UTF-8, or UTF-16 behind a byte order mark, as YAML 1.2 has it (5.2).
pub(crate) fn text_of(kind: &'static str, path: &Path) -> Result<String, FileError> {
    let bytes = std::fs::read(path).map_err(|source| FileError::Read {
        kind,
        path: path.to_owned(),
        source,
    })?;
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|error| error.utf8_error().valid_up_to()),
    };
    text.map_err(|at| FileError::NotText {
        kind,
        path: path.to_owned(),
        at,
    })
}

/// The text, or the first byte that is none.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, usize> {
    let pairs = bytes.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(bytes.len() + 1);
    }
    let units = pairs.map(|pair| unit([pair[0], pair[1]]));
    let mut text = String::with_capacity(bytes.len() / 2);
    for c in char::decode_utf16(units) {
        text.push(c.map_err(|_| 2 + 2 * text.encode_utf16().count())?);
    }
    Ok(text)
}

/// Why a path that begins with `~` leads nowhere.
#[derive(Debug, PartialEq, Eq)]
struct NoHome {
    what: String,
    mend: &'static str,
}

/// See [`Faults::at_home`].
fn at_home_of(path: &Path, home: Option<OsString>) -> Result<PathBuf, NoHome> {
    let Some(Component::Normal(first)) = path.components().next() else {
        return Ok(path.to_owned());
    };
    if first == "~" {
        let home = home.filter(|home| !home.is_empty()).ok_or_else(|| NoHome {
            what: format!(
                "`{}` lies in the home folder, but HOME is not set",
                path.display()
            ),
            mend: "set HOME, or write the whole path",
        })?;
        let rest = path.components().skip(1);
        return Ok(Path::new(&home).components().chain(rest).collect());
    }
    if first.as_encoded_bytes().starts_with(b"~") {
        return Err(NoHome {
            what: format!(
                "`{}` lies in the home folder of another user, which is not looked up",
                path.display()
            ),
            mend: "write the whole path, or `./` before it where it is a folder of that name",
        });
    }
    Ok(path.to_owned())
}

/// Collects the faults of one text, with their places.
pub(crate) struct Faults<'a> {
    text: &'a str,
    origin: &'a str,
    found: Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub(crate) fn new(text: &'a str, origin: &'a str) -> Self {
        Self {
            text,
            origin,
            found: Vec::new(),
        }
    }

    /// Notes a fault of the value at `path`.
    pub(crate) fn add(&mut self, path: &[Step], what: impl Into<String>, mend: impl Into<String>) {
        let at = yaml::find(self.text, path);
        self.found
            .push(Fault::new(self.origin, at, &what.into(), &mend.into()));
    }

    /// The path that stands at `at`, with the user's home instead of a leading `~/`, as a shell takes it. Notes a fault where
    /// there is no such home.
    pub(crate) fn at_home(&mut self, at: &[Step], path: &Path) -> PathBuf {
        at_home_of(path, std::env::var_os("HOME")).unwrap_or_else(|NoHome { what, mend }| {
            self.add(at, what, mend);
            path.to_owned()
        })
    }

    /// Ok if there was none.
    pub(crate) fn into_result(mut self) -> Result<(), FileError> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|fault| fault.at);
        Err(FileError::Faulty { faults: self.found })
    }
}

/// What a kind of file can add to the explanation of a mistake: the fault's `what` and `mend`, or nothing.
pub(crate) type Explain = fn(&Mistake, &str) -> Option<(String, String)>;

/// Reads a value and explains what keeps it from being read.
pub(crate) fn read<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    explain: Explain,
) -> Result<T, FileError> {
    yaml::read(text).map_err(|mistake| {
        let (what, mend) = explain(&mistake, text).unwrap_or_else(|| words(&mistake));
        FileError::Faulty {
            faults: vec![Fault::new(origin, mistake.at, &what, &mend)],
        }
    })
}

/// The general explanation.
fn words(mistake: &Mistake) -> (String, String) {
    let place = |path: &[Step]| {
        if path.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", path_text(path))
        }
    };
    // The path of an unknown key or choice ends with it.
    let parent = mistake
        .path
        .split_last()
        .map_or(&[][..], |(_, parent)| parent);
    match &mistake.cause {
        Cause::UnknownKey { key, known } => (
            format!("unknown key `{key}`{}", place(parent)),
            suggestion(key, known, "keys"),
        ),
        Cause::UnknownChoice { word, known } => {
            let holder = match mistake.path.last() {
                Some(Step::Key(last)) if last == word => parent,
                _ => &mistake.path,
            };
            (
                format!("unknown choice `{word}`{}", place(holder)),
                suggestion(word, known, "choices"),
            )
        }
        Cause::MissingKey { key } => (
            format!("the key `{key}` is missing{}", place(&mistake.path)),
            format!("add `{key}:`"),
        ),
        Cause::RepeatedKey { key } => (
            format!(
                "the key `{key}` stands here for the second time{}",
                place(&mistake.path)
            ),
            "keep one of the two".to_owned(),
        ),
        Cause::WrongShape { found, wanted } => {
            let subject = if mistake.path.is_empty() {
                "the file".to_owned()
            } else {
                format!("`{}`", path_text(&mistake.path))
            };
            (
                format!("{subject} is {}", found_shape(found, *wanted)),
                format!("write {}", wanted_shape(found, *wanted)),
            )
        }
        Cause::Empty => (
            "the file is empty".to_owned(),
            "write what it is to say".to_owned(),
        ),
        Cause::SeveralDocuments => (
            "the file holds several documents".to_owned(),
            "keep one, without `---` behind it".to_owned(),
        ),
        Cause::Syntax(text) => (
            format!("this is not YAML: {text}"),
            "correct it there or just before".to_owned(),
        ),
        Cause::Other(text) => {
            let of = if mistake.path.is_empty() {
                String::new()
            } else {
                format!("`{}`: ", path_text(&mistake.path))
            };
            // The types of values say themselves what to do.
            (format!("{of}{text}"), String::new())
        }
    }
}

/// What was found, for a reader of the file.
fn found_shape(found: &Found, wanted: Wanted) -> String {
    match found {
        Found::Nothing => "empty".to_owned(),
        Found::Word => "a single word".to_owned(),
        Found::List => "a list".to_owned(),
        Found::Map if wanted == Wanted::OneKey => "a map with other than one key".to_owned(),
        Found::Map => "a map".to_owned(),
        Found::Float(_, shown) if matches!(wanted, Wanted::Whole(_)) => {
            format!("`{shown}`, which is not a whole number")
        }
        Found::Float(_, shown) | Found::Plain(shown) => format!("`{shown}`"),
        Found::Text(text) => format!("{text:?}"),
        Found::Other => "of another kind".to_owned(),
    }
}

/// What to write instead.
fn wanted_shape(found: &Found, wanted: Wanted) -> String {
    match wanted {
        Wanted::Whole(most) => {
            let most = if most <= u32::MAX.into() {
                format!(" from 0 to {most}")
            } else {
                String::new()
            };
            match found {
                Found::Float(value, _) if value.fract() == 0.0 && (0.0..1e15).contains(value) => {
                    format!("a whole number{most}, as in `{value:.0}`")
                }
                _ => format!("a whole number{most}"),
            }
        }
        Wanted::Number => "a number".to_owned(),
        Wanted::Bool => "`true` or `false`".to_owned(),
        Wanted::Text => "a single value".to_owned(),
        Wanted::List => "a list, as in `[a, b]`".to_owned(),
        Wanted::Map => "a map, as in `{key: value}`".to_owned(),
        Wanted::Choice => "a single word, or a map with one key".to_owned(),
        Wanted::NamedMap => "a map, as in `{word: {key: value}}`".to_owned(),
        Wanted::OneKey => "a map with one key only".to_owned(),
        Wanted::Word => "a single word".to_owned(),
        Wanted::Anything => "another value".to_owned(),
    }
}

/// The nearest of the known words, and all of them.
pub(crate) fn suggestion(word: &str, known: &[String], plural: &str) -> String {
    let list = known
        .iter()
        .map(|k| format!("`{k}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match nearest(word, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? The {plural} here are {list}"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("the {plural} here are {list}"),
    }
}

/// The known word that is nearest to what was written, if it is near enough to be meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A name that may stand in reports, file names and on command lines.
pub(crate) fn is_plain_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// What to do about a name that is not plain.
pub(crate) const PLAIN_NAME: &str =
    "use up to 64 of the characters a-z A-Z 0-9 - _ . and begin with a letter or a digit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_users_home() {
        let at = |path: &str, home: Option<&str>| {
            at_home_of(Path::new(path), home.map(OsString::from))
                .map(|path| path.display().to_string())
                .map_err(|no| no.what)
        };
        let home = Some("/home/u");
        for (path, expanded) in [
            ("~/.ssh/id", "/home/u/.ssh/id"),
            ("~", "/home/u"),
            ("keys/rack", "keys/rack"),
            ("/etc/key", "/etc/key"),
            ("./~/key", "./~/key"),
            ("./~other/key", "./~other/key"),
            ("a/~/key", "a/~/key"),
            ("a~", "a~"),
            ("", ""),
        ] {
            assert_eq!(at(path, home), Ok(expanded.to_owned()), "{path}");
        }
        let unset = at("~/key", None).expect_err("no home");
        assert_eq!(unset, at("~/key", Some("")).expect_err("no home"));
        assert!(unset.contains("HOME is not set"), "{unset}");
        let other = at("~other/key", home).expect_err("not looked up");
        assert!(other.contains("another user"), "{other}");
    }

    #[test]
    fn a_file_may_be_utf_16_behind_a_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.yaml");
        let text = "name: µ𝄞\n";
        let units: Vec<u16> = "\u{feff}"
            .encode_utf16()
            .chain(text.encode_utf16())
            .collect();
        let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
        for bytes in [&little, &big] {
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(text_of("lab", &path).expect("text"), text);
        }
        // Half a unit, half a pair, and Latin-1.
        let cut = little[..little.len() - 1].to_vec();
        let mut torn = little[..little.len() - 4].to_vec();
        torn.extend(b"\n\0");
        for (bytes, at) in [(cut, 20), (torn, 16), (b"name: \xb5".to_vec(), 6)] {
            std::fs::write(&path, bytes).expect("written");
            let error = text_of("lab", &path).expect_err("no text").to_string();
            assert!(error.contains(&format!("byte {at} ")), "{error}");
        }
    }
}
