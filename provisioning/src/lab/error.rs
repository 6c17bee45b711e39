//! Why the virtual lab could not do what was asked.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// One clear sentence each: what was attempted, on what, and what to do.
#[derive(Debug, Error)]
pub enum LabError {
    /// The process is not root.
    #[error(
        "the virtual lab needs root, for its network namespace and its images: run it with sudo"
    )]
    NotRoot,
    /// The kernel has no TUN/TAP.
    #[error(
        "/dev/net/tun is missing, so the virtual host's NIC has no cable: load the kernel module `tun`, or pass the device into this container"
    )]
    NoTun,
    /// A program is not installed.
    #[error("the virtual lab needs `{program}`: apt-get install {package}")]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Too little room on a file system.
    #[error(
        "no space left for the virtual lab: {path} has {free} MiB free and needs {need} MiB; free some, or set {variable} to a place with room"
    )]
    NoSpace {
        /// Where it would be needed.
        path: PathBuf,
        /// What is there, in MiB.
        free: u64,
        /// What is needed, in MiB.
        need: u64,
        /// The environment variable that moves it elsewhere.
        variable: &'static str,
    },
    /// A version that is in no suite.
    #[error(
        "no Debian suite that vifbench knows has {what} {version}; known are {known} (provisioning/images/suites)"
    )]
    UnknownVersion {
        /// Linux or Xen.
        what: &'static str,
        /// What was asked for.
        version: String,
        /// What there is.
        known: String,
    },
    /// A name that cannot name a namespace and a folder.
    #[error("`{name}` cannot name a lab: use 1 to 40 lower-case letters, digits and dashes")]
    BadName {
        /// The name.
        name: String,
    },
    /// Another process is bringing this lab up or down.
    #[error(
        "the lab `{name}` is being started or stopped by another process: wait for it, or choose another name"
    )]
    Busy {
        /// The lab.
        name: String,
    },
    /// `images/build.sh` failed.
    #[error("building the lab's images failed; the whole log is {}\n{}", log.display(), tail.join("\n"))]
    ImagesFailed {
        /// The script's whole output.
        log: PathBuf,
        /// Its last lines.
        tail: Vec<String>,
    },
    /// A folder of images lacks something.
    #[error(
        "{path} is not a folder of lab images: {why}; build it with provisioning/images/build.sh"
    )]
    BadImages {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An `ip` or `qemu` command failed.
    #[error("could not {doing}: {why}")]
    Command {
        /// What was attempted.
        doing: String,
        /// What the command said.
        why: String,
    },
    /// A file could not be read or written.
    #[error("could not {doing} {path}: {source}")]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// QEMU's control socket did not do as told.
    #[error("the virtual machine did not {doing}: {why}")]
    Qmp {
        /// What was attempted.
        doing: String,
        /// What QEMU said.
        why: String,
    },
    /// The recipes of the images.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// The lab's own file.
    #[error(transparent)]
    LabFile(#[from] vifbench_scenarios::file::FileError),
    /// `xl create` refused a guest.
    #[error("{guest} of the lab `{lab}` could not be created: {why}; the end of dom0's console is\n{}", tail.join("\n"))]
    NotCreated {
        /// The lab.
        lab: String,
        /// The guest.
        guest: String,
        /// What dom0 said.
        why: String,
        /// The console's last lines.
        tail: Vec<String>,
    },
    /// A host did not answer on SSH in time.
    #[error("{host} of the lab `{lab}` did not come up within {deadline:?}; the end of its console ({}) is\n{}", console.display(), tail.join("\n"))]
    NotUp {
        /// The lab.
        lab: String,
        /// The host.
        host: String,
        /// How long it had.
        deadline: Duration,
        /// Its console's file.
        console: PathBuf,
        /// The console's last lines.
        tail: Vec<String>,
    },
    /// The machine crashed, reset, or QEMU ended.
    #[error("{host} of the lab `{lab}` crashed: {why}; the end of its console ({}) is\n{}", console.display(), tail.join("\n"))]
    Crashed {
        /// The lab.
        lab: String,
        /// The host whose console shows it.
        host: String,
        /// The line that says so, or that QEMU ended.
        why: String,
        /// The console's file.
        console: PathBuf,
        /// The console's last lines.
        tail: Vec<String>,
    },
    /// What was waited for did not appear on a console.
    #[error("{host} of the lab `{lab}` did not print what was waited for within {deadline:?}; the end of its console is\n{}", tail.join("\n"))]
    ConsoleDeadline {
        /// The lab.
        lab: String,
        /// The host.
        host: String,
        /// How long it had.
        deadline: Duration,
        /// The console's last lines.
        tail: Vec<String>,
    },
    /// A host that the lab does not have.
    #[error("the lab `{lab}` has no host `{host}`: it has {known}")]
    NoSuchHost {
        /// The lab.
        lab: String,
        /// The host asked for.
        host: String,
        /// Those there are.
        known: String,
    },
    /// A saved state in the cache that QEMU does not take.
    #[error("the saved machine {} is damaged and was removed: {why}; it is made again", path.display())]
    DamagedState {
        /// Its file.
        path: PathBuf,
        /// What QEMU said.
        why: String,
    },
    /// It was started by another QEMU, or another version of this program.
    #[error(
        "the lab `{lab}` runs, but was started by another QEMU, with another command line or from other images than there are now; end it with `vifbench lab down`, and the next run starts the machine of today"
    )]
    OtherMachine {
        /// The lab.
        lab: String,
    },
    /// QEMU gave no sign any more.
    #[error(
        "the virtual machine did not {doing} for {} s by the clock on the wall: it is stuck, or the disk or the processors have too much else to do",
        waited.as_secs()
    )]
    Stuck {
        /// What was attempted.
        doing: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A run was cut short in a sealed trial.
    #[error(
        "the lab `{lab}` is sealed, so nothing reaches its machines: a run was cut short; `vifbench undo dom0` opens it again"
    )]
    Sealed {
        /// The lab.
        lab: String,
    },
    /// A saved state that does not exist.
    #[error("the lab `{lab}` has no saved state `{tag}`")]
    NoSuchState {
        /// The lab.
        lab: String,
        /// The state's name.
        tag: String,
    },
}
