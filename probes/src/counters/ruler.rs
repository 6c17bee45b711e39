//! The ruler: what a host is, recorded so that runs on different rulers are not compared unawares.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::utsname::uname;
use thiserror::Error;
use vifbench_wire::protocol::Ruler;

use crate::counters::ethtool::{Ethtool, EthtoolError};
use crate::libpcap;

/// Why a host could not be described.
#[derive(Debug, Error)]
pub enum RulerError {
    /// The driver did not answer.
    #[error(transparent)]
    Ethtool(#[from] EthtoolError),
    /// A file of the kernel's could not be read.
    #[error("cannot describe the host: {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel's name could not be had.
    #[error("cannot describe the host: uname: {0}")]
    Uname(io::Error),
}

/// A file's trimmed text.
fn read(path: impl AsRef<Path>) -> Result<String, RulerError> {
    let path = path.as_ref();
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) => Err(RulerError::Read {
            path: path.to_owned(),
            error,
        }),
    }
}

/// As [`read`], for files that not every host or driver has.
fn optional(path: impl AsRef<Path>) -> Option<String> {
    read(path).ok().filter(|text| !text.is_empty())
}

/// Describes this host and the interfaces named.
///
/// # Errors
/// When one of the interfaces does not exist, or `/proc` or `/sys` is not there.
pub fn describe(interfaces: &[String]) -> Result<Ruler, RulerError> {
    let uname = uname().map_err(|error| RulerError::Uname(error.into()))?;
    let mut properties = Vec::new();
    for interface in interfaces {
        for (property, value) in interface_properties(interface)? {
            properties.push((interface.clone(), property, value));
        }
    }
    Ok(Ruler {
        kernel: format!(
            "{} {}",
            uname.release().to_string_lossy(),
            uname.version().to_string_lossy()
        ),
        clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource")?,
        xen: xen(),
        cmdline: read("/proc/cmdline")?,
        cpu: cpu(&read("/proc/cpuinfo")?),
        libpcap: libpcap::version(),
        interfaces: properties,
        modules: xen_modules()?,
    })
}

fn interface_properties(interface: &str) -> Result<Vec<(String, String)>, RulerError> {
    let ethtool = Ethtool::new(interface)?;
    let folder = PathBuf::from("/sys/class/net").join(interface);
    let mut properties: Vec<(String, String)> = Vec::new();
    // Not every kind of interface has a driver that says who it is (lo has none).
    if let Ok(driver) = ethtool.driver() {
        let fields = [
            ("driver", driver.driver),
            ("driver-version", driver.version),
            ("firmware", driver.firmware),
            ("bus", driver.bus),
        ];
        properties.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
    properties.push(("mtu".to_owned(), read(folder.join("mtu"))?));
    properties.push(("address".to_owned(), read(folder.join("address"))?));
    for file in [
        "speed",
        "duplex",
        "tx_queue_len",
        "threaded",
        "gro_flush_timeout",
        "napi_defer_hard_irqs",
    ] {
        // `speed` and `duplex` are not readable without a link.
        properties.extend(optional(folder.join(file)).map(|value| (file.to_owned(), value)));
    }
    properties.extend(queues(&folder));
    let stamps = ethtool.timestamping()?;
    properties.push(("timestamping".to_owned(), stamps.names().join(" ")));
    if let Some(phc) = stamps.phc {
        properties.push(("phc".to_owned(), phc.to_string()));
    }
    for (feature, on) in ethtool.features()? {
        properties.push((feature, if on { "on" } else { "off" }.to_owned()));
    }
    Ok(properties)
}

fn queues(interface: &Path) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(interface.join("queues")) else {
        return Vec::new();
    };
    let names: Vec<_> = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    let count = |kind: &str| {
        names
            .iter()
            .filter(|name| name.starts_with(kind))
            .count()
            .to_string()
    };
    vec![
        ("rx-queues".to_owned(), count("rx-")),
        ("tx-queues".to_owned(), count("tx-")),
    ]
}

