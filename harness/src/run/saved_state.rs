//! The description that a saved state of the virtual lab contains: what every trial would query again, although the answer
//! is part of the state. Probes that were started before the state was saved are there again when it is loaded, each at the
//! end of a channel of dom0's agent.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vifbench_provisioning::host::{Host, HostExt as _};
use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_store::ModuleProof;

use super::deadlines::STEP;
use super::ports::Ports;
use super::probe::Probe;
use crate::error::Failure;

/// The file, in the folder of dom0's probe. Its name is part of what exact trials request.
const FILE: &str = "kept.json";

/// The channel of dom0's probe: the agent numbers channels in the order in which they are opened, and that one is the first.
pub const CHANNEL_OF_DOM0: u32 = 0;

/// What is known of a saved state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The boot ids: dom0's, then its guests' in the lab file's order.
    pub boots: Vec<String>,
    /// The live modules, as proved right before the machine was saved.
    pub modules: Vec<ModuleProof>,
    /// Where packets pass in dom0.
    pub ports: Ports,
    /// The probes that wait; none in a state for open trials.
    pub probes: Vec<WaitingProbe>,
}

/// A probe that waits for its first trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingProbe {
    /// The host on which it runs.
    pub host: HostName,
    /// The number of its channel at the agent.
    pub channel: u32,
    /// Its private folder on the host.
    pub folder: PathBuf,
}

impl SavedState {
    /// Writes the description to dom0.
    pub fn write<H: Host + ?Sized>(&self, dom0: &mut H, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .map_err(Failure::io("write", &path))?;
        Ok(dom0.deploy(&text, &path, 0o600, STEP)?)
    }

    /// Reads the description through the probe that waits in dom0.
    pub fn read(probe: &mut Probe) -> Result<Self, Failure> {
        let text = probe.ask(|client| client.read(Path::new(FILE)))?;
        Self::parse(&text)
    }

    /// Reads the description from dom0's files.
    pub fn fetch<H: Host + ?Sized>(dom0: &mut H, folder: &Path) -> Result<Self, Failure> {
        Self::parse(&dom0.fetch(&folder.join(FILE), STEP)?)
    }

    fn parse(text: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(text).map_err(|error| {
            Failure::Internal(format!("{FILE} of the saved state cannot be read: {error}"))
        })
    }

    /// The probe that waits on a host.
    pub fn probe(&self, spec: &HostSpec) -> Result<&WaitingProbe, Failure> {
        let found = self.probes.iter().find(|probe| probe.host == spec.name);
        found.ok_or_else(|| Failure::Probe {
            host: spec.name.to_string(),
            doing: "find the probe that waits".to_owned(),
            why: "the saved state has none there".to_owned(),
        })
    }
}
