//! A run: every trial of a plan on a lab. Each is stored when it is complete.

mod attempt;
pub mod awake;
mod clocks;
pub mod deadlines;
mod drivers;
pub mod exactness;
pub mod hosts;
mod instructions;
mod instruments;
mod layout;
mod leases;
mod machine_kind;
mod place;
mod ports;
mod probe;
pub mod ready;
pub mod repeat;
pub mod result_cache;
pub mod rig;
mod rings;
mod saved_state;
mod schedule;
mod search_trials;
mod settings;
pub mod traffic;
pub mod trial;
mod trial_hosts;
pub mod variants;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use vifbench_provisioning::lab::LabError;
use vifbench_reports::analyze_run;
use vifbench_reports::compare::Comparison;
use vifbench_reports::verdict::Verdict;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_store::{FORMAT, Outcome, RunWriter, TrialRecord};

use crate::error::Failure;
use attempt::Attempt;
use place::Crash;
use probe::PROBE;
use rig::Rig;
use variants::Variants;

/// Runs the plan; then the trials that a search plans, or more blocks for as long as the scenario allows while nothing is
/// decided. The looks at the results were fixed before the first ([`vifbench_scenarios::judge::Judge::looks`]).
pub fn until_decided(
    run: &mut RunWriter,
    rig: &mut Rig,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        execute(run, rig, progress)?;
        let extended = match search_trials::go_on(run)? {
            Some(plan) => {
                let finished = run.finished()?.len();
                let text = format!("{finished} trials of the search so far: going on");
                Some((plan, text))
            }
            None => more_blocks(run, began, progress)?,
        };
        let Some((plan, text)) = extended else {
            return Ok(());
        };
        run.event("extended", None, &text)?;
        run.extend(plan)?;
    }
}

/// The plan with more blocks, and why; none when the run is decided or may not go on.
fn more_blocks(
    run: &mut RunWriter,
    began: Instant,
    progress: &dyn Progress,
) -> Result<Option<(Plan, String)>, Failure> {
    let record = run.record();
    let scenario = &record.scenario;
    let Some(extend) = &scenario.judge.extend else {
        return Ok(None);
    };
    let blocks = record.plan.trials.iter().map(|trial| trial.block).max();
    let blocks = blocks.unwrap_or(0);
    let looks = scenario.judge.looks(scenario.blocks);
    let Some(next) = looks.into_iter().find(|look| *look > blocks) else {
        return Ok(None);
    };
    let judgement = analyze_run(run.path(), progress)?;
    let undecided = judgement.comparisons.iter().any(Comparison::is_open);
    if !undecided || judgement.judgement.verdict != Verdict::Inconclusive {
        return Ok(None);
    }
    if began.elapsed() >= Duration::from_nanos(extend.within.nanos()) {
        let text = format!(
            "undecided after {blocks} blocks, and {} are spent",
            extend.within
        );
        progress.note(&text);
        run.event("extension-ended", None, &text)?;
        return Ok(None);
    }
    let text = format!("undecided after {blocks} blocks: going on to {next}");
    progress.note(&text);
    let plan = Plan::new(scenario, record.plan.seed, Some(next));
    Ok(Some((plan, text)))
}

/// Runs every trial that is not finished yet. A trial that fails is recorded as such, and the next one runs.
pub fn execute(run: &mut RunWriter, rig: &mut Rig, progress: &dyn Progress) -> Result<(), Failure> {
    let vifprobe = read_vifprobe()?;
    execute_with(run, rig, &mut Variants::new(&vifprobe), progress)
}

/// As [`execute`], with variants that the caller knows how to build.
pub fn execute_with(
    run: &mut RunWriter,
    rig: &mut Rig,
    variants: &mut Variants<'_>,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let finished = run.finished()?;
    let trials = run.record().plan.trials.clone();
    let total = trials.len() as u64;
    rig.place_mut().hold(&run.record().plan, progress)?;
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
        let attempt = Attempt {
            run,
            rig,
            variants,
            plan,
            part: &part,
            progress,
        };
        let result = attempt.record();
        if result.is_err() && rig.interrupted() {
            // An interrupted wait may surface as any error.
            run.event("interrupted", Some(plan.number), "by the user")?;
            task.finish("interrupted");
            return Err(Failure::Interrupted);
        }
        let record = match result {
            Ok(record) => record,
            // A machine that stands still says nothing about the variant.
            Err(failure) if failure.is_stuck() => {
                run.event("stuck", Some(plan.number), &failure.to_string())?;
                task.finish("the lab is stuck");
                return Err(Failure::Stuck {
                    source: Box::new(failure),
                    console: rig.place().end_stuck()?,
                    run: run.path().to_owned(),
                });
            }
            Err(failure) => failed(plan, failure, rig, progress)?,
        };
        run.finish_trial(&part, &record)?;
        let text = match &record.outcome {
            Outcome::Complete => "complete".to_owned(),
            other => format!("{other:?}"),
        };
        run.event("trial-ended", Some(plan.number), &text)?;
        done += 1;
        task.set(done);
    }
    task.finish(&format!("{done} of {total} on disk"));
    Ok(())
}

/// The record of a trial that gave no results; or the failure, if it ends the run.
fn failed(
    plan: &TrialPlan,
    failure: Failure,
    rig: &Rig,
    progress: &dyn Progress,
) -> Result<TrialRecord, Failure> {
    let crash = rig.place().crash();
    // On a full disk nothing can be stored: the trial is not recorded, so that `resume` runs it. After an internal fault no
    // later trial can be trusted either.
    let ends_run = match &failure {
        Failure::Internal(_) => crash.is_none(),
        other => other.is_out_of_room(),
    };
    if ends_run {
        return Err(failure);
    }
    progress.note(&format!("trial {}: {failure}", plan.number));
    Ok(TrialRecord {
        format: FORMAT,
        plan: plan.clone(),
        outcome: outcome(&failure, crash),
        modules: Vec::new(),
        clocks: Vec::new(),
        rulers: Vec::new(),
        probes: Vec::new(),
        warnings: Vec::new(),
        start_ns: 0,
        measure_from_ns: 0,
        stop_ns: 0,
        wall_s: 0.0,
    })
}

/// What a failure makes of its trial. A host that stops answering during the trial may have crashed: its console shows why.
fn outcome(failure: &Failure, crash: Option<Crash>) -> Outcome {
    if let Some(Crash { reason, console }) = crash {
        return Outcome::DutCrash { reason, console };
    }
    let reason = failure.to_string();
    match failure {
        Failure::Lab(LabError::Crashed { tail, .. }) => Outcome::DutCrash {
            reason,
            console: tail.clone(),
        },
        other if other.is_setup() => Outcome::Setup { reason },
        _ => Outcome::Infra { reason },
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
    Ok(here.with_file_name(PROBE))
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
