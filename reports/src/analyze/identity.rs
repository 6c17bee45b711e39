//! What makes a packet the same packet in two captures.
//!
//! vifbench's own packets carry flow and sequence number. Any other IP packet is identified by its addresses, protocol,
//! ports, IP identification, place in a fragmented packet, TCP's numbers and flags, its length and a hash of its
//! payload. What changes on the way is left out: MAC addresses, VLAN tags, MPLS labels, TTL, DSCP, ECN, and every
//! checksum. A packet in a tunnel is the packet that the tunnel carries.

use std::net::IpAddr;

use vifbench_wire::dissect::{IpPacket, Transport};
use vifbench_wire::packet::{Parsed, UDP_PORT, UdpFrame, parse_udp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How packets of a pair of captures are told apart; the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Only vifbench's packets count.
    pub own: bool,
    /// So many bytes of payload are hashed at most: what lies behind was not captured of every packet.
    pub hashed: usize,
    /// A packet in a tunnel is the packet that the tunnel carries.
    pub inner: bool,
    /// The clocks are not known: packets in both directions are to tell of them.
    pub two_way: bool,
}

/// Which packet it is, and of which flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    /// The same in both captures, and of no other packet (but for look-alikes).
    pub key: u64,
    /// Addresses, ports, protocol, and vifbench's flow number.
    pub flow: u64,
    /// Source and destination.
    pub ends: (IpAddr, IpAddr),
    /// Bytes of payload.
    pub payload: u32,
    /// TCP with data: its sequence number.
    pub seq: Option<u32>,
}

/// What an IP packet is to the analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Known again in the other capture.
    Known(Identity),
    /// vifbench's, with other bytes than were sent.
    Corrupt,
    /// Not vifbench's, where only those count.
    Foreign,
    /// Captured too short to be told from others.
    Cut,
    /// It contradicts the rules: it is vifbench's, or less of it was captured than they rely on.
    Against,
}

fn address(of: IpAddr, out: &mut [u8]) {
    match of {
        IpAddr::V4(v4) => out[..4].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.copy_from_slice(&v6.octets()),
    }
}

fn flow_key(packet: &IpPacket<'_>, transport: &Transport<'_>, own: u16) -> u64 {
    let mut text = [0; 40];
    address(packet.source, &mut text[..16]);
    address(packet.destination, &mut text[16..32]);
    text[32] = packet.protocol.0;
    text[33] = u8::from(packet.source.is_ipv6());
    text[34..36].copy_from_slice(&transport.ports.0.to_be_bytes());
    text[36..38].copy_from_slice(&transport.ports.1.to_be_bytes());
    text[38..40].copy_from_slice(&own.to_be_bytes());
    xxh3_64(&text)
}

/// Whether a packet is vifbench's.
pub(super) fn is_own(packet: &IpPacket<'_>) -> bool {
    UdpFrame::of(packet).is_some_and(|udp| matches!(parse_udp(&udp), Parsed::Test(_)))
}

/// Identifies a packet.
pub(super) fn identify(packet: &IpPacket<'_>, rules: Rules) -> Told {
    let packet = if rules.inner {
        match packet.innermost() {
            Some(inner) => inner,
            None => return Told::Against,
        }
    } else {
        *packet
    };
    if rules.own {
        return own(&packet);
    }
    let Some(transport) = packet.transport() else {
        return Told::Cut;
    };
    if transport.ports.1 == UDP_PORT && is_own(&packet) {
        return Told::Against;
    }
    let hashed = transport.payload_len.min(rules.hashed);
    let Some(payload) = transport.payload.get(..hashed) else {
        return Told::Against;
    };
    let flow = flow_key(&packet, &transport, 0);
    let (seq, ack, flags) = transport.tcp.unwrap_or_default();
    let mut text = [0; 20];
    text[..4].copy_from_slice(&packet.ip_id.to_be_bytes());
    text[4..8].copy_from_slice(&seq.to_be_bytes());
    text[8..12].copy_from_slice(&ack.to_be_bytes());
    text[12..16].copy_from_slice(&(transport.payload_len as u32).to_be_bytes());
    text[16..18].copy_from_slice(&packet.fragment_offset.to_be_bytes());
    text[18] = flags;
    let mut head = xxh3_64_with_seed(&text, flow);
    if !transport.head.is_empty() {
        head = xxh3_64_with_seed(transport.head, head);
    }
    Told::Known(Identity {
        key: xxh3_64_with_seed(payload, head),
        flow,
        ends: (packet.source, packet.destination),
        payload: transport.payload_len as u32,
        seq: transport
            .tcp
            .filter(|_| transport.payload_len > 0)
            .map(|(seq, ..)| seq),
    })
}

fn own(packet: &IpPacket<'_>) -> Told {
    let Some(udp) = UdpFrame::of(packet) else {
        return Told::Foreign;
    };
    match parse_udp(&udp) {
        Parsed::Foreign => Told::Foreign,
        Parsed::Cut => Told::Cut,
        Parsed::Corrupt => Told::Corrupt,
        Parsed::Test(stamp) => {
            let transport = Transport {
                ports: (udp.source_port, udp.destination_port),
                tcp: None,
                head: &[],
                header_len: 8,
                payload_len: udp.payload_len,
                payload: udp.payload,
            };
            Told::Known(Identity {
                key: u64::from(stamp.flow) << 32 | u64::from(stamp.seq),
                flow: flow_key(packet, &transport, stamp.flow),
                ends: (packet.source, packet.destination),
                payload: udp.payload_len as u32,
                seq: None,
            })
        }
    }
}
