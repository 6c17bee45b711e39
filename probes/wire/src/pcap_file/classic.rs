//! Classic pcap: a file header of 24 bytes, then records with a header of 16 bytes each (24 in modified pcap).

use super::input::Input;
use super::{
    Interface, MAGIC_MICRO, MAGIC_MODIFIED, MAGIC_NANO, MAX_CAPLEN, PcapFileError, RawRecord, word,
};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Modified pcap adds the interface's index, the protocol and the packet's type.
const MODIFIED_HEADER: usize = 24;

/// Bits of the header's last word: the link type, whether the length of the FCS is known, and that length in units of
/// two bytes. The others are reserved and are not looked at.
const LINK_TYPE: u32 = 0xffff;
const FCS_KNOWN: u32 = 0x0400_0000;
const FCS_SHIFT: u32 = 28;

/// How the words of a file are to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classic {
    swapped: bool,
    nanoseconds: bool,
    modified: bool,
}

impl Classic {
    /// Reads the file header; none where the file does not begin like one.
    pub(super) fn begin(input: &mut Input) -> Result<Option<(Self, Interface)>, PcapFileError> {
        let seen = input.seen();
        if seen.len() < 4 {
            return Ok(None);
        }
        let kind = |swapped| match word(seen, 0, swapped) {
            MAGIC_MICRO => Some((false, false)),
            MAGIC_NANO => Some((true, false)),
            MAGIC_MODIFIED => Some((false, true)),
            _ => None,
        };
        let (swapped, (nanoseconds, modified)) = match (kind(false), kind(true)) {
            (Some(kind), _) => (false, kind),
            (None, Some(kind)) => (true, kind),
            (None, None) => return Ok(None),
        };
        if input.ensure(FILE_HEADER)? < FILE_HEADER {
            return Err(input.truncated("the file header"));
        }
        let header = input.seen();
        let link = word(header, 20, swapped);
        let interface = Interface {
            name: None,
            link_type: link & LINK_TYPE,
            snaplen: match word(header, 16, swapped) {
                0 => MAX_CAPLEN, // no limit
                some => some,
            },
            nanoseconds,
            fcs_len: if link & FCS_KNOWN == 0 {
                0
            } else {
                2 * (link >> FCS_SHIFT) as u8
            },
        };
        input.advance(FILE_HEADER);
        let classic = Self {
            swapped,
            nanoseconds,
            modified,
        };
        Ok(Some((classic, interface)))
    }

    /// The next record; none at the end of the file.
    pub(super) fn next(self, input: &mut Input) -> Result<Option<RawRecord>, PcapFileError> {
        let header_len = if self.modified {
            MODIFIED_HEADER
        } else {
            RECORD_HEADER
        };
        match input.ensure(header_len)? {
            0 => return Ok(None),
            some if some < header_len => return Err(input.truncated("a record header")),
            _ => {}
        }
        let header = input.seen();
        let at = |at| word(header, at, self.swapped);
        let (seconds, fraction, caplen, len) = (at(0), at(4), at(8), at(12));
        let index = self.modified.then(|| at(16));
        let (per_second, unit_ns) = if self.nanoseconds {
            (1_000_000_000, 1)
        } else {
            (1_000_000, 1000)
        };
        // Some writers round up to a whole second without carrying it: that is still a time.
        if fraction >= 2 * per_second {
            return Err(input.damaged(format!("its time stamp has {fraction} parts of a second")));
        }
        if caplen > MAX_CAPLEN {
            return Err(input.damaged(format!("it claims {caplen} captured bytes")));
        }
        let whole = header_len + caplen as usize;
        if input.ensure(whole)? < whole {
            return Err(input.truncated("a packet"));
        }
        Ok(Some(RawRecord {
            ts_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit_ns,
            len,
            interface: 0,
            index,
            fcs_len: None,
            data_at: header_len,
            caplen,
            whole,
        }))
    }
}
