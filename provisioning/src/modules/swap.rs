//! Swaps netback in dom0 and netfront in the guests without a restart, and back.
//!
//! SSH to a guest goes through the very vif that has to go, and any step may be the last that the controller lives
//! to see. So each machine gets a script (`swap-dom0.sh`, `swap-guest.sh`) that runs apart from the session, brings
//! the packaged modules back by itself where the others do not work, and leaves a status file. The guests' scripts
//! stay, asleep, and restore the network whenever dom0 has given the vifs back: so each machine can be undone on its
//! own, in any order. The packaged modules under `/lib/modules` are never touched: they are the stock pair.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;
use vifbench_scenarios::lab::HostName;
use vifbench_store::ModuleProof;
use vifbench_wait::{Limit, Over};

use super::builder::BuiltModules;
use super::module_file::ModuleFile;
use super::proof::{self, ProofError};
use super::{NETBACK, NETFRONT, file_name};
use crate::host::{Host, HostError, HostExt as _};

/// On every machine: in memory, and root's alone. A file `spacer` in it names a module that is to be loaded before the
/// new one, so that this one lies elsewhere.
pub const FOLDER: &str = "/run/vifbench-modules";
const COMMON: &str = include_str!("swap-common.sh");
/// The line that [`COMMON`] takes the place of: fewer files, fewer round trips.
const SOURCE_COMMON: &str = ". \"$here/swap-common.sh\"\n";
const DOM0: (&str, &str) = ("swap-dom0.sh", include_str!("swap-dom0.sh"));
const GUEST: (&str, &str) = ("swap-guest.sh", include_str!("swap-guest.sh"));

/// How long a script waits on the machine before it is asked again. Short, so that nothing is left waiting there when
/// a connection breaks. (It is counted by the machine's clock, which in the virtual lab runs ahead of the controller's;
/// what counts is the controller's deadline.)
const ASK_SECONDS: u32 = 20;
/// The same for the undo steps, which nobody repeats. The scripts bound their own steps.
const UNDO_SECONDS: u32 = 3600;

/// How long a guest that was undone goes on to watch over its network.
const WATCH_SECONDS: u32 = 3600;

/// How long the remote steps may take, by the controller's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// One short step: a file, a command.
    pub step: Duration,
    /// The swap in dom0, from taking the vifs away to all connected again.
    pub dom0: Duration,
    /// A guest's return, after dom0 is done.
    pub guest: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(60),
            dom0: Duration::from_secs(600),
            guest: Duration::from_secs(180),
        }
    }
}

/// Which pair is to be live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pair {
    /// The packaged modules.
    Stock,
    /// Built ones.
    Built(Box<BuiltModules>),
}

impl Pair {
    /// `stock`, or the variant of the series.
    pub fn series(&self) -> &str {
        match self {
            Self::Stock => "stock",
            Self::Built(modules) => &modules.series,
        }
    }
}

/// A guest whose vif will be away during the swap.
pub struct Guest<'a> {
    /// Its domain's name in dom0.
    pub domain: String,
    /// The way to it.
    pub host: &'a mut dyn Host,
    /// Swap its netfront too; otherwise the packaged one stays and only its network is brought back.
    pub swap: bool,
}

/// The way back for one machine, for its undo stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoStep {
    /// On which machine.
    pub host: HostName,
    /// What was changed, for a person.
    pub description: String,
    /// The shell command that changes it back. Idempotent, and void after a restart.
    pub inverse: String,
}

