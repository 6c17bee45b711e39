//! Speaking to the machine only while its time stands still, so that a sealed trial stays a function of what is asked
//! and never of when.
//!
//! dom0's agent (`images/rendezvous.c`) stops the machine when it wants the next request. The controller writes the
//! request into memory that both share, lets the machine go on, and waits for it to stop again: then the reply is
//! there. Guests are reached from dom0 over SSH, inside the sealed machine. No frame, no key stroke and no clock of
//! the controller's ever enters.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use vifbench_scenarios::lab::HostName;
use vifbench_wait::Cancel;

use super::machine::{MAILBOX, Machine};
use super::patience::{Patience, stuck_after};
use super::{LabError, files};
use crate::host::{Channel, Host, HostError, Output};
use crate::shell::{quote, quote_path};

const MAGIC: u64 = 0x315a_5644_524d_4256;
/// Where a request's text begins, and where a reply's.
const INPUT: u64 = 4096;
const OUTPUT: u64 = 8 << 20;
const SLICE: u64 = MAILBOX - OUTPUT;
/// A deadline of a request is one of virtual time. By the wall, whatever is due within this much may take as long as any
/// wait for a machine ([`stuck_after`]); each second beyond may take as long as an emulated second ever does. An exchange of
/// clocks, which is due within 20 s on top of the minute that every request has, is not to wait longer than others.
const SHORT: Duration = Duration::from_secs(80);
const SLOWNESS: u32 = 60;
/// What `ssh` ends with where it does not reach the guest.
const NO_LOGIN: i32 = 255;

/// Where the fields of `struct header` lie.
mod field {
    pub const MAGIC: u64 = 0;
    pub const ASKED: u64 = 8;
    pub const REPLIED: u64 = 16;
    pub const OP: u64 = 24;
    pub const CHANNEL: u64 = 28;
    pub const DEADLINE: u64 = 32;
    pub const TEXT_LEN: u64 = 40;
    pub const INPUT_LEN: u64 = 48;
    pub const OUTCOME: u64 = 56;
    pub const STATUS: u64 = 60;
    pub const OUT_LEN: u64 = 64;
    pub const ERR_LEN: u64 = 72;
    pub const OFFSET: u64 = 80;
    pub const LEAVE: u64 = 88;
    pub const BEGAN: u64 = 96;
    pub const ENDED: u64 = 104;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Run = 1,
    More,
    Open,
    Send,
    Receive,
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Deadline,
    Over,
    Refused,
}

/// What the agent answered.
#[derive(Debug)]
struct Reply {
    outcome: Outcome,
    status: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// One request, and when it was carried out. Two runs of one sealed trial have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// The machine's time-stamp counter, which counts nanoseconds of virtual time, when the request was taken up.
    began_tsc: u64,
    /// The same when it was done.
    ended_tsc: u64,
    op: Op,
    channel: u32,
    /// A command, or lines to a program.
    text: String,
    /// How much goes to its standard input.
    input_bytes: usize,
}

/// The controller's end. Requests are served one after another.
#[derive(Debug)]
pub struct Rendezvous {
    machine: Machine,
    mailbox: File,
    cancel: Option<Cancel>,
    said: Vec<Turn>,
}

impl Rendezvous {
    /// Of a machine that stands still because its agent waits.
    pub(super) fn open(machine: &Machine, cancel: Option<Cancel>) -> Result<Self, LabError> {
        let path = machine.mailbox();
        let mailbox = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(files::failed("open", &path))?;
        let this = Self {
            machine: machine.clone(),
            mailbox,
            cancel,
            said: Vec::new(),
        };
        let magic = this.word(field::MAGIC).map_err(|why| LabError::Qmp {
            doing: "read its mailbox".to_owned(),
            why,
        })?;
        if magic != MAGIC {
            return Err(LabError::Qmp {
                doing: "wait for a request".to_owned(),
                why: "its agent has not started; see dom0's console".to_owned(),
            });
        }
        Ok(this)
    }

    /// What was said since the machine was loaded.
    pub fn said(&self) -> &[Turn] {
        &self.said
    }

