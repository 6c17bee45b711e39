//! Deadlines of single steps.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::cancel::Cancel;
use crate::readiness::timespec;

/// How long one step may take, and what may end it early.
#[derive(Debug, Clone)]
pub struct Limit {
    /// As the caller gave it, for messages.
    pub total: Duration,
    end: Instant,
    cancel: Option<Cancel>,
}

/// Why a wait ended without what was waited for.
#[derive(Debug)]
pub enum Over {
    /// The time is over.
    Deadline,
    /// The token was cancelled.
    Cancelled,
    /// The kernel refused to wait.
    Poll(io::Error),
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

    /// The same end, or `total` from now if that is earlier.
    #[must_use]
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

    /// Checks that there is time left and the token is not cancelled.
    ///
    /// # Errors
    /// [`Over::Deadline`] or [`Over::Cancelled`].
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

    /// Waits until one of `wanted` is ready, and marks which are.
    ///
    /// # Errors
    /// What ended the wait before that.
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
            match poll(&mut fds, Some(&timespec(self.left()))) {
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

    /// Waits until `pause` is over.
    ///
    /// # Errors
    /// When the limit ended or the token was cancelled before that.
    pub fn pause(&self, pause: Duration) -> Result<(), Over> {
        match self.at_most(pause).wait(&[]) {
            Err(Over::Deadline) => self.check(),
            Ok(_) => Ok(()),
            Err(over) => Err(over),
        }
    }
}

impl Cancel {
    /// Waits for this long, or until cancelled; returns whether the token is cancelled.
    pub fn wait(&self, time: Duration) -> bool {
        // Nothing but the token and the clock can end this wait, and the token tells which it was.
        let _over = Limit::new(time, Some(self.clone())).wait(&[]);
        self.is_cancelled()
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
