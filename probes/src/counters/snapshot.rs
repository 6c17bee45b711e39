//! Counters at one moment: interfaces, CPU time, event channels, and files that a scenario names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_wire::protocol::Counters;

use crate::clock::reading::realtime_ns;
use crate::counters::ethtool::{Ethtool, EthtoolError};

/// A kept file may be this long; more is cut off and said so.
const FILE_LIMIT: usize = 1 << 20;

/// Why counters could not be read.
#[derive(Debug, Error)]
pub enum CounterError {
    /// The driver did not answer.
    #[error(transparent)]
    Ethtool(#[from] EthtoolError),
    /// A file of the kernel's could not be read.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

fn read(path: impl AsRef<Path>) -> Result<String, CounterError> {
    let path = path.as_ref();
    fs::read_to_string(path).map_err(|error| CounterError::Read {
        path: path.to_owned(),
        error,
    })
}

/// Reads everything now.
///
/// # Errors
/// When an interface or one of `/proc`'s files cannot be read. A file that a scenario names may be absent.
pub fn take(interfaces: &[String], files: &[PathBuf]) -> Result<Counters, CounterError> {
    let at_ns = realtime_ns();
    let mut counters = Vec::new();
    for interface in interfaces {
        for (name, value) in Ethtool::new(interface)?.statistics()? {
            counters.push((interface.clone(), name, value));
        }
        for (name, value) in link_counters(interface)? {
            counters.push((interface.clone(), format!("link_{name}"), value));
        }
    }
    Ok(Counters {
        at_ns,
        interfaces: counters,
        cpu_ticks: cpu_ticks(&read("/proc/stat")?),
        interrupts: xen_interrupts(&read("/proc/interrupts")?),
        files: files
            .iter()
            .map(|path| kept_file(path).map(|text| (path.clone(), text)))
            .collect::<Result<_, _>>()?,
    })
}

/// `/sys/class/net/*/statistics`, by name.
fn link_counters(interface: &str) -> Result<Vec<(String, u64)>, CounterError> {
    let folder = PathBuf::from("/sys/class/net")
        .join(interface)
        .join("statistics");
    let failed = |error| CounterError::Read {
        path: folder.clone(),
        error,
    };
    let mut counters = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let text = read(entry.path())?;
        let value = text.trim().parse().map_err(|_| CounterError::Read {
            path: entry.path(),
            error: io::Error::other(format!("`{}` is not a number", text.trim())),
        })?;
        counters.push((entry.file_name().to_string_lossy().into_owned(), value));
    }
    counters.sort();
    Ok(counters)
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn cpu_ticks(stat: &str) -> Vec<u64> {
    let first = stat.lines().next().unwrap_or_default();
    first
        .split_whitespace()
        .skip(1)
        .take(8)
        .map_while(|word| word.parse().ok())
        .collect()
}

/// Event channels in `/proc/interrupts`, summed over CPUs and over lines of one name.
///
/// Lines look like ` 61:  5  0  xen-dyn-lateeoi  -event  vif1.0-q0-rx`: the name is what follows the chip and
/// the way it triggers.
fn xen_interrupts(text: &str) -> Vec<(String, u64)> {
    let mut found: Vec<(String, u64)> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if !words.next().is_some_and(|first| first.ends_with(':')) {
            continue;
        }
        let mut sum = 0u64;
        let mut words = words.skip_while(|word| match word.parse::<u64>() {
            Ok(count) => {
                sum += count;
                true
            }
            Err(_) => false,
        });
        // The closure above has run over all counts once the chip's name is out.
        let Some(chip) = words.next().filter(|chip| chip.starts_with("xen-")) else {
            continue;
        };
        let rest: Vec<&str> = words.filter(|word| !word.starts_with('-')).collect();
        let name = if rest.is_empty() {
            chip.to_owned()
        } else {
            rest.join(" ")
        };
        match found.iter_mut().find(|(known, _)| *known == name) {
            Some((_, total)) => *total += sum,
            None => found.push((name, sum)),
        }
    }
    found
}

/// A file's text; none where it is absent. What is not UTF-8 is replaced, what is too long is cut.
fn kept_file(path: &Path) -> Result<Option<String>, CounterError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(CounterError::Read {
                path: path.to_owned(),
                error,
            });
        }
    };
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_LIMIT)]).into_owned();
    if bytes.len() > FILE_LIMIT {
        text.push_str("\n[cut off by vifprobe]\n");
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_host() {
        let absent = PathBuf::from("/sys/kernel/debug/no-such-file");
        let files = [PathBuf::from("/proc/version"), absent.clone()];
        let counters = take(&["lo".to_owned()], &files).unwrap();
        assert_eq!(counters.cpu_ticks.len(), 8);
        let (_, name, _) = counters.interfaces.first().unwrap();
        assert_eq!(name, "link_collisions");
        assert!(counters.files[0].1.as_ref().unwrap().contains("Linux"));
        assert_eq!(counters.files[1], (absent, None));
    }

    #[test]
    fn an_unknown_interface_is_an_error() {
        assert!(take(&["no-such-nic".to_owned()], &[]).is_err());
    }

    #[test]
    fn event_channels_are_found() {
        let text = "           CPU0       CPU1
  1:          9          0   xen-pirq    -ioapic-edge  i8042
 24:      12345         55   xen-percpu    -virq      timer0
 61:          5          2   xen-dyn-lateeoi    -event     vif1.0-q0-rx
 62:          1          1   xen-dyn-lateeoi    -event     vif1.0-q0-rx
 63:          7          0   xen-dyn    -event     evtchn:xenstored
  8:          1          0   IO-APIC   8-edge      rtc0
NMI:          3          4   Non-maskable interrupts
ERR:          0
";
        let expected = [
            ("i8042", 9),
            ("timer0", 12400),
            ("vif1.0-q0-rx", 9),
            ("evtchn:xenstored", 7),
        ];
        assert_eq!(
            xen_interrupts(text),
            expected.map(|(name, n)| (name.to_owned(), n))
        );
        assert_eq!(xen_interrupts(""), []);
    }

    #[test]
    fn ticks_are_the_first_eight() {
        assert_eq!(
            cpu_ticks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1"),
            [1, 2, 3, 4, 5, 6, 7, 8]
        );
        assert!(cpu_ticks("").is_empty());
    }
}
