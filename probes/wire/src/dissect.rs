//! What a captured frame is, whoever sent it: link layer, VLAN tags, IPv4 or IPv6, and the head of the transport.
//!
//! Nothing is assumed of the bytes: a frame that is cut short or damaged is told as such.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::ethernet::{EtherType, EtherTypes};
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};

/// Link types of pcap files that are understood (<https://www.tcpdump.org/linktypes.html>).
mod link {
    pub const NULL: u32 = 0;
    pub const ETHERNET: u32 = 1;
    pub const RAW_BSD: [u32; 2] = [12, 14];
    pub const RAW: u32 = 101;
    pub const LOOP: u32 = 108;
    pub const LINUX_SLL: u32 = 113;
    pub const IPV4: u32 = 228;
    pub const IPV6: u32 = 229;
    pub const LINUX_SLL2: u32 = 276;
}

/// The pcap link type of Ethernet.
pub const ETHERNET: u32 = link::ETHERNET;

/// VLAN tags that are looked through; more than two are nowhere in use.
const MAX_TAGS: usize = 2;
/// IPv6 extension headers that are looked through.
const MAX_EXTENSIONS: usize = 8;

/// An IP packet inside a captured frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// The outermost VLAN id, where the frame is tagged.
    pub vlan: Option<u16>,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The protocol behind the IP headers.
    pub protocol: IpNextHeaderProtocol,
    /// IPv4's identification, or that of an IPv6 fragment header; 0 without one.
    pub ip_id: u32,
    /// Where this fragment lies in its packet, in bytes.
    pub fragment_offset: u16,
    /// Bytes of the IP headers.
    pub ip_header_len: usize,
    /// Bytes behind the IP headers, as the IP header says (the frame, where it says 0, as for super-packets).
    pub transport_len: usize,
    /// Those of them that were captured; padding of short frames is not among them.
    pub transport: &'a [u8],
}

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dissected<'a> {
    /// An IP packet.
    Ip(IpPacket<'a>),
    /// Something else: ARP, LLDP, a clock frame.
    NotIp,
    /// Cut short or damaged before the end of the IP headers.
    Cut,
    /// A link type that is not understood.
    UnknownLink,
}

/// Ports, and what else tells one segment from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport<'a> {
    /// Source and destination port; 0 where the protocol has none, or in later fragments.
    pub ports: (u16, u16),
    /// TCP: sequence and acknowledgement number, and flags but for ECN's.
    pub tcp: Option<(u32, u32, u8)>,
    /// Bytes of transport header.
    pub header_len: usize,
    /// Bytes of payload that were sent.
    pub payload_len: usize,
    /// Those of them that were captured.
    pub payload: &'a [u8],
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// Looks into a captured frame of a pcap link type. `wire_len`: the bytes that the frame had.
pub fn dissect(link_type: u32, bytes: &[u8], wire_len: u32) -> Dissected<'_> {
    let (mut ethertype, mut at) = match link_type {
        link::ETHERNET => match be16(bytes, 12) {
            Some(ethertype) => (EtherType(ethertype), 14),
            None => return Dissected::Cut,
        },
        link::LINUX_SLL => match be16(bytes, 14) {
            Some(ethertype) => (EtherType(ethertype), 16),
            None => return Dissected::Cut,
        },
        link::LINUX_SLL2 => match be16(bytes, 0) {
            Some(ethertype) => (EtherType(ethertype), 20),
            None => return Dissected::Cut,
        },
        link::RAW | link::IPV4 | link::IPV6 => match bytes.first() {
            Some(first) => (by_version(*first), 0),
            None => return Dissected::Cut,
        },
        // A word that names the address family, in the byte order of the capturing host; the version says it too.
        link::NULL | link::LOOP => match bytes.get(4) {
            Some(first) => (by_version(*first), 4),
            None => return Dissected::Cut,
        },
        other if link::RAW_BSD.contains(&other) => match bytes.first() {
            Some(first) => (by_version(*first), 0),
            None => return Dissected::Cut,
        },
        _ => return Dissected::UnknownLink,
    };
    let mut vlan = None;
    for _ in 0..MAX_TAGS {
        if !matches!(
            ethertype,
            EtherTypes::Vlan | EtherTypes::QinQ | EtherType(0x88a8)
        ) {
            break;
        }
        let (Some(tag), Some(inner)) = (be16(bytes, at), be16(bytes, at + 2)) else {
            return Dissected::Cut;
        };
        vlan = vlan.or(Some(tag & 0x0fff));
        ethertype = EtherType(inner);
        at += 4;
    }
    let ip = bytes.get(at..).unwrap_or_default();
    let on_wire = (wire_len as usize).saturating_sub(at);
    let parsed = match ethertype {
        EtherTypes::Ipv4 => ipv4(ip, on_wire),
        EtherTypes::Ipv6 => ipv6(ip, on_wire),
        _ => return Dissected::NotIp,
    };
    match parsed {
        Some(frame) => Dissected::Ip(IpPacket { vlan, ..frame }),
        None => Dissected::Cut,
    }
}

