//! By patch: one virtual lab, into which each step of a series is swapped.

use vifbench_provisioning::data::DataDir;
use vifbench_provisioning::lab::Combination;
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::builder::{ModuleBuilder, default_cache_dir};
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::{Mode, Patches, Scenario, Variant};
use vifbench_store::RunWriter;
use vifbench_wait::Cancel;

use super::{Drawn, Outcome, number, search};
use crate::cli::BisectArgs;
use crate::commands::run as run_command;
use crate::error::Failure;
use crate::run::repeat::Repeat;
use crate::run::rig::Rig;
use crate::run::variants::Variants;
use crate::run::{execute_with, read_vifprobe, ready};

pub(super) fn bisect(
    args: &BisectArgs,
    mut asked: Scenario,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Outcome, Failure> {
    let folder = match &args.series {
        Some(folder) => folder.clone(),
        None => DataDir::from_env().series()?,
    };
    let builder = ModuleBuilder::new(folder, default_cache_dir()).with_cancel(cancel.clone());
    let name_of_lab = run_command::virtual_lab();
    ready::check(None, &name_of_lab, [&asked])?;
    let combination = Combination::of_lab(&name_of_lab).0;
    let line = combination.line();
    let series = builder.series(line).map_err(ModuleError::from)?;
    if series.patches.is_empty() {
        return Err(Failure::Usage(format!(
            "the series for Linux {line} is empty"
        )));
    }
    let last = series.patches.len();
    asked.variants = (0..=last)
        .map(|step| Variant::new(name(step), Patches::Shadow))
        .collect();
    asked.layouts = args.blocks();
    let all = Plan::new(&asked, args.seed, Some(args.blocks()));
    let plan = Plan {
        trials: Vec::new(),
        ..all.clone()
    };
    let vifprobe = read_vifprobe()?;
    let up = run_command::bring_up(None, &name_of_lab, "bisect", progress, cancel)?;
    let run = match RunWriter::create(&args.out, asked, up.lab.clone(), plan) {
        Ok(run) => run,
        Err(error) => {
            up.put_away()?;
            return Err(error.into());
        }
    };
    let (lab, virtual_lab) = (up.lab, up.virtual_lab);
    let mut rig = Rig::new(
        lab,
        virtual_lab,
        Mode::Sealed,
        cancel.clone(),
        "bisect",
        Repeat::Never,
    )?;
    let steps = (0..=last).map(|step| (name(step), step)).collect();
    let mut applied = Applied {
        run,
        variants: Variants::steps(&vifprobe, builder, steps),
        all: all.trials,
        metric: &args.metric,
    };
    let searched = search(
        last,
        args.every,
        args.blocks(),
        args.seed,
        |step, blocks| applied.measure(step, blocks, &mut rig, progress),
    );
    rig.restore(up.keep, progress)?;
    let names = series.patches.into_iter().map(|patch| patch.name);
    Ok(Outcome {
        metric: args.metric.clone(),
        kind: "patch",
        steps: ["(no patch)".to_owned()].into_iter().chain(names).collect(),
        searched: searched?,
        folder: applied.run.path().to_owned(),
    })
}

fn name(step: usize) -> String {
    format!("step {step}")
}

/// So many patches of the series, in one run to which a trial is added for each.
struct Applied<'a> {
    run: RunWriter,
    variants: Variants<'a>,
    all: Vec<TrialPlan>,
    metric: &'a str,
}

impl Applied<'_> {
    fn measure(
        &mut self,
        step: usize,
        blocks: u32,
        rig: &mut Rig,
        progress: &dyn Progress,
    ) -> Result<Drawn, Failure> {
        let wanted = name(step);
        let mut plan = self.run.record().plan.clone();
        let of_step = |trial: &&TrialPlan| trial.variant.name == wanted;
        let known = plan.trials.iter().filter(of_step).count();
        let trials = self.all.iter().filter(of_step).take(blocks as usize);
        for trial in trials.skip(known) {
            let number = plan.trials.len() as u32 + 1;
            plan.trials.push(TrialPlan {
                number,
                ..trial.clone()
            });
        }
        self.run.extend(plan)?;
        execute_with(&mut self.run, rig, &mut self.variants, progress)?;
        number(self.run.path(), &wanted, self.metric, blocks, progress)
    }
}