    fn word(&self, at: u64) -> Result<u64, String> {
        let mut bytes = [0; 8];
        self.mailbox
            .read_exact_at(&mut bytes, at)
            .map_err(|error| format!("its mailbox cannot be read: {error}"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn half(&self, at: u64) -> Result<u32, String> {
        let mut bytes = [0; 4];
        self.mailbox
            .read_exact_at(&mut bytes, at)
            .map_err(|error| format!("its mailbox cannot be read: {error}"))?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), String> {
        self.mailbox
            .write_all_at(bytes, at)
            .map_err(|error| format!("its mailbox cannot be written: {error}"))
    }

    fn ask(
        &mut self,
        op: Op,
        channel: u32,
        text: &[u8],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Reply, Fault> {
        let room = (OUTPUT - INPUT) as usize;
        if text.len() + input.len() > room {
            return Err(Fault::Broken(format!(
                "{} bytes do not fit its mailbox of {room}",
                text.len() + input.len()
            )));
        }
        tracing::debug!(
            ?op,
            channel,
            ?deadline,
            input = input.len(),
            text = %String::from_utf8_lossy(text),
            "request"
        );
        self.put(INPUT, text)?;
        self.put(INPUT + text.len() as u64, input)?;
        self.put(field::CHANNEL, &channel.to_le_bytes())?;
        self.put(
            field::DEADLINE,
            &(deadline.as_millis() as u64).to_le_bytes(),
        )?;
        self.put(field::TEXT_LEN, &(text.len() as u64).to_le_bytes())?;
        self.put(field::INPUT_LEN, &(input.len() as u64).to_le_bytes())?;
        let began = Instant::now();
        self.turn(op, deadline)?;
        let (began_tsc, ended_tsc) = (self.word(field::BEGAN)?, self.word(field::ENDED)?);
        tracing::debug!(
            wall_ms = began.elapsed().as_millis(),
            virtual_ms = ended_tsc.saturating_sub(began_tsc) / 1_000_000,
            "replied"
        );
        self.said.push(Turn {
            began_tsc,
            ended_tsc,
            op,
            channel,
            text: String::from_utf8_lossy(text).into_owned(),
            input_bytes: input.len(),
        });
        let outcome = match self.half(field::OUTCOME)? {
            0 => Outcome::Done,
            1 => Outcome::Deadline,
            2 => Outcome::Over,
            _ => Outcome::Refused,
        };
        let status = self.half(field::STATUS)?.cast_signed();
        let (out, err) = (self.word(field::OUT_LEN)?, self.word(field::ERR_LEN)?);
        let total = out.checked_add(err).filter(|all| *all < 1 << 32);
        let total = total.ok_or_else(|| format!("it answered with {out} and {err} bytes"))?;
        let mut all = vec![0; total as usize];
        let mut from = 0;
        while from < total {
            if from > 0 {
                self.put(field::OFFSET, &from.to_le_bytes())?;
                self.turn(Op::More, deadline)?;
            }
            let to = (from + SLICE).min(total);
            self.mailbox
                .read_exact_at(&mut all[from as usize..to as usize], OUTPUT)
                .map_err(|error| format!("its mailbox cannot be read: {error}"))?;
            from = to;
        }
        let stderr = all.split_off(out as usize);
        Ok(Reply {
            outcome,
            status,
            stdout: all,
            stderr,
        })
    }

    /// Lets the machine go on until it asks again.
    fn turn(&mut self, op: Op, deadline: Duration) -> Result<(), Fault> {
        let asked = self.word(field::ASKED)? + 1;
        self.put(field::OP, &(op as u32).to_le_bytes())?;
        self.put(field::ASKED, &asked.to_le_bytes())?;
        let mut qmp = self.machine.qmp().map_err(|error| match error {
            LabError::Stuck { waited, .. } => Fault::Late(waited),
            error => Fault::Broken(error.to_string()),
        })?;
        let patience = Patience::new(stuck_after() + SLOWNESS * deadline.saturating_sub(SHORT));
        qmp.resume_until_stop(patience, "a reply of dom0's agent", || {
            self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
        })
        .map_err(|error| match error {
            super::qmp::Unstopped::Cancelled => Fault::Cancelled,
            super::qmp::Unstopped::Late(waited)
            | super::qmp::Unstopped::Failed(LabError::Stuck { waited, .. }) => Fault::Late(waited),
            super::qmp::Unstopped::Failed(error) => Fault::Broken(error.to_string()),
        })?;
        if self.word(field::REPLIED)? == asked {
            Ok(())
        } else {
            Err(Fault::Broken(
                "it stopped for another reason than to reply; see the consoles".to_owned(),
            ))
        }
    }

    /// Tells the agent that the network is used from here on; the machine still stands.
    pub(super) fn leave(&self) -> Result<(), LabError> {
        self.put(field::LEAVE, &1_u64.to_le_bytes())
            .map_err(|why| LabError::Qmp {
                doing: "send its agent away".to_owned(),
                why,
            })
    }
}

/// Why there is no reply.
#[derive(Debug)]
enum Fault {
    Cancelled,
    /// For so long, by the clock on the wall.
    Late(Duration),
    Broken(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

/// The agent, shared by the hosts that are reached through it.
pub type Shared = Arc<Mutex<Rendezvous>>;

/// dom0, or a guest by way of dom0, in a sealed machine.
#[derive(Debug, Clone)]
pub struct SealedHost {
    name: HostName,
    /// A guest is reached by `ssh` from dom0.
    guest: bool,
    agent: Shared,
}

impl SealedHost {
    /// dom0, where the agent runs.
    pub fn dom0(name: HostName, agent: Shared) -> Self {
        Self {
            name,
            guest: false,
            agent,
        }
    }

    /// A guest, by the name that dom0 knows it by.
    pub fn guest(name: HostName, agent: Shared) -> Self {
        Self {
            name,
            guest: true,
            agent,
        }
    }

    fn ask(
        &self,
        doing: &str,
        op: Op,
        channel: u32,
        (text, input): (&[u8], &[u8]),
        deadline: Duration,
    ) -> Result<Reply, HostError> {
        let mut agent = self.agent.lock().unwrap_or_else(PoisonError::into_inner);
        agent
            .ask(op, channel, text, input, deadline)
            .map_err(|fault| match fault {
                Fault::Cancelled => HostError::Interrupted {
                    host: self.name.clone(),
                    doing: doing.to_owned(),
                },
                Fault::Late(waited) => HostError::Stuck {
                    host: self.name.clone(),
                    doing: doing.to_owned(),
                    waited,
                },
                Fault::Broken(why) => self.lost(doing, why),
            })
    }

    fn late(&self, doing: &str, deadline: Duration) -> HostError {
        HostError::Deadline {
            host: self.name.clone(),
            doing: doing.to_owned(),
            deadline,
        }
    }

    fn lost(&self, doing: &str, why: impl Into<String>) -> HostError {
        HostError::Lost {
            host: self.name.clone(),
            doing: doing.to_owned(),
            why: why.into(),
        }
    }

    /// The command as dom0's shell is given it. One connection to a guest is kept in dom0, which all commands share; one
    /// that is there from before, in the saved state, is as good. Starting a program takes an emulated machine a tenth of a
    /// second, so whether it is there is asked by the shell itself, in the same request.
    fn words(&self, command: &str) -> String {
        if self.guest {
            let name = quote(&self.name.to_string());
            let command = quote(command);
            format!(
                "[ -S /run/ssh-{name} ] || ssh -MNf {name} </dev/null >/dev/null 2>/run/ssh-log-{name} || {{ cat /run/ssh-log-{name} >&2; exit {NO_LOGIN}; }}; exec ssh {name} {command}"
            )
        } else {
            command.to_owned()
        }
    }

    /// Starts a program as [`Host::open`] does, and tells by which number the agent knows its channel.
    pub fn start(&mut self, command: &str, deadline: Duration) -> Result<u32, HostError> {
        let words = self.words(&format!("exec {command}"));
        let doing = format!("start `{command}`");
        let reply = self.ask(&doing, Op::Open, 0, (words.as_bytes(), b""), deadline)?;
        match reply.outcome {
            Outcome::Done => Ok(reply.status.cast_unsigned()),
            _ => Err(self.lost(&doing, "its agent has no channel left")),
        }
    }

    /// The channel of a program that was started before the machine was saved.
    pub fn channel(&self, number: u32, command: &str) -> Box<dyn Channel> {
        Box::new(SealedChannel {
            host: self.clone(),
            number,
            command: command.to_owned(),
            unsent: String::new(),
        })
    }

    fn run_with(
        &mut self,
        command: &str,
        input: &[u8],
        deadline: Duration,
    ) -> Result<Output, HostError> {
        let doing = format!("run `{command}`");
        let words = self.words(command);
        let reply = self.ask(&doing, Op::Run, 0, (words.as_bytes(), input), deadline)?;
        match reply.outcome {
            Outcome::Done if self.guest && reply.status == NO_LOGIN => {
                Err(self.lost(&doing, text(&reply.stderr)))
            }
            Outcome::Done => Ok(Output {
                status: reply.status,
                stdout: reply.stdout,
                stderr: reply.stderr,
            }),
            Outcome::Deadline => Err(self.late(&doing, deadline)),
            Outcome::Over | Outcome::Refused => {
                Err(self.lost(&doing, "its agent refused the request"))
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

impl Host for SealedHost {
    /// The connection is dom0's, and stays.
    fn disconnect(&mut self) {}

    fn reconnect(&mut self, deadline: Duration) -> Result<(), HostError> {
        if self.guest {
            let name = quote(&self.name.to_string());
            let command = format!("ssh -O exit {name} 2>/dev/null; rm -f /run/ssh-{name}");
            self.ask("hang up", Op::Run, 0, (command.as_bytes(), b""), deadline)?;
        }
        self.run_with("true", b"", deadline).map(drop)
    }

    fn name(&self) -> &HostName {
        &self.name
    }

    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError> {
        self.run_with(command, b"", deadline)
    }

    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        deadline: Duration,
    ) -> Result<(), HostError> {
        let target = quote_path(path);
        let command = format!(
            "cat > {target}.new && chmod {mode:o} {target}.new && mv -f {target}.new {target}"
        );
        let output = self.run_with(&command, content, deadline)?;
        if output.status == 0 {
            return Ok(());
        }
        Err(HostError::NotWritten {
            host: self.name.clone(),
            path: path.to_owned(),
            why: text(&output.stderr),
        })
    }

    fn open(&mut self, command: &str, deadline: Duration) -> Result<Box<dyn Channel>, HostError> {
        let number = self.start(command, deadline)?;
        Ok(self.channel(number, command))
    }
}

/// A program's stdin and stdout, held by the agent.
struct SealedChannel {
    host: SealedHost,
    number: u32,
    command: String,
    /// Lines that go with the next request: then the machine does not stand still while the program works on them.
    unsent: String,
}

impl SealedChannel {
    fn ask(&self, op: Op, line: &[u8], deadline: Duration) -> Result<Reply, HostError> {
        let doing = format!("talk to `{}`", self.command);
        let reply = self
            .host
            .ask(&doing, op, self.number, (line, b""), deadline)?;
        match reply.outcome {
            Outcome::Done => Ok(reply),
            Outcome::Deadline => Err(self.host.late(&doing, deadline)),
            Outcome::Refused => Err(self.host.lost(&doing, "the agent knows no such channel")),
            Outcome::Over => Err(HostError::Ended {
                host: self.host.name.clone(),
                command: self.command.clone(),
                status: reply.status,
                stderr: text(&reply.stderr),
            }),
        }
    }
}

impl Channel for SealedChannel {
    fn send(&mut self, line: &str, _deadline: Duration) -> Result<(), HostError> {
        self.unsent.push_str(line);
        self.unsent.push('\n');
        Ok(())
    }

    fn receive(&mut self, deadline: Duration) -> Result<String, HostError> {
        let unsent = std::mem::take(&mut self.unsent);
        let reply = self.ask(Op::Receive, unsent.as_bytes(), deadline)?;
        Ok(String::from_utf8_lossy(&reply.stdout).into_owned())
    }

    fn close(self: Box<Self>, deadline: Duration) -> Result<(), HostError> {
        if !self.unsent.is_empty() {
            self.ask(Op::Send, self.unsent.as_bytes(), deadline)?;
        }
        let reply = self.ask(Op::Close, b"", deadline)?;
        if reply.status == 0 {
            return Ok(());
        }
        Err(HostError::Ended {
            host: self.host.name.clone(),
            command: self.command.clone(),
            status: reply.status,
            stderr: text(&reply.stderr),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_s_numbers_are_the_same() {
        let source = include_str!("../../images/rendezvous.c");
        for line in [
            "#define SIZE (16u << 20)",
            "#define INPUT 4096u",
            "#define OUTPUT (8u << 20)",
            "#define MAGIC 0x315a5644524d4256ull",
            "enum op { RUN = 1, MORE, OPEN, SEND, RECEIVE, CLOSE };",
            "enum outcome { DONE, DEADLINE, ENDED, REFUSED };",
        ] {
            assert!(source.contains(line), "{line}");
        }
        assert_eq!((MAILBOX, INPUT, OUTPUT), (16 << 20, 4096, 8 << 20));
    }
}
