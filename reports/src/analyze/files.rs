//! Captures as they are given: files, and pipes, which are copied to a temporary file because they are read several times.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vifbench_wire::pcap_file::{PcapFileError, Reader};

use crate::error::ReportError;

/// Standard input, as a path.
const STDIN: &str = "-";
/// How much of a compressed capture comes out of a byte of file, at least.
const COMPRESSION: u64 = 10;

/// The error of a capture that cannot be read.
pub(super) fn damaged(path: &Path, error: PcapFileError) -> ReportError {
    ReportError::Capture {
        path: path.to_owned(),
        reason: error.to_string(),
        source: Some(Box::new(error)),
    }
}

/// A capture that can be read from its beginning as often as needed.
#[derive(Debug, Clone)]
pub(super) struct CaptureFile {
    /// As the user named it.
    pub path: PathBuf,
    /// Bytes of the file.
    pub size: u64,
    /// The copy of what came through a pipe; it has no name and goes with the last reader.
    copy: Option<Arc<File>>,
}

/// A reader of a file at a place of its own.
struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl CaptureFile {
    /// Both captures of a pair. Pipes are read at once, so that one program may write both.
    pub fn pair(tx: &Path, rx: &Path) -> Result<(Self, Self), ReportError> {
        if tx == rx {
            let both = Self::open(tx)?;
            return Ok((both.clone(), both));
        }
        std::thread::scope(|scope| {
            let second = scope.spawn(|| Self::open(rx));
            let first = Self::open(tx);
            let second = second
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((first?, second?))
        })
    }

    fn open(path: &Path) -> Result<Self, ReportError> {
        let stdin = path == Path::new(STDIN);
        let file = Self {
            path: path.to_owned(),
            size: 0,
            copy: None,
        };
        let failed = |what: &str, error: io::Error| ReportError::Capture {
            path: path.to_owned(),
            reason: format!("{what}: {error}"),
            source: None,
        };
        // What is not there is reported by the reader, with its words.
        let Some(meta) = (if stdin {
            None
        } else {
            std::fs::metadata(path).ok()
        }) else {
            return if stdin {
                Self::copied(file, io::stdin().lock())
                    .map_err(|e| failed("standard input cannot be copied to a temporary file", e))
            } else {
                Ok(file)
            };
        };
        if meta.is_file() || meta.is_dir() {
            return Ok(Self {
                size: meta.len(),
                ..file
            });
        }
        let pipe = File::open(path).map_err(|e| failed("the pipe cannot be opened", e))?;
        Self::copied(file, pipe)
            .map_err(|e| failed("the pipe cannot be copied to a temporary file", e))
    }

    fn copied(file: Self, mut from: impl Read) -> io::Result<Self> {
        let mut copy = tempfile::tempfile()?;
        let size = io::copy(&mut from, &mut copy)?;
        Ok(Self {
            size,
            copy: Some(Arc::new(copy)),
            ..file
        })
    }

    pub fn reader(&self) -> Result<Reader, ReportError> {
        match &self.copy {
            None => Reader::open(&self.path),
            Some(file) => {
                let from = From {
                    file: Arc::clone(file),
                    at: 0,
                };
                Reader::new(from, &self.path)
            }
        }
        .map_err(|error| damaged(&self.path, error))
    }

    /// About how many packets it holds, by the bytes that the first ones take. `offset` and `consumed`: what a reader
    /// has read of it by then, after decompression and before.
    pub fn packets(&self, seen: u64, offset: u64, consumed: u64) -> u64 {
        let each = (offset / seen.max(1)).max(1);
        let packed = if offset > consumed { COMPRESSION } else { 1 };
        self.size.saturating_mul(packed) / each
    }
}
