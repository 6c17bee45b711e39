//! The one place that knows YAML: reading with exact places for errors, finding a place again, and writing.
//!
//! Enums are written as maps with one key (`arrivals: {cbr: {rate: 5/s}}`), not as YAML tags.

mod typed;

use std::cell::RefCell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize as _, Serialize};
use serde_yaml::with::singleton_map_recursive;

pub(crate) use self::typed::{Found, Wanted};
use self::typed::{Slot, Told, Typed};

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One step from a document's root towards a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into a map.
    Key(String),
    /// Into a sequence, counted from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A path in the usual notation: `traffic[0].size`.
pub(crate) fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            // Counted from 0, as `jq` and `yq` do.
            Step::Index(index) => {
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
        }
    }
    text
}

/// What kind of mistake stopped the reading.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    /// A key that the map at this place does not have.
    UnknownKey { key: String, known: Vec<String> },
    /// A word that is none of the choices at this place.
    UnknownChoice { word: String, known: Vec<String> },
    /// A key that must be there.
    MissingKey { key: String },
    /// A key that is there twice.
    RepeatedKey { key: String },
    /// A value of the wrong shape.
    WrongShape { found: Found, wanted: Wanted },
    /// There is no document.
    Empty,
    /// A second document follows.
    SeveralDocuments,
    /// The text is not YAML at all.
    Syntax(String),
    /// Anything else, in words.
    Other(String),
}

/// Why a document could not be read, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mistake {
    /// The value that is wrong; for an unknown key it ends with that key.
    pub path: Vec<Step>,
    pub at: Option<At>,
    pub cause: Cause,
}

/// Without the mark that some editors put before a text (YAML 1.2, 5.2). It has no column.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn documents(text: &str) -> serde_yaml::Deserializer<'_> {
    serde_yaml::Deserializer::from_str(without_mark(text))
}

/// Reads one document.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let whole = |cause: Cause, at: Option<At>| Mistake {
        path: Vec::new(),
        at,
        cause,
    };
    let mut documents = documents(text);
    let Some(document) = documents.next() else {
        return Err(whole(Cause::Empty, None));
    };
    let slot = Slot::default();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(Typed::new(document, &slot), &mut track);
    let value = singleton_map_recursive::deserialize(tracked)
        .map_err(|error| mistake(text, steps(&track.path()), error))?;
    match documents.next() {
        None => Ok(value),
        Some(second) => Err(whole(Cause::SeveralDocuments, stop(second, &[], None))),
    }
}

/// What an error of the reader means.
fn mistake(text: &str, path: Vec<Step>, error: typed::Error<serde_yaml::Error>) -> Mistake {
    let at = place(&error.inner);
    let (cause, at) = match error.told {
        Some(Told::UnknownKey { key, known }) => (Cause::UnknownKey { key, known }, at),
        Some(Told::UnknownChoice { word, known }) => (Cause::UnknownChoice { word, known }, at),
        Some(Told::MissingKey(key)) => (Cause::MissingKey { key }, at),
        // The reader knows the map's place only, or none.
        Some(Told::RepeatedKey(key)) => {
            let at = repeated(text, &path, &key);
            (Cause::RepeatedKey { key }, at)
        }
        Some(Told::Own(text_of_type)) => (Cause::Other(text_of_type), find(text, &path).or(at)),
        Some(Told::WrongShape { found, wanted }) => {
            if is_yaml(text) {
                let found = found.or_else(|| shape_at(text, &path));
                let found = as_written(found.unwrap_or(Found::Other), text, &path);
                let at = find(text, &path).or(at);
                (Cause::WrongShape { found, wanted }, at)
            } else {
                (Cause::Syntax(without_place(&error.inner)), at)
            }
        }
        None if !is_yaml(text) => (Cause::Syntax(without_place(&error.inner)), at),
        None => (Cause::Other(without_place(&error.inner)), at),
    };
    Mistake { path, at, cause }
}

/// The reader's own words, without the mistake's place, which is told before them.
fn without_place(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    let place = error
        .location()
        .map(|at| format!(" at line {} column {}", at.line(), at.column()));
    match place {
        Some(place) => text.replacen(&place, "", 1),
        None => text,
    }
}

/// Whether the text is YAML, whatever it says.
fn is_yaml(text: &str) -> bool {
    documents(text).all(|document| IgnoredAny::deserialize(document).is_ok())
}

/// Writes one document.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<String, serde_yaml::Error> {
    let mut bytes = Vec::new();
    singleton_map_recursive::serialize(value, &mut serde_yaml::Serializer::new(&mut bytes))?;
    // The YAML writer emits UTF-8 only; a lossy conversion changes nothing.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where the value at `path` begins; where it is missing, its nearest parent.
pub(crate) fn find(text: &str, path: &[Step]) -> Option<At> {
    stop(documents(text).next()?, path, None)
}

/// Where `key` stands for the second time in the map at `path`.
fn repeated(text: &str, path: &[Step], key: &str) -> Option<At> {
    stop(documents(text).next()?, path, Some(key))
}

/// Where the reader stands when it is made to stop at `path`.
fn stop(
    document: serde_yaml::Deserializer<'_>,
    path: &[Step],
    repeated: Option<&str>,
) -> Option<At> {
    let find = Find {
        path,
        repeated,
        written: None,
    };
    find.deserialize(document).err().as_ref().and_then(place)
}

