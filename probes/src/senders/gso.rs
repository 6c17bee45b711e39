//! Sends up to 64 packets of one flow and size as one super-packet, which the kernel cuts up before the driver sees it (UDP
//! GSO through `PACKET_VNET_HDR`, Linux 6.2). Each packet keeps its own number, time and checksum; the kernel counts the
//! IPv4 identification up.
//!
//! Goes through the queueing discipline: GSO refuses to bypass it.

use std::os::fd::OwnedFd;

use super::frame_queue::FrameQueue;
use super::sender::{Refused, SEND_TIMEOUT, Sender, SenderError, index_of};
use super::sys;
use crate::counters::ethtool::Ethtool;

/// The most packets that the kernel cuts out of one (`UDP_MAX_SEGMENTS` before Linux 6.8).
const SEGMENTS: usize = 64;
/// IP has 16 bits for its length.
const MAX_IP: usize = 65_535;
/// The first Linux whose packet sockets take UDP to segment.
const NEEDS: (u32, u32) = (6, 2);

const ETHERNET: usize = 14;
const UDP: usize = 8;
/// `struct virtio_net_hdr`, in the host's byte order.
const VNET_LEN: usize = 10;
const VNET_NEEDS_CSUM: u8 = 1;
const VNET_GSO_UDP_L4: u8 = 5;
const CHECKSUM_AT: usize = 6;
const PROTOCOL_UDP: u8 = 17;

/// UDP GSO.
pub struct GsoSender {
    socket: OwnedFd,
    frames: FrameQueue,
    /// The super-packet that is being built.
    joined: Vec<u8>,
}

impl GsoSender {
    /// Opens a raw socket that takes super-packets.
    ///
    /// # Errors
    /// When the kernel is too old, the interface takes super-packets whole (then captures on it would see those), there is
    /// no such interface, or no right to raw sockets.
    pub fn open(interface: &str) -> Result<Self, SenderError> {
        let unable = |why: String| SenderError::Unable {
            sender: "gso",
            interface: interface.to_owned(),
            why,
        };
        let index = index_of(interface)?;
        let system = nix::sys::utsname::uname().map_err(|error| unable(error.to_string()))?;
        let release = system.release().to_string_lossy();
        if version(&release).is_none_or(|version| version < NEEDS) {
            return Err(unable(format!(
                "Linux {release} cannot segment UDP from packet sockets, {}.{} can",
                NEEDS.0, NEEDS.1
            )));
        }
        let features = Ethtool::new(interface)
            .and_then(|ethtool| ethtool.features())
            .map_err(|error| unable(error.to_string()))?;
        let whole = features
            .iter()
            .any(|(name, on)| name == "tx-udp-segmentation" && *on);
        if whole {
            return Err(unable(format!(
                "it takes super-packets whole, so that captures see those and not packets; `ethtool -K {interface} \
                 tx-udp-segmentation off` mends that"
            )));
        }
        let failed = SenderError::open("gso", interface);
        let socket = sys::packet_socket(index).map_err(&failed)?;
        let on: sys::Number = 1;
        sys::set_option(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on)
            .and_then(|()| sys::set_send_timeout(&socket, SEND_TIMEOUT))
            .map_err(&failed)?;
        Ok(Self {
            socket,
            frames: FrameQueue::default(),
            joined: Vec::with_capacity(MAX_IP + ETHERNET),
        })
    }
}

/// Major and minor version of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Where UDP begins in a frame of [`vifbench_wire::packet::Template`].
fn udp_at(frame: &[u8]) -> usize {
    if frame[12..14] == [0x86, 0xdd] {
        ETHERNET + 40
    } else {
        ETHERNET + 20
    }
}

/// Whether two frames differ in nothing that is the same for all of a super-packet. Lengths are, by the frames' own; the
/// UDP checksum is each packet's own.
fn belong_together(a: &[u8], b: &[u8]) -> bool {
    let headers = udp_at(a) + CHECKSUM_AT;
    a.len() == b.len() && a[..headers] == b[..headers]
}

