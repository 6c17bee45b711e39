//! What a captured frame is, whoever sent it: link layer, VLAN tags and MPLS labels, IPv4 or IPv6, the head of the
//! transport, and the packet that a tunnel carries.
//!
//! Nothing is assumed of the bytes: a frame that is cut short or damaged is reported as such.

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

/// VLAN tags, labels and the like between Ethernet and IP that are looked through.
const MAX_TAGS: usize = 8;
/// Tunnels in tunnels that are looked through.
const MAX_TUNNELS: usize = 4;
const ETHERNET_HEADER: u32 = 14;
const ETHERNET_PROTOCOL: usize = 12;

const MPLS: EtherType = EtherType(0x8847);
const MPLS_MULTICAST: EtherType = EtherType(0x8848);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// Ethernet in GRE or Geneve.
const BRIDGED: EtherType = EtherType(0x6558);
/// UDP ports of VXLAN: the assigned one, and the one that Linux uses unless told otherwise.
const VXLAN: [u16; 2] = [4789, 8472];
const GENEVE: u16 = 6081;
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
    /// It is a part of a larger packet: the first part, or a later one.
    pub fragment: bool,
    /// Where the IP packet ends, in bytes from the beginning of what was looked into.
    pub end: usize,
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
    /// Of a header that is not UDP's or TCP's, the bytes before its checksum.
    pub head: &'a [u8],
    /// Bytes of transport header.
    pub header_len: usize,
    /// Bytes of payload in this packet or fragment.
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

/// What Linux writes before a packet that it captured on any interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cooked {
    /// The index of the interface, where the header carries it (the second version does).
    pub index: Option<u32>,
    /// The packet was on its way out.
    pub outgoing: bool,
}

/// Reads Linux's cooked header; none of other link types, or where it is cut short.
pub fn cooked(link_type: u32, bytes: &[u8]) -> Option<Cooked> {
    const OUTGOING: u16 = 4;
    match link_type {
        link::LINUX_SLL => Some(Cooked {
            index: None,
            outgoing: be16(bytes, 0)? == OUTGOING,
        }),
        link::LINUX_SLL2 => Some(Cooked {
            index: Some(be32(bytes, 4)?),
            outgoing: u16::from(*bytes.get(10)?) == OUTGOING,
        }),
        _ => None,
    }
}

/// Bytes that stand in a capture of this link type where Ethernet has its header; none where it is not understood.
fn link_header(link_type: u32) -> Option<u32> {
    match link_type {
        link::ETHERNET => Some(ETHERNET_HEADER),
        link::LINUX_SLL => Some(16),
        link::LINUX_SLL2 => Some(20),
        link::NULL | link::LOOP => Some(4),
        link::RAW | link::IPV4 | link::IPV6 => Some(0),
        other if link::RAW_BSD.contains(&other) => Some(0),
        _ => None,
    }
}

/// The length that a captured frame has on Ethernet, without FCS: its payload behind an Ethernet header. `fcs_len`: how
/// much of `wire_len` is FCS. None for a link type that is not understood.
pub fn ethernet_len(link_type: u32, wire_len: u32, fcs_len: u8) -> Option<u32> {
    let payload = wire_len
        .saturating_sub(link_header(link_type)?)
        .saturating_sub(u32::from(fcs_len));
    Some(payload.saturating_add(ETHERNET_HEADER))
}

/// Looks into a captured frame of a pcap link type. `wire_len`: the bytes that the frame had.
pub fn dissect(link_type: u32, bytes: &[u8], wire_len: u32) -> Dissected<'_> {
    let Some(at) = link_header(link_type) else {
        return Dissected::UnknownLink;
    };
    let at = at as usize;
    let ethertype = match link_type {
        link::ETHERNET => be16(bytes, ETHERNET_PROTOCOL).map(EtherType),
        link::LINUX_SLL => be16(bytes, 14).map(EtherType),
        link::LINUX_SLL2 => be16(bytes, 0).map(EtherType),
        // Before it may stand a word that names the address family, in the byte order of the capturing host; the version
        // says it too.
        _ => bytes.get(at).map(|first| by_version(*first)),
    };
    match ethertype {
        Some(ethertype) => network(ethertype, bytes, at, wire_len as usize),
        None => Dissected::Cut,
    }
}

