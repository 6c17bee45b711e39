//! The contract with a machine: run a command, deploy a file, open a channel to a program; each with a deadline.

use std::path::Path;
use std::time::Duration;

use thiserror::Error;
use vifbench_scenarios::lab::HostName;

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
    #[error("cannot reach {host} at {address} to {doing}: {source}; is the host up and SSH running?")]
    Unreachable { host: HostName, address: String, doing: String, source: std::io::Error },
    /// The host's key is not the enrolled one.
    #[error("{host} shows another SSH host key than the lab file's: expected {expected}, got {got}; if the host was reinstalled, enrol it again")]
    HostKeyChanged { host: HostName, expected: String, got: String },
    /// The private key is missing or refused.
    #[error("{host} refused the key {key}: {why}")]
    Refused { host: HostName, key: String, why: String },
    /// The connection ended in the middle.
    #[error("the connection to {host} was lost while trying to {doing}: {why}")]
    Lost { host: HostName, doing: String, why: String },
    /// The deadline passed.
    #[error("{host} did not finish within {deadline:?}: {doing}")]
    Deadline { host: HostName, doing: String, deadline: Duration },
    /// The command ran and failed.
    #[error("on {host}, `{command}` failed with status {status}: {stderr}")]
    Failed { host: HostName, command: String, status: i32, stderr: String },
    /// The machine is not the one that was enrolled.
    #[error("{host} is not the enrolled machine: its {what} is {got}, the lab file says {expected}; nothing was changed on it")]
    NotEnrolled { host: HostName, what: &'static str, expected: String, got: String },
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

/// A machine: over SSH, this one, or a recorded transcript.
pub trait Host: Send {
    /// Its name in the lab file.
    fn name(&self) -> &HostName;
    /// Runs a shell command. A non-zero status is not an error here; see [`HostExt::check`].
    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError>;
    /// Writes a file with that mode, by way of a temporary name beside it, so that it is never half there.
    fn deploy(&mut self, content: &[u8], path: &Path, mode: u32, deadline: Duration) -> Result<(), HostError>;
    /// Starts a program and keeps its stdin and stdout.
    fn open(&mut self, command: &str, deadline: Duration) -> Result<Box<dyn Channel>, HostError>;
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
        Ok(self.check(&format!("cat -- '{}'", path.display()), deadline)?.stdout)
    }
}

impl<T: Host + ?Sized> HostExt for T {}
