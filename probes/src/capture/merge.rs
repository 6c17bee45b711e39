//! The files of several rings made one, in the order of their stamps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use vifbench_wire::pcap_file::{About, FileFormat, PcapFileError, Reader, Statistics, Writer};

/// Why rings could not be merged.
#[derive(Debug)]
pub(super) enum MergeError {
    /// A ring's file.
    Read(PcapFileError),
    /// The common file.
    Write(io::Error),
}

/// One packet of a ring, the next in line.
struct Head {
    reader: Reader,
    ts_ns: u64,
    len: u32,
    bytes: Vec<u8>,
}

impl Head {
    /// Moves on to the ring's next packet; false at its end.
    fn advance(&mut self) -> Result<bool, MergeError> {
        let Some(record) = self.reader.read().map_err(MergeError::Read)? else {
            return Ok(false);
        };
        self.ts_ns = record.ts_ns;
        self.len = record.len;
        self.bytes.clear();
        self.bytes.extend_from_slice(record.bytes);
        Ok(true)
    }
}

/// Merges the rings' files into one and removes them. The memory it takes does not depend on their length.
pub(super) fn by_stamp(
    parts: &[PathBuf],
    path: &Path,
    format: FileFormat,
    about: About<'_>,
    statistics: &Statistics,
) -> Result<(), MergeError> {
    let mut writer = Writer::create_as(path, format, about).map_err(MergeError::Write)?;
    let mut heads = Vec::new();
    let mut line = BinaryHeap::new();
    for part in parts {
        let mut head = Head {
            reader: Reader::open(part).map_err(MergeError::Read)?,
            ts_ns: 0,
            len: 0,
            bytes: Vec::new(),
        };
        if head.advance()? {
            line.push(Reverse((head.ts_ns, heads.len())));
            heads.push(head);
        }
    }
    while let Some(Reverse((_, first))) = line.pop() {
        let head = &mut heads[first];
        writer
            .record(head.ts_ns, head.len, &head.bytes)
            .map_err(MergeError::Write)?;
        if head.advance()? {
            line.push(Reverse((head.ts_ns, first)));
        }
    }
    writer.tell(statistics);
    writer.finish().map_err(MergeError::Write)?;
    for part in parts {
        std::fs::remove_file(part).map_err(MergeError::Write)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ABOUT: About<'static> = About {
        link_type: 1,
        snaplen: 64,
        interface: "eth0",
    };

    proptest! {
        #[test]
        fn packets_come_by_stamp_and_none_is_lost(
            rings in prop::collection::vec(prop::collection::vec(0u64..1_000_000, 0..40), 1..5),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut all = Vec::new();
            let mut parts = Vec::new();
            for (number, mut stamps) in rings.into_iter().enumerate() {
                stamps.sort_unstable();
                let path = dir.path().join(format!("ring{number}"));
                let mut writer = Writer::create_as(&path, FileFormat::Pcap, ABOUT).unwrap();
                for at in &stamps {
                    writer.record(*at, 60, &[number as u8; 20]).unwrap();
                    all.push((*at, number as u8));
                }
                writer.finish().unwrap();
                parts.push(path);
            }
            let path = dir.path().join("all.pcapng");
            by_stamp(&parts, &path, FileFormat::PcapNg, ABOUT, &Statistics::default()).unwrap();
            let mut reader = Reader::open(&path).unwrap();
            let mut read = Vec::new();
            while let Some(record) = reader.read().unwrap() {
                prop_assert_eq!((record.len, record.caplen), (60, 20));
                read.push((record.ts_ns, record.bytes[0]));
            }
            prop_assert!(read.is_sorted_by_key(|r| r.0));
            read.sort_unstable();
            all.sort_unstable();
            prop_assert_eq!(read, all);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }
}
