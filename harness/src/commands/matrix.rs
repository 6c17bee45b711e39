//! `vifbench matrix`: a scenario over kernels and hypervisors, each combination in a virtual lab of its own.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::json;
use vifbench_provisioning::lab::Combination;
use vifbench_provisioning::modules::builder::ModuleBuilder;
use vifbench_provisioning::modules::series::SeriesError;
use vifbench_reports::matrix::{self, Cell, FILE, LeftOut, MatrixRecord};
use vifbench_scenarios::progress::{Progress, Task};
use vifbench_scenarios::scenario::{Mode, Scenario};
use vifbench_store::FORMAT;
use vifbench_store::files::write_json;
use vifbench_wait::Cancel;

use super::child::{self, Worst};
use super::{patches, run, scenario};
use crate::cli::{Format, MatrixArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;
use crate::run::ready;
use crate::run::traffic::Replays;

/// A combination, and the variants that cannot be built for it.
type Planned = (Combination, Vec<LeftOut>);

/// What became of a combination, unless its process could not even be watched.
type Done = Result<(Cell, Exit), Failure>;

/// Carries out the command.
pub fn run(
    args: &MatrixArgs,
    format: Format,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    enough_processors(args.jobs)?;
    // Whatever is wrong with the scenario is told before anything is built.
    let mut asked = scenario::find(&args.scenario)?.each_hold();
    run::only(&mut asked, &args.variant)?;
    Replays::read(&asked, &scenario::folder_of(&args.scenario))?;
    if asked.mode != Mode::Sealed {
        return Err(Failure::Usage(format!(
            "{} has `mode: open`: the labs of a matrix are held against each other in virtual time, in sealed trials",
            asked.name
        )));
    }
    let reasons = asked.only_simulated();
    if !reasons.is_empty() {
        return Err(Failure::OnlySimulated {
            scenario: args.scenario.clone(),
            reasons,
        });
    }
    ready::check(None, &run::virtual_lab(), [&asked])?;
    let builder = patches::builder()?;
    let combinations: Vec<Planned> = combinations(args)?
        .into_iter()
        .map(|combination| {
            let left_out = left_out(&asked, combination.line(), &builder);
            (combination, left_out)
        })
        .collect();
    let began = jiff::Timestamp::now();
    let name = format!("{}-matrix-{}", began.strftime("%Y%m%d-%H%M%S"), asked.name);
    let folder = args.out.join(&name);
    fs::create_dir_all(&args.out).map_err(Failure::named("create the folder", &args.out))?;
    fs::create_dir(&folder).map_err(Failure::io("create the folder", &folder))?;

    let task = Mutex::new(progress.start("matrix", Some(combinations.len() as u64)));
    let done = side_by_side(args, &asked, &combinations, &folder, &task, cancel)?;
    let task = task.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut worst = Worst::default();
    let mut cells = Vec::new();
    for (cell, exit) in done {
        worst.take(exit);
        cells.push(cell);
    }
    task.finish(&format!("{} combinations", cells.len()));
    let record = MatrixRecord {
        format: FORMAT,
        matrix: name,
        vifbench: env!("CARGO_PKG_VERSION").to_owned(),
        scenario: asked.name,
        about: asked.about,
        began: began.to_string(),
        cells,
    };
    write_json(&folder.join(FILE), &record)?;
    if cancel.is_cancelled() {
        progress.note(&format!(
            "`vifbench report {}` makes the page of what is finished; the same matrix again looks up every trial that is known",
            folder.display()
        ));
        return Err(Failure::Interrupted);
    }
    report(&folder, format, progress)?;
    Ok(worst.exit())
}

/// Each lab keeps a processor busy and comes before other work there: a third one does not come up beside two on two.
fn enough_processors(jobs: u32) -> Result<(), Failure> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if jobs as usize <= processors {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "--jobs {jobs}: each lab needs a processor to itself, and there are {processors}; give at most --jobs {processors}"
    )))
}

/// Makes the page of a matrix, and prints its table.
pub fn report(folder: &Path, format: Format, progress: &dyn Progress) -> Result<(), Failure> {
    let rendered = matrix::render(folder, progress)?;
    match format {
        Format::Text => {
            write!(stdout(), "{}", rendered.matrix.to_text())?;
            writeln!(stdout(), "report: {}", rendered.index.display())?;
        }
        Format::Json => stdout().json(&json!({"matrix": rendered.matrix.record, "report": rendered.index.display().to_string()}))?,
    }
    Ok(())
}

/// Every kernel on every hypervisor that was asked for; the usual ones first.
fn combinations(args: &MatrixArgs) -> Result<Vec<Combination>, Failure> {
    let wanted = |version: &&str, asked: &[String]| {
        asked.is_empty() || asked.iter().any(|one| one == version)
    };
    let mut all = Vec::new();
    for kernel in Combination::kernels() {
        for xen in Combination::xens() {
            if wanted(&kernel, &args.kernel) && wanted(&xen, &args.xen) {
                all.push(Combination::new(Some(kernel), Some(xen))?);
            }
        }
    }
    Ok(all)
}

