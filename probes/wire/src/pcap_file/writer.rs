//! The writer: nanosecond pcap or pcapng, plain or under zstd, which gets its name only when it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::MAGIC_NANO;

/// How much is kept uncompressed in memory: small trials are compressed after they ended, so that compression
/// does not take CPU time from what is measured.
const SPOOL: usize = 8 << 20;

/// What a capture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileFormat {
    /// Nanosecond pcap under zstd: small, and what the run store keeps.
    #[default]
    #[serde(rename = "pcap.zst")]
    PcapZst,
    /// Nanosecond pcap: costs least to write.
    Pcap,
    /// pcapng, which also tells the interface's name and the drops.
    PcapNg,
}

impl FileFormat {
    /// The end of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            Self::PcapZst => "pcap.zst",
            Self::Pcap => "pcap",
            Self::PcapNg => "pcapng",
        }
    }
}

/// What a file says of the interface that it was captured on.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The pcap link type; 1 is Ethernet.
    pub link_type: u32,
    /// The most that is kept of a packet.
    pub snaplen: u32,
    /// Its name; pcap has no place for it.
    pub interface: &'a str,
}

/// What is told of a capture at its end; pcap has no place for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// When it ended, in nanoseconds since 1970.
    pub at_ns: u64,
    /// Packets that the filter let through.
    pub received: u64,
    /// Dropped by the interface.
    pub dropped_interface: u64,
    /// Dropped by the kernel for want of room in the ring.
    pub dropped_kernel: u64,
}

enum Output {
    Plain(File),
    Zstd(zstd::Encoder<'static, File>),
}

/// Writes a capture file. It lies beside its name as `*.part` until it is whole, and is removed when the writer is
/// dropped before.
pub struct Writer {
    path: PathBuf,
    part: PathBuf,
    format: FileFormat,
    spool: Vec<u8>,
    output: Option<Output>,
    written: u64,
    bytes: u64,
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
    /// Creates a nanosecond pcap file under zstd.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path, link_type: u32, snaplen: u32) -> io::Result<Self> {
        let about = About {
            link_type,
            snaplen,
            interface: "",
        };
        Self::create_as(path, FileFormat::PcapZst, about)
    }

    /// Creates a file of any format.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create_as(path: &Path, format: FileFormat, about: About<'_>) -> io::Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part)?;
        let output = match format {
            FileFormat::PcapZst => {
                let mut encoder = zstd::Encoder::new(file, 1)?;
                encoder.include_checksum(true)?;
                Output::Zstd(encoder)
            }
            FileFormat::Pcap | FileFormat::PcapNg => Output::Plain(file),
        };
        let mut spool = Vec::with_capacity(SPOOL);
        match format {
            FileFormat::PcapZst | FileFormat::Pcap => classic_header(&mut spool, about),
            FileFormat::PcapNg => ng::header(&mut spool, about),
        }
        Ok(Self {
            path: path.to_owned(),
            part,
            format,
            spool,
            output: Some(output),
            written: 0,
            bytes: 0,
        })
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// When the spool had to be written and that failed, or the packet cannot be told in the format.
    pub fn record(&mut self, ts_ns: u64, len: u32, bytes: &[u8]) -> io::Result<()> {
        let before = self.spool.len();
        let caplen = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        match self.format {
            FileFormat::PcapZst | FileFormat::Pcap => {
                let seconds = u32::try_from(ts_ns / 1_000_000_000)
                    .map_err(|_| io::Error::other("pcap files cannot tell times after 2106"))?;
                let words = [seconds, (ts_ns % 1_000_000_000) as u32, caplen, len];
                self.spool.extend_from_slice(&le_bytes::<4, 16>(words));
                self.spool.extend_from_slice(bytes);
            }
            FileFormat::PcapNg => ng::packet(&mut self.spool, ts_ns, len, caplen, bytes),
        }
        self.written += 1;
        self.bytes += (self.spool.len() - before) as u64;
        if self.spool.len() >= SPOOL {
            self.drain()?;
        }
        Ok(())
    }

    /// Packets added.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that the packets take before compression.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells what was counted, where the format has a place for it; once, behind the last packet.
    pub fn tell(&mut self, statistics: &Statistics) {
        if self.format == FileFormat::PcapNg {
            ng::statistics(&mut self.spool, statistics);
        }
    }

    /// Writes the rest and gives the file its name.
    ///
    /// # Errors
    /// When the file cannot be written (a full disk) or renamed; nothing of it is then left.
    pub fn finish(mut self) -> io::Result<()> {
        self.drain()?;
        let file = match self.output.take() {
            Some(Output::Zstd(encoder)) => Some(encoder.finish()?),
            Some(Output::Plain(file)) => Some(file),
            None => None,
        };
        if let Some(file) = file {
            // A file system that allocates late tells only now that it is full.
            file.sync_all()?;
        }
        std::fs::rename(&self.part, &self.path)
    }

