//! Who may use a lab just now: a lock on this controller, and a lease on the host itself.
//!
//! The lock keeps two runs of one controller apart and goes with its process. The lease keeps two controllers
//! apart: a file on the host that says who holds it and until when, in the host's own time since boot, so that
//! it means the same in a lab with virtual time. It expires by itself when its owner no longer renews it.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vifbench_scenarios::lab::HostName;

use crate::connection::unique;
use crate::host::{BOOT_ID, Host, HostError};
use crate::lock;
use crate::shell::quote;
use crate::state::{StateError, file_of};

/// Where the lease lies on a host: gone after a restart.
pub const LEASE_FILE: &str = "/run/vifbench.lease";

/// Why a lab cannot be used.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// The lock's place cannot be told.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another process of this controller uses the lab.
    #[error("the lab {lab} is in use here by {by}: wait for it, or end it first")]
    InUse {
        /// Which lab.
        lab: String,
        /// What that process wrote of itself.
        by: String,
    },
    /// The lock file cannot be used.
    #[error("cannot lock the lab {lab} by {}: {source}", path.display())]
    Lock {
        /// Which lab.
        lab: String,
        /// The lock file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Somebody else holds the host.
    #[error("{host} is leased to {owner} {}: wait, ask them, or, if they are gone, remove {path} on {host}", remaining(*left))]
    Held {
        /// Which host.
        host: HostName,
        /// Who.
        owner: String,
        /// For how much longer; none where it does not expire.
        left: Option<Duration>,
        /// The lease file.
        path: String,
    },
    /// Our lease expired or was taken off, and maybe somebody else has the host now.
    #[error(
        "the lease on {host} is no longer ours ({now}): another user may have changed the host, so what was measured since the last renewal cannot be trusted"
    )]
    Taken {
        /// Which host.
        host: HostName,
        /// What is there now.
        now: String,
    },
    /// The host's answer makes no sense.
    #[error("cannot {doing} the lease {path} on {host}: {why}")]
    Broken {
        /// Which host.
        host: HostName,
        /// `take`, `renew` or `release`.
        doing: &'static str,
        /// The lease file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The host did not answer.
    #[error(transparent)]
    Host(#[from] HostError),
}

fn remaining(left: Option<Duration>) -> String {
    match left {
        None => "until it is released".to_owned(),
        Some(left) if left.as_secs() < 120 => format!("for another {} s", left.as_secs()),
        Some(left) => format!("for another {} min", left.as_secs() / 60),
    }
}

/// This controller's claim on a lab. Ends with the value, and with the process however it ends.
#[derive(Debug)]
pub struct LabLock {
    lab: String,
    path: PathBuf,
    file: File,
}

impl Drop for LabLock {
    fn drop(&mut self) {
        lock::release(&self.file);
    }
}

impl LabLock {
    /// Takes the lab for this process. `owner` is shown to others: who, and doing what.
    ///
    /// # Errors
    /// When another process has it.
    pub fn take(state: &Path, lab: &str, owner: &str) -> Result<Self, LeaseError> {
        let folder = state.join("lease");
        let path = file_of(&folder, lab, ".lock")?;
        let failed = |source| LeaseError::Lock {
            lab: lab.to_owned(),
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        if !lock::take(&file).map_err(failed)? {
            let mut by = String::new();
            file.read_to_string(&mut by).map_err(failed)?;
            return Err(LeaseError::InUse {
                lab: lab.to_owned(),
                by: by.trim().to_owned(),
            });
        }
        let mut lock = Self {
            lab: lab.to_owned(),
            path: path.clone(),
            file,
        };
        lock.show(owner)?;
        Ok(lock)
    }

    /// Shows this to others from now on: who has the lab, and doing what.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn show(&mut self, owner: &str) -> Result<(), LeaseError> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{owner} (process {})", std::process::id())
        };
        write().map_err(|source| LeaseError::Lock {
            lab: self.lab.clone(),
            path: self.path.clone(),
            source,
        })
    }

    /// Who has the lab: what its process wrote of itself.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn holder(state: &Path, lab: &str) -> Result<Option<String>, LeaseError> {
        let path = file_of(&state.join("lease"), lab, ".lock")?;
        let failed = |source| LeaseError::Lock {
            lab: lab.to_owned(),
            path: path.clone(),
            source,
        };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if lock::take(&file).map_err(failed)? {
            lock::release(&file);
            return Ok(None);
        }
        let mut by = String::new();
        file.read_to_string(&mut by).map_err(failed)?;
        Ok(Some(by.trim().to_owned()))
    }
}

/// What stands in the lease file. Numbers are seconds of the host's time since boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    owner: String,
    token: String,
    boot_id: String,
    taken_s: u64,
    /// 0: does not expire.
    expires_s: u64,
}