/// Why modules could not be swapped.
#[derive(Debug, Error)]
pub enum SwapError {
    /// A host did not do its part.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The proof.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A built module's file on this machine.
    #[error("cannot read the module {}: {source}; build it again with `vifbench patches build`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The modules are for another kernel.
    #[error(
        "{host} runs Linux {running}, but the modules were built for {built}; build them for {running} (`vifbench patches build --release {running}`)"
    )]
    OtherKernel {
        /// Where.
        host: HostName,
        /// Its kernel.
        running: String,
        /// The modules'.
        built: String,
    },
    /// A symbol has another version than in the packaged module.
    #[error(
        "{module} wants another version of the symbol {symbol} than the packaged module on {host}; it was built from other headers than those of the host's kernel"
    )]
    OtherSymbol {
        /// Where.
        host: HostName,
        /// Which module.
        module: String,
        /// Which symbol.
        symbol: String,
    },
    /// A domain has a vif and is no part of the lab.
    #[error(
        "the domain {domain} on {dom0} has a vif, but is not in the lab file: its network would be cut and not restored; shut it down or add it to the lab; nothing was changed"
    )]
    Stranger {
        /// Where.
        dom0: HostName,
        /// Which.
        domain: String,
    },
    /// The kernel refuses a module.
    #[error("{host} does not load {module}: {why}{}{}{}", load_hint(why, dmesg), back(*restored), kernel_log(dmesg))]
    DoesNotLoad {
        /// Where.
        host: HostName,
        /// Which.
        module: &'static str,
        /// What `insmod` said.
        why: String,
        /// The packaged module runs again.
        restored: bool,
        /// The kernel's last lines.
        dmesg: String,
    },
    /// Another step of the swap failed.
    #[error("the swap on {host} failed while it was to {}: {why}{}{}", doing(step), back(*restored), kernel_log(dmesg))]
    Failed {
        /// Where.
        host: HostName,
        /// At which step.
        step: String,
        /// What went wrong, and on which vif.
        why: String,
        /// The packaged module runs again.
        restored: bool,
        /// The kernel's last lines.
        dmesg: String,
    },
    /// It did not end.
    #[error(
        "the swap on {host} did not end within {deadline:?}; it was to {}; it may still be going on there: `vifbench undo` waits for it and brings the packaged modules back",
        doing(step)
    )]
    DidNotEnd {
        /// Where.
        host: HostName,
        /// What it was doing.
        step: String,
        /// The deadline.
        deadline: Duration,
    },
    /// A guest is not reached any more.
    #[error(
        "the guest {guest} did not come back within {deadline:?} after its vif had gone for the swap: {last}; see its console (in the virtual lab `vifbench lab console {guest}`)"
    )]
    GuestDidNotComeBack {
        /// Which.
        guest: HostName,
        /// The deadline.
        deadline: Duration,
        /// What the last attempt met.
        last: String,
    },
    /// A status that no script of ours writes.
    #[error("the swap on {host} left a status that cannot be read: {text}")]
    BadStatus {
        /// Where.
        host: HostName,
        /// What was read.
        text: String,
    },
}

fn doing(step: &str) -> &str {
    match step {
        "start" => "start",
        "record" => "record the vifs",
        "detach" => "take the vifs away",
        "unload" => "unload the old module",
        "load" => "load the new module",
        "attach" => "give the vifs back",
        "connect" => "connect the vifs again",
        "restore" => "restore the guest's network",
        "roll-back" => "bring the packaged module back",
        other => other,
    }
}

fn back(restored: bool) -> &'static str {
    if restored {
        "; the packaged module is live"
    } else {
        ""
    }
}

fn kernel_log(dmesg: &str) -> String {
    if dmesg.is_empty() {
        String::new()
    } else {
        format!("\nthe kernel's last lines:\n{dmesg}")
    }
}

/// What the kernel means.
fn load_hint(why: &str, dmesg: &str) -> &'static str {
    let says = |word: &str| why.contains(word) || dmesg.contains(word);
    if says("Key was rejected") || says("Lockdown") || says("module signature") && says("rejected")
    {
        " (it accepts signed modules only, as under Secure Boot; sign the modules with a key enrolled by `mokutil`, or turn Secure Boot off)"
    } else if says("Invalid module format")
        || says("invalid module format")
        || says("disagrees about version")
    {
        " (it was built for another kernel; build it for the release that `uname -r` prints there)"
    } else if says("Unknown symbol") || says("unknown symbol") {
        " (it needs a symbol that this kernel does not have)"
    } else {
        ""
    }
}

/// What a script's `await` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Status {
    state: String,
    step: String,
    live: String,
    why: String,
    /// The network of a guest is not back yet.
    partial: bool,
    dmesg: String,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let (status, dmesg) = text.split_once("--- dmesg\n").unwrap_or((text, ""));
        let field = |key: &str| {
            status
                .lines()
                .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
                .map(|v| v.trim().to_owned())
        };
        Some(Self {
            state: field("state")?,
            step: field("step")?,
            live: field("live")?,
            why: field("why").unwrap_or_default(),
            partial: field("whole").is_some_and(|w| w == "no"),
            dmesg: dmesg.trim_end().to_owned(),
        })
    }

    fn is_over(&self) -> bool {
        self.state == "failed" || self.state == "ok" && !self.partial
    }

    /// The failure that it tells, if it tells one.
    fn result(self, host: &HostName, module: &'static str) -> Result<(), SwapError> {
        if self.state == "ok" {
            return Ok(());
        }
        let host = host.clone();
        let restored = self.live == "stock"
            && self.state == "failed"
            && !self.why.contains("could not be brought back");
        if self.step == "load" {
            return Err(SwapError::DoesNotLoad {
                host,
                module,
                why: self.why,
                restored,
                dmesg: self.dmesg,
            });
        }
        Err(SwapError::Failed {
            host,
            step: self.step,
            why: self.why,
            restored,
            dmesg: self.dmesg,
        })
    }
}

