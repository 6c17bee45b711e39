//! vifbench's packets: what a UDP payload carries, how a frame is built around it, and how one is read back.
//!
//! The payload begins with 18 bytes in network order, the most that a 64-byte IPv4 frame has room for:
//!
//! | bytes  | what                                                              |
//! |--------|-------------------------------------------------------------------|
//! | 0      | magic and version, `0xd1`                                         |
//! | 1..3   | flow number                                                       |
//! | 3..7   | sequence number within the flow, from 0                           |
//! | 7..14  | send time: `CLOCK_REALTIME` in nanoseconds modulo 2^56 (833 days) |
//! | 14..18 | CRC-32 of bytes 0..14                                             |
//!
//! Whatever follows is filled with a pattern that flow and sequence number determine. A reader can thus check
//! every byte that was captured, even of a packet that the capture cut short.

use std::net::IpAddr;

use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, Ipv4Flags, MutableIpv4Packet};
use pnet::packet::ipv6::MutableIpv6Packet;
use pnet::packet::udp::{self, MutableUdpPacket, UdpPacket};
use pnet::util::MacAddr;
use thiserror::Error;

use crate::dissect::{Dissected, ETHERNET, IpPacket, dissect};
use crate::protocol::FlowSpec;

/// Destination port of every test packet.
pub const UDP_PORT: u16 = 8191;

/// Port of the first flow's TCP responder in a guest; each flow has the one behind it.
pub const TCP_PORT: u16 = 8192;

/// TCP flows have numbers below this, so that each has a port.
pub const TCP_FLOWS: u16 = 4096;

/// Kernel filter that lets only test packets through, in pcap syntax.
pub const FILTER: &str = "udp dst port 8191";

/// Bytes of payload that carry flow, sequence number, send time and checksum.
pub const HEADER_LEN: usize = 18;

/// Bytes that the Ethernet frame check sequence adds on the wire; captures do not show them.
pub const FCS_LEN: u32 = 4;

/// Smallest frame with FCS that IPv4 flows can ask for.
pub const MIN_SIZE_V4: u32 = (ETHERNET_LEN + IPV4_LEN + UDP_LEN + HEADER_LEN) as u32 + FCS_LEN;

/// Smallest frame with FCS that IPv6 flows can ask for.
pub const MIN_SIZE_V6: u32 = (ETHERNET_LEN + IPV6_LEN + UDP_LEN + HEADER_LEN) as u32 + FCS_LEN;

/// Largest frame with FCS: 1500 bytes of payload, no jumbo frames.
pub const MAX_SIZE: u32 = 1518;

const MAGIC: u8 = 0xd1;
const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
const HOP_LIMIT: u8 = 64;
/// Source ports begin here and go up with the flow number, so that multi-queue hashing tells flows apart.
const SOURCE_PORT: u16 = 0xc000;

/// The port that a flow is sent from.
pub fn source_port(flow: u16) -> u16 {
    SOURCE_PORT + (flow & 0x3fff)
}

/// The port that a flow of TCP goes to.
pub fn tcp_port(flow: u16) -> u16 {
    TCP_PORT + flow % TCP_FLOWS
}

const TIME_BITS: u32 = 56;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// Why a frame could not be built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PacketError {
    /// The frame is too small for its headers, or larger than Ethernet allows.
    #[error(
        "cannot build frames of {size} B for flow {flow}: {family} frames that carry a test header have \
         {min} B to {MAX_SIZE} B, FCS included; change `size`"
    )]
    Size {
        /// The flow's number.
        flow: u16,
        /// What was asked, FCS included.
        size: u32,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The smallest that would do.
        min: u32,
    },
    /// Not a MAC address.
    #[error(
        "cannot build frames for flow {flow}: `{text}` is not a MAC address; write it as 00:16:3e:00:00:01"
    )]
    Mac {
        /// The flow's number.
        flow: u16,
        /// What was given.
        text: String,
    },
    /// One address is IPv4, the other IPv6.
    #[error(
        "cannot build frames for flow {flow}: source {source_address} and destination {destination} are of \
         different IP versions; give both ends an address of the same one"
    )]
    Families {
        /// The flow's number.
        flow: u16,
        /// Source address.
        source_address: IpAddr,
        /// Destination address.
        destination: IpAddr,
    },
}

/// A frame of one flow, built once and then numbered and stamped for each packet.
#[derive(Debug, Clone)]
pub struct Template {
    flow: u16,
    source: IpAddr,
    destination: IpAddr,
    frame: Vec<u8>,
    udp_at: usize,
}