/// What stands at `at` of a frame, behind any tags.
fn network(
    mut ethertype: EtherType,
    bytes: &[u8],
    mut at: usize,
    wire_len: usize,
) -> Dissected<'_> {
    let mut vlan = None;
    for _ in 0..MAX_TAGS {
        let next = match ethertype {
            EtherTypes::Vlan | EtherTypes::QinQ | EtherType(0x88a8) => {
                let tag = be16(bytes, at).map(|tag| tag & 0x0fff);
                vlan = vlan.or(tag);
                be16(bytes, at + 2).map(|inner| (EtherType(inner), 4))
            }
            MPLS | MPLS_MULTICAST => behind_label(bytes, at),
            PPPOE_SESSION => be16(bytes, at + 6).map(|protocol| {
                let inner = match protocol {
                    0x0021 => EtherTypes::Ipv4,
                    0x0057 => EtherTypes::Ipv6,
                    _ => EtherType(0),
                };
                (inner, 8)
            }),
            BRIDGED => be16(bytes, at + ETHERNET_PROTOCOL)
                .map(|inner| (EtherType(inner), ETHERNET_HEADER as usize)),
            _ => break,
        };
        let Some((inner, length)) = next else {
            return Dissected::Cut;
        };
        ethertype = inner;
        at += length;
    }
    let ip = bytes.get(at..).unwrap_or_default();
    let on_wire = wire_len.saturating_sub(at);
    let parsed = match ethertype {
        EtherTypes::Ipv4 => ipv4(ip, on_wire),
        EtherTypes::Ipv6 => ipv6(ip, on_wire),
        _ => return Dissected::NotIp,
    };
    match parsed {
        Some(frame) => Dissected::Ip(IpPacket {
            vlan,
            end: at + frame.end,
            ..frame
        }),
        None => Dissected::Cut,
    }
}

/// What follows an MPLS label, and how many bytes the label takes. Behind the last one the version of IP tells; zeros
/// stand before a frame of Ethernet.
fn behind_label(bytes: &[u8], at: usize) -> Option<(EtherType, usize)> {
    let last = be32(bytes, at)? & 0x100 != 0;
    if !last {
        return Some((MPLS, 4));
    }
    let first = *bytes.get(at + 4)?;
    Some(match first >> 4 {
        0 => (BRIDGED, 8),
        _ => (by_version(first), 4),
    })
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
        fragment: be16(fixed, 6)? & 0x3fff != 0,
        end: total,
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
    let (mut ip_id, mut fragment_offset, mut fragment) = (0, 0, false);
    for _ in 0..MAX_EXTENSIONS {
        let length = match protocol {
            IpNextHeaderProtocols::Hopopt
            | IpNextHeaderProtocols::Ipv6Route
            | IpNextHeaderProtocols::Ipv6Opts => (usize::from(*ip.get(header + 1)?) + 1) * 8,
            IpNextHeaderProtocols::Ipv6Frag => {
                let place = be16(ip, header + 2)?;
                fragment_offset = place & 0xfff8;
                fragment = place & 0xfff9 != 0;
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
        fragment,
        end: total,
        ip_header_len: header,
        transport_len: total.checked_sub(header)?,
        transport: ip.get(header..total.min(ip.len()))?,
    })
}

impl<'a> IpPacket<'a> {
    /// Looks into the transport header; none where it is cut short or makes no sense.
    pub fn transport(&self) -> Option<Transport<'a>> {
        let bytes = self.transport;
        let ports = || Some((be16(bytes, 0)?, be16(bytes, 2)?));
        // A header that is known but for its checksum: what lies before it, and where the payload begins.
        let other = |before: usize, header: usize| Some((bytes.get(..before)?, header));
        let (ports, tcp, (head, header_len)) = match self.protocol {
            _ if self.fragment_offset > 0 => ((0, 0), None, other(0, 0)?),
            IpNextHeaderProtocols::Udp | IpNextHeaderProtocols::UdpLite => {
                (ports()?, None, other(0, 8)?)
            }
            IpNextHeaderProtocols::Tcp => {
                let header = usize::from(*bytes.get(12)? >> 4) * 4;
                let flags = *bytes.get(13)? & 0x3f;
                let numbers = (be32(bytes, 4)?, be32(bytes, 8)?, flags);
                (ports()?, Some(numbers), other(0, header)?)
            }
            IpNextHeaderProtocols::Sctp => (ports()?, None, other(8, 12)?),
            IpNextHeaderProtocols::Dccp => (ports()?, None, other(6, 8)?),
            IpNextHeaderProtocols::Icmp
            | IpNextHeaderProtocols::Icmpv6
            | IpNextHeaderProtocols::Igmp
            | IpNextHeaderProtocols::Pim => ((0, 0), None, other(2, 4)?),
            IpNextHeaderProtocols::Vrrp => ((0, 0), None, other(6, 8)?),
            IpNextHeaderProtocols::OspfigP => ((0, 0), None, other(12, 14)?),
            IpNextHeaderProtocols::Gre if be16(bytes, 0)? & 0x8000 != 0 => {
                ((0, 0), None, other(4, 8)?)
            }
            _ => ((0, 0), None, other(0, 0)?),
        };
        let mut payload_len = self.transport_len.checked_sub(header_len)?;
        if self.protocol == IpNextHeaderProtocols::Udp && self.fragment_offset == 0 {
            // 0: of a jumbogram or a super-packet. The first fragment has the length of the whole datagram.
            let says = usize::from(be16(bytes, 4)?);
            if says > 0 {
                payload_len = payload_len.min(says.checked_sub(header_len)?);
            }
        }
        let end = header_len.saturating_add(payload_len).min(bytes.len());
        Some(Transport {
            ports,
            tcp,
            head,
            header_len,
            payload_len,
            payload: bytes.get(header_len..end)?,
        })
    }

    /// The packet that this one carries, where it is a tunnel's: VXLAN, Geneve, GRE, IP in IP, or IPv6 in IPv4.
    /// `Cut` where it is a tunnel's, but the capture does not hold the headers of what it carries.
    pub fn carried(&self) -> Option<Dissected<'a>> {
        if self.fragment {
            return None;
        }
        let bytes = self.transport;
        let (kind, at) = match self.protocol {
            IpNextHeaderProtocols::Ipv4 => (EtherTypes::Ipv4, 0),
            IpNextHeaderProtocols::Ipv6 => (EtherTypes::Ipv6, 0),
            IpNextHeaderProtocols::Gre => gre(bytes)?,
            IpNextHeaderProtocols::Udp => udp_tunnel(bytes)?,
            _ => return None,
        };
        match network(kind, bytes, at, self.transport_len) {
            Dissected::Ip(inner) => Some(Dissected::Ip(inner)),
            // Either not whole, or no tunnel's after all.
            Dissected::Cut => (bytes.len() < self.transport_len).then_some(Dissected::Cut),
            Dissected::NotIp | Dissected::UnknownLink => None,
        }
    }

    /// The packet inside all tunnels; itself where it is in none. None where that was not captured.
    pub fn innermost(self) -> Option<Self> {
        let mut packet = self;
        for _ in 0..MAX_TUNNELS {
            match packet.carried() {
                Some(Dissected::Ip(inner)) => packet = inner,
                Some(Dissected::Cut) => return None,
                _ => break,
            }
        }
        Some(packet)
    }
}