fn xen() -> Option<String> {
    let folder = Path::new("/sys/hypervisor");
    if optional(folder.join("type"))? != "xen" {
        return None;
    }
    let version = ["major", "minor", "extra"]
        .map(|part| optional(folder.join("version").join(part)).unwrap_or_default());
    let mut text = format!("{}.{}{}", version[0], version[1], version[2]);
    let facts = [
        "guest_type",
        "properties/features",
        "properties/capabilities",
        "compilation/compiled_by",
    ];
    for fact in facts {
        if let Some(value) = optional(folder.join(fact)) {
            let name = fact.rsplit('/').next().unwrap_or(fact);
            text = format!("{text}; {name} {value}");
        }
    }
    Some(text)
}

fn cpu(cpuinfo: &str) -> String {
    let values = |key: &str| {
        cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.trim() == key)
            .map(|(_, value)| value.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let count = values("processor").len();
    let model = values("model name")
        .into_iter()
        .next()
        .unwrap_or_else(|| "unknown".to_owned());
    format!("{count} x {model}")
}

/// Loaded modules of Xen's, with what identifies the code that runs.
fn xen_modules() -> Result<Vec<(String, String, String)>, RulerError> {
    let folder = PathBuf::from("/sys/module");
    let failed = |error| RulerError::Read {
        path: folder.clone(),
        error,
    };
    let mut modules = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Built-in code has a folder too, for its parameters, but no state.
        if !name.starts_with("xen") || !entry.path().join("initstate").exists() {
            continue;
        }
        // Debian's kernels are built without source versions: there the build-id alone tells.
        let srcversion = optional(entry.path().join("srcversion")).unwrap_or_default();
        let note = fs::read(entry.path().join("notes/.note.gnu.build-id")).unwrap_or_default();
        modules.push((name, srcversion, build_id(&note).unwrap_or_default()));
    }
    modules.sort();
    Ok(modules)
}

/// The GNU build-id in an ELF note section, in hex.
pub fn build_id(note: &[u8]) -> Option<String> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let mut rest = note;
    while let Some((head, body)) = rest.split_at_checked(12) {
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name_len, desc_len, kind) = (word(0) as usize, word(4) as usize, word(8));
        let desc_at = name_len.checked_next_multiple_of(4)?;
        let name = body.get(..name_len)?;
        let desc = body.get(desc_at..desc_at.checked_add(desc_len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            let hex = desc.iter().map(|byte| format!("{byte:02x}"));
            return Some(hex.collect::<Vec<_>>().concat());
        }
        rest = body.get(desc_at.checked_add(desc_len.checked_next_multiple_of(4)?)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn describes_this_host() {
        let ruler = describe(&["lo".to_owned()]).unwrap();
        assert!(
            ruler.libpcap.starts_with("libpcap version"),
            "{}",
            ruler.libpcap
        );
        assert!(
            ruler
                .interfaces
                .contains(&("lo".into(), "mtu".into(), "65536".into()))
        );
        assert!(
            ruler
                .interfaces
                .contains(&("lo".into(), "loopback".into(), "on".into()))
        );
        assert!(!ruler.kernel.is_empty() && !ruler.clocksource.is_empty());
        assert!(describe(&["no-such-nic".to_owned()]).is_err());
    }

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let note = |kind: u32, name: &[u8], desc: &[u8]| {
            let mut out = Vec::new();
            for word in [name.len() as u32, desc.len() as u32, kind] {
                out.extend(word.to_ne_bytes());
            }
            for part in [name, desc] {
                out.extend(part);
                out.resize(out.len().next_multiple_of(4), 0);
            }
            out
        };
        let mut section = note(1, b"Linux\0", &[1, 2, 3]);
        section.extend(note(3, b"GNU\0", &[0xde, 0xad, 0xbe, 0xef]));
        assert_eq!(build_id(&section).as_deref(), Some("deadbeef"));
        assert_eq!(build_id(&section[..20]), None);
    }

    #[test]
    fn counts_processors() {
        let text = "processor\t: 0\nmodel name\t: A CPU\nprocessor\t: 1\nmodel name\t: A CPU\n";
        assert_eq!(cpu(text), "2 x A CPU");
    }

    proptest! {
        #[test]
        fn any_note_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            build_id(&bytes);
        }
    }
}
