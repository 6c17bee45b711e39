//! One capture of a pair: its packets one by one in the order of their stamps, and a count of whatever is left out.

use std::collections::BTreeSet;

use std::path::Path;

use serde::{Deserialize, Serialize};
use vifbench_wire::dissect::{Dissected, ETHERNET, IpPacket, cooked, dissect, ethernet_len};
use vifbench_wire::packet::FCS_LEN;
use vifbench_wire::pcap_file::{PcapFileError, Reader, Record};

use super::copies::{CopyFilter, CopyRules};
use super::files::{CaptureFile, damaged};
use super::identity::{Rules, Told, identify};
use super::placed::{Packet, Place};
use crate::error::ReportError;

/// IP packets longer than this do not fit a plain Ethernet frame.
const MTU: usize = 1500;
/// IP packets longer than this do not fit any Ethernet frame: offload joined them.
const JUMBO: usize = 9216;
/// Stamps are looked at for microseconds in disguise when there are at least this many.
const ENTROPY_MIN: u64 = 100;
/// The smallest Ethernet frame, without FCS.
const FRAME_MIN: u32 = 60;
/// So far from its place in time a packet may lie in the file, in packets.
const SORTED: usize = 1 << 16;

/// What one capture held.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
    /// Left out: copies that the capture itself made, of packets that passed two interfaces or were handed over twice.
    #[serde(default)]
    pub copies: u64,
    /// Packets of which only a part was captured; they count where the part tells them.
    pub truncated: u64,
    /// IP packets above 1500 B: jumbo frames, or segments joined by offload.
    pub over_mtu: u64,
    /// IP packets that no Ethernet frame holds: segments joined by offload (GSO, GRO, LRO) for sure.
    pub super_packets: u64,
    /// The longest IP packet in bytes.
    pub longest: u32,
    /// Stamps before the one of the packet before, in the order of the file.
    pub backwards: u64,
    /// What is wrong with the file from some place on; null where it was read to its end.
    #[serde(default)]
    pub damage: Option<String>,
    /// The part of the file that was read, from 0 to 1.
    #[serde(default)]
    pub part_read: f64,
}

/// In which order packets are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// As they lie in the file, whose stamps never go back.
    #[default]
    Checked,
    /// As they lie in the file: where stamps go back, the clock was set.
    AsFiled,
    /// By their stamps, which are out of order by so many packets at most.
    Sorted(usize),
}

impl Order {
    pub const NEARLY: Self = Self::Sorted(SORTED);
    pub const ALL: Self = Self::Sorted(usize::MAX / 2);
}

/// How a capture is to be read.
#[derive(Debug, Clone)]
pub(super) struct Manner {
    pub rules: Rules,
    pub order: Order,
    /// None: there are none, and packets are seen at one place.
    pub copies: Option<CopyRules>,
    /// All of the capture was looked at before: nothing in it can contradict.
    pub surveyed: bool,
}

/// Pcap times end in 2106 and pcapng's in 2554: both before the signed range does, but for hostile files.
pub(super) fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// The interface whose packets count.
#[derive(Debug)]
pub(super) struct Choice {
    wanted: Option<String>,
    number: Option<u32>,
    /// The interface seen last, and whether it is the wanted one.
    judged: Option<(usize, Option<u32>, bool)>,
    found: bool,
    /// Numbers that the capturing host gave to interfaces.
    indices: BTreeSet<u32>,
}

impl Choice {
    pub fn new(wanted: Option<&str>) -> Self {
        Self {
            wanted: wanted.map(str::to_owned),
            number: wanted.and_then(|name| name.parse().ok()),
            judged: None,
            found: false,
            indices: BTreeSet::new(),
        }
    }

    /// Where a packet was seen; none where that is not wanted. A number is that of the capturing host where records
    /// carry such, else it counts the interfaces of the file from 0.
    pub fn place(&mut self, record: &Record<'_>) -> Option<Place> {
        let cooked = cooked(record.link_type, record.bytes);
        let index = record.index.or(cooked.and_then(|header| header.index));
        let chosen = match self.judged {
            Some((interface, last, chosen)) if interface == record.interface && last == index => {
                chosen
            }
            _ => self.judge(record, index),
        };
        chosen.then(|| Place {
            interface: record.interface,
            index,
            outgoing: cooked.is_some_and(|header| header.outgoing),
        })
    }

    #[cold]
    fn judge(&mut self, record: &Record<'_>, index: Option<u32>) -> bool {
        self.indices.extend(index);
        let own = index.or_else(|| u32::try_from(record.interface).ok());
        let chosen = match &self.wanted {
            None => true,
            Some(wanted) => {
                record.name == Some(wanted) || (self.number.is_some() && self.number == own)
            }
        };
        self.judged = Some((record.interface, index, chosen));
        self.found |= chosen;
        chosen
    }