/// dom0 and all guests that have a vif on it.
pub struct ModuleSwap<'a> {
    dom0: &'a mut dyn Host,
    guests: Vec<Guest<'a>>,
    deadlines: Deadlines,
}

impl<'a> ModuleSwap<'a> {
    /// `guests` must be all domains with a vif, also those whose netfront stays.
    pub fn new(dom0: &'a mut dyn Host, guests: Vec<Guest<'a>>, deadlines: Deadlines) -> Self {
        Self {
            dom0,
            guests,
            deadlines,
        }
    }

    /// Checks that the swap can be done and puts files into private folders; changes nothing else. What it returns
    /// undoes the swap and is to be kept before [`Self::run`]; the steps are in the order in which they must run.
    pub fn prepare(&mut self, pair: &Pair) -> Result<Vec<UndoStep>, SwapError> {
        let step = self.deadlines.step;
        for vif in proof::vif_keys(self.dom0, step)? {
            if !self.guests.iter().any(|g| g.domain == vif.domain) {
                return Err(SwapError::Stranger {
                    dom0: self.dom0.name().clone(),
                    domain: vif.domain,
                });
            }
        }
        if let Pair::Built(modules) = pair {
            fits(self.dom0, &modules.netback.file, &modules.release, step)?;
            for guest in self.guests.iter_mut().filter(|g| g.swap) {
                fits(guest.host, &modules.netfront.file, &modules.release, step)?;
            }
        }
        let file = |module: fn(&BuiltModules) -> &PathBuf| match pair {
            Pair::Stock => None,
            Pair::Built(modules) => Some(module(modules)),
        };
        deploy(self.dom0, DOM0, file(|m| &m.netback.path), step)?;
        for guest in &mut self.guests {
            let netfront = file(|m| &m.netfront.path).filter(|_| guest.swap);
            deploy(guest.host, GUEST, netfront, step)?;
        }
        Ok(self.undo_steps())
    }

    /// What brings the packaged pair back, a step for each machine, dom0 first. They do not depend on each other.
    pub fn undo_steps(&self) -> Vec<UndoStep> {
        let step = |host: &HostName, script: &str, what: &str, arguments: &str, rest: &str| {
            UndoStep {
                host: host.clone(),
                description: format!("{what} on {host}"),
                // No script: nothing was swapped, or the machine was restarted, which loads the packaged modules.
                inverse: format!(
                    "test ! -e {FOLDER}/{script} || {{ sh {FOLDER}/{script} start {arguments} && sh {FOLDER}/{script} finish {UNDO_SECONDS}{rest}; }}"
                ),
            }
        };
        let dom0 = step(
            self.dom0.name(),
            DOM0.0,
            "netback swapped",
            "back",
            &format!(" && rm -rf {FOLDER}"),
        );
        let guests = self.guests.iter().map(|guest| {
            let (what, mode) = if guest.swap {
                ("netfront swapped", "back")
            } else {
                ("the network watched", "keep")
            };
            // The watch goes on for a while: dom0 may be undone after its guests.
            step(
                guest.host.name(),
                GUEST.0,
                what,
                &format!("{mode} {WATCH_SECONDS}"),
                "",
            )
        });
        std::iter::once(dom0).chain(guests).collect()
    }

