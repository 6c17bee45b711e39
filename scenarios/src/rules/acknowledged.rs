//! Reading and checking acknowledgement files.

use std::path::Path;

use crate::acknowledged::{Acknowledgements, is_day, unknown_metric};
use crate::file::{self, Faults, FileError};
use crate::yaml::Step;

impl Acknowledgements {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When the file cannot be read or has faults; all that can be found at once are in the error.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let text = file::text_of("acknowledgement", path)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads and checks the text of a file; `origin` stands for its name in messages.
    ///
    /// # Errors
    /// See [`Acknowledgements::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, FileError> {
        let read: Self = file::read(text, origin, |_, _| None)?;
        check(&read, text, origin)?;
        Ok(read)
    }
}

/// Notes all faults.
fn check(of: &Acknowledgements, text: &str, origin: &str) -> Result<(), FileError> {
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
