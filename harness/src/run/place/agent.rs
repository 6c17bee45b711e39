//! The agent in dom0 of a sealed lab. Every request to a host of the lab goes through it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vifbench_provisioning::lab::{Rendezvous, SealedHost, Shared, Turn};
use vifbench_scenarios::lab::{HostSpec, Lab, Role};

use crate::error::Failure;
use crate::run::deadlines::STEP;
use crate::run::hosts::Hosts;
use crate::run::probe::Probe;
use crate::run::saved_state::WaitingProbe;

/// The agent of a sealed lab.
pub struct Agent(Shared);

impl Agent {
    /// The agent of a state that was just loaded.
    pub fn new(rendezvous: Rendezvous) -> Self {
        Self(Arc::new(Mutex::new(rendezvous)))
    }

    /// A host of the lab.
    pub fn host(&self, spec: &HostSpec) -> SealedHost {
        if spec.role == Role::Dom0 {
            SealedHost::dom0(spec.name.clone(), self.0.clone())
        } else {
            SealedHost::guest(spec.name.clone(), self.0.clone())
        }
    }

    /// dom0 and its guests.
    pub fn hosts(&self, lab: &Lab) -> Result<Hosts, Failure> {
        Hosts::open(lab, |spec| Ok(Box::new(self.host(spec))))
    }

    /// The requests since the state was loaded.
    pub fn requests(&self) -> Vec<Turn> {
        let agent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        agent.said().to_vec()
    }

    /// The probe that waits at a channel on a host. `program` is the path of the probe's program, for messages.
    pub fn probe(&self, spec: &HostSpec, channel: u32, folder: PathBuf, program: &Path) -> Probe {
        let channel = self
            .host(spec)
            .channel(channel, &program.display().to_string());
        Probe::waiting(spec.name.to_string(), channel, folder)
    }

    /// Starts a probe on a host. It waits at a channel of the agent, also after the machine was saved and loaded again.
    pub fn start_probe(&self, spec: &HostSpec, program: &Path) -> Result<WaitingProbe, Failure> {
        let command = program.display().to_string();
        let mut host = self.host(spec);
        let channel = host.start(&command, STEP)?;
        let probe = Probe::hello(spec.name.to_string(), host.channel(channel, &command))?;
        Ok(WaitingProbe {
            host: spec.name.clone(),
            channel,
            folder: probe.folder,
        })
    }
}
