//! Capture files: a reader of what anyone wrote, and a writer of what vifbench keeps.
//!
//! The reader takes classic pcap in micro- and nanoseconds, modified pcap, and pcapng with any resolution, all in both
//! byte orders, plain, under gzip or under zstd. It holds one part of the file in memory, whatever the file claims. The
//! writer makes nanosecond pcap, plain or under zstd, or pcapng, and gives the file its name only when it is complete.

mod classic;
mod input;
mod pcapng;
mod writer;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use classic::Classic;
use input::Input;
use pcapng::PcapNg;
pub use writer::{About, FileFormat, Statistics, Writer};

/// First word of a pcap file with microseconds.
pub const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
/// First word of a pcap file with nanoseconds.
pub const MAGIC_NANO: u32 = 0xa1b2_3c4d;
/// First word of a modified pcap file, whose records carry the index of the interface.
pub const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;
/// No capture keeps more of a packet than libpcap's own limit.
const MAX_CAPLEN: u32 = 262_144;

/// Why a capture file could not be read.
#[derive(Debug, Error)]
pub enum PcapFileError {
    /// The file could not be opened or read.
    #[error("cannot read the capture {path} at byte {offset}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Where, counted after decompression.
        offset: u64,
        /// What the system said.
        error: io::Error,
    },
    /// It is not a capture.
    #[error(
        "{path} is not a pcap or pcapng file: it begins with {magic:#010x}; give a file that tcpdump, Wireshark \
         or vifbench wrote, plain, under gzip or under zstd"
    )]
    NotPcap {
        /// The file.
        path: PathBuf,
        /// Its first four bytes, as a little-endian word.
        magic: u32,
    },
    /// It ends in the middle.
    #[error(
        "the capture {path} ends in the middle of {what} at byte {offset}; it was cut off: capture again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Where the part begins that is not whole, counted after decompression.
        offset: u64,
        /// `the file header`, `a record header` or `a packet`.
        what: &'static str,
    },
    /// A field makes no sense.
    #[error("the capture {path} is damaged at byte {offset}: {why}; capture again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the record begins, counted after decompression.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}

/// One captured packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Time stamp in nanoseconds since 1970, on the capturing host's clock.
    pub ts_ns: u64,
    /// Bytes captured: the length of `bytes`.
    pub caplen: u32,
    /// Bytes the frame had.
    pub len: u32,
    /// Which of [`Reader::interfaces`] saw it.
    pub interface: usize,
    /// That interface's name, where the file has it.
    pub name: Option<&'a str>,
    /// The index that the capturing host gave the interface, where the record carries it (modified pcap).
    pub index: Option<u32>,
    /// Bytes of frame check sequence at the end of the frame, as the file claims.
    pub fcs_len: u8,
    /// Whether that interface's stamps have nanoseconds or finer, as the file claims.
    pub nanoseconds: bool,
    /// Its pcap link type; 1 is Ethernet.
    pub link_type: u32,
    /// The frame, as far as it was captured.
    pub bytes: &'a [u8],
}

/// An interface that packets were captured on; classic pcap files have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name, where the file tells.
    pub name: Option<String>,
    /// The pcap link type of its packets; 1 is Ethernet.
    pub link_type: u32,
    /// The most that was kept of a packet, as the file says.
    pub snaplen: u32,
    /// Whether its stamps have nanoseconds or finer.
    pub nanoseconds: bool,
    /// Bytes of frame check sequence at the end of its frames, as the file claims; 0 where it does not say.
    pub fcs_len: u8,
}

/// Where a record lies in the input's window.
struct RawRecord {
    ts_ns: u64,
    len: u32,
    interface: usize,
    index: Option<u32>,
    /// Of this packet, where it says so.
    fcs_len: Option<u8>,
    /// Where the packet begins, from the record's beginning.
    data_at: usize,
    caplen: u32,
    /// Bytes of the whole record.
    whole: usize,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    PcapNg(PcapNg),
}

