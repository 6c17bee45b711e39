//! The one place that knows YAML: reading with exact places for errors, finding a place again, and writing.
//!
//! Enums are written as maps with one key (`arrivals: {cbr: {rate: 5/s}}`), not as YAML tags.

use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize as _, Serialize};
use serde_yaml::with::singleton_map_recursive;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A key that the map at this place does not have.
    UnknownKey { key: String, known: Vec<String> },
    /// A word that is none of the choices at this place.
    UnknownChoice { word: String, known: Vec<String> },
    /// A key that must be there.
    MissingKey { key: String },
    /// A key that is there twice.
    RepeatedKey { key: String },
    /// A value of the wrong shape: what was found, and what was expected, in serde's words.
    WrongShape { found: String, expected: String },
    /// A second document follows.
    SeveralDocuments,
    /// The text is not YAML at all.
    Syntax(String),
    /// Anything else, in words.
    Other(String),
}

/// Why a document could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// The value that is wrong; for an unknown key it ends with that key.
    pub path: Vec<Step>,
    pub at: Option<At>,
    pub cause: Cause,
}

/// Reads one document.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let mut track = serde_path_to_error::Track::new();
    let document = serde_yaml::Deserializer::from_str(text);
    let tracked = serde_path_to_error::Deserializer::new(document, &mut track);
    singleton_map_recursive::deserialize(tracked).map_err(|error: serde_yaml::Error| {
        let path = steps(&track.path());
        let cause = match classify(&error.to_string()) {
            Cause::Other(why) if why.contains("more than one document") => Cause::SeveralDocuments,
            Cause::Other(why) if !is_yaml(text) => Cause::Syntax(why),
            cause => cause,
        };
        let at = match &cause {
            // The reader reports this at the map, or nowhere.
            Cause::RepeatedKey { key } => repeated(text, &path, key),
            Cause::Other(_) | Cause::WrongShape { .. } if !path.is_empty() => find(text, &path),
            _ => place(&error),
        };
        Mistake { path, at, cause }
    })
}

/// Whether the text is YAML, whatever it says.
fn is_yaml(text: &str) -> bool {
    IgnoredAny::deserialize(serde_yaml::Deserializer::from_str(text)).is_ok()
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
    let goal = Find {
        path,
        repeated: None,
    };
    goal.deserialize(serde_yaml::Deserializer::from_str(text))
        .err()
        .as_ref()
        .and_then(place)
}

/// The scalar at `path` as text, in a document that may be faulty elsewhere.
pub(crate) fn text_at(text: &str, path: &[Step]) -> Option<String> {
    let mut value: &serde_yaml::Value = &serde_yaml::from_str(text).ok()?;
    for step in path {
        value = match step {
            Step::Key(key) => value.get(key.as_str())?,
            Step::Index(index) => value.get(*index)?,
        };
    }
    value.as_str().map(str::to_owned)
}

/// Where `key` stands for the second time in the map at `path`.
fn repeated(text: &str, path: &[Step], key: &str) -> Option<At> {
    let goal = Find {
        path,
        repeated: Some(key),
    };
    goal.deserialize(serde_yaml::Deserializer::from_str(text))
        .err()
        .as_ref()
        .and_then(place)
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

/// Serde's error type has no fields, only these fixed phrases (`serde::de::Error`'s provided methods).
fn classify(message: &str) -> Cause {
    let quoted = |phrase: &str| -> Option<(String, Vec<String>)> {
        let rest = &message[message.find(phrase)? + phrase.len()..];
        let end = rest.find("`, ").or_else(|| rest.rfind('`'))?;
        let known = rest[end + 1..]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        Some((rest[..end].to_owned(), known))
    };
    if let Some((key, known)) = quoted("unknown field `") {
        return Cause::UnknownKey { key, known };
    }
    if let Some((word, known)) = quoted("unknown variant `") {
        return Cause::UnknownChoice { word, known };
    }
    if let Some((key, _)) = quoted("missing field `") {
        return Cause::MissingKey { key };
    }
    if let Some((key, _)) = quoted("duplicate field `") {
        return Cause::RepeatedKey { key };
    }
    let plain = plain(message);
    let shape = plain
        .strip_prefix("invalid type: ")
        .or_else(|| plain.strip_prefix("invalid value: "));
    match shape.and_then(|shape| shape.rsplit_once(", expected ")) {
        Some((found, expected)) => Cause::WrongShape {
            found: found.to_owned(),
            expected: expected.to_owned(),
        },
        None => Cause::Other(plain.to_owned()),
    }
}

/// Without the path in front and the place behind, which are said elsewhere.
fn plain(message: &str) -> &str {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    let text = &message[..end];
    match text.split_once(": ") {
        Some((path, rest)) if !path.contains([' ', '`']) => rest,
        _ => text,
    }
}

/// Walks to a place and fails there on purpose: the reader's error then carries the place.
struct Find<'a> {
    path: &'a [Step],
    /// Look for the second such key in the map at `path`, instead of for the value.
    repeated: Option<&'a str>,
}

impl<'de> DeserializeSeed<'de> for Find<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
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
                    return map.next_value_seed(Find {
                        path: rest,
                        repeated: self.repeated,
                    });
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
            seq.next_element_seed(Find {
                path: rest,
                repeated: self.repeated,
            })?;
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
    fn tells_serdes_phrases_apart() {
        assert_eq!(
            classify(
                "traffic[0]: unknown field `siez`, expected one of `to`, `size` at line 3 column 14"
            ),
            Cause::UnknownKey {
                key: "siez".into(),
                known: vec!["to".into(), "size".into()]
            }
        );
        assert_eq!(
            classify("hosts[2]: missing field `key` at line 1 column 3"),
            Cause::MissingKey { key: "key".into() }
        );
        assert_eq!(
            classify("a.rate: `5` has no unit: write it as `5/s` at line 1 column 3"),
            Cause::Other("`5` has no unit: write it as `5/s`".into())
        );
    }
}
