//! Captures to replay, reduced to what is replayed of them: when each frame came and how long it was.
//!
//! The controller reduces a capture once; the generator and the report then read the same small file. No byte of anybody's
//! traffic leaves the controller.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_scenarios::timing::Captured;

use crate::dissect::{ETHERNET, ethernet_len};
use crate::packet::{FCS_LEN, MAX_SIZE};
use crate::pcap_file::{PcapFileError, Reader, Writer};

/// A VLAN tag or two make a frame larger than vifbench's largest; it is sent without.
const TAGS: u32 = 8;

/// Why a capture cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot replay {path}: {error}")]
    Read {
        /// The capture.
        path: PathBuf,
        /// What is wrong with it.
        error: PcapFileError,
    },
    /// Its frames have headers of unknown length.
    #[error(
        "cannot replay {path}: its link type {link_type} is not understood; Ethernet, Linux cooked, loopback and raw IP are"
    )]
    Link {
        /// The capture.
        path: PathBuf,
        /// The pcap link type.
        link_type: u32,
    },
    /// It holds nothing.
    #[error("cannot replay {path}: it holds no packet; give a capture with traffic")]
    Empty {
        /// The capture.
        path: PathBuf,
    },
    /// It holds what never was on a wire.
    #[error(
        "cannot replay {path}: packet {number} has {len} B, more than Ethernet carries, so the host that captured it had \
         joined packets (GRO, LRO, TSO); capture again with `ethtool -K INTERFACE gro off lro off tso off gso off`"
    )]
    Joined {
        /// The capture.
        path: PathBuf,
        /// Which packet, from 1.
        number: u64,
        /// Its length without FCS.
        len: u32,
    },
    /// The reduced file cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// Reads the frames of a capture, of any or one that [`write()`] wrote, with the lengths that they have on Ethernet. Times
/// count from the earliest frame.
///
/// # Errors
/// When it cannot be read to its end, or holds nothing.
pub fn read(path: &Path) -> Result<Vec<Captured>, ReplayError> {
    let failed = |error| ReplayError::Read {
        path: path.to_owned(),
        error,
    };
    let mut reader = Reader::open(path).map_err(failed)?;
    let mut frames: Vec<Captured> = Vec::new();
    while let Some(record) = reader.read().map_err(failed)? {
        let len = ethernet_len(record.link_type, record.len, record.fcs_len);
        frames.push(Captured {
            at: record.ts_ns,
            len: len.ok_or_else(|| ReplayError::Link {
                path: path.to_owned(),
                link_type: record.link_type,
            })?,
        });
    }
    // Several receive queues: the order of the file is not that of the stamps.
    frames.sort_by_key(|frame| frame.at);
    let start = frames.first().map_or(0, |first| first.at);
    for frame in &mut frames {
        frame.at -= start;
    }
    if frames.is_empty() {
        return Err(ReplayError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(frames)
}

/// What is replayed of a capture within `length_ns` of its own time.
///
/// # Errors
/// When the capture cannot be read or replayed.
pub fn cut(path: &Path, length_ns: u64) -> Result<Vec<Captured>, ReplayError> {
    let mut frames = read(path)?;
    frames.truncate(frames.partition_point(|frame| frame.at < length_ns));
    let joined = (1..)
        .zip(&frames)
        .find(|(_, frame)| frame.len > MAX_SIZE - FCS_LEN + TAGS);
    match joined {
        None => Ok(frames),
        Some((number, frame)) => Err(ReplayError::Joined {
            path: path.to_owned(),
            number,
            len: frame.len,
        }),
    }
}

/// Writes times and lengths as a capture without a byte of any frame.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, frames: &[Captured]) -> Result<(), ReplayError> {
    let failed = |error| ReplayError::Write {
        path: path.to_owned(),
        error,
    };
    let mut writer = Writer::create(path, ETHERNET, MAX_SIZE).map_err(failed)?;
    for frame in frames {
        writer.record(frame.at, frame.len, &[]).map_err(failed)?;
    }
    writer.finish().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(folder: &Path, frames: &[(u64, u32)]) -> PathBuf {
        let path = folder.join("in.pcap.zst");
        let mut writer = Writer::create(&path, ETHERNET, 128).unwrap();
        for (at, len) in frames {
            let bytes = vec![0xaa; (*len).min(128) as usize];
            writer.record(*at, *len, &bytes).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    #[test]
    fn only_times_and_lengths_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let from = capture(
            folder.path(),
            &[(900, 60), (1900, 1514), (1800, 70), (5000, 60)],
        );
        let to = folder.path().join("out.pcap.zst");
        write(&to, &cut(&from, 4000).unwrap()).unwrap();
        let frame = |at, len| Captured { at, len };
        let expected = [frame(0, 60), frame(900, 70), frame(1000, 1514)];
        assert_eq!(read(&to).unwrap(), expected);
        let mut reader = Reader::open(&to).unwrap();
        assert_eq!(reader.read().unwrap().unwrap().bytes, [0; 0]);
    }

    #[test]
    fn lengths_are_those_of_ethernet_for_every_link_type() {
        let folder = tempfile::tempdir().unwrap();
        for (link_type, len) in [(ETHERNET, 1012), (113, 1014), (276, 1018), (101, 998)] {
            let path = folder.path().join("in.pcap.zst");
            let mut writer = Writer::create(&path, link_type, 128).unwrap();
            writer.record(7, len, &[0; 40]).unwrap();
            writer.finish().unwrap();
            assert_eq!(read(&path).unwrap(), [Captured { at: 0, len: 1012 }]);
        }
        let path = folder.path().join("in.pcap.zst");
        let mut writer = Writer::create(&path, 127, 128).unwrap();
        writer.record(7, 100, &[0; 40]).unwrap();
        writer.finish().unwrap();
        assert!(matches!(
            read(&path),
            Err(ReplayError::Link { link_type: 127, .. })
        ));
    }

    #[test]
    fn what_cannot_be_replayed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let empty = capture(folder.path(), &[]);
        assert!(matches!(cut(&empty, 1), Err(ReplayError::Empty { .. })));
        let joined = capture(folder.path(), &[(0, 60), (1, 4434)]);
        assert_eq!(cut(&joined, 1).unwrap().len(), 1);
        let error = cut(&joined, 10).unwrap_err();
        assert!(
            matches!(error, ReplayError::Joined { number: 2, .. }),
            "{error}"
        );
        let error = read(Path::new("/nowhere/x.pcap")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.pcap"), "{error}");
    }
}
