//! Waiting for a moment of `CLOCK_REALTIME`.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use crate::cancel::Cancel;
use crate::readiness::{Woken, is_ready, of, poll_for, timespec};

/// An alarm clock of `CLOCK_REALTIME`. Times are nanoseconds since the epoch.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// A clock that is not set.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
        Ok(Self(timer))
    }

    /// Sleeps until `at_ns` or until the token is cancelled; returns at once where the moment has passed.
    ///
    /// # Errors
    /// When the kernel refuses the timer or the wait.
    pub fn until(&self, at_ns: u64, cancel: &Cancel) -> io::Result<Woken> {
        self.wait(at_ns, cancel, None)
    }

    /// As [`Alarm::until`], and until a descriptor can do what is wanted of it, or is in error, as well.
    ///
    /// # Errors
    /// When the kernel refuses the timer or the wait.
    pub fn until_ready(
        &self,
        at_ns: u64,
        cancel: &Cancel,
        wanted: (BorrowedFd<'_>, PollFlags),
    ) -> io::Result<Woken> {
        self.wait(at_ns, cancel, Some(wanted))
    }

    fn wait(
        &self,
        at_ns: u64,
        cancel: &Cancel,
        wanted: Option<(BorrowedFd<'_>, PollFlags)>,
    ) -> io::Result<Woken> {
        let at = Itimerspec {
            it_interval: timespec(Duration::ZERO),
            // A timer that is set to zero never rings.
            it_value: timespec(Duration::from_nanos(at_ns.max(1))),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &at)?;
        let mut polled = vec![PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        polled.extend(wanted.map(|(fd, what)| PollFd::from_borrowed_fd(fd, what)));
        let own = polled.len();
        polled.extend(of(cancel));
        poll_for(&mut polled, None)?;
        Ok(if polled[own..].iter().any(is_ready) {
            Woken::Cancelled
        } else if polled[1..own].iter().any(is_ready) {
            Woken::Ready
        } else {
            Woken::Due
        })
    }
}

/// Sleeps until `at_ns`, and nothing ends it before: for moments that are close.
///
/// # Errors
/// When the kernel refuses to sleep.
pub fn sleep_until(at_ns: u64) -> io::Result<()> {
    let at = timespec(Duration::from_nanos(at_ns));
    loop {
        match clock_nanosleep_absolute(ClockId::Realtime, &at) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn now_ns() -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.expect("after 1970").as_nanos() as u64
    }

    fn until(at_ns: u64) -> Woken {
        let (alarm, cancel) = (
            Alarm::new().expect("a timer"),
            Cancel::new().expect("a token"),
        );
        alarm.until(at_ns, &cancel).expect("a wait")
    }

    #[test]
    fn rings_at_the_moment() {
        let at = now_ns() + 5_000_000;
        assert_eq!(until(at), Woken::Due);
        assert!(now_ns() >= at);
        let at = now_ns() + 5_000_000;
        sleep_until(at).expect("slept");
        assert!(now_ns() >= at);
    }

    #[test]
    fn a_moment_that_has_passed_does_not_wait() {
        assert_eq!(until(0), Woken::Due);
        sleep_until(0).expect("slept");
    }

    #[test]
    fn a_cancelled_token_ends_this_wait_and_all_later_ones() {
        let parent = Cancel::new().expect("a token");
        let child = parent.child().expect("a token");
        let waiter = std::thread::spawn(move || {
            let alarm = Alarm::new().expect("a timer");
            let far = now_ns() + 60_000_000_000;
            [(); 2].map(|()| alarm.until(far, &child).expect("a wait"))
        });
        parent.cancel().expect("cancelled");
        assert_eq!(waiter.join().expect("joined"), [Woken::Cancelled; 2]);
    }
}
