//! A night: which runs, in which order, and until when.
//!
//! ```yaml
//! night: nightly
//! deadline: 8 h                  # nothing is begun that would not end before; what did not fit is said
//! keep: {room: 50 GiB}           # of all results; captures of the oldest runs go first
//! runs:
//!   - {scenario: small-packets, lab: bench.yaml, priority: 1, at_most: 90 min}
//!   - {scenario: two-guests, at_most: 60 min}
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

/// A night file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Night {
    /// Its name in summaries.
    pub night: String,
    /// How long the night may last.
    pub deadline: Span,
    /// How much room results may take; no limit without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// What is run.
    pub runs: Vec<NightRun>,
}

/// What is kept of old runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Room for everything in the folder of runs.
    pub room: Size,
}

/// One run of a night.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NightRun {
    /// Library name or file.
    pub scenario: String,
    /// Lab file; the virtual lab without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<PathBuf>,
    /// Lower ones run first; equals in the order of the file.
    #[serde(default = "default_priority")]
    pub priority: u32,
    /// It is ended after this long, and not begun with less than this left.
    pub at_most: Span,
    /// Blocks instead of the scenario's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<u32>,
    /// Seed of the plan; by the day without it, so that each night has its own packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How often it is tried again when the lab fails it.
    #[serde(default = "default_retries")]
    pub retries: u32,
}

fn default_priority() -> u32 {
    10
}

fn default_retries() -> u32 {
    1
}

impl Night {
    /// Indices of the runs in the order in which they are begun.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by_key(|i| self.runs[*i].priority);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
night: n
deadline: 2 h
keep: {room: 1 GiB}
runs:
  - {scenario: quickstart, at_most: 30 min}
  - {scenario: ipv6, at_most: 30 min, priority: 1, retries: 0}
";

    #[test]
    fn lower_priorities_come_first() {
        let night = Night::parse(GOOD, "n.yaml").expect("good");
        assert_eq!(night.order(), [1, 0]);
        assert_eq!(night.runs[0].retries, 1);
    }

    #[test]
    fn faults_are_told() {
        for (from, to, word) in [
            ("night: n", "night: a/b", "name"),
            ("deadline: 2 h", "deadline: 0 s", "deadline"),
            ("at_most: 30 min}", "at_most: 3 h}", "longer than the night"),
            ("retries: 0", "retires: 0", "did you mean `retries`"),
            (
                "  - {scenario: quickstart, at_most: 30 min}\n  - {scenario: ipv6, at_most: 30 min, priority: 1, retries: 0}\n",
                "  []\n",
                "no runs",
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let error = Night::parse(&text, "n.yaml").expect_err(to).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
