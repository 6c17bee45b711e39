//! The machines of a trial: each an SSH session with a probe at its other end, worked in parallel.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzEncoder;
use vifbench_probes::client::{ClientError, LineChannel, ProbeClient};
use vifbench_provisioning::host::{Channel, Host, HostError, HostExt as _};
use vifbench_scenarios::lab::{HostSpec, Role};

use crate::error::Failure;

/// One remote step may take this long: a machine under emulation is slow, a dead one must not hold up a night.
pub const STEP: Duration = Duration::from_secs(60);

/// A host's channel, as the client of its probe needs it.
pub struct ProbeChannel(Box<dyn Channel>);

impl LineChannel for ProbeChannel {
    type Error = HostError;

    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), HostError> {
        self.0.send(line, deadline)
    }

    fn receive(&mut self, deadline: Duration) -> Result<String, HostError> {
        self.0.receive(deadline)
    }
}

/// Speaks to the probe of a host.
pub type Client = ProbeClient<ProbeChannel>;

/// A probe that was started on a host.
pub struct Probe {
    host: String,
    client: Client,
    /// Its private folder on the host.
    pub folder: PathBuf,
}

impl Probe {
    /// Starts the probe that lies at `binary` and checks that it speaks our version.
    pub fn start(host: &mut dyn Host, binary: &Path) -> Result<Self, Failure> {
        let name = host.name().to_string();
        let channel = host.open(&binary.display().to_string(), STEP)?;
        Self::hello(name, channel)
    }

    /// Checks that the probe at the end of a channel speaks our version.
    pub fn hello(host: String, channel: Box<dyn Channel>) -> Result<Self, Failure> {
        let mut probe = Self::waiting(host, channel, PathBuf::new());
        probe.folder = probe.ask(Client::hello)?;
        Ok(probe)
    }

    /// A probe that said hello before its machine was saved.
    pub fn waiting(host: String, channel: Box<dyn Channel>, folder: PathBuf) -> Self {
        Self {
            host,
            client: ProbeClient::new(ProbeChannel(channel), STEP),
            folder,
        }
    }

    /// Asks it for something.
    pub fn ask<T>(
        &mut self,
        request: impl FnOnce(&mut Client) -> Result<T, ClientError<HostError>>,
    ) -> Result<T, Failure> {
        request(&mut self.client).map_err(|error| of_probe(&self.host, error))
    }

    /// Lets it remove itself.
    pub fn bye(self) -> Result<(), Failure> {
        let channel = self.client.bye();
        let ProbeChannel(channel) = channel.map_err(|error| of_probe(&self.host, error))?;
        channel.close(STEP)?;
        Ok(())
    }
}

/// What came of a request that was not carried out. A lost channel is the host's failure, not the probe's.
fn of_probe(host: &str, error: ClientError<HostError>) -> Failure {
    match error {
        ClientError::Channel { error, .. } => Failure::Host(error),
        ClientError::Probe { asked, why } => Failure::Probe {
            host: host.to_owned(),
            doing: asked.to_owned(),
            why: why.to_string(),
        },
    }
}

/// One machine of a trial.
pub struct Machine {
    /// As the lab file has it; for the controller, made up from the lab file's `controller`.
    pub spec: HostSpec,
    /// The way to it.
    pub host: Box<dyn Host>,
    /// Its probe, once started.
    pub probe: Option<Probe>,
    /// Asked in turn with the others, always in the same order, so that the same happens in each run.
    pub in_turn: bool,
}

impl Machine {
    /// The machine's name.
    pub fn name(&self) -> String {
        self.spec.name.to_string()
    }

    /// The generator is this machine or one of its own, not a guest of the lab.
    pub fn sends_from_outside(&self) -> bool {
        self.spec.role == Role::Generator && self.spec.on.is_none()
    }

    /// Asks the machine's probe for something.
    pub fn ask<T>(
        &mut self,
        request: impl FnOnce(&mut Client) -> Result<T, ClientError<HostError>>,
    ) -> Result<T, Failure> {
        self.started()?.ask(request)
    }

    /// The content of a file in the probe's folder.
    pub fn read(&mut self, file: &Path) -> Result<Vec<u8>, Failure> {
        let sealed = self.in_turn;
        let probe = self.started()?;
        if sealed {
            return probe.ask(|client| client.read(file));
        }
        // Captures may be gigabytes: not by the channel.
        let path = probe.folder.join(file);
        Ok(self.host.fetch(&path, STEP)?)
    }

    fn started(&mut self) -> Result<&mut Probe, Failure> {
        let name = &self.spec.name;
        self.probe.as_mut().ok_or_else(|| Failure::Probe {
            host: name.to_string(),
            doing: "answer".to_owned(),
            why: "it was not started".to_owned(),
        })
    }

    /// Sends a program if it is not there already, byte for byte. It goes packed: under emulation each byte is ciphered at
    /// a cost that a busy controller makes a minute of.
    pub fn bring(&mut self, content: &[u8], path: &Path) -> Result<(), Failure> {
        let sum = blake3::hash(content).to_hex();
        let mark = path.with_extension("sum");
        let there = self.host.run(&format!("cat '{}'", mark.display()), STEP)?;
        if there.status == 0 && there.text() == sum.as_str() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            self.host
                .check(&format!("mkdir -p -m 700 '{}'", folder.display()), STEP)?;
        }
        let packed = path.with_extension("gz");
        let bytes = pack(content).map_err(Failure::io("pack", path))?;
        self.host.deploy(&bytes, &packed, 0o600, STEP)?;
        let (packed, path) = (packed.display(), path.display());
        self.host.check(
            &format!(
                "gzip -dc '{packed}' > '{path}.new' && chmod 700 '{path}.new' && mv -f '{path}.new' '{path}' && rm -f '{packed}'"
            ),
            STEP,
        )?;
        self.host.deploy(sum.as_bytes(), &mark, 0o600, STEP)?;
        Ok(())
    }
}

fn pack(content: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut packed = Vec::new();
    GzEncoder::new(content, Compression::default()).read_to_end(&mut packed)?;
    Ok(packed)
}

/// Does the same on all machines, at once where they may be, and waits for all; the first failure counts.
pub fn on_all<T: Send>(
    machines: &mut [Machine],
    work: impl Fn(&mut Machine) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let nothing = vec![(); machines.len()];
    on_all_with(machines, nothing, |machine, ()| work(machine))
}

/// As [`on_all`], with something of its own for each machine, in the machines' order.
pub fn on_all_with<I: Send, T: Send>(
    machines: &mut [Machine],
    own: Vec<I>,
    work: impl Fn(&mut Machine, I) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    if machines.iter().any(|machine| machine.in_turn) {
        let pairs = machines.iter_mut().zip(own);
        return pairs.map(|(machine, own)| work(machine, own)).collect();
    }
    let work = &work;
    let results: Vec<Result<T, Failure>> = std::thread::scope(|scope| {
        let threads: Vec<_> = machines
            .iter_mut()
            .zip(own)
            .map(|(machine, own)| scope.spawn(move || work(machine, own)))
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
