//! The machine: QEMU's command line, its start, its end, and what its control socket can do.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};

use super::patience::{Patience, stuck_after};
use super::qmp::Qmp;
use super::starts::hold_starts;
use super::turns::{end_turns, take_turns};
use super::{Images, LabError, files, network};

/// The hosts in the order of their serial lines.
pub const HOSTS: [&str; 4] = ["dom0", "u1", "u2", "gen"];

/// What QEMU calls the state of a machine whose agent waits for a request.
const WAITS: &str = "guest-panicked";

/// What dom0's and (in `images/dom0/etc/xen/guest.cfg`) the guests' kernels are told:
/// a timer granularity of 1 us, no random layout, no work on a schedule, and an oops is a crash.
const LINUX: &str = "console=hvc0 nokaslr xen_timer_slop=1000 mitigations=off nowatchdog tsc=nowatchdog audit=0 oops=panic";

/// Xen's own: the same granularity, the console on the first serial line, and after a crash it stands still.
const XEN: &str = "console=com1 com1=115200,8n1 dom0_mem=768M,max:768M dom0_max_vcpus=1 timer_slop=1000 spec-ctrl=no noreboot";

/// QEMU's niceness among the controller's sessions, while nothing comes in from outside and otherwise.
const PREFERENCE: &str = "-10";
const NO_PREFERENCE: &str = "0";
/// What it means when QEMU does not come first.
const INEXACT: &str = "sealed trials may not be exact while the controller is busy";

/// Bytes of the memory that the controller and dom0's agent share; `images/rendezvous.c` has the same number.
pub const MAILBOX: u64 = 16 << 20;

