//! A session with a host, recorded once and replayed in tests: everything above [`Host`] runs without a lab.
//!
//! A transcript is a file of JSON lines, one operation with its result each. Commands of one host must come back
//! in the recorded order, and so must the lines of each channel; what happens on different channels may be
//! interleaved otherwise.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use vifbench_scenarios::lab::HostName;

use crate::host::{Channel, Host, HostError, Output};

/// What was asked of a host or a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Ask {
    Run {
        command: String,
    },
    /// The content is kept as its hash: replays need no copy of what was deployed.
    Deploy {
        path: PathBuf,
        mode: u32,
        bytes: u64,
        blake3: String,
    },
    Open {
        command: String,
    },
    Send {
        line: String,
    },
    Receive,
    Close,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Got {
    Output {
        status: i32,
        stdout: Bytes,
        stderr: Bytes,
    },
    /// The channel's number, by which its lines are found.
    Channel(u64),
    Line(String),
    Done,
    Error(RecordedError),
}

/// Text where it is text, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }
    fn back(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).map_err(|e| e.to_string()),
        }
    }
}

/// The errors that a host's operations return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum RecordedError {
    Unreachable {
        address: String,
        doing: String,
        os: Option<i32>,
        why: String,
    },
    HostKeyChanged {
        expected: String,
        got: String,
    },
    Refused {
        key: String,
        why: String,
    },
    Lost {
        doing: String,
        why: String,
    },
    Deadline {
        doing: String,
        deadline_ms: u64,
    },
    Failed {
        command: String,
        status: i32,
        stderr: String,
    },
    Interrupted {
        doing: String,
    },
    NoNamespace {
        netns: String,
        os: Option<i32>,
        why: String,
    },
    NotWritten {
        path: PathBuf,
        why: String,
    },
    Ended {
        command: String,
        status: i32,
        stderr: String,
    },
    Local {
        doing: String,
        os: Option<i32>,
        why: String,
    },
    /// One that no operation of a host returns: kept as its text.
    Other {
        text: String,
    },
}

impl RecordedError {
    fn of(error: &HostError) -> Self {
        match error {
            HostError::Unreachable {
                address,
                doing,
                source,
                ..
            } => Self::Unreachable {
                address: address.clone(),
                doing: doing.clone(),
                os: source.raw_os_error(),
                why: source.to_string(),
            },
            HostError::HostKeyChanged { expected, got, .. } => Self::HostKeyChanged {
                expected: expected.clone(),
                got: got.clone(),
            },
            HostError::Refused { key, why, .. } => Self::Refused {
                key: key.clone(),
                why: why.clone(),
            },
            HostError::Lost { doing, why, .. } => Self::Lost {
                doing: doing.clone(),
                why: why.clone(),
            },
            HostError::Deadline {
                doing, deadline, ..
            } => Self::Deadline {
                doing: doing.clone(),
                deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            },
            HostError::Failed {
                command,
                status,
                stderr,
                ..
            } => Self::Failed {
                command: command.clone(),
                status: *status,
                stderr: stderr.clone(),
            },
            HostError::Interrupted { doing, .. } => Self::Interrupted {
                doing: doing.clone(),
            },
            HostError::NoNamespace { netns, source, .. } => Self::NoNamespace {
                netns: netns.clone(),
                os: source.raw_os_error(),
                why: source.to_string(),
            },
            HostError::NotWritten { path, why, .. } => Self::NotWritten {
                path: path.clone(),
                why: why.clone(),
            },
            HostError::Ended {
                command,
                status,
                stderr,
                ..
            } => Self::Ended {
                command: command.clone(),
                status: *status,
                stderr: stderr.clone(),
            },
            HostError::Local { doing, source, .. } => Self::Local {
                doing: doing.clone(),
                os: source.raw_os_error(),
                why: source.to_string(),
            },
            HostError::NotEnrolled { .. }
            | HostError::BadHostKey { .. }
            | HostError::Transcript { .. } => Self::Other {
                text: error.to_string(),
            },
        }
    }

