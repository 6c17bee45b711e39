//! By release of a kernel: the packaged drivers, in a virtual lab of each release.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use vifbench_provisioning::lab::{Combination, kernel_releases};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Scenario;
use vifbench_wait::Cancel;

use super::{Drawn, Outcome, number, search};
use crate::cli::BisectArgs;
use crate::commands::child;
use crate::error::Failure;

pub(super) fn bisect(
    args: &BisectArgs,
    line: &str,
    asked: &Scenario,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Outcome, Failure> {
    let variant = stock(asked).ok_or_else(|| {
        Failure::Usage(format!(
            "{} has no variant of packaged drivers, and only these are in every release: add one without `patches`",
            args.scenario
        ))
    })?;
    let combination = Combination::new(Some(line), args.xen.as_deref())?;
    let all = kernel_releases(&combination, progress)?;
    let steps = between(&all, args.from.as_deref(), args.to.as_deref())?;

    let began = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
    let folder = args.out.join(format!("{began}-bisect-{}", asked.name));
    fs::create_dir_all(&folder).map_err(Failure::named("create the folder", &folder))?;
    let trial = Trial {
        args,
        variant,
        xen: combination.xen(),
        folder: &folder,
        cancel,
    };
    let task = progress.start("releases", None);
    let searched = search(
        steps.len() - 1,
        args.every,
        args.blocks(),
        args.seed,
        |step, blocks| {
            task.message(&steps[step]);
            trial.measure(&steps[step], blocks, progress)
        },
    );
    task.finish(if searched.is_ok() { "done" } else { "failed" });
    Ok(Outcome {
        metric: args.metric.clone(),
        kind: "release",
        steps,
        searched: searched?,
        folder,
    })
}

/// The first variant of packaged drivers.
fn stock(asked: &Scenario) -> Option<&str> {
    let mut variants = asked.variants.iter();
    let stock = variants.find(|variant| variant.patches.series().is_none());
    stock.map(|variant| variant.name.as_str())
}

/// The releases from one to another, both among them.
fn between(all: &[String], from: Option<&str>, to: Option<&str>) -> Result<Vec<String>, Failure> {
    let at = |asked: &str| {
        let asked = asked.strip_suffix("-amd64").unwrap_or(asked);
        all.iter().position(|one| one == asked).ok_or_else(|| {
            Failure::Usage(format!(
                "Debian has no release {asked}; it has {}",
                all.join(", ")
            ))
        })
    };
    let first = from.map_or(Ok(0), at)?;
    let last = to.map_or(Ok(all.len().saturating_sub(1)), at)?;
    if first >= last {
        return Err(Failure::Usage(format!(
            "there is nothing between the first release and the last: give two of {}, the older one as --from",
            all.join(", ")
        )));
    }
    Ok(all[first..=last].to_vec())
}

/// A trial of the packaged drivers of any release.
struct Trial<'a> {
    args: &'a BisectArgs,
    variant: &'a str,
    xen: &'a str,
    folder: &'a Path,
    cancel: &'a Cancel,
}

impl Trial<'_> {
    /// In a process of its own, as each release is another machine.
    fn measure(
        &self,
        release: &str,
        trials: u32,
        progress: &dyn Progress,
    ) -> Result<Drawn, Failure> {
        let blocks = trials.to_string();
        let arguments = [
            "run",
            &self.args.scenario,
            "--kernel",
            release,
            "--xen",
            self.xen,
            "--variant",
            self.variant,
            "--blocks",
            &blocks,
            "--layouts",
            &blocks,
            "--seed",
            &self.args.seed.to_string(),
            "--out",
        ];
        let mut arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
        arguments.push(self.folder.into());
        let log = match trials {
            1 => format!("log-{release}.txt"),
            n => format!("log-{release}-{n}-blocks.txt"),
        };
        let log = self.folder.join(log);
        let ended = child::run(&arguments, &log, None, self.cancel)?;
        if self.cancel.is_cancelled() {
            return Err(Failure::Interrupted);
        }
        let Some(run) = ended.run() else {
            return Err(Failure::NoTrial {
                release: release.to_owned(),
                reason: ended.reason,
                log,
            });
        };
        number(
            &self.folder.join(run),
            self.variant,
            &self.args.metric,
            trials,
            progress,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_among_the_steps() {
        let all: Vec<String> = ["6.1.0-50", "6.1.0-51", "6.1.0-52"]
            .map(str::to_owned)
            .into();
        assert_eq!(between(&all, None, None).unwrap(), all);
        assert_eq!(between(&all, Some("6.1.0-51"), None).unwrap(), all[1..]);
        assert_eq!(
            between(&all, None, Some("6.1.0-51-amd64")).unwrap(),
            all[..2]
        );
        let error = between(&all, Some("6.1.0-49"), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no release 6.1.0-49; it has 6.1.0-50, 6.1.0-51"),
            "{error}"
        );
        let backwards = between(&all, Some("6.1.0-52"), Some("6.1.0-50"));
        assert!(
            backwards
                .unwrap_err()
                .to_string()
                .contains("the older one as --from")
        );
        between(&[], None, None).unwrap_err();
    }
}
