//! Night files.

use crate::file::{Faults, FileError, PLAIN_NAME, is_plain_name};
use crate::night::Night;
use crate::units::Span;
use crate::yaml::Step;

/// Notes all faults.
pub(crate) fn check(night: &Night, text: &str, origin: &str) -> Result<(), FileError> {
    let mut faults = Faults::new(text, origin);
    if !is_plain_name(&night.night) {
        faults.add(
            &["night".into()],
            format!("`{}` cannot be a night's name", night.night),
            PLAIN_NAME,
        );
    }
    if night.deadline == Span::default() {
        faults.add(
            &["deadline".into()],
            "a deadline of nothing leaves no night",
            "give the time that the night may take, as in `8 h`",
        );
    }
    if night.runs.is_empty() {
        faults.add(
            &["runs".into()],
            "there are no runs",
            "add at least one, as in `- {scenario: quickstart, at_most: 30 min}`",
        );
    }
    for (index, run) in night.runs.iter().enumerate() {
        let at = |key: &str| -> [Step; 3] { ["runs".into(), index.into(), key.into()] };
        if run.at_most > night.deadline {
            faults.add(
                &at("at_most"),
                format!(
                    "{} is longer than the night of {}",
                    run.at_most, night.deadline
                ),
                "lower it, or move the deadline",
            );
        }
        if run.blocks == Some(0) {
            faults.add(
                &at("blocks"),
                "with 0 blocks nothing would run",
                "ask for at least 1 block, or remove it",
            );
        }
    }
    faults.into_result()
}