    fn back(self, host: HostName) -> HostError {
        let io = |os: Option<i32>, why: String| {
            os.map_or_else(|| io::Error::other(why), io::Error::from_raw_os_error)
        };
        match self {
            Self::Unreachable {
                address,
                doing,
                os,
                why,
            } => HostError::Unreachable {
                host,
                address,
                doing,
                source: io(os, why),
            },
            Self::HostKeyChanged { expected, got } => HostError::HostKeyChanged {
                host,
                expected,
                got,
            },
            Self::Refused { key, why } => HostError::Refused { host, key, why },
            Self::Lost { doing, why } => HostError::Lost { host, doing, why },
            Self::Deadline { doing, deadline_ms } => HostError::Deadline {
                host,
                doing,
                deadline: Duration::from_millis(deadline_ms),
            },
            Self::Failed {
                command,
                status,
                stderr,
            } => HostError::Failed {
                host,
                command,
                status,
                stderr,
            },
            Self::Interrupted { doing } => HostError::Interrupted { host, doing },
            Self::NoNamespace { netns, os, why } => HostError::NoNamespace {
                host,
                netns,
                source: io(os, why),
            },
            Self::NotWritten { path, why } => HostError::NotWritten { host, path, why },
            Self::Ended {
                command,
                status,
                stderr,
            } => HostError::Ended {
                host,
                command,
                status,
                stderr,
            },
            Self::Local { doing, os, why } => HostError::Local {
                host,
                doing,
                source: io(os, why),
            },
            Self::Other { text } => HostError::Lost {
                host,
                doing: "replay".to_owned(),
                why: text,
            },
        }
    }
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    host: HostName,
    /// None for the host itself.
    channel: Option<u64>,
    ask: Ask,
    got: Got,
}

fn deployed(content: &[u8], path: &Path, mode: u32) -> Ask {
    Ask::Deploy {
        path: path.to_owned(),
        mode,
        bytes: content.len() as u64,
        blake3: blake3::hash(content).to_hex().to_string(),
    }
}

/// The file that several recorders may share.
#[derive(Debug, Clone)]
pub struct Transcript {
    path: PathBuf,
    inner: Arc<Mutex<Writer>>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    channels: u64,
}

impl Transcript {
    /// Starts a new transcript in that file.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let inner = Arc::new(Mutex::new(Writer { file, channels: 0 }));
        Ok(Self {
            path: path.to_owned(),
            inner,
        })
    }

    fn next_channel(&self) -> u64 {
        let mut writer = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        writer.channels += 1;
        writer.channels
    }

    fn write(&self, line: &Line) -> Result<(), HostError> {
        let failed = |source: io::Error| HostError::Local {
            host: line.host.clone(),
            doing: format!("write the transcript {}", self.path.display()),
            source,
        };
        let mut text = serde_json::to_vec(line).map_err(|e| failed(io::Error::other(e)))?;
        text.push(b'\n');
        let mut writer = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        writer.file.write_all(&text).map_err(failed)
    }
}

/// A host whose operations are written down as they happen.
#[derive(Debug)]
pub struct Recorder<H> {
    host: H,
    transcript: Transcript,
}

impl<H: Host> Recorder<H> {
    /// Records what is done with `host`.
    pub fn new(host: H, transcript: Transcript) -> Self {
        Self { host, transcript }
    }

    fn note(&self, channel: Option<u64>, ask: Ask, got: Got) -> Result<(), HostError> {
        self.transcript.write(&Line {
            host: self.host.name().clone(),
            channel,
            ask,
            got,
        })
    }
}

fn done(result: &Result<(), HostError>) -> Got {
    match result {
        Ok(()) => Got::Done,
        Err(error) => Got::Error(RecordedError::of(error)),
    }
}

impl<H: Host> Host for Recorder<H> {
    fn name(&self) -> &HostName {
        self.host.name()
    }

    fn run(&mut self, command: &str, deadline: Duration) -> Result<Output, HostError> {
        let result = self.host.run(command, deadline);
        let got = match &result {
            Ok(output) => Got::Output {
                status: output.status,
                stdout: Bytes::of(&output.stdout),
                stderr: Bytes::of(&output.stderr),
            },
            Err(error) => Got::Error(RecordedError::of(error)),
        };
        self.note(
            None,
            Ask::Run {
                command: command.to_owned(),
            },
            got,
        )?;
        result
    }

    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        deadline: Duration,
    ) -> Result<(), HostError> {
        let result = self.host.deploy(content, path, mode, deadline);
        self.note(None, deployed(content, path, mode), done(&result))?;
        result
    }

    fn open(&mut self, command: &str, deadline: Duration) -> Result<Box<dyn Channel>, HostError> {
        let ask = Ask::Open {
            command: command.to_owned(),
        };
        match self.host.open(command, deadline) {
            Err(error) => {
                self.note(None, ask, Got::Error(RecordedError::of(&error)))?;
                Err(error)
            }
            Ok(channel) => {
                let number = self.transcript.next_channel();
                self.note(None, ask, Got::Channel(number))?;
                let (host, transcript) = (self.host.name().clone(), self.transcript.clone());
                Ok(Box::new(RecordedChannel {
                    channel,
                    number,
                    host,
                    transcript,
                }))
            }
        }
    }
}