/// Reads a capture file record by record.
pub struct Reader {
    input: Input,
    format: Format,
    interfaces: Vec<Interface>,
    /// Bytes of the record given out last.
    given: usize,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.input.path())
            .field("offset", &self.input.offset())
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a capture file; format and compression are recognised by its first bytes, not by its name.
    ///
    /// # Errors
    /// When the file cannot be read, is no capture, or ends within its header.
    pub fn open(path: &Path) -> Result<Self, PcapFileError> {
        let at_start = |error| PcapFileError::Read {
            path: path.to_owned(),
            offset: 0,
            error,
        };
        let file = File::open(path).map_err(at_start)?;
        Self::new(file, path)
    }

    /// Reads from anything; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn new(input: impl Read + 'static, path: &Path) -> Result<Self, PcapFileError> {
        let mut input = Input::new(input, path)?;
        if input.ensure(4)? < 4 {
            return Err(input.truncated("the file header"));
        }
        let (format, interfaces) = match Classic::begin(&mut input)? {
            Some((classic, interface)) => (Format::Classic(classic), vec![interface]),
            None if word(input.seen(), 0, false) == pcapng::SECTION => {
                (Format::PcapNg(PcapNg::default()), Vec::new())
            }
            None => {
                return Err(PcapFileError::NotPcap {
                    path: path.to_owned(),
                    magic: word(input.seen(), 0, false),
                });
            }
        };
        Ok(Self {
            input,
            format,
            interfaces,
            given: 0,
        })
    }

    /// The next packet, or none at the end of the file.
    ///
    /// # Errors
    /// When the file ends within a record, a field makes no sense, or reading fails. The reader is then at an
    /// undefined place: do not go on.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, PcapFileError> {
        self.input.advance(std::mem::take(&mut self.given));
        let next = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.input)?,
            Format::PcapNg(pcapng) => pcapng.next(&mut self.input, &mut self.interfaces)?,
        };
        let Some(raw) = next else {
            return Ok(None);
        };
        self.given = raw.whole;
        let interface = &self.interfaces[raw.interface];
        Ok(Some(Record {
            ts_ns: raw.ts_ns,
            caplen: raw.caplen,
            len: raw.len,
            interface: raw.interface,
            name: interface.name.as_deref(),
            index: raw.index,
            fcs_len: raw.fcs_len.unwrap_or(interface.fcs_len),
            nanoseconds: interface.nanoseconds,
            link_type: interface.link_type,
            bytes: &self.input.seen()[raw.data_at..raw.data_at + raw.caplen as usize],
        }))
    }

    /// The interfaces described so far: all there are in a classic file; in pcapng more may follow.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Whether the time stamps of all interfaces described so far have nanoseconds.
    pub fn nanoseconds(&self) -> bool {
        self.interfaces.iter().all(|i| i.nanoseconds)
    }

    /// Packets that were passed over because the file has no time for them (pcapng's simple packet blocks).
    pub fn untimed(&self) -> u64 {
        match &self.format {
            Format::Classic(_) => 0,
            Format::PcapNg(pcapng) => pcapng.untimed,
        }
    }

    /// Bytes of the file that were read so far, before decompression; up to one buffer more than was used.
    pub fn consumed(&self) -> u64 {
        self.input.consumed()
    }

    /// Bytes read so far, after decompression, up to the end of the last whole record.
    pub fn offset(&self) -> u64 {
        self.input.offset() + self.given as u64
    }
}

