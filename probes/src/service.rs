//! `vifprobe`'s service: requests in, replies out, one JSON message a line, until the channel closes.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{geteuid, gethostname};
use rand::random;
use rustix::event::PollFlags;
use thiserror::Error;
use vifbench_wait::{Alarm, Cancel, Woken, wait_readable};
use vifbench_wire::protocol::{Arm, ProbeResult, Reply, Request, State, VERSION};

use crate::clock::exchange::{ClockServer, ExchangeError, exchange};
use crate::clock::reading::{read_clocks, realtime_ns};
use crate::counters::ruler::{self, RulerError};
use crate::trial::{self, RESULT_FILE, Trial, TrialError};

/// Folders of the controller's and of probes themselves begin so; nothing else is ever removed.
pub const FOLDER_PREFIX: &str = "vifbench-";

/// No request is longer; a longer line is thrown away and answered with a failure.
const MAX_LINE: usize = 4 << 20;
/// Nobody is to wait for longer without a word.
const LONGEST_WAIT_NS: u64 = 3_600_000_000_000;

/// Why a request failed, or the probe as a whole.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// Not a request.
    #[error("the line is not a request: {0}")]
    NotARequest(String),
    /// Another protocol.
    #[error("this vifprobe speaks version {VERSION} of the protocol, the controller version {0}")]
    Version(u32),
    /// The request does not fit what the probe is doing.
    #[error("cannot {doing} trial {trial}: {why}")]
    State {
        /// What was asked.
        doing: &'static str,
        /// For which trial.
        trial: u32,
        /// What stands against it.
        why: String,
    },
    /// A trial.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// Clock exchange.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The ruler.
    #[error(transparent)]
    Ruler(#[from] RulerError),
    /// The operating system refused.
    #[error("cannot {doing}: {error}")]
    System {
        /// What was attempted, on what.
        doing: String,
        /// What the system said.
        error: io::Error,
    },
}

impl ServiceError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotARequest(_) => {
                "send one JSON request a line, as probes/wire/src/protocol.rs has them"
            }
            Self::Version(_) => "deploy the vifprobe that belongs to this vifbench",
            Self::State { .. } => {
                "send `abort` for the trial that stands in the way, or wait until it is done"
            }
            Self::Trial(_) | Self::Exchange(_) | Self::Ruler(_) | Self::System { .. } => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}

fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ServiceError {
    let doing = doing.into();
    move |error| ServiceError::System { doing, error }
}

/// The probe's private folder.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder that the program lies in, where the controller made it for that; else a new one.
    ///
    /// # Errors
    /// When none can be made.
    pub fn own() -> Result<Self, ServiceError> {
        let program = std::env::current_exe().map_err(system("find the program's own path"))?;
        match program.parent() {
            Some(parent) if is_private(parent) => Ok(Self(parent.to_owned())),
            _ => Self::new_in(&std::env::temp_dir()),
        }
    }

    /// A new folder that nobody else can look into.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_in(parent: &Path) -> Result<Self, ServiceError> {
        let path = parent.join(format!("{FOLDER_PREFIX}{:016x}", random::<u64>()));
        // Fails where the name exists: nobody can have prepared it for us.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(system(format!(
                "make the private folder {}",
                path.display()
            )))?;
        Ok(Self(path))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether the result of any trial lies in it.
    pub fn holds_results(&self) -> bool {
        fs::read_dir(&self.0).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.path().join(RESULT_FILE).exists())
        })
    }

    /// Removes it with everything in it, the program included.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn remove(self) -> Result<(), ServiceError> {
        trial::remove_folder(&self.0).map_err(system(format!("remove {}", self.0.display())))
    }
}

/// A folder that a controller made for a probe: by its name, and open to its owner alone.
fn is_private(path: &Path) -> bool {
    let named = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(FOLDER_PREFIX));
    named
        && fs::symlink_metadata(path).is_ok_and(|meta| {
            meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode().trailing_zeros() >= 6
        })
}

/// A trial that is armed or runs, in its own thread.
struct Live {
    trial: u32,
    end: Cancel,
    started: Arc<AtomicBool>,
    thread: JoinHandle<Result<ProbeResult, TrialError>>,
}

/// What the probe is doing.
enum Slot {
    Free,
    Prepared(Box<Trial>),
    Live(Live),
    /// Over, and its results could not be stored.
    Lost {
        trial: u32,
        why: String,
    },
}

