//! Classic pcap: a file header of 24 bytes, then records with a header of 16 bytes each.

use super::input::Input;
use super::{Interface, MAGIC_MICRO, MAGIC_NANO, MAX_CAPLEN, PcapFileError, RawRecord, word};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// How the words of a file are to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classic {
    swapped: bool,
    nanoseconds: bool,
}

impl Classic {
    /// Reads the file header; none where the file does not begin like one.
    pub(super) fn begin(input: &mut Input) -> Result<Option<(Self, Interface)>, PcapFileError> {
        let seen = input.seen();
        if seen.len() < 4 {
            return Ok(None);
        }
        let (swapped, nanoseconds) = match (word(seen, 0, false), word(seen, 0, true)) {
            (MAGIC_MICRO, _) => (false, false),
            (MAGIC_NANO, _) => (false, true),
            (_, MAGIC_MICRO) => (true, false),
            (_, MAGIC_NANO) => (true, true),
            _ => return Ok(None),
        };
        if input.ensure(FILE_HEADER)? < FILE_HEADER {
            return Err(input.truncated("the file header"));
        }
        let header = input.seen();
        let interface = Interface {
            name: None,
            // The upper bits tell about the FCS.
            link_type: word(header, 20, swapped) & 0x0fff_ffff,
            snaplen: word(header, 16, swapped),
            nanoseconds,
        };
        input.advance(FILE_HEADER);
        let classic = Self {
            swapped,
            nanoseconds,
        };
        Ok(Some((classic, interface)))
    }

    /// The next record; none at the end of the file.
    pub(super) fn next(self, input: &mut Input) -> Result<Option<RawRecord>, PcapFileError> {
        match input.ensure(RECORD_HEADER)? {
            0 => return Ok(None),
            some if some < RECORD_HEADER => return Err(input.truncated("a record header")),
            _ => {}
        }
        let header = input.seen();
        let at = |at| word(header, at, self.swapped);
        let (seconds, fraction, caplen, len) = (at(0), at(4), at(8), at(12));
        let (per_second, unit_ns) = if self.nanoseconds {
            (1_000_000_000, 1)
        } else {
            (1_000_000, 1000)
        };
        if fraction >= per_second {
            return Err(input.damaged(format!("its time stamp has {fraction} parts of a second")));
        }
        if caplen > MAX_CAPLEN {
            return Err(input.damaged(format!("it claims {caplen} captured bytes")));
        }
        let whole = RECORD_HEADER + caplen as usize;
        if input.ensure(whole)? < whole {
            return Err(input.truncated("a packet"));
        }
        Ok(Some(RawRecord {
            ts_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit_ns,
            len,
            interface: 0,
            data_at: RECORD_HEADER,
            caplen,
            whole,
        }))
    }
}
