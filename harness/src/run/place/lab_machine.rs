//! The machine of the virtual lab: its saved states and its consoles. Sealed and open trials both begin with a saved state in
//! which the drivers are live.

use std::path::{Path, PathBuf};

use vifbench_provisioning::lab::{CrashWatch, LabError, Sighting, VirtualLab, step};
use vifbench_provisioning::modules::swap::Pair;
use vifbench_scenarios::lab::{HostName, HostSpec, Lab, Role};
use vifbench_scenarios::progress::Progress;
use vifbench_wait::Cancel;

use super::agent::Agent;
use super::{Crash, reset};
use crate::error::Failure;
use crate::run::awake::stands_by;
use crate::run::drivers::Drivers;
use crate::run::hosts::Hosts;
use crate::run::ports::Ports;
use crate::run::probe::PROBE;
use crate::run::saved_state::{CHANNEL_OF_DOM0, SavedState, WaitingProbe};
use crate::run::trial_hosts::deploy_packed;
use crate::run::{instructions, layout};

/// The state that the virtual lab booted into.
const BASE: &str = "base";
/// The probe's folder on every host of the lab: the same in every run, so that saved states contain it.
pub const PROBE_FOLDER: &str = "/tmp/vifbench-lab";
/// So many lines of a console explain a crash.
const CRASH_TAIL: usize = 40;
/// So many states of other drivers stay in a lab: each is hundreds of megabytes.
const OTHER_STATES: usize = 8;

/// What a state with live drivers is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeFor {
    /// Sealed trials: probes wait in it.
    Sealed,
    /// Open trials: nobody could reach waiting probes.
    Open,
}

impl MadeFor {
    /// The state of these drivers in this layout of the machine's memory.
    pub fn state(self, drivers: &Drivers<'_>, layout: u32) -> State {
        let made_for = match self {
            Self::Sealed => "sealed",
            Self::Open => "open",
        };
        State {
            tag: layout::tagged(drivers.state_tag(made_for), layout),
            layout,
            made_for: self,
        }
    }
}

/// A state with live drivers.
#[derive(Debug)]
pub struct State {
    /// Its name.
    pub tag: String,
    layout: u32,
    made_for: MadeFor,
}

/// The machine of the virtual lab.
pub struct LabMachine {
    lab: Lab,
    virtual_lab: VirtualLab,
    /// Ends every wait of a trial.
    trial: Cancel,
    /// Cancels the trial when a console shows a crash.
    watch: Option<CrashWatch>,
    counts: bool,
}