/// The probe.
pub struct Service {
    folder: Folder,
    slot: Slot,
    clocks: Vec<(String, ClockServer)>,
    /// They end a wait; none where nobody listens for them.
    signals: Option<Arc<SignalFd>>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Listen,
    End,
}

impl Service {
    /// A probe that has done nothing yet.
    pub fn new(folder: Folder) -> Self {
        Self {
            folder,
            slot: Slot::Free,
            clocks: Vec::new(),
            signals: None,
        }
    }

    /// Answers requests until the input ends, a `Bye`, or SIGTERM, SIGINT or SIGHUP, and then cleans up: see
    /// `Service::end`. Call it before other threads are started, so that they leave the signals to it.
    ///
    /// # Errors
    /// When input or signals cannot be read, or the folder cannot be removed at the end.
    pub fn run(
        mut self,
        input: impl Read + AsFd,
        mut output: impl Write,
    ) -> Result<(), ServiceError> {
        let signals = Arc::new(signals().map_err(system("listen for signals"))?);
        self.signals = Some(Arc::clone(&signals));
        let mut lines = Lines::new(input);
        let hard = loop {
            let event = lines.next(&signals).map_err(system("read requests"))?;
            let (reply, next) = match event {
                Event::Line(Ok(line)) => self.answer_line(&line),
                Event::Line(Err(why)) => (failed(&ServiceError::NotARequest(why)), Next::Listen),
                // The other end is gone; a trial that runs is finished all the same.
                Event::End | Event::Signal(Signal::SIGHUP) => break false,
                Event::Signal(_) => break true,
            };
            // Serialising our own types to memory cannot fail but for a bug: then say so as any failure.
            let mut text = serde_json::to_string(&reply).unwrap_or_else(|error| {
                format!("{{\"answer\":\"failed\",\"error\":\"{error}\",\"hint\":null}}")
            });
            text.push('\n');
            if output
                .write_all(text.as_bytes())
                .and_then(|()| output.flush())
                .is_err()
            {
                // Nobody reads the replies any more: the same as the end of input.
                break false;
            }
            if next == Next::End {
                break true;
            }
        };
        self.end(hard)
    }

