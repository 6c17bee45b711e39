//! Whether the machines of a lab are real or emulated, and what follows from that for probes and logins.

use std::time::Duration;

use vifbench_provisioning::ssh::SshOptions;
use vifbench_scenarios::lab::Lab;
use vifbench_wire::protocol::Pace;

/// A login's cryptography takes an emulated machine seconds, and more where the controller is busy.
const EMULATED_LOGIN: Duration = Duration::from_secs(40);

/// What the machines of a lab are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineKind {
    /// Hardware: its clocks show the time of the world.
    Real,
    /// QEMU: all hosts share one processor, and their clocks show virtual time.
    Emulated,
}

impl MachineKind {
    /// What the lab file says.
    pub fn of(lab: &Lab) -> Self {
        if lab.is_virtual {
            Self::Emulated
        } else {
            Self::Real
        }
    }

    /// How a generator waits for a packet's time. Hosts of an emulated machine share one processor: one that spins keeps the
    /// others from running.
    pub fn pace(self) -> Pace {
        match self {
            Self::Real => Pace::Spin,
            Self::Emulated => Pace::Sleep,
        }
    }

    /// How to log in, in the lab's network.
    pub fn ssh_options(self) -> SshOptions {
        match self {
            Self::Real => SshOptions::default(),
            Self::Emulated => SshOptions {
                connect_timeout: EMULATED_LOGIN,
                ..SshOptions::default()
            },
        }
    }
}