/// How many frames at the front go as one.
fn run_length(frames: &FrameQueue) -> usize {
    let Some(first) = frames.get(0) else { return 0 };
    let headers = udp_at(first) + UDP;
    let most = SEGMENTS.min((MAX_IP + ETHERNET - headers) / (first.len() - headers));
    1 + (1..frames.len().min(most))
        .take_while(|n| frames.get(*n).is_some_and(|f| belong_together(first, f)))
        .count()
}

/// Builds the super-packet of the first `count` frames, and its header for the kernel.
fn join(frames: &FrameQueue, count: usize, joined: &mut Vec<u8>) -> [u8; VNET_LEN] {
    joined.clear();
    let mut vnet = [0; VNET_LEN];
    let Some(first) = frames.get(0) else {
        return vnet;
    };
    let udp = udp_at(first);
    let payload = udp + UDP;
    joined.extend_from_slice(&first[..payload]);
    for frame in frames.iter().take(count) {
        joined.extend_from_slice(&frame[payload..]);
    }
    if count == 1 {
        // As it is, with its own checksum.
        joined[..payload].copy_from_slice(&first[..payload]);
        return vnet;
    }
    let udp_len = (joined.len() - udp) as u16;
    joined[udp + 4..udp + 6].copy_from_slice(&udp_len.to_be_bytes());
    let pseudo = if payload == ETHERNET + 40 + UDP {
        joined[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&udp_len.to_be_bytes());
        let (source, destination) = (
            &joined[ETHERNET + 8..ETHERNET + 24],
            &joined[ETHERNET + 24..udp],
        );
        pseudo_sum(source, destination, udp_len)
    } else {
        let total = (joined.len() - ETHERNET) as u16;
        joined[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&total.to_be_bytes());
        // The kernel writes the header checksum of each packet anew; this is the super-packet's.
        joined[ETHERNET + 10..ETHERNET + 12].fill(0);
        let sum = !folded(words(&joined[ETHERNET..udp]));
        joined[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&sum.to_be_bytes());
        pseudo_sum(
            &joined[ETHERNET + 12..ETHERNET + 16],
            &joined[ETHERNET + 16..udp],
            udp_len,
        )
    };
    joined[udp + CHECKSUM_AT..payload].copy_from_slice(&pseudo.to_be_bytes());
    vnet[0] = VNET_NEEDS_CSUM;
    vnet[1] = VNET_GSO_UDP_L4;
    let mut put = |at: usize, value: usize| {
        vnet[at..at + 2].copy_from_slice(&(value as u16).to_ne_bytes());
    };
    put(2, payload);
    put(4, first.len() - payload);
    put(6, udp);
    put(8, CHECKSUM_AT);
    vnet
}

