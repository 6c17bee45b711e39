//! Where trials run: the virtual lab, or machines of flesh and copper. The only place that knows the difference.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use vifbench_provisioning::host::{Host, HostError};
use vifbench_provisioning::lab::{CrashWatch, SealedHost, Shared, Sighting, Turn, VirtualLab};
use vifbench_provisioning::local::LocalHost;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_scenarios::lab::{HostName, HostSpec, Identity, Lab, Role};
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;
use vifbench_wait::Cancel;

use super::awake::stands_by;
use super::crew::Crew;
use super::instructions::{self, Before, Executed, Maps};
use super::kept::{self, Kept};
use super::leases::Leases;
use super::machines::{Machine, Probe, on_all};
use crate::error::Failure;

/// The state that the virtual lab booted into.
pub const BASE: &str = "base";
/// The probe's file in its folder.
pub const PROBE: &str = "vifprobe";

/// A login's cryptography takes an emulated machine seconds, and more where the controller is busy.
const EMULATED_LOGIN: Duration = Duration::from_secs(40);

/// So many lines of a console tell of a crash.
const CRASH_TAIL: usize = 40;

/// Which clocks a trial goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Virtual time, nothing comes in from outside.
    Sealed,
    /// All machines' clocks are real.
    Clocked,
    /// The controller's clock is real, the lab's is virtual: nothing can be timed across.
    Loose,
}

/// How often a sealed trial is run, which always gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    /// Once in all; after that its results are looked up.
    #[default]
    Never,
    /// Again, although its results are stored; they must be the same.
    Stored,
    /// Twice in this run; both must be the same, and the same as stored ones.
    Twice,
}

/// A lab that trials run on.
pub struct Bench {
    lab: Lab,
    virtual_lab: Option<VirtualLab>,
    /// Ctrl-C.
    cancel: Cancel,
    /// Ctrl-C, or a crash of a machine of the lab in the trial: what every wait of a trial ends by.
    trouble: Cancel,
    run: String,
    /// The way into the sealed virtual lab, while a sealed trial is made.
    agent: Option<Shared>,
    /// What the sealed state that is loaded tells of itself.
    kept: Option<Kept>,
    /// Who looks out for a crash since then.
    watch: Option<CrashWatch>,
    /// Machines that others can reach are held.
    leases: Leases,
    repeat: Repeat,
    /// Are the instructions of sealed trials counted?
    counts: bool,
    /// What the trial that ran last executed.
    executed: Option<Executed>,
    /// What lies where in states that were loaded, once it was asked.
    maps: Maps,
}

impl Bench {
    /// A bench for one run. `virtual_lab` is the lab that `lab` describes, if vifbench built it.
    pub fn new(
        lab: Lab,
        virtual_lab: Option<VirtualLab>,
        cancel: Cancel,
        run: &str,
        repeat: Repeat,
    ) -> Result<Self, Failure> {
        let trouble = cancel.child().map_err(events)?;
        Ok(Self {
            lab,
            virtual_lab,
            cancel,
            trouble,
            run: run.to_owned(),
            agent: None,
            kept: None,
            watch: None,
            leases: Leases::none(),
            repeat,
            counts: false,
            executed: None,
            maps: Maps::default(),
        })
    }

    /// Until [`Self::go_on_counting`] no instructions are counted.
    pub fn pause_counting(&mut self) -> Result<(), Failure> {
        match &mut self.virtual_lab {
            Some(lab) if self.counts => Ok(lab.count_with(None)?),
            _ => Ok(()),
        }
    }

    /// Counts again from the next load of a state on, where it was asked for.
    pub fn go_on_counting(&mut self) -> Result<(), Failure> {
        if self.counts {
            self.count_instructions()
        } else {
            Ok(())
        }
    }

    /// From now on the instructions of every trial are counted.
    pub fn count_instructions(&mut self) -> Result<(), Failure> {
        let lab = self.virtual_lab.as_mut().ok_or_else(|| {
            Failure::Usage(
                "instructions can be counted only where they are emulated, in the virtual lab: leave --lab or --instructions out"
                    .to_owned(),
            )
        })?;
        lab.count_with(Some(&instructions::plugin()?))?;
        self.counts = true;
        Ok(())
    }

    /// Are the instructions of sealed trials counted?
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// What the trial that ran last executed, if that was counted; told once.
    pub fn executed(&mut self) -> Option<Executed> {
        self.executed.take()
    }

