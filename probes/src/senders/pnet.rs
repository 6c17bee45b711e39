//! Sends through `pnet`'s data-link channel: one `poll` and one `sendto` for each packet.

use std::io;
use std::os::fd::IntoRawFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use pnet::datalink::{self, Channel, ChannelType, Config, DataLinkSender};

use super::sender::{Refused, SEND_TIMEOUT, Sender, SenderError};

/// Sends one packet a call.
pub struct PnetSender {
    channel: Box<dyn DataLinkSender>,
    waiting: Option<Vec<u8>>,
    /// Kept for the next frame.
    spare: Vec<u8>,
}

impl PnetSender {
    /// Opens a raw socket on an interface.
    ///
    /// # Errors
    /// When there is no such interface, or no right to raw sockets.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let failed = SenderError::open("pnet", interface);
        let nic = datalink::interfaces()
            .into_iter()
            .find(|nic| nic.name == interface)
            .ok_or_else(|| SenderError::NoInterface {
                interface: interface.to_owned(),
            })?;
        // pnet's own socket receives every packet of the interface and never reads one, which costs the host a
        // copy of each until the buffer is full. A socket bound to protocol 0 receives nothing.
        let protocol_none = 0;
        let fd = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .map_err(|error| failed(error.into()))?;
        let config = Config {
            channel_type: ChannelType::Layer3(protocol_none),
            promiscuous: false,
            write_timeout: Some(SEND_TIMEOUT),
            socket_fd: Some(fd.into_raw_fd()), // pnet closes it, also when it fails
            ..Config::default()
        };
        match datalink::channel(&nic, config).map_err(&failed)? {
            Channel::Ethernet(channel, _) => Ok(Self {
                channel,
                waiting: None,
                spare: Vec::new(),
            }),
            _ => Err(failed(io::Error::other(
                "pnet gave an unknown kind of channel",
            ))),
        }
    }
}

impl Sender for PnetSender {
    fn capacity(&self) -> usize {
        1
    }

    fn push(&mut self, frame: &[u8]) {
        let mut waiting = std::mem::take(&mut self.spare);
        waiting.clear();
        waiting.extend_from_slice(frame);
        self.waiting = Some(waiting);
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        let Some(frame) = self.waiting.take() else {
            return Ok(0);
        };
        // None would mean that the frame does not fit pnet's buffer, which `send_to` does not use.
        let sent = self
            .channel
            .send_to(&frame, None)
            .unwrap_or_else(|| Err(io::Error::other("frame too large")));
        self.spare = frame;
        sent.map(|()| 1).map_err(|error| Refused { sent: 0, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_interface_is_named() {
        let error = PnetSender::open("no-such-nic").err().unwrap();
        assert!(error.to_string().contains("no-such-nic"));
    }
}
