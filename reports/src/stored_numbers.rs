//! Numbers of trials whose captures were removed to save room (`keep` of a night): the run's last report still has them.
//!
//! Only a trial of which every capture is gone is taken from there. Where some are left, or are damaged, something went
//! wrong, and the trial counts as unreadable.

use std::sync::OnceLock;

use vifbench_store::files::{exists, read_json};
use vifbench_store::{RunReader, TrialRecord};

use crate::error::ReportError;
use crate::summary::RunSummary;
use crate::trial_summary::TrialSummary;

/// What a trial's page says of numbers that are not measured again.
const WARNING: &str = "its captures were removed: these are the numbers of an earlier report, and figures of single packets lack it";

/// The summary in a run's last report, read when it is first needed.
pub(crate) struct StoredNumbers<'r> {
    run: &'r RunReader,
    summary: OnceLock<Result<Option<RunSummary>, String>>,
}

impl<'r> StoredNumbers<'r> {
    /// Those of a run. Nothing is read yet.
    pub fn of(run: &'r RunReader) -> Self {
        Self {
            run,
            summary: OnceLock::new(),
        }
    }

    /// The numbers of a trial whose captures are all gone; none where captures are left, or where no report has the trial
    /// as complete.
    ///
    /// # Errors
    /// A result of the trial cannot be read.
    pub fn trial(&self, record: &TrialRecord) -> Result<Option<TrialSummary>, ReportError> {
        if !self.captures_are_gone(record)? {
            return Ok(None);
        }
        let Ok(Some(summary)) = self.summary.get_or_init(|| self.read()) else {
            return Ok(None);
        };
        let number = record.plan.number;
        let found = summary
            .trials
            .iter()
            .find(|t| t.number == number && t.state.is_complete() && t.total.is_some());
        Ok(found.cloned().map(|mut trial| {
            if !trial.warnings.iter().any(|w| w == WARNING) {
                trial.warnings.push(WARNING.to_owned());
            }
            trial
        }))
    }

    /// A damaged summary is as good as none: then the trial stays unreadable, and says which capture is missing.
    fn read(&self) -> Result<Option<RunSummary>, String> {
        let path = self.run.report().join("summary.json");
        if !exists(&path).map_err(|error| error.to_string())? {
            return Ok(None);
        }
        read_json(&path)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    fn captures_are_gone(&self, record: &TrialRecord) -> Result<bool, ReportError> {
        let mut any = false;
        for host in &record.probes {
            let (folder, result) = self.run.read_result(record.plan.number, host)?;
            for capture in &result.captures {
                any = true;
                if exists(&folder.join(&capture.file))? {
                    return Ok(false);
                }
            }
        }
        Ok(any)
    }
}
