//! A probe on a host of a trial, and the channel by which it is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vifbench_probes::client::{ClientError, LineChannel, ProbeClient};
use vifbench_provisioning::host::{Channel, Host, HostError};

use super::deadlines::STEP;
use crate::error::Failure;

/// The file name of the probe's program.
pub const PROBE: &str = "vifprobe";

/// A host's channel, as the client of its probe needs it.
pub struct ProbeChannel(Box<dyn Channel>);

impl LineChannel for ProbeChannel {
    type Error = HostError;

    fn send(&mut self, line: &str, deadline: Duration) -> Result<(), HostError> {
        self.0.send(line, deadline)
    }

    fn receive(&mut self, deadline: Duration) -> Result<String, HostError> {
        self.0.receive(deadline)
    }
}

/// Sends requests to the probe of a host.
pub type Client = ProbeClient<ProbeChannel>;

/// A probe that was started on a host.
pub struct Probe {
    host: String,
    client: Client,
    /// Its private folder on the host.
    pub folder: PathBuf,
}

impl Probe {
    /// Starts the probe's program on a host and checks that it speaks our version.
    pub fn start(host: &mut dyn Host, program: &Path) -> Result<Self, Failure> {
        let name = host.name().to_string();
        let channel = host.open(&program.display().to_string(), STEP)?;
        Self::hello(name, channel)
    }

    /// Checks that the probe at the end of a channel speaks our version.
    pub fn hello(host: String, channel: Box<dyn Channel>) -> Result<Self, Failure> {
        let mut probe = Self::waiting(host, channel, PathBuf::new());
        probe.folder = probe.ask(Client::hello)?;
        Ok(probe)
    }

    /// A probe that was greeted before its machine was saved.
    pub fn waiting(host: String, channel: Box<dyn Channel>, folder: PathBuf) -> Self {
        Self {
            host,
            client: ProbeClient::new(ProbeChannel(channel), STEP),
            folder,
        }
    }

    /// Sends it a request.
    pub fn ask<T>(
        &mut self,
        request: impl FnOnce(&mut Client) -> Result<T, ClientError<HostError>>,
    ) -> Result<T, Failure> {
        request(&mut self.client).map_err(|error| failure(&self.host, error))
    }

    /// Lets it remove itself.
    pub fn bye(self) -> Result<(), Failure> {
        let channel = self.client.bye();
        let ProbeChannel(channel) = channel.map_err(|error| failure(&self.host, error))?;
        channel.close(STEP)?;
        Ok(())
    }
}

/// Why a request was not carried out. A lost channel is the host's failure, not the probe's.
fn failure(host: &str, error: ClientError<HostError>) -> Failure {
    match error {
        ClientError::Channel { error, .. } => Failure::Host(error),
        ClientError::Probe { asked, why } => Failure::Probe {
            host: host.to_owned(),
            doing: asked.to_owned(),
            why: why.to_string(),
        },
    }
}
