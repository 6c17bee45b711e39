//! A machine over SSH: strict host keys, keys only, a deadline on every step, and a worker thread that owns the
//! connection, so that a dead host holds up nobody.
//!
//! The connection is made by the first operation and kept. After an operation failed for want of an answer
//! ([`HostError::is_outage`]) or was interrupted, the connection is dropped, because nobody knows its state; the
//! next operation makes a new one, with all its checks. There are no keep-alives: in a sealed trial the network
//! is down on purpose, and the deadlines find a dead host as well.
//!
//! A command whose deadline passed may still run on the host: whoever starts what must not stay records how to
//! end it on the undo stack.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_wait::{Cancel, Limit};

use crate::connection::{Connection, Login, Process, STDERR_KEPT, Target};
use crate::host::{BOOT_ID, Channel, Host, HostError, HostExt as _, Output};
use crate::keys::HostKey;
use crate::lines::Lines;
use crate::worker::{NoAnswer, Plug, Worker};

/// How to connect, besides what the lab file says.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// No single connection attempt takes longer, however long the operation may.
    pub connect_timeout: Duration,
    /// The network namespace from which the host is reached (the lab's `controller.netns`).
    pub netns: Option<String>,
    /// Ends every operation early.
    pub cancel: Option<Cancel>,
}

impl Default for SshOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            netns: None,
            cancel: None,
        }
    }
}

/// Beyond its deadline, a worker gets this long to say that the deadline passed; then it is left alone.
const GRACE: Duration = Duration::from_secs(1);

/// A machine reached over SSH.
#[derive(Debug)]
pub struct SshHost {
    target: Target,
    login: Login,
    cancel: Option<Cancel>,
    worker: Option<Worker<Link>>,
}

/// What the worker thread owns.
#[derive(Debug)]
struct Link {
    target: Target,
    login: Login,
    plug: Plug,
    connection: Option<Connection>,
    /// Which boot the kept connection was made to.
    boot: Option<String>,
}

impl Link {
    /// The live connection, made anew where there is none.
    fn connection(&mut self, limit: &Limit) -> Result<&mut Connection, HostError> {
        // A server may end an idle connection; that matters only if the machine was restarted meanwhile.
        let dropped_idle = self.connection.take_if(|c| c.is_closed()).is_some();
        if let Some(connection) = self.connection.take() {
            return Ok(self.connection.insert(connection));
        }
        let connection = Connection::open(&self.target, &self.login, &self.plug, limit)?;
        let answer = connection.run(&format!("cat {BOOT_ID}"), &[], limit)?;
        let boot = (answer.status == 0).then(|| answer.text());
        let before = std::mem::replace(&mut self.boot, boot);
        if dropped_idle && (before.is_none() || before != self.boot) {
            let why = "the host ended the connection and was restarted since";
            return Err(self.target.lost("go on where it was", &why));
        }
        Ok(self.connection.insert(connection))
    }

    fn with<T>(
        &mut self,
        limit: &Limit,
        work: impl FnOnce(&mut Connection) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let result = self.connection(limit).and_then(work);
        if result.is_err() {
            self.connection = None;
        }
        result
    }
}

impl SshHost {
    /// A host of a lab file. Nothing is sent before the first operation.
    ///
    /// # Errors
    /// When the lab file's host key cannot be read.
    pub fn new(spec: &HostSpec, options: SshOptions) -> Result<Self, HostError> {
        let host_key: HostKey = spec
            .host_key
            .parse()
            .map_err(|source| HostError::BadHostKey {
                host: spec.name.clone(),
                source,
            })?;
        Ok(Self {
            target: Target {
                host: spec.name.clone(),
                address: SocketAddr::new(spec.address, spec.port),
                netns: options.netns,
                connect_timeout: options.connect_timeout,
            },
            login: Login {
                user: spec.user.clone(),
                key: spec.key.clone(),
                host_key,
            },
            cancel: options.cancel,
            worker: None,
        })
    }

    /// Drops the connection. Do this before a host's state is saved or replaced under it (snapshot, restore).
    pub fn disconnect(&mut self) {
        // The worker sees the end of its requests, says goodbye and ends.
        self.worker = None;
    }

    /// Waits until the host answers, trying again for as long as it is unreachable.
    ///
    /// # Errors
    /// At once when it shows another host key or refuses the key; else the last failure, when the deadline has
    /// passed.
    pub fn await_up(&mut self, deadline: Duration) -> Result<(), HostError> {
        self.await_boot(deadline, None).map(drop)
    }

    /// Drops the connection, if any, and waits until the host answers again.
    ///
    /// # Errors
    /// As [`SshHost::await_up`].
    pub fn reconnect(&mut self, deadline: Duration) -> Result<(), HostError> {
        self.disconnect();
        self.await_up(deadline)
    }

    /// Restarts the machine and waits until it answers from a new boot. Returns the new boot's id.
    ///
    /// # Errors
    /// When it did not come back in time.
    pub fn reboot(&mut self, deadline: Duration) -> Result<String, HostError> {
        self.reboot_by("systemctl reboot || reboot", deadline)
    }