impl Template {
    /// Builds the headers of a flow's frames of `size` bytes, FCS included.
    ///
    /// # Errors
    /// When size, MAC or IP addresses do not make a valid frame.
    pub fn new(spec: &FlowSpec, size: u32) -> Result<Self, PacketError> {
        let flow = spec.flow;
        let mac = |text: &str| -> Result<MacAddr, PacketError> {
            text.parse().map_err(|_| PacketError::Mac {
                flow,
                text: text.to_owned(),
            })
        };
        let (family, min, ip_len) = match (spec.source, spec.destination) {
            (IpAddr::V4(_), IpAddr::V4(_)) => ("IPv4", MIN_SIZE_V4, IPV4_LEN),
            (IpAddr::V6(_), IpAddr::V6(_)) => ("IPv6", MIN_SIZE_V6, IPV6_LEN),
            (source_address, destination) => {
                return Err(PacketError::Families {
                    flow,
                    source_address,
                    destination,
                });
            }
        };
        if !(min..=MAX_SIZE).contains(&size) {
            return Err(PacketError::Size {
                flow,
                size,
                family,
                min,
            });
        }
        let mut template = Self {
            flow,
            source: spec.source,
            destination: spec.destination,
            frame: vec![0; (size - FCS_LEN) as usize],
            udp_at: ETHERNET_LEN + ip_len,
        };
        template.write_headers(mac(&spec.source_mac)?, mac(&spec.destination_mac)?);
        Ok(template)
    }

    fn write_headers(&mut self, source_mac: MacAddr, destination_mac: MacAddr) {
        let ip_total = self.frame.len() - ETHERNET_LEN;
        let udp_len = (self.frame.len() - self.udp_at) as u16;
        let ethertype = match self.source {
            IpAddr::V4(_) => EtherTypes::Ipv4,
            IpAddr::V6(_) => EtherTypes::Ipv6,
        };
        if let Some(mut ethernet) = MutableEthernetPacket::new(&mut self.frame) {
            ethernet.set_source(source_mac);
            ethernet.set_destination(destination_mac);
            ethernet.set_ethertype(ethertype);
        }
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                if let Some(mut ip) = MutableIpv4Packet::new(&mut self.frame[ETHERNET_LEN..]) {
                    ip.set_version(4);
                    ip.set_header_length(5);
                    ip.set_total_length(ip_total as u16);
                    ip.set_flags(Ipv4Flags::DontFragment);
                    ip.set_ttl(HOP_LIMIT);
                    ip.set_next_level_protocol(IpNextHeaderProtocols::Udp);
                    ip.set_source(source);
                    ip.set_destination(destination);
                    let sum = ipv4::checksum(&ip.to_immutable());
                    ip.set_checksum(sum);
                }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                if let Some(mut ip) = MutableIpv6Packet::new(&mut self.frame[ETHERNET_LEN..]) {
                    ip.set_version(6);
                    ip.set_payload_length(udp_len);
                    ip.set_next_header(IpNextHeaderProtocols::Udp);
                    ip.set_hop_limit(HOP_LIMIT);
                    ip.set_source(source);
                    ip.set_destination(destination);
                }
            }
            // `new` lets no mixed pair through.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
        let source_port = source_port(self.flow);
        if let Some(mut udp) = MutableUdpPacket::new(&mut self.frame[self.udp_at..]) {
            udp.set_source(source_port);
            udp.set_destination(UDP_PORT);
            udp.set_length(udp_len);
        }
    }

    /// Writes the fill of packet `seq`: the part that takes long, done before its send time has come.
    pub fn number(&mut self, seq: u32) {
        let header = self.udp_at + UDP_LEN;
        self.frame[header + 3..header + 7].copy_from_slice(&seq.to_be_bytes());
        fill(self.flow, seq, &mut self.frame[header + HEADER_LEN..]);
    }

    /// Stamps the numbered packet and finishes its checksums. Returns the frame without FCS.
    pub fn stamp(&mut self, sent_ns: u64) -> &[u8] {
        let at = self.udp_at + UDP_LEN;
        let header = &mut self.frame[at..at + HEADER_LEN];
        header[0] = MAGIC;
        header[1..3].copy_from_slice(&self.flow.to_be_bytes());
        header[7..14].copy_from_slice(&(sent_ns & TIME_MASK).to_be_bytes()[1..]);
        let crc = crc32fast::hash(&header[..14]);
        header[14..18].copy_from_slice(&crc.to_be_bytes());
        if let Some(mut udp) = MutableUdpPacket::new(&mut self.frame[self.udp_at..]) {
            udp.set_checksum(0);
            let sum = udp_checksum(&udp.to_immutable(), self.source, self.destination);
            udp.set_checksum(sum);
        }
        &self.frame
    }

    /// The flow's number.
    pub fn flow(&self) -> u16 {
        self.flow
    }
}

