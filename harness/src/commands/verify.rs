//! `vifbench lab verify`: proves on the machine at hand that sealed trials are exact.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;
use vifbench_provisioning::lease::LabLock;
use vifbench_provisioning::state;
use vifbench_provisioning::wait::Cancel;
use vifbench_reports::store::TrialRecord;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;

use super::{run, scenario};
use crate::cli::{Format, VerifyArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::run::bench::{Bench, Repeat};
use crate::run::traffic::Replays;
use crate::run::variant::Variants;
use crate::run::{again, read_vifprobe, sealed, trial};

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

/// Carries out the command.
pub fn run(
    args: &VerifyArgs,
    format: Format,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let asked = scenario::find(&args.scenario)?.each_hold();
    if asked.mode != Mode::Sealed {
        return Err(Failure::Usage(format!(
            "the scenario {} is not sealed: its traffic comes from the controller, by the controller's clock; choose one with `mode: sealed`",
            asked.name
        )));
    }
    let only_simulated = asked.only_simulated();
    if !only_simulated.is_empty() {
        return Err(Failure::OnlySimulated {
            scenario: args.scenario.clone(),
            reasons: only_simulated,
        });
    }
    let replays = Replays::read(&asked, &scenario::folder_of(&args.scenario))?;
    let asked = replays.named(asked);
    let plan = Plan::new(&asked, args.seed, Some(1));
    let (lab, virtual_lab, was_up) = run::bring_up(None, progress, cancel)?;
    scenario::fits(&asked, &lab)?;
    let _lab = LabLock::take(&state::folder()?, &lab.name, "lab verify")?;
    let mut bench = Bench::new(lab, virtual_lab, cancel.clone(), "verify", Repeat::Never)?;
    let verified = verify(&mut bench, &plan, &replays, args.times, progress);
    bench.restore(was_up, progress)?;
    let verified = verified?;
    match format {
        Format::Json => println!("{}", serde_json::json!(verified)),
        Format::Text => table(&verified),
    }
    let broken = verified.iter().find(|one| one.differs.is_some());
    match broken {
        None => Ok(Exit::Pass),
        Some(one) => Err(Failure::NotExact {
            trial: 1,
            what: one.differs.clone().unwrap_or_default(),
            against: format!("the first run of {}", one.variant),
        }),
    }
}

fn table(verified: &[Verified]) {
    println!(
        "{:<16} {:<10} {:<16} {:<18} {:>7}  ",
        "variant", "rate", "controller", "results", "wall"
    );
    for one in verified {
        println!(
            "{:<16} {:<10} {:<16} {:<18} {:>5.1} s  {}",
            one.variant,
            one.rate.as_deref().unwrap_or("-"),
            one.load,
            &one.digest[..16],
            one.wall_s,
            match &one.differs {
                None => "exact".to_owned(),
                Some(what) => format!("DIFFERS in {what}"),
            }
        );
    }
    if verified.iter().all(|one| one.differs.is_none()) {
        println!(
            "exact: {} runs gave every packet, counter and clock reading again, byte for byte",
            verified.len()
        );
    }
}

fn verify(
    bench: &mut Bench,
    plan: &Plan,
    replays: &Replays,
    times: u32,
    progress: &dyn Progress,
) -> Result<Vec<Verified>, Failure> {
    let vifprobe = read_vifprobe()?;
    let mut variants = Variants::new(&vifprobe);
    let folder =
        tempfile::tempdir().map_err(Failure::io("create a folder in", &std::env::temp_dir()))?;
    replays.store(folder.path())?;
    let mut verified = Vec::new();
    let task = progress.start(
        "verifying",
        Some(u64::from(times) * plan.trials.len() as u64),
    );
    for trial in &plan.trials {
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
                once(
                    bench,
                    &mut variants,
                    trial,
                    (folder.path(), &part),
                    progress,
                )
            })?;
            let wall_s = began.elapsed().as_secs_f64();
            let digest = sealed::digest(&part)?;
            let differs = match &first {
                None => None,
                Some(first) => again::difference((first, &home.join("0")), (&record, &part))?,
            };
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
    }
    task.finish("done");
    Ok(verified)
}

fn once(
    bench: &mut Bench,
    variants: &mut Variants<'_>,
    plan: &TrialPlan,
    (run, part): (&Path, &Path),
    progress: &dyn Progress,
) -> Result<TrialRecord, Failure> {
    bench.begin()?;
    let modules = variants.live(bench, None, plan, progress)?;
    let need = trial::Need {
        modules,
        vifprobe: variants.vifprobe(),
        run,
        part,
        attempt: 1,
    };
    trial::run(bench, plan, need)
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
