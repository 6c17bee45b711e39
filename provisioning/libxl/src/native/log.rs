//! libxl's messages, kept in memory so that errors can quote them.

use std::ffi::{c_char, c_void};
use std::ptr;

use libxl_sys::{XTL_STDIOSTREAM_HIDE_PROGRESS, XTL_WARN, Xenlight, xentoollog_logger};

/// A stream in memory and the logger that writes to it.
#[derive(Debug)]
pub(super) struct Log {
    library: &'static Xenlight,
    logger: *mut xentoollog_logger,
    stream: *mut libc::FILE,
    /// Where the C library keeps the text: it writes to this place whenever the stream is flushed.
    text: Box<Text>,
}

#[derive(Debug)]
struct Text {
    start: *mut c_char,
    length: libc::size_t,
}

impl Log {
    /// None when memory is short.
    pub(super) fn new(library: &'static Xenlight) -> Option<Self> {
        let mut text = Box::new(Text {
            start: ptr::null_mut(),
            length: 0,
        });
        // SAFETY: both places live in a box of this struct, so they stay where they are until after fclose (in drop).
        let stream = unsafe { libc::open_memstream(&raw mut text.start, &raw mut text.length) };
        if stream.is_null() {
            return None;
        }
        // SAFETY: the stream is open. bindgen's FILE and libc's are the same opaque type of the C library.
        let logger = unsafe {
            library.xtl_createlogger_stdiostream(
                stream.cast(),
                XTL_WARN,
                XTL_STDIOSTREAM_HIDE_PROGRESS,
            )
        };
        // A stdiostream logger begins with the general logger; C callers cast in the same way.
        let log = Self {
            library,
            logger: logger.cast(),
            stream,
            text,
        };
        // Dropping what was made so far closes the stream.
        if log.logger.is_null() {
            None
        } else {
            Some(log)
        }
    }

    /// To be handed to libxl. Valid as long as this log.
    pub(super) fn logger(&self) -> *mut xentoollog_logger {
        self.logger
    }

    /// What was said since the last time.
    pub(super) fn take(&self) -> String {
        // SAFETY: the stream is open; after a flush, POSIX puts the start of the text and its length into our box,
        // valid until the next write. Rewinding lets the next message overwrite this one.
        unsafe {
            if libc::fflush(self.stream) != 0 {
                return String::new();
            }
            // The C library wrote behind the compiler's back.
            let Text { start, length } = ptr::read_volatile(&raw const *self.text);
            let text = if start.is_null() {
                String::new()
            } else {
                String::from_utf8_lossy(std::slice::from_raw_parts(start.cast::<u8>(), length))
                    .into_owned()
            };
            libc::rewind(self.stream);
            text
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // SAFETY: libxl's context was freed before (it is dropped first), so nobody logs any more. The logger does not
        // close the stream, fclose does; the text is ours to free after that.
        unsafe {
            if !self.logger.is_null() {
                self.library.xtl_logger_destroy(self.logger);
            }
            libc::fclose(self.stream);
            libc::free(self.text.start.cast::<c_void>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_said_and_forgets_what_was_taken() {
        let log =
            Log::new(&super::super::library().expect("libxen-dev is installed").0).expect("memory");
        let say = |text: &std::ffi::CStr| {
            // SAFETY: the stream is open and the text ends with a zero.
            assert!(unsafe { libc::fputs(text.as_ptr(), log.stream) } >= 0);
        };
        assert_eq!(log.take(), "");
        say(c"libxl: error: a long first message\n");
        assert_eq!(log.take(), "libxl: error: a long first message\n");
        assert_eq!(log.take(), "");
        say(c"short\n");
        assert_eq!(log.take(), "short\n");
    }
}
