//! The controller itself as a host, in one of its network namespaces where asked.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use vifbench_scenarios::lab::HostName;
use vifbench_wait::{Cancel, Limit, Over};

use crate::connection::STDERR_KEPT;
use crate::host::{Channel, Host, HostError, Output};
use crate::lines::{Lines, keep_tail};
use crate::netns;

/// How long a killed process may take to go, before it is left to the kernel.
const REAP: Duration = Duration::from_secs(2);

/// This machine. Commands run by `sh -c`, each in a process group of its own, which is killed when a deadline
/// passes or a channel is dropped.
#[derive(Debug, Clone)]
pub struct LocalHost {
    name: HostName,
    netns: Option<String>,
    cancel: Option<Cancel>,
}

impl LocalHost {
    /// This machine under that name, outside any lab.
    pub fn new(name: HostName) -> Self {
        Self {
            name,
            netns: None,
            cancel: None,
        }
    }

    /// Runs everything in the named network namespace, with the `/sys` that belongs to it (`ip netns exec`).
    #[must_use]
    pub fn in_netns(mut self, netns: &str) -> Self {
        self.netns = Some(netns.to_owned());
        self
    }

    /// Ends every operation early when cancelled.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    fn start(&self, command: &str, stdin: Stdio) -> Result<Process, HostError> {
        let mut shell = match &self.netns {
            None => Command::new("sh"),
            Some(netns) => {
                std::fs::metadata(netns::path(netns)).map_err(|source| HostError::NoNamespace {
                    host: self.name.clone(),
                    netns: netns.clone(),
                    source,
                })?;
                let mut enter = Command::new("ip");
                enter.args(["netns", "exec", netns, "sh"]);
                enter
            }
        };
        let doing = format!("run `{command}`");
        let failed = |source| HostError::Local {
            host: self.name.clone(),
            doing: format!("start `{command}`"),
            source,
        };
        let child = shell
            .args(["-c", command])
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        Process::new(self.name.clone(), doing, child).map_err(failed)
    }
}

/// A running child with its pipes, none of which can block this thread.
#[derive(Debug)]
struct Process {
    host: HostName,
    doing: String,
    child: Child,
    /// Readable once the child has ended.
    end: OwnedFd,
    stdin: Option<ChildStdin>,
    pipe_out: Option<ChildStdout>,
    pipe_err: Option<ChildStderr>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    keep_stderr: usize,
    reaped: Option<ExitStatus>,
}

