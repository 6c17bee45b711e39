//! Bytes of a capture file, a stretch at a time, with the offset of each for messages.

use std::cell::Cell;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use super::PcapFileError;

const MAGIC_ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Gzip with its one method, deflate.
const MAGIC_GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// How much is read at once.
const CHUNK: usize = 1 << 18;

/// Counts what is read of a file.
struct Counted<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.set(self.read.get() + n as u64);
        Ok(n)
    }
}

/// A window over a file, plain or compressed (recognised by its first bytes).
pub(super) struct Input {
    path: PathBuf,
    consumed: Rc<Cell<u64>>,
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
        let consumed = Rc::new(Cell::new(0));
        let counted = Counted {
            inner: source,
            read: Rc::clone(&consumed),
        };
        let mut source = BufReader::with_capacity(1 << 16, counted);
        // A pipe may hand out its first bytes one by one.
        let mut head = Vec::with_capacity(4);
        source
            .by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(at_start)?;
        let (zstd, gzip) = (head.starts_with(&MAGIC_ZSTD), head.starts_with(&MAGIC_GZIP));
        let source = io::Cursor::new(head).chain(source);
        let source: Box<dyn Read> = if zstd {
            Box::new(zstd::Decoder::with_buffer(source).map_err(at_start)?)
        } else if gzip {
            Box::new(MultiGzDecoder::new(source))
        } else {
            Box::new(source)
        };
        Ok(Self {
            path: path.to_owned(),
            consumed,
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
                // zstd and gzip report this when their last frame is not complete.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.truncated("its compressed data"));
                }
                // The system did not refuse: gzip or zstd did not find what they expect.
                Err(error) if error.raw_os_error().is_none() => {
                    return Err(self.damaged(format!("its compressed data: {error}")));
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

    pub(super) fn consumed(&self) -> u64 {
        self.consumed.get()
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