struct RecordedChannel {
    channel: Box<dyn Channel>,
    number: u64,
    host: HostName,
    transcript: Transcript,
}

impl Channel for RecordedChannel {
    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), HostError> {
        let result = self.channel.send(line, deadline);
        self.transcript.write(&Line {
            host: self.host.clone(),
            channel: Some(self.number),
            ask: Ask::Send {
                line: line.to_owned(),
            },
            got: done(&result),
        })?;
        result
    }

    fn receive(&mut self, deadline: Duration) -> Result<String, HostError> {
        let result = self.channel.receive(deadline);
        self.transcript.write(&Line {
            host: self.host.clone(),
            channel: Some(self.number),
            ask: Ask::Receive,
            got: match &result {
                Ok(line) => Got::Line(line.clone()),
                Err(error) => Got::Error(RecordedError::of(error)),
            },
        })?;
        result
    }

    fn close(self: Box<Self>, deadline: Duration) -> Result<(), HostError> {
        let Self {
            channel,
            number,
            host,
            transcript,
        } = *self;
        let result = channel.close(deadline);
        let got = done(&result);
        transcript.write(&Line {
            host,
            channel: Some(number),
            ask: Ask::Close,
            got,
        })?;
        result
    }
}

/// A host that only exists in a transcript. What is asked must be what was recorded.
#[derive(Debug)]
pub struct Replay {
    name: HostName,
    path: PathBuf,
    left: Arc<Mutex<VecDeque<Line>>>,
}

impl Replay {
    /// The host of that name in the transcript.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is not one of a transcript.
    pub fn open(path: &Path, name: &HostName) -> Result<Self, HostError> {
        let bad = |expected: String, got: String| HostError::Transcript {
            path: path.to_owned(),
            expected,
            got,
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| bad("a readable file".to_owned(), e.to_string()))?;
        let mut left = VecDeque::new();
        for (index, line) in text.lines().enumerate() {
            let line: Line = serde_json::from_str(line)
                .map_err(|e| bad(format!("an operation in line {}", index + 1), e.to_string()))?;
            if line.host == *name {
                left.push_back(line);
            }
        }
        Ok(Self {
            name: name.clone(),
            path: path.to_owned(),
            left: Arc::new(Mutex::new(left)),
        })
    }

    /// How many recorded operations were not asked for yet. A test that replays all of a session ends with none.
    pub fn left(&self) -> usize {
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    fn stream(&self, channel: Option<u64>) -> Stream {
        Stream {
            name: self.name.clone(),
            path: self.path.clone(),
            left: Arc::clone(&self.left),
            channel,
        }
    }
}

/// The operations of the host itself, or of one channel.
struct Stream {
    name: HostName,
    path: PathBuf,
    left: Arc<Mutex<VecDeque<Line>>>,
    channel: Option<u64>,
}

impl Stream {
    fn bad(&self, expected: String, got: String) -> HostError {
        HostError::Transcript {
            path: self.path.clone(),
            expected,
            got,
        }
    }

    /// The recorded result of this operation, which must be the next one of the stream.
    fn take(&self, ask: &Ask) -> Result<Got, HostError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let at = left.iter().position(|l| l.channel == self.channel);
        let next = at.and_then(|at| left.get(at));
        if next.is_none_or(|l| l.ask != *ask) {
            let expected = next.map_or_else(
                || "the end of the session".to_owned(),
                |l| format!("{:?}", l.ask),
            );
            return Err(self.bad(expected, format!("{ask:?} on {}", self.name)));
        }
        match at.and_then(|at| left.remove(at)).map(|l| l.got) {
            Some(Got::Error(error)) => Err(error.back(self.name.clone())),
            Some(got) => Ok(got),
            None => Err(self.bad("an operation".to_owned(), format!("{ask:?}"))),
        }
    }

    fn done(&self, ask: &Ask) -> Result<(), HostError> {
        match self.take(ask)? {
            Got::Done => Ok(()),
            other => Err(self.bad("nothing".to_owned(), format!("{other:?}"))),
        }
    }
}

impl Host for Replay {
    fn name(&self) -> &HostName {
        &self.name
    }

