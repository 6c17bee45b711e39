//! Where trials run. The rest of a run does the same everywhere; whatever differs is a method of [`Place`].
//!
//! [`Hardware`] is the hosts of a lab file, reached over SSH. [`OpenLab`] is the virtual lab with its network cable plugged
//! in: packets come from the controller. [`SealedLab`] is the virtual lab that nothing reaches from outside but requests,
//! which it takes while its time stands still.

mod agent;
mod hardware;
mod lab_machine;
mod open_lab;
mod open_trial;
mod over_ssh;
mod sealed_lab;

use std::path::Path;

use vifbench_provisioning::lab::VirtualLab;
use vifbench_scenarios::lab::{HostName, HostSpec, Lab};
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;
use vifbench_store::ModuleProof;
use vifbench_wait::Cancel;

use super::clocks::ClockData;
use super::drivers::Drivers;
use super::machine_kind::MachineKind;
use super::ports::Ports;
use super::schedule::Schedule;
use super::trial_hosts::{TrialHost, TrialHosts};
use crate::error::Failure;
use hardware::Hardware;
use open_lab::OpenLab;
use sealed_lab::SealedLab;

/// What the consoles show of a crash.
pub struct Crash {
    /// Which host crashed, and the line that shows it.
    pub reason: String,
    /// The last lines of its console.
    pub console: Vec<String>,
}

/// A place where trials run. The methods are in the order in which a run calls them.
pub trait Place {
    /// The lab file.
    fn lab(&self) -> &Lab;

    /// What its machines are.
    fn kind(&self) -> MachineKind {
        MachineKind::of(self.lab())
    }

    /// Holds the hosts for the run, where others can reach them.
    fn hold(&mut self, plan: &Plan, progress: &dyn Progress) -> Result<(), Failure>;

    /// Counts the instructions of every trial from now on.
    fn count_instructions(&mut self) -> Result<(), Failure> {
        Err(Failure::Usage(
            "instructions can be counted only in sealed trials, which the virtual lab runs: choose a scenario with `mode: sealed`, without --lab"
                .to_owned(),
        ))
    }

    /// Whether the instructions of trials are counted.
    fn counts_instructions(&self) -> bool {
        false
    }

    /// What names the machine by content, where the results of a trial follow from the machine, the drivers and the plan.
    fn machine_id(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Begins an attempt at a trial: waits are no longer cut short by an earlier crash.
    fn begin(&mut self) -> Result<(), Failure>;

    /// The crash of a host since [`Self::begin`], where consoles show it.
    fn crash(&self) -> Option<Crash> {
        None
    }

    /// Ends a machine that gives no sign any more, and returns the last lines of its console; nothing where no machine is
    /// vifbench's own.
    fn end_stuck(&self) -> Result<Vec<String>, Failure> {
        Ok(Vec::new())
    }

    /// The kernel release for which modules are built.
    fn kernel(&mut self) -> Result<String, Failure>;

    /// Brings the hosts to the beginning of a trial: the drivers are freshly loaded and have their parameters.
    fn restore(
        &mut self,
        drivers: &Drivers<'_>,
        plan: &TrialPlan,
        progress: &dyn Progress,
    ) -> Result<(), Failure>;

    /// Proves which modules [`Self::restore`] made live.
    fn prove(&mut self, drivers: &Drivers<'_>) -> Result<Vec<ModuleProof>, Failure>;

    /// The hosts of a trial with the way to reach them.
    fn trial_hosts(&self, plan: &TrialPlan) -> Result<TrialHosts, Failure>;

    /// The number by which the probes know the trial.
    fn trial_number(&self, plan: &TrialPlan) -> u32 {
        plan.number
    }

    /// Where packets pass in dom0 on their way to these guests.
    fn ports(&self, dom0: &mut TrialHost, guests: &[HostName]) -> Result<Ports, Failure> {
        let interface = dom0.spec.reference_interface().to_owned();
        Ports::query(dom0.host.as_mut(), &interface, guests)
    }

    /// The interface by which packets of the generator enter dom0.
    fn ingress(
        &self,
        ports: &Ports,
        generator: &HostSpec,
        dom0: &HostSpec,
    ) -> Result<String, Failure>;

    /// Tells every probe when the trial begins and ends, in its own clock. `before` is what the clocks showed just now, in the
    /// hosts' order; `attempt` counts from 1.
    fn arm(
        &self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        before: &[ClockData],
        attempt: u32,
    ) -> Result<Schedule, Failure>;

    /// Lets the armed trial run to its end.
    fn run(
        &mut self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        schedule: &Schedule,
    ) -> Result<(), Failure>;

    /// Waits until every probe has stored its results.
    fn await_results(&self, hosts: &mut TrialHosts, plan: &TrialPlan) -> Result<(), Failure>;

    /// Ends the probes, whose results are here.
    fn end_probes(&self, hosts: &mut TrialHosts) -> Result<(), Failure> {
        hosts.each(TrialHost::end_probe).map(drop)
    }

    /// Whether the clock of a host can be compared with dom0's.
    fn shares_time(&self, host: &HostSpec) -> bool;

    /// Writes into `part` what this place records of a trial besides the results of the probes. `packets` is how many were
    /// sent.
    fn write_own_records(
        &mut self,
        _hosts: &mut TrialHosts,
        _packets: u64,
        _part: &Path,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// Puts the hosts back as they were before the run. A virtual lab is taken down unless `keep` is set.
    fn put_back(self: Box<Self>, keep: bool, progress: &dyn Progress) -> Result<(), Failure>;
}

/// Makes the token of a trial whole again, for the next trial.
fn reset(trial: &Cancel) -> Result<(), Failure> {
    trial
        .reset()
        .map_err(Failure::io("use an event of", Path::new("eventfd")))
}

/// The place for trials of this mode. `virtual_lab` is the lab that `lab` describes, if vifbench runs it; `trial` ends every
/// wait of a trial; `run` names the run.
///
/// # Errors
/// When sealed trials are to run on the hosts of a lab file, which `vifbench run` refuses before.
pub fn choose(
    lab: Lab,
    virtual_lab: Option<VirtualLab>,
    mode: Mode,
    trial: Cancel,
    run: &str,
) -> Result<Box<dyn Place>, Failure> {
    Ok(match (virtual_lab, mode) {
        (Some(virtual_lab), Mode::Sealed) => Box::new(SealedLab::new(lab, virtual_lab, trial)),
        (Some(virtual_lab), Mode::Open) => Box::new(OpenLab::new(lab, virtual_lab, trial)),
        (None, Mode::Open) => Box::new(Hardware::new(lab, trial, run)),
        (None, Mode::Sealed) => {
            return Err(Failure::Internal(format!(
                "sealed trials were to run on the hosts of the lab file of {}",
                lab.name
            )));
        }
    })
}