/// In what state a machine starts; but for a power-on it stands still at first.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// Powered on just now.
    PowerOn,
    /// A state saved beside the machine.
    State(&'a str),
    /// A state that was written to a file.
    File(&'a Path),
}

/// One QEMU, known by the lab's folder.
#[derive(Debug, Clone)]
pub struct Machine {
    folder: PathBuf,
    /// The plugin that counts instructions, where they are counted.
    plugin: Option<PathBuf>,
}

impl Machine {
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            plugin: None,
        }
    }

    /// From its next start on, QEMU has this plugin, or none. The emulated machine is the same.
    pub fn set_plugin(&mut self, plugin: Option<PathBuf>) {
        self.plugin = plugin;
    }

    /// Where the plugin counts.
    pub fn counts(&self) -> PathBuf {
        self.folder.join("counts")
    }

    /// Where QEMU maps the machine's memory.
    pub fn memory(&self) -> Result<u64, LabError> {
        let question = "gpa2hva 0";
        let answer = self.qmp()?.monitor(question)?;
        // `Host virtual address for 0x0 (pc.ram) is 0x7f2c23e00000`
        let found = answer.trim().rsplit_once(" is 0x");
        found
            .and_then(|(_, digits)| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| LabError::Qmp {
                doing: format!("execute `{question}`"),
                why: answer,
            })
    }

    /// The disk that holds saved states; the virtual host itself has no disk.
    pub fn state_file(&self) -> PathBuf {
        self.folder.join("state.qcow2")
    }

    pub fn console(&self, host: &str) -> PathBuf {
        self.folder.join(format!("console-{host}.log"))
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("qemu.pid")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("qmp")
    }

    /// Everything that decides how the machine behaves from power-on; two equal texts are the same machine.
    pub fn identity(images: &Images, seed: u64) -> Result<String, LabError> {
        let version = check(
            "ask QEMU for its version",
            Command::new("qemu-system-x86_64").arg("--version"),
        )?;
        let arguments = arguments(
            Path::new("images"),
            &Self::in_folder(Path::new("lab")),
            seed,
        );
        Ok(format!(
            "{}{}\n{}",
            String::from_utf8_lossy(&version.stdout),
            arguments.join(" "),
            images.digest()?
        ))
    }

    /// The memory that the controller and dom0's agent share ([`super::rendezvous`]).
    pub fn mailbox(&self) -> PathBuf {
        self.folder.join("mailbox")
    }

    /// Starts the machine inside the namespace. Returns when QEMU is ready; it stands still, but for a power-on.
    pub fn start(
        &self,
        netns: &str,
        images: &Images,
        seed: u64,
        from: &From<'_>,
    ) -> Result<(), LabError> {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", netns, "qemu-system-x86_64"])
            .args(arguments(images.path(), self, seed))
            .arg("-daemonize");
        if let Some(plugin) = &self.plugin {
            let (plugin, counts) = (plugin.display(), self.counts());
            command.arg("-plugin");
            command.arg(format!("{plugin},counts={}", counts.display()));
        }
        match from {
            // The cable is pulled before the first instruction: nothing comes in while it boots.
            From::PowerOn => {
                command.arg("-S");
            }
            From::State(tag) => {
                command.args(["-S", "-loadvm", tag]);
            }
            From::File(path) => {
                command.args(["-S", "-incoming"]);
                command.arg(format!("exec:cat '{}'", path.display()));
            }
        }
        let starting = hold_starts();
        check("start QEMU", &mut command)?;
        drop(starting);
        // Until the cable is plugged in.
        self.come_first(&mut self.qmp()?);
        if matches!(from, From::PowerOn) {
            self.set_link(false)?;
            self.resume()?;
        }
        if matches!(from, From::File(_)) {
            self.await_migration("load the machine from a file", "query-status", |status| {
                match status["status"].as_str() {
                    Some("inmigrate") => None,
                    Some("paused" | "prelaunch" | WAITS) => Some(true),
                    _ => Some(false),
                }
            })?;
        }
        Ok(())
    }

    /// Makes the machine independent of what else the controller does: its threads take turns, and come before other
    /// sessions' work.
    fn come_first(&self, qmp: &mut Qmp) {
        let Some(pid) = self.pid() else { return };
        let virtual_cpu = qmp.virtual_cpu().map_err(|error| error.to_string());
        if let Err(why) = virtual_cpu.and_then(|virtual_cpu| take_turns(pid, virtual_cpu)) {
            tracing::warn!("QEMU's threads cannot take turns ({why}); {INEXACT}");
        }
        prefer(pid, PREFERENCE);
    }

    /// Leaves the controller time to reach the machine, whose threads are as any others then.
    fn step_back(&self) {
        let Some(pid) = self.pid() else { return };
        if let Err(why) = end_turns(pid) {
            tracing::warn!("QEMU keeps its turns ({why}); logging in may be slow");
        }
        prefer(pid, NO_PREFERENCE);
    }

    /// Writes the whole state of the machine to a file; then it goes on, because until then QEMU has let go of the
    /// file of saved states.
    pub fn export(&self, file: &Path) -> Result<(), LabError> {
        let mut qmp = self.qmp()?;
        qmp.execute("stop", &json!({}))?;
        // Without a limit: it stands still, there is nothing to be fair to.
        qmp.execute(
            "migrate-set-parameters",
            &json!({"max-bandwidth": u64::from(u32::MAX)}),
        )?;
        let uri = format!("exec:cat > '{}'", file.display());
        qmp.execute("migrate", &json!({"uri": uri}))?;
        drop(qmp);
        self.await_migration("write the machine to a file", "query-migrate", |status| {
            match status["status"].as_str() {
                Some("completed") => Some(true),
                Some("failed" | "cancelled") => Some(false),
                _ => None,
            }
        })?;
        self.resume()
    }

    /// Asks again and again until `done` knows how it ended.
    fn await_migration(
        &self,
        doing: &str,
        question: &str,
        done: impl Fn(&Value) -> Option<bool>,
    ) -> Result<(), LabError> {
        let mut patience = Patience::new(stuck_after());
        loop {
            let status = self.qmp()?.execute(question, &json!({}))?;
            match done(&status) {
                Some(true) => return Ok(()),
                Some(false) => {
                    return Err(LabError::Qmp {
                        doing: doing.to_owned(),
                        why: status.to_string(),
                    });
                }
                None if patience.look(doing) => thread::sleep(LOOK),
                None => {
                    return Err(LabError::Stuck {
                        doing: doing.to_owned(),
                        waited: patience.waited(),
                    });
                }
            }
        }
    }

    /// QEMU's process, if it runs and is this lab's.
    pub fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        let pid = Pid::from_raw(text.trim().parse().ok()?)?;
        // The number may have been given to another process since.
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = self.pid_file().into_os_string().into_encoded_bytes();
        command
            .split(|byte| *byte == 0)
            .any(|argument| argument == ours)
            .then_some(pid)
    }

    /// Ends QEMU in good order: what it has not yet written to the file of saved states is written.
    pub fn quit(&self) -> Result<(), LabError> {
        self.end("end QEMU", |_| {
            self.qmp()?.execute("quit", &json!({})).map(drop)
        })
    }

    /// Ends QEMU at once, whatever it is doing.
    pub fn kill(&self) -> Result<(), LabError> {
        self.end("kill QEMU", |pid| match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(LabError::Command {
                doing: format!("kill QEMU (process {pid})"),
                why: errno.to_string(),
            }),
        })
    }

    /// Does `how` to QEMU, if it runs, and waits for its end.
    fn end(
        &self,
        doing: &str,
        how: impl FnOnce(Pid) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let failed = |errno: Errno| LabError::Command {
            doing: format!("{doing} (process {pid})"),
            why: errno.to_string(),
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        how(pid)?;
        let timeout = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        let ended =
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)).map_err(failed)?;
        if ended == 0 {
            return Err(failed(Errno::TIMEDOUT));
        }
        files::remove(&self.pid_file())
    }

    pub fn qmp(&self) -> Result<Qmp, LabError> {
        Qmp::connect(&self.socket())
    }

    /// Stops virtual time.
    pub fn pause(&self) -> Result<(), LabError> {
        self.qmp()?.execute("stop", &json!({})).map(drop)
    }

    /// Lets virtual time run.
    pub fn resume(&self) -> Result<(), LabError> {
        self.qmp()?.execute("cont", &json!({})).map(drop)
    }

    /// Does the machine stand still because its agent asks for the next request?
    pub fn is_waiting(&self) -> Result<bool, LabError> {
        let status = self.qmp()?.execute("query-status", &json!({}))?;
        Ok(status["status"] == Value::String(WAITS.to_owned()))
    }

    pub fn is_running(&self) -> Result<bool, LabError> {
        let status = self.qmp()?.execute("query-status", &json!({}))?;
        Ok(status["running"] == Value::Bool(true))
    }

    /// Plugs the cable in or pulls it: dom0 sees the carrier come or go, and no frame passes between. With the cable
    /// pulled nothing comes in, and the machine can be exact.
    pub fn set_link(&self, up: bool) -> Result<(), LabError> {
        let mut qmp = self.qmp()?;
        for name in ["net", "nic"] {
            qmp.execute("set_link", &json!({"name": name, "up": up}))?;
        }
        if up {
            self.step_back();
        } else {
            self.come_first(&mut qmp);
        }
        Ok(())
    }

    /// Pulls only the tap's end, which no saved state holds: the NIC's is as it was saved.
    pub fn pull_tap(&self) -> Result<(), LabError> {
        let mut qmp = self.qmp()?;
        qmp.execute("set_link", &json!({"name": "net", "up": false}))?;
        self.come_first(&mut qmp);
        Ok(())
    }

    /// Saves the machine's state beside those there are; an older one of that name is replaced.
    pub fn save(&self, tag: &str) -> Result<(), LabError> {
        self.qmp()?.human(&format!("savevm {tag}"))
    }

    pub fn load(&self, tag: &str) -> Result<(), LabError> {
        self.qmp()?.human(&format!("loadvm {tag}"))
    }

    pub fn forget(&self, tag: &str) -> Result<(), LabError> {
        self.qmp()?.human(&format!("delvm {tag}"))
    }

    /// An empty disk for saved states.
    pub fn create_state_file(&self) -> Result<(), LabError> {
        check(
            "create the file for saved states",
            Command::new("qemu-img")
                .args(["create", "-q", "-f", "qcow2"])
                .arg(self.state_file())
                // Never used by the machine; saved states lie behind it.
                .arg("1M"),
        )
        .map(drop)
    }
}

