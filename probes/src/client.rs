//! The controller's side of a probe: typed requests over whatever carries lines.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use vifbench_wire::protocol::{
    Arm, CaptureReady, ClockReading, Exchange, Prepare, Reply, Request, Ruler, State, VERSION,
};

/// What carries lines to a probe and back: an SSH channel, or the pipes of a local process.
pub trait LineChannel {
    /// Why a line could not be carried.
    type Error: Display;
    /// Sends one line; the newline is added by the channel.
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
        /// What the channel said.
        error: E,
    },
    /// The probe said that it could not.
    #[error("vifprobe could not {asked}: {error}{}", .hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Failed {
        /// The request.
        asked: &'static str,
        /// What was attempted and why it failed.
        error: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The probe speaks another protocol.
    #[error(
        "vifprobe speaks version {theirs} of the protocol, this controller version {VERSION}; deploy the one that belongs to it"
    )]
    Version {
        /// The probe's version.
        theirs: u32,
    },
    /// The answer is none.
    #[error(
        "vifprobe answered `{line}` when asked to {asked}; deploy the one that belongs to this controller"
    )]
    Nonsense {
        /// The request.
        asked: &'static str,
        /// The line, cut short.
        line: String,
    },
}

/// Who the probe is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Host name.
    pub hostname: String,
    /// The private folder with the results.
    pub folder: PathBuf,
    /// The boot's id.
    pub boot_id: String,
}