    /// At the end of the file: an error where it has no such interface.
    pub fn check(&self, reader: &Reader, path: &Path) -> Result<(), ReportError> {
        let Some(wanted) = &self.wanted else {
            return Ok(());
        };
        let described = reader.interfaces().iter().enumerate();
        let names: Vec<String> = described
            .map(|(at, known)| known.name.clone().unwrap_or_else(|| at.to_string()))
            .collect();
        let number = self.number.is_some_and(|n| (n as usize) < names.len());
        if self.found || names.contains(wanted) || (self.indices.is_empty() && number) {
            return Ok(());
        }
        let numbers = self.indices.iter().map(u32::to_string);
        let known: Vec<String> = if self.indices.is_empty() {
            names
        } else {
            numbers.collect()
        };
        Err(ReportError::Capture {
            path: path.to_owned(),
            reason: format!(
                "it has no interface `{wanted}`; it has {}",
                known.join(", ")
            ),
            source: None,
        })
    }
}

/// The length of a frame on Ethernet without FCS, and how much of its end is FCS. A header that claims an FCS for which a
/// frame has no room is not believed, and one that claims none is not believed where the last bytes are one.
pub(super) fn frame_len(record: &Record<'_>, ip_end: Option<usize>) -> Option<(u32, u8)> {
    let len = record.len.max(record.caplen);
    let mut fcs = record.fcs_len;
    if record.link_type == ETHERNET
        && let Some(end) = ip_end
    {
        let behind = (len as usize).saturating_sub(end);
        if behind < usize::from(fcs) {
            fcs = 0;
        } else if fcs == 0
            && (behind == FCS_LEN as usize
                || (behind > FCS_LEN as usize && len == FRAME_MIN + FCS_LEN))
            && len == record.caplen
            && let Some((frame, sum)) = record.bytes.split_last_chunk::<4>()
            && crc32fast::hash(frame) == u32::from_le_bytes(*sum)
        {
            fcs = FCS_LEN as u8;
        }
    }
    Some((ethernet_len(record.link_type, len, fcs)?, fcs))
}

/// Looks into a record's frame.
pub(super) fn look<'a>(record: &Record<'a>) -> Dissected<'a> {
    let len = record.len.max(record.caplen);
    let fcs = u32::from(record.fcs_len);
    // Only where the length is not told by IP does it matter; such packets are too large to carry an FCS.
    dissect(record.link_type, record.bytes, len.saturating_sub(fcs))
}

/// What is understood of a link type that is not.
pub(super) fn unknown_link(path: &Path, link_type: u32) -> ReportError {
    ReportError::Capture {
        path: path.to_owned(),
        reason: format!(
            "its link type {link_type} is not understood; Ethernet, Linux cooked, loopback and raw IP are"
        ),
        source: None,
    }
}

/// A capture that is being read.
pub(super) struct Source {
    file: CaptureFile,
    reader: Reader,
    choice: Choice,
    manner: Manner,
    pub side: CaptureSide,
    /// Something in it contradicts the manner in which it is read: the whole of it must be looked at first.
    pub revise: bool,
    /// Its stamps are out of order by more than was foreseen.
    pub disordered: bool,
    place: Option<Place>,
    /// An interface without nanoseconds was seen.
    coarse: bool,
    /// Stamps that are no whole microsecond.
    fine: u64,
    last_ns: i64,
    sorter: Option<Sorter>,
    copies: Option<CopyFilter>,
}

impl Source {
    pub(super) fn open(
        file: &CaptureFile,
        interface: Option<&str>,
        manner: &Manner,
    ) -> Result<Self, ReportError> {
        Ok(Self {
            file: file.clone(),
            reader: file.reader()?,
            choice: Choice::new(interface),
            manner: manner.clone(),
            side: CaptureSide::default(),
            revise: false,
            disordered: false,
            place: None,
            coarse: false,
            fine: 0,
            last_ns: i64::MIN,
            sorter: match manner.order {
                Order::Sorted(window) => Some(Sorter::new(window)),
                Order::Checked | Order::AsFiled => None,
            },
            copies: manner.copies.clone().map(CopyFilter::new),
        })
    }