    fn drain(&mut self) -> io::Result<()> {
        match &mut self.output {
            Some(Output::Zstd(encoder)) => encoder.write_all(&self.spool)?,
            Some(Output::Plain(file)) => file.write_all(&self.spool)?,
            None => {}
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

/// Words as they lie in the file; one copy instead of one a word, for this is done for each packet at line rate.
fn le_bytes<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn classic_header(out: &mut Vec<u8>, about: About<'_>) {
    out.extend(MAGIC_NANO.to_le_bytes());
    out.extend([2, 0, 4, 0]); // version 2.4
    out.extend([0; 8]); // time zone and accuracy, always zero
    out.extend(about.snaplen.to_le_bytes());
    out.extend(about.link_type.to_le_bytes());
}

/// Blocks of pcapng (draft-ietf-opsawg-pcapng), little-endian, one section with one interface.
mod ng {
    use super::{About, Statistics, le_bytes};

    const SECTION: u32 = 0x0a0d_0d0a;
    const INTERFACE: u32 = 1;
    const STATISTICS: u32 = 5;
    const PACKET: u32 = 6;
    const BYTE_ORDER: u32 = 0x1a2b_3c4d;
    /// `if_name`, `if_tsresol`.
    const NAME: u16 = 2;
    const RESOLUTION: u16 = 9;
    /// `isb_ifrecv`, `isb_ifdrop`, `isb_osdrop`.
    const RECEIVED: u16 = 4;
    const DROPPED_INTERFACE: u16 = 5;
    const DROPPED_KERNEL: u16 = 7;

    fn pad(out: &mut Vec<u8>, len: usize) {
        out.resize(out.len() + len.next_multiple_of(4) - len, 0);
    }

    fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let begin = out.len();
        out.extend(kind.to_le_bytes());
        out.extend([0; 4]);
        body(out);
        let length = (out.len() - begin + 4) as u32;
        out[begin + 4..begin + 8].copy_from_slice(&length.to_le_bytes());
        out.extend(length.to_le_bytes());
    }

    fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
        out.extend(code.to_le_bytes());
        out.extend((value.len() as u16).to_le_bytes());
        out.extend(value);
        pad(out, value.len());
    }

    pub(super) fn header(out: &mut Vec<u8>, about: About<'_>) {
        block(out, SECTION, |out| {
            out.extend(BYTE_ORDER.to_le_bytes());
            out.extend([1, 0, 0, 0]); // version 1.0
            out.extend([0xff; 8]); // length not told
        });
        block(out, INTERFACE, |out| {
            out.extend((about.link_type as u16).to_le_bytes());
            out.extend([0; 2]);
            out.extend(about.snaplen.to_le_bytes());
            if !about.interface.is_empty() {
                option(out, NAME, about.interface.as_bytes());
            }
            option(out, RESOLUTION, &[9]); // 10^-9 s
            option(out, 0, &[]);
        });
    }

    fn time(ts_ns: u64) -> [u8; 8] {
        let mut both = [0; 8];
        both[..4].copy_from_slice(&((ts_ns >> 32) as u32).to_le_bytes());
        both[4..].copy_from_slice(&(ts_ns as u32).to_le_bytes());
        both
    }

    pub(super) fn packet(out: &mut Vec<u8>, ts_ns: u64, len: u32, caplen: u32, bytes: &[u8]) {
        // Seven words before the packet, one behind it.
        let total = (28 + bytes.len().next_multiple_of(4) + 4) as u32;
        let (high, low) = ((ts_ns >> 32) as u32, ts_ns as u32);
        let interface = 0;
        let words = [PACKET, total, interface, high, low, caplen, len];
        out.extend_from_slice(&le_bytes::<7, 28>(words));
        out.extend_from_slice(bytes);
        pad(out, bytes.len());
        out.extend_from_slice(&total.to_le_bytes());
    }

    pub(super) fn statistics(out: &mut Vec<u8>, told: &Statistics) {
        block(out, STATISTICS, |out| {
            out.extend([0; 4]); // interface 0
            out.extend(time(told.at_ns));
            option(out, RECEIVED, &told.received.to_le_bytes());
            option(
                out,
                DROPPED_INTERFACE,
                &told.dropped_interface.to_le_bytes(),
            );
            option(out, DROPPED_KERNEL, &told.dropped_kernel.to_le_bytes());
            option(out, 0, &[]);
        });
    }
}
