//! QEMU's control socket: one connection a command sequence, because QEMU serves one client at a time.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use serde_json::{Value, json};

use super::LabError;
use super::patience::{Patience, stuck_after};

/// How often a wait for an answer looks at the clock.
const LOOK: Duration = Duration::from_millis(200);

/// Why a machine that was to stop by itself did not.
#[derive(Debug)]
pub enum Unstopped {
    /// The token was cancelled: by Ctrl-C, or by a crash that a console told of.
    Cancelled,
    /// It ran longer than it was given, for so long by the clock on the wall.
    Late(Duration),
    /// QEMU failed.
    Failed(LabError),
}

impl From<LabError> for Unstopped {
    fn from(error: LabError) -> Self {
        Self::Failed(error)
    }
}

/// A connection to a running QEMU.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects and leaves negotiation mode.
    pub fn connect(socket: &Path) -> Result<Self, LabError> {
        let failed = |error: std::io::Error| LabError::Qmp {
            doing: "answer on its control socket".to_owned(),
            why: format!("{}: {error}", socket.display()),
        };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(LOOK)).map_err(failed)?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
        };
        let greeting = qmp.next("answer on its control socket")?;
        if greeting.get("QMP").is_none() {
            return Err(LabError::Qmp {
                doing: "answer on its control socket".to_owned(),
                why: format!("it greeted with {greeting}"),
            });
        }
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs one command and returns its result; events in between are not ours.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, LabError> {
        let failed = |why: String| LabError::Qmp {
            doing: format!("execute `{command}`"),
            why,
        };
        let request = json!({"execute": command, "arguments": arguments});
        self.reader
            .get_mut()
            .write_all(format!("{request}\n").as_bytes())
            .map_err(|error| failed(error.to_string()))?;
        loop {
            let mut answer = self.next(command)?;
            if let Some(error) = answer.get("error") {
                return Err(failed(
                    error["desc"].as_str().unwrap_or("no reason").to_owned(),
                ));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Lets the machine run and waits until it stops by itself; looks now and then whether to give up. `doing` is what is
    /// waited for, for a person.
    pub fn resume_until_stop(
        &mut self,
        mut patience: Patience,
        doing: &str,
        cancelled: impl Fn() -> bool,
    ) -> Result<(), Unstopped> {
        self.execute("cont", &json!({}))?;
        let failed = |why: String| LabError::Qmp {
            doing: "run until it stops".to_owned(),
            why,
        };
        let mut line = String::new();
        loop {
            match self.reader.read_line(&mut line) {
                Ok(0) => return Err(failed("it has ended".to_owned()).into()),
                Ok(_) => {
                    let event: Value = serde_json::from_str(&line)
                        .map_err(|error| failed(format!("{error}: {line}")))?;
                    line.clear();
                    if event["event"] == "STOP" {
                        return Ok(());
                    }
                }
                // A part of a line stays in `line`.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if cancelled() {
                        return Err(Unstopped::Cancelled);
                    }
                    if !patience.look(doing) {
                        return Err(Unstopped::Late(patience.waited()));
                    }
                }
                Err(error) => return Err(failed(error.to_string()).into()),
            }
        }
    }

    /// The thread that executes the machine's instructions; there is one.
    pub fn virtual_cpu(&mut self) -> Result<Pid, LabError> {
        let cpus = self.execute("query-cpus-fast", &json!({}))?;
        let thread = cpus[0]["thread-id"].as_i64();
        thread
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or_else(|| LabError::Qmp {
                doing: "tell its virtual CPU's thread".to_owned(),
                why: format!("it answered {cpus}"),
            })
    }

    /// Runs a command of the human monitor that prints nothing when it succeeds.
    pub fn human(&mut self, line: &str) -> Result<(), LabError> {
        match self.monitor(line)?.trim() {
            "" => Ok(()),
            said => Err(LabError::Qmp {
                doing: format!("execute `{line}`"),
                why: said.to_owned(),
            }),
        }
    }

    /// What the monitor for people says to a question.
    pub fn monitor(&mut self, line: &str) -> Result<String, LabError> {
        let answer = self.execute("human-monitor-command", &json!({"command-line": line}))?;
        match answer.as_str() {
            Some(said) => Ok(said.to_owned()),
            None => Err(LabError::Qmp {
                doing: format!("execute `{line}`"),
                why: "it gave no text".to_owned(),
            }),
        }
    }

    fn next(&mut self, doing: &str) -> Result<Value, LabError> {
        let failed = |why: String| LabError::Qmp {
            doing: format!("execute `{doing}`"),
            why,
        };
        let mut line = String::new();
        // Saving a state is the longest command. It takes a second, and minutes where the disk has much else to write.
        let mut patience = Patience::new(stuck_after());
        loop {
            match self.reader.read_line(&mut line) {
                Ok(0) => return Err(failed("it closed its control socket".to_owned())),
                Ok(_) => {
                    return serde_json::from_str(&line).map_err(|error| failed(error.to_string()));
                }
                // A part of a line stays in `line`.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if !patience.look(&format!("QEMU is to `{doing}`")) {
                        return Err(LabError::Stuck {
                            doing: format!("answer to `{doing}`"),
                            waited: patience.waited(),
                        });
                    }
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Serves one client with fixed lines and returns what it sent.
    fn with_qemu(lines: &'static [&'static str], test: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().expect("tempdir");
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket).expect("bind");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut reader = BufReader::new(stream.try_clone().expect("clone"));
            for line in lines {
                stream.write_all(line.as_bytes()).expect("write");
                if line.contains("QMP") || line.contains("return") {
                    let mut got = String::new();
                    reader.read_line(&mut got).expect("read");
                }
            }
        });
        test(&socket);
        server.join().expect("server");
    }

    #[test]
    fn events_are_passed_over_and_errors_told() {
        with_qemu(
            &[
                "{\"QMP\": {}}\n",
                "{\"return\": {}}\n",
                "{\"event\": \"STOP\"}\n{\"return\": {\"running\": true}}\n",
                "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such device\"}}\n",
            ],
            |socket| {
                let mut qmp = Qmp::connect(socket).expect("connect");
                let status = qmp.execute("query-status", &json!({})).expect("status");
                assert_eq!(status["running"], json!(true));
                let error = qmp.execute("set_link", &json!({})).expect_err("refused");
                assert!(error.to_string().contains("no such device"), "{error}");
            },
        );
    }

    #[test]
    fn a_missing_socket_is_an_error() {
        assert!(Qmp::connect(Path::new("/nowhere/qmp")).is_err());
    }
}
