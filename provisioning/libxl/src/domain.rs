//! What is known of a domain, and what is needed to make one.

use std::fmt;
use std::path::PathBuf;

use crate::Error;

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

/// A PV domain to be created. It has no disk: its root is in its ramdisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainConfig {
    /// Its name, which no other domain may have.
    pub name: String,
    /// Kernel image in dom0's file system.
    pub kernel: PathBuf,
    /// Ramdisk in dom0's file system.
    pub ramdisk: Option<PathBuf>,
    /// Kernel command line.
    pub cmdline: String,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Reads of the time stamp counter go to the CPU's own (`tsc_mode = "native"`), never through Xen: what a clock
    /// that all domains share needs.
    pub native_tsc: bool,
    /// Network interfaces.
    pub vifs: Vec<Vif>,
}

/// One network interface of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vif {
    /// MAC address of the domain's end.
    pub mac: [u8; 6],
    /// dom0's bridge that the other end joins.
    pub bridge: String,
}

impl DomainConfig {
    /// Refuses what neither way can express, before anything is touched.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |what: String| {
            Err(Error::BadConfig {
                name: self.name.clone(),
                what,
            })
        };
        let mut texts = vec![
            ("name", self.name.as_str()),
            ("cmdline", self.cmdline.as_str()),
        ];
        texts.extend(self.vifs.iter().map(|vif| ("bridge", vif.bridge.as_str())));
        for path in [Some(&self.kernel), self.ramdisk.as_ref()]
            .into_iter()
            .flatten()
        {
            match path.to_str() {
                Some(text) => texts.push(("path", text)),
                None => return bad(format!("the path {} is not UTF-8", path.display())),
            }
        }
        for (what, text) in texts {
            // An xl.cfg has no escape for these, and no kernel, bridge or name needs them.
            if text
                .chars()
                .any(|c| c.is_control() || c == '"' || c == '\\')
            {
                return bad(format!(
                    "its {what} {text:?} holds a quote, a backslash or a control character"
                ));
            }
        }
        if self.name.is_empty() || self.name.contains(char::is_whitespace) {
            return bad("its name must be one word".to_owned());
        }
        if self.name.bytes().all(|b| b.is_ascii_digit()) {
            return bad("a name of digits only would be taken for a domain id".to_owned());
        }
        for (vif, what) in self
            .vifs
            .iter()
            .flat_map(|vif| [',', '=', ' '].map(|c| (vif, c)))
        {
            if vif.bridge.contains(what) {
                return bad(format!("its bridge `{}` holds {what:?}", vif.bridge));
            }
        }
        if self.vcpus == 0 || self.memory_kib == 0 {
            return bad("it needs at least one vCPU and some memory".to_owned());
        }
        if i32::try_from(self.vcpus).is_err() || i32::try_from(self.vifs.len()).is_err() {
            return bad("it has too many vCPUs or vifs".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn config() -> DomainConfig {
        DomainConfig {
            name: "u9".into(),
            kernel: "/boot/guest/vmlinuz".into(),
            ramdisk: Some("/boot/guest/initrd.img".into()),
            cmdline: "console=hvc0 rdinit=/init".into(),
            memory_kib: 131_072,
            vcpus: 1,
            native_tsc: true,
            vifs: vec![Vif {
                mac: [0, 0x16, 0x3e, 0, 0, 9],
                bridge: "xenbr0".into(),
            }],
        }
    }

    #[test]
    fn refuses_what_would_break_a_configuration_file() {
        assert!(config().check().is_ok());
        for name in ["", "a\"b", "a\nb", "a b", "12", "a\0b"] {
            assert!(
                DomainConfig {
                    name: name.into(),
                    ..config()
                }
                .check()
                .is_err(),
                "{name:?}"
            );
        }
        let mut bridge = config();
        bridge.vifs[0].bridge = "xenbr0,script=/tmp/x".into();
        assert!(bridge.check().is_err());
        assert!(
            DomainConfig {
                cmdline: "a\"\nextra=\"b".into(),
                ..config()
            }
            .check()
            .is_err()
        );
        assert!(
            DomainConfig {
                vcpus: 0,
                ..config()
            }
            .check()
            .is_err()
        );
    }
}