fn words(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// What the kernel wants in the checksum's place: the sum of the pseudo-header, not inverted.
fn pseudo_sum(source: &[u8], destination: &[u8], udp_len: u16) -> u16 {
    folded(words(source) + words(destination) + u32::from(PROTOCOL_UDP) + u32::from(udp_len))
}

impl Sender for GsoSender {
    fn capacity(&self) -> usize {
        SEGMENTS
    }

    fn push(&mut self, frame: &[u8]) {
        self.frames.push(frame);
    }

    fn flush(&mut self) -> Result<usize, Refused> {
        // The kernel takes all of a super-packet or nothing: the rest of a refused one goes with the next call.
        self.frames.send_all(|frames| {
            let count = run_length(frames);
            let vnet = join(frames, count, &mut self.joined);
            sys::send_two(&self.socket, &vnet, &self.joined)?;
            Ok(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use vifbench_scenarios::scenario::Arrivals;
    use vifbench_scenarios::units::{Rate, Size};
    use vifbench_wire::packet::Template;
    use vifbench_wire::protocol::FlowSpec;

    use super::*;

    fn template(flow: u16, v6: bool, size: u32) -> Template {
        let (source, destination) = if v6 {
            (
                Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1).into(),
                Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 2).into(),
            )
        } else {
            (
                Ipv4Addr::new(198, 18, 0, 1).into(),
                Ipv4Addr::new(198, 18, 0, 2).into(),
            )
        };
        let spec = FlowSpec {
            flow,
            source_mac: "02:00:00:00:00:01".into(),
            destination_mac: "02:00:00:00:00:02".into(),
            source,
            destination,
            size: Size::from_bytes(u64::from(size)).into(),
            arrivals: Arrivals::Cbr {
                rate: Rate::per_sec(1),
            },
            seed: 1,
        };
        Template::new(&spec, size).unwrap()
    }

    fn frames(packets: &[(u16, u32)]) -> FrameQueue {
        let mut frames = FrameQueue::default();
        for (seq, (flow, size)) in (0..).zip(packets) {
            let mut template = template(*flow, false, *size);
            template.number(seq);
            frames.push(template.stamp(u64::from(seq)));
        }
        frames
    }

    #[test]
    fn only_one_flow_and_one_size_go_together() {
        let mut waiting = frames(&[(1, 64), (1, 64), (2, 64), (2, 100), (2, 100)]);
        let mut runs = Vec::new();
        while !waiting.is_empty() {
            let run = run_length(&waiting);
            waiting.drop_front(run);
            runs.push(run);
        }
        assert_eq!(runs, [2, 1, 2]);
        assert_eq!(run_length(&frames(&[(1, 64); 80])), SEGMENTS);
        // 44 segments of 1472 bytes fill what IP can count.
        assert_eq!(run_length(&frames(&[(1, 1518); 64])), 44);
    }

    #[test]
    fn kernels_are_told_apart() {
        assert_eq!(version("6.1.0-49-amd64"), Some((6, 1)));
        assert!(version("6.18.44-fc").unwrap() > NEEDS);
        assert_eq!(version("odd"), None);
    }

    proptest! {
        /// Cut up as the kernel does it, the packets are what they were.
        #[test]
        fn what_is_joined_can_be_cut_up(v6: bool, size in 84u32..=1518, count in 2usize..=40) {
            let mut template = template(3, v6, size);
            let mut waiting = FrameQueue::default();
            for seq in 0..count as u32 {
                template.number(seq);
                waiting.push(template.stamp(seq.into()));
            }
            let mut joined = Vec::new();
            let vnet = join(&waiting, count, &mut joined);
            let get = |at: usize| usize::from(u16::from_ne_bytes([vnet[at], vnet[at + 1]]));
            let (payload, segment, udp) = (get(2), get(4), get(6));
            prop_assert_eq!((vnet[0], vnet[1], get(8)), (VNET_NEEDS_CSUM, VNET_GSO_UDP_L4, 6));
            prop_assert_eq!(joined.len(), payload + count * segment);
            if !v6 {
                prop_assert_eq!(folded(words(&joined[ETHERNET..udp])), 0xffff);
            }
            for (n, frame) in waiting.iter().enumerate() {
                let part = &joined[payload + n * segment..payload + (n + 1) * segment];
                prop_assert_eq!(part, &frame[payload..]);
                // The packet's checksum from the super-packet's pseudo-header, as `__udp_gso_segment` corrects it.
                let len = (UDP + segment) as u32;
                let whole = u32::from(u16::from_be_bytes([joined[udp + 6], joined[udp + 7]]));
                let udp_len = u32::from(u16::from_be_bytes([joined[udp + 4], joined[udp + 5]]));
                let pseudo = folded(whole + (0xffff - udp_len) + len);
                let ports = words(&joined[udp..udp + 4]);
                let sum = !folded(u32::from(pseudo) + ports + len + words(part));
                let sum = if sum == 0 { 0xffff } else { sum };
                prop_assert_eq!(sum, u16::from_be_bytes([frame[udp + 6], frame[udp + 7]]));
            }
        }
    }
}
