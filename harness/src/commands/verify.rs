//! `vifbench lab verify`: proves on the machine at hand that sealed trials are exact.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use vifbench_reports::text::plural;
use vifbench_scenarios::library;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::{Mode, Scenario};
use vifbench_store::TrialRecord;
use vifbench_wait::Cancel;

use super::{run, scenario};
use crate::cli::{Format, VerifyArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stdout};
use crate::run::repeat::Repeat;
use crate::run::rig::Rig;
use crate::run::traffic::Replays;
use crate::run::trial::Trial;
use crate::run::variants::Variants;
use crate::run::{exactness, read_vifprobe, ready, result_cache};

/// How busy the controller is kept while a trial runs: none, one, or all of its processors.
const LOADS: [&str; 3] = ["idle", "one core busy", "all cores busy"];

/// One run of one trial.
#[derive(Debug, Serialize)]
struct Verified {
    variant: String,
    rate: Option<String>,
    load: &'static str,
    digest: String,
    wall_s: f64,
    /// Where it differs first from the first run; nowhere where all are the same.
    differs: Option<String>,
}

/// What became of one scenario.
#[derive(Debug, Serialize)]
struct Told {
    scenario: String,
    /// How many trials its first block has.
    trials: usize,
    /// How many of them were run.
    chosen: usize,
    runs: Vec<Verified>,
    /// Why it is not sealed, or why its trials could not be run.
    without: Option<String>,
}

/// A scenario whose trials can be run sealed.
struct Asked {
    plan: Plan,
    /// Trials of its first block, of which the plan has some.
    trials: usize,
    replays: Replays,
    scenario: Scenario,
}

/// Carries out the command.
pub fn run(
    args: &VerifyArgs,
    name: &str,
    format: Format,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let mut told = Vec::new();
    let mut asked = Vec::new();
    if args.library {
        for entry in library::all() {
            match why_not_sealed(&entry.scenario()?.each_hold()) {
                None => asked.push(ask(entry.name, args)?),
                Some(why) => told.push(Told::without(entry.name, 0, why)),
            }
        }
    } else {
        let scenario = scenario::find(&args.scenario)?.each_hold();
        if let Some(why) = why_not_sealed(&scenario) {
            return Err(Failure::Usage(format!(
                "the scenario {} cannot be run sealed: {why}",
                scenario.name
            )));
        }
        asked.push(ask(&args.scenario, args)?);
    }
    for one in &told {
        one.print(format)?;
    }
    ready::check(None, name, asked.iter().map(|one| &one.scenario))?;
    let up = run::bring_up(None, name, "lab verify", progress, cancel)?;
    let (lab, virtual_lab) = (up.lab, up.virtual_lab);
    let mut rig = Rig::new(
        lab,
        virtual_lab,
        Mode::Sealed,
        cancel.clone(),
        "verify",
        Repeat::Never,
    )?;
    let vifprobe = read_vifprobe()?;
    let mut variants = Variants::new(&vifprobe);
    let mut broken = None;
    for one in &asked {
        let (runs, failure) = verify(&mut rig, &mut variants, one, args.times, progress);
        let done = Told {
            scenario: one.plan.scenario.clone(),
            trials: one.trials,
            chosen: one.plan.trials.len(),
            runs,
            without: failure.as_ref().map(ToString::to_string),
        };
        done.print(format)?;
        told.push(done);
        if rig.interrupted() {
            broken = Some(failure.unwrap_or(Failure::Interrupted));
            break;
        }
        // The other scenarios are worth knowing too; the first failure is told at the end.
        broken = broken.or(failure);
    }
    rig.restore(up.keep, progress)?;
    if format == Format::Json {
        stdout().json(&told)?;
    }
    let all: Vec<(&str, &Verified)> = told
        .iter()
        .flat_map(|one| one.runs.iter().map(|run| (one.scenario.as_str(), run)))
        .collect();
    let differs = all.iter().find(|(_, run)| run.differs.is_some());
    if let Some((scenario, run)) = differs {
        return Err(Failure::NotExact {
            what: format!("a trial of {scenario}"),
            variant: run.variant.clone(),
            against: "its first run".to_owned(),
            first: run.differs.clone().unwrap_or_default(),
        });
    }
    if let Some(failure) = broken {
        return Err(failure);
    }
    if format == Format::Text {
        let chosen = told.iter().map(|one| one.chosen).sum();
        writeln!(
            stdout(),
            "exact: {} of {} gave every packet, counter and clock reading again, byte for byte",
            plural(all.len(), "run"),
            plural(chosen, "trial")
        )?;
    }
    Ok(Exit::Pass)
}

