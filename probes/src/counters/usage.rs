//! What a program took: CPU time and peak memory, as the kernel counted them.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What one process took over its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// In user mode and in the kernel, all threads.
    pub cpu: Duration,
    /// The most memory that was resident at once, in bytes.
    pub peak_bytes: u64,
}

/// Waits for a process that this one started, and tells what it took (wait4(2)).
///
/// # Errors
/// When it cannot be waited for.
pub fn wait(child: &Child) -> io::Result<(ExitStatus, Usage)> {
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    #[expect(unsafe_code, reason = "there is no safe wrapper of wait4")]
    // SAFETY: all-zero is a valid rusage: it has but integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        #[expect(unsafe_code, reason = "there is no safe wrapper of wait4")]
        // SAFETY: both pointers are to places of this frame.
        let got = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if got == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec.unsigned_abs())
            + Duration::from_micros(t.tv_usec.unsigned_abs())
    };
    let usage = Usage {
        cpu: time(usage.ru_utime) + time(usage.ru_stime),
        peak_bytes: usage.ru_maxrss.unsigned_abs() * 1024,
    };
    Ok((ExitStatus::from_raw(status), usage))
}

/// CPU time of this very process so far, all threads.
pub fn own_cpu() -> Duration {
    // The clock is there on every Linux; a kernel without it would be told by times that stand still.
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "they are waited for, by `wait`")]
    fn a_busy_process_is_told_from_an_idle_one() {
        let run = |script: &str| {
            let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            wait(&child).unwrap()
        };
        let (status, idle) = run("exit 3");
        assert_eq!(status.code(), Some(3));
        let (_, busy) = run("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
        assert!(busy.cpu > idle.cpu, "{busy:?} {idle:?}");
        assert!(idle.peak_bytes > 100_000, "{idle:?}");
    }
}