    /// As [`SshHost::reboot`], by another command.
    ///
    /// # Errors
    /// When the command fails, or the machine did not come back in time.
    pub fn reboot_by(&mut self, command: &str, deadline: Duration) -> Result<String, HostError> {
        let limit = Limit::new(deadline, self.cancel.clone());
        let before = self.boot_id(limit.left())?;
        match self.check(command, limit.left()) {
            // The answer may come through, or be cut off by what was asked for.
            Ok(_) | Err(HostError::Lost { .. }) => {}
            Err(error) => return Err(error),
        }
        self.disconnect();
        self.await_boot(limit.left(), Some(&before))
    }

    /// Waits for an answer from a boot other than `before`; any boot will do without one.
    fn await_boot(
        &mut self,
        deadline: Duration,
        before: Option<&str>,
    ) -> Result<String, HostError> {
        /// One attempt: a machine that is just going down may swallow what is sent to it.
        const ATTEMPT: Duration = Duration::from_secs(15);
        /// Between attempts at a machine that refuses at once.
        const PAUSE: Duration = Duration::from_millis(200);
        let doing = if before.is_some() {
            "come back from a reboot"
        } else {
            "answer on SSH"
        };
        let limit = Limit::new(deadline, self.cancel.clone());
        let mut last = None;
        loop {
            if let Err(over) = limit.check() {
                // What went wrong at last says more than that time is over.
                return Err(last.unwrap_or_else(|| self.target.over(over, &limit, doing)));
            }
            match self.boot_id(limit.left().min(ATTEMPT)) {
                Ok(boot) if Some(boot.as_str()) != before => return Ok(boot),
                Ok(_) => self.disconnect(),
                Err(error) if error.is_outage() => {
                    tracing::debug!(host = %self.target.host, %error, "not up yet");
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
            if let Err(over) = limit.pause(PAUSE) {
                return Err(last.unwrap_or_else(|| self.target.over(over, &limit, doing)));
            }
        }
    }

    /// Lets the worker do something, and comes back in time even if it does not.
    fn ask<T: Send + 'static>(
        &mut self,
        doing: &str,
        deadline: Duration,
        work: impl FnOnce(&mut Connection, &Limit) -> Result<T, HostError> + Send + 'static,
    ) -> Result<T, HostError> {
        let worker = if let Some(worker) = self.worker.take() {
            worker
        } else {
            let plug = Plug::default();
            let (target, login) = (self.target.clone(), self.login.clone());
            start(
                &self.target,
                plug.clone(),
                Link {
                    target,
                    login,
                    plug,
                    connection: None,
                    boot: None,
                },
            )?
        };
        let limit = Limit::new(deadline, self.cancel.clone());
        let answer = worker.call(deadline.saturating_add(GRACE), move |link| {
            link.with(&limit, |connection| work(connection, &limit))
        });
        match answer {
            Ok(result) => {
                self.worker = Some(worker);
                result
            }
            // That worker is not used again.
            Err(no_answer) => Err(unanswered(&self.target, no_answer, doing, deadline)),
        }
    }
}

fn start<S: Send + 'static>(target: &Target, plug: Plug, state: S) -> Result<Worker<S>, HostError> {
    Worker::start(&format!("ssh {}", target.host), plug, state).map_err(|source| HostError::Local {
        host: target.host.clone(),
        doing: "start a thread for the connection".to_owned(),
        source,
    })
}

fn unanswered(target: &Target, why: NoAnswer, doing: &str, deadline: Duration) -> HostError {
    match why {
        NoAnswer::Stuck => HostError::Deadline {
            host: target.host.clone(),
            doing: doing.to_owned(),
            deadline,
        },
        NoAnswer::Gone => target.lost(doing, &"the thread of this connection has ended"),
    }
}

impl Host for SshHost {
    fn disconnect(&mut self) {
        Self::disconnect(self);
    }

    fn reconnect(&mut self, deadline: Duration) -> Result<(), HostError> {
        Self::reconnect(self, deadline)
    }

    fn name(&self) -> &HostName {
        &self.target.host
    }

    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError> {
        let line = command.to_owned();
        self.ask(
            &format!("run `{command}`"),
            deadline,
            move |connection, limit| connection.run(&line, &[], limit),
        )
    }

    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        deadline: Duration,
    ) -> Result<(), HostError> {
        let (content, path): (Vec<u8>, PathBuf) = (content.to_vec(), path.to_owned());
        self.ask(
            &format!("write {}", path.display()),
            deadline,
            move |connection, limit| connection.deploy(&content, &path, mode, limit),
        )
    }

    fn open(&mut self, command: &str, deadline: Duration) -> Result<Box<dyn Channel>, HostError> {
        // A connection of its own: a long conversation does not hold up short commands, nor another one.
        let plug = Plug::default();
        let worker = start(&self.target, plug.clone(), None::<Talk>)?;
        let (target, login) = (self.target.clone(), self.login.clone());
        let line = command.to_owned();
        let limit = Limit::new(deadline, self.cancel.clone());
        let opened = worker.call(deadline.saturating_add(GRACE), move |talk| {
            let connection = Connection::open(&target, &login, &plug, &limit)?;
            let mut process = connection.start(&line, &limit)?;
            process.keep_stderr = STDERR_KEPT;
            *talk = Some(Talk {
                process,
                lines: Lines::default(),
                command: line,
                connection,
            });
            Ok(())
        });
        match opened {
            Ok(result) => result?,
            Err(why) => {
                let doing = format!("start `{command}`");
                return Err(unanswered(&self.target, why, &doing, deadline));
            }
        }
        Ok(Box::new(SshChannel {
            target: self.target.clone(),
            cancel: self.cancel.clone(),
            command: command.to_owned(),
            worker,
        }))
    }
}

