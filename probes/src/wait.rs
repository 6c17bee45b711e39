//! Waiting for a moment of `CLOCK_REALTIME`, or for the word to stop, without polling: in virtual time an idle
//! poll loop costs instructions that the measurement would see.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Splits nanoseconds since the epoch for system calls.
pub fn timespec(ns: u64) -> TimeSpec {
    TimeSpec::new((ns / 1_000_000_000) as i64, (ns % 1_000_000_000) as i64)
}

/// The word to stop: once raised it stays, and every waiter sees it.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    raised: AtomicBool,
    event: EventFd,
}

impl Stop {
    /// A word not yet given.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self(Arc::new(Inner {
            raised: AtomicBool::new(false),
            event,
        })))
    }

    /// Gives the word.
    ///
    /// # Errors
    /// When the event cannot be written; the flag is set all the same.
    pub fn raise(&self) -> io::Result<()> {
        self.0.raised.store(true, Ordering::SeqCst);
        self.0.event.write(1)?;
        Ok(())
    }

    /// Whether it was given.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }
}

impl AsFd for Stop {
    /// Readable once the word is given, and for ever after.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The moment has come.
    Due,
    /// The word to stop came first.
    Stopped,
    /// The descriptor that was waited for beside them is ready.
    Ready,
}

/// An alarm clock in `CLOCK_REALTIME`.
#[derive(Debug)]
pub struct Alarm(TimerFd);

impl Alarm {
    /// A clock that is not set.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(TimerFd::new(
            ClockId::CLOCK_REALTIME,
            TimerFlags::TFD_CLOEXEC,
        )?))
    }

    /// Sleeps until `at_ns` (returns at once where it has passed) or until the word to stop.
    ///
    /// # Errors
    /// When the timer or poll is refused by the kernel.
    pub fn until(&self, at_ns: u64, stop: &Stop) -> io::Result<Woken> {
        // A timer set to zero would never ring.
        let at = Expiration::OneShot(timespec(at_ns.max(1)));
        self.0.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let ready = wait_readable(&[stop.as_fd(), self.0.as_fd()], None)?;
        Ok(if ready[0] { Woken::Stopped } else { Woken::Due })
    }

    /// As [`Alarm::until`], and until a descriptor can do what is asked of it (or is in error) as well.
    ///
    /// # Errors
    /// When the timer or poll is refused by the kernel.
    pub fn until_ready(
        &self,
        at_ns: u64,
        stop: &Stop,
        (fd, what): (BorrowedFd<'_>, PollFlags),
    ) -> io::Result<Woken> {
        let at = Expiration::OneShot(timespec(at_ns.max(1)));
        self.0.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut polled = [
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            PollFd::new(fd, what),
            PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
        ];
        let ready = poll_forever(&mut polled)?;
        Ok(match ready[..] {
            [true, ..] => Woken::Stopped,
            [_, true, _] => Woken::Ready,
            _ => Woken::Due,
        })
    }
}

fn poll_forever(polled: &mut [PollFd<'_>]) -> io::Result<Vec<bool>> {
    poll_for(polled, PollTimeout::NONE)
}

fn poll_for(polled: &mut [PollFd<'_>], timeout: PollTimeout) -> io::Result<Vec<bool>> {
    loop {
        match poll(polled, timeout) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // Unknown bits count as readiness: the read that follows will tell what they mean.
    Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect())
}

/// Waits until one of the descriptors is readable (or in error), or the time is over; tells which.
///
/// # Errors
/// When poll is refused by the kernel; signals do not end the wait.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout_ms: Option<u16>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    poll_for(
        &mut polled,
        timeout_ms.map_or(PollTimeout::NONE, PollTimeout::from),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::reading::realtime_ns;

    #[test]
    fn rings_at_the_moment() {
        let at = realtime_ns() + 5_000_000;
        assert_eq!(
            Alarm::new()
                .unwrap()
                .until(at, &Stop::new().unwrap())
                .unwrap(),
            Woken::Due
        );
        assert!(realtime_ns() >= at);
    }

    #[test]
    fn a_moment_that_has_passed_does_not_wait() {
        assert_eq!(
            Alarm::new()
                .unwrap()
                .until(0, &Stop::new().unwrap())
                .unwrap(),
            Woken::Due
        );
    }

    #[test]
    fn the_word_to_stop_ends_the_wait_and_stays() {
        let stop = Stop::new().unwrap();
        let other = stop.clone();
        let waiter = std::thread::spawn(move || {
            let alarm = Alarm::new().unwrap();
            let far = realtime_ns() + 60_000_000_000;
            (
                alarm.until(far, &other).unwrap(),
                alarm.until(far, &other).unwrap(),
            )
        });
        stop.raise().unwrap();
        assert_eq!(waiter.join().unwrap(), (Woken::Stopped, Woken::Stopped));
        assert!(stop.is_raised());
    }
}
