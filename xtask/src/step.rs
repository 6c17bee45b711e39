//! One command of a task: in the foreground, or beside others with its output in a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// Lines of a failed background step that are shown.
const TAIL: usize = 60;

/// Process groups that still run.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Ends every child, with all that it started, when this program is told to end.
pub fn end_children_on_signals() -> Result<()> {
    ctrlc::set_handler(|| {
        end_children();
        std::process::exit(130);
    })
    .context("cannot listen for signals")
}

/// Ends every child that still runs, with all that it started.
pub fn end_children() {
    let running = RUNNING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for id in running.iter() {
        if let Some(group) = i32::try_from(*id).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(group, Signal::TERM)
            && error != rustix::io::Errno::SRCH
        {
            eprintln!("xtask: cannot end process group {id}: {error}");
        }
    }
}

/// A command with the name under which it is announced.
#[derive(Debug)]
pub struct Step {
    name: String,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
}

impl Step {
    /// A program without arguments.
    pub fn new(name: &str, program: impl Into<OsString>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// A command of cargo.
    pub fn cargo(name: &str, args: &[&str]) -> Self {
        Self::new(name, "cargo").args(args)
    }

    /// More arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(OsString::from));
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        // A group of its own, so that it ends with all that it started.
        command.process_group(0);
        command
    }

    fn spawn(&self, command: &mut Command) -> Result<Child> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        RUNNING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(child.id());
        Ok(child)
    }

    fn wait(&self, child: &mut Child) -> Result<bool> {
        let status = child
            .wait()
            .with_context(|| format!("cannot wait for {}", self.program.display()))?;
        RUNNING
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain(|id| *id != child.id());
        Ok(status.success())
    }

    /// Runs it in the foreground.
    pub fn run(&self) -> Result<()> {
        say(&self.name)?;
        let began = Instant::now();
        let mut child = self.spawn(&mut self.command())?;
        if !self.wait(&mut child)? {
            bail!("{} failed", self.name);
        }
        say(&format!(
            "{}: done in {} s",
            self.name,
            began.elapsed().as_secs()
        ))
    }

    /// Runs it, and returns what it writes to its standard output.
    pub fn output(&self) -> Result<Vec<u8>> {
        let output = self
            .command()
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        if !output.status.success() {
            bail!("{} failed", self.name);
        }
        Ok(output.stdout)
    }

    /// Starts it beside whatever follows; its output goes to a file in `folder`.
    pub fn beside(self, folder: &Path) -> Result<Beside> {
        let log = folder.join(self.name.replace(|c: char| !c.is_alphanumeric(), "-"));
        let file =
            File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let other = file
            .try_clone()
            .with_context(|| format!("cannot use {} twice", log.display()))?;
        let mut command = self.command();
        command.stdout(file).stderr(other);
        say(&format!("{}: in the background", self.name))?;
        let child = self.spawn(&mut command)?;
        Ok(Beside {
            step: self,
            child,
            log,
            began: Instant::now(),
        })
    }
}

/// A step that runs beside others.
#[derive(Debug)]
pub struct Beside {
    step: Step,
    child: Child,
    log: PathBuf,
    began: Instant,
}

impl Beside {
    /// Waits for it. Where it fails, the end of what it wrote is shown.
    pub fn wait(mut self) -> Result<()> {
        say(&format!("waiting for: {}", self.step.name))?;
        if self.step.wait(&mut self.child)? {
            return say(&format!(
                "{}: done, {} s after its start",
                self.step.name,
                self.began.elapsed().as_secs()
            ));
        }
        let bytes = std::fs::read(&self.log)
            .with_context(|| format!("cannot read {}", self.log.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            writeln!(io::stdout(), "{line}")?;
        }
        bail!("{} failed; above are its last lines", self.step.name)
    }
}

/// Prints a line about the task itself, with the time since it began.
pub fn say(text: &str) -> Result<()> {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let seconds = BEGAN.get_or_init(Instant::now).elapsed().as_secs();
    writeln!(io::stdout(), "== {seconds:>5} s  {text}").context("cannot write to standard output")
}
