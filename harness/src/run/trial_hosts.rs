//! The hosts of a trial: the one that sends, dom0, and each guest that receives, every one with a probe.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzEncoder;
use vifbench_probes::client::ClientError;
use vifbench_provisioning::host::{Host, HostError, HostExt as _};
use vifbench_scenarios::lab::{HostSpec, Lab, Role};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_wire::protocol::{Arm, ClockReading};

use super::deadlines::STEP;
use super::probe::{Client, PROBE, Probe};
use crate::error::Failure;

/// The probe of a host.
enum TrialProbe {
    /// Not started yet, or ended.
    Absent,
    /// Started for this trial.
    Started(Probe),
    /// Started before the machine's state was saved: it has waited since, and nothing is installed.
    Saved(Probe),
}

/// A host of a trial.
pub struct TrialHost {
    /// As the lab file has it; for the controller, made from the lab file's `controller`.
    pub spec: HostSpec,
    /// The connection to it.
    pub host: Box<dyn Host>,
    /// The probe's folder on it.
    pub folder: PathBuf,
    probe: TrialProbe,
}

impl TrialHost {
    /// A host on which no probe runs yet.
    pub fn new(spec: HostSpec, host: Box<dyn Host>, folder: PathBuf) -> Self {
        Self {
            spec,
            host,
            folder,
            probe: TrialProbe::Absent,
        }
    }

    /// A host of a saved state, in which its probe waits.
    pub fn saved(spec: HostSpec, host: Box<dyn Host>, folder: PathBuf, probe: Probe) -> Self {
        Self {
            probe: TrialProbe::Saved(probe),
            ..Self::new(spec, host, folder)
        }
    }

    /// The host's name.
    pub fn name(&self) -> String {
        self.spec.name.to_string()
    }

    /// The generator is the controller or a machine of its own, not a guest of the lab.
    pub fn sends_from_outside(&self) -> bool {
        self.spec.role == Role::Generator && self.spec.on.is_none()
    }

    /// Brings the probe's program to the host, where no probe waits yet.
    pub fn install(&mut self, vifprobe: &[u8]) -> Result<(), Failure> {
        match self.probe {
            TrialProbe::Saved(_) => Ok(()),
            TrialProbe::Absent | TrialProbe::Started(_) => {
                let program = self.folder.join(PROBE);
                deploy_packed(self.host.as_mut(), vifprobe, &program)
            }
        }
    }

    /// Starts the installed probe, where none waits yet.
    pub fn start(&mut self) -> Result<(), Failure> {
        if let TrialProbe::Absent = self.probe {
            let program = self.folder.join(PROBE);
            self.probe = TrialProbe::Started(Probe::start(self.host.as_mut(), &program)?);
        }
        Ok(())
    }

    /// Sends the host's probe a request.
    pub fn ask<T>(
        &mut self,
        request: impl FnOnce(&mut Client) -> Result<T, ClientError<HostError>>,
    ) -> Result<T, Failure> {
        match &mut self.probe {
            TrialProbe::Started(probe) | TrialProbe::Saved(probe) => probe.ask(request),
            TrialProbe::Absent => Err(self.no_probe()),
        }
    }

    /// Tells the probe when its trial begins and ends.
    pub fn arm(&mut self, arm: Arm) -> Result<(), Failure> {
        self.ask(|client| client.arm(arm)).map(drop)
    }

    /// Reads the host's clocks. Times are computed from this: a reading that leaves no room for them is refused.
    pub fn read_clock(&mut self) -> Result<ClockReading, Failure> {
        /// The year 2262, in which also times with a sign end.
        const LATEST: u64 = i64::MAX as u64;
        let reading = self.ask(Client::read_clock)?;
        if reading.realtime_ns > LATEST {
            return Err(Failure::Probe {
                host: self.name(),
                doing: "read its clocks".to_owned(),
                why: format!(
                    "its time of day is {} ns since 1970, which is after the year 2262: set its clock",
                    reading.realtime_ns
                ),
            });
        }
        Ok(reading)
    }

    /// The content of a file in the probe's folder.
    pub fn read(&mut self, file: &Path) -> Result<Vec<u8>, Failure> {
        match &mut self.probe {
            TrialProbe::Saved(probe) => probe.ask(|client| client.read(file)),
            // Captures may be gigabytes: they do not go through the probe's channel.
            TrialProbe::Started(probe) => Ok(self.host.fetch(&probe.folder.join(file), STEP)?),
            TrialProbe::Absent => Err(self.no_probe()),
        }
    }

    /// Ends the probe, which removes itself.
    pub fn end_probe(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.probe, TrialProbe::Absent) {
            TrialProbe::Started(probe) | TrialProbe::Saved(probe) => probe.bye(),
            TrialProbe::Absent => Ok(()),
        }
    }

    fn no_probe(&self) -> Failure {
        Failure::Probe {
            host: self.name(),
            doing: "answer".to_owned(),
            why: "it was not started".to_owned(),
        }
    }
}