/// Runs all combinations, so many at a time as were asked for. In the order in which they were given.
fn side_by_side(
    args: &MatrixArgs,
    asked: &Scenario,
    combinations: &[Planned],
    folder: &Path,
    task: &Mutex<Box<dyn Task>>,
    cancel: &Cancel,
) -> Result<Vec<(Cell, Exit)>, Failure> {
    let waiting: Mutex<VecDeque<(usize, &Planned)>> =
        Mutex::new(combinations.iter().enumerate().collect());
    let done: Mutex<Vec<(usize, Done)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            scope.spawn(|| {
                loop {
                    let next = lock(&waiting).pop_front();
                    let Some((n, planned)) = next else { break };
                    lock(task).message(&planned.0.to_string());
                    let cell = run_one(args, asked, planned, folder, cancel);
                    let mut done = lock(&done);
                    done.push((n, cell));
                    lock(task).set(done.len() as u64);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, cell)| cell).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One combination, in a process of its own.
fn run_one(
    args: &MatrixArgs,
    asked: &Scenario,
    (combination, left_out): &Planned,
    folder: &Path,
    cancel: &Cancel,
) -> Done {
    let began = Instant::now();
    let mut cell = Cell {
        kernel: combination.kernel().to_owned(),
        xen: combination.xen().to_owned(),
        verdict: "NOT BEGUN".to_owned(),
        reason: "the matrix was interrupted".to_owned(),
        run: None,
        left_out: left_out.clone(),
        minutes: 0.0,
    };
    if cancel.is_cancelled() {
        return Ok((cell, Exit::Interrupted));
    }
    let mut arguments: Vec<OsString> = vec!["run".into(), args.scenario.as_str().into()];
    arguments.extend(["--out".into(), folder.into()]);
    arguments.extend(["--seed".into(), args.seed.to_string().into()]);
    arguments.extend(["--kernel".into(), combination.kernel().into()]);
    arguments.extend(["--xen".into(), combination.xen().into()]);
    if let Some(seeds) = args.seeds {
        arguments.extend(["--seeds".into(), seeds.to_string().into()]);
    }
    let built = |name: &str| cell.left_out.iter().all(|out| out.variant != name);
    let variants: Vec<&str> = asked.variants.iter().map(|v| v.name.as_str()).collect();
    let built: Vec<&str> = variants.into_iter().filter(|name| built(name)).collect();
    if built.is_empty() {
        let cell = Cell {
            verdict: Exit::Setup.word().to_owned(),
            reason: "none of the variants can be built for this kernel".to_owned(),
            ..cell
        };
        return Ok((cell, Exit::Setup));
    }
    for variant in built {
        arguments.extend(["--variant".into(), variant.into()]);
    }
    let log = folder.join(combination.lab_name("log") + ".txt");
    let ended = child::run(&arguments, &log, None, cancel)?;
    cell.run = ended.run().map(str::to_owned);
    cell.verdict = ended.verdict;
    cell.reason = ended.reason;
    cell.minutes = began.elapsed().as_secs_f64() / 60.0;
    Ok((cell, ended.exit))
}

/// Variants that have no patches for this kernel. What else keeps modules from being built, the run tells.
fn left_out(asked: &Scenario, line: &str, builder: &ModuleBuilder) -> Vec<LeftOut> {
    let series = builder.series(line);
    let mut out = Vec::new();
    for variant in &asked.variants {
        let Some(name) = variant.patches.series() else {
            continue;
        };
        let why = match &series {
            Ok(series) => series.variant(name).err().map(|error| error.to_string()),
            Err(SeriesError::NoSeries { line, .. }) => {
                Some(format!("there are no patches for Linux {line}"))
            }
            Err(error) => Some(error.to_string()),
        };
        out.extend(why.map(|reason| LeftOut {
            variant: variant.name.clone(),
            reason,
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_labs_than_processors_are_refused() {
        enough_processors(1).expect("one there is");
        let error = enough_processors(1_000_000).expect_err("nobody has so many");
        let text = error.to_string();
        assert!(text.contains("--jobs 1000000: each lab needs"), "{text}");
    }

    #[test]
    fn variants_without_patches_for_a_kernel_are_left_out_and_say_why() {
        let asked = scenario::find("aggregation").expect("in the library");
        let builder = patches::builder().expect("the source tree is here");
        for line in Combination::kernels() {
            let out: Vec<_> = left_out(&asked, line, &builder)
                .into_iter()
                .map(|o| o.reason)
                .collect();
            assert!(out.is_empty(), "{line}: {out:?}");
        }
        // Stock drivers need no patches.
        let patched = asked.variants.len() - 1;
        let out = left_out(&asked, "4.19", &builder);
        assert_eq!(out.len(), patched);
        for one in out {
            assert_ne!(one.variant, "stock");
            assert_eq!(one.reason, "there are no patches for Linux 4.19");
        }
    }
}
