//! `vifbench bisect`: finds the patch of a series that moved a number, by sealed trials, with no statistics.

use std::collections::BTreeMap;

use serde_json::json;
use vifbench_provisioning::lease::LabLock;
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::builder::{ModuleBuilder, default_cache_dir, line_of};
use vifbench_provisioning::modules::series::Series;
use vifbench_provisioning::state;
use vifbench_provisioning::wait::Cancel;
use vifbench_reports::analyze_run;
use vifbench_reports::compare::{Unit, measured};
use vifbench_scenarios::judge::METRICS;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::{Mode, Patches, Variant};

use super::{patches, run as run_command, scenario};
use crate::cli::{BisectArgs, Format};
use crate::error::Failure;
use crate::exit::Exit;
use crate::run::bench::{Bench, Repeat};
use crate::run::variant::Variants;
use crate::run::{execute_with, read_vifprobe};
use crate::store::RunDir;

/// Two exact values that differ by less than this share of the first are the same to a reader.
const NOTHING: f64 = 1e-9;

/// Carries out the command.
pub fn run(
    args: &BisectArgs,
    format: Format,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    if !METRICS.contains(&args.metric.as_str()) {
        return Err(Failure::Usage(format!(
            "there is no number `{}`; there are {}",
            args.metric,
            METRICS.join(", ")
        )));
    }
    let mut asked = scenario::find(&args.scenario)?;
    if asked.mode != Mode::Sealed || asked.sweep.points().len() > 1 {
        return Err(Failure::Usage(format!(
            "{} cannot be bisected with: it must be `mode: sealed`, because only sealed trials are exact, and have no sweep",
            args.scenario
        )));
    }
    let folder = args.series.clone().unwrap_or_else(patches::folder);
    let builder = ModuleBuilder::new(folder, default_cache_dir()).with_cancel(cancel.clone());
    let (lab, virtual_lab, was_up) =
        run_command::bring_up(None, &run_command::virtual_lab(), progress, cancel)?;
    scenario::fits(&asked, &lab)?;
    let Some(up) = &virtual_lab else {
        return Err(Failure::Usage(
            "only the virtual lab can be sealed".to_owned(),
        ));
    };
    let release = up.images().kernel()?;
    let line = line_of(&release)
        .ok_or_else(|| Failure::Usage(format!("{release} is no kernel's release")))?;
    let series = builder.series(&line).map_err(ModuleError::from)?;
    if series.patches.is_empty() {
        return Err(Failure::Usage(format!(
            "the series for Linux {line} is empty"
        )));
    }
    let _lab = LabLock::take(&state::folder()?, &lab.name, "bisect")?;

    let last = series.patches.len();
    asked.variants = (0..=last)
        .map(|step| Variant::new(name(step), Patches::Shadow))
        .collect();
    let all = Plan::new(&asked, args.seed, Some(1));
    let plan = Plan {
        trials: Vec::new(),
        ..all.clone()
    };
    let run = RunDir::create(&args.out, asked, lab.clone(), plan)?;
    let mut bench = Bench::new(lab, virtual_lab, cancel.clone(), "bisect", Repeat::Never)?;
    let vifprobe = read_vifprobe()?;
    let steps = (0..=last).map(|step| (name(step), step)).collect();
    let mut search = Search {
        run,
        variants: Variants::steps(&vifprobe, builder, steps),
        all: all.trials,
        metric: &args.metric,
        values: BTreeMap::new(),
        unit: None,
    };
    let found = search.search(last, args.every, &mut bench, progress);
    bench.restore(was_up, progress)?;
    let found = found?;
    tell(&search, &series, found, format);
    Ok(Exit::Pass)
}

fn name(step: usize) -> String {
    format!("step {step}")
}

/// Steps that were measured so far.
struct Search<'a> {
    run: RunDir,
    variants: Variants<'a>,
    all: Vec<TrialPlan>,
    metric: &'a str,
    values: BTreeMap<usize, f64>,
    unit: Option<Unit>,
}

