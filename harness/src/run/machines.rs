//! The machines of a trial: each an SSH session with a probe at its other end, worked in parallel.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzEncoder;
use vifbench_provisioning::host::{Channel, Host, HostExt as _};
use vifbench_scenarios::lab::{HostSpec, Role};
use vifbench_wire::protocol::{Reply, Request, VERSION};

use crate::error::Failure;

/// One remote step may take this long: a machine under emulation is slow, a dead one must not hold up a night.
pub const STEP: Duration = Duration::from_secs(60);

/// A probe at the end of a channel.
pub struct Probe {
    host: String,
    channel: Box<dyn Channel>,
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
        match probe.ask(&Request::Hello { version: VERSION })? {
            Reply::Hello {
                version, folder, ..
            } if version == VERSION => {
                probe.folder = folder;
                Ok(probe)
            }
            other => Err(probe.odd("say hello", &other)),
        }
    }

    /// A probe that said hello before its machine was saved.
    pub fn waiting(host: String, channel: Box<dyn Channel>, folder: PathBuf) -> Self {
        Self {
            host,
            channel,
            folder,
        }
    }

    /// The content of a file in its folder.
    pub fn read(&mut self, file: &Path) -> Result<Vec<u8>, Failure> {
        let file = file.to_owned();
        match self.ask(&Request::Read { file })? {
            Reply::Content { base64 } => BASE64.decode(base64).map_err(|error| Failure::Probe {
                host: self.host.clone(),
                doing: "read a file".to_owned(),
                why: format!("its answer is no base64: {error}"),
            }),
            other => Err(self.odd("read a file", &other)),
        }
    }

    /// Sends one request and waits for its reply; a refusal is an error.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, Failure> {
        self.ask_within(request, STEP)
    }

    fn ask_within(&mut self, request: &Request, deadline: Duration) -> Result<Reply, Failure> {
        let doing = doing(request);
        let fail = |host: &str, why: String| Failure::Probe {
            host: host.to_owned(),
            doing: doing.to_owned(),
            why,
        };
        let line = serde_json::to_string(request).map_err(|e| fail(&self.host, e.to_string()))?;
        self.channel.send(&line, STEP)?;
        let answer = self.channel.receive(deadline)?;
        let reply: Reply = serde_json::from_str(&answer).map_err(|e| {
            fail(
                &self.host,
                format!("its answer cannot be read ({e}): {answer}"),
            )
        })?;
        match reply {
            Reply::Failed { error, hint } => {
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                Err(fail(&self.host, format!("{error}{hint}")))
            }
            reply => Ok(reply),
        }
    }

    /// An answer that does not belong to the question.
    pub fn odd(&self, doing: &str, reply: &Reply) -> Failure {
        Failure::Probe {
            host: self.host.clone(),
            doing: doing.to_owned(),
            why: format!("it answered something else: {reply:?}"),
        }
    }

    /// Lets it remove itself.
    pub fn bye(mut self) -> Result<(), Failure> {
        self.ask(&Request::Bye)?;
        self.channel.close(STEP)?;
        Ok(())
    }
}

fn doing(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "say hello",
        Request::Describe { .. } => "describe its host",
        Request::ReadClock => "read its clocks",
        Request::ServeClock { .. } => "answer clock exchanges",
        Request::StopClock => "stop answering clock exchanges",
        Request::ExchangeClock { .. } => "exchange clock readings",
        Request::Prepare(_) => "prepare the trial",
        Request::Arm(_) => "arm the trial",
        Request::Wait { .. } => "wait",
        Request::Await { .. } => "await the end of the trial",
        Request::Status { .. } => "tell its state",
        Request::Finish { .. } => "finish the trial",
        Request::Abort { .. } => "drop the trial",
        Request::Read { .. } => "read a file",
        Request::Bye => "end",
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

    /// Asks the machine's probe.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, Failure> {
        self.its_probe(doing(request))?.ask(request)
    }

    /// Asks for something that takes so long by the machine's own clock.
    pub fn await_done(&mut self, request: &Request, takes: Duration) -> Result<(), Failure> {
        let doing = doing(request);
        let probe = self.its_probe(doing)?;
        match probe.ask_within(request, STEP + takes)? {
            Reply::Done => Ok(()),
            other => Err(probe.odd(doing, &other)),
        }
    }

    /// The content of a file in the probe's folder.
    pub fn read(&mut self, file: &Path) -> Result<Vec<u8>, Failure> {
        let sealed = self.in_turn;
        let probe = self.its_probe("read a file")?;
        if sealed {
            return probe.read(file);
        }
        // Captures may be gigabytes: not by the channel.
        let path = probe.folder.join(file);
        Ok(self.host.fetch(&path, STEP)?)
    }

    fn its_probe(&mut self, doing: &str) -> Result<&mut Probe, Failure> {
        let name = &self.spec.name;
        self.probe.as_mut().ok_or_else(|| Failure::Probe {
            host: name.to_string(),
            doing: doing.to_owned(),
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
