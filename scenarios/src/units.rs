//! Quantities with their units: every number in a lab or scenario file carries one.
//!
//! Each type parses from and prints as the text a person writes (`1 ms`, `64 B`, `2000/s`), and is kept as
//! an integer so that plans hash and compare exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a quantity could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The number has no unit behind it.
    #[error("`{text}` has no unit: write it as {example}")]
    Missing { text: String, example: &'static str },
    /// The unit is not one of those known.
    #[error("`{text}` has the unknown unit `{unit}`: use one of {known}")]
    Unknown { text: String, unit: String, known: &'static str },
    /// What stands before the unit is not a number.
    #[error("`{text}` does not begin with a number: write it as {example}")]
    NotANumber { text: String, example: &'static str },
    /// The number is negative, or not finite, or too large to keep.
    #[error("`{text}` is out of range: {why}")]
    Range { text: String, why: &'static str },
}

/// Splits `12.5 ms` into its number and its unit.
fn split(text: &str, example: &'static str) -> Result<(f64, String), UnitError> {
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(trimmed.len());
    let digits = trimmed[..end].replace('_', "");
    let number: f64 = digits
        .parse()
        .map_err(|_| UnitError::NotANumber { text: text.to_owned(), example })?;
    if !number.is_finite() {
        return Err(UnitError::Range { text: text.to_owned(), why: "it is not finite" });
    }
    if number < 0.0 {
        return Err(UnitError::Range { text: text.to_owned(), why: "it is negative" });
    }
    let unit = trimmed[end..].trim().to_owned();
    if unit.is_empty() {
        return Err(UnitError::Missing { text: text.to_owned(), example });
    }
    Ok((number, unit))
}

fn scaled(text: &str, number: f64, factor: f64) -> Result<u64, UnitError> {
    let value = (number * factor).round();
    if value > 9.0e18 {
        return Err(UnitError::Range { text: text.to_owned(), why: "it is too large" });
    }
    Ok(value as u64)
}

/// A length of time, in whole nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

impl Span {
    /// From whole nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }
    /// From whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }
    /// From whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }
    /// In whole nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }
    /// In seconds.
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    /// As the standard library's type.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

impl FromStr for Span {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, "`1 ms`")?;
        let factor = match unit.as_str() {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "min" => 60e9,
            "h" => 3600e9,
            _ => {
                return Err(UnitError::Unknown {
                    text: text.to_owned(),
                    unit,
                    known: "ns, us, ms, s, min, h",
                });
            }
        };
        scaled(text, number, factor).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
            if self.0 >= factor && self.0 % (factor / 1000).max(1) == 0 {
                let whole = self.0 / factor;
                let rest = (self.0 % factor) / (factor / 1000).max(1);
                if rest == 0 {
                    return write!(f, "{whole} {unit}");
                }
                let digits = format!("{rest:03}");
                return write!(f, "{whole}.{} {unit}", digits.trim_end_matches('0'));
            }
        }
        write!(f, "{} ns", self.0)
    }
}

/// A size of a frame, a payload or a container, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(u64);

impl Size {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, "`64 B`")?;
        let factor = match unit.as_str() {
            "B" => 1.0,
            "kB" => 1e3,
            "MB" => 1e6,
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            "GiB" => 1024.0 * 1024.0 * 1024.0,
            _ => {
                return Err(UnitError::Unknown {
                    text: text.to_owned(),
                    unit,
                    known: "B, kB, MB, KiB, MiB, GiB",
                });
            }
        };
        scaled(text, number, factor).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// Packets (or samples) a second, kept in thousandths so that it hashes exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u64);

impl Rate {
    /// From whole packets a second.
    pub const fn per_sec(rate: u64) -> Self {
        Self(rate * 1000)
    }
    /// In packets a second.
    pub fn per_sec_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
    /// The mean gap between two packets, in nanoseconds. Infinite for a rate of zero.
    pub fn gap_nanos(self) -> f64 {
        1e9 / self.per_sec_f64()
    }
}

impl FromStr for Rate {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text, "`2000/s`")?;
        let factor = match unit.as_str() {
            "/s" | "pps" => 1.0,
            "k/s" | "kpps" => 1e3,
            "M/s" | "Mpps" => 1e6,
            _ => {
                return Err(UnitError::Unknown {
                    text: text.to_owned(),
                    unit,
                    known: "/s, k/s, M/s, pps, kpps, Mpps",
                });
            }
        };
        scaled(text, number, factor * 1000.0).map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}/s", self.0 / 1000)
        } else {
            write!(f, "{}/s", self.per_sec_f64())
        }
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = UnitError;
            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    )*};
}
text_form!(Span, Size, Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!("1 ms".parse(), Ok(Span::from_millis(1)));
        assert_eq!("2.5us".parse(), Ok(Span::from_nanos(2500)));
        assert_eq!("64 B".parse(), Ok(Size::from_bytes(64)));
        assert_eq!("20 k/s".parse(), Ok(Rate::per_sec(20_000)));
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!("5".parse::<Span>(), Err(UnitError::Missing { .. })));
        assert!(matches!("-5/s".parse::<Rate>(), Err(UnitError::Range { .. })));
        assert!(matches!("5 furlongs".parse::<Size>(), Err(UnitError::Unknown { .. })));
        assert!(matches!("many".parse::<Rate>(), Err(UnitError::NotANumber { .. })));
    }
}
