//! A command's use of a virtual lab that stands by: its machine runs for as long as that lasts, and is paused afterwards.

use vifbench_provisioning::lab::{InUse, VirtualLab};
use vifbench_provisioning::lease::{LabLock, LeaseError};
use vifbench_provisioning::state;
use vifbench_scenarios::lab::Lab;

use crate::error::Failure;

/// The machine of a lab runs while this lives.
pub struct Awake {
    lab: VirtualLab,
    /// None beside an open run, which has the machine and keeps it running.
    used: Option<InUse>,
}

impl Awake {
    /// Lets the machine run. Beside an open trial of a run nothing is changed.
    ///
    /// # Errors
    /// [`LeaseError::InUse`] when a run has the lab and nothing reaches its machines.
    pub fn new(lab: VirtualLab, doing: &str) -> Result<Self, Failure> {
        let used = match LabLock::take(&state::folder()?, &lab.lab().name, doing) {
            Ok(_lock) => Some(lab.wake()?),
            Err(LeaseError::InUse { .. }) if lab.is_reachable()? => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { lab, used })
    }

    /// The same for the lab of a file, if it is a virtual lab that stands here.
    ///
    /// # Errors
    /// As [`Awake::new`].
    pub fn of_file(lab: &Lab, doing: &str) -> Result<Option<Self>, Failure> {
        let standing = standing(lab)?;
        standing.map(|lab| Self::new(lab, doing)).transpose()
    }

    /// The same for the lab whose network is in this namespace, if it is a virtual lab that stands here.
    ///
    /// # Errors
    /// As [`Awake::new`].
    pub fn of_netns(netns: &str, doing: &str) -> Result<Option<Self>, Failure> {
        let Some(name) = VirtualLab::name_of(netns) else {
            return Ok(None);
        };
        let standing = VirtualLab::attach(name)?;
        standing.map(|lab| Self::new(lab, doing)).transpose()
    }

    /// The lab.
    pub fn lab(&self) -> &VirtualLab {
        &self.lab
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        if self.used.take().is_none() {
            return;
        }
        if let Err(failure) = pause(&self.lab) {
            tracing::warn!(
                "the lab {} could not be paused, and keeps a processor busy: {failure}",
                self.lab.lab().name
            );
        }
    }
}

fn pause(lab: &VirtualLab) -> Result<(), Failure> {
    match LabLock::take(&state::folder()?, &lab.lab().name, "pausing the lab") {
        Ok(_lock) => Ok(lab.rest().map(drop)?),
        // A run has it now, and pauses it when it ends.
        Err(LeaseError::InUse { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The virtual lab that stands here and that a lab file describes; none of a lab of real machines, or of another controller.
///
/// # Errors
/// When what is left of a lab of that name cannot be read.
pub fn standing(lab: &Lab) -> Result<Option<VirtualLab>, Failure> {
    if !lab.is_virtual || VirtualLab::outline(&lab.name).is_err() {
        return Ok(None);
    }
    Ok(VirtualLab::attach(&lab.name)?)
}

/// That a lab stands by, for a person.
pub fn stands_by(lab: &str, paused: bool) -> String {
    if paused {
        format!(
            "the lab {lab} stays up, paused, so that it takes no processor; a command that needs it wakes it, and `vifbench lab down` ends it"
        )
    } else {
        format!("the lab {lab} stays up and keeps a processor busy; `vifbench lab down` ends it")
    }
}
