//! `vifbench nightly`: several runs by priority until a deadline, each in a process of its own, so that whatever ends one
//! leaves the others alone.

mod room;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use vifbench_provisioning::wait::Cancel;
use vifbench_reports::history::{self, History};
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::night::{Night, NightRun};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::units::Span;

use super::scenario;
use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::run::traffic::Replays;
use crate::store::write_json;

/// How long a run may take to restore its lab after it was told to end.
const GRACE: Duration = Duration::from_secs(300);
/// How often a running process is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What became of one run of the night.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ended {
    /// The scenario.
    pub scenario: String,
    /// The lab's file, or the virtual lab.
    pub lab: String,
    /// A verdict, or why there is none.
    pub verdict: String,
    /// One sentence.
    pub reason: String,
    /// The run's report, where there is one.
    pub report: Option<PathBuf>,
    /// Attempts that were made.
    pub attempts: u32,
    /// Minutes that all attempts took.
    pub minutes: f64,
}

/// The night as it is written beside the runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// The night's name.
    pub night: String,
    /// When it began.
    pub began: String,
    /// Every run, in the order in which they were begun; those that did not fit at the end.
    pub runs: Vec<Ended>,
    /// What was removed to keep within the room, and series that changed: one sentence each.
    pub notes: Vec<String>,
}

/// Carries out the command.
pub fn run(
    file: &Path,
    out: &Path,
    format: Format,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let night = Night::load(file)?;
    // Whatever is wrong with a file is told now, not at three in the morning.
    for run in &night.runs {
        let asked = scenario::find(&run.scenario)?;
        Replays::read(&asked, &scenario::folder_of(&run.scenario))?;
        if let Some(lab) = &run.lab {
            scenario::fits(&asked, &Lab::load(lab)?)?;
        }
    }
    fs::create_dir_all(out).map_err(Failure::io("create the folder", out))?;
    let began = jiff::Timestamp::now();
    let clock = Clock {
        began: Instant::now(),
        whole: Duration::from_nanos(night.deadline.nanos()),
    };
    let mut told = Told {
        night: night.night.clone(),
        began: began.to_string(),
        runs: Vec::new(),
        notes: Vec::new(),
    };
    let mut worst = Worst::default();
    let task = progress.start("night", Some(night.runs.len() as u64));
    for (done, index) in night.order().into_iter().enumerate() {
        let run = &night.runs[index];
        task.message(&run.scenario);
        let ended = if cancel.is_cancelled() {
            not_begun(run, "the night was interrupted")
        } else if !make_room(&night, out, began, &mut told.notes)? {
            not_begun(run, "there is no room left for its results")
        } else {
            attempts(run, out, &clock, began, cancel, &mut worst)?
        };
        if ended.attempts == 0 {
            worst.take(Exit::Inconclusive);
        }
        progress.note(&format!(
            "{}: {} ({})",
            ended.scenario, ended.verdict, ended.reason
        ));
        told.runs.push(ended);
        task.set(done as u64 + 1);
    }
    told.runs.sort_by_key(|run| run.attempts == 0);
    let history = history::read(out)?;
    history::write_page(out, &history)?;
    told.notes.extend(changed(&history));
    task.finish(&format!(
        "{} of {} begun",
        told.runs.iter().filter(|r| r.attempts > 0).count(),
        night.runs.len()
    ));
    let folder = out.join("nights");
    fs::create_dir_all(&folder).map_err(Failure::io("create the folder", &folder))?;
    let name = format!("{}-{}", began.strftime("%Y%m%d-%H%M%S"), night.night);
    let text = told.to_text();
    let path = folder.join(format!("{name}.txt"));
    fs::write(&path, &text).map_err(Failure::io("write", &path))?;
    write_json(&folder.join(format!("{name}.json")), &told)?;
    match format {
        Format::Text => print!("{text}"),
        Format::Json => println!("{}", serde_json::json!(told)),
    }
    if cancel.is_cancelled() {
        return Err(Failure::Interrupted);
    }
    Ok(worst.exit())
}

/// The night's time.
struct Clock {
    began: Instant,
    whole: Duration,
}

