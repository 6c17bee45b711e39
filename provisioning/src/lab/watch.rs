//! A look-out on every console while a trial runs: a crash ends every wait at once, not at its deadline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use vifbench_wait::Cancel;

use super::console::{self, Follower};
use super::machine::{HOSTS, LOOK, Machine};
use super::{LabError, files};

/// Watches from its making to its end; see [`super::VirtualLab::watch`].
#[derive(Debug)]
pub struct CrashWatch {
    seen: Arc<Mutex<Option<Sighting>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a console told first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The host whose console shows it.
    pub host: String,
    /// The line that says so, or why the consoles cannot be read any more.
    pub why: String,
}

impl CrashWatch {
    /// Begins at the consoles' present ends; `cancel` is cancelled when a console tells of a crash.
    pub(super) fn begin(machine: &Machine, cancel: Cancel) -> Result<Self, LabError> {
        let mut consoles = Vec::new();
        for host in HOSTS {
            let path = machine.console(host);
            let length = std::fs::metadata(&path)
                .map_err(files::failed("read", &path))?
                .len();
            consoles.push((host, Follower::open(&path, length)?));
        }
        let seen = Arc::new(Mutex::new(None));
        let over = Arc::new(AtomicBool::new(false));
        let thread = {
            let (seen, over) = (seen.clone(), over.clone());
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    if let Some(sighting) = look(&mut consoles) {
                        tracing::warn!(host = sighting.host, "{}", sighting.why);
                        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(sighting);
                        if let Err(error) = cancel.cancel() {
                            tracing::warn!(%error, "a wait goes on to its deadline");
                        }
                        return;
                    }
                    thread::sleep(LOOK);
                }
            })
        };
        Ok(Self {
            seen,
            over,
            thread: Some(thread),
        })
    }

    /// What was seen, if anything.
    pub fn sighting(&self) -> Option<Sighting> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for CrashWatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the look-out on the consoles panicked");
        }
    }
}

/// The first crash in what was printed since the last look.
fn look(consoles: &mut [(&'static str, Follower)]) -> Option<Sighting> {
    consoles.iter_mut().find_map(|(host, follower)| {
        let why = match follower.lines() {
            Ok(lines) => lines.into_iter().find(|line| console::is_crash(line))?,
            Err(error) => format!("its console cannot be read: {error}"),
        };
        Some(Sighting {
            host: (*host).to_owned(),
            why,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_crash_on_any_console_ends_every_wait() {
        let folder = tempfile::tempdir().expect("tempdir");
        let machine = Machine::in_folder(folder.path());
        for host in HOSTS {
            fs::write(
                machine.console(host),
                "Kernel panic - not syncing: long ago\n",
            )
            .expect("write");
        }
        let cancel = Cancel::new().expect("eventfd");
        let watch = CrashWatch::begin(&machine, cancel.clone()).expect("begins");
        assert_eq!(
            watch.sighting(),
            None,
            "what was there before does not count"
        );
        let mut file = File::options()
            .append(true)
            .open(machine.console("u2"))
            .expect("open");
        writeln!(file, "Kernel panic - not syncing: now\r").expect("write");
        assert!(cancel.wait(Duration::from_secs(60)));
        let sighting = watch
            .sighting()
            .expect("seen before the token is cancelled");
        assert_eq!(
            (sighting.host.as_str(), sighting.why.as_str()),
            ("u2", "Kernel panic - not syncing: now")
        );
    }
}