    /// Swaps. When this fails, the undo steps bring everything back.
    pub fn run(&mut self, pair: &Pair, progress: &dyn Fn(&str)) -> Result<(), SwapError> {
        let file = |module: &str| match pair {
            Pair::Stock => "stock".to_owned(),
            Pair::Built(_) => format!("{FOLDER}/{}", file_name(module)),
        };
        let step = self.deadlines.step;
        for guest in &mut self.guests {
            let mode = if guest.swap {
                file(NETFRONT)
            } else {
                "keep".to_owned()
            };
            if guest.swap {
                progress(&format!(
                    "swapping {NETFRONT} on {} ({})",
                    guest.host.name(),
                    pair.series()
                ));
            }
            start(
                guest.host,
                &format!("sh {FOLDER}/{} start {mode}", GUEST.0),
                step,
            )?;
        }
        for guest in &mut self.guests {
            await_guest(guest.host, self.deadlines.guest)?;
        }
        let dom0 = self.dom0.name().clone();
        progress(&format!("swapping {NETBACK} on {dom0} ({})", pair.series()));
        let command = format!("sh {FOLDER}/{} start {}", DOM0.0, file(NETBACK));
        self.dom0.check(&command, step)?;
        match finished(self.dom0, DOM0.0, self.deadlines.dom0)? {
            Finished::Yes(status) => status.result(&dom0, NETBACK)?,
            Finished::GoingOn(status) => {
                return Err(SwapError::DidNotEnd {
                    host: dom0,
                    step: status.step,
                    deadline: self.deadlines.dom0,
                });
            }
            Finished::NoAnswer(error) => return Err((*error).into()),
        }
        for guest in &mut self.guests {
            progress(&format!("waiting for {} to come back", guest.host.name()));
            await_guest(guest.host, self.deadlines.guest)?;
        }
        Ok(())
    }

    /// Proves on every machine which module is live, with the features that the pairs agreed on.
    pub fn prove(&mut self, pair: &Pair) -> Result<Vec<ModuleProof>, SwapError> {
        let step = self.deadlines.step;
        let vifs = proof::vif_keys(self.dom0, step)?;
        let built = match pair {
            Pair::Stock => None,
            Pair::Built(modules) => Some(modules),
        };
        let all = proof::features(&vifs, None);
        let mut proofs = vec![match built {
            Some(modules) => {
                proof::prove(self.dom0, pair.series(), &modules.netback.file, all, step)?
            }
            None => proof::prove_packaged(self.dom0, NETBACK, all, step)?,
        }];
        for guest in &mut self.guests {
            let own = proof::features(&vifs, Some(&guest.domain));
            proofs.push(match built.filter(|_| guest.swap) {
                Some(modules) => {
                    let file = &modules.netfront.file;
                    proof::prove(guest.host, pair.series(), file, own, step)?
                }
                None => proof::prove_packaged(guest.host, NETFRONT, own, step)?,
            });
        }
        Ok(proofs)
    }

    /// Ends the guests' watches and removes what [`Self::prepare`] put there, once the packaged pair is live
    /// everywhere. The undo steps then find nothing to do.
    pub fn clear(&mut self) -> Result<(), SwapError> {
        // The watch has its own process group.
        let command = format!(
            "if [ -d {FOLDER} ]; then cd / && read -r pid < {FOLDER}/pid && grep -q {FOLDER} /proc/$pid/cmdline && kill -TERM -$pid; rm -rf {FOLDER}; fi"
        );
        self.dom0.check(&command, self.deadlines.step)?;
        for guest in &mut self.guests {
            guest.host.check(&command, self.deadlines.step)?;
        }
        Ok(())
    }
}