    fn run(&mut self, command: &str, _deadline: Duration) -> Result<Output, HostError> {
        let stream = self.stream(None);
        match stream.take(&Ask::Run {
            command: command.to_owned(),
        })? {
            Got::Output {
                status,
                stdout,
                stderr,
            } => {
                let bytes = |b: Bytes| b.back().map_err(|why| stream.bad("base64".to_owned(), why));
                Ok(Output {
                    status,
                    stdout: bytes(stdout)?,
                    stderr: bytes(stderr)?,
                })
            }
            other => Err(stream.bad("an output".to_owned(), format!("{other:?}"))),
        }
    }

    fn deploy(
        &mut self,
        content: &[u8],
        path: &Path,
        mode: u32,
        _deadline: Duration,
    ) -> Result<(), HostError> {
        self.stream(None).done(&deployed(content, path, mode))
    }

    fn open(&mut self, command: &str, _deadline: Duration) -> Result<Box<dyn Channel>, HostError> {
        let stream = self.stream(None);
        match stream.take(&Ask::Open {
            command: command.to_owned(),
        })? {
            Got::Channel(number) => Ok(Box::new(self.stream(Some(number)))),
            other => Err(stream.bad("a channel".to_owned(), format!("{other:?}"))),
        }
    }
}

impl Channel for Stream {
    fn send(&mut self, line: &str, _deadline: Duration) -> Result<(), HostError> {
        self.done(&Ask::Send {
            line: line.to_owned(),
        })
    }

    fn receive(&mut self, _deadline: Duration) -> Result<String, HostError> {
        match self.take(&Ask::Receive)? {
            Got::Line(line) => Ok(line),
            other => Err(self.bad("a line".to_owned(), format!("{other:?}"))),
        }
    }

    fn close(self: Box<Self>, _deadline: Duration) -> Result<(), HostError> {
        self.done(&Ask::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::HostExt as _;
    use crate::local::LocalHost;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(200);

    /// A session with everything in it; returns what was seen, as text.
    fn session(host: &mut dyn Host, file: &Path) -> String {
        let mut seen = Vec::new();
        seen.push(format!(
            "{:?}",
            host.run("echo a; printf '\\377' >&2; exit 2", LONG)
        ));
        seen.push(format!("{:?}", host.check("exit 3", LONG)));
        seen.push(format!("{:?}", host.run("sleep 60", SHORT)));
        seen.push(format!("{:?}", host.deploy(b"content", file, 0o600, LONG)));
        seen.push(format!(
            "{:?}",
            host.deploy(b"content", Path::new("/nowhere/x"), 0o600, LONG)
        ));
        let mut one = host.open("cat", LONG).expect("opens");
        let mut two = host.open("echo bye; exit 9", LONG).expect("opens");
        seen.push(format!("{:?}", one.send("1", LONG)));
        seen.push(format!("{:?}", two.receive(LONG)));
        seen.push(format!("{:?}", one.receive(LONG)));
        seen.push(format!("{:?}", two.receive(LONG)));
        seen.push(format!("{:?}", one.close(LONG)));
        seen.join("\n")
    }

    #[test]
    fn a_replay_gives_what_was_recorded_errors_too() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("transcript.jsonl");
        let file = folder.path().join("file");
        let name = HostName("here".into());
        let transcript = Transcript::create(&path).expect("created");
        let mut other = Recorder::new(LocalHost::new(HostName("other".into())), transcript.clone());
        other.run("echo of another host", LONG).expect("runs");
        let mut recorder = Recorder::new(LocalHost::new(name.clone()), transcript);
        let recorded = session(&mut recorder, &file);
        std::fs::remove_file(&file).expect("was deployed");

        let mut replay = Replay::open(&path, &name).expect("opens");
        assert_eq!(session(&mut replay, &file), recorded);
        assert_eq!(replay.left(), 0);
        assert!(!file.exists(), "a replay touches nothing");
    }

    #[test]
    fn another_question_is_an_error_that_shows_both() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("transcript.jsonl");
        let name = HostName("here".into());
        let transcript = Transcript::create(&path).expect("created");
        let mut recorder = Recorder::new(LocalHost::new(name.clone()), transcript);
        recorder.run("echo one", LONG).expect("runs");
        let mut replay = Replay::open(&path, &name).expect("opens");
        let error = replay
            .run("echo two", LONG)
            .expect_err("not recorded")
            .to_string();
        assert!(
            error.contains("echo one") && error.contains("echo two"),
            "{error}"
        );
        replay.run("echo one", LONG).expect("that was recorded");
        let error = replay
            .run("echo one", LONG)
            .expect_err("only once")
            .to_string();
        assert!(error.contains("the end of the session"), "{error}");
        std::fs::write(&path, "not json\n").expect("write");
        let error = Replay::open(&path, &name).expect_err("is none").to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
