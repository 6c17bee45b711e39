//! Reading and checking night files.

use std::path::Path;

use crate::file::{self, Faults, FileError, PLAIN_NAME, is_plain_name};
use crate::night::Night;
use crate::units::Span;
use crate::yaml::Step;

impl Night {
    /// Reads and checks a night file. `~/` in its paths is the user's home.
    ///
    /// # Errors
    /// When the file cannot be read or has faults; all that can be found at once are in the error.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let text = file::text_of("night", path)?;
        let origin = path.display().to_string();
        let mut night = Self::parse(&text, &origin)?;
        let mut faults = Faults::new(&text, &origin);
        for (index, run) in night.runs.iter_mut().enumerate() {
            let mut at_home = |key: &str, path: &Path| {
                faults.at_home(&["runs".into(), index.into(), key.into()], path)
            };
            if let Some(lab) = &mut run.lab {
                *lab = at_home("lab", lab);
            }
            if let Some(scenario) = at_home("scenario", Path::new(&run.scenario)).to_str() {
                scenario.clone_into(&mut run.scenario);
            }
        }
        faults.into_result()?;
        Ok(night)
    }

    /// Reads and checks the text of a night file; `origin` stands for its name in messages.
    ///
    /// # Errors
    /// See [`Night::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, FileError> {
        let night: Self = file::read(text, origin, |_, _| None)?;
        check(&night, text, origin)?;
        Ok(night)
    }
}

/// Notes all faults.
fn check(night: &Night, text: &str, origin: &str) -> Result<(), FileError> {
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
