//! The virtual lab that nothing reaches from outside. The controller sends requests only while virtual time stands still, so
//! a trial is a function of the saved state, the plan and the requests.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vifbench_provisioning::lab::VirtualLab;
use vifbench_scenarios::lab::{HostName, HostSpec, Lab, Role};
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::progress::Progress;
use vifbench_store::ModuleProof;
use vifbench_wait::Cancel;
use vifbench_wire::protocol::Arm;

use super::agent::Agent;
use super::lab_machine::{LabMachine, MadeFor, PROBE_FOLDER, probe_program};
use super::{Crash, Place};
use crate::error::Failure;
use crate::run::clocks::ClockData;
use crate::run::drivers::Drivers;
use crate::run::exactness;
use crate::run::instructions::{CountsBefore, Executed, SymbolMaps};
use crate::run::ports::Ports;
use crate::run::saved_state::{CHANNEL_OF_DOM0, SavedState};
use crate::run::schedule::{HostTimes, Schedule, length_ns, phase};
use crate::run::trial_hosts::{TrialHost, TrialHosts, dom0_and_receivers};

/// The number of every trial: nothing may depend on its place in the plan.
const TRIAL: u32 = 1;
/// Kernels and the hypervisor do some work once a tick, and some once a second. A trial begins at a whole second of dom0's
/// clock and a phase, so that it stands in the same relation to that work however long the steps before it took. Otherwise
/// a longer message in a module would look like an effect of the module.
const GRID_NS: u64 = 1_000_000_000;
/// From the arming to the start. Virtual time stands still between two requests, of which each takes some 20 ms. It is doubled
/// at each attempt.
const LEAD_NS: u64 = 500_000_000;
/// Instructions are counted from this long before the start of a trial, when the counters before it have been read, until this
/// long before the end of its drain, when the last packets have come and nothing is being stored yet.
const COUNTED_NS: u64 = 100_000_000;

/// A loaded state with live drivers.
struct Loaded {
    agent: Agent,
    saved: SavedState,
}

/// Sealed trials in the virtual lab.
pub struct SealedLab {
    machine: LabMachine,
    loaded: Option<Loaded>,
    /// What the trial that ran last executed, if that was counted.
    executed: Option<Executed>,
    /// What lies where in the memory of states that were loaded.
    maps: SymbolMaps,
}

impl SealedLab {
    pub fn new(lab: Lab, virtual_lab: VirtualLab, trial: Cancel) -> Self {
        Self {
            machine: LabMachine::new(lab, virtual_lab, trial),
            loaded: None,
            executed: None,
            maps: SymbolMaps::default(),
        }
    }

    fn loaded(&self) -> Result<&Loaded, Failure> {
        self.loaded.as_ref().ok_or_else(|| {
            Failure::Internal(format!("the lab {} is not sealed now", self.lab().name))
        })
    }

    /// Reads the description of the state that was just loaded.
    fn read_saved(&self, agent: &Agent) -> Result<SavedState, Failure> {
        // The place of the probe's folder is part of what is read. The probe takes paths relative to it.
        let folder = PathBuf::new();
        let dom0 = self.machine.dom0()?;
        let mut probe = agent.probe(dom0, CHANNEL_OF_DOM0, folder, &probe_program());
        SavedState::read(&mut probe)
    }

    /// Waits by dom0's clock for the begin and the end of `counted`, and counts what is executed between them.
    fn count_between(&mut self, dom0: &mut TrialHost, counted: Range<u64>) -> Result<(), Failure> {
        let within = Duration::from_nanos(counted.end - counted.start);
        dom0.ask(|client| client.wait(counted.start, within))?;
        let before = if self.machine.counts() {
            Some(CountsBefore::read(self.machine.virtual_lab().counts()?)?)
        } else {
            None
        };
        dom0.ask(|client| client.wait(counted.end, within))?;
        self.executed = before.map(CountsBefore::until_now).transpose()?;
        Ok(())
    }
}

impl Place for SealedLab {
    fn lab(&self) -> &Lab {
        self.machine.lab()
    }

    /// Nobody else reaches the virtual lab: its name is held already.
    fn hold(&mut self, _plan: &Plan, _progress: &dyn Progress) -> Result<(), Failure> {
        Ok(())
    }

    fn count_instructions(&mut self) -> Result<(), Failure> {
        self.machine.count()
    }

    fn counts_instructions(&self) -> bool {
        self.machine.counts()
    }

    fn machine_id(&self) -> Result<Option<String>, Failure> {
        Ok(Some(self.machine.virtual_lab().machine_id()?))
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.machine.begin()
    }

    fn crash(&self) -> Option<Crash> {
        self.machine.crash()
    }

    fn end_stuck(&self) -> Result<Vec<String>, Failure> {
        self.machine.end_stuck()
    }

    fn kernel(&mut self) -> Result<String, Failure> {
        self.machine.kernel()
    }

