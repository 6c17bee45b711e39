//! A thread that has to be in time: a CPU of its own, memory that stays, and precedence over others. What the host does not
//! allow is said, not hidden.

use std::fs;
use std::io;

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Real-time tasks may take all of this, in microseconds of each second, or -1 for everything.
const THROTTLE: &str = "/proc/sys/kernel/sched_rt_runtime_us";

/// Prepares the calling thread to spin; one phrase for each thing that was done or could not be.
pub fn prepare() -> Vec<String> {
    vec![pin(), lock_memory(), go_first()]
}

/// Pins the thread to the last CPU that it may use: interrupts and other work tend to the first.
fn pin() -> String {
    let this = None::<Pid>;
    let allowed = match sched_getaffinity(this) {
        Ok(allowed) => allowed,
        Err(error) => return format!("not pinned ({error})"),
    };
    if allowed.count() < 2 {
        return "not pinned (one CPU)".to_owned();
    }
    let Some(last) = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)) else {
        return "not pinned (no CPU is allowed)".to_owned();
    };
    let mut only = CpuSet::new();
    only.set(last);
    match sched_setaffinity(this, &only) {
        Ok(()) => format!("pinned to CPU {last}"),
        Err(error) => format!("not pinned ({error})"),
    }
}

/// Keeps the process's pages in memory, as they are touched.
#[expect(unsafe_code, reason = "mlockall, which no crate in use binds")]
fn lock_memory() -> String {
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: no pointer is involved; nothing of what the program may do with its memory changes.
    if unsafe { libc::mlockall(flags) } == 0 {
        "memory locked".to_owned()
    } else {
        format!("memory not locked ({})", io::Error::last_os_error())
    }
}

/// Real-time priority where the kernel does not take the CPU away from who spins; else the best of the others.
fn go_first() -> String {
    let throttle = fs::read_to_string(THROTTLE).unwrap_or_default();
    if throttle.trim() != "-1" {
        let why = format!(
            "not SCHED_FIFO, whose spinning the kernel interrupts (sched_rt_runtime_us is {}, -1 allows it)",
            throttle.trim()
        );
        return format!("{}, {why}", nicest());
    }
    match fifo() {
        Ok(()) => "SCHED_FIFO 1".to_owned(),
        Err(error) => format!("{}, not SCHED_FIFO ({error})", nicest()),
    }
}

fn nicest() -> String {
    const FIRST: i32 = -20;
    match setpriority_process(None, FIRST) {
        Ok(()) => format!("nice {FIRST}"),
        Err(error) => format!("not nice {FIRST} ({error})"),
    }
}

#[expect(
    unsafe_code,
    reason = "sched_setscheduler, which no crate in use binds"
)]
fn fifo() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to a value that lives past the call; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_said() {
        // In a thread of its own: the others of the test keep their CPUs.
        let said = std::thread::spawn(prepare).join().unwrap();
        assert_eq!(said.len(), 3);
        assert!(said[0].contains("pinned"), "{said:?}");
        assert!(said[1].contains("memory"), "{said:?}");
        assert!(
            said[2].contains("SCHED_FIFO") || said[2].contains("nice"),
            "{said:?}"
        );
    }
}
