//! pcapng (draft-ietf-opsawg-pcapng): blocks, each with its type and its length at both ends.
//!
//! Read are section headers, interface descriptions and the three kinds of packet blocks; all others are passed
//! over. Simple packet blocks carry no time: they are counted, not given out.

use super::input::Input;
use super::{Interface, MAX_CAPLEN, PcapFileError, RawRecord, word};

pub(super) const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type and length before the body, length behind it.
const FRAMING: usize = 12;
/// Packet blocks are held in memory whole: the largest packet, and as much again for its options.
const MAX_PACKET_BLOCK: usize = 2 * MAX_CAPLEN as usize;
/// Descriptions and headers are held in memory whole.
const MAX_DESCRIPTION: usize = 1 << 20;
/// Nobody captures on more interfaces; a file that claims so would take memory for nothing.
const MAX_INTERFACES: usize = 1 << 16;

/// From ticks of an interface to nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Unit {
    scale: Scale,
    offset_s: i64,
}

#[derive(Debug, Clone, Copy)]
enum Scale {
    /// Nanoseconds a tick.
    Times(u64),
    /// Ticks a nanosecond.
    Over(u64),
    /// A tick is this power of one half of a second.
    Binary(u32),
}

impl Unit {
    const MICROSECONDS: Self = Self {
        scale: Scale::Times(1000),
        offset_s: 0,
    };

    /// `if_tsresol`: a power of ten, or, with the upper bit, a power of two.
    fn scale(resolution: u8) -> Option<Scale> {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return (power < 64).then_some(Scale::Binary(power));
        }
        match power {
            0..=9 => Some(Scale::Times(10u64.pow(9 - power))),
            10..=28 => Some(Scale::Over(10u64.pow(power - 9))),
            _ => None,
        }
    }

    fn fine(self) -> bool {
        match self.scale {
            Scale::Times(ns) => ns == 1,
            Scale::Over(_) => true,
            Scale::Binary(power) => power >= 30,
        }
    }

    fn to_ns(self, ticks: u64) -> Option<u64> {
        let ns = match self.scale {
            Scale::Times(ns) => ticks.checked_mul(ns)?,
            Scale::Over(ticks_per_ns) => ticks / ticks_per_ns,
            Scale::Binary(power) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> power).ok()?
            }
        };
        ns.checked_add_signed(self.offset_s.checked_mul(1_000_000_000)?)
    }
}

/// Where in the sections of a file the reader is.
#[derive(Debug, Default)]
pub(super) struct PcapNg {
    swapped: bool,
    /// Interfaces of earlier sections: numbers begin again in each.
    before: usize,
    /// Of all sections, in the order of [`super::Reader::interfaces`].
    units: Vec<Unit>,
    /// Packets without a time.
    pub(super) untimed: u64,
}