/// The checksum of a UDP packet. Zero means "none" in UDP, so the sum 0 is sent as 0xffff.
fn udp_checksum(packet: &UdpPacket<'_>, source: IpAddr, destination: IpAddr) -> u16 {
    let sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            udp::ipv4_checksum(packet, &source, &destination)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            udp::ipv6_checksum(packet, &source, &destination)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    if sum == 0 { 0xffff } else { sum }
}

/// One word of the fill: the finaliser of `SplitMix64`, whose output looks random for any input.
fn fill_word(flow: u16, seq: u32, index: u64) -> u64 {
    let seed = (u64::from(flow) << 32) | u64::from(seq);
    let mut word = seed
        .wrapping_mul(0x2545_f491_4f6c_dd1d)
        .wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Writes the payload that flow and packet number determine, so that each end can check what the other one sent.
pub fn fill(flow: u16, seq: u32, out: &mut [u8]) {
    for (index, chunk) in out.chunks_mut(8).enumerate() {
        let word = fill_word(flow, seq, index as u64).to_le_bytes();
        chunk.copy_from_slice(&word[..chunk.len()]);
    }
}

/// One write of a bulk flow in bytes, after which its data begin again: the most that one super-packet of GSO holds.
pub const BULK_BLOCK: usize = 1 << 16;

/// The data of a bulk flow, which are sent over and over.
pub fn bulk_block(flow: u16) -> Vec<u8> {
    let mut block = vec![0; BULK_BLOCK];
    fill(flow, 0, &mut block);
    block
}

fn fill_matches(flow: u16, seq: u32, seen: &[u8]) -> bool {
    seen.chunks(8).enumerate().all(|(index, chunk)| {
        fill_word(flow, seq, index as u64).to_le_bytes()[..chunk.len()] == *chunk
    })
}

/// A UDP packet inside a captured Ethernet frame, whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpFrame<'a> {
    /// The outermost VLAN id, where the frame is tagged.
    pub vlan: Option<u16>,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Bytes of payload that were sent, by the UDP header.
    pub payload_len: usize,
    /// Those of them that were captured.
    pub payload: &'a [u8],
    /// The UDP header and its payload as captured, for checking sums.
    udp: &'a [u8],
    /// Only the first fragment of a datagram, whose sum is of the whole.
    fragment: bool,
}

impl<'a> UdpFrame<'a> {
    /// Finds UDP in an Ethernet frame. None for everything else, for later fragments and for frames cut before the
    /// end of the UDP header.
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let wire_len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        match dissect(ETHERNET, frame, wire_len) {
            Dissected::Ip(packet) => Self::of(&packet),
            Dissected::NotIp | Dissected::Cut | Dissected::UnknownLink => None,
        }
    }

    /// Finds UDP in an IP packet. None for everything else, as for [`UdpFrame::parse`].
    pub fn of(packet: &IpPacket<'a>) -> Option<Self> {
        if packet.protocol != IpNextHeaderProtocols::Udp || packet.fragment_offset > 0 {
            return None;
        }
        let transport = packet.transport()?;
        let end = transport.header_len + transport.payload.len();
        Some(Self {
            vlan: packet.vlan,
            source: packet.source,
            destination: packet.destination,
            source_port: transport.ports.0,
            destination_port: transport.ports.1,
            payload_len: transport.payload_len,
            payload: transport.payload,
            udp: &packet.transport[..end],
            fragment: packet.fragment,
        })
    }

    /// Whether the UDP checksum is right; none where it cannot be said (cut short, or not filled in).
    ///
    /// A packet captured on its way out may rightly carry a wrong sum: the NIC fills it in later.
    pub fn checksum_ok(&self) -> Option<bool> {
        if self.fragment || self.payload.len() < self.payload_len {
            return None;
        }
        let packet = UdpPacket::new(self.udp)?;
        let carried = packet.get_checksum();
        if carried == 0 {
            return None;
        }
        // `udp_checksum` leaves out the checksum field itself.
        Some(udp_checksum(&packet, self.source, self.destination) == carried)
    }
}

