//! `vifbench simulate`: the model instead of a lab.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use vifbench_model::experiment::{
    self, CaptureError, Captures, Frames, Outcome, Question, Row, Traced,
};
use vifbench_model::pareto::{self, Choice};
use vifbench_reports::simulated::{Answers, Simulation, render, service_of};
use vifbench_reports::text::{three_digits, time};
use vifbench_scenarios::progress::{Progress, Task};
use vifbench_scenarios::scenario::{Arrivals, Scenario};
use vifbench_wire::replay;

use super::scenario;
use crate::cli::{Format, SimulateArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stdout};

/// Carries out the command.
pub fn run(args: &SimulateArgs, format: Format, progress: &dyn Progress) -> Result<Exit, Failure> {
    let mut asked = scenario::find(&args.scenario)?;
    if asked.search.is_some() {
        return Err(Failure::Usage(format!(
            "`search` of {} asks for a lab: the model has queues without end and loses nothing; use `vifbench run`, or write \
             a `sweep` of rates",
            asked.name
        )));
    }
    if let Some(run) = &args.fit {
        let service = service_of(run, progress)?;
        progress.note(&format!(
            "dom0's work, from {}: {} a transfer and {} a packet",
            run.display(),
            service.transfer,
            service.packet
        ));
        asked.service = Some(service);
    }
    let captures = Folder(scenario::folder_of(&args.scenario));
    let mut answers = Vec::new();
    let outcomes = with_progress(
        "simulation",
        &asked,
        args,
        &captures,
        progress,
        |question| match &args.trace {
            None if !closed(&asked) => Ok(experiment::simulate(question)?),
            None => Ok(experiment::trace(question, |t| note(&mut answers, t))?),
            Some(path) => traced(question, path, |t| note(&mut answers, t)),
        },
    )?;
    let choices = if args.pareto {
        let label = "all regulators";
        with_progress(label, &asked, args, &captures, progress, |question| {
            Ok(pareto::explore(question)?)
        })?
    } else {
        Vec::new()
    };
    let rows: Vec<Row> = outcomes.iter().map(Outcome::row).collect();
    match format {
        Format::Json => stdout().json(&rows)?,
        Format::Text => print(&asked, &rows, &choices)?,
    }
    if args.no_report {
        return Ok(Exit::Pass);
    }
    // Named by what it follows from: made again it is the same.
    let report = args
        .out
        .join(format!("{}-simulated-{}", asked.name, args.seed));
    let simulation = Simulation {
        scenario: &asked,
        seed: args.seed,
        vifbench: env!("CARGO_PKG_VERSION"),
        outcomes: &outcomes,
        choices: &choices,
        answers: if closed(&asked) { &answers } else { &[] },
    };
    let rendered = render(&simulation, &report, progress)?;
    if format == Format::Text {
        writeln!(stdout(), "report: {}", rendered.index.display())?;
    }
    Ok(Exit::Pass)
}

/// Captures beside the scenario.
struct Folder(PathBuf);

impl Captures for Folder {
    fn open(&self, file: &Path) -> Result<Frames, CaptureError> {
        let path = self.0.join(file);
        Ok(Box::new(replay::read(&path)?.into_iter().map(Ok)))
    }
}

