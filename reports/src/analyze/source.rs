//! One capture of a pair: its packets one by one, and a count of whatever is left out.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vifbench_wire::dissect::{Dissected, ETHERNET, dissect};
use vifbench_wire::packet::{FCS_LEN, Parsed, UdpFrame, parse_udp};
use vifbench_wire::pcap_file::{PcapFileError, Reader};

use super::identity::{Identity, Rules, Told, identify};
use crate::error::ReportError;

/// Packets that are looked at to learn what kind of capture it is.
const SAMPLE: u32 = 4096;
/// A snap length from here on cuts nothing.
const WHOLE: usize = 65_535;
/// IP packets longer than this do not fit a plain Ethernet frame.
const MTU: usize = 1500;
/// IP packets longer than this do not fit any Ethernet frame: offload joined them.
const JUMBO: usize = 9216;
/// Stamps are looked at for microseconds in disguise when there are at least this many.
const ENTROPY_MIN: u64 = 100;

/// What one capture held.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CaptureSide {
    /// Packets in the file (on the chosen interface).
    pub packets: u64,
    /// Bytes of all frames as they were on the wire, without FCS: what capinfos calls data size.
    pub bytes: u64,
    /// First and last stamp, nanoseconds since 1970.
    pub first_ns: Option<i64>,
    /// The last stamp in time.
    pub last_ns: Option<i64>,
    /// Stamps resolve nanoseconds, by the file and by the stamps themselves.
    pub nanoseconds: bool,
    /// Left out: not IP.
    pub not_ip: u64,
    /// Left out: not vifbench's, where the captures hold vifbench's packets.
    pub foreign: u64,
    /// Left out: vifbench's, with other bytes than were sent.
    pub corrupt: u64,
    /// Left out: captured too short to be told from others.
    pub cut: u64,
    /// Left out: the file has no time for them.
    pub untimed: u64,
    /// Packets of which only a part was captured; they count where the part tells them.
    pub truncated: u64,
    /// IP packets above 1500 B: jumbo frames, or segments joined by offload.
    pub over_mtu: u64,
    /// IP packets that no Ethernet frame holds: segments joined by offload (GSO, GRO, LRO) for sure.
    pub super_packets: u64,
    /// The longest IP packet in bytes.
    pub longest: u32,
    /// Stamps before the one of the packet before.
    pub backwards: u64,
}

/// One packet that can be known again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub at_ns: i64,
    /// Bytes of the frame, with FCS on Ethernet.
    pub size: u32,
    pub identity: Identity,
}

/// What the first packets of a capture show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Glance {
    /// Some are vifbench's.
    pub own: bool,
    /// Shortest that a packet was cut to; [`WHOLE`] or more where none was.
    pub snaplen: usize,
    /// Bytes of file for each packet.
    pub bytes_each: u64,
}

/// A capture that is being read.
pub(super) struct Source {
    path: PathBuf,
    reader: Reader,
    interface: Option<String>,
    /// The interface seen last, and whether it is the wanted one.
    judged: (usize, bool),
    pub side: CaptureSide,
    /// Stamps that are no whole microsecond.
    fine: u64,
    last_ns: i64,
}

pub(super) fn damaged(path: &Path, error: PcapFileError) -> ReportError {
    ReportError::Capture {
        path: path.to_owned(),
        reason: error.to_string(),
        source: Some(Box::new(error)),
    }
}

