//! QEMU's threads take turns on one processor, the main thread before the virtual CPU.
//!
//! In virtual time the main thread skips idle time when it sees the virtual CPU halted. QEMU 7.2 lets it look while that
//! CPU has not yet accounted for what it last executed (`icount_start_warp_timer` of `main_loop_wait`, while the other
//! thread stands between `helper_hlt` and `icount_process_data`), and then the next timer fires late. How often depends
//! on when the host runs which of the two, so on the controller's other load.
//!
//! On one processor the two never run at once. With real-time priority the main thread runs as soon as it is woken, which
//! during a sealed trial only the virtual CPU's own thread does (`qemu_clock_notify`), at places where it has accounted
//! for everything: the main thread is asleep again before the next instruction is executed.
//!
//! A machine that is reached over its network is never exact, and while it idles its main thread skips time without end:
//! at that priority two of them would leave a controller of two processors no time to log in. So it holds only while
//! nothing comes in from outside.

use std::fs::{self, File};
use std::process::Command;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// As the kernel shortens it.
const QEMU: &str = "qemu-system-x86";

/// Locked by who chooses a processor, whichever lab it is for.
const CHOOSING: &str = "/run/vifbench-turns.lock";

/// Pins all threads of a process to one processor, and gives its main thread real-time priority.
///
/// # Errors
/// In words, when the controller may not do so.
pub fn take_turns(qemu: Pid) -> Result<(), String> {
    // Machines that start together must see each other's choice.
    let _choosing = choosing()?;
    let cpu = least_used(qemu)?;
    let mut only = CpuSet::new();
    only.set(cpu);
    for thread in numbers(&format!("/proc/{qemu}/task"))? {
        match sched_setaffinity(Some(thread), &only) {
            // QEMU's workers come and go: one that has ended meanwhile runs nowhere.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                return Err(format!(
                    "its threads cannot be pinned to CPU {cpu}: {error}"
                ));
            }
        }
    }
    // What the main thread starts later is as any other thread.
    chrt(&["--fifo", "--reset-on-fork", "--pid", "1"], qemu)
}

/// Makes the main thread as any other again. The processor stays.
///
/// # Errors
/// In words, when the controller may not do so.
pub fn end_turns(qemu: Pid) -> Result<(), String> {
    chrt(&["--other", "--pid", "0"], qemu)
}

fn chrt(arguments: &[&str], qemu: Pid) -> Result<(), String> {
    let output = Command::new("chrt")
        .args(arguments)
        .arg(qemu.to_string())
        .output()
        .map_err(|error| format!("chrt of util-linux cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "its main thread cannot have another priority: {}",
        said.trim()
    ))
}

/// Held while a machine chooses its processor; the kernel frees it.
fn choosing() -> Result<File, String> {
    let failed = |error: std::io::Error| format!("{CHOOSING} cannot be locked: {error}");
    let file = File::create(CHOOSING).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// The processor with the fewest machines beside this one.
fn least_used(qemu: Pid) -> Result<usize, String> {
    let allowed =
        sched_getaffinity(None).map_err(|error| format!("what CPUs there are: {error}"))?;
    let mut others = Vec::new();
    for process in numbers("/proc")? {
        // One that ends meanwhile takes nothing.
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        if process != qemu && name.trim() == QEMU {
            others.extend(pinned_to(process));
        }
    }
    let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .collect();
    choose(&allowed, &others, pinned_to(qemu)).ok_or_else(|| "no CPU is allowed".to_owned())
}

/// The one processor that a process may use, if it is one.
fn pinned_to(process: Pid) -> Option<usize> {
    let its = sched_getaffinity(Some(process)).ok()?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| its.is_set(*cpu));
    cpus.next().filter(|_| its.count() == 1)
}

/// Of the least used processors the one that the machine has already, or else the first, because generators pin
/// themselves to the last.
fn choose(allowed: &[usize], others: &[usize], own: Option<usize>) -> Option<usize> {
    let uses = |cpu: &usize| others.iter().filter(|other| *other == cpu).count();
    allowed
        .iter()
        .copied()
        .min_by_key(|cpu| (uses(cpu), Some(*cpu) != own))
}

/// Entries of a folder of `/proc` that are processes or threads.
fn numbers(folder: &str) -> Result<Vec<Pid>, String> {
    let unreadable = |error: std::io::Error| format!("{folder} cannot be read: {error}");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        found.extend(number.and_then(Pid::from_raw));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `chrt` says of a process.
    fn told(pid: Pid) -> String {
        let mut command = Command::new("chrt");
        command.arg("--pid").arg(pid.to_string());
        let output = command.output().expect("runs (package util-linux)");
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn all_threads_share_a_cpu_and_the_first_goes_first_until_turns_end() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("starts");
        let pid = Pid::from_child(&child);
        let allowed = chrt(&["--fifo", "--pid", "1"], pid).is_ok();
        end_turns(pid).expect("that is always allowed");
        let done = take_turns(pid);
        let cpus = sched_getaffinity(Some(pid)).expect("lives").count();
        let first = told(pid);
        let ended = end_turns(pid);
        let last = told(pid);
        child.kill().expect("kill");
        child.wait().expect("ends");
        assert_eq!(cpus, 1);
        if allowed {
            done.expect("as it was allowed by hand");
            assert!(first.contains("SCHED_FIFO|SCHED_RESET_ON_FORK"), "{first}");
        } else {
            let why = done.expect_err("as it was refused by hand");
            assert!(why.contains("another priority"), "{why}");
        }
        ended.expect("that is always allowed");
        assert!(last.contains("SCHED_OTHER"), "{last}");
    }

    #[test]
    fn two_machines_take_two_processors_and_keep_them() {
        assert_eq!(choose(&[0, 1], &[], None), Some(0));
        assert_eq!(choose(&[0, 1], &[0], None), Some(1));
        // Again, as before each trial.
        assert_eq!(choose(&[0, 1], &[1], Some(0)), Some(0));
        assert_eq!(choose(&[0, 1], &[0], Some(1)), Some(1));
        assert_eq!(choose(&[0, 1], &[], Some(1)), Some(1));
        // Both on one: the first that looks goes away.
        assert_eq!(choose(&[0, 1], &[0], Some(0)), Some(1));
        assert_eq!(choose(&[0, 1], &[0, 1, 1], Some(1)), Some(0));
        assert_eq!(choose(&[], &[], None), None);
    }

    #[test]
    fn a_process_that_is_gone_is_told() {
        let mut child = Command::new("true").spawn().expect("starts");
        let pid = Pid::from_child(&child);
        child.wait().expect("ends");
        let error = take_turns(pid).expect_err("it is gone");
        assert!(error.contains("/task cannot be read"), "{error}");
    }
}
