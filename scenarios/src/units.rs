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
    #[error("`{text}` has no unit; write the unit behind it, as in {example}")]
    Missing {
        /// What was written.
        text: String,
        /// How it should look.
        example: &'static str,
    },
    /// The unit is not one of those known.
    #[error("`{text}` has the unknown unit `{unit}`; use one of {known}")]
    Unknown {
        /// What was written.
        text: String,
        /// The part that is not a unit.
        unit: String,
        /// Every unit of this quantity.
        known: &'static str,
    },
    /// What stands before the unit is not a number.
    #[error("`{text}` does not begin with a number; write a number and its unit, as in {example}")]
    NotANumber {
        /// What was written.
        text: String,
        /// How it should look.
        example: &'static str,
    },
    /// The number is negative, too large or too small to keep, or a fraction of what has none.
    #[error("`{text}` is {fault}; {mend}")]
    Range {
        /// What was written.
        text: String,
        /// What is wrong with the number.
        fault: &'static str,
        /// What to write instead.
        mend: &'static str,
    },
}

/// A decimal number kept exactly: `digits` / 10^`decimals`.
struct Decimal {
    digits: u128,
    decimals: u32,
}

/// More digits than any quantity needs, and few enough for the arithmetic in `u128`.
const MAX_DIGITS: usize = 20;

/// Splits `12.5 ms` into its number and its unit.
fn split(text: &str, example: &'static str) -> Result<(Decimal, String), UnitError> {
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(trimmed.len());
    let not_a_number = || UnitError::NotANumber {
        text: text.to_owned(),
        example,
    };
    let range = |fault, mend| UnitError::Range {
        text: text.to_owned(),
        fault,
        mend,
    };
    let written = trimmed[..end].replace('_', "");
    // `-0` is refused too: what was written is not what anyone means.
    let (negative, number) = match written.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, written.strip_prefix('+').unwrap_or(&written)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(not_a_number());
    }
    if negative {
        return Err(range("negative", "use a number that is not below zero"));
    }
    if digits.len() > MAX_DIGITS {
        return Err(range("too long a number", "use fewer digits"));
    }
    let unit = trimmed[end..].trim().to_owned();
    if unit.is_empty() {
        return Err(UnitError::Missing {
            text: text.to_owned(),
            example,
        });
    }
    let decimals = fraction.len() as u32;
    Ok((
        Decimal {
            digits: digits.parse().map_err(|_| not_a_number())?,
            decimals,
        },
        unit,
    ))
}

/// The number in the smallest unit, rounded to a whole one.
fn scaled(text: &str, number: &Decimal, factor: u64) -> Result<u64, UnitError> {
    let range = |fault, mend| UnitError::Range {
        text: text.to_owned(),
        fault,
        mend,
    };
    // Below 10^20 * 3.6e12 and 10^20: far from u128's end.
    let exact = number.digits * u128::from(factor);
    let divisor = 10_u128.pow(number.decimals);
    let value = (exact + divisor / 2) / divisor;
    if value == 0 && exact > 0 {
        return Err(range(
            "too small to be told from zero",
            "use a larger number",
        ));
    }
    // One bit is left so that two of them can be added.
    u64::try_from(value)
        .ok()
        .filter(|value| *value <= u64::MAX / 2)
        .ok_or_else(|| range("too large", "use a smaller number"))
}

/// A length of time, in whole nanoseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
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
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                return Err(UnitError::Unknown {
                    text: text.to_owned(),
                    unit,
                    known: "ns, us, ms, s, min, h",
                });
            }
        };
        scaled(text, &number, factor).map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The largest unit in which at most three decimals are needed.
        for (factor, unit) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
            let step = factor / 1000;
            if self.0 >= factor && self.0.is_multiple_of(step) {
                let whole = self.0 / factor;
                let rest = (self.0 % factor) / step;
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
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
            "B" => 1,
            "kB" => 1_000,
            "MB" => 1_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => {
                return Err(UnitError::Unknown {
                    text: text.to_owned(),
                    unit,
                    known: "B, kB, MB, KiB, MiB, GiB",
                });
            }
        };
        if !(number.digits * u128::from(factor)).is_multiple_of(10_u128.pow(number.decimals)) {
            return Err(UnitError::Range {
                text: text.to_owned(),
                fault: "not a whole number of bytes",
                mend: "use a whole number",
            });
        }
        scaled(text, &number, factor).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// Packets (or samples) a second, kept in thousandths so that it hashes exactly.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Rate(u64);

impl Rate {
    /// From whole packets a second.
    pub const fn per_sec(rate: u64) -> Self {
        Self(rate * 1000)
    }
    /// In whole packets per thousand seconds, which is how it is kept.
    pub const fn per_1000_s(self) -> u64 {
        self.0
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
            "/s" | "pps" => 1,
            "k/s" | "kpps" => 1_000,
            "M/s" | "Mpps" => 1_000_000,
            _ => {
                return Err(UnitError::Unknown {
                    text: text.to_owned(),
                    unit,
                    known: "/s, k/s, M/s, pps, kpps, Mpps",
                });
            }
        };
        scaled(text, &number, factor * 1000).map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            write!(f, "{whole}/s")
        } else {
            write!(
                f,
                "{whole}.{}/s",
                format!("{rest:03}").trim_end_matches('0')
            )
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
    use proptest::prelude::*;

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
        assert!(matches!(
            "5".parse::<Span>(),
            Err(UnitError::Missing { .. })
        ));
        assert!(matches!(
            "-5/s".parse::<Rate>(),
            Err(UnitError::Range { .. })
        ));
        assert!(matches!(
            "5 furlongs".parse::<Size>(),
            Err(UnitError::Unknown { .. })
        ));
        assert!(matches!(
            "many".parse::<Rate>(),
            Err(UnitError::NotANumber { .. })
        ));
        assert!(matches!(
            "1.5 B".parse::<Size>(),
            Err(UnitError::Range { .. })
        ));
        assert!(matches!(
            "0.1 ns".parse::<Span>(),
            Err(UnitError::Range { .. })
        ));
        assert!(matches!(
            "99999999999 h".parse::<Span>(),
            Err(UnitError::Range { .. })
        ));
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(whole in 0..=u64::MAX / 2) {
            prop_assert_eq!(Span(whole).to_string().parse(), Ok(Span(whole)));
            prop_assert_eq!(Size(whole).to_string().parse(), Ok(Size(whole)));
            prop_assert_eq!(Rate(whole).to_string().parse(), Ok(Rate(whole)));
        }

        #[test]
        fn never_panics(text in "[-+]?[0-9_.]{0,25} ?([a-zA-Zµ/]{0,4}|.*)") {
            let read = (text.parse::<Span>(), text.parse::<Size>(), text.parse::<Rate>());
            if let (Ok(span), ..) = read {
                prop_assert_eq!(span.to_string().parse(), Ok(span));
            }
        }
    }
}