    fn restore(
        &mut self,
        drivers: &Drivers<'_>,
        plan: &TrialPlan,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        self.loaded = None;
        let state = MadeFor::Sealed.state(drivers, plan.layout);
        let load = |machine: &LabMachine| machine.load_sealed(&state.tag);
        let agent = self.machine.load_live(drivers, &state, load, progress)?;
        self.maps.loaded(&state.tag);
        let saved = self.read_saved(&agent)?;
        let mut hosts = agent.hosts(self.lab())?;
        hosts.record_undo(saved.boots.clone(), Path::new(PROBE_FOLDER))?;
        hosts.set(&drivers.settings)?;
        self.loaded = Some(Loaded { agent, saved });
        Ok(())
    }

    /// A sealed machine is what was saved, to the byte: what was proved before it was saved is still true.
    fn prove(&mut self, _drivers: &Drivers<'_>) -> Result<Vec<ModuleProof>, Failure> {
        Ok(self.loaded()?.saved.modules.clone())
    }

    fn trial_hosts(&self, plan: &TrialPlan) -> Result<TrialHosts, Failure> {
        let Loaded { agent, saved } = self.loaded()?;
        let generator = self
            .lab()
            .of_role(Role::Generator)
            .find(|spec| spec.on.is_some())
            .ok_or_else(|| {
                Failure::Internal(format!(
                    "the lab {} has no generator guest, although it was checked for one",
                    self.lab().name
                ))
            })?;
        let hosts = std::iter::once(generator)
            .chain(dom0_and_receivers(self.lab(), plan))
            .map(|spec| {
                let waiting = saved.probe(spec)?;
                let folder = waiting.folder.clone();
                let probe = agent.probe(spec, waiting.channel, folder, &probe_program());
                let host = Box::new(agent.host(spec));
                let folder = PathBuf::from(PROBE_FOLDER);
                Ok(TrialHost::saved(spec.clone(), host, folder, probe))
            })
            .collect::<Result<_, Failure>>()?;
        TrialHosts::in_turn(hosts)
    }

    fn trial_number(&self, _plan: &TrialPlan) -> u32 {
        TRIAL
    }

    fn ports(&self, _dom0: &mut TrialHost, _guests: &[HostName]) -> Result<Ports, Failure> {
        Ok(self.loaded()?.saved.ports.clone())
    }

    fn ingress(
        &self,
        ports: &Ports,
        generator: &HostSpec,
        _dom0: &HostSpec,
    ) -> Result<String, Failure> {
        ports.vif(&generator.name)
    }

    fn arm(
        &self,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
        before: &[ClockData],
        attempt: u32,
    ) -> Result<Schedule, Failure> {
        let lead = LEAD_NS << (attempt - 1).min(6);
        let now = hosts.dom0().read_clock()?.realtime_ns;
        let start = (now + lead).next_multiple_of(GRID_NS) + phase(plan);
        let schedule = Schedule::together(start, length_ns(plan), before, hosts.dom0_index());
        hosts.each_with(schedule.hosts.clone(), |host, times| {
            host.arm(arm(times, &host.spec))
        })?;
        Ok(schedule)
    }

    fn run(
        &mut self,
        hosts: &mut TrialHosts,
        _plan: &TrialPlan,
        schedule: &Schedule,
    ) -> Result<(), Failure> {
        let HostTimes { start, drain, .. } = schedule.measured;
        let counted = start - COUNTED_NS..drain - COUNTED_NS;
        let within = Duration::from_nanos(counted.end - counted.start);
        self.count_between(hosts.dom0(), counted)?;
        hosts.each(|host| host.ask(|client| client.await_end(TRIAL, within)))?;
        Ok(())
    }

    /// They were awaited at the end of the trial.
    fn await_results(&self, _hosts: &mut TrialHosts, _plan: &TrialPlan) -> Result<(), Failure> {
        Ok(())
    }

    /// A sealed machine is thrown away with everything that is on it.
    fn end_probes(&self, _hosts: &mut TrialHosts) -> Result<(), Failure> {
        Ok(())
    }

    fn shares_time(&self, _host: &HostSpec) -> bool {
        true
    }

    fn write_own_records(
        &mut self,
        hosts: &mut TrialHosts,
        packets: u64,
        part: &Path,
    ) -> Result<(), Failure> {
        exactness::write_requests(&self.loaded()?.agent.requests(), part)?;
        if let Some(executed) = self.executed.take() {
            let lab = self.machine.lab();
            self.maps.write(&executed, lab, hosts, packets, part)?;
        }
        Ok(())
    }

    fn put_back(self: Box<Self>, keep: bool, progress: &dyn Progress) -> Result<(), Failure> {
        let Self {
            machine, loaded, ..
        } = *self;
        drop(loaded);
        machine.put_back(keep, progress)
    }
}

/// The request that arms a host. dom0 refuses to start if its network card has a link, and announces the start on its
/// console.
fn arm(times: HostTimes, spec: &HostSpec) -> Arm {
    let arm = times.arm(TRIAL);
    if spec.role == Role::Dom0 {
        Arm {
            sealed_by: Some(spec.interface.clone()),
            announce: Some(PathBuf::from("/dev/kmsg")),
            ..arm
        }
    } else {
        arm
    }
}
