//! File locks that go with their process, taken and released in spite of what a child process may hold.
//!
//! Between its start and the run of its own program a child holds copies of all open files, and with them of
//! locks. That lasts for an instant, but it outlives a controller that is killed just then, and another thread's
//! child delays a release by closing.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use vifbench_wait::{Limit, Over};

/// A lock that is still held after so long is held by somebody.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes an exclusive lock; false when somebody else has it.
pub(crate) fn take(file: &File) -> io::Result<bool> {
    let limit = Limit::new(PATIENCE, None);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => match limit.pause(Duration::from_millis(10)) {
                Ok(()) => {}
                Err(Over::Poll(error)) => return Err(error),
                Err(Over::Deadline | Over::Cancelled) => return Ok(false),
            },
        }
    }
}

/// Lets go of a lock at once, whoever holds a copy of the file.
pub(crate) fn release(file: &File) {
    if let Err(error) = file.unlock() {
        tracing::warn!(%error, "a lock could not be released before its file is closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_free_at_once_after_the_release() {
        let folder = tempfile::tempdir().expect("folder");
        let open = || {
            let path = folder.path().join("lock");
            File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .expect("opens")
        };
        let (first, second) = (open(), open());
        // As a child that was just started holds it.
        let copy = first.try_clone().expect("copy");
        assert!(take(&first).expect("lock"));
        assert!(!take(&second).expect("lock"));
        release(&first);
        assert!(take(&second).expect("lock"));
        drop(copy);
    }

    #[test]
    fn an_instant_is_waited_for() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("lock");
        let first = File::create(&path).expect("opens");
        let second = File::open(&path).expect("opens");
        assert!(take(&first).expect("lock"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                release(&first);
            });
            assert!(take(&second).expect("lock"));
        });
    }
}
