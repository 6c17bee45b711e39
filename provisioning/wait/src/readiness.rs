//! Waiting until a descriptor is ready.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::cancel::Cancel;

/// What ended a wait. Where several things did, the token counts before the descriptor and the descriptor before the
/// time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The time has come.
    Due,
    /// The token was cancelled.
    Cancelled,
    /// The descriptor is ready or in error.
    Ready,
}

/// A time for the kernel; what it cannot express is as good as for ever.
pub(crate) fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Whether something came of it. Errors count: the read that follows tells what they are.
pub(crate) fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}

/// Polls until one is ready or the time is over; signals do not end it.
pub(crate) fn poll_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let end = timeout.map(|timeout| (timeout, Instant::now()));
    loop {
        let left = end.map(|(timeout, began)| timespec(timeout.saturating_sub(began.elapsed())));
        match poll(fds, left.as_ref()) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until one of the descriptors is readable or in error, or the time is over; marks which are.
///
/// # Errors
/// When the kernel refuses to poll them.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    poll_for(&mut polled, timeout)?;
    Ok(polled.iter().map(is_ready).collect())
}

/// Waits until a descriptor is readable or in error, or the token is cancelled.
///
/// # Errors
/// When the kernel refuses to poll them.
pub fn until_readable(fd: BorrowedFd<'_>, cancel: &Cancel) -> io::Result<Woken> {
    let mut polled = vec![PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    polled.extend(of(cancel));
    poll_for(&mut polled, None)?;
    Ok(if polled[1..].iter().any(is_ready) {
        Woken::Cancelled
    } else {
        Woken::Ready
    })
}

/// Waits until the token is cancelled.
///
/// # Errors
/// When the kernel refuses to poll.
pub fn until_cancelled(cancel: &Cancel) -> io::Result<()> {
    poll_for(&mut of(cancel).collect::<Vec<_>>(), None)
}

/// What is polled of a token.
pub(crate) fn of(cancel: &Cancel) -> impl Iterator<Item = PollFd<'_>> {
    let fds = cancel.fds();
    fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_token_counts_before_the_descriptor() {
        let (mut writer, reader) = UnixStream::pair().expect("a pair of sockets");
        let cancel = Cancel::new().expect("a token");
        writer.write_all(b"x").expect("a byte is sent");
        let wait = || until_readable(reader.as_fd(), &cancel).expect("a wait");
        assert_eq!(wait(), Woken::Ready);
        cancel.cancel().expect("cancelled");
        assert_eq!(wait(), Woken::Cancelled);
        until_cancelled(&cancel).expect("it is");
    }

    #[test]
    fn what_is_readable_is_marked_and_a_time_ends_the_wait() {
        let (mut writer, reader) = UnixStream::pair().expect("a pair of sockets");
        let (_silent, other) = UnixStream::pair().expect("a pair of sockets");
        let fds = [other.as_fd(), reader.as_fd()];
        let began = Instant::now();
        let time = Duration::from_millis(20);
        assert_eq!(wait_readable(&fds, Some(time)).expect("a wait"), [false; 2]);
        assert!(began.elapsed() >= time);
        writer.write_all(b"x").expect("a byte is sent");
        assert_eq!(wait_readable(&fds, None).expect("a wait"), [false, true]);
    }
}