/// What a test packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Flow number.
    pub flow: u16,
    /// Sequence number within the flow.
    pub seq: u32,
    /// Send time modulo 2^56 ns; see [`Stamp::sent_near`].
    pub sent_low_ns: u64,
    /// False where the capture cut the packet, so that its tail could not be checked.
    pub whole: bool,
}

impl Stamp {
    /// The full send time, on the sender's clock, given any time within 400 days of it.
    pub fn sent_near(&self, near_ns: u64) -> u64 {
        let high = near_ns & !TIME_MASK;
        let candidate = high | self.sent_low_ns;
        let half = 1 << (TIME_BITS - 1);
        if candidate > near_ns.saturating_add(half) {
            candidate.saturating_sub(TIME_MASK + 1)
        } else if near_ns > candidate.saturating_add(half) {
            candidate.saturating_add(TIME_MASK + 1)
        } else {
            candidate
        }
    }
}

/// What a captured frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Not a test packet.
    Foreign,
    /// Sent to our port, but its header was not captured whole: raise `snaplen`.
    Cut,
    /// Sent to our port, but header or fill are not what was sent.
    Corrupt,
    /// A test packet; every captured byte was checked.
    Test(Stamp),
}

/// Reads a captured Ethernet frame and checks every byte of its payload that was captured. Never panics.
pub fn parse(frame: &[u8]) -> Parsed {
    UdpFrame::parse(frame).map_or(Parsed::Foreign, |udp| parse_udp(&udp))
}

/// As [`parse`], of a UDP packet.
pub fn parse_udp(udp: &UdpFrame<'_>) -> Parsed {
    if udp.destination_port != UDP_PORT {
        return Parsed::Foreign;
    }
    parse_payload(udp.payload, udp.payload_len)
}

/// As [`parse`], of a UDP payload of which so many bytes were sent.
pub fn parse_payload(payload: &[u8], sent_len: usize) -> Parsed {
    if sent_len < HEADER_LEN {
        return Parsed::Corrupt;
    }
    let Some((header, rest)) = payload.split_at_checked(HEADER_LEN) else {
        return Parsed::Cut;
    };
    let word = |range: std::ops::Range<usize>| {
        header[range]
            .iter()
            .fold(0u64, |word, byte| (word << 8) | u64::from(*byte))
    };
    if header[0] != MAGIC || u64::from(crc32fast::hash(&header[..14])) != word(14..18) {
        return Parsed::Corrupt;
    }
    let (flow, seq) = (word(1..3) as u16, word(3..7) as u32);
    if !fill_matches(flow, seq, rest) {
        return Parsed::Corrupt;
    }
    Parsed::Test(Stamp {
        flow,
        seq,
        sent_low_ns: word(7..14),
        whole: payload.len() == sent_len,
    })
}

#[cfg(test)]
mod tests {
    use pnet::packet::ipv4::Ipv4Packet;
    use proptest::prelude::*;
    use vifbench_scenarios::scenario::Arrivals;
    use vifbench_scenarios::units::{Rate, Size};

    use super::*;

    fn spec(v6: bool) -> FlowSpec {
        let (source, destination) = if v6 {
            ("2001:2::1".parse().unwrap(), "2001:2::2".parse().unwrap())
        } else {
            ("198.18.0.1".parse().unwrap(), "198.18.0.2".parse().unwrap())
        };
        FlowSpec {
            flow: 7,
            source_mac: "02:00:00:00:00:01".into(),
            destination_mac: "02:00:00:00:00:02".into(),
            source,
            destination,
            size: Size::from_bytes(84).into(),
            arrivals: Arrivals::Cbr {
                rate: Rate::per_sec(1),
            },
            seed: 1,
        }
    }

    fn frame(size: u32, v6: bool, seq: u32, sent: u64) -> Vec<u8> {
        let mut template = Template::new(&spec(v6), size).unwrap();
        template.number(seq);
        template.stamp(sent).to_vec()
    }

    #[test]
    fn the_smallest_frame_carries_the_header() {
        let sent = 1_795_305_600_123_456_789;
        let bytes = frame(64, false, 42, sent);
        assert_eq!(bytes.len(), 60);
        let Parsed::Test(stamp) = parse(&bytes) else {
            panic!("{:?}", parse(&bytes))
        };
        assert_eq!((stamp.flow, stamp.seq, stamp.whole), (7, 42, true));
        assert_eq!(stamp.sent_near(sent + 5_000), sent);
        assert_eq!(MIN_SIZE_V4, 64);
        assert_eq!(MIN_SIZE_V6, 84);
    }

