//! Bringing a variant up: modules built, swapped in by way of the undo stack, and proved live.
//!
//! In the virtual lab the machine is saved once a pair of modules is live, and every trial restores that state; on
//! hardware the modules are swapped anew for each trial. Either way a trial starts right after a module load, with
//! the variant's settings.

use std::collections::BTreeMap;
use std::path::Path;

use vifbench_provisioning::host::HostExt as _;
use vifbench_provisioning::lab::{LabError, VirtualLab, step};
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::builder::{BuiltModules, ModuleBuilder};
use vifbench_provisioning::modules::swap::Pair;
use vifbench_scenarios::lab::{HostName, Role};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::{Mode, Variant};
use vifbench_store::ModuleProof;
use vifbench_wait::Cancel;

use super::bench::{BASE, Bench};
use super::crew::Crew;
use super::kept::{Kept, KeptProbe, OF_DOM0};
use super::layout;
use super::machines::{Machine, Probe, STEP};
use super::ports::Ports;
use super::sealed::Name;
use super::settings::Settings;
use crate::commands::patches;
use crate::error::Failure;

/// What was done to a machine before it was saved with a pair live; changed when that changes.
const PREPARED: &[u8] = b"3";

/// The variants of a run: what is built, and what is live.
pub struct Variants<'a> {
    vifprobe: &'a [u8],
    built: BTreeMap<(String, String), BuiltModules>,
    /// The hash of this very program, once it is asked for.
    program: Option<String>,
    /// Where variants are beginnings of a series: by name, how many patches.
    steps: Option<(ModuleBuilder, BTreeMap<String, usize>)>,
}

impl<'a> Variants<'a> {
    /// Nothing is built yet.
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

    /// The probe's program.
    pub fn vifprobe(&self) -> &'a [u8] {
        self.vifprobe
    }

    /// Brings the variant up with freshly loaded modules and proves it. `crew` are the machines, but for a virtual
    /// lab, whose machines are known only once its state is loaded.
    pub fn live(
        &mut self,
        bench: &mut Bench,
        crew: Option<&mut Crew>,
        plan: &TrialPlan,
        progress: &dyn Progress,
    ) -> Result<Vec<ModuleProof>, Failure> {
        let variant = &plan.variant;
        let folder = bench.probe_folder();
        let Some(lab) = bench.virtual_lab() else {
            let crew = crew.ok_or_else(|| {
                Failure::Internal("the lab's machines were not connected".to_owned())
            })?;
            crew.verify()?;
            let release = crew.dom0().check("uname -r", STEP)?.text();
            let pair = self.pair(variant, &release, bench.cancel(), progress)?;
            crew.swap(&pair, &folder, progress)?;
            crew.set(&self.settings(variant))?;
            return crew.prove(&pair);
        };
        // The kernel is the images': it need not be asked of a machine that may not even be there.
        let pair = self.pair(variant, &lab.images().kernel()?, bench.cancel(), progress)?;
        let tag = layout::tagged(self.tag(&pair, plan.mode), plan.layout);
        let made = State {
            tag: &tag,
            layout: plan.layout,
            mode: plan.mode,
        };
        if !lab.has(&tag)? {
            self.save_live(bench, &pair, made, progress)?;
        }
        match bench.load(&tag, plan.mode) {
            Err(Failure::Lab(error @ LabError::DamagedState { .. })) => {
                progress.note(&error.to_string());
                self.save_live(bench, &pair, made, progress)?;
                bench.load(&tag, plan.mode)?;
            }
            loaded => loaded?,
        }
        let mut crew = bench.crew()?;
        let settings = self.settings(variant);
        if plan.mode == Mode::Open {
            let kept = Kept::fetch(crew.dom0(), &folder)?;
            crew.record_kept(kept.boots, &folder)?;
            crew.set(&settings)?;
            return crew.prove(&pair);
        }
        // A sealed machine is what was saved, to the byte: what was proved then is still so.
        let kept = bench.ask_kept()?.clone();
        crew.record_kept(kept.boots, &folder)?;
        crew.set(&settings)?;
        Ok(kept.modules)
    }

    /// Saves the machine with that pair live. It is made sealed, so that it is the same wherever it is made.
    fn save_live(
        &self,
        bench: &mut Bench,
        pair: &Pair,
        State { tag, layout, mode }: State<'_>,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let task = progress.start(&format!("the modules of {}", pair.series()), None);
        task.message("restoring the booted machine");
        // Nothing of this is asked for, and counting makes it three times as long.
        bench.pause_counting()?;
        bench.load(BASE, Mode::Sealed)?;
        let mut crew = bench.crew()?;
        crew.verify()?;
        crew.lay_out(layout)?;
        let swapping = step(&format!("swapping to {}", pair.series()));
        crew.swap(pair, &bench.probe_folder(), progress)?;
        swapping.done();
        task.message("sending the probe");
        let sending = step(&format!(
            "the modules of {}, sending the probe",
            pair.series()
        ));
        self.send_probe(bench)?;
        sending.done();
        let bridge = bench.dom0()?.reference_interface();
        let domains = bench.lab().hosts.iter().filter(|spec| spec.on.is_some());
        let domains: Vec<HostName> = domains.map(|spec| spec.name.clone()).collect();
        let kept = Kept {
            boots: crew.boots()?,
            modules: crew.prove(pair)?,
            ports: Ports::ask(crew.dom0(), bridge, &domains)?,
            probes: match mode {
                Mode::Sealed => start_probes(bench)?,
                // Nobody could reach them.
                Mode::Open => Vec::new(),
            },
        };
        kept.write(crew.dom0(), &bench.probe_folder())?;
        task.message("saving the machine");
        let lab = bench
            .virtual_lab()
            .ok_or_else(|| Failure::Internal("a machine of hardware was to be saved".to_owned()))?;
        lab.save(tag)?;
        lab.keep_state(tag)?;
        forget_old(lab, tag)?;
        bench.go_on_counting()?;
        task.finish("live, proved and saved");
        Ok(())
    }

    /// What names a sealed trial by content.
    pub fn name(
        &mut self,
        bench: &Bench,
        plan: &TrialPlan,
        progress: &dyn Progress,
    ) -> Result<Name, Failure> {
        let Some(lab) = bench.virtual_lab() else {
            return Err(Failure::Internal(
                "a lab on hardware was to be sealed".to_owned(),
            ));
        };
        let pair = self.pair(
            &plan.variant,
            &lab.images().kernel()?,
            bench.cancel(),
            progress,
        )?;
        if self.program.is_none() {
            let here = std::env::current_exe()
                .map_err(Failure::io("find the path of", Path::new("vifbench")))?;
            let bytes = std::fs::read(&here).map_err(Failure::io("read", &here))?;
            self.program = Some(blake3::hash(&bytes).to_hex().to_string());
        }
        let program = self.program.as_deref().unwrap_or_default();
        let machine = lab.machine_id()?;
        // The same modules with and without a variant's settings are two things.
        let tag = self.tag(&pair, plan.mode);
        let pair = format!("{tag} {:?}", self.settings(&plan.variant));
        Name::new(&machine, &pair, program, plan).map_err(|error| {
            Failure::Internal(format!(
                "the plan of trial {} has no name: {error}",
                plan.number
            ))
        })
    }

    /// The probe is part of the saved state: sending it takes seconds under emulation.
    fn send_probe(&self, bench: &Bench) -> Result<(), Failure> {
        let path = bench.probe_path();
        for spec in &bench.lab().hosts {
            let mut machine = Machine {
                spec: spec.clone(),
                host: bench.way(spec)?,
                probe: None,
                in_turn: true,
            };
            machine.bring(self.vifprobe, &path)?;
        }
        Ok(())
    }

    /// The modules of a variant, built where they must be.
    fn pair(
        &mut self,
        variant: &Variant,
        release: &str,
        cancel: &Cancel,
        progress: &dyn Progress,
    ) -> Result<Pair, Failure> {
        if let Some((builder, steps)) = &self.steps {
            let count = *steps.get(&variant.name).ok_or_else(|| {
                Failure::Internal(format!("{} is no step of the series", variant.name))
            })?;
            let task = progress.start(&format!("modules of {}", variant.name), None);
            let kernel = builder
                .kernel(release, &|text| task.message(text))
                .map_err(ModuleError::from)?;
            let built = builder
                .build_first(count, &kernel, &|text| task.message(text))
                .map_err(ModuleError::from)?;
            task.finish("built");
            return Ok(Pair::Built(Box::new(built)));
        }
        let Some(series) = variant.patches.series() else {
            return Ok(Pair::Stock);
        };
        let key = (series.to_owned(), release.to_owned());
        let modules = if let Some(modules) = self.built.get(&key) {
            modules.clone()
        } else {
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
            built
        };
        Ok(Pair::Built(Box::new(modules)))
    }

    fn settings(&self, variant: &Variant) -> Settings {
        match self.steps {
            None => Settings::of(variant),
            // An early step lacks most parameters.
            Some(_) => Settings::default(),
        }
    }

    /// The name of the state in which the pair is live: by content, so that a rebuilt module has another one. In those for
    /// sealed trials probes wait.
    fn tag(&self, pair: &Pair, mode: Mode) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.vifprobe);
        hash.update(PREPARED);
        hash.update(match mode {
            Mode::Sealed => b"sealed".as_slice(),
            Mode::Open => b"open",
        });
        if let Pair::Built(modules) = pair {
            hash.update(modules.hash.as_bytes());
        }
        format!(
            "{}-{}",
            pair.series().replace(' ', "-"),
            &hash.finalize().to_hex()[..16]
        )
    }
}

