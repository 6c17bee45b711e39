//! What is known of a domain.

use std::fmt;

/// One domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Domain id; 0 is dom0.
    pub domid: u32,
    /// Its name; empty for a domain that is just coming or going.
    pub name: String,
    /// Its UUID in lower case with dashes.
    pub uuid: Option<String>,
    /// CPU time since its creation, in nanoseconds.
    pub cpu_ns: u64,
    /// Virtual CPUs that are online.
    pub vcpus: u32,
    /// Memory it has, in KiB (through `xl`: rounded down to MiB).
    pub memory_kib: u64,
    /// What it does.
    pub state: State,
}

/// What a domain does. Where the hypervisor names several, the first of these from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Could run, but does not just now.
    Runnable,
    /// Waits for an event.
    Blocked,
    /// On a CPU.
    Running,
    /// Stopped by the toolstack.
    Paused,
    /// Has shut down and is kept.
    Shutdown,
    /// Has crashed and is kept.
    Crashed,
    /// On its way out.
    Dying,
}

/// The flags of a domain as Xen gives them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    pub running: bool,
    pub blocked: bool,
    pub paused: bool,
    pub shutdown: bool,
    pub crashed: bool,
    pub dying: bool,
}

impl From<Flags> for State {
    fn from(flags: Flags) -> Self {
        match flags {
            Flags { dying: true, .. } => Self::Dying,
            Flags { crashed: true, .. } => Self::Crashed,
            Flags { shutdown: true, .. } => Self::Shutdown,
            Flags { paused: true, .. } => Self::Paused,
            Flags { running: true, .. } => Self::Running,
            Flags { blocked: true, .. } => Self::Blocked,
            _ => Self::Runnable,
        }
    }
}

/// The hypervisor's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The 4 of 4.17.
    pub major: u32,
    /// The 17 of 4.17.
    pub minor: u32,
    /// What follows, as in `.7`.
    pub extra: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.major, self.minor, self.extra)
    }
}