fn by_version(first: u8) -> EtherType {
    match first >> 4 {
        4 => EtherTypes::Ipv4,
        6 => EtherTypes::Ipv6,
        _ => EtherType(0),
    }
}

fn ipv4(ip: &[u8], on_wire: usize) -> Option<IpPacket<'_>> {
    let fixed: &[u8; 20] = ip.first_chunk()?;
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let total = match be16(fixed, 2)? {
        // Segmentation offload: the NIC will fill it in, or it does not fit the field.
        0 => on_wire,
        some => usize::from(some),
    };
    if fixed[0] >> 4 != 4 || header < 20 || total < header {
        return None;
    }
    let address = |at: usize| {
        let octets = [fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]];
        IpAddr::V4(Ipv4Addr::from(octets))
    };
    Some(IpPacket {
        vlan: None,
        source: address(12),
        destination: address(16),
        protocol: IpNextHeaderProtocol(fixed[9]),
        ip_id: u32::from(be16(fixed, 4)?),
        fragment_offset: (be16(fixed, 6)? & 0x1fff) * 8,
        ip_header_len: header,
        transport_len: total - header,
        // Ethernet pads short frames: what lies behind the IP packet is not part of it.
        transport: ip.get(header..total.min(ip.len()))?,
    })
}

fn ipv6(ip: &[u8], on_wire: usize) -> Option<IpPacket<'_>> {
    let fixed: &[u8; 40] = ip.first_chunk()?;
    let total = match be16(fixed, 4)? {
        0 => on_wire,
        some => 40 + usize::from(some),
    };
    if fixed[0] >> 4 != 6 || total < 40 {
        return None;
    }
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&fixed[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let (mut protocol, mut header) = (IpNextHeaderProtocol(fixed[6]), 40);
    let (mut ip_id, mut fragment_offset) = (0, 0);
    for _ in 0..MAX_EXTENSIONS {
        let length = match protocol {
            IpNextHeaderProtocols::Hopopt
            | IpNextHeaderProtocols::Ipv6Route
            | IpNextHeaderProtocols::Ipv6Opts => (usize::from(*ip.get(header + 1)?) + 1) * 8,
            IpNextHeaderProtocols::Ipv6Frag => {
                fragment_offset = be16(ip, header + 2)? & 0xfff8;
                ip_id = be32(ip, header + 4)?;
                8
            }
            IpNextHeaderProtocols::Ah => (usize::from(*ip.get(header + 1)?) + 2) * 4,
            _ => break,
        };
        protocol = IpNextHeaderProtocol(*ip.get(header)?);
        header += length;
        if fragment_offset > 0 {
            break;
        }
    }
    Some(IpPacket {
        vlan: None,
        source: address(8),
        destination: address(24),
        protocol,
        ip_id,
        fragment_offset,
        ip_header_len: header,
        transport_len: total.checked_sub(header)?,
        transport: ip.get(header..total.min(ip.len()))?,
    })
}

impl<'a> IpPacket<'a> {
    /// Looks into the transport header; none where it is cut short or makes no sense.
    pub fn transport(&self) -> Option<Transport<'a>> {
        let bytes = self.transport;
        let (ports, tcp, header_len, payload_len) = match self.protocol {
            _ if self.fragment_offset > 0 => ((0, 0), None, 0, self.transport_len),
            IpNextHeaderProtocols::Udp => {
                let says = usize::from(be16(bytes, 4)?);
                // 0: of a jumbogram or a super-packet.
                let says = if says == 0 { self.transport_len } else { says };
                let ports = (be16(bytes, 0)?, be16(bytes, 2)?);
                (ports, None, 8, says.checked_sub(8)?)
            }
            IpNextHeaderProtocols::Tcp => {
                let header = usize::from(*bytes.get(12)? >> 4) * 4;
                let flags = *bytes.get(13)? & 0x3f;
                let numbers = (be32(bytes, 4)?, be32(bytes, 8)?, flags);
                let ports = (be16(bytes, 0)?, be16(bytes, 2)?);
                let payload = self.transport_len.checked_sub(header)?;
                (ports, Some(numbers), header, payload)
            }
            IpNextHeaderProtocols::Sctp => (
                (be16(bytes, 0)?, be16(bytes, 2)?),
                None,
                0,
                self.transport_len,
            ),
            _ => ((0, 0), None, 0, self.transport_len),
        };
        let end = header_len.saturating_add(payload_len).min(bytes.len());
        Some(Transport {
            ports,
            tcp,
            header_len,
            payload_len,
            payload: bytes.get(header_len..end)?,
        })
    }
}
