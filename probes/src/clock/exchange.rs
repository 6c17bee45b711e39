//! Two-way clock exchange over raw Ethernet frames of the local experimental type 0x88b5: no port is opened, no IP
//! stack is involved.
//!
//! ```text
//! asker                              reference host
//!  t1: read, then send  --- ask --->  t2: kernel's receive stamp
//!  t4: kernel's stamp   <-- answer -- t3: read, then send
//! ```
//!
//! A reading made before sending and one made at or after receiving keep the estimator's limits true whatever the
//! delays inside a host are: they only widen the bound.
//!
//! A frame counts only if it comes from the peer's MAC and carries the session's random token and the number
//! that was asked last. All others are ignored; the asker counts them.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, setsockopt, socket,
    sockopt,
};
use pnet::datalink::{self, Channel, ChannelType, Config, DataLinkSender, NetworkInterface};
use pnet::packet::ethernet::{EtherType, EthernetPacket, MutableEthernetPacket};
use pnet::util::MacAddr;
use rand::random;
use thiserror::Error;
use vifbench_wait::{Cancel, Woken, until_readable, wait_readable};
use vifbench_wire::protocol::Exchange;

use crate::clock::reading::realtime_ns;

/// IEEE 802's first type for local experiments.
pub const ETHERTYPE: u16 = 0x88b5;

const MAGIC: [u8; 5] = *b"vbck\x01";
const ASK: u8 = 1;
const ANSWER: u8 = 2;
const ETHERNET_LEN: usize = 14;
/// Magic, kind, token, number, t2, t3.
const BODY_LEN: usize = 5 + 1 + 8 + 4 + 8 + 8;
/// The least that Ethernet carries, without FCS.
const FRAME_LEN: usize = 60;
/// One exchange is given up as lost after at most this long.
const LONGEST_WAIT_NS: u64 = 1_000_000_000;
/// ... and at least this long.
const SHORTEST_WAIT_NS: u64 = 1_000_000;

/// Why clocks could not be exchanged.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// There is no such interface, or it has no MAC address.
    #[error(
        "cannot exchange clocks on {interface}: there is no such Ethernet interface; check the lab file"
    )]
    NoInterface {
        /// Interface.
        interface: String,
    },
    /// Not a MAC address.
    #[error(
        "cannot exchange clocks with `{text}`: it is not a MAC address; write it as 00:16:3e:00:00:01"
    )]
    Mac {
        /// What was given.
        text: String,
    },
    /// The operating system refused.
    #[error(
        "cannot {doing} on {interface}: {error}; vifprobe must run as root and the interface be up"
    )]
    System {
        /// What was attempted.
        doing: &'static str,
        /// Interface.
        interface: String,
        /// What the system said.
        error: io::Error,
    },
}

/// What an exchange frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    kind: u8,
    token: u64,
    number: u32,
    t2: u64,
    t3: u64,
}

