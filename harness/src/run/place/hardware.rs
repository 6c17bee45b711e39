//! The hosts of a lab file, reached over SSH. Others can reach them too, so they are leased for the run, and everything that
//! is changed on them is undone.

use std::path::PathBuf;

use vifbench_provisioning::host::HostExt as _;
use vifbench_scenarios::lab::{HostSpec, Lab};
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_store::ModuleProof;
use vifbench_wait::Cancel;

use super::over_ssh::{self, OverSsh};
use super::{Place, open_trial, reset};
use crate::error::Failure;
use crate::run::clocks::ClockData;
use crate::run::deadlines::STEP;
use crate::run::drivers::Drivers;
use crate::run::hosts::Hosts;
use crate::run::leases::Leases;
use crate::run::machine_kind::MachineKind;
use crate::run::ports::Ports;
use crate::run::schedule::Schedule;
use crate::run::trial_hosts::TrialHosts;

/// Open trials on the hosts of a lab file.
pub struct Hardware {
    network: OverSsh,
    probe_folder: PathBuf,
    leases: Leases,
    /// dom0 and its guests, once they are held.
    hosts: Option<Hosts>,
}

impl Hardware {
    /// `run` names the folder that the probe has on every host.
    pub fn new(lab: Lab, trial: Cancel, run: &str) -> Self {
        Self {
            network: OverSsh::new(lab, trial),
            probe_folder: PathBuf::from(format!("/tmp/vifbench-{run}")),
            leases: Leases::none(),
            hosts: None,
        }
    }

    fn hosts(&mut self) -> Result<&mut Hosts, Failure> {
        self.hosts
            .as_mut()
            .ok_or_else(|| Failure::Internal("a trial began before its hosts were held".to_owned()))
    }
}

impl Place for Hardware {
    fn lab(&self) -> &Lab {
        self.network.lab()
    }

    fn hold(&mut self, plan: &Plan, progress: &dyn Progress) -> Result<(), Failure> {
        let connect = |spec: &HostSpec| self.network.connect(spec);
        self.leases = Leases::take(self.lab(), self.kind(), plan, connect, progress)?;
        // Undo stacks are open in one place at a time.
        self.hosts = None;
        self.hosts = Some(self.network.hosts()?);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Failure> {
        reset(self.network.trial())?;
        self.leases.renew(|spec| self.network.connect(spec))
    }

    /// The kernel that dom0 runs, if the hosts are the enrolled ones.
    fn kernel(&mut self) -> Result<String, Failure> {
        let hosts = self.hosts()?;
        hosts.verify()?;
        Ok(hosts.dom0().check("uname -r", STEP)?.text())
    }

    fn restore(
        &mut self,
        drivers: &Drivers<'_>,
        _plan: &TrialPlan,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let folder = self.probe_folder.clone();
        let hosts = self.hosts()?;
        hosts.swap(&drivers.pair, &folder, progress)?;
        hosts.set(&drivers.settings)
    }

    fn prove(&mut self, drivers: &Drivers<'_>) -> Result<Vec<ModuleProof>, Failure> {
        self.hosts()?.prove(&drivers.pair)
    }

    fn trial_hosts(&self, plan: &TrialPlan) -> Result<TrialHosts, Failure> {
        let folder = &self.probe_folder;
        self.network.trial_hosts(plan, folder, folder.clone())
    }

    fn ingress(&self, _: &Ports, _: &HostSpec, dom0: &HostSpec) -> Result<String, Failure> {
        Ok(dom0.interface.clone())
    }

    fn arm(
        &self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        before: &[ClockData],
        _attempt: u32,
    ) -> Result<Schedule, Failure> {
        match self.kind() {
            MachineKind::Real => open_trial::arm_together(hosts, plan, before),
            MachineKind::Emulated => {
                open_trial::arm_receivers_first(hosts, plan, self.network.trial())
            }
        }
    }

    fn run(
        &mut self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        _schedule: &Schedule,
    ) -> Result<(), Failure> {
        open_trial::wait_out(plan, self.network.trial())?;
        match self.kind() {
            MachineKind::Real => Ok(()),
            MachineKind::Emulated => open_trial::end_receivers(hosts, plan),
        }
    }

    fn await_results(&self, hosts: &mut TrialHosts, plan: &TrialPlan) -> Result<(), Failure> {
        open_trial::await_results(hosts, plan, self.network.trial())
    }

    fn shares_time(&self, host: &HostSpec) -> bool {
        match self.kind() {
            MachineKind::Real => true,
            MachineKind::Emulated => host.on.is_some(),
        }
    }

    fn put_back(self: Box<Self>, _keep: bool, progress: &dyn Progress) -> Result<(), Failure> {
        let Self {
            network,
            leases,
            hosts,
            ..
        } = *self;
        drop(hosts);
        if leases.is_empty() {
            // The hosts are in use by somebody else, or could not be reached: nothing was changed.
            return Ok(());
        }
        // Ctrl-C must not keep things from being put right: these connections do not carry the token.
        let lab = network.lab();
        let connect = |spec: &HostSpec| Ok(over_ssh::connect(lab, spec, None)?);
        let undone = Hosts::open(lab, |spec| Ok(Box::new(connect(spec)?)))
            .and_then(|mut hosts| hosts.undo(progress));
        leases.release(connect, progress);
        undone.map(drop)
    }
}
