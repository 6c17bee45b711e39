//! A run: every trial of a plan on a lab, each kept when it is whole; then the report.

pub mod again;
pub mod awake;
pub mod bench;
mod clocks;
pub mod crew;
mod instructions;
pub mod kept;
mod layout;
mod leases;
pub mod machines;
mod ports;
pub mod ready;
mod rings;
pub mod sealed;
mod search_trials;
mod settings;
pub mod traffic;
pub mod trial;
pub mod variant;

use std::path::{Path, PathBuf};

use vifbench_provisioning::host::HostError;
use vifbench_provisioning::lab::{LabError, step};
use vifbench_reports::analyze_run;
use vifbench_reports::compare::Comparison;
use vifbench_reports::verdict::Verdict;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;
use vifbench_store::{FORMAT, INSTRUCTIONS_FILE, Outcome, RunWriter, TrialRecord};

use crate::error::Failure;
use bench::{Bench, Repeat};
use crew::Crew;
use sealed::Found;
use variant::Variants;

/// A trial that failed for the lab's sake is tried again from a restored machine this often in all.
const TRIES: u32 = 3;

/// Runs the plan; then the trials that a search asks for, or more blocks for as long as the scenario asks for and nothing
/// is decided. Every block is kept, and the looks were fixed before the first ([`vifbench_scenarios::judge::Judge::looks`]).
pub fn until_decided(
    run: &mut RunWriter,
    bench: &mut Bench,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let began = std::time::Instant::now();
    loop {
        execute(run, bench, progress)?;
        if let Some(plan) = search_trials::go_on(run)? {
            let text = format!(
                "{} trials of the search so far: going on",
                run.finished()?.len()
            );
            run.event("extended", None, &text)?;
            run.extend(plan)?;
            continue;
        }
        let record = run.record();
        let scenario = &record.scenario;
        let Some(extend) = &scenario.judge.extend else {
            return Ok(());
        };
        let blocks = record
            .plan
            .trials
            .iter()
            .map(|t| t.block)
            .max()
            .unwrap_or(0);
        let looks = scenario.judge.looks(scenario.blocks);
        let Some(next) = looks.into_iter().find(|look| *look > blocks) else {
            return Ok(());
        };
        let judgement = analyze_run(run.path(), progress)?;
        let undecided = judgement.comparisons.iter().any(Comparison::is_open);
        if !undecided || judgement.judgement.verdict != Verdict::Inconclusive {
            return Ok(());
        }
        let budget = std::time::Duration::from_nanos(extend.within.nanos());
        if began.elapsed() >= budget {
            let text = format!(
                "undecided after {blocks} blocks, and {} are spent",
                extend.within
            );
            progress.note(&text);
            run.event("extension-ended", None, &text)?;
            return Ok(());
        }
        let text = format!("undecided after {blocks} blocks: going on to {next}");
        let plan = Plan::new(scenario, record.plan.seed, Some(next));
        progress.note(&text);
        run.event("extended", None, &text)?;
        run.extend(plan)?;
    }
}

/// Runs every trial that is not finished yet. Failures of single trials are recorded, and the next one runs.
pub fn execute(
    run: &mut RunWriter,
    bench: &mut Bench,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let vifprobe = read_vifprobe()?;
    execute_with(run, bench, &mut Variants::new(&vifprobe), progress)
}

