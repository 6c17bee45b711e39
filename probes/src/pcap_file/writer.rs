//! The writer: nanosecond pcap under zstd, which gets its name only when it is whole.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::MAGIC_NANO;

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