    /// What is known of the states that were loaded.
    pub fn maps(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// The lab file.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The virtual lab, if it is one.
    pub fn virtual_lab(&self) -> Option<&VirtualLab> {
        self.virtual_lab.as_ref()
    }

    /// Has the user had enough?
    pub fn interrupted(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// The token that ends whatever is no trial: Ctrl-C.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The token that ends every wait of a trial: by Ctrl-C, or by a crash in the lab.
    pub fn trouble(&self) -> &Cancel {
        &self.trouble
    }

    /// Where the probe lies on every host of the lab. The virtual lab's is the same in every run, so that its snapshots
    /// hold it already.
    pub fn probe_path(&self) -> PathBuf {
        self.probe_folder().join(PROBE)
    }

    /// The probe's private folder on a machine of a trial, who may be the controller itself: on that several virtual labs run
    /// at a time.
    pub fn probe_folder_on(&self, spec: &HostSpec) -> PathBuf {
        let is_controller = spec.role == Role::Generator && spec.on.is_none();
        match &self.virtual_lab {
            Some(_) if is_controller => PathBuf::from(format!("/tmp/vifbench-{}", self.lab.name)),
            _ => self.probe_folder(),
        }
    }

    /// The probe's private folder on every host of the lab.
    pub fn probe_folder(&self) -> PathBuf {
        let name = if self.virtual_lab.is_some() {
            "lab"
        } else {
            self.run.as_str()
        };
        PathBuf::from(format!("/tmp/vifbench-{name}"))
    }

    /// dom0 and its guests, with their undo stacks.
    pub fn crew(&self) -> Result<Crew, Failure> {
        Crew::open(&self.lab, |spec| self.way(spec))
    }

    /// Puts the virtual lab into a saved state: sealed for a sealed trial, else with its cable plugged in.
    pub fn load(&mut self, tag: &str, mode: Mode) -> Result<(), Failure> {
        let Some(lab) = &self.virtual_lab else {
            return Ok(());
        };
        self.agent = None;
        self.kept = None;
        self.maps.loaded(tag);
        if mode == Mode::Sealed {
            let agent = lab.restore_sealed(tag, Some(self.trouble.clone()))?;
            self.agent = Some(Arc::new(Mutex::new(agent)));
        } else {
            lab.restore(tag)?;
        }
        Ok(())
    }

    /// The lab's dom0.
    pub fn dom0(&self) -> Result<&HostSpec, Failure> {
        let dom0 = self.lab.of_role(Role::Dom0).next();
        dom0.ok_or_else(|| Failure::Internal(format!("the lab {} has no dom0", self.lab.name)))
    }

    /// Reads what the sealed state that was just loaded tells of itself.
    pub fn ask_kept(&mut self) -> Result<&Kept, Failure> {
        // Where its folder lies is a part of what is read; the probe takes paths from there on.
        let mut probe = self.waiting(self.dom0()?, kept::OF_DOM0, PathBuf::new())?;
        Ok(self.kept.insert(Kept::ask(&mut probe)?))
    }

    /// What the sealed state tells of itself, once it was asked.
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// The probe that waits on a machine of the sealed state.
    pub fn kept_probe(&self, kept: &Kept, spec: &HostSpec) -> Result<Probe, Failure> {
        let probe = kept.probe(spec)?;
        self.waiting(spec, probe.channel, probe.folder.clone())
    }

    fn waiting(&self, spec: &HostSpec, channel: u32, folder: PathBuf) -> Result<Probe, Failure> {
        let channel = self
            .sealed(spec)?
            .channel(channel, &self.probe_path().display().to_string());
        Ok(Probe::waiting(spec.name.to_string(), channel, folder))
    }

    /// A machine of the sealed lab.
    pub fn sealed(&self, spec: &HostSpec) -> Result<SealedHost, Failure> {
        let agent = self.agent.as_ref().ok_or_else(|| {
            Failure::Internal(format!("the lab {} is not sealed now", self.lab.name))
        })?;
        Ok(if spec.role == Role::Dom0 {
            SealedHost::dom0(spec.name.clone(), agent.clone())
        } else {
            SealedHost::guest(spec.name.clone(), agent.clone())
        })
    }

    /// The way to a machine of the lab: through the rendezvous while it is sealed, else over SSH.
    pub fn way(&self, spec: &HostSpec) -> Result<Box<dyn Host>, Failure> {
        Ok(match self.agent {
            None => Box::new(self.connect(spec)?),
            Some(_) => Box::new(self.sealed(spec)?),
        })
    }

    /// What was said to the sealed machine since it was loaded.
    pub fn said(&self) -> Vec<Turn> {
        let agent = self.agent.as_ref();
        agent.map_or_else(Vec::new, |agent| {
            let agent = agent.lock().unwrap_or_else(PoisonError::into_inner);
            agent.said().to_vec()
        })
    }

    /// How often sealed trials are to be run.
    pub fn repeat(&self) -> Repeat {
        self.repeat
    }

    /// A connection to a machine of the lab; nothing is sent before it is used.
    pub fn connect(&self, spec: &HostSpec) -> Result<SshHost, HostError> {
        self.connect_with(spec, Some(self.trouble.clone()))
    }

    fn connect_with(&self, spec: &HostSpec, cancel: Option<Cancel>) -> Result<SshHost, HostError> {
        let netns = self.lab.controller.as_ref().and_then(|c| c.netns.clone());
        let mut options = SshOptions {
            netns,
            cancel,
            ..SshOptions::default()
        };
        if self.lab.is_virtual {
            options.connect_timeout = EMULATED_LOGIN;
        }
        SshHost::new(spec, options)
    }

    /// The machines of a trial: the sender first, then dom0, then every guest that receives.
    pub fn machines(&self, plan: &TrialPlan) -> Result<Vec<Machine>, Failure> {
        let mut machines = vec![self.sender(plan)?];
        for spec in &self.lab.hosts {
            let receives = plan.flows.iter().any(|flow| flow.to == spec.name);
            if spec.role == Role::Dom0 || receives {
                machines.push(self.machine(spec)?);
            }
        }
        Ok(machines)
    }

    fn machine(&self, spec: &HostSpec) -> Result<Machine, Failure> {
        Ok(Machine {
            spec: spec.clone(),
            host: self.way(spec)?,
            probe: None,
            in_turn: self.agent.is_some(),
        })
    }

    /// Who sends: the generator guest when sealed; a generator host or this machine when open.
    fn sender(&self, plan: &TrialPlan) -> Result<Machine, Failure> {
        let guest = self
            .lab
            .of_role(Role::Generator)
            .find(|spec| spec.on.is_some());
        let machine = self
            .lab
            .of_role(Role::Generator)
            .find(|spec| spec.on.is_none());
        match (plan.mode, guest, machine, &self.lab.controller) {
            (Mode::Sealed, Some(spec), _, _) | (Mode::Open, _, Some(spec), _) => self.machine(spec),
            (Mode::Open, _, None, Some(controller)) => {
                let name = HostName("controller".to_owned());
                let mut local = LocalHost::new(name.clone()).with_cancel(self.trouble.clone());
                if let Some(netns) = &controller.netns {
                    local = local.in_netns(netns);
                }
                let spec = HostSpec {
                    name,
                    role: Role::Generator,
                    on: None,
                    address: controller.address,
                    address6: controller.address6,
                    port: 22,
                    user: "root".to_owned(),
                    key: PathBuf::new(),
                    host_key: String::new(),
                    identity: Identity::Mac(controller.mac.clone()),
                    interface: controller.interface.clone(),
                    mac: controller.mac.clone(),
                    bridge: None,
                };
                Ok(Machine {
                    spec,
                    host: Box::new(local),
                    probe: None,
                    in_turn: false,
                })
            }
            _ => Err(Failure::Internal(format!(
                "the lab {} has no sender for this mode, although it was checked for one",
                self.lab.name
            ))),
        }
    }

    /// By which clocks the trial is timed.
    pub fn timing(&self, plan: &TrialPlan) -> Timing {
        match (plan.mode, self.lab.is_virtual) {
            (Mode::Sealed, _) => Timing::Sealed,
            (Mode::Open, true) => Timing::Loose,
            (Mode::Open, false) => Timing::Clocked,
        }
    }

    /// Holds the machines for the run. The virtual lab is nobody else's: holding its name is enough.
    pub fn lease(&mut self, plan: &Plan, progress: &dyn Progress) -> Result<(), Failure> {
        if self.virtual_lab.is_none() {
            self.leases = Leases::take(&self.lab, plan, |spec| Ok(self.connect(spec)?), progress)?;
        }
        Ok(())
    }

    /// A trial begins: what the consoles say from here on belongs to it.
    pub fn begin(&mut self) -> Result<(), Failure> {
        // The old look-out ends first, or it could cancel what is made whole here.
        self.watch = None;
        self.trouble.reset().map_err(events)?;
        if let Some(lab) = &self.virtual_lab {
            self.watch = Some(lab.watch(self.trouble.clone())?);
        }
        self.leases.renew(|spec| Ok(self.connect(spec)?))
    }

    /// What the consoles say of a crash since the trial began, with the last lines of the one that tells it.
    pub fn crash(&self) -> Option<(String, Vec<String>)> {
        let lab = self.virtual_lab.as_ref()?;
        let Sighting { host, why } = self.watch.as_ref()?.sighting()?;
        let tail = lab
            .console_tail(&host, CRASH_TAIL)
            .unwrap_or_else(|error| vec![error.to_string()]);
        Some((format!("{host} crashed: {why}"), tail))
    }

    /// Ends a virtual lab's machine that gives no sign any more, and returns the last lines of dom0's console.
    pub fn end_stuck(&self) -> Result<Vec<String>, Failure> {
        let Some(lab) = &self.virtual_lab else {
            return Ok(Vec::new());
        };
        lab.kill()?;
        Ok(lab.console_tail("dom0", CRASH_TAIL)?)
    }

    /// Lets an armed trial on the wire run to its end.
    pub fn run_armed(&self, plan: &TrialPlan, machines: &mut [Machine]) -> Result<(), Failure> {
        // Silent until the end: no control traffic while packets are timed.
        let length = plan.warmup.duration() + plan.duration.duration();
        self.wait(length + Duration::from_secs(2))?;
        if self.timing(plan) == Timing::Loose {
            on_all(machines, |machine| {
                if machine.sends_from_outside() {
                    return Ok(());
                }
                machine.ask(|client| client.finish(plan.number))
            })?;
        }
        Ok(())
    }

    /// Lets an armed trial run to its end in a machine whose time the controller cannot wait by. Instructions are counted from
    /// and until a time of dom0's clock: however long what comes before and after takes a variant, it is not in them.
    pub fn run_sealed(
        &mut self,
        machines: &mut [Machine],
        trial: u32,
        counted: Range<u64>,
    ) -> Result<(), Failure> {
        let length = Duration::from_nanos(counted.end - counted.start);
        let dom0 = machines
            .iter_mut()
            .find(|machine| machine.spec.role == Role::Dom0)
            .filter(|_| self.agent.is_some())
            .ok_or_else(|| {
                Failure::Internal("a sealed trial began on a lab that is not sealed".to_owned())
            })?;
        let mut wait = |until_ns| dom0.ask(|client| client.wait(until_ns, length));
        wait(counted.start)?;
        let before = match &self.virtual_lab {
            Some(lab) if self.counts => Some(Before::look(lab.counts()?)?),
            _ => None,
        };
        wait(counted.end)?;
        self.executed = before.map(Before::until_now).transpose()?;
        on_all(machines, |machine| {
            machine.ask(|client| client.await_end(trial, length))
        })?;
        Ok(())
    }

    fn wait(&self, time: Duration) -> Result<(), Failure> {
        if self.trouble.wait(time) {
            Err(Failure::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Puts the lab back as it was before the run, and takes a virtual one down unless it is to stay.
    pub fn restore(mut self, keep: bool, progress: &dyn Progress) -> Result<(), Failure> {
        self.watch = None;
        if keep {
            // Counting makes everything slower, and nobody reads it any more.
            self.pause_counting()?;
        }
        // Ctrl-C must not keep things from being put right: these connections do not carry the token.
        let leases = std::mem::replace(&mut self.leases, Leases::none());
        self.agent = None;
        let connect = |spec: &HostSpec| Ok(self.connect_with(spec, None)?);
        let crew = Crew::open(&self.lab, |spec| Ok(Box::new(connect(spec)?)));
        match &self.virtual_lab {
            Some(lab) => {
                if keep {
                    lab.restore(BASE)?;
                    progress.note(&stands_by(&self.lab.name, lab.rest()?));
                } else {
                    VirtualLab::take_down(&self.lab.name)?;
                }
                crew?.forget()
            }
            // The machines are somebody else's, or could not be reached: nothing was changed.
            None if leases.is_empty() => Ok(()),
            None => {
                let undone = crew.and_then(|mut crew| crew.undo(progress));
                leases.release(connect, progress);
                undone.map(drop)
            }
        }
    }
}

/// The token's event, which the kernel has too few of.
fn events(source: std::io::Error) -> Failure {
    Failure::Io {
        doing: "use an event of",
        path: PathBuf::from("eventfd"),
        source,
    }
}