/// Starts a guest's script. The answer may be lost with the vif that it travels on, so that only a refusal counts:
/// how it went is asked later.
fn start(host: &mut dyn Host, command: &str, deadline: Duration) -> Result<(), SwapError> {
    match host.check(command, deadline) {
        Err(error) if !error.is_outage() => Err(error.into()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The built module is for the kernel that the host runs, and imports what the packaged one imports.
fn fits(
    host: &mut dyn Host,
    built: &ModuleFile,
    release: &str,
    deadline: Duration,
) -> Result<(), SwapError> {
    let (running, packaged) = proof::packaged(host, &built.name, deadline)?;
    if running != release {
        return Err(SwapError::OtherKernel {
            host: host.name().clone(),
            running,
            built: release.to_owned(),
        });
    }
    let other = built
        .symbols
        .iter()
        .find(|(symbol, crc)| packaged.symbols.get(*symbol).is_some_and(|p| p != *crc));
    match other {
        None => Ok(()),
        Some((symbol, _)) => Err(SwapError::OtherSymbol {
            host: host.name().clone(),
            module: built.name.clone(),
            symbol: symbol.clone(),
        }),
    }
}

fn deploy(
    host: &mut dyn Host,
    (name, script): (&str, &str),
    module: Option<&PathBuf>,
    deadline: Duration,
) -> Result<(), SwapError> {
    let folder = Path::new(FOLDER);
    host.check(&format!("umask 077 && mkdir -p {FOLDER}"), deadline)?;
    let script = script.replace(SOURCE_COMMON, COMMON);
    host.deploy(script.as_bytes(), &folder.join(name), 0o700, deadline)?;
    if let Some(path) = module {
        let bytes = std::fs::read(path).map_err(|source| SwapError::File {
            path: path.clone(),
            source,
        })?;
        let file = path.file_name().unwrap_or_default();
        host.deploy(&bytes, &folder.join(file), 0o600, deadline)?;
    }
    Ok(())
}

/// What was last heard of a swap.
enum Finished {
    Yes(Status),
    GoingOn(Status),
    NoAnswer(Box<HostError>),
}

/// Asks a machine how its swap goes, again and again, until it is over or the deadline is. A guest does not answer
/// meanwhile, and a connection from before may be dead.
fn finished(host: &mut dyn Host, script: &str, deadline: Duration) -> Result<Finished, SwapError> {
    const TRY: Duration = Duration::from_secs(60);
    const PAUSE: Duration = Duration::from_millis(200);
    let name = host.name().clone();
    // The exit status says less than the output.
    let command = format!("sh {FOLDER}/{script} finish {ASK_SECONDS} || true");
    let limit = Limit::new(deadline, None);
    loop {
        let asked = Instant::now();
        let last = match host.run(&command, limit.left().min(TRY)) {
            Ok(output) => match Status::parse(&output.text()) {
                Some(status) if status.is_over() => return Ok(Finished::Yes(status)),
                Some(status) => Finished::GoingOn(status),
                None => {
                    return Err(SwapError::BadStatus {
                        host: name,
                        text: output.text(),
                    });
                }
            },
            Err(error) if error.is_outage() => Finished::NoAnswer(Box::new(error)),
            Err(error) => return Err(error.into()),
        };
        // A refused connection comes back at once: not more than a few attempts a second.
        match limit.pause(PAUSE.saturating_sub(asked.elapsed())) {
            Ok(()) => {}
            Err(Over::Deadline) => return Ok(last),
            Err(Over::Cancelled | Over::Poll(_)) => {
                let doing = "wait for the end of the swap".to_owned();
                return Err(HostError::Interrupted { host: name, doing }.into());
            }
        }
    }
}

fn await_guest(host: &mut dyn Host, deadline: Duration) -> Result<(), SwapError> {
    let guest = host.name().clone();
    let last = match finished(host, GUEST.0, deadline)? {
        Finished::Yes(status) => return status.result(&guest, NETFRONT),
        Finished::GoingOn(status) if status.state == "ok" => "its network is not whole".to_owned(),
        Finished::GoingOn(status) => format!("it was to {}", doing(&status.step)),
        Finished::NoAnswer(error) => error.to_string(),
    };
    Err(SwapError::GuestDidNotComeBack {
        guest,
        deadline,
        last,
    })
}

#[cfg(test)]
mod guest_script_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn status(text: &str) -> Result<(), SwapError> {
        Status::parse(text)
            .expect("a status")
            .result(&HostName("dom0".to_owned()), NETBACK)
    }

    #[test]
    fn a_good_status_is_no_error() {
        status("state=ok\nstep=done\nlive=/run/x.ko\n").expect("went well");
    }

    #[test]
    fn a_module_that_does_not_load_is_explained() {
        let error = status(
            "state=failed\nstep=load\nlive=stock\nwhy=insmod: ERROR: could not insert module x.ko: Key was rejected by service \n--- dmesg\n[1] Lockdown: insmod: unsigned module loading is restricted\n",
        )
        .expect_err("failed");
        insta::assert_snapshot!(error, @r"
        dom0 does not load xen_netback: insmod: ERROR: could not insert module x.ko: Key was rejected by service (it accepts signed modules only, as under Secure Boot; sign the modules with a key enrolled by `mokutil`, or turn Secure Boot off); the packaged module is live
        the kernel's last lines:
        [1] Lockdown: insmod: unsigned module loading is restricted
        ");
    }

    #[test]
    fn a_vif_that_does_not_connect_is_named() {
        let error = status(
            "state=failed\nstep=connect\nlive=stock\nwhy=vif2.0 is not connected (backend in state 2, frontend in 1)\n",
        )
        .expect_err("failed");
        insta::assert_snapshot!(error, @"the swap on dom0 failed while it was to connect the vifs again: vif2.0 is not connected (backend in state 2, frontend in 1); the packaged module is live");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC{0,40}\n){0,6}") {
            if let Some(status) = Status::parse(&text) {
                prop_assert!(text.contains(&status.state));
            }
        }
    }
}