/// A state that is to be saved.
#[derive(Clone, Copy)]
struct State<'a> {
    tag: &'a str,
    layout: u32,
    mode: Mode,
}

/// Starts a probe on every machine of the sealed lab, dom0's first. They are saved with the machine: a login and a program's
/// start take an emulated guest a second.
fn start_probes(bench: &Bench) -> Result<Vec<KeptProbe>, Failure> {
    let (dom0, others): (Vec<_>, Vec<_>) = bench
        .lab()
        .hosts
        .iter()
        .partition(|spec| spec.role == Role::Dom0);
    let command = bench.probe_path().display().to_string();
    let mut probes = Vec::new();
    for spec in dom0.into_iter().chain(others) {
        let mut host = bench.sealed(spec)?;
        let channel = host.start(&command, STEP)?;
        let probe = Probe::hello(spec.name.to_string(), host.channel(channel, &command))?;
        probes.push(KeptProbe {
            host: spec.name.clone(),
            channel,
            folder: probe.folder,
        });
    }
    match probes.first() {
        Some(first) if first.channel == OF_DOM0 => Ok(probes),
        _ => Err(Failure::Internal(format!(
            "dom0's probe is not at channel {OF_DOM0} of its agent"
        ))),
    }
}

/// States of other builds of the same series are of no more use, and each is hundreds of megabytes.
fn forget_old(lab: &VirtualLab, tag: &str) -> Result<(), Failure> {
    const KEPT: usize = 8;
    let mut others: Vec<String> = lab
        .states()?
        .into_iter()
        .filter(|state| state != BASE && state != tag)
        .collect();
    while others.len() >= KEPT {
        lab.forget(&others.remove(0))?;
    }
    Ok(())
}