impl LabMachine {
    pub fn new(lab: Lab, virtual_lab: VirtualLab, trial: Cancel) -> Self {
        Self {
            lab,
            virtual_lab,
            trial,
            watch: None,
            counts: false,
        }
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    pub fn virtual_lab(&self) -> &VirtualLab {
        &self.virtual_lab
    }

    pub fn dom0(&self) -> Result<&HostSpec, Failure> {
        let dom0 = self.lab.of_role(Role::Dom0).next();
        dom0.ok_or_else(|| Failure::Internal(format!("the lab {} has no dom0", self.lab.name)))
    }

    /// The kernel of the images: no host needs to be asked.
    pub fn kernel(&self) -> Result<String, Failure> {
        Ok(self.virtual_lab.images().kernel()?)
    }

    /// Whether QEMU counts the instructions of loaded states.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// Counts instructions from the next state on that is loaded.
    pub fn count(&mut self) -> Result<(), Failure> {
        self.virtual_lab
            .count_with(Some(&instructions::plugin()?))?;
        self.counts = true;
        Ok(())
    }

    /// A trial begins: what the consoles show from here on belongs to it.
    pub fn begin(&mut self) -> Result<(), Failure> {
        // The earlier watch ends first, or it could cancel the token that is reset here.
        self.watch = None;
        reset(&self.trial)?;
        self.watch = Some(self.virtual_lab.watch(self.trial.clone())?);
        Ok(())
    }

    /// What the consoles show of a crash since the trial began.
    pub fn crash(&self) -> Option<Crash> {
        let Sighting { host, why } = self.watch.as_ref()?.sighting()?;
        let console = self
            .virtual_lab
            .console_tail(&host, CRASH_TAIL)
            .unwrap_or_else(|error| vec![error.to_string()]);
        Some(Crash {
            reason: format!("{host} crashed: {why}"),
            console,
        })
    }

    /// Ends the machine, which gives no sign any more, and returns the last lines of dom0's console.
    pub fn end_stuck(&self) -> Result<Vec<String>, Failure> {
        self.virtual_lab.kill()?;
        Ok(self.virtual_lab.console_tail("dom0", CRASH_TAIL)?)
    }

    /// Loads a saved state in which nothing reaches the machine but requests to its agent.
    pub fn load_sealed(&self, tag: &str) -> Result<Agent, Failure> {
        let cancel = Some(self.trial.clone());
        Ok(Agent::new(self.virtual_lab.restore_sealed(tag, cancel)?))
    }

    /// Loads the state with live drivers by `load`. The state is made first if it is missing or damaged.
    pub fn load_live<T>(
        &mut self,
        drivers: &Drivers<'_>,
        state: &State,
        load: impl Fn(&Self) -> Result<T, Failure>,
        progress: &dyn Progress,
    ) -> Result<T, Failure> {
        if !self.virtual_lab.has(&state.tag)? {
            self.make(drivers, state, progress)?;
        }
        match load(self) {
            Err(Failure::Lab(error @ LabError::DamagedState { .. })) => {
                progress.note(&error.to_string());
                self.make(drivers, state, progress)?;
                load(self)
            }
            loaded => loaded,
        }
    }

    /// Makes and saves a state with live drivers. Counting makes everything several times slower, and nobody reads counts of
    /// this.
    fn make(
        &mut self,
        drivers: &Drivers<'_>,
        state: &State,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        if self.counts {
            self.virtual_lab.count_with(None)?;
        }
        self.save_live(drivers, state, progress)?;
        if self.counts {
            self.count()?;
        }
        Ok(())
    }

    /// Saves the machine with the drivers live. It is sealed meanwhile, so that the state is the same wherever it is made.
    fn save_live(
        &self,
        drivers: &Drivers<'_>,
        state: &State,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let task = progress.start(&format!("the modules of {}", drivers.pair.series()), None);
        task.message("restoring the booted machine");
        let agent = self.load_sealed(BASE)?;
        let mut hosts = agent.hosts(&self.lab)?;
        hosts.verify()?;
        hosts.lay_out(state.layout)?;
        let series = drivers.pair.series();
        let swapping = step(&format!("swapping to {series}"));
        hosts.swap(&drivers.pair, Path::new(PROBE_FOLDER), progress)?;
        swapping.done();
        task.message("sending the probe");
        let sending = step(&format!("the modules of {series}, sending the probe"));
        // It is part of the state, because sending it to an emulated machine takes seconds.
        for spec in &self.lab.hosts {
            deploy_packed(&mut agent.host(spec), drivers.vifprobe, &probe_program())?;
        }
        sending.done();
        let saved = self.describe(&mut hosts, &drivers.pair, &agent, state.made_for)?;
        saved.write(hosts.dom0(), Path::new(PROBE_FOLDER))?;
        task.message("saving the machine");
        self.virtual_lab.save(&state.tag)?;
        self.virtual_lab.keep_state(&state.tag)?;
        self.forget_others(&state.tag)?;
        task.finish("live, proved and saved");
        Ok(())
    }

    /// What every trial that begins with the state would query.
    fn describe(
        &self,
        hosts: &mut Hosts,
        pair: &Pair,
        agent: &Agent,
        made_for: MadeFor,
    ) -> Result<SavedState, Failure> {
        let bridge = self.dom0()?.reference_interface();
        let guests = self.lab.hosts.iter().filter(|spec| spec.on.is_some());
        let guests: Vec<HostName> = guests.map(|spec| spec.name.clone()).collect();
        Ok(SavedState {
            boots: hosts.boots()?,
            modules: hosts.prove(pair)?,
            ports: Ports::query(hosts.dom0(), bridge, &guests)?,
            probes: match made_for {
                MadeFor::Sealed => self.start_probes(agent)?,
                MadeFor::Open => Vec::new(),
            },
        })
    }

    /// Starts a probe on every host, dom0's first. They are saved with the machine: a login and the start of a program take an
    /// emulated guest a second.
    fn start_probes(&self, agent: &Agent) -> Result<Vec<WaitingProbe>, Failure> {
        let (dom0, others): (Vec<_>, Vec<_>) = self
            .lab
            .hosts
            .iter()
            .partition(|spec| spec.role == Role::Dom0);
        let probes = dom0
            .into_iter()
            .chain(others)
            .map(|spec| agent.start_probe(spec, &probe_program()))
            .collect::<Result<Vec<_>, _>>()?;
        match probes.first() {
            Some(first) if first.channel == CHANNEL_OF_DOM0 => Ok(probes),
            _ => Err(Failure::Internal(format!(
                "dom0's probe is not at channel {CHANNEL_OF_DOM0} of its agent"
            ))),
        }
    }

    /// Removes the oldest states of other drivers.
    fn forget_others(&self, tag: &str) -> Result<(), Failure> {
        let mut others: Vec<String> = self
            .virtual_lab
            .states()?
            .into_iter()
            .filter(|state| state != BASE && state != tag)
            .collect();
        while others.len() >= OTHER_STATES {
            self.virtual_lab.forget(&others.remove(0))?;
        }
        Ok(())
    }

    /// Ends the run: the booted machine is restored if the lab is to stay up, and else taken down.
    pub fn put_back(mut self, keep: bool, progress: &dyn Progress) -> Result<(), Failure> {
        self.watch = None;
        // Ctrl-C must not keep things from being put right, and no host is connected.
        let hosts = Hosts::open(&self.lab, |spec| {
            Ok(Box::new(super::over_ssh::connect(&self.lab, spec, None)?))
        });
        if keep {
            if self.counts {
                // Counting makes everything slower, and nobody reads the counts any more.
                self.virtual_lab.count_with(None)?;
            }
            self.virtual_lab.restore(BASE)?;
            progress.note(&stands_by(&self.lab.name, self.virtual_lab.rest()?));
        } else {
            VirtualLab::take_down(&self.lab.name)?;
        }
        hosts?.forget()
    }
}

/// The path of the probe's program on every host of the lab.
pub fn probe_program() -> PathBuf {
    Path::new(PROBE_FOLDER).join(PROBE)
}