/// As [`execute`], with variants that the caller knows how to build.
pub fn execute_with(
    run: &mut RunWriter,
    bench: &mut Bench,
    variants: &mut Variants<'_>,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let finished = run.finished()?;
    let trials = run.record().plan.trials.clone();
    let total = trials.len() as u64;
    bench.lease(&run.record().plan, progress)?;
    // A virtual lab's machines are known only once a state is loaded.
    let mut crew = match bench.virtual_lab() {
        None => Some(bench.crew()?),
        Some(_) => None,
    };
    let task = progress.start("trials", Some(total));
    let mut done = finished.len() as u64;
    task.set(done);
    for plan in trials
        .iter()
        .filter(|plan| !finished.contains(&plan.number))
    {
        let what = describe(plan, total);
        task.message(&what);
        run.event("trial-started", Some(plan.number), &what)?;
        let part = run.begin_trial(plan.number)?;
        let result = attempt(run, bench, crew.as_mut(), variants, plan, &part, progress);
        let record = match result {
            Ok(record) => record,
            // Whatever a wait that was cut short calls itself.
            Err(_) if bench.interrupted() => {
                run.event("interrupted", Some(plan.number), "by the user")?;
                task.finish("interrupted");
                return Err(Failure::Interrupted);
            }
            // Nothing can be kept on a full disk: the trial is not recorded, so that `resume` runs it.
            Err(failure) if failure.is_out_of_room() => return Err(failure),
            // Nor does a machine that stands still say anything about the variant.
            Err(failure) if failure.is_stuck() => {
                run.event("stuck", Some(plan.number), &failure.to_string())?;
                task.finish("the lab is stuck");
                return Err(Failure::Stuck {
                    source: Box::new(failure),
                    console: bench.end_stuck()?,
                    run: run.path().to_owned(),
                });
            }
            // No later trial can be trusted either.
            Err(failure @ Failure::Internal(_)) if bench.crash().is_none() => return Err(failure),
            Err(failure) => {
                progress.note(&format!("trial {}: {failure}", plan.number));
                failed(plan, &failure, bench)
            }
        };
        let text = match &record.outcome {
            Outcome::Complete => "complete".to_owned(),
            other => format!("{other:?}"),
        };
        run.finish_trial(&part, &record)?;
        run.event("trial-ended", Some(plan.number), &text)?;
        done += 1;
        task.set(done);
    }
    task.finish(&format!("{done} of {total} on disk"));
    Ok(())
}

/// One trial: looked up where its results are known, else run, again from a restored machine where the lab failed it.
fn attempt(
    run: &mut RunWriter,
    bench: &mut Bench,
    crew: Option<&mut Crew>,
    variants: &mut Variants<'_>,
    plan: &TrialPlan,
    part: &Path,
    progress: &dyn Progress,
) -> Result<TrialRecord, Failure> {
    if plan.mode != Mode::Sealed || bench.virtual_lab().is_none() {
        let (record, _) = until_it_works(run, bench, crew, variants, plan, part, progress)?;
        return Ok(record);
    }
    let results = sealed::Results::of_this_machine();
    let name = variants.name(bench, plan, progress)?;
    let repeat = bench.repeat();
    let (stored, second_part) = (part.with_extension("stored"), part.with_extension("again"));
    fresh(&stored)?;
    let may_look_up = repeat == Repeat::Never && results.answers(&name, bench.counts());
    let known = match results.find(&name, if may_look_up { part } else { &stored })? {
        Found::Nothing => None,
        Found::Damaged(why) => {
            progress.note(&why);
            run.event("damaged", Some(plan.number), &why)?;
            None
        }
        Found::Results(record) if may_look_up => {
            if !bench.counts() {
                // Counted by another run: this one was not asked for it, and its trials are to be alike.
                remove_file(&part.join(INSTRUCTIONS_FILE))?;
            }
            let text = format!("its results are known: {name}");
            run.event("looked-up", Some(plan.number), &text)?;
            remove(&stored)?;
            return Ok(TrialRecord {
                plan: plan.clone(),
                ..*record
            });
        }
        Found::Results(record) => Some(record),
    };
    let (first, tries) = until_it_works(run, bench, None, variants, plan, part, progress)?;
    if repeat == Repeat::Twice {
        fresh(&second_part)?;
        let (second, _) = until_it_works(run, bench, None, variants, plan, &second_part, progress)?;
        same(
            plan,
            (&first, part),
            (&second, &second_part),
            "its first run",
        )?;
    }
    let was_unknown = known.is_none();
    if let Some(known) = known {
        let against = format!("the stored results {name}");
        same(plan, (&known, &stored), (&first, part), &against)?;
    }
    if tries == 1 && (was_unknown || bench.counts()) {
        // A second try leaves more time, and so is another trial.
        results.keep(&name, part, &first)?;
    }
    remove(&stored)?;
    remove(&second_part)?;
    Ok(first)
}

/// An empty folder there, whatever was left by a run that was killed.
fn fresh(folder: &Path) -> Result<(), Failure> {
    remove(folder)?;
    std::fs::create_dir(folder).map_err(Failure::io("create the folder", folder))
}

