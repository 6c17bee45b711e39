//! The token that ends every wait at once: Ctrl-C on the controller, the end of a trial in a probe.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// Ends every wait that uses it, now and from then on.
///
/// Clones share one state. To restore a host after an interruption, use a connection that was made without the token.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug)]
struct CancelState {
    cancelled: AtomicBool,
    /// Becomes readable on cancellation and stays so, which wakes every poll that holds it.
    event: OwnedFd,
    /// What cancels the parent cancels this one too.
    parent: Option<Cancel>,
}

impl Cancel {
    /// A token that is not cancelled.
    ///
    /// # Errors
    /// When the kernel has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Self::below(None)
    }

    /// A token that is cancelled together with this one, and can also be cancelled alone.
    ///
    /// # Errors
    /// When the kernel has no file descriptor left.
    pub fn child(&self) -> io::Result<Self> {
        Self::below(Some(self.clone()))
    }

    fn below(parent: Option<Self>) -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(CancelState {
            cancelled: AtomicBool::new(false),
            event,
            parent,
        })))
    }

    /// Ends every wait. Safe to call from any thread and more than once.
    ///
    /// # Errors
    /// When the waiting threads could not be woken; they still see the token at their next step.
    pub fn cancel(&self) -> io::Result<()> {
        self.0.cancelled.store(true, Ordering::SeqCst);
        rustix::io::write(&self.0.event, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    /// Takes back a cancellation of this token; a cancellation of its parent stays.
    ///
    /// # Errors
    /// When the kernel refuses to empty the event.
    pub fn reset(&self) -> io::Result<()> {
        match rustix::io::read(&self.0.event, &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.0.cancelled.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the token or one that it was made from is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.line()
            .any(|token| token.0.cancelled.load(Ordering::SeqCst))
    }

    /// The token and those that it was made from.
    fn line(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |token| token.0.parent.as_ref())
    }

    /// Descriptors of which one becomes readable when the token is cancelled.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.line().map(|token| token.0.event.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_child_ends_with_its_parent_and_by_itself() {
        let parent = Cancel::new().expect("eventfd");
        let child = parent.child().expect("eventfd");
        child.cancel().expect("wake");
        assert!(child.is_cancelled() && !parent.is_cancelled());
        assert!(child.wait(Duration::from_secs(60)));
        child.reset().expect("reset");
        assert!(!child.is_cancelled());
        assert!(!child.wait(Duration::from_millis(1)));
        parent.cancel().expect("wake");
        assert!(child.wait(Duration::from_secs(60)));
        child.reset().expect("reset");
        assert!(child.is_cancelled(), "the parent's stays");
    }
}