impl Clock {
    fn left(&self) -> Duration {
        self.whole.saturating_sub(self.began.elapsed())
    }
}

fn not_begun(run: &NightRun, why: &str) -> Ended {
    Ended {
        scenario: run.scenario.clone(),
        lab: lab_name(run),
        verdict: "NOT BEGUN".to_owned(),
        reason: why.to_owned(),
        report: None,
        attempts: 0,
        minutes: 0.0,
    }
}

fn lab_name(run: &NightRun) -> String {
    run.lab
        .as_ref()
        .map_or_else(|| "virtual".to_owned(), |lab| lab.display().to_string())
}

/// Runs it, and again where the lab failed it and time is left.
fn attempts(
    run: &NightRun,
    out: &Path,
    clock: &Clock,
    began: jiff::Timestamp,
    cancel: &Cancel,
    worst: &mut Worst,
) -> Result<Ended, Failure> {
    let at_most = Duration::from_nanos(run.at_most.nanos());
    let started = Instant::now();
    let mut ended = not_begun(
        run,
        &format!(
            "it may take {}, and {} of the night were left",
            run.at_most,
            Span::from_secs(clock.left().as_secs())
        ),
    );
    let mut last = None;
    while ended.attempts <= run.retries && clock.left() >= at_most && !cancel.is_cancelled() {
        ended.attempts += 1;
        let (exit, verdict, reason, report) = attempt(run, out, at_most, began, cancel)?;
        (ended.verdict, ended.reason, ended.report) = (verdict, reason, report);
        ended.minutes = started.elapsed().as_secs_f64() / 60.0;
        last = Some(exit);
        // What the lab did wrong may go right; what the patch or the file did wrong will not.
        if exit != Exit::Infra {
            break;
        }
    }
    if let Some(exit) = last {
        worst.take(exit);
    }
    Ok(ended)
}