/// The terms on which a host is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Time without a renewal after which it is free, in the host's time (whole seconds, at least one); none: it
    /// does not expire. In virtual time idle hours pass in seconds: use none there.
    pub expiry: Option<Duration>,
    /// Take it even from somebody else. Right for a virtual lab, which only the holder of its [`LabLock`] can
    /// reach: whatever lease is there was left by a controller that died.
    pub take_over: bool,
}

impl Terms {
    /// For a machine that others can reach.
    pub fn shared(expiry: Duration) -> Self {
        Self {
            expiry: Some(expiry),
            take_over: false,
        }
    }
    /// For a virtual lab of this controller.
    pub fn own() -> Self {
        Self {
            expiry: None,
            take_over: true,
        }
    }
}

/// A host held for us. It is not released by a drop, which could neither wait nor fail: call
/// [`HostLease::release`], or let it expire.
#[derive(Debug)]
#[must_use = "release it at the end"]
pub struct HostLease {
    owner: String,
    token: String,
    path: String,
    terms: Terms,
}

/// Something the user should know: whose expired lease was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// Who had it.
    pub owner: String,
    /// Why it no longer counts.
    pub why: &'static str,
}

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "took over the lease of {}: {}", self.owner, self.why)
    }
}

/// What the script says first.
struct Answer<'a> {
    word: &'a str,
    now_s: u64,
    /// The lease that was there before: its record, or the text that is none.
    before: Option<Result<Record, String>>,
}

impl HostLease {
    /// Takes the host. `owner` is shown to others: who, from where, for which lab. A lease of the same owner is
    /// taken over: whoever holds the lab's [`LabLock`] is the only one of that name, so it was left by a run of
    /// ours that was killed.
    ///
    /// # Errors
    /// [`LeaseError::Held`] when somebody else has it.
    pub fn take(
        host: &mut dyn Host,
        owner: &str,
        terms: Terms,
        deadline: Duration,
    ) -> Result<(Self, Option<TakenOver>), LeaseError> {
        Self::take_at(host, LEASE_FILE, owner, terms, deadline)
    }

    /// As [`HostLease::take`], with the lease in another file.
    ///
    /// # Errors
    /// As [`HostLease::take`].
    pub fn take_at(
        host: &mut dyn Host,
        path: &str,
        owner: &str,
        terms: Terms,
        deadline: Duration,
    ) -> Result<(Self, Option<TakenOver>), LeaseError> {
        let lease = Self {
            owner: owner.to_owned(),
            token: unique(),
            path: path.to_owned(),
            terms,
        };
        let verdict = if terms.take_over { "true" } else { "false" };
        let note = lease.write(
            host,
            "take",
            &format!(
                "[ ! -e \"$f\" ] || {verdict} || [ \"$(field owner)\" = {} ]",
                quote(owner)
            ),
            deadline,
        )?;
        Ok((lease, note))
    }

    /// Extends the lease from now on. Sends traffic to the host: not during a trial.
    ///
    /// # Errors
    /// [`LeaseError::Taken`] when it is not ours any more.
    pub fn renew(&self, host: &mut dyn Host, deadline: Duration) -> Result<(), LeaseError> {
        match self.write(host, "renew", "false", deadline) {
            Ok(_) => Ok(()),
            Err(LeaseError::Held { host, owner, .. }) => Err(LeaseError::Taken {
                host,
                now: format!("{owner} has it"),
            }),
            Err(error) => Err(error),
        }
    }

    /// Gives the host back. A lease that is no longer ours is left alone.
    ///
    /// # Errors
    /// When the host does not answer: then it expires by itself.
    pub fn release(self, host: &mut dyn Host, deadline: Duration) -> Result<(), LeaseError> {
        let script = format!(
            "{}\nif [ \"$token\" = {} ]; then rm -f \"$f\" || exit 74; fi\nprintf 'released %s\\n' \"$now\"",
            self.preamble(),
            quote(&self.token),
        );
        self.ask(host, "release", &script, deadline).map(drop)
    }

    /// Under the lock: what time it is, and what the file says now.
    fn preamble(&self) -> String {
        format!(
            "f={path}\n\
             exec 9>>\"$f.lock\" && flock -w 10 9 || exit 75\n\
             now=$(cut -d. -f1 /proc/uptime) && boot=$(cat {BOOT_ID}) || exit 74\n\
             field() {{ sed -n 's/.*\"'\"$1\"'\":\"*\\([^\",}}]*\\).*/\\1/p' \"$f\" 2>/dev/null; }}\n\
             token=$(field token); held=$(field boot_id); until=$(field expires_s)\n\
             old=$(cat \"$f\" 2>/dev/null)",
            path = quote(&self.path),
        )
    }