impl Search<'_> {
    /// The first step that lies on the last one's side, or none where the ends are the same.
    fn search(
        &mut self,
        last: usize,
        every: bool,
        bench: &mut Bench,
        progress: &dyn Progress,
    ) -> Result<Option<usize>, Failure> {
        let first: Vec<usize> = if every {
            (0..=last).collect()
        } else {
            vec![0, last]
        };
        for step in first {
            self.measure(step, bench, progress)?;
        }
        let (base, end) = (self.values[&0], self.values[&last]);
        if (end - base).abs() <= NOTHING * base.abs() {
            return Ok(None);
        }
        let (mut before, mut after) = (0, last);
        while after - before > 1 {
            let middle = before.midpoint(after);
            let value = self.measure(middle, bench, progress)?;
            if is_moved(base, end, value) {
                after = middle;
            } else {
                before = middle;
            }
        }
        Ok(Some(after))
    }

    /// The number at a step: measured, or known.
    fn measure(
        &mut self,
        step: usize,
        bench: &mut Bench,
        progress: &dyn Progress,
    ) -> Result<f64, Failure> {
        if let Some(value) = self.values.get(&step) {
            return Ok(*value);
        }
        let wanted = name(step);
        let mut plan = self.run.record().plan.clone();
        let trial = self.all.iter().find(|trial| trial.variant.name == wanted);
        let mut trial = trial
            .cloned()
            .ok_or_else(|| Failure::Usage(format!("{wanted} is not in the plan")))?;
        trial.number = plan.trials.len() as u32 + 1;
        plan.trials.push(trial);
        self.run.extend(plan)?;
        execute_with(&mut self.run, bench, &mut self.variants, progress)?;
        let summary = analyze_run(self.run.path(), progress)?;
        let found = measured(&summary.trials)
            .into_iter()
            .find(|m| m.variant == wanted && m.metric == self.metric && m.to == "all");
        match found.as_ref().and_then(|m| m.values.first()) {
            Some(value) => {
                self.unit = found.as_ref().map(|m| m.unit);
                self.values.insert(step, *value);
                Ok(*value)
            }
            None => Err(Failure::Usage(format!(
                "the trial of {wanted} gave no {}; see {}",
                self.metric,
                self.run.path().display()
            ))),
        }
    }
}

/// Does a value lie nearer to the end than to the base?
fn is_moved(base: f64, end: f64, value: f64) -> bool {
    (value - base).abs() >= (value - end).abs()
}

fn tell(search: &Search<'_>, series: &Series, found: Option<usize>, format: Format) {
    let (values, base) = (&search.values, search.values[&0]);
    let change = |value: f64| 100.0 * (value - base) / base;
    let shown = |value: f64| {
        search
            .unit
            .map_or(value.to_string(), |unit| unit.value(value))
    };
    let patch = |step: usize| {
        step.checked_sub(1)
            .map_or("(no patch)", |index| series.patches[index].name.as_str())
    };
    if format == Format::Json {
        let steps: Vec<_> = values
            .iter()
            .map(|(step, value)| json!({"step": step, "patch": patch(*step), "value": value}))
            .collect();
        let found = found.map(|step| json!({"step": step, "patch": patch(step)}));
        println!(
            "{}",
            json!({"metric": search.metric, "run": search.run.path(), "steps": steps, "found": found})
        );
        return;
    }
    println!(
        "{} by step of the series, one sealed trial each",
        search.metric
    );
    for (step, value) in values {
        let mark = if found == Some(*step) {
            "  <-- here"
        } else {
            ""
        };
        println!(
            "{step:>4}  {:>12}  {:>+9.3} %  {}{mark}",
            shown(*value),
            change(*value),
            patch(*step)
        );
    }
    match found {
        None => println!("nothing moved: the first and the last step are the same"),
        Some(step) => {
            let (before, after) = (values[&(step - 1)], values[&step]);
            println!(
                "{} moved {} by {:+.3} %: {} to {}",
                patch(step),
                search.metric,
                100.0 * (after - before) / before,
                shown(before),
                shown(after)
            );
            if values.len() < series.patches.len() + 1 {
                println!("other steps may move it too: --every measures all of them");
            }
        }
    }
    println!("run: {}", search.run.path().display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_nearer_end() {
        assert!(!is_moved(100.0, 101.0, 100.2));
        assert!(is_moved(100.0, 101.0, 100.9));
        assert!(is_moved(100.0, 90.0, 92.0));
        assert!(!is_moved(100.0, 90.0, 99.0));
    }
}