/// The 32-bit word at `at`: little-endian, or swapped.
fn word(bytes: &[u8], at: usize, swapped: bool) -> u32 {
    let word = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if swapped { word.swap_bytes() } else { word }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    type Packet = (u64, u32, Vec<u8>);

    fn packets() -> impl Strategy<Value = Vec<Packet>> {
        let packet = (
            0u64..(1 << 61),
            0u32..2000,
            prop::collection::vec(any::<u8>(), 0..100),
        );
        prop::collection::vec(packet, 0..20)
    }

    fn raw(packets: &[Packet], big: bool, nano: bool) -> Vec<u8> {
        let word = |w: u32| {
            if big {
                w.to_be_bytes()
            } else {
                w.to_le_bytes()
            }
        };
        let mut out = Vec::new();
        out.extend(word(if nano { MAGIC_NANO } else { MAGIC_MICRO }));
        out.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
        out.extend([0; 8]);
        out.extend(word(65535));
        out.extend(word(1));
        for (ts, len, bytes) in packets {
            let unit = if nano { 1 } else { 1000 };
            out.extend(word((ts / 1_000_000_000) as u32));
            out.extend(word((ts % 1_000_000_000 / unit) as u32));
            out.extend(word(bytes.len() as u32));
            out.extend(word(*len));
            out.extend(bytes);
        }
        out
    }

    /// Plain, under zstd, under gzip, or as two members of gzip one behind the other.
    fn packed(bytes: Vec<u8>, how: usize) -> Vec<u8> {
        let gzip = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        match how {
            0 => bytes,
            1 => zstd::encode_all(&bytes[..], 1).unwrap(),
            2 => gzip(&bytes),
            _ => {
                let (a, b) = bytes.split_at(bytes.len() / 2);
                [gzip(a), gzip(b)].concat()
            }
        }
    }

    fn read_all(mut reader: Reader) -> Result<Vec<Packet>, PcapFileError> {
        let mut out = Vec::new();
        while let Some(record) = reader.read()? {
            assert_eq!(record.caplen as usize, record.bytes.len());
            out.push((record.ts_ns, record.len, record.bytes.to_vec()));
        }
        Ok(out)
    }

    fn parse(bytes: Vec<u8>) -> Result<Vec<Packet>, PcapFileError> {
        read_all(Reader::new(Cursor::new(bytes), Path::new("x.pcap"))?)
    }

    proptest! {
        #[test]
        fn reads_every_kind(packets in packets(), big: bool, nano: bool, pack in 0usize..4) {
            let bytes = packed(raw(&packets, big, nano), pack);
            let expected: Vec<_> = packets.into_iter()
                .map(|(ts, len, b)| (if nano { ts } else { ts / 1000 * 1000 }, len, b)).collect();
            prop_assert_eq!(parse(bytes).unwrap(), expected);
        }

        #[test]
        fn what_the_writer_writes_is_read(packets in packets()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a.pcap.zst");
            let mut writer = Writer::create(&path, 1, 128).unwrap();
            for (ts, len, bytes) in &packets {
                writer.record(*ts, *len, bytes).unwrap();
            }
            prop_assert!(!path.exists());
            writer.finish().unwrap();
            let reader = Reader::open(&path).unwrap();
            prop_assert!(reader.nanoseconds());
            let interface = &reader.interfaces()[0];
            prop_assert_eq!((interface.link_type, interface.snaplen), (1, 128));
            prop_assert_eq!(read_all(reader).unwrap(), packets);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }

        #[test]
        fn plain_files_are_written_too(packets in packets(), ng: bool) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            let format = if ng { FileFormat::PcapNg } else { FileFormat::Pcap };
            let about = About { link_type: 1, snaplen: 128, interface: "eth0" };
            let mut writer = Writer::create_as(&path, format, about).unwrap();
            for (ts, len, bytes) in &packets {
                writer.record(*ts, *len, bytes).unwrap();
            }
            writer.tell(&Statistics { at_ns: 5, received: 7, ..Statistics::default() });
            writer.finish().unwrap();
            let mut reader = Reader::open(&path).unwrap();
            let mut read = Vec::new();
            while let Some(record) = reader.read().unwrap() {
                read.push((record.ts_ns, record.len, record.bytes.to_vec()));
            }
            prop_assert_eq!(read, packets);
            if let [interface] = reader.interfaces() {
                prop_assert_eq!((interface.link_type, interface.snaplen), (1, 128));
                prop_assert!(interface.nanoseconds);
                prop_assert_eq!(interface.name.as_deref(), ng.then_some("eth0"));
            } else {
                prop_assert!(false, "{:?}", reader.interfaces());
            }
        }

        #[test]
        fn a_cut_file_is_never_taken_for_whole(packets in packets(), cut: prop::sample::Index, pack in 0usize..3) {
            let mut bytes = packed(raw(&packets, false, true), pack);
            bytes.truncate(cut.index(bytes.len()));
            match parse(bytes) {
                // Without compression a cut between records cannot be seen.
                Ok(some) => prop_assert!(pack == 0 && packets.starts_with(&some) && some.len() < packets.len()),
                Err(PcapFileError::Truncated { .. }) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn modified_pcap_is_read_with_its_interfaces(packets in packets(), big: bool) {
            let word = |w: u32| if big { w.to_be_bytes() } else { w.to_le_bytes() };
            let mut bytes = raw(&[], big, false);
            bytes[..4].copy_from_slice(&word(MAGIC_MODIFIED));
            for (at, (ts, len, data)) in packets.iter().enumerate() {
                let ts = ts / 1000;
                for field in [(ts / 1_000_000) as u32, (ts % 1_000_000) as u32, data.len() as u32, *len, at as u32, 0] {
                    bytes.extend(word(field));
                }
                bytes.extend(data);
            }
            let mut reader = Reader::new(Cursor::new(bytes), Path::new("x.pcap")).unwrap();
            for (at, (ts, len, data)) in packets.iter().enumerate() {
                let record = reader.read().unwrap().unwrap();
                prop_assert_eq!((record.ts_ns, record.len, record.bytes), (ts / 1000 * 1000, *len, &data[..]));
                prop_assert_eq!(record.index, Some(at as u32));
            }
            prop_assert!(reader.read().unwrap().is_none());
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..4) {
            let heads: [&[u8]; 4] = [b"", &raw(&[], false, true), &[0x28, 0xb5, 0x2f, 0xfd], &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]];
            let mut all = heads[kind].to_vec();
            all.extend(bytes);
            if let Err(error) = parse(all) {
                prop_assert!(error.to_string().contains("x.pcap"));
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: Vec<u8>| parse(bytes).unwrap_err().to_string();
        insta::assert_snapshot!(error(b"hello world".to_vec()), @"x.pcap is not a pcap or pcapng file: it begins with 0x6c6c6568; give a file that tcpdump, Wireshark or vifbench wrote, plain, under gzip or under zstd");
        insta::assert_snapshot!(error(vec![0x0a, 0x0d, 0x0d, 0x0a, 0, 0]), @"the capture x.pcap ends in the middle of a block header at byte 0; it was cut off: capture again");
        insta::assert_snapshot!(error(vec![]), @"the capture x.pcap ends in the middle of the file header at byte 0; it was cut off: capture again");
        let mut bytes = raw(&[(1, 60, vec![0; 60])], false, true);
        bytes.extend([0; 3]);
        insta::assert_snapshot!(error(bytes), @"the capture x.pcap ends in the middle of a record header at byte 100; it was cut off: capture again");
        let mut bytes = raw(&[], false, true);
        bytes.extend([0xff; 16]);
        insta::assert_snapshot!(error(bytes), @"the capture x.pcap is damaged at byte 24: its time stamp has 4294967295 parts of a second; capture again");
    }

    #[test]
    fn header_fields_are_read_for_what_they_mean() {
        let with = |link: u32, snaplen: u32| {
            let mut bytes = raw(&[], false, true);
            bytes[16..20].copy_from_slice(&snaplen.to_le_bytes());
            bytes[20..24].copy_from_slice(&link.to_le_bytes());
            let reader = Reader::new(Cursor::new(bytes), Path::new("x.pcap")).unwrap();
            let interface = &reader.interfaces()[0];
            (interface.link_type, interface.fcs_len, interface.snaplen)
        };
        // The FCS has two units of 16 bits; without the flag its length means nothing; reserved bits mean nothing.
        assert_eq!(with(0x2400_0001, 96), (1, 4, 96));
        assert_eq!(with(0x2000_0001, 96), (1, 0, 96));
        assert_eq!(with(0x0bff_0114, 0), (276, 0, MAX_CAPLEN));
    }

    #[test]
    fn a_whole_second_in_the_fraction_is_carried() {
        for (nano, unit) in [(false, 1_000_000u32), (true, 1_000_000_000)] {
            let mut bytes = raw(&[(5_000_000_000, 60, vec![1])], false, nano);
            bytes[28..32].copy_from_slice(&unit.to_le_bytes());
            assert_eq!(parse(bytes).unwrap()[0].0, 6_000_000_000);
        }
    }

    #[test]
    fn an_unfinished_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::create(&dir.path().join("a.pcap.zst"), 1, 128).unwrap();
        writer.record(1, 2, &[3]).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_is_told_and_leaves_nothing_with_the_name() {
        // Larger than the spool, so that writing fails in the middle, onto a device that is always full.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pcap.zst");
        std::os::unix::fs::symlink("/dev/full", dir.path().join("a.pcap.zst.part")).unwrap();
        let mut writer = Writer::create(&path, 1, 128).unwrap();
        let mut noise = 1u64;
        let mut result = Ok(());
        for ts in 0..200_000 {
            let bytes: Vec<u8> = (0..12)
                .flat_map(|_| {
                    noise = noise
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    noise.to_be_bytes()
                })
                .collect();
            result = writer.record(ts, 96, &bytes);
            if result.is_err() {
                break;
            }
        }
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(writer);
        assert!(!path.exists());
    }
}