fn remove_file(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", file)(error))
        }
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn same(
    plan: &TrialPlan,
    first: again::Results<'_>,
    second: again::Results<'_>,
    against: &str,
) -> Result<(), Failure> {
    match again::difference(first, second)? {
        None => Ok(()),
        Some(first) => Err(Failure::NotExact {
            what: format!("trial {}", plan.number),
            variant: plan.variant.name.clone(),
            against: against.to_owned(),
            first,
        }),
    }
}

/// Runs the trial, again from a restored machine where the lab failed it; tells how many tries it took.
fn until_it_works(
    run: &mut RunWriter,
    bench: &mut Bench,
    mut crew: Option<&mut Crew>,
    variants: &mut Variants<'_>,
    plan: &TrialPlan,
    part: &Path,
    progress: &dyn Progress,
) -> Result<(TrialRecord, u32), Failure> {
    let mut number = 0;
    loop {
        number += 1;
        bench.begin()?;
        let result = variants
            .live(bench, crew.as_deref_mut(), plan, progress)
            .and_then(|modules| {
                let trying = step(&format!(
                    "a trial of {} with {}",
                    run.record().scenario.name,
                    plan.variant.name
                ));
                let need = trial::Need {
                    modules,
                    vifprobe: variants.vifprobe(),
                    run: run.path(),
                    part,
                    attempt: number,
                };
                let record = trial::run(bench, plan, need)?;
                trying.done();
                Ok(record)
            });
        match result {
            Err(failure) if number < TRIES && may_retry(&failure) && bench.crash().is_none() => {
                progress.note(&format!("trial {}: {failure}; trying again", plan.number));
                run.event("retry", Some(plan.number), &failure.to_string())?;
                fresh(part)?;
            }
            other => return other.map(|record| (record, number)),
        }
    }
}

/// What the lab did wrong may go right from a fresh start; what the patch or the user did wrong will not.
fn may_retry(failure: &Failure) -> bool {
    match failure {
        // Most often a start time that passed before the lab was sealed: the next attempt leaves more time.
        Failure::Probe { .. } => true,
        other => other.host_error().is_some_and(HostError::is_outage),
    }
}

/// The record of a trial that gave no results.
fn failed(plan: &TrialPlan, failure: &Failure, bench: &Bench) -> TrialRecord {
    let reason = failure.to_string();
    let outcome = match (bench.crash(), failure) {
        // A host that stops answering in mid-trial may have died: its console knows why.
        (Some((why, console)), _) => Outcome::DutCrash {
            reason: why,
            console,
        },
        (None, Failure::Lab(LabError::Crashed { tail, .. })) => Outcome::DutCrash {
            reason,
            console: tail.clone(),
        },
        (None, other) if other.is_setup() => Outcome::Setup { reason },
        (None, _) => Outcome::Infra { reason },
    };
    TrialRecord {
        format: FORMAT,
        plan: plan.clone(),
        outcome,
        modules: Vec::new(),
        clocks: Vec::new(),
        rulers: Vec::new(),
        probes: Vec::new(),
        warnings: Vec::new(),
        start_ns: 0,
        measure_from_ns: 0,
        stop_ns: 0,
        wall_s: 0.0,
    }
}

fn describe(plan: &TrialPlan, total: u64) -> String {
    let rate = plan
        .rate
        .map(|rate| format!(", {rate}"))
        .unwrap_or_default();
    format!(
        "trial {} of {total}: {}{rate}, block {}",
        plan.number, plan.variant.name, plan.block
    )
}

/// Where the probe must be: beside vifbench.
pub fn vifprobe_path() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe().map_err(|source| Failure::Io {
        doing: "find the path of",
        path: PathBuf::from("vifbench"),
        source,
    })?;
    Ok(here.with_file_name(bench::PROBE))
}

/// The probe's program.
pub fn read_vifprobe() -> Result<Vec<u8>, Failure> {
    let path = vifprobe_path()?;
    std::fs::read(&path).map_err(|source| Failure::Io {
        doing: "read the probe, which must be beside vifbench (`cargo build --release` builds both):",
        path,
        source,
    })
}
