//! Waiting with an end: deadlines, and the token by which Ctrl-C ends every wait at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Ends every wait of the hosts that carry it, now and from then on.
///
/// Clones share one state. To restore a host after an interruption, use one that was made without the token.
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
    pub fn new() -> std::io::Result<Self> {
        Self::below(None)
    }

    /// A token that is cancelled with this one, and can be by itself.
    ///
    /// # Errors
    /// When the kernel has no file descriptor left.
    pub fn child(&self) -> std::io::Result<Self> {
        Self::below(Some(self.clone()))
    }

    fn below(parent: Option<Self>) -> std::io::Result<Self> {
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
    pub fn cancel(&self) -> std::io::Result<()> {
        self.0.cancelled.store(true, Ordering::SeqCst);
        rustix::io::write(&self.0.event, &1_u64.to_ne_bytes())?;
        Ok(())
    }

    /// Takes back a cancellation of this very token; its parent's stays.
    ///
    /// # Errors
    /// When the kernel refuses to empty the event.
    pub fn reset(&self) -> std::io::Result<()> {
        match rustix::io::read(&self.0.event, &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.0.cancelled.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Was it cancelled, or its parent?
    pub fn is_cancelled(&self) -> bool {
        self.line()
            .any(|token| token.0.cancelled.load(Ordering::SeqCst))
    }

    /// The token and those above it.
    fn line(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |token| token.0.parent.as_ref())
    }

    /// Waits for so long, or until cancelled; says whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        // Nothing but the token and the clock can end this wait, and either is told by the token.
        let _over = Limit::new(time, Some(self.clone())).wait(&[]);
        self.is_cancelled()
    }

    fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.line().map(|token| token.0.event.as_fd())
    }
}

/// How long one step may take, and what may end it early.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    /// As the caller gave it, for messages.
    pub total: Duration,
    end: Instant,
    cancel: Option<Cancel>,
}

/// Why a wait ended without what was waited for.
#[derive(Debug)]
pub(crate) enum Over {
    Deadline,
    Cancelled,
    Poll(std::io::Error),
}

impl Limit {
    /// Starts now.
    pub fn new(total: Duration, cancel: Option<Cancel>) -> Self {
        let now = Instant::now();
        // A deadline beyond what the clock can express is as good as a year.
        let end = now
            .checked_add(total)
            .unwrap_or(now + Duration::from_secs(365 * 86_400));
        Self { total, end, cancel }
    }

    /// The same end, or an earlier one that many from now.
    pub fn at_most(&self, total: Duration) -> Self {
        let mut shorter = Self::new(total, self.cancel.clone());
        if self.end < shorter.end {
            shorter.end = self.end;
            shorter.total = self.total;
        }
        shorter
    }

    /// Time left; zero when it is over.
    pub fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// An error when there is no time left or the token was cancelled.
    pub fn check(&self) -> Result<(), Over> {
        if self.cancel.as_ref().is_some_and(Cancel::is_cancelled) {
            return Err(Over::Cancelled);
        }
        if self.left().is_zero() {
            Err(Over::Deadline)
        } else {
            Ok(())
        }
    }

    /// Waits until one of `wanted` is ready, and marks which; an error when the time is over first.
    pub fn wait(&self, wanted: &[(BorrowedFd<'_>, PollFlags)]) -> Result<Vec<bool>, Over> {
        loop {
            self.check()?;
            let mut fds: Vec<PollFd<'_>> = wanted
                .iter()
                .map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
                .collect();
            if let Some(cancel) = &self.cancel {
                fds.extend(
                    cancel
                        .fds()
                        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
                );
            }
            let left = self.left();
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match poll(&mut fds, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Over::Poll(errno.into())),
            }
            let ready: Vec<bool> = fds
                .iter()
                .take(wanted.len())
                .map(|fd| !fd.revents().is_empty())
                .collect();
            if ready.iter().any(|r| *r) {
                return Ok(ready);
            }
        }
    }

    /// Waits for nothing but the end of `pause` (or of the limit, or the token).
    pub fn pause(&self, pause: Duration) -> Result<(), Over> {
        match self.at_most(pause).wait(&[]) {
            Err(Over::Deadline) => self.check(),
            Ok(_) => Ok(()),
            Err(over) => Err(over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancelled_wait_ends_at_once() {
        let cancel = Cancel::new().expect("eventfd");
        let limit = Limit::new(Duration::from_secs(60), Some(cancel.clone()));
        let started = Instant::now();
        let waiting = std::thread::spawn(move || limit.pause(Duration::from_secs(50)));
        cancel.cancel().expect("wake");
        assert!(matches!(
            waiting.join().expect("join"),
            Err(Over::Cancelled)
        ));
        assert!(started.elapsed() < Duration::from_secs(5));
    }

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

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let limit = Limit::new(Duration::from_millis(30), None);
        assert!(matches!(limit.wait(&[]), Err(Over::Deadline)));
        assert!(limit.left().is_zero());
        assert!(matches!(
            Limit::new(Duration::MAX, None)
                .at_most(Duration::ZERO)
                .check(),
            Err(Over::Deadline)
        ));
    }
}
