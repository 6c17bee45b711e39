//! Bytes of a capture file, a stretch at a time, with the offset of each for messages.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::PcapFileError;

const MAGIC_ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How much is read at once.
const CHUNK: usize = 1 << 18;

/// A window over a file, plain or under zstd (recognised by its first bytes).
pub(super) struct Input {
    path: PathBuf,
    source: Box<dyn Read>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// File offset of `buffer[start]`, counted after decompression.
    offset: u64,
}

impl Input {
    pub(super) fn new(source: impl Read + 'static, path: &Path) -> Result<Self, PcapFileError> {
        let at_start = |error| PcapFileError::Read {
            path: path.to_owned(),
            offset: 0,
            error,
        };
        let mut source = BufReader::with_capacity(1 << 16, source);
        let zstd = source
            .fill_buf()
            .map_err(at_start)?
            .starts_with(&MAGIC_ZSTD);
        let source: Box<dyn Read> = if zstd {
            Box::new(zstd::Decoder::with_buffer(source).map_err(at_start)?)
        } else {
            Box::new(source)
        };
        Ok(Self {
            path: path.to_owned(),
            source,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            offset: 0,
        })
    }

    /// Makes `want` bytes visible, or as many as the file still has. Returns how many are.
    pub(super) fn ensure(&mut self, want: usize) -> Result<usize, PcapFileError> {
        if self.end - self.start >= want {
            return Ok(self.end - self.start);
        }
        self.refill(want)
    }

    #[cold]
    fn refill(&mut self, want: usize) -> Result<usize, PcapFileError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < want {
            self.buffer.resize(want.next_multiple_of(CHUNK), 0);
        }
        while self.end < want {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // zstd says so when its last frame is not whole.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.truncated("its compressed data"));
                }
                Err(error) => {
                    return Err(PcapFileError::Read {
                        path: self.path.clone(),
                        offset: self.offset + self.end as u64,
                        error,
                    });
                }
            }
        }
        Ok(self.end)
    }

    /// What is visible; at least what was last ensured, but for the end of the file.
    pub(super) fn seen(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Goes on by bytes that are visible.
    pub(super) fn advance(&mut self, by: usize) {
        debug_assert!(by <= self.end - self.start);
        self.start += by;
        self.offset += by as u64;
    }

    /// Goes on by any number of bytes without keeping them; false where the file ends before.
    pub(super) fn skip(&mut self, mut by: usize) -> Result<bool, PcapFileError> {
        while by > 0 {
            let step = by.min(self.ensure(by.min(CHUNK))?);
            if step == 0 {
                return Ok(false);
            }
            self.advance(step);
            by -= step;
        }
        Ok(true)
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn truncated(&self, what: &'static str) -> PcapFileError {
        PcapFileError::Truncated {
            path: self.path.clone(),
            offset: self.offset,
            what,
        }
    }

    pub(super) fn damaged(&self, why: String) -> PcapFileError {
        PcapFileError::Damaged {
            path: self.path.clone(),
            offset: self.offset,
            why,
        }
    }
}
