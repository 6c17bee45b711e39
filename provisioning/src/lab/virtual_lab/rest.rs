//! A lab that stands by takes no processor: its machine is paused while no command uses it.
//!
//! A machine whose cable is plugged in skips idle time without end, which keeps a processor busy. Commands that use a
//! standing machine over its network count as users, by a shared lock that goes with their process; the last one pauses the
//! machine again.

use std::fs::{File, TryLockError};

use super::super::{LabError, files};
use super::VirtualLab;

/// A command's use of a standing machine, which ends with this value.
#[derive(Debug)]
pub struct InUse {
    _users: File,
}

impl VirtualLab {
    /// Lets the machine run for a command that reaches it over its network. To be called by the holder of the lab's lock
    /// ([`crate::lease::LabLock`]), so that no run has the machine.
    ///
    /// # Errors
    /// [`LabError::Sealed`] when a run was cut short and left the machine without its cable.
    pub fn wake(&self) -> Result<InUse, LabError> {
        let users = self.users()?;
        let path = self.folder.join("users");
        users.lock_shared().map_err(files::failed("lock", &path))?;
        if self.record()?.sealed {
            return Err(LabError::Sealed {
                lab: self.name.clone(),
            });
        }
        if !self.machine.is_running()? {
            self.machine.resume()?;
        }
        self.change(|record| record.paused = false)?;
        Ok(InUse { _users: users })
    }

    /// Pauses the machine unless a command uses it, or it was brought up to run on. To be called by the holder of the lab's
    /// lock. Returns whether it is paused now.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn rest(&self) -> Result<bool, LabError> {
        if self.machine.pid().is_none() || self.record()?.awake {
            return Ok(false);
        }
        let users = self.users()?;
        match users.try_lock() {
            Ok(()) => {
                self.change(|record| record.paused = true)?;
                self.machine.pause()?;
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => {
                Err(files::failed("lock", &self.folder.join("users"))(error))
            }
        }
    }

    /// Does its machine run with its cable plugged in, so that it is reached over its network?
    pub fn is_reachable(&self) -> Result<bool, LabError> {
        let record = self.record()?;
        Ok(!record.sealed && !record.paused)
    }

    fn users(&self) -> Result<File, LabError> {
        let path = self.folder.join("users");
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(files::failed("open", &path))
    }
}