    /// Ends everything and removes the folder. Unless it is `hard` (a `Bye` or a signal), a trial that is armed or
    /// runs is finished first, and a folder that holds results stays: the connection was lost before they were
    /// fetched, as it happens in a sealed trial when a saved state is restored.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    fn end(mut self, hard: bool) -> Result<(), ServiceError> {
        match std::mem::replace(&mut self.slot, Slot::Free) {
            Slot::Live(live) => {
                if hard && let Err(error) = live.end.cancel() {
                    tracing::warn!("cannot end trial {}: {error}", live.trial);
                }
                let trial = live.trial;
                if let Err(why) = join(live) {
                    tracing::warn!("trial {trial}: {why}");
                }
            }
            Slot::Prepared(trial) => trial.discard()?,
            Slot::Free | Slot::Lost { .. } => {}
        }
        self.clocks.clear();
        if !hard && self.folder.holds_results() {
            return Ok(());
        }
        self.folder.remove()
    }

    fn answer_line(&mut self, line: &[u8]) -> (Reply, Next) {
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                return (
                    failed(&ServiceError::NotARequest(error.to_string())),
                    Next::Listen,
                );
            }
        };
        let next = if request == Request::Bye {
            Next::End
        } else {
            Next::Listen
        };
        (
            self.answer(request).unwrap_or_else(|error| failed(&error)),
            next,
        )
    }

    /// Carries out one request.
    fn answer(&mut self, request: Request) -> Result<Reply, ServiceError> {
        self.settle();
        Ok(match request {
            Request::Hello { version } if version != VERSION => {
                return Err(ServiceError::Version(version));
            }
            Request::Hello { .. } => Reply::Hello {
                version: VERSION,
                hostname: gethostname()
                    .map_err(|error| system("read the host's name")(error.into()))?
                    .to_string_lossy()
                    .into_owned(),
                folder: self.folder.path().to_owned(),
                boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                    .map_err(system("read the boot id"))?
                    .trim()
                    .to_owned(),
            },
            Request::Describe { interfaces } => Reply::Ruler(ruler::describe(&interfaces)?),
            Request::ReadClock => Reply::Clock(read_clocks()),
            Request::ServeClock { interface } => {
                if !self.clocks.iter().any(|(serving, _)| *serving == interface) {
                    let server = ClockServer::start(&interface)?;
                    self.clocks.push((interface, server));
                }
                Reply::Done
            }
            Request::ExchangeClock {
                interface,
                peer_mac,
                count,
                deadline_ns,
            } => {
                let done = exchange(&interface, &peer_mac, count, deadline_ns)?;
                Reply::Exchanges {
                    exchanges: done.exchanges,
                    lost: done.lost,
                    ignored: done.ignored,
                    reading: read_clocks(),
                }
            }
            Request::Prepare(plan) => {
                let trial = plan.trial;
                let refuse = |why: String| ServiceError::State {
                    doing: "prepare",
                    trial,
                    why,
                };
                match &self.slot {
                    Slot::Prepared(other) => {
                        return Err(refuse(format!("trial {} is prepared", other.number())));
                    }
                    Slot::Live(other) => {
                        return Err(refuse(format!("trial {} is armed or runs", other.trial)));
                    }
                    Slot::Free | Slot::Lost { .. } => {}
                }
                let prepared = Trial::prepare(plan, self.folder.path())?;
                let captures = prepared.captures();
                self.slot = Slot::Prepared(Box::new(prepared));
                Reply::Prepared { captures }
            }
            Request::Arm(arm) => self.arm(arm)?,
            Request::Wait { until_ns } => self.wait(until_ns)?,
            Request::Await { trial } => {
                if matches!(&self.slot, Slot::Live(live) if live.trial == trial) {
                    self.collect();
                }
                self.is_done("await", trial)?
            }
            Request::Status { trial } => Reply::Status {
                state: self.state(trial)?,
            },
            Request::Finish { trial } => self.finish(trial)?,
            Request::Read { file } => self.read(&file)?,
            Request::Bye => Reply::Done,
        })
    }

    fn arm(&mut self, arm: Arm) -> Result<Reply, ServiceError> {
        trial::check_times(&arm)?;
        let trial = match std::mem::replace(&mut self.slot, Slot::Free) {
            Slot::Prepared(trial) if trial.number() == arm.trial => trial,
            other => {
                self.slot = other;
                let why = "it is not prepared".to_owned();
                return Err(ServiceError::State {
                    doing: "arm",
                    trial: arm.trial,
                    why,
                });
            }
        };
        let armed = format!("trial {} is armed", arm.trial);
        let told = arm.announce.as_deref();
        if let Err(error) = told.map_or(Ok(()), |path| trial::announce(path, &armed)) {
            self.slot = Slot::Prepared(trial);
            return Err(error.into());
        }
        let lead_ns = (i128::from(arm.start_ns) - i128::from(realtime_ns())) as i64;
        let started = Arc::new(AtomicBool::new(false));
        let (number, end, begun) = (arm.trial, trial.end(), Arc::clone(&started));
        let thread = std::thread::Builder::new()
            .name(format!("trial-{number}"))
            .spawn(move || trial.run(&arm, || begun.store(true, Ordering::SeqCst)))
            .map_err(system("start the trial's thread"))?;
        self.slot = Slot::Live(Live {
            trial: number,
            end,
            started,
            thread,
        });
        Ok(Reply::Armed { lead_ns })
    }

    /// Takes note of a trial that has ended by itself.
    fn settle(&mut self) {
        if matches!(&self.slot, Slot::Live(live) if live.thread.is_finished()) {
            self.collect();
        }
    }

    /// Waits for the live trial's thread.
    fn collect(&mut self) {
        if let Slot::Live(live) = std::mem::replace(&mut self.slot, Slot::Free) {
            let trial = live.trial;
            if let Err(why) = join(live) {
                self.slot = Slot::Lost { trial, why };
            }
        }
    }

    fn state(&self, trial: u32) -> Result<State, ServiceError> {
        match &self.slot {
            Slot::Prepared(prepared) if prepared.number() == trial => Ok(State::Prepared),
            Slot::Live(live) if live.trial == trial => {
                let running = live.started.load(Ordering::SeqCst);
                Ok(if running {
                    State::Running
                } else {
                    State::Armed
                })
            }
            Slot::Lost { trial: lost, why } if *lost == trial => Err(ServiceError::State {
                doing: "tell the state of",
                trial,
                why: why.clone(),
            }),
            _ => {
                let stored = trial::folder(self.folder.path(), trial).join(RESULT_FILE);
                Ok(if stored.exists() {
                    State::Done
                } else {
                    State::Idle
                })
            }
        }
    }

    fn finish(&mut self, trial: u32) -> Result<Reply, ServiceError> {
        if let Slot::Live(live) = &self.slot
            && live.trial == trial
        {
            live.end.cancel().map_err(system("end the trial"))?;
            self.collect();
        }
        self.is_done("finish", trial)
    }

    /// To say of a trial that cannot be armed or running any more.
    fn is_done(&self, doing: &'static str, trial: u32) -> Result<Reply, ServiceError> {
        match self.state(trial)? {
            State::Done => Ok(Reply::Done),
            state => {
                let why = format!("it is {state:?}, not armed or running").to_lowercase();
                Err(ServiceError::State { doing, trial, why })
            }
        }
    }

    fn wait(&self, until_ns: u64) -> Result<Reply, ServiceError> {
        let doing = || format!("wait until {until_ns} ns since 1970");
        if until_ns > realtime_ns().saturating_add(LONGEST_WAIT_NS) {
            let why = io::Error::other("that is more than an hour away");
            return Err(system(doing())(why));
        }
        match self.sleep(until_ns).map_err(system(doing()))? {
            Woken::Ready => Err(system(doing())(io::Error::other("a signal came first"))),
            Woken::Due | Woken::Cancelled => Ok(Reply::Done),
        }
    }

    fn sleep(&self, until_ns: u64) -> io::Result<Woken> {
        let (alarm, never) = (Alarm::new()?, Cancel::new()?);
        match &self.signals {
            Some(signals) => alarm.until_ready(until_ns, &never, (signals.as_fd(), PollFlags::IN)),
            None => alarm.until(until_ns, &never),
        }
    }

    fn read(&self, file: &Path) -> Result<Reply, ServiceError> {
        let path = self.folder.path().join(file);
        let doing = format!("read {}", path.display());
        if !leads_down(file) {
            let why = "it is not in the probe's folder";
            return Err(system(doing)(io::Error::new(
                io::ErrorKind::InvalidInput,
                why,
            )));
        }
        let content = fs::read(&path).map_err(system(doing))?;
        Ok(Reply::Content {
            base64: BASE64.encode(content),
        })
    }
}

