//! Capture files: a reader of what anyone wrote, and a writer of what vifbench keeps.
//!
//! The reader takes classic pcap in micro- and nanoseconds and in both byte orders, plain or under zstd.
//! The writer makes nanosecond pcap under zstd, and gives the file its name only when it is whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// First word of a pcap file with microseconds.
pub const MAGIC_MICRO: u32 = 0xa1b2_c3d4;
/// First word of a pcap file with nanoseconds.
pub const MAGIC_NANO: u32 = 0xa1b2_3c4d;
const MAGIC_PCAPNG: u32 = 0x0a0d_0d0a;
const MAGIC_ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
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
        "{path} is not a pcap file: it begins with {magic:#010x}; give a file that tcpdump or vifbench wrote"
    )]
    NotPcap {
        /// The file.
        path: PathBuf,
        /// Its first four bytes, as a little-endian word.
        magic: u32,
    },
    /// It is of the newer format.
    #[error("{path} is a pcapng file, which is not read; convert it: editcap -F nsecpcap IN OUT")]
    PcapNg {
        /// The file.
        path: PathBuf,
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
    /// The frame, as far as it was captured.
    pub bytes: &'a [u8],
}

/// Reads a capture file record by record.
pub struct Reader {
    path: PathBuf,
    input: Box<dyn Read>,
    offset: u64,
    swapped: bool,
    nanoseconds: bool,
    link_type: u32,
    snaplen: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .field("offset", &self.offset)
            .field("nanoseconds", &self.nanoseconds)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a capture file; zstd is recognised by its first bytes, not by the file's name.
    ///
    /// # Errors
    /// When the file cannot be read, is not pcap, or ends within its header.
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
        let at_start = |error| PcapFileError::Read {
            path: path.to_owned(),
            offset: 0,
            error,
        };
        let mut input = BufReader::with_capacity(1 << 16, input);
        let zstd = input.fill_buf().map_err(at_start)?.starts_with(&MAGIC_ZSTD);
        let input: Box<dyn Read> = if zstd {
            let decoder = zstd::Decoder::with_buffer(input).map_err(at_start)?;
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        } else {
            Box::new(input)
        };
        let mut reader = Self {
            path: path.to_owned(),
            input,
            offset: 0,
            swapped: false,
            nanoseconds: false,
            link_type: 0,
            snaplen: 0,
            buffer: Vec::new(),
        };
        reader.read_header()?;
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<(), PcapFileError> {
        let mut header = [0; FILE_HEADER];
        let got = self.fill(&mut header)?;
        let first = [header[0], header[1], header[2], header[3]];
        let magic = u32::from_le_bytes(first);
        let known = |magic| match magic {
            MAGIC_MICRO => Some(false),
            MAGIC_NANO => Some(true),
            _ => None,
        };
        if got < 4 {
            return Err(self.truncated("the file header"));
        }
        (self.swapped, self.nanoseconds) = match (known(magic), known(magic.swap_bytes())) {
            (Some(nanoseconds), _) => (false, nanoseconds),
            (None, Some(nanoseconds)) => (true, nanoseconds),
            (None, None) if magic == MAGIC_PCAPNG => {
                return Err(PcapFileError::PcapNg {
                    path: self.path.clone(),
                });
            }
            (None, None) => {
                return Err(PcapFileError::NotPcap {
                    path: self.path.clone(),
                    magic,
                });
            }
        };
        if got < FILE_HEADER {
            return Err(self.truncated("the file header"));
        }
        self.snaplen = self.word(&header, 16);
        // The upper bits tell about the FCS.
        self.link_type = self.word(&header, 20) & 0x0fff_ffff;
        self.offset = FILE_HEADER as u64;
        Ok(())
    }

