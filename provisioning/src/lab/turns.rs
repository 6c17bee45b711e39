//! QEMU's threads take turns on one processor, all others before the virtual CPU.
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
//! So it is only if nobody else holds QEMU's big lock then. Its RCU thread does, a few times a trial and when the host's clock
//! says so, to free what the virtual CPU's thread replaced (`call_rcu_thread`); were the virtual CPU to run while it does, the main
//! thread would wait, and go on at any place (which was never seen to happen). Therefore all that QEMU started before its virtual CPU has that priority: the RCU
//! thread and the monitor's. Workers that read states come later, and rest during a trial.
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

/// Pins all threads of a process to one processor, and gives those that are older than its virtual CPU's real-time priority.
///
/// # Errors
/// In words, when the controller may not do so.
pub fn take_turns(qemu: Pid, virtual_cpu: Pid) -> Result<(), String> {
    // Machines that start together must see each other's choice.
    let _choosing = choosing()?;
    let cpu = least_used(qemu)?;
    let mut only = CpuSet::new();
    only.set(cpu);
    let threads = numbers(&format!("/proc/{qemu}/task"))?;
    for thread in &threads {
        match sched_setaffinity(Some(*thread), &only) {
            // QEMU's workers come and go: one that has ended meanwhile runs nowhere.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                return Err(format!(
                    "its threads cannot be pinned to CPU {cpu}: {error}"
                ));
            }
        }
    }
    // The kernel lists threads in the order in which they were started.
    let older = threads.iter().position(|thread| *thread == virtual_cpu);
    let older = older.ok_or_else(|| format!("{virtual_cpu} is none of its threads"))?;
    for thread in &threads[..older] {
        // What it starts later is as any other thread.
        chrt(&["--fifo", "--reset-on-fork", "--pid", "1"], *thread)?;
    }
    Ok(())
}

/// Makes all threads as any others again. The processor stays.
///
/// # Errors
/// In words, when the controller may not do so.
pub fn end_turns(qemu: Pid) -> Result<(), String> {
    for thread in numbers(&format!("/proc/{qemu}/task"))? {
        if has_real_time_priority(qemu, thread) {
            chrt(&["--other", "--pid", "0"], thread)?;
        }
    }
    Ok(())
}

/// One that has ended has none.
fn has_real_time_priority(process: Pid, thread: Pid) -> bool {
    /// What stands in front of it behind the name, which may have spaces (proc(5), `rt_priority`).
    const BEHIND_NAME: usize = 37;
    let stat = fs::read_to_string(format!("/proc/{process}/task/{thread}/stat"));
    let priority = stat.ok().and_then(|stat| {
        let (_, fields) = stat.rsplit_once(") ")?;
        fields.split(' ').nth(BEHIND_NAME)?.parse::<u32>().ok()
    });
    priority.is_some_and(|priority| priority > 0)
}

fn chrt(arguments: &[&str], thread: Pid) -> Result<(), String> {
    let output = Command::new("chrt")
        .args(arguments)
        .arg(thread.to_string())
        .output()
        .map_err(|error| format!("chrt of util-linux cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "its threads cannot have another priority: {}",
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
    use vifbench_testing::{Need, needs};

    /// What `chrt` says of a process.
    fn told(pid: Pid) -> String {
        let mut command = Command::new("chrt");
        command.arg("--pid").arg(pid.to_string());
        let output = command.output().expect("runs (package util-linux)");
        String::from_utf8(output.stdout).expect("text")
    }

    /// A thread that waits until it is dropped, and its number.
    fn thread() -> (Pid, std::sync::mpsc::Sender<()>) {
        let (sender, number) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            sender.send(rustix::thread::gettid()).expect("sent");
            ended.recv().expect_err("dropped");
        });
        (number.recv().expect("starts"), end)
    }

    /// On this very process, which nextest has for this test alone.
    #[test]
    fn all_threads_share_a_cpu_and_the_older_ones_go_first_until_turns_end() {
        needs!(Need::Root);
        let (older, _older) = thread();
        let (virtual_cpu, _virtual_cpu) = thread();
        let (worker, _worker) = thread();
        let pid = rustix::process::getpid();
        let allowed = chrt(&["--fifo", "--pid", "1"], older).is_ok();
        end_turns(pid).expect("that is always allowed");
        let done = take_turns(pid, virtual_cpu);
        let all = [older, virtual_cpu, worker].map(|thread| {
            let cpus = sched_getaffinity(Some(thread)).expect("lives").count();
            (cpus, told(thread))
        });
        let ended = end_turns(pid);
        let last = [pid, older].map(told);
        assert_eq!(all.each_ref().map(|(cpus, _)| *cpus), [1, 1, 1]);
        let [(_, older), (_, virtual_cpu), (_, worker)] = all;
        if allowed {
            done.expect("as it was allowed by hand");
            assert!(older.contains("SCHED_FIFO|SCHED_RESET_ON_FORK"), "{older}");
        } else {
            let why = done.expect_err("as it was refused by hand");
            assert!(why.contains("another priority"), "{why}");
        }
        assert!(virtual_cpu.contains("SCHED_OTHER"), "{virtual_cpu}");
        assert!(worker.contains("SCHED_OTHER"), "{worker}");
        ended.expect("that is always allowed");
        assert!(
            last.iter().all(|told| told.contains("SCHED_OTHER")),
            "{last:?}"
        );
    }

    #[test]
    fn a_virtual_cpu_of_another_process_is_told() {
        needs!(Need::Root);
        let pid = rustix::process::getpid();
        let error = take_turns(pid, Pid::INIT).expect_err("it is no thread of this process");
        assert!(error.contains("1 is none of its threads"), "{error}");
    }

    #[test]
    fn two_machines_take_two_processors_and_keep_them() {
        needs!(Need::Root);
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
        let error = take_turns(pid, pid).expect_err("it is gone");
        assert!(error.contains("/task cannot be read"), "{error}");
    }
}