impl Message {
    fn write(&self, source: MacAddr, destination: MacAddr) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        if let Some(mut ethernet) = MutableEthernetPacket::new(&mut frame) {
            ethernet.set_source(source);
            ethernet.set_destination(destination);
            ethernet.set_ethertype(EtherType(ETHERTYPE));
        }
        let mut at = ETHERNET_LEN;
        let parts: [&[u8]; 6] = [
            &MAGIC,
            &[self.kind],
            &self.token.to_be_bytes(),
            &self.number.to_be_bytes(),
            &self.t2.to_be_bytes(),
            &self.t3.to_be_bytes(),
        ];
        for part in parts {
            frame[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        frame
    }

    /// Source, destination and message; none for anything else.
    fn read(frame: &[u8]) -> Option<(MacAddr, MacAddr, Self)> {
        let ethernet = EthernetPacket::new(frame)?;
        if ethernet.get_ethertype() != EtherType(ETHERTYPE) {
            return None;
        }
        let body = frame
            .get(ETHERNET_LEN..ETHERNET_LEN + BODY_LEN)?
            .strip_prefix(&MAGIC)?;
        let word = |range: std::ops::Range<usize>| {
            body[range]
                .iter()
                .fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
        };
        let message = Self {
            kind: body[0],
            token: word(1..9),
            number: word(9..13) as u32,
            t2: word(13..21),
            t3: word(21..29),
        };
        Some((ethernet.get_source(), ethernet.get_destination(), message))
    }
}

/// A raw socket for exchange frames on one interface.
struct Port {
    interface: String,
    mac: MacAddr,
    sender: Box<dyn DataLinkSender>,
    socket: OwnedFd,
}

/// A received frame with the time the kernel saw it, or, where it gave none, the time it was read.
struct Received {
    at_ns: u64,
    frame: [u8; FRAME_LEN],
    len: usize,
}

impl Port {
    fn open(interface: &str) -> Result<Self, ExchangeError> {
        let no_interface = || ExchangeError::NoInterface {
            interface: interface.to_owned(),
        };
        let failed = |doing| {
            move |error: io::Error| ExchangeError::System {
                doing,
                interface: interface.to_owned(),
                error,
            }
        };
        let nic: NetworkInterface = datalink::interfaces()
            .into_iter()
            .find(|nic| nic.name == interface)
            .ok_or_else(no_interface)?;
        let mac = nic.mac.ok_or_else(no_interface)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .map_err(|error| failed("open a raw socket")(error.into()))?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)
            .map_err(|error| failed("ask for receive time stamps")(error.into()))?;
        // pnet binds the socket to interface and type, and sends through it; the stamps that it does not know of
        // are read through the other handle of the same socket.
        let sending = socket.try_clone().map_err(failed("share a raw socket"))?;
        let config = Config {
            channel_type: ChannelType::Layer3(ETHERTYPE),
            promiscuous: false,
            write_timeout: Some(Duration::from_millis(100)),
            socket_fd: Some(sending.into_raw_fd()), // pnet closes it, also when it fails
            ..Config::default()
        };
        match datalink::channel(&nic, config).map_err(failed("bind a raw socket"))? {
            Channel::Ethernet(sender, _) => Ok(Self {
                interface: interface.to_owned(),
                mac,
                sender,
                socket,
            }),
            _ => Err(failed("bind a raw socket")(io::Error::other(
                "unknown kind of channel",
            ))),
        }
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> ExchangeError {
        ExchangeError::System {
            doing,
            interface: self.interface.clone(),
            error,
        }
    }

    fn send(&mut self, message: &Message, to: MacAddr) -> Result<(), ExchangeError> {
        let frame = message.write(self.mac, to);
        let result = self.sender.send_to(&frame, None);
        result
            .unwrap_or_else(|| Err(io::Error::other("frame too large")))
            .map_err(|error| self.failed("send a clock frame", error))
    }

    /// The next frame, without waiting.
    fn receive(&self) -> Result<Option<Received>, ExchangeError> {
        let mut frame = [0; FRAME_LEN];
        let mut control = nix::cmsg_space!(libc::timespec);
        let mut parts = [IoSliceMut::new(&mut frame)];
        let result = recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        );
        let message = match result {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(self.failed("receive a clock frame", error.into())),
        };
        let stamp = message
            .cmsgs()
            .map_err(|error| self.failed("read a receive time stamp", error.into()))?
            .find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(time) => {
                    Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
                }
                _ => None,
            });
        let len = message.bytes.min(FRAME_LEN);
        Ok(Some(Received {
            at_ns: stamp.unwrap_or_else(realtime_ns),
            frame,
            len,
        }))
    }
}

/// Answers clock exchanges on one interface, in a thread of its own, until it is dropped. Frames that are no requests to this
/// host are ignored.
///
/// While it runs the kernel stamps every packet that the host receives, which costs a little: a trial is to be
/// measured either always with it or always without.
#[derive(Debug)]
pub struct ClockServer {
    stop: Cancel,
    thread: Option<JoinHandle<Result<(), ExchangeError>>>,
}