/// Pcap times end in 2106 and pcapng's in 2554: both before the signed range does, but for hostile files.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// Looks at the first packets of a capture.
pub(super) fn glance(path: &Path, interface: Option<&str>) -> Result<Glance, ReportError> {
    let mut reader = Reader::open(path).map_err(|e| damaged(path, e))?;
    let mut glance = Glance {
        own: false,
        snaplen: usize::MAX,
        bytes_each: 1,
    };
    let mut seen = 0;
    while let Some(record) = reader.read().map_err(|e| damaged(path, e))? {
        seen += 1;
        if record.caplen < record.len {
            glance.snaplen = glance.snaplen.min(record.caplen as usize);
        }
        if let Dissected::Ip(frame) = dissect(record.link_type, record.bytes, record.len) {
            glance.own |=
                UdpFrame::of(&frame).is_some_and(|udp| matches!(parse_udp(&udp), Parsed::Test(_)));
        }
        if seen == SAMPLE {
            break;
        }
    }
    // The shortest packet cut may have been cut by a ring that was full; the file's own word goes beside it.
    let said = reader.interfaces().iter().map(|i| i.snaplen as usize).min();
    glance.snaplen = glance
        .snaplen
        .min(said.filter(|s| *s < WHOLE).unwrap_or(usize::MAX));
    glance.bytes_each = (reader.offset() / u64::from(seen.max(1))).max(1);
    let names: Vec<_> = reader
        .interfaces()
        .iter()
        .enumerate()
        .map(|(i, known)| known.name.clone().unwrap_or_else(|| i.to_string()))
        .collect();
    if let Some(wanted) = interface
        && !names.iter().any(|name| name == wanted)
        && !wanted.parse().is_ok_and(|n: usize| n < names.len())
    {
        return Err(ReportError::Capture {
            path: path.to_owned(),
            reason: format!(
                "it has no interface `{wanted}`; it has {}",
                names.join(", ")
            ),
            source: None,
        });
    }
    Ok(glance)
}

impl Source {
    pub(super) fn open(path: &Path, interface: Option<&str>) -> Result<Self, ReportError> {
        let reader = Reader::open(path).map_err(|e| damaged(path, e))?;
        Ok(Self {
            path: path.to_owned(),
            reader,
            interface: interface.map(str::to_owned),
            judged: (usize::MAX, false),
            side: CaptureSide::default(),
            fine: 0,
            last_ns: i64::MIN,
        })
    }

    /// The next packet that can be known again; none at the end of the file.
    pub(super) fn next(&mut self, rules: Rules) -> Result<Option<Packet>, ReportError> {
        let side = &mut self.side;
        let wanted = self.interface.as_deref();
        loop {
            let record = match self.reader.read() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    side.untimed = self.reader.untimed();
                    side.nanoseconds =
                        self.reader.nanoseconds() && (self.fine > 0 || side.packets < ENTROPY_MIN);
                    return Ok(None);
                }
                Err(error) => return Err(damaged(&self.path, error)),
            };
            if let Some(wanted) = wanted {
                if self.judged.0 != record.interface {
                    let named = record.name == Some(wanted);
                    let chosen = named || wanted.parse() == Ok(record.interface);
                    self.judged = (record.interface, chosen);
                }
                if !self.judged.1 {
                    continue;
                }
            }
            let at_ns = signed(record.ts_ns);
            side.packets += 1;
            side.bytes += u64::from(record.len);
            side.truncated += u64::from(record.caplen < record.len);
            side.first_ns = Some(side.first_ns.map_or(at_ns, |t| t.min(at_ns)));
            side.last_ns = Some(side.last_ns.map_or(at_ns, |t| t.max(at_ns)));
            side.backwards += u64::from(at_ns < self.last_ns);
            self.last_ns = at_ns;
            self.fine += u64::from(!record.ts_ns.is_multiple_of(1000));
            let frame = match dissect(record.link_type, record.bytes, record.len) {
                Dissected::Ip(frame) => frame,
                Dissected::NotIp => {
                    side.not_ip += 1;
                    continue;
                }
                Dissected::Cut => {
                    side.cut += 1;
                    continue;
                }
                Dissected::UnknownLink => {
                    let reason = format!(
                        "its link type {} is not understood; Ethernet, Linux cooked, loopback and raw IP are",
                        record.link_type
                    );
                    return Err(ReportError::Capture {
                        path: self.path.clone(),
                        reason,
                        source: None,
                    });
                }
            };
            let ip_len = frame.ip_header_len + frame.transport_len;
            if ip_len > MTU {
                side.over_mtu += 1;
                side.super_packets += u64::from(ip_len > JUMBO);
            }
            side.longest = side.longest.max(ip_len as u32);
            match identify(&frame, rules) {
                Told::Known(identity) => {
                    let fcs = if record.link_type == ETHERNET {
                        FCS_LEN
                    } else {
                        0
                    };
                    return Ok(Some(Packet {
                        at_ns,
                        size: record.len.saturating_add(fcs),
                        identity,
                    }));
                }
                Told::Corrupt => side.corrupt += 1,
                Told::Foreign => side.foreign += 1,
                Told::Cut => side.cut += 1,
            }
        }
    }
}