/// A path that leads nowhere but down.
fn leads_down(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn join(live: Live) -> Result<ProbeResult, String> {
    match live.thread.join() {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its thread died: a defect of vifprobe".to_owned()),
    }
}

fn failed(error: &ServiceError) -> Reply {
    Reply::Failed {
        error: error.to_string(),
        hint: error.hint(),
    }
}

fn signals() -> io::Result<SignalFd> {
    let mask = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
    mask.thread_block()?;
    Ok(SignalFd::with_flags(
        &mask,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

/// What came in.
enum Event {
    /// A line without its end, or why it cannot be taken.
    Line(Result<Vec<u8>, String>),
    Signal(Signal),
    End,
}

/// Splits input into lines, with an ear for signals.
struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// So much of the buffer holds no line end.
    searched: usize,
    /// The line is too long and thrown away up to its end.
    skipping: bool,
}

impl<R: Read + AsFd> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            searched: 0,
            skipping: false,
        }
    }

    fn next(&mut self, signals: &SignalFd) -> io::Result<Event> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Event::Line(line));
            }
            let ready = wait_readable(&[self.input.as_fd(), signals.as_fd()], None)?;
            if ready[1]
                && let Some(info) = signals.read_signal()?
            {
                let signal = Signal::try_from(info.ssi_signo as i32)?;
                return Ok(Event::Signal(signal));
            }
            if !ready[0] {
                continue;
            }
            let mut chunk = [0; 1 << 12];
            match self.input.read(&mut chunk) {
                Ok(0) => return Ok(Event::End),
                Ok(n) => self.buffer.extend(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_line(&mut self) -> Option<Result<Vec<u8>, String>> {
        loop {
            let end = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| end + self.searched) else {
                self.searched = self.buffer.len();
                if self.searched > MAX_LINE {
                    self.skipping = true;
                    self.buffer.clear();
                    self.searched = 0;
                }
                return None;
            };
            let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.searched = 0;
            line.pop();
            if std::mem::take(&mut self.skipping) || line.len() > MAX_LINE {
                return Some(Err(format!("it is longer than {MAX_LINE} bytes")));
            }
            // Empty lines are what a person types; they ask nothing.
            if !line.trim_ascii().is_empty() {
                return Some(Ok(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> (tempfile::TempDir, Service) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new_in(dir.path()).unwrap();
        (dir, Service::new(folder))
    }

    fn ask(service: &mut Service, line: &str) -> Reply {
        service.answer_line(line.as_bytes()).0
    }

    #[test]
    fn another_version_is_refused() {
        let (_dir, mut service) = service();
        let reply = ask(&mut service, r#"{"ask":"hello","version":99}"#);
        let Reply::Failed { error, hint } = reply else {
            panic!("{reply:?}")
        };
        assert!(error.contains("99") && hint.unwrap().contains("deploy"));
        assert!(matches!(
            ask(&mut service, r#"{"ask":"hello","version":5}"#),
            Reply::Hello { .. }
        ));
    }

    #[test]
    fn files_of_the_folder_are_read_and_no_others() {
        let (dir, mut service) = service();
        let trial = service.folder.path().join("trial-1");
        fs::create_dir(&trial).unwrap();
        fs::write(trial.join("tx.pcap.zst"), [0, 255, 10]).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        let reply = ask(
            &mut service,
            r#"{"ask":"read","file":"trial-1/tx.pcap.zst"}"#,
        );
        let base64 = "AP8K".to_owned();
        assert_eq!(reply, Reply::Content { base64 });
        for file in [
            "../secret",
            "trial-1/../../secret",
            "/etc/passwd",
            "trial-2/x",
        ] {
            let line = format!(r#"{{"ask":"read","file":"{file}"}}"#);
            let reply = ask(&mut service, &line);
            assert!(
                matches!(&reply, Reply::Failed { error, .. } if error.contains("cannot read")),
                "{reply:?}"
            );
        }
    }

    #[test]
    fn garbage_is_answered_and_survived() {
        let (_dir, mut service) = service();
        for line in [
            "",
            "{}",
            "null",
            "\u{0}",
            r#"{"ask":"dance"}"#,
            r#"{"ask":"arm","trial":-1}"#,
        ] {
            assert!(
                matches!(ask(&mut service, line), Reply::Failed { .. }),
                "{line}"
            );
        }
        assert!(matches!(
            ask(&mut service, r#"{"ask":"read_clock"}"#),
            Reply::Clock(_)
        ));
    }

    #[test]
    fn requests_that_do_not_fit_are_refused() {
        let (_dir, mut service) = service();
        for line in [
            r#"{"ask":"arm","trial":1,"start_ns":1,"stop_ns":2,"drain_ns":3,"sealed_by":null,"announce":null}"#,
            r#"{"ask":"arm","trial":1,"start_ns":3,"stop_ns":2,"drain_ns":1,"sealed_by":null,"announce":null}"#,
            r#"{"ask":"finish","trial":1}"#,
            r#"{"ask":"await","trial":1}"#,
            r#"{"ask":"wait","until_ns":18446744073709551615}"#,
            r#"{"ask":"describe","interfaces":["no-such-nic"]}"#,
            r#"{"ask":"serve_clock","interface":"no-such-nic"}"#,
        ] {
            assert!(
                matches!(ask(&mut service, line), Reply::Failed { .. }),
                "{line}"
            );
        }
        assert_eq!(
            ask(&mut service, r#"{"ask":"status","trial":1}"#),
            Reply::Status { state: State::Idle }
        );
    }

    #[test]
    fn a_trial_goes_through_its_states() {
        let (_dir, mut service) = service();
        let prepare = r#"{"ask":"prepare","trial":7,"captures":[],"generate":null,"counters":["lo"],
            "files":[],"domains":false,"sample_every_ns":0}"#;
        let status = r#"{"ask":"status","trial":7}"#;
        assert_eq!(
            ask(&mut service, prepare),
            Reply::Prepared { captures: vec![] }
        );
        assert_eq!(
            ask(&mut service, status),
            Reply::Status {
                state: State::Prepared
            }
        );
        assert!(matches!(ask(&mut service, prepare), Reply::Failed { .. }));
        let start = realtime_ns() + 60_000_000_000;
        let arm = format!(
            r#"{{"ask":"arm","trial":7,"start_ns":{start},"stop_ns":{},"drain_ns":{},"sealed_by":null,"announce":null}}"#,
            start + 1,
            start + 2
        );
        assert!(matches!(ask(&mut service, &arm), Reply::Armed { lead_ns } if lead_ns > 0));
        assert_eq!(
            ask(&mut service, status),
            Reply::Status {
                state: State::Armed
            }
        );
        assert_eq!(
            ask(&mut service, r#"{"ask":"finish","trial":7}"#),
            Reply::Done
        );
        assert_eq!(
            ask(&mut service, status),
            Reply::Status { state: State::Done }
        );
    }

    #[test]
    fn a_moment_and_the_end_of_a_trial_are_awaited() {
        let (dir, mut service) = service();
        let told = dir.path().join("told");
        let start = realtime_ns() + 30_000_000;
        let wait = format!(r#"{{"ask":"wait","until_ns":{start}}}"#);
        let prepare = r#"{"ask":"prepare","trial":7,"captures":[],"generate":null,"counters":["lo"],
            "files":[],"domains":false,"sample_every_ns":0}"#;
        let arm = format!(
            r#"{{"ask":"arm","trial":7,"start_ns":{start},"stop_ns":{},"drain_ns":{},"sealed_by":null,"announce":"{}"}}"#,
            start + 1,
            start + 20_000_000,
            told.display()
        );
        assert!(matches!(ask(&mut service, prepare), Reply::Prepared { .. }));
        assert!(matches!(ask(&mut service, &arm), Reply::Armed { .. }));
        assert_eq!(
            fs::read_to_string(&told).unwrap(),
            "vifbench: trial 7 is armed\n"
        );
        assert_eq!(ask(&mut service, &wait), Reply::Done);
        assert!(realtime_ns() >= start);
        assert_eq!(
            ask(&mut service, r#"{"ask":"await","trial":7}"#),
            Reply::Done
        );
        assert!(realtime_ns() >= start + 20_000_000);
        let state = State::Done;
        assert_eq!(
            ask(&mut service, r#"{"ask":"status","trial":7}"#),
            Reply::Status { state }
        );
    }

    #[test]
    fn a_signal_ends_a_wait() {
        let (mut controller, end) = std::os::unix::net::UnixStream::pair().unwrap();
        let (_dir, service) = service();
        let folder = service.folder.path().to_owned();
        let (sender, thread) = std::sync::mpsc::channel();
        let probe = std::thread::spawn(move || {
            // Blocked from here on, so that it is this thread's and ends nothing else.
            signals().unwrap();
            sender.send(nix::sys::pthread::pthread_self()).unwrap();
            service.run(end.try_clone().unwrap(), end).unwrap();
        });
        let far = realtime_ns() + 600_000_000_000;
        // Both come at once, so when the first is answered the second is taken, whatever signals there are.
        let both = format!("{{\"ask\":\"read_clock\"}}\n{{\"ask\":\"wait\",\"until_ns\":{far}}}\n");
        controller.write_all(both.as_bytes()).unwrap();
        let mut said = io::BufRead::lines(io::BufReader::new(controller));
        assert!(said.next().unwrap().unwrap().contains("clock"));
        nix::sys::pthread::pthread_kill(thread.recv().unwrap(), Signal::SIGTERM).unwrap();
        let second = said.next().unwrap().unwrap();
        assert!(second.contains("a signal came first"), "{second}");
        probe.join().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn only_folders_made_for_a_probe_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new_in(dir.path()).unwrap();
        assert!(is_private(folder.path()));
        assert!(!is_private(dir.path()));
        let open = dir.path().join("vifbench-open");
        DirBuilder::new().mode(0o755).create(&open).unwrap();
        assert!(!is_private(&open));
        let link = dir.path().join("vifbench-link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(!is_private(&link));
    }

    #[test]
    fn lines_are_split_and_long_ones_thrown_away() {
        let (mut writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut lines = Lines::new(reader);
        let writing = std::thread::spawn(move || {
            writer.write_all(b"one\n\n  \ntw").unwrap();
            writer.write_all(b"o\n").unwrap();
            writer.write_all(&vec![b'x'; MAX_LINE + 100_000]).unwrap();
            writer.write_all(b"\nthree\nrest").unwrap();
        });
        let signals = signals().unwrap();
        let mut got = Vec::new();
        while let Event::Line(line) = lines.next(&signals).unwrap() {
            got.push(
                line.map(|line| String::from_utf8(line).unwrap())
                    .map_err(|_| ()),
            );
        }
        writing.join().unwrap();
        assert_eq!(
            got,
            [
                Ok("one".into()),
                Ok("two".into()),
                Err(()),
                Ok("three".into())
            ]
        );
    }
}
