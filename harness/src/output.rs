//! Everything that `vifbench` prints: results on standard output, progress and errors on standard error.
//!
//! No write panics. A reader that closes its pipe early wants no more, so the rest is dropped and the command goes on: its
//! exit code may be a verdict. Any other failure of standard output is an error, because results would be lost.
//! Standard error carries nothing that a result depends on, so its failures are ignored.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use thiserror::Error;

use crate::exit::Exit;

/// Results did not reach standard output.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The operating system refused to write.
    #[error(
        "cannot write to standard output: {0}; make room, or send the output elsewhere, and repeat the command"
    )]
    Write(#[source] io::Error),
    /// A result has no form in JSON.
    #[error("cannot print the result as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl OutputError {
    /// Which exit code says it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Write(_) => Exit::Output,
            Self::Json(_) => Exit::Internal,
        }
    }
}

/// The reader of standard output has closed its end.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Standard output, for `write!` and `writeln!`. What was written is out when the call returns.
#[derive(Debug)]
pub struct Stdout(io::Stdout);

/// Standard output.
pub fn stdout() -> Stdout {
    Stdout(io::stdout())
}

impl Stdout {
    /// What `write!` and `writeln!` call.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> Result<(), OutputError> {
        self.write_all(text.to_string().as_bytes())
    }

    /// Writes all bytes.
    pub fn write_all(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        taken(&CLOSED, || {
            let mut to = self.0.lock();
            to.write_all(bytes)?;
            to.flush()
        })
    }

    /// Writes a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), OutputError> {
        let value = serde_json::to_value(value)?;
        writeln!(self, "{value}")
    }
}

/// Prints the help or the version that the command line's parser made, with the colours of a terminal.
pub fn print_help(made: &clap::Error) -> Result<(), OutputError> {
    taken(&CLOSED, || {
        made.print()?;
        io::stdout().flush()
    })
}

/// Writes, unless the reader has closed its end before.
fn taken(closed: &AtomicBool, write: impl FnOnce() -> io::Result<()>) -> Result<(), OutputError> {
    if closed.load(Ordering::Relaxed) {
        return Ok(());
    }
    match write() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            closed.store(true, Ordering::Relaxed);
            Ok(())
        }
        written => written.map_err(OutputError::Write),
    }
}

/// Standard error, for `write!`, `writeln!` and the log. Never fails: nobody is left to hear of it.
#[derive(Debug)]
pub struct Stderr(io::Stderr);

/// Standard error.
pub fn stderr() -> Stderr {
    Stderr(io::stderr())
}

impl Stderr {
    /// What `write!` and `writeln!` call.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        // One write a line, so that lines of several threads do not mix.
        self.all(text.to_string().as_bytes());
    }

    fn all(&mut self, bytes: &[u8]) {
        let _: io::Result<()> = self.0.write_all(bytes);
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(kind: io::ErrorKind) -> impl FnOnce() -> io::Result<()> {
        move || Err(kind.into())
    }

    #[test]
    fn a_reader_that_went_away_is_quiet_and_is_written_to_no_more() {
        let closed = AtomicBool::new(false);
        taken(&closed, fails(io::ErrorKind::BrokenPipe)).expect("quiet");
        let mut written = false;
        let again = taken(&closed, || {
            written = true;
            Ok(())
        });
        again.expect("quiet");
        assert!(!written);
    }

    #[test]
    fn a_full_disk_is_an_error_with_its_own_exit_code() {
        let closed = AtomicBool::new(false);
        let error = taken(&closed, fails(io::ErrorKind::StorageFull)).expect_err("no room");
        assert_eq!(error.exit(), Exit::Output);
        let text = error.to_string();
        assert!(
            text.starts_with("cannot write to standard output: "),
            "{text}"
        );
        assert!(!closed.load(Ordering::Relaxed));
    }

    #[test]
    fn what_has_no_form_in_json_is_an_error_and_no_panic() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"x\xff"));
        let error = stdout().json(&path).expect_err("JSON holds Unicode only");
        assert_eq!(error.exit(), Exit::Internal);
    }
}
