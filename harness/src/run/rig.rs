//! What a run has for all of its trials.

use std::path::Path;

use vifbench_provisioning::lab::VirtualLab;
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;
use vifbench_wait::Cancel;

use super::place::{self, Place};
use super::repeat::Repeat;
use crate::error::Failure;

/// The place where trials run, and how they are interrupted and repeated.
pub struct Rig {
    place: Box<dyn Place>,
    /// Ctrl-C.
    cancel: Cancel,
    repeat: Repeat,
}

impl Rig {
    /// The rig of one run, whose trials are of this mode. `virtual_lab` is the lab that `lab` describes, if vifbench runs it.
    ///
    /// # Errors
    /// When sealed trials are to run on the hosts of a lab file.
    pub fn new(
        lab: Lab,
        virtual_lab: Option<VirtualLab>,
        mode: Mode,
        cancel: Cancel,
        run: &str,
        repeat: Repeat,
    ) -> Result<Self, Failure> {
        // Ctrl-C, or a crash of a host in the trial.
        let trial = cancel
            .child()
            .map_err(Failure::io("use an event of", Path::new("eventfd")))?;
        Ok(Self {
            place: place::choose(lab, virtual_lab, mode, trial, run)?,
            cancel,
            repeat,
        })
    }

    /// The place where trials run.
    pub fn place(&self) -> &dyn Place {
        self.place.as_ref()
    }

    /// The place where trials run, to change it.
    pub fn place_mut(&mut self) -> &mut dyn Place {
        self.place.as_mut()
    }

    /// The token that ends everything but a trial: Ctrl-C.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Whether the user interrupted the run.
    pub fn interrupted(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// How often sealed trials run.
    pub fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// Counts the instructions of every trial from now on.
    ///
    /// # Errors
    /// When the trials are not sealed, or the counting plugin is missing.
    pub fn count_instructions(&mut self) -> Result<(), Failure> {
        self.place.count_instructions()
    }

    /// Puts the lab back as it was before the run. A virtual lab is taken down unless `keep` is set.
    pub fn restore(self, keep: bool, progress: &dyn Progress) -> Result<(), Failure> {
        self.place.put_back(keep, progress)
    }
}