impl ClockServer {
    /// Starts to answer. Where a bridge owns the interface, give the bridge.
    ///
    /// # Errors
    /// When the interface or a raw socket cannot be had.
    pub fn start(interface: &str) -> Result<Self, ExchangeError> {
        let port = Port::open(interface)?;
        let system = |error| port.failed("start to answer clock frames", error);
        let stop = Cancel::new().map_err(system)?;
        let name = format!("clock-{interface}");
        let told = stop.clone();
        let spawned = std::thread::Builder::new()
            .name(name)
            .spawn(move || serve(port, &told));
        let thread = spawned.map_err(|error| ExchangeError::System {
            doing: "start to answer clock frames",
            interface: interface.to_owned(),
            error,
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    fn end(&mut self) -> Result<(), ExchangeError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        let lost = |error| ExchangeError::System {
            doing: "stop answering clock frames",
            interface: thread.thread().name().unwrap_or("?").to_owned(),
            error,
        };
        self.stop.cancel().map_err(lost)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for ClockServer {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!("{error}");
        }
    }
}

fn serve(mut port: Port, stop: &Cancel) -> Result<(), ExchangeError> {
    loop {
        let woken = until_readable(port.socket.as_fd(), stop)
            .map_err(|error| port.failed("wait for clock frames", error))?;
        if woken == Woken::Cancelled {
            return Ok(());
        }
        while let Some(received) = port.receive()? {
            let ours = Message::read(&received.frame[..received.len])
                .filter(|(_, to, message)| *to == port.mac && message.kind == ASK);
            let Some((from, _, asked)) = ours else {
                continue;
            };
            let answer = Message {
                kind: ANSWER,
                t2: received.at_ns,
                t3: realtime_ns(),
                ..asked
            };
            port.send(&answer, from)?;
        }
    }
}

/// What came of a series of exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchanged {
    /// Those that came back, in order.
    pub exchanges: Vec<Exchange>,
    /// Requests that no reply came to in time.
    pub lost: u32,
    /// Frames of our type that were no reply to what was asked last.
    pub ignored: u32,
}

/// Makes `count` exchanges, one after the other, within `deadline_ns` of the host's clock.
///
/// # Errors
/// When the interface or a raw socket cannot be had or used. Lost replies are not an error.
pub fn exchange(
    interface: &str,
    peer_mac: &str,
    count: u32,
    deadline_ns: u64,
) -> Result<Exchanged, ExchangeError> {
    let peer: MacAddr = peer_mac.parse().map_err(|_| ExchangeError::Mac {
        text: peer_mac.to_owned(),
    })?;
    let mut port = Port::open(interface)?;
    let token: u64 = random();
    let end = realtime_ns().saturating_add(deadline_ns);
    let wait_ns = (deadline_ns / u64::from(count.max(1))).clamp(SHORTEST_WAIT_NS, LONGEST_WAIT_NS);
    let mut result = Exchanged::default();
    for number in 0..count {
        let t1 = realtime_ns();
        if t1 >= end {
            result.lost += count - number;
            break;
        }
        port.send(
            &Message {
                kind: ASK,
                token,
                number,
                t2: 0,
                t3: 0,
            },
            peer,
        )?;
        match await_answer(
            &port,
            peer,
            token,
            number,
            (t1 + wait_ns).min(end),
            &mut result.ignored,
        )? {
            Some((answer, t4)) => {
                result.exchanges.push(Exchange {
                    t1,
                    t2: answer.t2,
                    t3: answer.t3,
                    t4,
                });
            }
            None => result.lost += 1,
        }
    }
    Ok(result)
}

fn await_answer(
    port: &Port,
    peer: MacAddr,
    token: u64,
    number: u32,
    until_ns: u64,
    ignored: &mut u32,
) -> Result<Option<(Message, u64)>, ExchangeError> {
    loop {
        while let Some(received) = port.receive()? {
            let ours = Message::read(&received.frame[..received.len]).filter(|(from, to, m)| {
                *from == peer
                    && *to == port.mac
                    && (m.kind, m.token, m.number) == (ANSWER, token, number)
                    // An answer that claims to have been sent before its question came is not one.
                    && m.t2 <= m.t3
            });
            match ours {
                Some((_, _, message)) => return Ok(Some((message, received.at_ns))),
                None => *ignored += 1,
            }
        }
        let left_ns = until_ns.saturating_sub(realtime_ns());
        if left_ns == 0 {
            return Ok(None);
        }
        let left = Duration::from_nanos(left_ns);
        wait_readable(&[port.socket.as_fd()], Some(left))
            .map_err(|error| port.failed("wait for an answer", error))?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(kind: u8, token: u64, number: u32, t2: u64, t3: u64) {
            let message = Message { kind, token, number, t2, t3 };
            let (a, b) = (MacAddr::new(2, 0, 0, 0, 0, 1), MacAddr::new(2, 0, 0, 0, 0, 2));
            prop_assert_eq!(Message::read(&message.write(a, b)), Some((a, b, message)));
        }

        #[test]
        fn garbage_is_no_message(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(Message::read(&bytes), None);
        }
    }

    #[test]
    fn bad_names_are_told() {
        let error = exchange("no-such-nic", "02:00:00:00:00:01", 1, 1).unwrap_err();
        assert!(
            matches!(error, ExchangeError::NoInterface { .. }),
            "{error}"
        );
        let error = exchange("lo", "here", 1, 1).unwrap_err();
        assert!(matches!(error, ExchangeError::Mac { .. }), "{error}");
        assert!(ClockServer::start("no-such-nic").is_err());
    }
}
