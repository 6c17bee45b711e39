//! The variants of a run: their modules are built where that is necessary, and everything that decides a sealed trial is
//! put into its name.

use std::collections::BTreeMap;
use std::path::Path;

use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::builder::{BuiltModules, ModuleBuilder};
use vifbench_provisioning::modules::swap::Pair;
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Variant;
use vifbench_wait::Cancel;

use super::drivers::Drivers;
use super::result_cache::Name;
use super::settings::Settings;
use crate::commands::patches;
use crate::error::Failure;

/// The variants of a run.
pub struct Variants<'a> {
    vifprobe: &'a [u8],
    built: BTreeMap<(String, String), BuiltModules>,
    /// The hash of this very program, once it was needed.
    program: Option<String>,
    /// Where variants are beginnings of a series: by name, how many patches.
    steps: Option<(ModuleBuilder, BTreeMap<String, usize>)>,
}

impl<'a> Variants<'a> {
    /// Variants as scenarios describe them. Nothing is built yet.
    pub fn new(vifprobe: &'a [u8]) -> Self {
        Self {
            vifprobe,
            built: BTreeMap::new(),
            program: None,
            steps: None,
        }
    }

    /// Variants that are beginnings of a series, by name, with the modules' own defaults and no settings.
    pub fn steps(
        vifprobe: &'a [u8],
        builder: ModuleBuilder,
        steps: BTreeMap<String, usize>,
    ) -> Self {
        Self {
            steps: Some((builder, steps)),
            ..Self::new(vifprobe)
        }
    }

    /// The drivers of a variant for this kernel release, built unless they are in the cache.
    pub fn drivers(
        &mut self,
        variant: &Variant,
        release: &str,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Drivers<'a>, Failure> {
        let (pair, settings) = if self.steps.is_some() {
            // An early step lacks most parameters.
            (
                self.step(&variant.name, release, progress)?,
                Settings::default(),
            )
        } else {
            let pair = match variant.patches.series() {
                None => Pair::Stock,
                Some(series) => {
                    let modules = self.series(series, release, cancel, progress)?;
                    Pair::Built(Box::new(modules))
                }
            };
            (pair, Settings::of(variant))
        };
        Ok(Drivers {
            pair,
            settings,
            vifprobe: self.vifprobe,
        })
    }

    /// The modules with as many patches as the step of this name has.
    fn step(&self, name: &str, release: &str, progress: &dyn Progress) -> Result<Pair, Failure> {
        let step = self.steps.as_ref().and_then(|(builder, steps)| {
            let count = steps.get(name)?;
            Some((builder, *count))
        });
        let (builder, count) =
            step.ok_or_else(|| Failure::Internal(format!("{name} is no step of the series")))?;
        let task = progress.start(&format!("modules of {name}"), None);
        let kernel = builder
            .kernel(release, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        let built = builder
            .build_first(count, &kernel, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        task.finish("built");
        Ok(Pair::Built(Box::new(built)))
    }

    /// The modules with a whole series.
    fn series(
        &mut self,
        series: &str,
        release: &str,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<BuiltModules, Failure> {
        let key = (series.to_owned(), release.to_owned());
        if let Some(modules) = self.built.get(&key) {
            return Ok(modules.clone());
        }
        let task = progress.start(&format!("modules {series}"), None);
        let builder = patches::builder()?.with_cancel(cancel.clone());
        let kernel = builder
            .kernel(release, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        let built = builder
            .build(series, &kernel, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        task.finish(if built.cached {
            "in the cache"
        } else {
            "built"
        });
        self.built.insert(key, built.clone());
        Ok(built)
    }

    /// What names a sealed trial by content. `machine` names the machine that it runs in.
    pub fn name(
        &mut self,
        machine: &str,
        drivers: &Drivers<'_>,
        plan: &TrialPlan,
    ) -> Result<Name, Failure> {
        if self.program.is_none() {
            let here = std::env::current_exe()
                .map_err(Failure::io("find the path of", Path::new("vifbench")))?;
            let bytes = std::fs::read(&here).map_err(Failure::io("read", &here))?;
            self.program = Some(blake3::hash(&bytes).to_hex().to_string());
        }
        let program = self.program.as_deref().unwrap_or_default();
        Name::new(machine, &drivers.content(), program, plan).map_err(|error| {
            Failure::Internal(format!(
                "the plan of trial {} has no name: {error}",
                plan.number
            ))
        })
    }
}