/// Asks the model something, with a bar on stderr.
fn with_progress<T>(
    label: &str,
    asked: &Scenario,
    args: &SimulateArgs,
    captures: &dyn Captures,
    progress: &dyn Progress,
    ask: impl FnOnce(&Question<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let task: Mutex<Option<Box<dyn Task>>> = Mutex::new(None);
    let told = |done: usize, all: usize| {
        if let Ok(mut task) = task.lock() {
            // Each rate of a sweep may begin to count anew.
            let task = task.get_or_insert_with(|| progress.start(label, Some(all as u64)));
            task.set(done as u64);
        }
    };
    let answer = ask(&Question {
        scenario: asked,
        seed: args.seed,
        blocks: args.blocks,
        captures,
        progress: &told,
    })?;
    if let Some(task) = task.into_inner().ok().flatten() {
        task.finish(&format!("{label}: done"));
    }
    Ok(answer)
}

/// Its loops are closed: they have answers over time.
fn closed(asked: &Scenario) -> bool {
    let is_closed = |a: &Arrivals| matches!(a, Arrivals::ClosedLoop { .. });
    asked.traffic.iter().all(|t| is_closed(&t.arrivals))
}

/// Keeps when the requests of the first block came.
fn note(answers: &mut Vec<Answers>, t: Traced<'_>) {
    if t.block != 1 {
        return;
    }
    let same = |a: &&mut Answers| a.variant == t.variant && a.rate == t.rate && a.hold == t.hold;
    if let Some(of) = answers.iter_mut().rev().find(same) {
        of.delivered_ns.push(t.delivery.delivered);
        return;
    }
    answers.push(Answers {
        variant: t.variant.to_owned(),
        rate: t.rate,
        hold: t.hold,
        delivered_ns: vec![t.delivery.delivered],
    });
}

/// Simulates with every delivery written as a line of CSV, and told to `also`.
fn traced(
    question: &Question<'_>,
    path: &Path,
    mut also: impl FnMut(Traced<'_>),
) -> Result<Vec<Outcome>, Failure> {
    let failed = |source| Failure::Named {
        doing: "write the trace",
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::with_capacity(1 << 16, File::create(path).map_err(failed)?);
    let head =
        "variant,rate,hold,block,flow,guest,arrived_ns,released_ns,extracted_ns,delivered_ns";
    let mut written = writeln!(file, "{head}");
    let outcomes = experiment::trace(question, |t: Traced<'_>| {
        also(t);
        if written.is_ok() {
            let d = t.delivery;
            let rate = t.rate.map(|r| r.to_string()).unwrap_or_default();
            let hold = t.hold.map(|h| h.to_string()).unwrap_or_default();
            // Names are plain: none holds a comma.
            written = writeln!(
                file,
                "{},{rate},{hold},{},{},{},{},{},{},{}",
                t.variant,
                t.block,
                d.flow,
                d.queue,
                d.arrived,
                d.released,
                d.extracted,
                d.delivered
            );
        }
    })?;
    written.and_then(|()| file.flush()).map_err(failed)?;
    Ok(outcomes)
}

fn print(asked: &Scenario, rows: &[Row], choices: &[Choice]) -> Result<(), OutputError> {
    writeln!(
        stdout(),
        "{}, simulated: what the model says, nothing was measured",
        asked.name
    )?;
    let us = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |us| time(us * 1000.0));
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), three_digits);
    let samples = rows.iter().any(|r| r.samples_per_s.is_some());
    writeln!(
        stdout(),
        "{:<10} {:>8} {:<16} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>11} {:>9}{}",
        "rate",
        "hold",
        "variant",
        "packets",
        "wait mean",
        "±",
        "p50",
        "p99",
        "|IPDV|",
        "packets/ct.",
        "time-outs",
        if samples { "  samples/s" } else { "" }
    )?;
    for row in rows {
        let rate = row.rate.map_or_else(|| "-".to_owned(), |r| r.to_string());
        write!(
            stdout(),
            "{rate:<10} {:>8} {:<16} {:>10} ",
            us(row.hold_us),
            row.variant,
            row.packets
        )?;
        if row.overloaded {
            write!(stdout(), "{:>50} ", "overloaded: dom0 cannot keep up")?;
        } else {
            write!(
                stdout(),
                "{:>10} {:>9} {:>9} {:>9} {:>9} ",
                us(row.mean_wait_us),
                us(row.mean_wait_se_us),
                us(row.p50_wait_us),
                us(row.p99_wait_us),
                us(row.mean_abs_ipdv_us)
            )?;
        }
        let share = row.timeout_fraction.map_or_else(
            || "-".to_owned(),
            |f| format!("{} %", three_digits(f * 100.0)),
        );
        write!(
            stdout(),
            "{:>11} {share:>9}",
            number(row.packets_per_container)
        )?;
        if samples {
            write!(stdout(), "  {:>9}", number(row.samples_per_s))?;
        }
        writeln!(stdout())?;
    }
    let front: Vec<&Choice> = choices.iter().filter(|c| c.on_front).collect();
    if !front.is_empty() {
        writeln!(
            stdout(),
            "\nwhat nothing beats, of {} choices of regulator and hold:",
            choices.len()
        )?;
        writeln!(
            stdout(),
            "{:<10} {:<10} {:>8} {:>10} {:>20}",
            "rate",
            "regulator",
            "hold",
            "wait mean",
            "transfers a packet"
        )?;
        for c in front {
            writeln!(
                stdout(),
                "{:<10} {:<10} {:>8} {:>10} {:>20}",
                c.rate.map_or_else(|| "-".to_owned(), |r| r.to_string()),
                c.regulator.name(),
                c.hold.map_or_else(|| "-".to_owned(), |h| h.to_string()),
                us(Some(c.mean_wait_us)),
                three_digits(c.transfers_per_packet)
            )?;
        }
    }
    Ok(())
}