/// Why a scenario's trials cannot be run without anything from outside; nothing where they can.
fn why_not_sealed(scenario: &Scenario) -> Option<String> {
    if scenario.mode != Mode::Sealed {
        return Some(
            "it has `mode: open`: its traffic comes from the controller, by the controller's clock"
                .to_owned(),
        );
    }
    let only_simulated = scenario.only_simulated();
    (!only_simulated.is_empty()).then(|| {
        format!(
            "it is for `vifbench simulate` only: {}",
            only_simulated.join(", ")
        )
    })
}

/// Plans the trials that are to be run of a scenario.
fn ask(name: &str, args: &VerifyArgs) -> Result<Asked, Failure> {
    let scenario = scenario::find(name)?.each_hold();
    let replays = Replays::read(&scenario, &scenario::folder_of(name))?;
    let scenario = replays.named(scenario);
    let mut plan = Plan::new(&scenario, args.seed, Some(1));
    let trials = plan.trials.len();
    plan.trials = spread(plan.trials, args.trials.map_or(trials, |n| n as usize));
    Ok(Asked {
        plan,
        trials,
        replays,
        scenario,
    })
}

/// So many of them at most, at even distances, the first among them.
fn spread<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let (total, most) = (all.len(), most.min(all.len()));
    let wanted: Vec<usize> = (0..most).map(|n| n * total / most).collect();
    all.into_iter()
        .zip(0..)
        .filter(|(_, place)| wanted.contains(place))
        .map(|(one, _)| one)
        .collect()
}

impl Told {
    fn without(scenario: &str, trials: usize, why: String) -> Self {
        Self {
            scenario: scenario.to_owned(),
            trials,
            chosen: 0,
            runs: Vec::new(),
            without: Some(why),
        }
    }

    /// As text at once, since the next scenario takes minutes; as JSON all together at the end.
    fn print(&self, format: Format) -> Result<(), OutputError> {
        if format == Format::Json {
            return Ok(());
        }
        let Self {
            scenario,
            trials,
            chosen,
            ..
        } = self;
        if *trials == 0 {
            writeln!(stdout(), "{scenario}: not sealed")?;
        } else {
            writeln!(
                stdout(),
                "{scenario}: {chosen} of the {trials} trials of its first block"
            )?;
        }
        for one in &self.runs {
            writeln!(
                stdout(),
                "  {:<16} {:<10} {:<16} {:<18} {:>5.1} s  {}",
                one.variant,
                one.rate.as_deref().unwrap_or("-"),
                one.load,
                &one.digest[..16],
                one.wall_s,
                match &one.differs {
                    None => "exact".to_owned(),
                    Some(what) => format!("DIFFERS in {what}"),
                }
            )?;
        }
        if let Some(why) = &self.without {
            writeln!(stdout(), "  {why}")?;
        }
        Ok(())
    }
}

/// Runs each trial that often. What was run before a failure is told too.
fn verify(
    rig: &mut Rig,
    variants: &mut Variants<'_>,
    asked: &Asked,
    times: u32,
    progress: &dyn Progress,
) -> (Vec<Verified>, Option<Failure>) {
    let mut verified = Vec::new();
    let failure = verify_into(&mut verified, rig, variants, asked, times, progress).err();
    (verified, failure)
}