    /// Writes our record if the file is ours, void or expired, or if `also` holds.
    fn write(
        &self,
        host: &mut dyn Host,
        doing: &'static str,
        also: &str,
        deadline: Duration,
    ) -> Result<Option<TakenOver>, LeaseError> {
        let owner = serde_json::Value::String(self.owner.clone()).to_string();
        let expires = match self.terms.expiry {
            None => "0".to_owned(),
            Some(expiry) => format!("$((now + {}))", expiry.as_secs().max(1)),
        };
        // A renewal of a file that is gone must not succeed: somebody took it off on purpose.
        let script = format!(
            "{preamble}\n\
             void=\n\
             if [ -e \"$f\" ] && [ \"$token\" != {token} ]; then\n\
               if [ -n \"$held\" ] && [ \"$held\" != \"$boot\" ]; then void=restarted\n\
               elif [ \"${{until:-0}}\" -ne 0 ] && [ \"$until\" -le \"$now\" ]; then void=expired\n\
               fi\n\
             fi\n\
             if [ {doing} = renew ] && [ \"$token\" != {token} ]; then\n\
               printf 'held %s\\n%s\\n' \"$now\" \"$old\"; exit 0\n\
             fi\n\
             if [ \"$token\" = {token} ] || [ -n \"$void\" ] || {also}; then\n\
               printf '{{\"version\":1,\"owner\":%s,\"token\":\"%s\",\"boot_id\":\"%s\",\"taken_s\":%s,\"expires_s\":%s}}\\n' \
                 {owner} {token} \"$boot\" \"$now\" \"{expires}\" > \"$f.new\" && mv -f \"$f.new\" \"$f\" || exit 74\n\
               printf '%s %s\\n%s\\n' \"taken${{void:+-$void}}\" \"$now\" \"$old\"\n\
             else\n\
               printf 'held %s\\n%s\\n' \"$now\" \"$old\"\n\
             fi",
            preamble = self.preamble(),
            token = quote(&self.token),
            owner = quote(&owner),
        );
        let text = self.ask(host, doing, &script, deadline)?;
        let name = host.name().clone();
        let answer = parse(&text).map_err(|why| self.broken(&name, doing, why))?;
        match answer.word {
            "held" => match answer.before {
                None => Err(LeaseError::Taken {
                    host: name,
                    now: "nobody has it".to_owned(),
                }),
                Some(Err(text)) => {
                    let why =
                        format!("it holds `{text}`: if no vifbench uses that host, remove it");
                    Err(self.broken(&name, doing, why))
                }
                Some(Ok(record)) => {
                    let left = record.expires_s.saturating_sub(answer.now_s);
                    Err(LeaseError::Held {
                        host: name,
                        owner: record.owner,
                        left: (record.expires_s != 0).then_some(Duration::from_secs(left)),
                        path: self.path.clone(),
                    })
                }
            },
            word => {
                let why = match word {
                    "taken-restarted" => "the host restarted since",
                    "taken-expired" => "it had expired",
                    "taken" => "its controller is gone",
                    other => {
                        return Err(self.broken(&name, doing, format!("it answered `{other}`")));
                    }
                };
                Ok(match answer.before {
                    Some(Ok(before)) if before.token != self.token => Some(TakenOver {
                        owner: before.owner,
                        why,
                    }),
                    Some(Err(text)) => Some(TakenOver {
                        owner: format!("nobody known ({text})"),
                        why,
                    }),
                    _ => None,
                })
            }
        }
    }

    fn broken(&self, host: &HostName, doing: &'static str, why: String) -> LeaseError {
        LeaseError::Broken {
            host: host.clone(),
            doing,
            path: self.path.clone(),
            why,
        }
    }

    fn ask(
        &self,
        host: &mut dyn Host,
        doing: &'static str,
        script: &str,
        deadline: Duration,
    ) -> Result<String, LeaseError> {
        let output = host.run(script, deadline)?;
        if output.status == 0 {
            return Ok(output.text());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let why = match output.status {
            75 => format!("its lock is held by another process there (or flock is missing) {said}"),
            status => format!("status {status}: {said}"),
        };
        Err(self.broken(host.name(), doing, why))
    }
}

fn parse(text: &str) -> Result<Answer<'_>, String> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (word, now) = first
        .split_once(' ')
        .ok_or_else(|| format!("it answered `{text}`"))?;
    let now_s = now
        .parse()
        .map_err(|_| format!("it gave its uptime as `{now}`"))?;
    let rest = rest.trim();
    let before =
        (!rest.is_empty()).then(|| serde_json::from_str(rest).map_err(|_| rest.to_owned()));
    Ok(Answer {
        word,
        now_s,
        before,
    })
}
