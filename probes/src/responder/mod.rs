//! Who answers requests on a guest: one thread a flow, for the length of a trial. A socket is bound to the guest's test
//! address and one port, takes only what comes from the generator's address and port, and is closed with the trial.

mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use thiserror::Error;
use vifbench_wire::protocol::{Answer, RespondSpec, Responded};

use vifbench_wait::Cancel;

/// Why requests are not answered.
#[derive(Debug, Error)]
pub enum ResponderError {
    /// The socket could not be had.
    #[error(
        "cannot answer flow {flow} at {local}: {error}; the address must be the guest's own, and the port free"
    )]
    Bind {
        /// The flow's number.
        flow: u16,
        /// Address and port.
        local: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel refused something in mid-trial.
    #[error("cannot go on answering flow {flow} at {local}: cannot {doing}: {error}")]
    System {
        /// The flow's number.
        flow: u16,
        /// Address and port.
        local: SocketAddr,
        /// What was attempted.
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The thread ended without a result.
    #[error(
        "the thread that answered flow {flow} died: please report this as a defect of vifprobe"
    )]
    Died {
        /// The flow's number.
        flow: u16,
    },
}

/// What a responder's thread does until it is told to stop.
type Job = dyn FnOnce(&Cancel) -> Result<Responded, ResponderError> + Send;

/// A responder that runs in its own thread.
#[derive(Debug)]
pub struct RunningResponder {
    flow: u16,
    stop: Cancel,
    thread: Option<JoinHandle<Result<Responded, ResponderError>>>,
}

impl RunningResponder {
    /// Binds the socket and starts the thread. When this returns, requests are answered.
    ///
    /// # Errors
    /// When the socket cannot be had.
    pub fn start(spec: &RespondSpec) -> Result<Self, ResponderError> {
        let bind = |error| ResponderError::Bind {
            flow: spec.flow,
            local: spec.local,
            error,
        };
        let stop = Cancel::new().map_err(bind)?;
        let job: Box<Job> = match spec.answer {
            Answer::UdpEcho => {
                let echo = udp::Echo::bind(spec).map_err(bind)?;
                Box::new(move |stop| echo.run(stop))
            }
            Answer::UdpSink => {
                let sink = udp::Sink::bind(spec).map_err(bind)?;
                Box::new(move |stop| sink.run(stop))
            }
            Answer::TcpRr { .. } | Answer::TcpSink => {
                let server = tcp::Server::bind(spec).map_err(bind)?;
                Box::new(move |stop| server.run(stop))
            }
        };
        let told = stop.clone();
        let thread = std::thread::Builder::new()
            .name(format!("respond-{}", spec.flow))
            .spawn(move || job(&told))
            .map_err(bind)?;
        Ok(Self {
            flow: spec.flow,
            stop,
            thread: Some(thread),
        })
    }

    /// Closes the socket; what it did.
    ///
    /// # Errors
    /// When it had ended before its time.
    pub fn finish(mut self) -> Result<Responded, ResponderError> {
        self.end()
    }

    fn end(&mut self) -> Result<Responded, ResponderError> {
        let flow = self.flow;
        let died = || ResponderError::Died { flow };
        let Some(thread) = self.thread.take() else {
            return Err(died());
        };
        if self.stop.cancel().is_err() {
            // The flag is set all the same, but the thread may sleep for ever: do not wait for it.
            return Err(died());
        }
        thread.join().map_err(|_| died())?
    }
}

impl Drop for RunningResponder {
    /// One that is given up is stopped too.
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = self.end()
        {
            tracing::warn!("a responder that was given up: {error}");
        }
    }
}

fn failed(
    spec: &RespondSpec,
    doing: &'static str,
) -> impl FnOnce(io::Error) -> ResponderError + use<> {
    let (flow, local) = (spec.flow, spec.local);
    move |error| ResponderError::System {
        flow,
        local,
        doing,
        error,
    }
}
