//! A run in a process of its own, so that whatever ends it leaves the caller alone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vifbench_wait::Cancel;

use crate::error::Failure;
use crate::exit::Exit;

/// How long a run may take to restore its lab after it was told to end.
const GRACE: Duration = Duration::from_secs(300);
/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Names the file into which a process that was started here writes why it failed. What it prints is for people.
const FAILURE_FILE: &str = "VIFBENCH_FAILURE_FILE";

/// Passes the reason of a failure to the process that started this one, if it asked for it.
pub fn pass_on(failure: &Failure) {
    if let Some(file) = std::env::var_os(FAILURE_FILE)
        && let Err(error) = fs::write(&file, failure.to_string())
    {
        tracing::warn!(%error, "cannot write the reason into {}", Path::new(&file).display());
    }
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Its exit code.
    pub exit: Exit,
    /// A verdict, or why there is none.
    pub verdict: String,
    /// One sentence.
    pub reason: String,
    /// Its report, where there is one.
    pub report: Option<PathBuf>,
}

impl Ended {
    /// The name of the run's folder: its report is `RUN/report/index.html`. Names of runs are UTF-8; the path before it, which
    /// the process printed, may have lost what is not.
    pub fn run(&self) -> Option<&str> {
        self.report
            .as_deref()?
            .parent()?
            .parent()?
            .file_name()?
            .to_str()
    }
}

/// Runs `vifbench --format json` with these arguments until it ends, `at_most` is over, or `cancel` says so; the last two as
/// Ctrl-C does: the hosts are restored, and finished trials stay. What it says while it works goes to `log`.
///
/// # Errors
/// The process cannot be started or watched, or what it said cannot be read.
pub fn run(
    arguments: &[OsString],
    log: &Path,
    at_most: Option<Duration>,
    cancel: &Cancel,
) -> Result<Ended, Failure> {
    let program =
        std::env::current_exe().map_err(Failure::io("find the path of", Path::new("vifbench")))?;
    let answer = log.with_extension("answer.part");
    let failure = log.with_extension("failure.part");
    let mut child = Command::new(program)
        .args(["--format", "json", "--ends-with"])
        .arg(std::process::id().to_string())
        .args(arguments)
        .env(FAILURE_FILE, &failure)
        .stdin(Stdio::null())
        .stdout(File::create(&answer).map_err(Failure::io("create", &answer))?)
        .stderr(File::create(log).map_err(Failure::io("create", log))?)
        // A terminal sends Ctrl-C to a whole group of processes. Told by it and by us, a run would take the second time
        // for impatience and leave its lab as it is.
        .process_group(0)
        .spawn()
        .map_err(Failure::io("start", Path::new("vifbench")))?;
    let started = Instant::now();
    let mut told_to_end: Option<Instant> = None;
    let status: Option<ExitStatus> = loop {
        if let Some(status) = child
            .try_wait()
            .map_err(Failure::io("wait for", Path::new("vifbench")))?
        {
            break Some(status);
        }
        let late = at_most.is_some_and(|most| started.elapsed() >= most);
        match told_to_end {
            None if late || cancel.is_cancelled() => {
                told_to_end = Some(Instant::now());
                interrupt(&child)?;
            }
            Some(since) if since.elapsed() >= GRACE => {
                child
                    .kill()
                    .map_err(Failure::io("end", Path::new("vifbench")))?;
                child
                    .wait()
                    .map_err(Failure::io("wait for", Path::new("vifbench")))?;
                break None;
            }
            _ => std::thread::sleep(LOOK),
        }
    };
    let text = fs::read_to_string(&answer).map_err(Failure::io("read", &answer))?;
    let failed = match fs::read_to_string(&failure) {
        Ok(reason) => {
            fs::remove_file(&failure).map_err(Failure::io("remove", &failure))?;
            Some(reason)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::io("read", &failure)(error)),
    };
    fs::remove_file(&answer).map_err(Failure::io("remove", &answer))?;
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let report = value["report"].as_str().map(PathBuf::from);
    if let (Some(most), Some(_), false) = (at_most, told_to_end, cancel.is_cancelled()) {
        let end = if status.is_some() {
            "was ended"
        } else {
            "did not end and was killed"
        };
        return Ok(Ended {
            exit: Exit::Infra,
            verdict: Exit::Infra.word().to_owned(),
            reason: format!(
                "it took longer than {} and {end}; finished trials are kept",
                vifbench_scenarios::units::Span::from_nanos(most.as_nanos() as u64)
            ),
            report,
        });
    }
    let exit = status
        .and_then(|s| s.code())
        .and_then(Exit::of_code)
        .unwrap_or(Exit::Internal);
    let verdict = value["summary"]["verdict"].as_str();
    let reason = value["summary"]["reason"].as_str();
    Ok(Ended {
        exit,
        verdict: verdict.unwrap_or(exit.word()).to_owned(),
        reason: reason
            .or(failed.as_deref())
            .unwrap_or("it ended without a report and without a reason")
            .to_owned(),
        report,
    })
}

fn interrupt(child: &std::process::Child) -> Result<(), Failure> {
    let pid = rustix::process::Pid::from_child(child);
    match rustix::process::kill_process(pid, rustix::process::Signal::INT) {
        // It has ended by itself in between.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(Failure::io("interrupt", Path::new("vifbench"))(
            error.into(),
        )),
    }
}

/// The exit code that several runs end with: of the worst of them.
#[derive(Default)]
pub struct Worst(Option<Exit>);

impl Worst {
    /// From the least to the worst. A lab that failed is no news of the patch, so a regression outweighs that.
    const ORDER: [Exit; 9] = [
        Exit::Pass,
        Exit::Inconclusive,
        Exit::Infra,
        Exit::Output,
        Exit::Usage,
        Exit::Internal,
        Exit::Setup,
        Exit::Regression,
        Exit::DutCrash,
    ];

    /// One more.
    pub fn take(&mut self, exit: Exit) {
        let rank = |exit: Exit| Self::ORDER.iter().position(|o| *o == exit);
        if self.0.is_none_or(|worst| rank(exit) > rank(worst)) {
            self.0 = Some(exit);
        }
    }

    /// The worst of all; PASS of none.
    pub fn exit(&self) -> Exit {
        self.0.unwrap_or(Exit::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_outweighs_a_failed_lab() {
        let mut worst = Worst::default();
        assert_eq!(worst.exit(), Exit::Pass);
        for exit in [Exit::Infra, Exit::Regression, Exit::Pass, Exit::Infra] {
            worst.take(exit);
        }
        assert_eq!(worst.exit(), Exit::Regression);
    }
}