    /// The next packet that can be known again; none at the end of the file, and where it contradicts.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, ReportError> {
        if self.sorter.is_none() && self.copies.is_none() {
            return Ok(self.filed()?.map(|(packet, _)| packet));
        }
        loop {
            let Some((packet, place)) = self.placed()? else {
                return Ok(None);
            };
            if let Some(copies) = &mut self.copies
                && copies.is_copy(&packet, place)
            {
                self.side.copies += 1;
                continue;
            }
            return Ok(Some(packet));
        }
    }

    /// The next packet in the order wanted, copies included, and where it was seen.
    pub(super) fn placed(&mut self) -> Result<Option<(Packet, Place)>, ReportError> {
        let Some(mut sorter) = self.sorter.take() else {
            return self.filed();
        };
        while sorter.wants() {
            match self.filed()? {
                Some(packet) => sorter.add(packet),
                None => sorter.ended = true,
            }
        }
        let next = sorter.next();
        self.disordered |= sorter.late;
        self.sorter = Some(sorter);
        Ok(next)
    }

    fn end(&mut self) -> Result<(), ReportError> {
        self.choice.check(&self.reader, &self.file.path)?;
        let side = &mut self.side;
        side.untimed = self.reader.untimed();
        let fine = if side.packets == 0 {
            self.reader.nanoseconds()
        } else {
            !self.coarse
        };
        side.nanoseconds = fine && (self.fine > 0 || side.packets < ENTROPY_MIN);
        side.part_read = 1.0;
        Ok(())
    }

    /// The file is damaged: whatever precedes that counts, if there is anything.
    fn torn(&mut self, error: PcapFileError) -> Result<(), ReportError> {
        if !is_damage(&error) || self.side.packets == 0 {
            return Err(damaged(&self.file.path, error));
        }
        self.end()?;
        let read = if self.reader.offset() > self.reader.consumed() {
            self.reader.consumed()
        } else {
            self.reader.offset()
        };
        self.side.part_read = read as f64 / self.file.size.max(1) as f64;
        self.side.damage = Some(error.to_string());
        Ok(())
    }

    /// The next packet in the order of the file.
    fn filed(&mut self) -> Result<Option<(Packet, Place)>, ReportError> {
        let surveyed = self.manner.surveyed;
        loop {
            if self.revise {
                return Ok(None);
            }
            let record = match self.reader.read() {
                Ok(Some(record)) => record,
                Ok(None) => return self.end().map(|()| None),
                Err(error) => return self.torn(error).map(|()| None),
            };
            let Some(place) = self.choice.place(&record) else {
                continue;
            };
            let side = &mut self.side;
            let at_ns = signed(record.ts_ns);
            if at_ns < self.last_ns {
                side.backwards += 1;
                self.revise |= self.manner.order == Order::Checked && !surveyed;
            }
            self.last_ns = at_ns;
            if self.place != Some(place) {
                let moved = self.place.replace(place).is_some();
                self.coarse |= !record.nanoseconds;
                self.revise |= moved && self.manner.copies.is_none() && !surveyed;
            }
            side.packets += 1;
            side.bytes += u64::from(record.len);
            side.truncated += u64::from(record.caplen < record.len);
            side.first_ns = Some(side.first_ns.map_or(at_ns, |t| t.min(at_ns)));
            side.last_ns = Some(side.last_ns.map_or(at_ns, |t| t.max(at_ns)));
            self.fine += u64::from(!record.ts_ns.is_multiple_of(1000));
            let frame = match look(&record) {
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
                    return Err(unknown_link(&self.file.path, record.link_type));
                }
            };
            let ip_len = frame.ip_header_len + frame.transport_len;
            if ip_len > MTU {
                side.over_mtu += 1;
                side.super_packets += u64::from(ip_len > JUMBO);
            }
            side.longest = side.longest.max(ip_len as u32);
            match identify(&frame, self.manner.rules) {
                Told::Known(identity) => {
                    let packet = Packet {
                        at_ns,
                        size: size(&record, &frame),
                        identity,
                    };
                    return Ok(Some((packet, place)));
                }
                Told::Corrupt => side.corrupt += 1,
                Told::Foreign => side.foreign += 1,
                Told::Cut => side.cut += 1,
                Told::Against if surveyed => side.cut += 1,
                Told::Against => self.revise = true,
            }
        }
    }
}

/// Whether the file is at fault, so that what precedes the fault can be used.
pub(super) fn is_damage(error: &PcapFileError) -> bool {
    matches!(
        error,
        PcapFileError::Truncated { .. } | PcapFileError::Damaged { .. }
    )
}

/// The bytes that a frame takes on Ethernet, padding and FCS included.
fn size(record: &Record<'_>, frame: &IpPacket<'_>) -> u32 {
    let len = frame_len(record, Some(frame.end)).map_or(record.len, |(len, _)| len);
    len.max(FRAME_MIN).saturating_add(FCS_LEN)
}

/// Packets that are put into the order of their stamps, a window at a time.
struct Sorter {
    window: usize,
    /// In order, from `next` on.
    packets: Vec<(Packet, Place)>,
    next: usize,
    /// How many of them are in order.
    sorted: usize,
    ended: bool,
    last_ns: i64,
    late: bool,
}

impl Sorter {
    fn new(window: usize) -> Self {
        Self {
            window,
            packets: Vec::new(),
            next: 0,
            sorted: 0,
            ended: false,
            last_ns: i64::MIN,
            late: false,
        }
    }

    /// Whether more packets must be added before the next can be given out.
    fn wants(&mut self) -> bool {
        if self.next < self.sorted {
            return false;
        }
        if !self.ended && self.packets.len() - self.next < 2 * self.window {
            if self.next > 0 {
                self.packets.drain(..self.next);
                (self.next, self.sorted) = (0, 0);
            }
            return true;
        }
        // Of packets with the same stamp the order of the file stays.
        self.packets[self.next..].sort_by_key(|(packet, _)| packet.at_ns);
        self.sorted = if self.ended {
            self.packets.len()
        } else {
            self.next + self.window
        };
        false
    }

    fn add(&mut self, packet: (Packet, Place)) {
        self.packets.push(packet);
    }

    fn next(&mut self) -> Option<(Packet, Place)> {
        let next = *self.packets.get(self.next)?;
        self.next += 1;
        self.late |= next.0.at_ns < self.last_ns;
        self.last_ns = next.0.at_ns;
        Some(next)
    }
}