/// The value at `path`, in a document that may be faulty elsewhere.
fn value_at(text: &str, path: &[Step]) -> Option<serde_yaml::Value> {
    let document = documents(text).next()?;
    let mut value = serde_yaml::Value::deserialize(document).ok()?;
    for step in path {
        value = match (step, value) {
            (Step::Key(key), serde_yaml::Value::Mapping(mut map)) => map.remove(key.as_str())?,
            (Step::Index(index), serde_yaml::Value::Sequence(mut list)) => {
                (*index < list.len()).then(|| list.swap_remove(*index))?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// The scalar at `path` as text, in a document that may be faulty elsewhere.
pub(crate) fn text_at(text: &str, path: &[Step]) -> Option<String> {
    value_at(text, path)?.as_str().map(str::to_owned)
}

/// What stands at `path`.
fn shape_at(text: &str, path: &[Step]) -> Option<Found> {
    use serde_yaml::Value;
    Some(match value_at(text, path)? {
        Value::Null => Found::Nothing,
        Value::Bool(value) => Found::Plain(value.to_string()),
        Value::Number(number) if number.is_f64() => {
            Found::Float(number.as_f64()?, number.to_string())
        }
        Value::Number(number) => Found::Plain(number.to_string()),
        Value::String(text) => Found::Text(text),
        Value::Sequence(_) => Found::List,
        Value::Mapping(_) => Found::Map,
        Value::Tagged(_) => Found::Other,
    })
}

fn place(error: &serde_yaml::Error) -> Option<At> {
    error.location().map(|at| At {
        line: at.line(),
        column: at.column(),
    })
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Unknown => None,
        })
        .collect()
}

/// The same, in the file's own letters: `1e1` and not `10.0`.
fn as_written(found: Found, text: &str, path: &[Step]) -> Found {
    let written = || {
        let written = RefCell::new(None);
        let find = Find {
            path,
            repeated: None,
            written: Some(&written),
        };
        let stopped = find.deserialize(documents(text).next()?);
        stopped.err().and_then(|_| written.take())
    };
    match found {
        Found::Float(value, shown) => Found::Float(value, written().unwrap_or(shown)),
        Found::Plain(shown) => Found::Plain(written().unwrap_or(shown)),
        Found::Other => written().map_or(Found::Other, Found::Plain),
        found => found,
    }
}

/// Walks to a place and fails there on purpose: the reader's error then carries the place.
struct Find<'a> {
    path: &'a [Step],
    /// Look for the second such key in the map at `path`, instead of for the value.
    repeated: Option<&'a str>,
    /// Where the value's letters go, if it is no list or map.
    written: Option<&'a RefCell<Option<String>>>,
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.written {
            Some(written) if self.path.is_empty() => {
                written.replace(Some(String::deserialize(deserializer)?));
                Err(serde::de::Error::custom("here"))
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

/// Every visit that is not written here fails by default, which is what `Find` is for.
impl<'de> Visitor<'de> for Find<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("to stop here")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some((Step::Key(wanted), rest)) = self.path.split_first() {
            while let Some(key) = map.next_key::<String>()? {
                if key == *wanted {
                    return map.next_value_seed(Find { path: rest, ..self });
                }
                map.next_value::<IgnoredAny>()?;
            }
        } else if let Some(name) = self.repeated {
            let mut seen = false;
            while let Some(key) = map.next_key_seed(StopAt { name, armed: seen })? {
                seen |= key == name;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Err(serde::de::Error::custom("here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some((Step::Index(wanted), rest)) = self.path.split_first() {
            for _ in 0..*wanted {
                if seq.next_element::<IgnoredAny>()?.is_none() {
                    return Err(serde::de::Error::custom("here"));
                }
            }
            seq.next_element_seed(Find { path: rest, ..self })?;
        }
        Err(serde::de::Error::custom("here"))
    }
}

/// Reads a key; fails at `name` once it is armed.
struct StopAt<'a> {
    name: &'a str,
    armed: bool,
}

impl<'de> DeserializeSeed<'de> for StopAt<'_> {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for StopAt<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        if self.armed && key == self.name {
            Err(E::custom("here"))
        } else {
            Ok(key.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nb:\n  - x: 1\n    y: 2\n  - {x: 3, x: 4}\nc: [5, 6]\n";

    fn at(line: usize, column: usize) -> At {
        At { line, column }
    }

    #[test]
    fn finds_values() {
        assert_eq!(
            find(TEXT, &["b".into(), 0.into(), "y".into()]),
            Some(at(4, 8))
        );
        assert_eq!(find(TEXT, &["b".into(), 1.into()]), Some(at(5, 5)));
        assert_eq!(find(TEXT, &["c".into(), 1.into()]), Some(at(6, 8)));
    }

    #[test]
    fn finds_the_parent_of_what_is_missing() {
        assert_eq!(
            find(TEXT, &["b".into(), 1.into(), "z".into()]),
            Some(at(5, 5))
        );
    }

    #[test]
    fn finds_the_second_of_two() {
        assert_eq!(
            repeated(TEXT, &["b".into(), 1.into()], "x"),
            Some(at(5, 12))
        );
    }

    #[test]
    fn a_byte_order_mark_has_no_column() {
        let marked = format!("\u{feff}{TEXT}");
        assert_eq!(find(&marked, &["a".into()]), Some(at(1, 4)));
        let read: std::collections::BTreeMap<String, u32> =
            read("\u{feff}a: 1\n").expect("good YAML");
        assert_eq!(read["a"], 1);
    }

    #[test]
    fn the_readers_own_words_have_no_place_behind() {
        let mistake = read::<String>("a: [1\n").expect_err("an open bracket");
        let Cause::Syntax(words) = mistake.cause else {
            panic!("{mistake:?}");
        };
        assert!(!words.contains("column 6"), "{words}");
        assert!(mistake.at.is_some());
    }
}
