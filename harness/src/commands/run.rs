//! `vifbench run`: a scenario on a lab, and its report.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use vifbench_provisioning::lab::{Combination, UpOptions, VirtualLab};
use vifbench_provisioning::lease::LabLock;
use vifbench_provisioning::state;
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::plan::Plan;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::{Mode, Scenario};
use vifbench_store::RunWriter;
use vifbench_wait::Cancel;

use super::{report, scenario};
use crate::cli::{Format, RunArgs, VersionArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::run::awake::Awake;
use crate::run::ready;
use crate::run::repeat::Repeat;
use crate::run::rig::Rig;
use crate::run::traffic::Replays;

/// The event of a run that counts instructions.
const COUNTING: &str = "counting";

/// The name of the lab that vifbench builds itself: `virtual`, or `$VIFBENCH_LAB_NAME`, so that several can stand
/// side by side.
pub fn virtual_lab() -> String {
    std::env::var("VIFBENCH_LAB_NAME").unwrap_or_else(|_| "virtual".to_owned())
}

/// The name of the virtual lab with these versions.
pub fn lab_name(versions: &VersionArgs) -> Result<String, Failure> {
    Ok(versions.combination()?.lab_name(&virtual_lab()))
}

/// Carries out the command.
pub fn run(
    args: &RunArgs,
    format: Format,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    // Everything that can be wrong with the files is found before anything is booted.
    // A variant with another hold is another variant.
    let mut asked = scenario::find(&args.scenario)?.each_hold();
    if asked.search.is_some() {
        // Of a search, blocks are the trials of each load, which are planned as it goes on.
        asked.blocks = args.blocks.unwrap_or(asked.blocks);
    }
    only(&mut asked, &args.variant)?;
    asked.layouts = args.layouts.unwrap_or(asked.layouts);
    if asked.layouts > 1 && (asked.mode != Mode::Sealed || args.lab.is_some()) {
        return Err(Failure::Usage(
            "layouts are states of the virtual lab: they need a scenario with `mode: sealed` and no --lab"
                .to_owned(),
        ));
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
    if args.instructions && (args.lab.is_some() || asked.mode != Mode::Sealed) {
        return Err(Failure::Usage(
            "instructions can be counted only in sealed trials, which the virtual lab runs: choose a scenario with `mode: sealed`, without --lab"
                .to_owned(),
        ));
    }
    if args.lab.is_some() && (args.versions.kernel.is_some() || args.versions.xen.is_some()) {
        return Err(Failure::Usage(
            "--kernel and --xen choose a virtual lab; the machines of --lab have what they have: leave one out"
                .to_owned(),
        ));
    }
    let given = args.lab.as_deref().map(Lab::load).transpose()?;
    let name = lab_name(&args.versions)?;
    ready::check(given.as_ref(), &name, [&asked])?;
    let plan = Plan::new(&asked, args.seed, args.seeds.or(args.blocks));
    let doing = format!("a run of {}", asked.name);
    let mut up = bring_up(given, &name, &doing, progress, cancel)?;
    up.keep |= args.keep_lab;
    let result = scenario::fits(&asked, &up.lab)
        .and_then(|()| Ok(RunWriter::create(&args.out, asked, up.lab.clone(), plan)?))
        .and_then(|run| {
            replays.store(run.path())?;
            Ok(run)
        });
    let mut run = match result {
        Ok(run) => run,
        Err(failure) => {
            up.put_away()?;
            return Err(failure);
        }
    };
    let how = How {
        repeat: args.repeat(),
        instructions: args.instructions,
    };
    go_on(&mut run, up, how, format, progress, cancel)
}

/// Leaves only the variants of these names, where there are any names.
pub fn only(asked: &mut Scenario, names: &[String]) -> Result<(), Failure> {
    let known: Vec<&str> = asked.variants.iter().map(|v| v.name.as_str()).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Failure::Usage(format!(
            "{} has no variant `{name}`; it has {}",
            asked.name,
            known.join(", ")
        )));
    }
    if !names.is_empty() {
        asked.variants.retain(|v| names.contains(&v.name));
    }
    Ok(())
}

/// A lab that a command has for itself.
pub struct Up {
    /// Its hosts.
    pub lab: Lab,
    /// The virtual lab, if it is one that vifbench built.
    pub virtual_lab: Option<VirtualLab>,
    /// The virtual lab stays up afterwards, because it was up before or the user wants it so.
    pub keep: bool,
    /// Nobody else has it meanwhile; the kernel lets go of it however this process ends.
    pub lock: LabLock,
    /// A virtual lab that was given by its file runs for as long as it is used. Dropped behind the lock.
    pub _awake: Option<Awake>,
}