/// Sets the part of the processors that QEMU's session gets. Where the scheduler has no groups by session there is
/// nothing to prefer.
fn prefer(qemu: Pid, nice: &str) {
    let file = format!("/proc/{qemu}/autogroup");
    if let Err(error) = fs::write(&file, nice)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!("QEMU cannot be preferred to other work ({file}: {error}); {INEXACT}");
    }
}

/// The whole command line. Two runs of one machine differ in nothing but the paths.
fn arguments(images: &Path, machine: &Machine, seed: u64) -> Vec<String> {
    let folder = machine.folder.display();
    let images = images.display();
    let mut all: Vec<String> = [
        "-nodefaults -no-user-config -display none -machine q35 -smp 1 -m 1536",
        // `max` has SMAP, at which a PV dom0 dies under TCG.
        "-accel tcg -cpu qemu64",
        // Virtual time: an instruction takes 2 ns, and idle time is skipped.
        "-icount shift=1,sleep=off -rtc base=2026-01-01T00:00:00,clock=vm",
    ]
    .iter()
    .flat_map(|line| line.split(' '))
    .map(str::to_owned)
    .collect();
    // The first line is Xen's and dom0's console; dom0 keeps the guests' consoles on the others.
    for (index, (host, irq)) in HOSTS.iter().zip([4, 3, 5, 7]).enumerate() {
        all.extend([
            "-chardev".to_owned(),
            format!("file,id=line{index},path={folder}/console-{host}.log,append=on"),
            "-device".to_owned(),
            format!("isa-serial,index={index},chardev=line{index},irq={irq}"),
        ]);
    }
    all.extend([
        "-object".to_owned(),
        format!(
            "memory-backend-file,id=mailbox,size={MAILBOX},share=on,mem-path={}",
            machine.mailbox().display()
        ),
        "-device".to_owned(),
        "ivshmem-plain,memdev=mailbox,master=on,addr=0x10".to_owned(),
        // The agent stops the machine by telling of a panic.
        "-device".to_owned(),
        "pvpanic".to_owned(),
        "-action".to_owned(),
        "panic=pause".to_owned(),
        "-netdev".to_owned(),
        format!("tap,id=net,ifname={},script=no,downscript=no", network::TAP),
        "-device".to_owned(),
        "e1000,id=nic,netdev=net,mac=02:00:5e:12:00:02".to_owned(),
        "-drive".to_owned(),
        format!(
            "if=none,id=state,file={},format=qcow2,cache=unsafe",
            machine.state_file().display()
        ),
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", machine.socket().display()),
        "-pidfile".to_owned(),
        machine.pid_file().display().to_string(),
        "-kernel".to_owned(),
        format!("{images}/xen"),
        "-append".to_owned(),
        XEN.to_owned(),
        "-initrd".to_owned(),
        // A comma parts Xen's modules; within one it would have to be doubled.
        format!(
            "{images}/vmlinux {LINUX} vifbench.name=dom0 vifbench.seed={seed},{images}/dom0.cpio"
        ),
    ]);
    all
}

/// Runs a command that must succeed.
pub fn check(doing: &str, command: &mut Command) -> Result<Output, LabError> {
    let failed = |why: String| LabError::Command {
        doing: doing.to_owned(),
        why,
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}: {}", output.status, stderr.trim())))
}

/// How long to wait between two looks at something that sends no event.
pub const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_identity_has_no_paths_and_a_seed() {
        let line = |seed| {
            arguments(
                Path::new("images"),
                &Machine::in_folder(Path::new("lab")),
                seed,
            )
        };
        assert_eq!(line(1), line(1));
        assert_ne!(line(1), line(2));
        assert!(line(1).iter().all(|argument| !argument.starts_with('/')));
    }

    #[test]
    fn a_stale_pid_is_not_a_running_machine() {
        let folder = tempfile::tempdir().expect("tempdir");
        let machine = Machine::in_folder(folder.path());
        assert!(machine.pid().is_none());
        // A process that lives but is not QEMU: this test.
        fs::write(machine.pid_file(), std::process::id().to_string()).expect("write");
        assert!(machine.pid().is_none());
        machine.kill().expect("there is nothing to kill");
    }
}
