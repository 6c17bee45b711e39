//! How long the frames of a flow are: one size, a mixture, or as captured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{Size, UnitError};

/// The simple Internet mix: IP packets of 40, 576 and 1500 bytes, 7 : 4 : 1, as Ethernet frames with FCS.
const IMIX: [(u32, u64); 3] = [(7, 64), (4, 594), (1, 1518)];

/// Sizes of Ethernet frames with FCS. Written `64 B`, `7 x 64 B + 4 x 594 B`, `imix` or `captured`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FrameSize {
    /// All alike.
    Fixed(Size),
    /// Drawn at random: each size with its weight.
    Mix(Vec<(u32, Size)>),
    /// The simple Internet mix.
    Imix,
    /// As in the capture that is replayed.
    Captured,
}

impl FrameSize {
    /// The one size, if there is but one.
    pub fn fixed(&self) -> Option<Size> {
        match self {
            Self::Fixed(size) => Some(*size),
            _ => None,
        }
    }

    /// Every size that there may be with its weight; none for what was captured.
    pub fn parts(&self) -> Vec<(u32, Size)> {
        match self {
            Self::Fixed(size) => vec![(1, *size)],
            Self::Mix(parts) => parts.clone(),
            Self::Imix => IMIX
                .map(|(weight, size)| (weight, Size::from_bytes(size)))
                .into(),
            Self::Captured => Vec::new(),
        }
    }

    /// The largest size; zero where only a capture knows it.
    pub fn largest(&self) -> Size {
        self.parts()
            .into_iter()
            .map(|(_, size)| size)
            .max()
            .unwrap_or_default()
    }
}

impl From<Size> for FrameSize {
    fn from(size: Size) -> Self {
        Self::Fixed(size)
    }
}

impl FromStr for FrameSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.trim() {
            "imix" => return Ok(Self::Imix),
            "captured" => return Ok(Self::Captured),
            _ => {}
        }
        if !text.contains('+') && !text.contains('x') {
            return text.parse().map(Self::Fixed);
        }
        let wrong = || UnitError::NotANumber {
            text: text.to_owned(),
            example: "`64 B`, `7 x 64 B + 4 x 594 B` or `imix`",
        };
        let part = |part: &str| {
            let (weight, size) = part.split_once('x').ok_or_else(wrong)?;
            let weight: u32 = weight.trim().parse().map_err(|_| wrong())?;
            if weight == 0 {
                return Err(UnitError::Range {
                    text: text.to_owned(),
                    fault: "a mixture with a weight of 0",
                    mend: "use whole weights above zero",
                });
            }
            Ok((weight, size.parse::<Size>()?))
        };
        text.split('+')
            .map(part)
            .collect::<Result<_, _>>()
            .map(Self::Mix)
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => size.fmt(f),
            Self::Imix => f.write_str("imix"),
            Self::Captured => f.write_str("captured"),
            Self::Mix(parts) => {
                for (n, (weight, size)) in parts.iter().enumerate() {
                    let plus = if n == 0 { "" } else { " + " };
                    write!(f, "{plus}{weight} x {size}")?;
                }
                Ok(())
            }
        }
    }
}

impl TryFrom<String> for FrameSize {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<FrameSize> for String {
    fn from(size: FrameSize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in [
            "64 B",
            "7 x 64 B + 4 x 594 B",
            "imix",
            "captured",
            "2 x 64 B",
        ] {
            assert_eq!(text.parse::<FrameSize>().unwrap().to_string(), text);
        }
        assert_eq!(
            "imix".parse::<FrameSize>().unwrap().largest(),
            Size::from_bytes(1518)
        );
        for text in [
            "",
            "64",
            "7 x 64",
            "0 x 64 B",
            "x 64 B",
            "7 x 64 B +",
            "a x 64 B",
            "64 B + 3 x 65 B",
            "imx",
        ] {
            assert!(text.parse::<FrameSize>().is_err(), "{text}");
        }
    }
}