/// What GRE carries, and where it begins.
fn gre(bytes: &[u8]) -> Option<(EtherType, usize)> {
    let flags = be16(bytes, 0)?;
    if flags & 0x7 != 0 {
        return None;
    }
    let optional = [0x8000, 0x2000, 0x1000]; // checksum, key, sequence number
    let present = optional.iter().filter(|bit| flags & **bit != 0).count();
    Some((EtherType(be16(bytes, 2)?), 4 + 4 * present))
}

/// What VXLAN or Geneve carry, and where it begins.
fn udp_tunnel(bytes: &[u8]) -> Option<(EtherType, usize)> {
    let (port, first) = (be16(bytes, 2)?, *bytes.get(8)?);
    if VXLAN.contains(&port) {
        // The one flag says that a network is named.
        return (first == 0x08).then_some((BRIDGED, 16));
    }
    if port != GENEVE || first >> 6 != 0 {
        return None;
    }
    let options = usize::from(first & 0x3f) * 4;
    Some((EtherType(be16(bytes, 10)?), 16 + options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(protocol: u8, flags: u16, transport: &[u8]) -> Vec<u8> {
        let mut out = vec![0x45, 0];
        out.extend((20 + transport.len() as u16).to_be_bytes());
        out.extend([0, 9]);
        out.extend(flags.to_be_bytes());
        out.extend([64, protocol, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]);
        out.extend(transport);
        out
    }

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x30, 0x39];
        out.extend(port.to_be_bytes());
        out.extend((8 + payload.len() as u16).to_be_bytes());
        out.extend([0xab, 0xcd]);
        out.extend(payload);
        out
    }

    fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![2; 12];
        out.extend(kind.to_be_bytes());
        out.extend(payload);
        out
    }

    fn ip(link_type: u32, bytes: &[u8]) -> IpPacket<'_> {
        match dissect(link_type, bytes, bytes.len() as u32) {
            Dissected::Ip(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn labels_and_sessions_are_looked_through() {
        let inner = ipv4(17, 0, &udp(7, b"hello"));
        let labels = [&[0, 6, 0x40, 63, 0, 7, 0x41, 63][..], &inner].concat();
        let wire = [&[0, 6, 0x41, 63, 0, 0, 0, 0][..], &ethernet(0x0800, &inner)].concat();
        let session = [&[0x11, 0, 0, 1, 0, 40, 0, 0x21][..], &inner].concat();
        let tagged = [&[0, 9, 0x88, 0x47][..], &labels].concat();
        for (kind, payload) in [
            (0x8847, &labels),
            (0x8847, &wire),
            (0x8864, &session),
            (0x8100, &tagged),
        ] {
            let frame = ethernet(kind, payload);
            let packet = ip(ETHERNET, &frame);
            assert_eq!(packet.transport().unwrap().payload, b"hello");
            assert_eq!(packet.vlan, (kind == 0x8100).then_some(9));
        }
    }

    #[test]
    fn tunnels_are_looked_into() {
        let inner = ipv4(17, 0, &udp(7, b"hello"));
        let frame = ethernet(0x0800, &inner);
        let vxlan = udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &frame].concat());
        let geneve = udp(
            6081,
            &[&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 9, 9, 9, 9][..], &frame].concat(),
        );
        let gre = [
            &[0xb0, 0, 8, 0, 1, 1, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3][..],
            &inner,
        ]
        .concat();
        for (protocol, transport) in [
            (17, &vxlan),
            (17, &geneve),
            (47, &gre),
            (4, &inner),
            (4, &ipv4(47, 0, &gre)),
        ] {
            let outer = ipv4(protocol, 0, transport);
            let packet = ip(101, &outer);
            let innermost = packet.innermost().unwrap();
            assert_eq!(innermost.transport().unwrap().payload, b"hello");
            // Cut within the inner headers: neither the tunnel's nor the inner packet.
            let cut = &outer[..outer.len() - 20];
            let Dissected::Ip(packet) = dissect(101, cut, outer.len() as u32) else {
                panic!("the outer header is whole")
            };
            assert_eq!(packet.innermost(), None);
        }
        let plain = ipv4(17, 0, &udp(4789, b"not a tunnel"));
        assert_eq!(ip(101, &plain).innermost(), Some(ip(101, &plain)));
    }

    #[test]
    fn a_fragment_has_its_own_length() {
        let mut first = udp(7, &[1; 100]);
        first[4..6].copy_from_slice(&8200u16.to_be_bytes());
        let outer = ipv4(17, 0x2000, &first);
        let packet = ip(101, &outer);
        assert!(packet.fragment);
        let transport = packet.transport().unwrap();
        assert_eq!((transport.payload_len, transport.payload.len()), (100, 100));
        let outer = ipv4(17, 0x0010, &[1; 64]);
        let later = ip(101, &outer);
        assert!(later.fragment);
        assert_eq!(later.transport().unwrap().payload_len, 64);
    }

    #[test]
    fn checksums_are_left_out() {
        let mut sctp = vec![1, 2, 3, 4, 5, 6, 7, 8, 0xc, 0xc, 0xc, 0xc];
        sctp.extend(b"chunk");
        for (protocol, transport, head, payload) in [
            (132, &sctp[..], &sctp[..8], &b"chunk"[..]),
            (
                1,
                &[8, 0, 0xc, 0xc, 0, 1, 0, 2][..],
                &[8, 0][..],
                &[0, 1, 0, 2][..],
            ),
            (58, &[128, 0, 0xc, 0xc, 9][..], &[128, 0][..], &[9][..]),
            (
                47,
                &[0x80, 0, 1, 1, 0xc, 0xc, 0, 0, 9][..],
                &[0x80, 0, 1, 1][..],
                &[9][..],
            ),
        ] {
            let outer = ipv4(protocol, 0, transport);
            let transport = ip(101, &outer).transport().unwrap();
            assert_eq!((transport.head, transport.payload), (head, payload));
        }
    }

    #[test]
    fn every_link_type_has_the_length_of_its_ethernet_frame() {
        for (link_type, wire_len, fcs_len) in [
            (1, 142, 0),
            (1, 146, 4),
            (113, 144, 0),
            (276, 148, 0),
            (101, 128, 0),
            (12, 128, 0),
            (0, 132, 0),
        ] {
            assert_eq!(ethernet_len(link_type, wire_len, fcs_len), Some(142));
        }
        assert_eq!(ethernet_len(127, 100, 0), None);
    }

    #[test]
    fn the_cooked_header_names_interface_and_direction() {
        let mut sll2 = vec![8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 4, 6];
        sll2.extend([0; 8]);
        let expected = Cooked {
            index: Some(7),
            outgoing: true,
        };
        assert_eq!(cooked(276, &sll2), Some(expected));
        assert_eq!(
            cooked(113, &[0, 4]).map(|c| (c.index, c.outgoing)),
            Some((None, true))
        );
        assert_eq!(cooked(1, &sll2), None);
    }
}
