//! Ctrl-C (and SIGTERM): noted once, ends every wait; a second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;
use vifbench_wait::Cancel;

use crate::exit::Exit;
use crate::output::stderr;

/// The handler could not be installed.
#[derive(Debug, Error)]
pub enum InterruptError {
    /// No signal handler.
    #[error("cannot catch Ctrl-C: {0}")]
    Handler(#[from] ctrlc::Error),
    /// No event descriptor.
    #[error("cannot make a cancellation token: {0}; is the limit of open files reached?")]
    Token(#[from] std::io::Error),
}

/// Installs the handler and gives the token that it cancels.
pub fn install() -> Result<Cancel, InterruptError> {
    let cancel = Cancel::new()?;
    let token = cancel.clone();
    let count = Arc::new(AtomicUsize::new(0));
    ctrlc::set_handler(move || {
        if count.fetch_add(1, Ordering::SeqCst) > 0 {
            // The user insists. The undo stacks are on disk.
            writeln!(
                stderr(),
                "interrupted again: ending at once; `vifbench undo HOST` restores what is left"
            );
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
        writeln!(stderr(), "interrupted: restoring the hosts");
        if let Err(error) = token.cancel() {
            writeln!(
                stderr(),
                "interrupted, but the waits could not be woken ({error}); press Ctrl-C again to end at once"
            );
        }
    })?;
    Ok(cancel)
}
