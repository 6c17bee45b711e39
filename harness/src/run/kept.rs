//! What a saved state of the virtual lab tells of itself: all that every trial would ask anew, though the answer is part of the
//! state. Probes that were started before the state was saved are there again when it is loaded, each at the end of a channel
//! of dom0's agent.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vifbench_provisioning::host::{Host, HostExt as _};
use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_store::ModuleProof;

use super::machines::{Probe, STEP};
use super::ports::Ports;
use crate::error::Failure;

/// Its file, in the folder of dom0's probe.
const FILE: &str = "kept.json";

/// The agent numbers channels in the order in which they are opened, and dom0's probe is started first.
pub const OF_DOM0: u32 = 0;

/// What a state tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which boot each machine's is: dom0's, then its domains' in the lab file's order.
    pub boots: Vec<String>,
    /// Which modules are live, as proved right before the machine was saved.
    pub modules: Vec<ModuleProof>,
    /// Where packets pass in dom0.
    pub ports: Ports,
    /// The probes that wait; none in a state that is reached over its network.
    pub probes: Vec<KeptProbe>,
}

/// A probe that waits for its first trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProbe {
    /// Where it runs.
    pub host: HostName,
    /// By which channel of the agent it is reached.
    pub channel: u32,
    /// Its private folder on the host.
    pub folder: PathBuf,
}

impl Kept {
    /// Writes it down in dom0.
    pub fn write<H: Host + ?Sized>(&self, dom0: &mut H, folder: &Path) -> Result<(), Failure> {
        let path = folder.join(FILE);
        let text = serde_json::to_vec(self)
            .map_err(std::io::Error::from)
            .map_err(Failure::io("write", &path))?;
        Ok(dom0.deploy(&text, &path, 0o600, STEP)?)
    }

    /// Reads it by way of the probe that waits in dom0.
    pub fn ask(probe: &mut Probe) -> Result<Self, Failure> {
        let text = probe.ask(|client| client.read(Path::new(FILE)))?;
        Self::parse(&text)
    }

    /// Reads it from dom0's files.
    pub fn fetch<H: Host + ?Sized>(dom0: &mut H, folder: &Path) -> Result<Self, Failure> {
        Self::parse(&dom0.fetch(&folder.join(FILE), STEP)?)
    }

    fn parse(text: &[u8]) -> Result<Self, Failure> {
        serde_json::from_slice(text).map_err(|error| {
            Failure::Internal(format!(
                "{FILE} of the saved machine cannot be read: {error}"
            ))
        })
    }

    /// The probe that waits on a host.
    pub fn probe(&self, spec: &HostSpec) -> Result<&KeptProbe, Failure> {
        let found = self.probes.iter().find(|probe| probe.host == spec.name);
        found.ok_or_else(|| Failure::Probe {
            host: spec.name.to_string(),
            doing: "find the probe that waits".to_owned(),
            why: "the saved machine has none there".to_owned(),
        })
    }
}
