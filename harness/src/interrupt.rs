//! Ctrl-C (and SIGTERM): noted once, ends every wait; a second one ends the program at once.

use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
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
    /// The kernel does not report the parent's end.
    #[error("cannot end with the process that started this one: {0}")]
    Parent(#[source] std::io::Error),
}

/// From now on the process is interrupted when its parent is gone, however that ended: else a run of a matrix would go on
/// alone. Returns whether `parent` still is its parent.
pub fn end_with(parent: i32) -> Result<bool, InterruptError> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|errno| InterruptError::Parent(errno.into()))?;
    Ok(getppid().is_some_and(|now| now.as_raw_nonzero().get() == parent))
}

/// Ctrl-C and SIGTERM end this child, for which the program only waits.
pub fn pass_on_to(child: &Child) -> Result<(), InterruptError> {
    let child = Pid::from_child(child);
    ctrlc::set_handler(move || {
        // It may have ended in between; then the program is about to end too.
        let _: rustix::io::Result<()> = kill_process(child, Signal::TERM);
    })?;
    Ok(())
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
