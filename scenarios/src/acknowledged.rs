//! Regressions that people know of: an acknowledgement file.
//!
//! ```yaml
//! acknowledged:
//!   - metric: dom0_cpu_per_packet
//!     variant: shadow            # any variant without it; likewise scenario, rate and to
//!     up_to: 10 %                # a larger regression still fails
//!     reason: the counters cost this, accepted in review
//!     expires: 2027-03-01        # the last day on which it counts
//! ```

use serde::{Deserialize, Serialize};

use crate::file;
use crate::judge::{Least, METRICS};
use crate::units::Rate;

/// The file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgements {
    /// One entry a known regression.
    pub acknowledged: Vec<Acknowledgement>,
}

/// One known regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// The number that is worse.
    pub metric: String,
    /// Only of this variant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Only in this scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Only at this point of the sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Only to this guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Only up to this much: in percent of the base, or a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<Least>,
    /// Why it is accepted, for who reads the report.
    pub reason: String,
    /// The last day on which it counts, as `2027-03-01`.
    pub expires: String,
}

/// Whether a text is a day as `2027-03-01`: two of them then compare as days do.
pub fn is_day(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut number = |digits: usize, from: u32, to: u32| {
        parts.next().is_some_and(|part| {
            part.len() == digits
                && part.bytes().all(|b| b.is_ascii_digit())
                && part.parse().is_ok_and(|n: u32| (from..=to).contains(&n))
        })
    };
    number(4, 1970, 9999) && number(2, 1, 12) && number(2, 1, 31) && parts.next().is_none()
}

/// A metric's name, or what to say of a name that is none.
pub(crate) fn unknown_metric(name: &str) -> Option<(String, String)> {
    if METRICS.contains(&name) {
        return None;
    }
    let known: Vec<String> = METRICS.iter().map(|m| (*m).to_owned()).collect();
    Some((
        format!("`{name}` is no metric that is compared"),
        file::suggestion(name, &known, "metrics"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_needs_a_reason_and_a_day() {
        let good = "acknowledged:\n  - {metric: lost, reason: known, expires: 2027-03-01}\n";
        let read = Acknowledgements::parse(good, "a.yaml").expect("good");
        assert_eq!(read.acknowledged.len(), 1);
        for (bad, word) in [
            (
                "acknowledged:\n  - {metric: lots, reason: known, expires: 2027-03-01}",
                "did you mean `lost`",
            ),
            (
                "acknowledged:\n  - {metric: lost, reason: ' ', expires: 2027-03-01}",
                "reason",
            ),
            (
                "acknowledged:\n  - {metric: lost, reason: known, expires: soon}",
                "2027-03-01",
            ),
            (
                "acknowledged:\n  - {metric: lost, expires: 2027-03-01}",
                "`reason` is missing",
            ),
        ] {
            let error = Acknowledgements::parse(bad, "a.yaml")
                .expect_err(bad)
                .to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn days() {
        for good in ["2027-03-01", "1999-12-31"] {
            assert!(is_day(good), "{good}");
        }
        for bad in [
            "",
            "2027-3-1",
            "2027-13-01",
            "2027-03-32",
            "2027-03-01T",
            "2027-03-01-",
            "+027-03-01",
        ] {
            assert!(!is_day(bad), "{bad}");
        }
    }
}