/// One process, until it ends or its time is over.
fn attempt(
    run: &NightRun,
    out: &Path,
    at_most: Duration,
    began: jiff::Timestamp,
    cancel: &Cancel,
) -> Result<(Exit, String, String, Option<PathBuf>), Failure> {
    let program =
        std::env::current_exe().map_err(Failure::io("find the path of", Path::new("vifbench")))?;
    let answer = out.join("nights.answer.part");
    let errors = out.join("nights.errors.part");
    let mut command = Command::new(program);
    // One seed a day: each night has packets of its own, and a retry has the same.
    let seed = run
        .seed
        .unwrap_or_else(|| began.as_second() as u64 / 86_400);
    command
        .args(["--format", "json", "run", &run.scenario, "--out"])
        .arg(out)
        .args(["--seed", &seed.to_string()]);
    if let Some(lab) = &run.lab {
        command.arg("--lab").arg(lab);
    }
    if let Some(blocks) = run.blocks {
        command.args(["--blocks", &blocks.to_string()]);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(File::create(&answer).map_err(Failure::io("create", &answer))?)
        .stderr(File::create(&errors).map_err(Failure::io("create", &errors))?)
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
        match told_to_end {
            // As Ctrl-C does: the hosts are restored, and finished trials stay.
            None if started.elapsed() >= at_most || cancel.is_cancelled() => {
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
    let said = fs::read_to_string(&errors).map_err(Failure::io("read", &errors))?;
    for part in [&answer, &errors] {
        fs::remove_file(part).map_err(Failure::io("remove", part))?;
    }
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let report = value["report"].as_str().map(PathBuf::from);
    if told_to_end.is_some() && !cancel.is_cancelled() {
        let end = if status.is_some() {
            "was ended"
        } else {
            "did not end and was killed"
        };
        let reason = format!(
            "it took longer than {} and {end}; finished trials are kept",
            run.at_most
        );
        return Ok((Exit::Infra, "INFRA".to_owned(), reason, report));
    }
    let exit = status
        .and_then(|s| s.code())
        .and_then(Exit::of_code)
        .unwrap_or(Exit::Internal);
    let verdict = match value["summary"]["verdict"].as_str() {
        Some(verdict) => verdict.to_owned(),
        None => exit.word().to_owned(),
    };
    let reason = match value["summary"]["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        // No report: the last thing that was said.
        None => said
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("error: "))
            .unwrap_or("it ended without a report and without a reason")
            .to_owned(),
    };
    Ok((exit, verdict, reason, report))
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

/// Makes room as the night says. False when there is none even so.
fn make_room(
    night: &Night,
    out: &Path,
    began: jiff::Timestamp,
    notes: &mut Vec<String>,
) -> Result<bool, Failure> {
    let Some(keep) = &night.keep else {
        return Ok(true);
    };
    let first = began.strftime("%Y%m%d-%H%M%S").to_string();
    let made = room::make(out, keep.room.bytes(), &first)?;
    notes.extend(made.removed);
    Ok(made.fits)
}

/// Series whose newest change is among their last nights.
fn changed(history: &History) -> Vec<String> {
    const RECENT: usize = 10;
    history
        .series
        .iter()
        .filter_map(|series| {
            let change = series.changes.last()?;
            (change.at + RECENT >= series.nights.len()).then(|| {
                format!(
                    "{} changed at run {}: {} before, {} since",
                    series.key.title(),
                    series.nights[change.at].run,
                    series.key.value(change.before),
                    series.key.value(change.after)
                )
            })
        })
        .collect()
}

impl Told {
    /// For mail or chat: the first line says it all.
    pub fn to_text(&self) -> String {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for run in &self.runs {
            match counts
                .iter_mut()
                .find(|(verdict, _)| *verdict == run.verdict)
            {
                Some((_, n)) => *n += 1,
                None => counts.push((&run.verdict, 1)),
            }
        }
        let counts: Vec<String> = counts.iter().map(|(v, n)| format!("{n} {v}")).collect();
        let mut out = format!(
            "vifbench {} of {}: {}\n",
            self.night,
            self.began.get(..10).unwrap_or(&self.began),
            counts.join(", ")
        );
        for run in &self.runs {
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "\n{} {} on {}\n  {}\n",
                run.verdict, run.scenario, run.lab, run.reason
            );
            if run.attempts > 0 {
                let _ = writeln!(
                    out,
                    "  {:.1} min, {}",
                    run.minutes,
                    vifbench_reports::text::plural(run.attempts as usize, "attempt")
                );
            }
            if let Some(report) = &run.report {
                let _ = writeln!(out, "  {}", report.display());
            }
        }
        if !self.notes.is_empty() {
            out.push_str("\nNotes\n");
            for note in &self.notes {
                let _ = writeln!(out, "  {note}");
            }
        }
        out
    }
}

/// The exit code that a night ends with: of the worst of its runs.
#[derive(Default)]
struct Worst(Option<Exit>);

impl Worst {
    /// From the least to the worst. A night whose lab failed is no news of the patch, so a regression outweighs that.
    const ORDER: [Exit; 8] = [
        Exit::Pass,
        Exit::Inconclusive,
        Exit::Infra,
        Exit::Usage,
        Exit::Internal,
        Exit::Setup,
        Exit::Regression,
        Exit::DutCrash,
    ];

    fn take(&mut self, exit: Exit) {
        let rank = |exit: Exit| Self::ORDER.iter().position(|o| *o == exit);
        if self.0.is_none_or(|worst| rank(exit) > rank(worst)) {
            self.0 = Some(exit);
        }
    }

    fn exit(&self) -> Exit {
        self.0.unwrap_or(Exit::Pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_says_it_all() {
        let run = |verdict: &str, attempts| Ended {
            scenario: "small".into(),
            lab: "virtual".into(),
            verdict: verdict.into(),
            reason: "because".into(),
            report: None,
            attempts,
            minutes: 2.0,
        };
        let told = Told {
            night: "n".into(),
            began: "2026-11-23T01:00:00Z".into(),
            runs: vec![
                run("PASS", 1),
                run("INFRA", 2),
                run("PASS", 1),
                run("NOT BEGUN", 0),
            ],
            notes: vec![],
        };
        let text = told.to_text();
        assert!(
            text.starts_with("vifbench n of 2026-11-23: 2 PASS, 1 INFRA, 1 NOT BEGUN\n"),
            "{text}"
        );
        assert_eq!(text.matches("2.0 min").count(), 3);
    }

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
