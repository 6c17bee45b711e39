//! Acknowledgement files.

use crate::acknowledged::{Acknowledgements, is_day, unknown_metric};
use crate::file::{Faults, FileError};
use crate::yaml::Step;

/// Notes all faults.
pub(crate) fn check(of: &Acknowledgements, text: &str, origin: &str) -> Result<(), FileError> {
    let mut faults = Faults::new(text, origin);
    for (index, entry) in of.acknowledged.iter().enumerate() {
        let at = |key: &str| -> [Step; 3] { ["acknowledged".into(), index.into(), key.into()] };
        if let Some((what, mend)) = unknown_metric(&entry.metric) {
            faults.add(&at("metric"), what, mend);
        }
        if entry.reason.trim().is_empty() {
            faults.add(
                &at("reason"),
                "the reason is empty",
                "say why the regression is accepted: it stands in every report",
            );
        }
        if !is_day(&entry.expires) {
            faults.add(
                &at("expires"),
                format!("`{}` is no day", entry.expires),
                "write the last day on which it counts, as in `2027-03-01`",
            );
        }
    }
    faults.into_result()
}
