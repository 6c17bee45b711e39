//! The contract with a machine: run a command, deploy a file, open a channel to a program; each with a deadline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use vifbench_scenarios::lab::HostName;

use crate::shell::quote_path;

/// What a finished command left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Exit status; 128 + signal where one killed it.
    pub status: i32,
    /// Standard output, as bytes: file contents are fetched through it.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// Why a remote step failed. Every variant names the host and what was attempted.
#[derive(Debug, Error)]
pub enum HostError {
    /// No TCP connection.
    #[error(
        "cannot reach {host} at {address} to {doing}: {source}; is the host up and SSH running?"
    )]
    Unreachable {
        /// Which host.
        host: HostName,
        /// Where it should be.
        address: String,
        /// What was attempted.
        doing: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The host's key is not the enrolled one.
    #[error(
        "{host} shows another SSH host key than the lab file's: expected {expected}, got {got}; if the host was reinstalled, enrol it again"
    )]
    HostKeyChanged {
        /// Which host.
        host: HostName,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The private key of the lab file cannot be used on this machine. The host was not asked.
    #[error("the private key {} of {host} cannot be read here: {why}", key.display())]
    NoKey {
        /// Whose key.
        host: HostName,
        /// The private key file.
        key: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// The host does not accept the private key.
    #[error("{host} refused the key {key}: {why}")]
    Refused {
        /// Which host.
        host: HostName,
        /// The private key file.
        key: String,
        /// What went wrong.
        why: String,
    },
    /// The connection ended in the middle.
    #[error("the connection to {host} was lost while trying to {doing}: {why}")]
    Lost {
        /// Which host.
        host: HostName,
        /// What was attempted.
        doing: String,
        /// What went wrong.
        why: String,
    },
    /// The deadline passed.
    #[error("{host} did not finish within {deadline:?}: {doing}")]
    Deadline {
        /// Which host.
        host: HostName,
        /// What was attempted.
        doing: String,
        /// How long it was given.
        deadline: Duration,
    },
    /// A machine of the virtual lab gave no sign, though the clock on the wall went on; virtual time may stand still.
    #[error(
        "{host} gave no answer for {} s by the clock on the wall: {doing}; the machine is stuck, or has too little of the processor",
        waited.as_secs()
    )]
    Stuck {
        /// Which host.
        host: HostName,
        /// What was attempted.
        doing: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The command ran and failed.
    #[error("on {host}, `{command}` failed with status {status}: {stderr}")]
    Failed {
        /// Which host.
        host: HostName,
        /// The command line.
        command: String,
        /// Its exit status; 128 + signal where one killed it.
        status: i32,
        /// What it said last on standard error.
        stderr: String,
    },
    /// The machine is not the one that was enrolled.
    #[error(
        "{host} is not the enrolled machine: its {what} is {got}, the lab file says {expected}; nothing was changed on it"
    )]
    NotEnrolled {
        /// Which host.
        host: HostName,
        /// Which property differs.
        what: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// Ctrl-C, or whoever holds the [`vifbench_wait::Cancel`] token, ended the step.
    #[error("interrupted while {host} was about to {doing}")]
    Interrupted {
        /// Which host.
        host: HostName,
        /// What was attempted.
        doing: String,
    },
    /// The named network namespace cannot be entered.
    #[error(
        "cannot enter the network namespace {netns} to reach {host}: {source}; is the lab up (`vifbench lab up`), and is this root?"
    )]
    NoNamespace {
        /// Which host.
        host: HostName,
        /// The namespace's name.
        netns: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The lab file's host key cannot be read.
    #[error("the lab file's host_key of {host} cannot be used: {source}")]
    BadHostKey {
        /// Which host.
        host: HostName,
        /// What went wrong.
        source: crate::keys::HostKeyError,
    },
    /// A file could not be written; what stood there before is untouched.
    #[error("cannot write {} on {host}: {why}", path.display())]
    NotWritten {
        /// Which host.
        host: HostName,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// A program that was to go on talking has ended.
    #[error(
        "on {host}, `{command}` ended with status {status} while an answer was awaited: {stderr}"
    )]
    Ended {
        /// Which host.
        host: HostName,
        /// The command line.
        command: String,
        /// Its exit status; 128 + signal where one killed it.
        status: i32,
        /// What it said last on standard error.
        stderr: String,
    },
    /// A process on the controller itself could not be started or watched.
    #[error("cannot {doing} on {host}: {source}")]
    Local {
        /// Which host.
        host: HostName,
        /// What was attempted.
        doing: String,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl HostError {
    /// The host did not do its part (as against: it did, and said no). What is on it now is unknown.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Deadline { .. }
        )
    }
}

/// A program on the host that answers line by line (`vifprobe`).
pub trait Channel: Send {
    /// Sends one line; the newline is added here.
    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), HostError>;
    /// Waits for the next whole line.
    fn receive(&mut self, deadline: Duration) -> Result<String, HostError>;
    /// Closes the program's stdin and waits for its end.
    fn close(self: Box<Self>, deadline: Duration) -> Result<(), HostError>;
}

/// A machine: one reached over SSH, this one, or a machine of the sealed virtual lab.
pub trait Host: Send {
    /// Its name in the lab file.
    fn name(&self) -> &HostName;
    /// Runs a shell command. A non-zero status is not an error here; see [`HostExt::check`].
    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError>;
    /// Writes a file with that mode, by way of a temporary name beside it, so that it is never half there.
    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        deadline: Duration,
    ) -> Result<(), HostError>;
    /// Starts a program and keeps its stdin and stdout.
    fn open(&mut self, command: &str, deadline: Duration) -> Result<Box<dyn Channel>, HostError>;
    /// Ends the connection, if there is one; the next step makes a new one.
    fn disconnect(&mut self) {}
    /// Ends the connection, if there is one, and waits until the host answers again.
    fn reconnect(&mut self, _deadline: Duration) -> Result<(), HostError> {
        Ok(())
    }
}

/// What every host can do, built from the three operations.
pub trait HostExt: Host {
    /// Runs a command that must succeed and returns its output.
    fn check(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError> {
        let output = self.run(command, deadline)?;
        if output.status == 0 {
            return Ok(output);
        }
        Err(HostError::Failed {
            host: self.name().clone(),
            command: command.to_owned(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
    /// The bytes of a remote file.
    fn fetch(&mut self, path: &Path, deadline: Duration) -> Result<Vec<u8>, HostError> {
        Ok(self
            .check(&format!("cat -- {}", quote_path(path)), deadline)?
            .stdout)
    }
    /// Which boot this is: it changes with every restart of the kernel.
    fn boot_id(&mut self, deadline: Duration) -> Result<String, HostError> {
        Ok(self.check(&format!("cat {BOOT_ID}"), deadline)?.text())
    }
}

/// Where Linux tells which boot this is.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl<T: Host + ?Sized> Host for Box<T> {
    fn name(&self) -> &HostName {
        (**self).name()
    }
    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError> {
        (**self).run(command, deadline)
    }
    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        deadline: Duration,
    ) -> Result<(), HostError> {
        (**self).deploy(content, path, mode, deadline)
    }
    fn open(&mut self, command: &str, deadline: Duration) -> Result<Box<dyn Channel>, HostError> {
        (**self).open(command, deadline)
    }
    fn disconnect(&mut self) {
        (**self).disconnect();
    }
    fn reconnect(&mut self, deadline: Duration) -> Result<(), HostError> {
        (**self).reconnect(deadline)
    }
}

impl<T: Host + ?Sized> HostExt for T {}