/// What came of a series of clock exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
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
    /// Speaks to the probe at the other end of a channel; each request may take as long as `deadline`, on top of
    /// what it takes by its nature.
    pub fn new(channel: C, deadline: Duration) -> Self {
        Self { channel, deadline }
    }

    /// The channel, to close it.
    pub fn into_channel(self) -> C {
        self.channel
    }

    fn ask(
        &mut self,
        asked: &'static str,
        request: &Request,
        extra: Duration,
    ) -> Result<Reply, ClientError<C::Error>> {
        let nonsense = |line: &str| ClientError::Nonsense {
            asked,
            line: line.chars().take(200).collect(),
        };
        let lost = |error| ClientError::Channel { asked, error };
        // Our own types always serialise; if they did not, the probe would say that it got nonsense.
        let line = serde_json::to_string(request).unwrap_or_default();
        self.channel.send(&line, self.deadline).map_err(lost)?;
        let line = self.channel.receive(self.deadline + extra).map_err(lost)?;
        match serde_json::from_str(&line).map_err(|_| nonsense(&line))? {
            Reply::Failed { error, hint } => Err(ClientError::Failed { asked, error, hint }),
            reply => Ok(reply),
        }
    }

    fn done(
        &mut self,
        asked: &'static str,
        request: &Request,
    ) -> Result<(), ClientError<C::Error>> {
        match self.ask(asked, request, Duration::ZERO)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Greets the probe and checks that both speak the same protocol.
    ///
    /// # Errors
    /// As every request: see [`ClientError`].
    pub fn hello(&mut self) -> Result<Greeting, ClientError<C::Error>> {
        let asked = "say hello";
        match self.ask(asked, &Request::Hello { version: VERSION }, Duration::ZERO)? {
            Reply::Hello {
                version: VERSION,
                hostname,
                folder,
                boot_id,
            } => Ok(Greeting {
                hostname,
                folder,
                boot_id,
            }),
            Reply::Hello { version, .. } => Err(ClientError::Version { theirs: version }),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// The ruler.
    ///
    /// # Errors
    /// As every request.
    pub fn describe(&mut self, interfaces: Vec<String>) -> Result<Ruler, ClientError<C::Error>> {
        let asked = "describe its host";
        match self.ask(asked, &Request::Describe { interfaces }, Duration::ZERO)? {
            Reply::Ruler(ruler) => Ok(ruler),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// The host's clocks.
    ///
    /// # Errors
    /// As every request.
    pub fn read_clock(&mut self) -> Result<ClockReading, ClientError<C::Error>> {
        let asked = "read its clocks";
        match self.ask(asked, &Request::ReadClock, Duration::ZERO)? {
            Reply::Clock(reading) => Ok(reading),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Makes the host the reference for clock exchanges on that interface (the bridge, where one owns the NIC).
    ///
    /// # Errors
    /// As every request.
    pub fn serve_clock(&mut self, interface: &str) -> Result<(), ClientError<C::Error>> {
        self.done(
            "answer clock exchanges",
            &Request::ServeClock {
                interface: interface.to_owned(),
            },
        )
    }

    /// Stops answering.
    ///
    /// # Errors
    /// As every request.
    pub fn stop_clock(&mut self) -> Result<(), ClientError<C::Error>> {
        self.done("stop answering clock exchanges", &Request::StopClock)
    }

    /// Exchanges with the reference host; `within` is counted by the probe's clock.
    ///
    /// # Errors
    /// As every request.
    pub fn exchange_clock(
        &mut self,
        interface: &str,
        peer_mac: &str,
        count: u32,
        within: Duration,
    ) -> Result<Exchanged, ClientError<C::Error>> {
        let asked = "exchange clocks";
        let request = Request::ExchangeClock {
            interface: interface.to_owned(),
            peer_mac: peer_mac.to_owned(),
            count,
            deadline_ns: u64::try_from(within.as_nanos()).unwrap_or(u64::MAX),
        };
        match self.ask(asked, &request, within)? {
            Reply::Exchanges {
                exchanges,
                lost,
                ignored,
                reading,
            } => Ok(Exchanged {
                exchanges,
                lost,
                ignored,
                reading,
            }),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Starts captures and gets ready.
    ///
    /// # Errors
    /// As every request.
    pub fn prepare(&mut self, plan: Prepare) -> Result<Vec<CaptureReady>, ClientError<C::Error>> {
        let asked = "prepare the trial";
        match self.ask(asked, &Request::Prepare(plan), Duration::ZERO)? {
            Reply::Prepared { captures } => Ok(captures),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Sets the times. Returns the nanoseconds left until the start by the host's clock.
    ///
    /// # Errors
    /// As every request.
    pub fn arm(&mut self, arm: Arm) -> Result<i64, ClientError<C::Error>> {
        let asked = "arm the trial";
        match self.ask(asked, &Request::Arm(arm), Duration::ZERO)? {
            Reply::Armed { lead_ns } => Ok(lead_ns),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// How far a trial is.
    ///
    /// # Errors
    /// As every request; also where the trial is over and its results could not be stored.
    pub fn status(&mut self, trial: u32) -> Result<State, ClientError<C::Error>> {
        let asked = "tell how far the trial is";
        match self.ask(asked, &Request::Status { trial }, Duration::ZERO)? {
            Reply::Status { state } => Ok(state),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Waits until the host's clock says so, by the host's clock; `within` is how long that may take.
    ///
    /// # Errors
    /// As every request.
    pub fn wait(&mut self, until_ns: u64, within: Duration) -> Result<(), ClientError<C::Error>> {
        let asked = "wait";
        match self.ask(asked, &Request::Wait { until_ns }, within)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Waits until an armed trial has ended and its results are stored; `within` is how long that may take.
    ///
    /// # Errors
    /// As every request; also where its results could not be stored.
    pub fn await_end(&mut self, trial: u32, within: Duration) -> Result<(), ClientError<C::Error>> {
        let asked = "await the end of the trial";
        match self.ask(asked, &Request::Await { trial }, within)? {
            Reply::Done => Ok(()),
            other => Err(unexpected(asked, &other)),
        }
    }

    /// Ends a running trial now; when this returns its results are stored.
    ///
    /// # Errors
    /// As every request.
    pub fn finish(&mut self, trial: u32) -> Result<(), ClientError<C::Error>> {
        self.done("finish the trial", &Request::Finish { trial })
    }

    /// Drops a trial and its results.
    ///
    /// # Errors
    /// As every request.
    pub fn abort(&mut self, trial: u32) -> Result<(), ClientError<C::Error>> {
        self.done("abort the trial", &Request::Abort { trial })
    }

    /// Has the probe remove everything and end.
    ///
    /// # Errors
    /// As every request.
    pub fn bye(mut self) -> Result<C, ClientError<C::Error>> {
        self.done("end", &Request::Bye)?;
        Ok(self.channel)
    }
}

fn unexpected<E: Display>(asked: &'static str, reply: &Reply) -> ClientError<E> {
    ClientError::Nonsense {
        asked,
        line: format!("{reply:?}").chars().take(200).collect(),
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

    fn hello(answer: &'static str) -> String {
        ProbeClient::new(Canned(answer), Duration::ZERO)
            .hello()
            .unwrap_err()
            .to_string()
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
        assert!(hello(r#"{"answer":"done"}"#).contains("`Done`"));
        let other = r#"{"answer":"hello","version":99,"hostname":"a","folder":"/b","boot_id":"c"}"#;
        assert!(hello(other).contains("version 99"));
    }
}