    #[test]
    fn the_frame_is_what_other_tools_expect() {
        // Checked with `tcpdump -vv`: both checksums are right.
        let bytes = frame(64, false, 1, 2);
        let hex = |row: &[u8]| {
            row.iter()
                .map(|b| format!("{b:02x}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let rows: Vec<_> = bytes.chunks(16).map(hex).collect();
        let expected = [
            "02 00 00 00 00 02 02 00 00 00 00 01 08 00 45 00",
            "00 2e 00 00 40 00 40 11 ae 97 c6 12 00 01 c6 12",
            "00 02 c0 07 1f ff 00 1a c6 a4 d1 00 07 00 00 00",
            "01 00 00 00 00 00 00 02 be f0 34 f3",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for (size, v6) in [(63, false), (83, true), (1519, false), (0, false)] {
            assert!(matches!(
                Template::new(&spec(v6), size),
                Err(PacketError::Size { .. })
            ));
        }
        let mixed = FlowSpec {
            source: "2001:2::1".parse().unwrap(),
            ..spec(false)
        };
        assert!(matches!(
            Template::new(&mixed, 100),
            Err(PacketError::Families { .. })
        ));
        let mac = FlowSpec {
            source_mac: "nonsense".into(),
            ..spec(false)
        };
        assert!(matches!(
            Template::new(&mac, 100),
            Err(PacketError::Mac { .. })
        ));
    }

    #[test]
    fn vlan_tags_are_skipped() {
        let plain = frame(100, false, 3, 4);
        let mut tagged = plain[..12].to_vec();
        tagged.extend([0x88, 0xa8, 0x00, 0x05, 0x81, 0x00, 0x00, 0x06]);
        tagged.extend(&plain[12..]);
        assert_eq!(parse(&tagged), parse(&plain));
        assert_eq!(UdpFrame::parse(&tagged).unwrap().vlan, Some(5));
    }

    #[test]
    fn other_ports_are_foreign() {
        let mut bytes = frame(64, false, 1, 2);
        bytes[37] ^= 1;
        assert_eq!(parse(&bytes), Parsed::Foreign);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            size in 84u32..=MAX_SIZE, v6: bool, seq: u32, sent in 0u64..(1 << 62), away in 0u64..(1 << 54),
        ) {
            let bytes = frame(size, v6, seq, sent);
            let Parsed::Test(stamp) = parse(&bytes) else { panic!("not a test packet") };
            prop_assert_eq!(stamp.seq, seq);
            prop_assert_eq!(stamp.sent_near(sent + away), sent);
            prop_assert_eq!(stamp.sent_near(sent.saturating_sub(away)), sent);
            prop_assert_eq!(UdpFrame::parse(&bytes).unwrap().checksum_ok(), Some(true));
            if !v6 {
                prop_assert_eq!(ipv4::checksum(&Ipv4Packet::new(&bytes[14..]).unwrap()),
                    Ipv4Packet::new(&bytes[14..]).unwrap().get_checksum());
            }
        }

        #[test]
        fn any_changed_payload_byte_is_noticed(
            size in 84u32..=300, v6: bool, seq: u32, at: prop::sample::Index, flip in 1u8..=255,
        ) {
            let mut bytes = frame(size, v6, seq, 5);
            let start = if v6 { 62 } else { 42 };
            let index = start + at.index(bytes.len() - start);
            bytes[index] ^= flip;
            prop_assert_eq!(parse(&bytes), Parsed::Corrupt);
        }

        #[test]
        fn a_cut_packet_is_read_as_far_as_it_goes(size in 100u32..=300, v6: bool, keep: prop::sample::Index) {
            let bytes = frame(size, v6, 9, 5);
            let kept = keep.index(bytes.len());
            let start = if v6 { 62 } else { 42 };
            let expected = match kept {
                n if n < start => Parsed::Foreign,
                n if n < start + HEADER_LEN => Parsed::Cut,
                _ => Parsed::Test(Stamp { flow: 7, seq: 9, sent_low_ns: 5, whole: false }),
            };
            prop_assert_eq!(parse(&bytes[..kept]), expected);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }

        #[test]
        fn a_damaged_frame_never_panics(
            v6: bool, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            keep: prop::sample::Index,
        ) {
            let mut bytes = frame(120, v6, 1, 2);
            for (at, value) in damage {
                let index = at.index(bytes.len());
                bytes[index] = value;
            }
            let kept = keep.index(bytes.len() + 1);
            if let Some(udp) = UdpFrame::parse(&bytes[..kept]) {
                udp.checksum_ok();
            }
            parse(&bytes[..kept]);
        }
    }
}
