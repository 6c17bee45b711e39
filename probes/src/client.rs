//! The controller's side of a probe: typed requests over whatever carries lines.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;
use vifbench_wire::protocol::{
    Arm, CaptureReady, ClockReading, Exchange, Prepare, Reply, Request, Ruler, State, VERSION,
};

/// As much of a line that makes no sense is repeated in an error.
const LONGEST_QUOTE: usize = 200;

/// What carries lines to a probe and back: an SSH channel, or the pipes of a local process.
pub trait LineChannel {
    /// Why a line could not be carried.
    type Error: Display;
    /// Sends one line; the channel adds the newline.
    ///
    /// # Errors
    /// When it cannot be sent in time.
    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), Self::Error>;
    /// Waits for the next whole line.
    ///
    /// # Errors
    /// When none comes in time.
    fn receive(&mut self, deadline: Duration) -> Result<String, Self::Error>;
}

/// Why a probe did not do what it was asked.
#[derive(Debug, Error)]
pub enum ClientError<E: Display> {
    /// The channel failed.
    #[error("lost vifprobe while asking it to {asked}: {error}")]
    Channel {
        /// The request.
        asked: &'static str,
        /// The channel's own reason.
        error: E,
    },
    /// The probe is there, but did not do it.
    #[error("vifprobe could not {asked}: {why}")]
    Probe {
        /// The request.
        asked: &'static str,
        /// What the probe answered.
        why: Refusal,
    },
}

/// An answer that is not the one that was asked for.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The probe tried and failed.
    #[error("{error}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Failed {
        /// What was attempted and why it failed.
        error: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The probe speaks another protocol.
    #[error(
        "it speaks version {theirs} of the protocol, this controller version {VERSION}; deploy the one that belongs to it"
    )]
    Version {
        /// The probe's version.
        theirs: u32,
    },
    /// The answer belongs to another request, or to none.
    #[error("it answered `{line}`; deploy the vifprobe that belongs to this controller")]
    Nonsense {
        /// The answer, cut short.
        line: String,
    },
    /// The request could not be written down, so it was not sent.
    #[error("the request cannot be written as JSON: {0}")]
    Unwritten(serde_json::Error),
}

impl Refusal {
    fn nonsense(answer: &str) -> Self {
        Self::Nonsense {
            line: answer.chars().take(LONGEST_QUOTE).collect(),
        }
    }
}

/// What came of a series of clock exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockExchanges {
    /// Those that came back.
    pub exchanges: Vec<Exchange>,
    /// Requests without a reply.
    pub lost: u32,
    /// Frames that were no reply.
    pub ignored: u32,
    /// A reading taken right after.
    pub reading: ClockReading,
}

/// A probe, as the controller sees it.
#[derive(Debug)]
pub struct ProbeClient<C> {
    channel: C,
    deadline: Duration,
}

impl<C: LineChannel> ProbeClient<C> {
    /// Speaks to the probe at the other end of a channel. Each request may take as long as `deadline`, on top of what it
    /// takes by its nature.
    pub fn new(channel: C, deadline: Duration) -> Self {
        Self { channel, deadline }
    }

    /// Gives back the channel, to close it.
    pub fn into_channel(self) -> C {
        self.channel
    }