impl Up {
    /// Ends what is of no use, because the command fails before it begins.
    pub fn put_away(self) -> Result<(), Failure> {
        match self.virtual_lab {
            Some(lab) if self.keep => lab.rest()?,
            Some(lab) => return Ok(lab.down()?),
            None => false,
        };
        Ok(())
    }
}

/// The lab of a file, or the virtual lab of that name, up, for a command that is `doing` this.
///
/// # Errors
/// At once when another command has the lab, with the words that it left of itself.
pub fn bring_up(
    given: Option<Lab>,
    name: &str,
    doing: &str,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Up, Failure> {
    let state = state::folder()?;
    if let Some(lab) = given {
        let awake = Awake::of_file(&lab, doing)?;
        let lock = LabLock::take(&state, &lab.name, doing)?;
        return Ok(Up {
            lab,
            virtual_lab: None,
            keep: true,
            lock,
            _awake: awake,
        });
    }
    let lock = LabLock::take(&state, name, doing)?;
    let (virtual_lab, keep) = attach_or_boot(name, progress, cancel)?;
    Ok(Up {
        lab: virtual_lab.lab().clone(),
        virtual_lab: Some(virtual_lab),
        keep,
        lock,
        _awake: None,
    })
}

/// The virtual lab of that name. The flag says whether it was up already.
fn attach_or_boot(
    name: &str,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<(VirtualLab, bool), Failure> {
    if let Some(lab) = VirtualLab::attach(name)? {
        lab.check_unchanged()?;
        return Ok((lab, true));
    }
    // A boot takes a minute and knows nothing of Ctrl-C: it is left behind with its machine gone.
    let (tell, told) = mpsc::channel();
    let options = UpOptions::named(name);
    std::thread::spawn(move || {
        // Nobody listens any more after an interruption.
        drop(tell.send(VirtualLab::up(&options, progress)));
    });
    loop {
        match told.recv_timeout(Duration::from_millis(200)) {
            Ok(lab) => {
                return Ok((lab?, false));
            }
            Err(mpsc::RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                VirtualLab::abandon(name)?;
                return Err(Failure::Interrupted);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(Failure::Internal(
                    "the thread that boots the lab died".to_owned(),
                ));
            }
        }
    }
}

/// How a run is to go, besides its plan.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// How often sealed trials are run.
    repeat: Repeat,
    /// The instructions of sealed trials are counted.
    instructions: bool,
}

/// Runs what is not finished, restores the lab whatever happened, and reports.
pub fn go_on(
    run: &mut RunWriter,
    mut up: Up,
    how: How,
    format: Format,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let name = run.record().run.clone();
    up.lock.show(&format!("run {name}"))?;
    run.event("run-started", None, &name)?;
    let (lab, virtual_lab) = (up.lab, up.virtual_lab);
    let mode = run.record().scenario.mode;
    let mut rig = Rig::new(lab, virtual_lab, mode, cancel.clone(), &name, how.repeat)?;
    let result = if how.instructions {
        // So that a run that is killed goes on as it began.
        let told = run.event(COUNTING, None, "the instructions of its trials");
        told.map_err(Failure::from)
            .and_then(|()| rig.count_instructions())
    } else {
        Ok(())
    };
    let result = result.and_then(|()| crate::run::until_decided(run, &mut rig, progress));
    let restored = rig.restore(up.keep, progress);
    // What could not be restored matters more than why the run ended.
    restored?;
    if matches!(result, Err(Failure::Interrupted)) {
        progress.note(&format!(
            "go on with `vifbench resume {}`",
            run.path().display()
        ));
    }
    result?;
    run.event("run-ended", None, &name)?;
    report::make(run.path(), format, progress)
}

/// Did the run count instructions before?
fn counted(run: &RunWriter) -> Result<bool, Failure> {
    let events = run.reader().read_events()?;
    Ok(events.iter().any(|event| event.what == COUNTING))
}

/// `vifbench resume`.
pub fn resume(
    path: &Path,
    format: Format,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let mut run = RunWriter::open(path)?;
    let lab = run.record().lab.clone();
    // A virtual lab has new keys after its images were built anew: what is up now counts, not what was.
    let name = Combination::of_lab(&lab.name).0.lab_name(&virtual_lab());
    let given = if lab.is_virtual { None } else { Some(lab) };
    ready::check(given.as_ref(), &name, [&run.record().scenario])?;
    let how = How {
        repeat: Repeat::Never,
        instructions: counted(&run)?,
    };
    let doing = format!("run {}", run.record().run);
    let up = bring_up(given, &name, &doing, progress, cancel)?;
    go_on(&mut run, up, how, format, progress, cancel)
}