fn verify_into(
    verified: &mut Vec<Verified>,
    rig: &mut Rig,
    variants: &mut Variants<'_>,
    asked: &Asked,
    times: u32,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let folder =
        tempfile::tempdir().map_err(Failure::io("create a folder in", &std::env::temp_dir()))?;
    asked.replays.store(folder.path())?;
    let trials = &asked.plan.trials;
    let task = progress.start(
        &format!("verifying {}", asked.plan.scenario),
        Some(u64::from(times) * trials.len() as u64),
    );
    for trial in trials {
        let mut first: Option<TrialRecord> = None;
        let home = folder.path().join(trial.number.to_string());
        for time in 0..times {
            let load = time as usize % LOADS.len();
            task.message(&format!(
                "{}, controller {}",
                trial.variant.name, LOADS[load]
            ));
            let part = home.join(time.to_string());
            std::fs::create_dir_all(&part).map_err(Failure::io("create the folder", &part))?;
            let began = Instant::now();
            let record = under_load(load, || {
                once(rig, variants, trial, (folder.path(), &part), progress)
            })?;
            let wall_s = began.elapsed().as_secs_f64();
            let digest = result_cache::digest(&part)?;
            let differs = match &first {
                None => None,
                Some(first) => exactness::difference((first, &home.join("0")), (&record, &part))?,
            };
            if time > 0 {
                // Only the first is needed further.
                std::fs::remove_dir_all(&part).map_err(Failure::io("remove", &part))?;
            }
            verified.push(Verified {
                variant: trial.variant.name.clone(),
                rate: trial.rate.map(|rate| rate.to_string()),
                load: LOADS[load],
                digest,
                wall_s,
                differs,
            });
            first.get_or_insert(record);
            task.set(verified.len() as u64);
        }
        std::fs::remove_dir_all(&home).map_err(Failure::io("remove", &home))?;
    }
    task.finish("done");
    Ok(())
}

fn once(
    rig: &mut Rig,
    variants: &mut Variants<'_>,
    plan: &TrialPlan,
    (run, part): (&Path, &Path),
    progress: &dyn Progress,
) -> Result<TrialRecord, Failure> {
    let trial = Trial {
        rig,
        variants,
        plan,
        run,
        part,
        attempt: 1,
        progress,
    };
    trial.run()
}

/// Ends the busy threads, also where the work panics: a scope waits for its threads.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does the work while none, one or all of the controller's processors are kept busy.
fn under_load<T>(load: usize, work: impl FnOnce() -> T) -> T {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let busy = [0, 1, all][load];
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let _over = Over(&over);
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_trials_are_spread_over_all() {
        assert_eq!(spread((0..12).collect(), 4), [0, 3, 6, 9]);
        assert_eq!(spread((0..7).collect(), 3), [0, 2, 4]);
        assert_eq!(spread(vec!['a', 'b'], 9), ['a', 'b']);
        assert_eq!(spread(vec!['a', 'b'], 1), ['a']);
    }

    #[test]
    fn every_scenario_of_the_library_is_sealed_or_says_why_not() {
        let mut open = Vec::new();
        for entry in library::all() {
            let scenario = entry.scenario().expect("sound").each_hold();
            if let Some(why) = why_not_sealed(&scenario) {
                open.push((entry.name, why));
            }
        }
        let open: Vec<(&str, &str)> = open
            .iter()
            .map(|(name, why)| (*name, why.as_str()))
            .collect();
        assert_eq!(
            open,
            [
                (
                    "open-path",
                    "it has `mode: open`: its traffic comes from the controller, by the controller's clock"
                ),
                (
                    "paper-theory",
                    "it is for `vifbench simulate` only: variant `nowait` has `framing`, variant `static` has `framing`, variant `paper` has `framing`, variant `gated` has `framing`, variant `breakeven` has `framing`"
                ),
            ]
        );
    }
}
