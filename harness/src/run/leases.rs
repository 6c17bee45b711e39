//! Hosts that others can reach are leased for the run, by a file on each that expires.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vifbench_provisioning::enrol;
use vifbench_provisioning::lease::{HostLease, Terms};
use vifbench_provisioning::ssh::SshHost;
use vifbench_scenarios::lab::{HostSpec, Lab};
use vifbench_scenarios::plan::Plan;
use vifbench_scenarios::progress::Progress;

use super::deadlines::STEP;
use super::machine_kind::MachineKind;
use crate::error::Failure;

/// The time for what comes before and after a trial: the swap, clocks, fetching, and what may go wrong with them.
const AROUND: Duration = Duration::from_secs(1800);

/// The leases of a run.
pub struct Leases {
    held: Vec<(HostSpec, HostLease)>,
}

impl Leases {
    /// No lease.
    pub fn none() -> Self {
        Self { held: Vec::new() }
    }

    /// Whether no host is leased.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Leases every host of the lab that is the enrolled one. On any other host nothing is written.
    pub fn take(
        lab: &Lab,
        kind: MachineKind,
        plan: &Plan,
        connect: impl Fn(&HostSpec) -> Result<SshHost, Failure>,
        progress: &dyn Progress,
    ) -> Result<Self, Failure> {
        let terms = Terms {
            expiry: match kind {
                MachineKind::Real => Some(expiry(plan)),
                // Idle hours of virtual time pass in seconds.
                MachineKind::Emulated => None,
            },
            take_over: false,
        };
        let owner = owner(lab)?;
        let mut leases = Self::none();
        for spec in &lab.hosts {
            let taken = connect(spec).and_then(|mut host| {
                enrol::verify(&mut host, spec, STEP)?;
                Ok(HostLease::take(&mut host, &owner, terms, STEP)?)
            });
            match taken {
                Ok((lease, note)) => {
                    if let Some(note) = note {
                        progress.note(&format!("{}: {note}", spec.name));
                    }
                    leases.held.push((spec.clone(), lease));
                }
                Err(failure) => {
                    leases.release(connect, progress);
                    return Err(failure);
                }
            }
        }
        Ok(leases)
    }

    /// Extends every lease, before a trial and never within it.
    pub fn renew(
        &self,
        connect: impl Fn(&HostSpec) -> Result<SshHost, Failure>,
    ) -> Result<(), Failure> {
        for (spec, lease) in &self.held {
            lease.renew(&mut connect(spec)?, STEP)?;
        }
        Ok(())
    }

    /// Gives every lease back. The lease of a host that does not answer expires, so that is only a note.
    pub fn release(
        self,
        connect: impl Fn(&HostSpec) -> Result<SshHost, Failure>,
        progress: &dyn Progress,
    ) {
        for (spec, lease) in self.held {
            let released = connect(&spec).and_then(|mut host| Ok(lease.release(&mut host, STEP)?));
            if let Err(failure) = released {
                progress.note(&format!(
                    "{}: the lease was not given back and will expire: {failure}",
                    spec.name
                ));
            }
        }
    }
}

/// Longer than any trial of the plan can take.
fn expiry(plan: &Plan) -> Duration {
    let longest = plan
        .trials
        .iter()
        .map(|trial| trial.warmup.duration() + trial.duration.duration())
        .max()
        .unwrap_or_default();
    AROUND + 2 * longest
}

/// The name of the holder, the same for every run of this lab from this controller.
fn owner(lab: &Lab) -> Result<String, Failure> {
    let path = Path::new("/proc/sys/kernel/hostname");
    let name = fs::read_to_string(path).map_err(|source| Failure::Io {
        doing: "read this machine's name from",
        path: path.to_owned(),
        source,
    })?;
    Ok(format!(
        "vifbench on {} for the lab {}",
        name.trim(),
        lab.name
    ))
}
