//! The virtual lab with its network cable plugged in. Packets come from the controller, whose clock has nothing to do with
//! the lab's virtual time.

use std::path::{Path, PathBuf};

use vifbench_provisioning::lab::VirtualLab;
use vifbench_scenarios::lab::{HostSpec, Lab};
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_store::ModuleProof;
use vifbench_wait::Cancel;

use super::lab_machine::{LabMachine, MadeFor, PROBE_FOLDER};
use super::over_ssh::OverSsh;
use super::{Crash, Place, open_trial};
use crate::error::Failure;
use crate::run::clocks::ClockData;
use crate::run::drivers::Drivers;
use crate::run::hosts::Hosts;
use crate::run::ports::Ports;
use crate::run::saved_state::SavedState;
use crate::run::schedule::Schedule;
use crate::run::trial_hosts::TrialHosts;

/// Open trials in the virtual lab.
pub struct OpenLab {
    machine: LabMachine,
    network: OverSsh,
    /// dom0 and its guests, from [`Place::restore`] to [`Place::prove`].
    hosts: Option<Hosts>,
}

impl OpenLab {
    pub fn new(lab: Lab, virtual_lab: VirtualLab, trial: Cancel) -> Self {
        Self {
            network: OverSsh::new(lab.clone(), trial.clone()),
            machine: LabMachine::new(lab, virtual_lab, trial),
            hosts: None,
        }
    }
}

impl Place for OpenLab {
    fn lab(&self) -> &Lab {
        self.machine.lab()
    }

    /// Nobody else reaches the virtual lab: its name is held already.
    fn hold(&mut self, _plan: &Plan, _progress: &dyn Progress) -> Result<(), Failure> {
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.machine.begin()
    }

    fn crash(&self) -> Option<Crash> {
        self.machine.crash()
    }

    fn end_stuck(&self) -> Result<Vec<String>, Failure> {
        self.machine.end_stuck()
    }

    fn kernel(&mut self) -> Result<String, Failure> {
        self.machine.kernel()
    }

    fn restore(
        &mut self,
        drivers: &Drivers<'_>,
        plan: &TrialPlan,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        // Undo stacks are open in one place at a time.
        self.hosts = None;
        let state = MadeFor::Open.state(drivers, plan.layout);
        let load = |machine: &LabMachine| Ok(machine.virtual_lab().restore(&state.tag)?);
        self.machine.load_live(drivers, &state, load, progress)?;
        let folder = Path::new(PROBE_FOLDER);
        let mut hosts = self.network.hosts()?;
        let saved = SavedState::fetch(hosts.dom0(), folder)?;
        hosts.record_undo(saved.boots, folder)?;
        hosts.set(&drivers.settings)?;
        self.hosts = Some(hosts);
        Ok(())
    }

    fn prove(&mut self, drivers: &Drivers<'_>) -> Result<Vec<ModuleProof>, Failure> {
        let hosts = self.hosts.take();
        let mut hosts = hosts.ok_or_else(|| {
            Failure::Internal("modules were to be proved before a state was loaded".to_owned())
        })?;
        hosts.prove(&drivers.pair)
    }

    fn trial_hosts(&self, plan: &TrialPlan) -> Result<TrialHosts, Failure> {
        // Several virtual labs run on the controller at a time.
        let sender = PathBuf::from(format!("/tmp/vifbench-{}", self.lab().name));
        self.network
            .trial_hosts(plan, Path::new(PROBE_FOLDER), sender)
    }

    fn ingress(&self, _: &Ports, _: &HostSpec, dom0: &HostSpec) -> Result<String, Failure> {
        Ok(dom0.interface.clone())
    }

    fn arm(
        &self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        _before: &[ClockData],
        _attempt: u32,
    ) -> Result<Schedule, Failure> {
        open_trial::arm_receivers_first(hosts, plan, self.network.trial())
    }

    fn run(
        &mut self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        _schedule: &Schedule,
    ) -> Result<(), Failure> {
        open_trial::wait_out(plan, self.network.trial())?;
        open_trial::end_receivers(hosts, plan)
    }

    fn await_results(&self, hosts: &mut TrialHosts, plan: &TrialPlan) -> Result<(), Failure> {
        open_trial::await_results(hosts, plan, self.network.trial())
    }

    fn shares_time(&self, host: &HostSpec) -> bool {
        host.on.is_some()
    }

    fn put_back(self: Box<Self>, keep: bool, progress: &dyn Progress) -> Result<(), Failure> {
        let Self { machine, hosts, .. } = *self;
        drop(hosts);
        machine.put_back(keep, progress)
    }
}