/// A program that talks over its own connection; owned by the worker thread. The process goes before the
/// connection when both are dropped.
struct Talk {
    process: Process,
    lines: Lines,
    command: String,
    connection: Connection,
}

impl Talk {
    fn send(&mut self, mut bytes: &[u8], limit: &Limit) -> Result<(), HostError> {
        let Self {
            process,
            lines,
            connection,
            ..
        } = self;
        process.pump(connection, &mut bytes, limit, |p| {
            lines.bytes().append(&mut p.stdout);
            true
        })?;
        lines.bytes().append(&mut process.stdout);
        Ok(())
    }

    fn receive(&mut self, limit: &Limit) -> Result<Option<String>, HostError> {
        if let Some(line) = self.lines.next() {
            return Ok(Some(line));
        }
        let Self {
            process,
            lines,
            connection,
            ..
        } = self;
        process.pump(connection, &mut &[][..], limit, |p| {
            lines.bytes().append(&mut p.stdout);
            lines.ready()
        })?;
        lines.bytes().append(&mut process.stdout);
        Ok(lines.next())
    }

    /// Waits for the program's end. What it still says is dropped.
    fn end(mut self, limit: &Limit) -> Result<Output, HostError> {
        if !self.process.ended {
            self.process.end_input(&self.connection, limit)?;
            self.process
                .pump(&self.connection, &mut &[][..], limit, |p| {
                    p.stdout.clear();
                    false
                })?;
        }
        self.process.finish(&self.connection, limit)
    }

    fn ended(self, limit: &Limit) -> HostError {
        let (host, command) = (self.connection.host().clone(), self.command.clone());
        match self.end(limit) {
            Err(error) => error,
            Ok(output) => HostError::Ended {
                host,
                command,
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            },
        }
    }
}

struct SshChannel {
    target: Target,
    cancel: Option<Cancel>,
    command: String,
    worker: Worker<Option<Talk>>,
}

impl SshChannel {
    fn ask<T: Send + 'static>(
        &mut self,
        doing: &str,
        deadline: Duration,
        work: impl FnOnce(Talk, &Limit) -> (Option<Talk>, Result<T, HostError>) + Send + 'static,
    ) -> Result<T, HostError> {
        let doing = format!("{doing} `{}`", self.command);
        let limit = Limit::new(deadline, self.cancel.clone());
        let gone = self
            .target
            .lost(&doing, &"the conversation is over already");
        let answer = self
            .worker
            .call(deadline.saturating_add(GRACE), move |talk| {
                match talk.take() {
                    None => Err(gone),
                    Some(mine) => {
                        let (left, result) = work(mine, &limit);
                        *talk = left;
                        result
                    }
                }
            });
        answer.unwrap_or_else(|why| Err(unanswered(&self.target, why, &doing, deadline)))
    }
}

impl Channel for SshChannel {
    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), HostError> {
        let bytes = format!("{line}\n").into_bytes();
        self.ask("send a line to", deadline, move |mut talk, limit| {
            match talk.send(&bytes, limit) {
                Ok(()) if talk.process.ended => {
                    let error = talk.ended(limit);
                    (None, Err(error))
                }
                Ok(()) => (Some(talk), Ok(())),
                // Half a line may be gone: this conversation cannot go on.
                Err(error) => (None, Err(error)),
            }
        })
    }

    fn receive(&mut self, deadline: Duration) -> Result<String, HostError> {
        self.ask("hear from", deadline, move |mut talk, limit| {
            match talk.receive(limit) {
                Ok(Some(line)) => (Some(talk), Ok(line)),
                Ok(None) => {
                    let error = talk.ended(limit);
                    (None, Err(error))
                }
                // Nothing was lost by waiting in vain: the line may still come.
                Err(error @ HostError::Deadline { .. }) => (Some(talk), Err(error)),
                Err(error) => (None, Err(error)),
            }
        })
    }

    fn close(mut self: Box<Self>, deadline: Duration) -> Result<(), HostError> {
        let (host, command) = (self.target.host.clone(), self.command.clone());
        let output = self.ask("end", deadline, |talk, limit| (None, talk.end(limit)))?;
        if output.status == 0 {
            return Ok(());
        }
        Err(HostError::Failed {
            host,
            command,
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