fn non_blocking(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

impl Process {
    fn new(host: HostName, doing: String, mut child: Child) -> io::Result<Self> {
        let (stdin, pipe_out, pipe_err) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let watch = || -> io::Result<OwnedFd> {
            for fd in [
                stdin.as_ref().map(AsFd::as_fd),
                pipe_out.as_ref().map(AsFd::as_fd),
                pipe_err.as_ref().map(AsFd::as_fd),
            ] {
                fd.map_or(Ok(()), non_blocking)?;
            }
            Ok(pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?)
        };
        let end = match watch() {
            Ok(end) => end,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        Ok(Self {
            host,
            doing,
            child,
            end,
            stdin,
            pipe_out,
            pipe_err,
            stdout: Vec::new(),
            stderr: Vec::new(),
            keep_stderr: usize::MAX,
            reaped: None,
        })
    }

    fn over(&self, over: Over, limit: &Limit) -> HostError {
        let (host, doing) = (self.host.clone(), self.doing.clone());
        match over {
            Over::Deadline => HostError::Deadline {
                host,
                doing,
                deadline: limit.total,
            },
            Over::Cancelled => HostError::Interrupted { host, doing },
            Over::Poll(source) => HostError::Local {
                host,
                doing,
                source,
            },
        }
    }

    fn failed(&self, source: io::Error) -> HostError {
        HostError::Local {
            host: self.host.clone(),
            doing: self.doing.clone(),
            source,
        }
    }

    /// Have both outputs ended?
    fn ended(&self) -> bool {
        self.pipe_out.is_none() && self.pipe_err.is_none()
    }

    /// Sends `input`, collects both outputs, until all is sent and `enough`, or until the outputs have ended.
    fn pump(
        &mut self,
        input: &mut &[u8],
        limit: &Limit,
        mut enough: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), HostError> {
        loop {
            let wants_input = !input.is_empty();
            if self.ended() || (!wants_input && enough(self)) {
                return Ok(());
            }
            let mut wanted: Vec<(BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(3);
            wanted.extend(self.pipe_out.as_ref().map(|p| (p.as_fd(), PollFlags::IN)));
            wanted.extend(self.pipe_err.as_ref().map(|p| (p.as_fd(), PollFlags::IN)));
            if wants_input {
                wanted.extend(self.stdin.as_ref().map(|p| (p.as_fd(), PollFlags::OUT)));
            }
            limit.wait(&wanted).map_err(|over| self.over(over, limit))?;
            if let Err(error) = self.step(input) {
                return Err(self.failed(error));
            }
        }
    }

    /// Moves what can be moved without waiting.
    fn step(&mut self, input: &mut &[u8]) -> io::Result<()> {
        drain(&mut self.pipe_out, &mut self.stdout)?;
        drain(&mut self.pipe_err, &mut self.stderr)?;
        keep_tail(&mut self.stderr, self.keep_stderr);
        if input.is_empty() {
            return Ok(());
        }
        let Some(stdin) = &mut self.stdin else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        match stdin.write(input) {
            Ok(count) => *input = &input[count..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // The program no longer listens. Whether it has ended shows in its outputs.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.ended() => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Waits for the end of the child itself.
    fn finish(&mut self, limit: &Limit) -> Result<Output, HostError> {
        let status = if let Some(status) = self.reaped {
            status
        } else {
            limit
                .wait(&[(self.end.as_fd(), PollFlags::IN)])
                .map_err(|over| self.over(over, limit))?;
            // It has ended: this does not wait.
            *self
                .reaped
                .insert(self.child.wait().map_err(|source| HostError::Local {
                    host: self.host.clone(),
                    doing: self.doing.clone(),
                    source,
                })?)
        };
        Ok(Output {
            // One of the two is there: the child has ended, and is not merely stopped.
            status: status
                .code()
                .or_else(|| status.signal().map(|s| 128 + s))
                .unwrap_or(-1),
            stdout: std::mem::take(&mut self.stdout),
            stderr: std::mem::take(&mut self.stderr),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.reaped.is_some() {
            return;
        }
        let pid = Pid::from_child(&self.child);
        // The child is not reaped yet, so the number is still its own.
        if let Err(error) = kill_process_group(pid, Signal::KILL) {
            tracing::debug!(%error, doing = self.doing, "the process group was gone already");
        }
        let limit = Limit::new(REAP, None);
        let reaped = match limit.wait(&[(self.end.as_fd(), PollFlags::IN)]) {
            Ok(_) => self.child.wait().map(drop),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = reaped {
            tracing::warn!(%error, doing = self.doing, "a killed process did not go");
        }
    }
}

/// Takes what is there; drops the pipe at its end.
fn drain<P: Read>(pipe: &mut Option<P>, into: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let Some(open) = pipe else { return Ok(()) };
    loop {
        match open.read(&mut buffer) {
            Ok(0) => {
                *pipe = None;
                return Ok(());
            }
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        // One buffer full at a time: the other pipe and the deadline get their turn.
        if into.len() >= buffer.len() {
            return Ok(());
        }
    }
}

impl Host for LocalHost {
    fn name(&self) -> &HostName {
        &self.name
    }

    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError> {
        let limit = Limit::new(deadline, self.cancel.clone());
        let mut process = self.start(command, Stdio::null())?;
        process.pump(&mut &[][..], &limit, |_| false)?;
        process.finish(&limit)
    }

    /// The deadline is not enforced: a local disk that hangs holds up this process anyway.
    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        _deadline: Duration,
    ) -> Result<(), HostError> {
        write_beside(content, path, mode).map_err(|error| HostError::NotWritten {
            host: self.name.clone(),
            path: path.to_owned(),
            why: error.to_string(),
        })
    }

    fn open(&mut self, command: &str, _deadline: Duration) -> Result<Box<dyn Channel>, HostError> {
        let mut process = self.start(command, Stdio::piped())?;
        process.keep_stderr = STDERR_KEPT;
        Ok(Box::new(LocalChannel {
            process,
            lines: Lines::default(),
            command: command.to_owned(),
            cancel: self.cancel.clone(),
        }))
    }
}

/// Writes under a temporary name in the same folder, then renames: the file is never half there.
fn write_beside(content: &[u8], path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".part")
        .tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

struct LocalChannel {
    process: Process,
    lines: Lines,
    command: String,
    cancel: Option<Cancel>,
}

impl LocalChannel {
    fn limit(&mut self, doing: &str, deadline: Duration) -> Limit {
        self.process.doing = format!("{doing} `{}`", self.command);
        Limit::new(deadline, self.cancel.clone())
    }

    fn ended(&mut self, limit: &Limit) -> HostError {
        match self.process.finish(limit) {
            Err(error) => error,
            Ok(output) => HostError::Ended {
                host: self.process.host.clone(),
                command: self.command.clone(),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            },
        }
    }
}

impl Channel for LocalChannel {
    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), HostError> {
        let limit = self.limit("send a line to", deadline);
        let bytes = format!("{line}\n").into_bytes();
        let Self { process, lines, .. } = self;
        let sent = process.pump(&mut bytes.as_slice(), &limit, |p| {
            lines.bytes().append(&mut p.stdout);
            true
        });
        lines.bytes().append(&mut process.stdout);
        match sent {
            Err(HostError::Local { ref source, .. })
                if source.kind() == io::ErrorKind::BrokenPipe =>
            {
                // It closed its stdin: by ending, or (a fault in it) while going on.
                process.pump(&mut &[][..], &limit, |_| false)?;
                Err(self.ended(&limit))
            }
            Err(error) => Err(error),
            Ok(()) if process.ended() => Err(self.ended(&limit)),
            Ok(()) => Ok(()),
        }
    }

    fn receive(&mut self, deadline: Duration) -> Result<String, HostError> {
        let limit = self.limit("hear from", deadline);
        if let Some(line) = self.lines.next() {
            return Ok(line);
        }
        let Self { process, lines, .. } = self;
        let pumped = process.pump(&mut &[][..], &limit, |p| {
            lines.bytes().append(&mut p.stdout);
            lines.ready()
        });
        lines.bytes().append(&mut process.stdout);
        pumped?;
        match lines.next() {
            Some(line) => Ok(line),
            None => Err(self.ended(&limit)),
        }
    }

    fn close(mut self: Box<Self>, deadline: Duration) -> Result<(), HostError> {
        let limit = self.limit("end", deadline);
        self.process.stdin = None;
        self.process.pump(&mut &[][..], &limit, |p| {
            p.stdout.clear();
            false
        })?;
        let output = self.process.finish(&limit)?;
        if output.status == 0 {
            return Ok(());
        }
        Err(HostError::Failed {
            host: self.process.host.clone(),
            command: self.command.clone(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