    /// The next packet, or none at the end of the file.
    ///
    /// # Errors
    /// When the file ends within a record, a field makes no sense, or reading fails. The reader is then at an
    /// undefined place: do not go on.
    pub fn read(&mut self) -> Result<Option<Record<'_>>, PcapFileError> {
        let mut header = [0; RECORD_HEADER];
        match self.fill(&mut header)? {
            0 => return Ok(None),
            RECORD_HEADER => {}
            _ => return Err(self.truncated("a record header")),
        }
        let (seconds, fraction) = (self.word(&header, 0), self.word(&header, 4));
        let (caplen, len) = (self.word(&header, 8), self.word(&header, 12));
        let (per_second, unit_ns) = if self.nanoseconds {
            (1_000_000_000, 1)
        } else {
            (1_000_000, 1000)
        };
        if fraction >= per_second {
            return Err(self.damaged(format!("its time stamp has {fraction} parts of a second")));
        }
        if caplen > MAX_CAPLEN {
            return Err(self.damaged(format!("it claims {caplen} captured bytes")));
        }
        self.buffer.resize(caplen as usize, 0);
        let mut buffer = std::mem::take(&mut self.buffer);
        let got = self.fill(&mut buffer);
        self.buffer = buffer;
        if got? < caplen as usize {
            return Err(self.truncated("a packet"));
        }
        self.offset += (RECORD_HEADER + caplen as usize) as u64;
        Ok(Some(Record {
            ts_ns: u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit_ns,
            caplen,
            len,
            bytes: &self.buffer,
        }))
    }

    /// Whether time stamps have nanoseconds.
    pub fn nanoseconds(&self) -> bool {
        self.nanoseconds
    }
    /// The pcap link type; 1 is Ethernet.
    pub fn link_type(&self) -> u32 {
        self.link_type
    }
    /// The most that was kept of a packet, by the file header.
    pub fn snaplen(&self) -> u32 {
        self.snaplen
    }
    /// Bytes read so far, after decompression, up to the end of the last whole record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Fills the buffer as far as the file goes.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, PcapFileError> {
        let mut got = 0;
        while got < buffer.len() {
            match self.input.read(&mut buffer[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // zstd says so when its last frame is not whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.truncated("its compressed data"));
                }
                Err(error) => {
                    let offset = self.offset + got as u64;
                    return Err(PcapFileError::Read {
                        path: self.path.clone(),
                        offset,
                        error,
                    });
                }
            }
        }
        Ok(got)
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let word = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if self.swapped {
            word.swap_bytes()
        } else {
            word
        }
    }

    fn truncated(&self, what: &'static str) -> PcapFileError {
        PcapFileError::Truncated {
            path: self.path.clone(),
            offset: self.offset,
            what,
        }
    }

    fn damaged(&self, why: String) -> PcapFileError {
        PcapFileError::Damaged {
            path: self.path.clone(),
            offset: self.offset,
            why,
        }
    }
}

/// How much is kept uncompressed in memory: small trials are compressed after they ended, so that compression
/// does not take CPU time from what is measured.
const SPOOL: usize = 8 << 20;

