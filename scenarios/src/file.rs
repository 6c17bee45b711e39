//! Reading files that people wrote, and saying what is wrong with them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

pub use crate::yaml::At;
use crate::yaml::{self, Cause, Mistake, Step, path_text};

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
            Self::Read { .. } | Self::Write { .. } => &[],
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
    /// What to do about it.
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
        match self.at {
            Some(at) => write!(f, "{}:{at}: {}; {}", self.origin, self.what, self.mend),
            None => write!(f, "{}: {}; {}", self.origin, self.what, self.mend),
        }
    }
}

/// Reads the text of a file.
pub(crate) fn text_of(kind: &'static str, path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|source| FileError::Read {
        kind,
        path: path.to_owned(),
        source,
    })
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
        Cause::WrongShape { found, expected } => {
            let subject = if mistake.path.is_empty() {
                "the file".to_owned()
            } else {
                format!("`{}`", path_text(&mistake.path))
            };
            (
                format!("{subject} is {}", found_shape(found)),
                format!("write {}", expected_shape(expected)),
            )
        }
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
            match text.split_once(": ") {
                // Our own quantities already say what to do, after the colon.
                Some((what, mend)) if what.starts_with('`') => {
                    (format!("{of}{what}"), mend.to_owned())
                }
                _ => (format!("{of}{text}"), "correct the value".to_owned()),
            }
        }
    }
}

/// Serde's words for what was found, in ours.
fn found_shape(words: &str) -> String {
    match words {
        "unit value" => "empty".to_owned(),
        "unit variant" => "a single word".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a map of another shape".to_owned(),
        // `integer `-1``, `string "many"`, `boolean `true``: the value says it all.
        _ => words
            .split_once(' ')
            .map_or(words, |(_, value)| value)
            .to_owned(),
    }
}

/// Serde's words for what was expected, in ours.
fn expected_shape(words: &str) -> &str {
    match words {
        "a sequence" => "a list, as in `[a, b]`",
        "a string" => "a single value",
        "map with a single key" => "a map with one key only",
        "struct variant" => "a map, as in `{word: {key: value}}`",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "`true` or `false`",
        words if words.starts_with("struct ") => "a map, as in `{key: value}`",
        words => words,
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
