//! `vifbench nightly`: several runs by priority until a deadline, each in a process of its own, so that whatever ends one
//! leaves the others alone.

mod room;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use vifbench_reports::history::{self, History};
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::night::{Night, NightRun};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::units::Span;
use vifbench_store::files::write_json;
use vifbench_store::history_folder;
use vifbench_wait::Cancel;

use super::child::{self, Worst};
use super::run::virtual_lab;
use super::scenario;
use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;
use crate::run::ready;
use crate::run::traffic::Replays;

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
        let lab = run.lab.as_deref().map(Lab::load).transpose()?;
        ready::check(lab.as_ref(), &virtual_lab(), [&asked])?;
    }
    fs::create_dir_all(out).map_err(Failure::named("create the folder", out))?;
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
    // A night whose labs never answered has made no run, and so no history.
    if history_folder(out).is_dir() {
        let history = history::read(out)?;
        history::write_page(out, &history)?;
        told.notes.extend(changed(&history));
        told.notes.extend(history.unreadable);
    }
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
        Format::Text => write!(stdout(), "{text}")?,
        Format::Json => stdout().json(&told)?,
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
        let done = attempt(run, out, at_most, began, cancel)?;
        (ended.verdict, ended.reason, ended.report) = (done.verdict, done.reason, done.report);
        ended.minutes = started.elapsed().as_secs_f64() / 60.0;
        last = Some(done.exit);
        // What the lab did wrong may go right; what the patch or the file did wrong will not.
        if done.exit != Exit::Infra {
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
) -> Result<child::Ended, Failure> {
    // One seed a day: each night has packets of its own, and a retry has the same.
    let seed = run
        .seed
        .unwrap_or_else(|| began.as_second() as u64 / 86_400);
    let mut arguments: Vec<OsString> = vec!["run".into(), run.scenario.as_str().into()];
    arguments.extend(["--out".into(), out.into()]);
    arguments.extend(["--seed".into(), seed.to_string().into()]);
    if let Some(lab) = &run.lab {
        arguments.extend(["--lab".into(), lab.into()]);
    }
    if let Some(blocks) = run.blocks {
        arguments.extend(["--blocks".into(), blocks.to_string().into()]);
    }
    let log = out.join("nights.errors.part");
    let ended = child::run(&arguments, &log, Some(at_most), cancel)?;
    fs::remove_file(&log).map_err(Failure::io("remove", &log))?;
    Ok(ended)
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
}