/// Writes a nanosecond pcap file under zstd. It lies beside its name as `*.part` until it is whole, and is
/// removed when the writer is dropped before.
pub struct Writer {
    path: PathBuf,
    part: PathBuf,
    spool: Vec<u8>,
    encoder: Option<zstd::Encoder<'static, File>>,
    written: u64,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.path)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Creates the file.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path, link_type: u32, snaplen: u32) -> io::Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let mut encoder = zstd::Encoder::new(File::create(&part)?, 1)?;
        encoder.include_checksum(true)?;
        let mut spool = Vec::with_capacity(SPOOL);
        spool.extend(MAGIC_NANO.to_le_bytes());
        spool.extend([2, 0, 4, 0]); // version 2.4
        spool.extend([0; 8]); // time zone and accuracy, always zero
        spool.extend(snaplen.to_le_bytes());
        spool.extend(link_type.to_le_bytes());
        Ok(Self {
            path: path.to_owned(),
            part,
            spool,
            encoder: Some(encoder),
            written: 0,
        })
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// When the spool had to be written and that failed, or the packet cannot be told in the format.
    pub fn record(&mut self, ts_ns: u64, len: u32, bytes: &[u8]) -> io::Result<()> {
        let seconds = u32::try_from(ts_ns / 1_000_000_000)
            .map_err(|_| io::Error::other("pcap files cannot tell times after 2106"))?;
        let caplen = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        for word in [seconds, (ts_ns % 1_000_000_000) as u32, caplen, len] {
            self.spool.extend(word.to_le_bytes());
        }
        self.spool.extend(bytes);
        self.written += 1;
        if self.spool.len() >= SPOOL {
            self.drain()?;
        }
        Ok(())
    }

    /// Packets added.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the rest and gives the file its name.
    ///
    /// # Errors
    /// When the file cannot be written (a full disk) or renamed; nothing of it is then left.
    pub fn finish(mut self) -> io::Result<()> {
        self.drain()?;
        if let Some(encoder) = self.encoder.take() {
            // A file system that allocates late tells only now that it is full.
            encoder.finish()?.sync_all()?;
        }
        std::fs::rename(&self.part, &self.path)
    }

    fn drain(&mut self) -> io::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            encoder.write_all(&self.spool)?;
        }
        self.spool.clear();
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `finish` it has its name; otherwise it must not lie about as if it were a capture.
        match std::fs::remove_file(&self.part) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("cannot remove {}: {error}", self.part.display()),
        }
    }
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
        fn reads_every_kind(packets in packets(), big: bool, nano: bool, compressed: bool) {
            let mut bytes = raw(&packets, big, nano);
            if compressed {
                bytes = zstd::encode_all(&bytes[..], 1).unwrap();
            }
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
            prop_assert_eq!((reader.link_type(), reader.snaplen()), (1, 128));
            prop_assert_eq!(read_all(reader).unwrap(), packets);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }

        #[test]
        fn a_cut_file_is_never_taken_for_whole(packets in packets(), cut: prop::sample::Index, compressed: bool) {
            let mut bytes = raw(&packets, false, true);
            if compressed {
                bytes = zstd::encode_all(&bytes[..], 1).unwrap();
            }
            bytes.truncate(cut.index(bytes.len()));
            match parse(bytes) {
                // Without compression a cut between records cannot be seen.
                Ok(some) => prop_assert!(!compressed && packets.starts_with(&some) && some.len() < packets.len()),
                Err(PcapFileError::Truncated { .. }) => {}
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..3) {
            let mut all = [&b""[..], &raw(&[], false, true), &MAGIC_ZSTD[..]][kind].to_vec();
            all.extend(bytes);
            if let Err(error) = parse(all) {
                prop_assert!(error.to_string().contains("x.pcap"));
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: Vec<u8>| parse(bytes).unwrap_err().to_string();
        insta::assert_snapshot!(error(b"hello world".to_vec()), @"x.pcap is not a pcap file: it begins with 0x6c6c6568; give a file that tcpdump or vifbench wrote");
        insta::assert_snapshot!(error(vec![0x0a, 0x0d, 0x0d, 0x0a, 0, 0]), @"x.pcap is a pcapng file, which is not read; convert it: editcap -F nsecpcap IN OUT");
        insta::assert_snapshot!(error(vec![]), @"the capture x.pcap ends in the middle of the file header at byte 0; it was cut off: capture again");
        let mut bytes = raw(&[(1, 60, vec![0; 60])], false, true);
        bytes.extend([0; 3]);
        insta::assert_snapshot!(error(bytes), @"the capture x.pcap ends in the middle of a record header at byte 100; it was cut off: capture again");
        let mut bytes = raw(&[], false, true);
        bytes.extend([0xff; 16]);
        insta::assert_snapshot!(error(bytes), @"the capture x.pcap is damaged at byte 24: its time stamp has 4294967295 parts of a second; capture again");
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
