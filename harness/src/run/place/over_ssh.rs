//! Hosts that are reached over their network.

use std::path::{Path, PathBuf};

use vifbench_provisioning::host::HostError;
use vifbench_provisioning::local::LocalHost;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_scenarios::lab::{Controller, HostName, HostSpec, Identity, Lab, Role, Sender};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_wait::Cancel;

use crate::error::Failure;
use crate::run::hosts::Hosts;
use crate::run::machine_kind::MachineKind;
use crate::run::trial_hosts::{TrialHost, TrialHosts, dom0_and_receivers};

/// The hosts of a lab, each behind an SSH connection.
pub struct OverSsh {
    lab: Lab,
    /// Ends every wait of a trial.
    trial: Cancel,
}

impl OverSsh {
    pub fn new(lab: Lab, trial: Cancel) -> Self {
        Self { lab, trial }
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The token that ends every wait of a trial.
    pub fn trial(&self) -> &Cancel {
        &self.trial
    }

    /// A connection to a host. Nothing is sent before it is used.
    pub fn connect(&self, spec: &HostSpec) -> Result<SshHost, Failure> {
        Ok(connect(&self.lab, spec, Some(self.trial.clone()))?)
    }

    /// dom0 and its guests.
    pub fn hosts(&self) -> Result<Hosts, Failure> {
        Hosts::open(&self.lab, |spec| Ok(Box::new(self.connect(spec)?)))
    }

    /// The hosts of a trial whose packets come from outside. `folder` is the probe's on the hosts of the lab, and
    /// `sender_folder` on the one that sends.
    pub fn trial_hosts(
        &self,
        plan: &TrialPlan,
        folder: &Path,
        sender_folder: PathBuf,
    ) -> Result<TrialHosts, Failure> {
        let mut hosts = vec![self.sender(plan, sender_folder)?];
        for spec in dom0_and_receivers(&self.lab, plan) {
            let host = Box::new(self.connect(spec)?);
            hosts.push(TrialHost::new(spec.clone(), host, folder.to_owned()));
        }
        TrialHosts::in_parallel(hosts)
    }

    /// The host that sends: a generator of its own, or else the controller.
    fn sender(&self, plan: &TrialPlan, folder: PathBuf) -> Result<TrialHost, Failure> {
        match self.lab.sender(plan.mode) {
            Some(Sender::Host(spec)) => {
                let host = Box::new(self.connect(spec)?);
                Ok(TrialHost::new(spec.clone(), host, folder))
            }
            Some(Sender::Controller(controller)) => {
                let spec = spec_of(controller);
                let mut host = LocalHost::new(spec.name.clone()).with_cancel(self.trial.clone());
                if let Some(netns) = &controller.netns {
                    host = host.in_netns(netns);
                }
                Ok(TrialHost::new(spec, Box::new(host), folder))
            }
            None => Err(Failure::Internal(format!(
                "the lab {} has no sender for this mode, although it was checked for one",
                self.lab.name
            ))),
        }
    }
}

/// A connection to a host of a lab. Only an interruption by `cancel` ends a wait early.
pub fn connect(lab: &Lab, spec: &HostSpec, cancel: Option<Cancel>) -> Result<SshHost, HostError> {
    let controller = lab.controller.as_ref();
    let options = SshOptions {
        netns: controller.and_then(|controller| controller.netns.clone()),
        cancel,
        ..MachineKind::of(lab).ssh_options()
    };
    SshHost::new(spec, options)
}

/// The controller as a host of a trial.
fn spec_of(controller: &Controller) -> HostSpec {
    HostSpec {
        name: HostName("controller".to_owned()),
        role: Role::Generator,
        on: None,
        address: controller.address,
        address6: controller.address6,
        port: 22,
        user: "root".to_owned(),
        key: PathBuf::new(),
        host_key: String::new(),
        identity: Identity::Mac(controller.mac.clone()),
        interface: controller.interface.clone(),
        mac: controller.mac.clone(),
        bridge: None,
    }
}