/// Sends a program to a host unless it is there already, byte for byte. It goes packed: under emulation each byte is
/// encrypted at a cost that a busy controller turns into a minute.
pub fn deploy_packed(host: &mut dyn Host, content: &[u8], path: &Path) -> Result<(), Failure> {
    let sum = blake3::hash(content).to_hex();
    let mark = path.with_extension("sum");
    let there = host.run(&format!("cat '{}'", mark.display()), STEP)?;
    if there.status == 0 && there.text() == sum.as_str() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        host.check(&format!("mkdir -p -m 700 '{}'", folder.display()), STEP)?;
    }
    let packed = path.with_extension("gz");
    let bytes = pack(content).map_err(Failure::io("pack", path))?;
    host.deploy(&bytes, &packed, 0o600, STEP)?;
    let (packed, path) = (packed.display(), path.display());
    host.check(
        &format!(
            "gzip -dc '{packed}' > '{path}.new' && chmod 700 '{path}.new' && mv -f '{path}.new' '{path}' && rm -f '{packed}'"
        ),
        STEP,
    )?;
    host.deploy(sum.as_bytes(), &mark, 0o600, STEP)?;
    Ok(())
}

fn pack(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    GzEncoder::new(content, Compression::default()).read_to_end(&mut packed)?;
    Ok(packed)
}

/// dom0 and each guest that receives a flow of the plan, in the lab file's order.
pub fn dom0_and_receivers<'a>(
    lab: &'a Lab,
    plan: &'a TrialPlan,
) -> impl Iterator<Item = &'a HostSpec> {
    lab.hosts.iter().filter(|spec| {
        spec.role == Role::Dom0 || plan.flows.iter().any(|flow| flow.to == spec.name)
    })
}

/// The hosts of a trial: the sender first, then dom0 and the receiving guests in the lab file's order.
pub struct TrialHosts {
    hosts: Vec<TrialHost>,
    dom0: usize,
    in_turn: bool,
}

impl TrialHosts {
    /// Hosts that are worked on in parallel.
    pub fn in_parallel(hosts: Vec<TrialHost>) -> Result<Self, Failure> {
        Self::new(hosts, false)
    }

    /// Hosts that are worked on one after the other, always in the same order, so that each run sends the same requests.
    pub fn in_turn(hosts: Vec<TrialHost>) -> Result<Self, Failure> {
        Self::new(hosts, true)
    }

    fn new(hosts: Vec<TrialHost>, in_turn: bool) -> Result<Self, Failure> {
        let dom0 = hosts
            .iter()
            .position(|host| host.spec.role == Role::Dom0)
            .ok_or_else(|| Failure::Internal("a trial began on a lab without a dom0".to_owned()))?;
        Ok(Self {
            hosts,
            dom0,
            in_turn,
        })
    }

    /// dom0, whose clock is the reference.
    pub fn dom0(&mut self) -> &mut TrialHost {
        &mut self.hosts[self.dom0]
    }

    /// The place of dom0 among the hosts.
    pub fn dom0_index(&self) -> usize {
        self.dom0
    }

    /// The host that sends.
    pub fn sender(&self) -> Result<&TrialHost, Failure> {
        self.iter()
            .find(|host| host.spec.role == Role::Generator)
            .ok_or_else(|| {
                Failure::Internal("a trial began on a lab without a generator".to_owned())
            })
    }

    /// The hosts in their order.
    pub fn iter(&self) -> impl Iterator<Item = &TrialHost> {
        self.hosts.iter()
    }

    /// The hosts in their order, to work on one by one.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut TrialHost> {
        self.hosts.iter_mut()
    }

    /// The names of the hosts in their order.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.hosts.iter().map(TrialHost::name)
    }

    /// Does the same on all hosts and waits for all. Returns what each returned, or the first failure.
    pub fn each<T: Send>(
        &mut self,
        work: impl Fn(&mut TrialHost) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let nothing = vec![(); self.hosts.len()];
        self.each_with(nothing, |host, ()| work(host))
    }

    /// As [`Self::each`], with an input for each host, in the hosts' order.
    pub fn each_with<I: Send, T: Send>(
        &mut self,
        inputs: Vec<I>,
        work: impl Fn(&mut TrialHost, I) -> Result<T, Failure> + Sync,
    ) -> Result<Vec<T>, Failure> {
        let pairs = self.hosts.iter_mut().zip(inputs);
        if self.in_turn {
            return pairs.map(|(host, input)| work(host, input)).collect();
        }
        let work = &work;
        let results: Vec<Result<T, Failure>> = std::thread::scope(|scope| {
            let threads: Vec<_> = pairs
                .map(|(host, input)| scope.spawn(move || work(host, input)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        });
        results.into_iter().collect()
    }
}
