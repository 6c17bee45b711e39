//! How a run is judged: what a difference must be to matter, and how long to go on until it is decided.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::units::Span;

/// Every number that two variants can be compared by. What each means is `vifbench_reports::compare`'s.
pub const METRICS: [&str; 19] = [
    "delay_mean",
    "delay_p50",
    "delay_p99",
    "hop_tx_nic",
    "hop_nic_vif",
    "hop_vif_rx",
    "abs_ipdv_mean",
    "pdv_p99",
    "rfc3550_jitter_mean",
    "lost",
    "reordered",
    "throughput",
    "transactions",
    "round_trip_p50",
    "round_trip_p99",
    "tcp_goodput",
    "tcp_retransmitted",
    "dom0_cpu",
    "dom0_cpu_per_packet",
];

/// What a run's verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgeBy {
    /// Is any variant better or worse than the base?
    #[default]
    Differences,
    /// Is everything there? Differences are shown, and not judged.
    Completeness,
}

/// The smallest difference of a number that matters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Least {
    /// The number is shown and not judged.
    Ignored,
    /// Percent of the base's value; of the packets sent for a count of packets.
    Percent(f64),
    /// A time.
    Time(Span),
}

/// A smallest difference that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{text}` is no smallest difference; write a share as `2 %`, a time as `5 us`, or `ignored`"
)]
pub struct LeastError {
    text: String,
}

impl FromStr for Least {
    type Err = LeastError;

    fn from_str(text: &str) -> Result<Self, LeastError> {
        let wrong = || LeastError {
            text: text.to_owned(),
        };
        let text = text.trim();
        if text == "ignored" {
            return Ok(Self::Ignored);
        }
        if let Some(number) = text.strip_suffix('%') {
            let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
            return if percent.is_finite() && (0.0..=1000.0).contains(&percent) {
                Ok(Self::Percent(percent))
            } else {
                Err(wrong())
            };
        }
        text.parse().map(Self::Time).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Least {
    type Error = LeastError;

    fn try_from(text: String) -> Result<Self, LeastError> {
        text.parse()
    }
}

impl From<Least> for String {
    fn from(least: Least) -> Self {
        least.to_string()
    }
}

impl fmt::Display for Least {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored => f.write_str("ignored"),
            Self::Percent(percent) => write!(f, "{percent} %"),
            Self::Time(span) => span.fmt(f),
        }
    }
}

/// More blocks while it is not decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// Never more blocks than this.
    pub to: u32,
    /// No further block is begun once the run has taken this long on the controller.
    pub within: Span,
}

/// `judge:` of a scenario.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// What the verdict is about.
    #[serde(default)]
    pub by: JudgeBy,
    /// Smallest differences that matter, by metric; others keep their defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matters: BTreeMap<String, Least>,
    /// Sequential extension; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend: Option<Extend>,
}

impl Judge {
    /// Block counts after which the run is looked at: first the planned one, then up to three more up to the most.
    /// Each look is judged at its share of the level, so the list is fixed before the run begins.
    pub fn looks(&self, blocks: u32) -> Vec<u32> {
        const LOOKS: u32 = 4;
        let most = self.extend.as_ref().map_or(blocks, |e| e.to.max(blocks));
        // Whole pairs of blocks: a block and its mirror image.
        let step = ((most - blocks).div_ceil(LOOKS - 1)).next_multiple_of(2);
        let mut looks = vec![blocks];
        while looks.last().is_some_and(|last| *last < most) {
            looks.push((looks[looks.len() - 1] + step).min(most));
        }
        looks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn smallest_differences_as_people_write_them() {
        assert_eq!("2 %".parse(), Ok(Least::Percent(2.0)));
        assert_eq!("0.5%".parse(), Ok(Least::Percent(0.5)));
        assert_eq!("5 us".parse(), Ok(Least::Time(Span::from_nanos(5000))));
        assert_eq!("ignored".parse(), Ok(Least::Ignored));
        for wrong in ["", "5", "-1 %", "nan %", "5 furlongs"] {
            assert!(wrong.parse::<Least>().is_err(), "{wrong}");
        }
    }

    fn up_to(to: u32) -> Judge {
        Judge {
            extend: Some(Extend {
                to,
                within: Span::from_secs(60),
            }),
            ..Judge::default()
        }
    }

    #[test]
    fn looks_are_few_and_known_before() {
        assert_eq!(Judge::default().looks(8), [8]);
        assert_eq!(up_to(24).looks(8), [8, 14, 20, 24]);
        assert_eq!(up_to(9).looks(8), [8, 9]);
        assert_eq!(up_to(3).looks(8), [8]);
    }

    proptest! {
        #[test]
        fn looks_end_at_the_most(blocks in 1_u32..50, to in 1_u32..200) {
            let looks = up_to(to).looks(blocks);
            prop_assert!(looks.len() <= 4);
            prop_assert_eq!(looks.last().copied(), Some(to.max(blocks)));
            prop_assert!(looks.windows(2).all(|w| w[0] < w[1]));
        }
    }
}