impl PcapNg {
    /// The next packet that has a time; none at the end of the file.
    pub(super) fn next(
        &mut self,
        input: &mut Input,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Option<RawRecord>, PcapFileError> {
        loop {
            match input.ensure(FRAMING)? {
                0 => return Ok(None),
                some if some < FRAMING => return Err(input.truncated("a block header")),
                _ => {}
            }
            let kind = word(input.seen(), 0, self.swapped);
            if kind == SECTION {
                self.swapped = match (word(input.seen(), 8, false), word(input.seen(), 8, true)) {
                    (BYTE_ORDER, _) => false,
                    (_, BYTE_ORDER) => true,
                    (other, _) => {
                        return Err(input.damaged(format!(
                            "its section header has the byte-order mark {other:#010x}"
                        )));
                    }
                };
                self.before = interfaces.len();
            }
            let length = word(input.seen(), 4, self.swapped) as usize;
            if length < FRAMING || !length.is_multiple_of(4) {
                return Err(input.damaged(format!("its block claims a length of {length} bytes")));
            }
            let limit = match kind {
                ENHANCED_PACKET | OLD_PACKET => MAX_PACKET_BLOCK,
                INTERFACE => MAX_DESCRIPTION,
                _ => {
                    self.untimed += u64::from(kind == SIMPLE_PACKET);
                    if !input.skip(length)? {
                        return Err(input.truncated("a block"));
                    }
                    continue;
                }
            };
            if length > limit {
                return Err(input.damaged(format!(
                    "its block of type {kind} claims a length of {length} bytes"
                )));
            }
            if input.ensure(length)? < length {
                return Err(input.truncated("a block"));
            }
            let behind = word(input.seen(), length - 4, self.swapped) as usize;
            if behind != length {
                return Err(input.damaged(format!(
                    "its block begins with a length of {length} and ends with {behind} bytes"
                )));
            }
            if kind == INTERFACE {
                self.describe(input, length, interfaces)?;
                input.advance(length);
                continue;
            }
            return self.packet(input, kind, length).map(Some);
        }
    }

    fn describe(
        &mut self,
        input: &Input,
        length: usize,
        interfaces: &mut Vec<Interface>,
    ) -> Result<(), PcapFileError> {
        let body = &input.seen()[8..length - 4];
        if body.len() < 8 {
            return Err(input.damaged("its interface description is too short".to_owned()));
        }
        if interfaces.len() >= MAX_INTERFACES {
            return Err(input.damaged(format!("it has more than {MAX_INTERFACES} interfaces")));
        }
        let swapped = self.swapped;
        let mut unit = Unit::MICROSECONDS;
        let mut name = None;
        let mut fcs_len = 0;
        let mut options = &body[8..];
        while let Some((code, value, rest)) = option(options, swapped) {
            match (code, value) {
                (2, text) => name = Some(String::from_utf8_lossy(text).into_owned()),
                (9, [resolution, ..]) => {
                    unit.scale = Unit::scale(*resolution).ok_or_else(|| {
                        input.damaged(format!("its time resolution is {resolution:#04x}"))
                    })?;
                }
                (13, [length, ..]) => fcs_len = *length,
                (14, [_, _, _, _, _, _, _, _]) => {
                    let (a, b) = (word(value, 0, swapped), word(value, 4, swapped));
                    let (low, high) = if swapped { (b, a) } else { (a, b) };
                    unit.offset_s = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            options = rest;
        }
        interfaces.push(Interface {
            name,
            link_type: u32::from(half(body, 0, swapped)),
            snaplen: match word(body, 4, swapped) {
                0 => MAX_CAPLEN, // no limit
                some => some,
            },
            nanoseconds: unit.fine(),
            fcs_len,
        });
        self.units.push(unit);
        Ok(())
    }

    /// The length of the FCS by the options behind a packet, where its flags tell it.
    fn fcs_of(&self, behind: &[u8], caplen: u32) -> Option<u8> {
        let padding = (caplen as usize).next_multiple_of(4) - caplen as usize;
        let mut options = behind.get(padding..)?;
        while let Some((code, value, rest)) = option(options, self.swapped) {
            if let (2, [_, _, _, _]) = (code, value) {
                let length = (word(value, 0, self.swapped) >> 5 & 0xf) as u8;
                return (length > 0).then_some(length);
            }
            options = rest;
        }
        None
    }

    fn packet(&self, input: &Input, kind: u32, length: usize) -> Result<RawRecord, PcapFileError> {
        const HEADER: usize = 8 + 20;
        if length < HEADER + 4 {
            return Err(input.damaged(format!("its packet block has only {length} bytes")));
        }
        let block = input.seen();
        let at = |at| word(block, at, self.swapped);
        let number = if kind == OLD_PACKET {
            usize::from(half(block, 8, self.swapped))
        } else {
            at(8) as usize
        };
        let interface = self.before.saturating_add(number);
        let Some(unit) = self.units.get(interface) else {
            return Err(input.damaged(format!(
                "its packet is of interface {number}, which is not described"
            )));
        };
        let ticks = u64::from(at(12)) << 32 | u64::from(at(16));
        let ts_ns = unit.to_ns(ticks).ok_or_else(|| {
            input.damaged(format!("its time stamp of {ticks} ticks is out of range"))
        })?;
        let (caplen, len) = (at(20), at(24));
        if caplen as usize > length - HEADER - 4 {
            return Err(input.damaged(format!(
                "it claims {caplen} captured bytes in a block of {length}"
            )));
        }
        Ok(RawRecord {
            ts_ns,
            len,
            interface,
            index: None,
            fcs_len: self.fcs_of(&block[HEADER + caplen as usize..length - 4], caplen),
            data_at: HEADER,
            caplen,
            whole: length,
        })
    }
}

/// The 16-bit word at `at`: little-endian, or swapped.
fn half(bytes: &[u8], at: usize, swapped: bool) -> u16 {
    let half = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    if swapped { half.swap_bytes() } else { half }
}

/// The first option: its code, its value and what follows. None at the end or where it does not fit.
fn option(bytes: &[u8], swapped: bool) -> Option<(u16, &[u8], &[u8])> {
    if bytes.len() < 4 {
        return None;
    }
    let (code, length) = (
        half(bytes, 0, swapped),
        usize::from(half(bytes, 2, swapped)),
    );
    if code == 0 {
        return None;
    }
    let value = bytes.get(4..4 + length)?;
    let rest = bytes
        .get(4 + length.next_multiple_of(4)..)
        .unwrap_or_default();
    Some((code, value, rest))
}