    /// Sends a request, waits for its reply, and picks out of it what was asked for.
    fn ask<T>(
        &mut self,
        asked: &'static str,
        request: &Request,
        extra: Duration,
        pick: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, ClientError<C::Error>> {
        let refused = |why| ClientError::Probe { asked, why };
        let lost = |error| ClientError::Channel { asked, error };
        let line = serde_json::to_string(request)
            .map_err(Refusal::Unwritten)
            .map_err(refused)?;
        self.channel.send(&line, self.deadline).map_err(lost)?;
        let line = self.channel.receive(self.deadline + extra).map_err(lost)?;
        let reply = serde_json::from_str(&line).map_err(|_| refused(Refusal::nonsense(&line)))?;
        match reply {
            Reply::Failed { error, hint } => Err(refused(Refusal::Failed { error, hint })),
            reply => pick(reply).ok_or_else(|| refused(Refusal::nonsense(&line))),
        }
    }

    fn done(
        &mut self,
        asked: &'static str,
        request: &Request,
        extra: Duration,
    ) -> Result<(), ClientError<C::Error>> {
        self.ask(asked, request, extra, |reply| match reply {
            Reply::Done => Some(()),
            _ => None,
        })
    }

    /// Greets the probe and checks that both speak the same protocol. Returns the probe's private folder on its host.
    ///
    /// # Errors
    /// As for every request: see [`ClientError`].
    pub fn hello(&mut self) -> Result<PathBuf, ClientError<C::Error>> {
        let asked = "say hello";
        let request = Request::Hello { version: VERSION };
        let (version, folder) = self.ask(asked, &request, Duration::ZERO, |reply| match reply {
            Reply::Hello {
                version, folder, ..
            } => Some((version, folder)),
            _ => None,
        })?;
        if version == VERSION {
            Ok(folder)
        } else {
            let why = Refusal::Version { theirs: version };
            Err(ClientError::Probe { asked, why })
        }
    }

    /// Describes the probe's host and these interfaces of it.
    ///
    /// # Errors
    /// As for every request.
    pub fn describe(&mut self, interfaces: Vec<String>) -> Result<Ruler, ClientError<C::Error>> {
        let request = Request::Describe { interfaces };
        self.ask(
            "describe its host",
            &request,
            Duration::ZERO,
            |reply| match reply {
                Reply::Ruler(ruler) => Some(ruler),
                _ => None,
            },
        )
    }

    /// Reads the host's clocks.
    ///
    /// # Errors
    /// As for every request.
    pub fn read_clock(&mut self) -> Result<ClockReading, ClientError<C::Error>> {
        let request = Request::ReadClock;
        self.ask(
            "read its clocks",
            &request,
            Duration::ZERO,
            |reply| match reply {
                Reply::Clock(reading) => Some(reading),
                _ => None,
            },
        )
    }

    /// Makes the host the reference for clock exchanges on that interface (the bridge, where one owns the NIC).
    ///
    /// # Errors
    /// As for every request.
    pub fn serve_clock(&mut self, interface: &str) -> Result<(), ClientError<C::Error>> {
        let interface = interface.to_owned();
        let request = Request::ServeClock { interface };
        self.done("answer clock exchanges", &request, Duration::ZERO)
    }

    /// Exchanges with the reference host; `within` is counted by the probe's clock.
    ///
    /// # Errors
    /// As for every request.
    pub fn exchange_clock(
        &mut self,
        interface: &str,
        peer_mac: &str,
        count: u32,
        within: Duration,
    ) -> Result<ClockExchanges, ClientError<C::Error>> {
        let request = Request::ExchangeClock {
            interface: interface.to_owned(),
            peer_mac: peer_mac.to_owned(),
            count,
            deadline_ns: u64::try_from(within.as_nanos()).unwrap_or(u64::MAX),
        };
        self.ask(
            "exchange clock readings",
            &request,
            within,
            |reply| match reply {
                Reply::Exchanges {
                    exchanges,
                    lost,
                    ignored,
                    reading,
                } => Some(ClockExchanges {
                    exchanges,
                    lost,
                    ignored,
                    reading,
                }),
                _ => None,
            },
        )
    }

    /// Starts captures and gets ready. Returns what each capture is like.
    ///
    /// # Errors
    /// As for every request.
    pub fn prepare(&mut self, plan: Prepare) -> Result<Vec<CaptureReady>, ClientError<C::Error>> {
        let request = Request::Prepare(plan);
        self.ask(
            "prepare the trial",
            &request,
            Duration::ZERO,
            |reply| match reply {
                Reply::Prepared { captures } => Some(captures),
                _ => None,
            },
        )
    }

    /// Sets the times. Returns the nanoseconds left until the start by the host's clock.
    ///
    /// # Errors
    /// As for every request.
    pub fn arm(&mut self, arm: Arm) -> Result<i64, ClientError<C::Error>> {
        let request = Request::Arm(arm);
        self.ask(
            "arm the trial",
            &request,
            Duration::ZERO,
            |reply| match reply {
                Reply::Armed { lead_ns } => Some(lead_ns),
                _ => None,
            },
        )
    }

    /// Returns how far a trial is.
    ///
    /// # Errors
    /// As for every request; also where the trial is over and its results could not be stored.
    pub fn status(&mut self, trial: u32) -> Result<State, ClientError<C::Error>> {
        let request = Request::Status { trial };
        self.ask(
            "report its state",
            &request,
            Duration::ZERO,
            |reply| match reply {
                Reply::Status { state } => Some(state),
                _ => None,
            },
        )
    }

    /// Waits until the host's clock shows `until_ns`; `within` is how long that may take.
    ///
    /// # Errors
    /// As for every request.
    pub fn wait(&mut self, until_ns: u64, within: Duration) -> Result<(), ClientError<C::Error>> {
        self.done("wait", &Request::Wait { until_ns }, within)
    }

    /// Waits until an armed trial has ended and its results are stored; `within` is how long that may take.
    ///
    /// # Errors
    /// As for every request; also where its results could not be stored.
    pub fn await_end(&mut self, trial: u32, within: Duration) -> Result<(), ClientError<C::Error>> {
        let request = Request::Await { trial };
        self.done("await the end of the trial", &request, within)
    }

    /// Ends a running trial now; when this returns its results are stored.
    ///
    /// # Errors
    /// As for every request.
    pub fn finish(&mut self, trial: u32) -> Result<(), ClientError<C::Error>> {
        let request = Request::Finish { trial };
        self.done("finish the trial", &request, Duration::ZERO)
    }

    /// Reads a file of the probe's folder; its path is relative to that.
    ///
    /// # Errors
    /// As for every request; also where the file is not in the folder.
    pub fn read(&mut self, file: &Path) -> Result<Vec<u8>, ClientError<C::Error>> {
        let file = file.to_owned();
        let request = Request::Read { file };
        self.ask(
            "read a file",
            &request,
            Duration::ZERO,
            |reply| match reply {
                Reply::Content { base64 } => BASE64.decode(&base64).ok(),
                _ => None,
            },
        )
    }

    /// Has the probe remove everything and end. Returns the channel, to close it.
    ///
    /// # Errors
    /// As for every request.
    pub fn bye(mut self) -> Result<C, ClientError<C::Error>> {
        self.done("end", &Request::Bye, Duration::ZERO)?;
        Ok(self.channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Canned(&'static str);

    impl LineChannel for Canned {
        type Error = String;
        fn send(&mut self, _: &str, _: Duration) -> Result<(), String> {
            Ok(())
        }
        fn receive(&mut self, _: Duration) -> Result<String, String> {
            if self.0.is_empty() {
                Err("it hung up".into())
            } else {
                Ok(self.0.to_owned())
            }
        }
    }

    fn client(answer: &'static str) -> ProbeClient<Canned> {
        ProbeClient::new(Canned(answer), Duration::ZERO)
    }

    fn hello(answer: &'static str) -> String {
        client(answer).hello().unwrap_err().to_string()
    }

    #[test]
    fn every_failure_says_what_was_asked() {
        assert_eq!(
            hello(""),
            "lost vifprobe while asking it to say hello: it hung up"
        );
        assert_eq!(
            hello(r#"{"answer":"failed","error":"no","hint":"try later"}"#),
            "vifprobe could not say hello: no; try later"
        );
        assert!(hello("bash: vifprobe: not found").contains("`bash: vifprobe: not found`"));
        assert!(hello(r#"{"answer":"done"}"#).contains(r#"`{"answer":"done"}`"#));
        let other = r#"{"answer":"hello","version":99,"hostname":"a","folder":"/b","boot_id":"c"}"#;
        assert!(hello(other).contains("version 99"));
    }

    #[test]
    fn a_file_comes_whole_or_not_at_all() {
        let read = |answer| client(answer).read(Path::new("kept.json"));
        let whole = read(r#"{"answer":"content","base64":"AP8K"}"#).unwrap();
        assert_eq!(whole, [0, 255, 10]);
        let error = read(r#"{"answer":"content","base64":"A"}"#).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("could not read a file"), "{text}");
    }

    #[test]
    fn what_cannot_be_written_is_not_sent() {
        use std::os::unix::ffi::OsStrExt as _;
        let file = Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
        let error = client(r#"{"answer":"done"}"#).read(file).unwrap_err();
        assert!(error.to_string().contains("as JSON"), "{error}");
    }
}
