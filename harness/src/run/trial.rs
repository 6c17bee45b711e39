//! One trial: connect, clocks, prepare, arm, run, fetch. What differs between a sealed trial in the virtual lab
//! and one on the wire is in [`Bench::run_sealed`](super::bench::Bench::run_sealed).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vifbench_scenarios::lab::{HostName, HostSpec, Role};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::scenario::{Mode, SendBy};
use vifbench_store::{FORMAT, ModuleProof, Outcome, TrialRecord};
use vifbench_wait::Cancel;
use vifbench_wire::clock_estimate::Interval;
use vifbench_wire::packet::FILTER;
use vifbench_wire::protocol::{
    Arm, CaptureOptions, CaptureSpec, ClockReading, ClockWatch, Exchange, FlowSpec, Generate, Pace,
    Point, Prepare, ProbeResult, RespondSpec, Ruler, State,
};

use super::again;
use super::bench::{Bench, PROBE, Timing};
use super::clocks::{self, Seen};
use super::instructions;
use super::machines::{Client, Machine, Probe, STEP, on_all, on_all_with};
use super::ports::Ports;
use super::rings;
use super::traffic;
use crate::error::Failure;

/// Captures and counters go on for this long after the last packet was due.
const DRAIN_NS: u64 = 300_000_000;
/// Instructions of a sealed trial are counted from this long before its start, when the counters before it have been read, until this
/// long before the end of its drain, when the last packets have come and nothing is being stored yet.
const COUNTED_NS: u64 = 100_000_000;
/// Bytes kept of each packet: Ethernet, VLAN, IPv6, UDP and vifbench's header, with room to spare.
const SNAPLEN: u32 = 128;
/// Two-way exchanges before and after.
const EXCHANGES: u32 = 20;
/// They may take this long by the host's clock.
const EXCHANGE_TIME: Duration = Duration::from_secs(20);
/// A trial from this length on has its clocks watched while it runs: a round of a few frames of 60 bytes each second, which
/// no load of a measurement notices.
const LONG_NS: u64 = 10_000_000_000;
const CLOCK_EVERY_NS: u64 = 1_000_000_000;
const CLOCK_ROUND: u32 = 3;
/// From the arming to the start, where all clocks are real: every probe has answered by then.
const LEAD_NS: u64 = 1_000_000_000;
/// A sealed trial begins at a whole second of dom0's clock, and a phase.
const GRID_NS: u64 = 1_000_000_000;
/// From the arming to the start of a sealed trial, whose time stands still between two questions, of which each takes some 20 ms;
/// doubled at each attempt.
const SEALED_LEAD_NS: u64 = 500_000_000;
/// A period of a kernel's clock tick at 100 Hz, the longest that is common.
const PHASES_NS: u64 = 10_000_000;
/// The same for the machines of an open trial in the virtual lab: they have only to be told in time.
const LOOSE_LEAD_NS: u64 = 5_000_000_000;
/// In an open trial of the virtual lab the machines capture until they are told to finish: an hour of theirs.
const UNTIL_TOLD_NS: u64 = 3_600_000_000_000;

/// What a trial needs besides its plan.
pub struct Need<'a> {
    /// The proved modules.
    pub modules: Vec<ModuleProof>,
    /// The probe's program.
    pub vifprobe: &'a [u8],
    /// The run's folder.
    pub run: &'a Path,
    /// Where results go.
    pub part: &'a Path,
    /// Which attempt at this trial it is, from 1.
    pub attempt: u32,
}

/// Runs one trial whose variant is live, and returns its record. The results lie in `need.part`.
pub fn run(bench: &mut Bench, plan: &TrialPlan, need: Need<'_>) -> Result<TrialRecord, Failure> {
    let began = Instant::now();
    let mut machines = bench.machines(plan)?;
    let mut warnings = Vec::new();
    let number = number(bench, plan);

    let sealed = bench.timing(plan) == Timing::Sealed;
    let waiting = &*bench;
    on_all(&mut machines, |machine| {
        let folder = waiting.probe_folder_on(&machine.spec);
        let binary = folder.join(PROBE);
        // In the saved state of a sealed machine it waits already.
        if waiting.kept().is_none() {
            machine.bring(need.vifprobe, &binary)?;
        }
        if machine.spec.role == Role::Generator {
            traffic::bring_traces(machine, &plan.flows, need.run, &folder)?;
        }
        machine.probe = Some(match waiting.kept() {
            Some(kept) => waiting.kept_probe(kept, &machine.spec)?,
            None => Probe::start(machine.host.as_mut(), &binary)?,
        });
        Ok(())
    })?;
    let wires = Wires::read(bench, &mut machines, plan)?;
    let rulers = on_all(&mut machines, |machine| describe(machine, &wires))?;

    let peer = wires.reference_mac.clone();
    let reference = wires.reference_interface.clone();
    on_dom0(&mut machines)?.ask(|client| client.serve_clock(&reference))?;
    let before = on_all(&mut machines, |machine| exchange(machine, &peer))?;

    on_all(&mut machines, |machine| {
        let prepare = wires.prepare(machine, number);
        machine.ask(|client| client.prepare(prepare)).map(drop)
    })?;

    let times = arm_and_run(bench, &mut machines, plan, &before, need.attempt)?;

    let after = on_all(&mut machines, |machine| exchange(machine, &peer))?;
    let part = need.part;
    let cancel = bench.trouble().clone();
    let results = on_all(&mut machines, |machine| {
        // A sealed one was awaited.
        if !sealed {
            await_state(machine, number, State::Done, &cancel)?;
        }
        fetch_folder(machine, &PathBuf::from(format!("trial-{number}")), part)
    })?;
    on_all(&mut machines, |machine| match machine.probe.take() {
        // A sealed machine is thrown away with all that is on it.
        Some(probe) if !sealed => probe.bye(),
        _ => Ok(()),
    })?;

    let mut seen = Vec::new();
    for ((before, after), result) in before.into_iter().zip(after).zip(&results) {
        let mut all = before;
        all.readings.extend(result.clock.iter().copied());
        all.exchanges.extend(result.exchanges.iter().copied());
        all.readings.extend(after.readings);
        all.exchanges.extend(after.exchanges);
        seen.push(all);
    }
    let dom0 = dom0_index(&machines)?;
    let mut maps = Vec::new();
    for (index, machine) in machines.iter().enumerate() {
        let armed = &times.armed[index];
        if index == dom0 {
            maps.push(clocks::reference(&machine.name(), armed.start));
        } else {
            let interval = Interval {
                from_ns: armed.start,
                to_ns: armed.drain,
            };
            let loose = times.timing == Timing::Loose && machine.spec.on.is_none();
            maps.push(if loose {
                clocks::unrelated(&machine.name(), armed.start)
            } else {
                let (seen, reference) = (&seen[index], &seen[dom0]);
                clocks::map(&machine.name(), seen, reference, interval, &mut warnings)
            });
        }
    }
    if times.timing == Timing::Sealed {
        again::write(&bench.said(), part)?;
    }
    if let Some(executed) = bench.executed() {
        let sent = results.iter().filter_map(|result| result.sent.as_ref());
        let packets = sent.map(|sent| sent.sent).sum();
        let lab = bench.lab().clone();
        instructions::write(&executed, bench.maps(), &lab, &mut machines, packets, part)?;
    }
    let start = &times.measured;
    Ok(TrialRecord {
        format: FORMAT,
        plan: plan.clone(),
        outcome: Outcome::Complete,
        modules: need.modules,
        clocks: maps,
        rulers: machines.iter().map(Machine::name).zip(rulers).collect(),
        probes: machines.iter().map(Machine::name).collect(),
        warnings,
        start_ns: start.start,
        measure_from_ns: start.start + plan.warmup.nanos(),
        stop_ns: start.stop,
        wall_s: began.elapsed().as_secs_f64(),
    })
}

/// By which number the machines know the trial. A sealed one must not depend on its place in the plan.
fn number(bench: &Bench, plan: &TrialPlan) -> u32 {
    match bench.timing(plan) {
        Timing::Sealed => 1,
        Timing::Clocked | Timing::Loose => plan.number,
    }
}

/// When the trial ran: by each machine's clock, in the machines' order, and by the one that counts.
struct Times {
    timing: Timing,
    armed: Vec<Armed>,
    measured: Armed,
}

/// One machine's times, in nanoseconds of its own clock.
#[derive(Debug, Clone, Copy)]
struct Armed {
    start: u64,
    stop: u64,
    drain: u64,
}

impl Armed {
    /// An offset that a host made up may lead to the end of time, and no further.
    fn new(start: u64, length: u64) -> Self {
        let stop = start.saturating_add(length);
        Self {
            start,
            stop,
            drain: stop.saturating_add(DRAIN_NS),
        }
    }

    /// As the probe is told.
    fn arm(self, trial: u32) -> Arm {
        Arm {
            trial,
            start_ns: self.start,
            stop_ns: self.stop,
            drain_ns: self.drain,
            sealed_by: None,
            announce: None,
        }
    }
}

/// Where within [`PHASES_NS`] a trial begins: another place for every block, the same for its variants, so that
/// nobody's timers always stand the same way to the packets.
fn phase(plan: &TrialPlan) -> u64 {
    let mut hash = blake3::Hasher::new();
    for flow in &plan.flows {
        hash.update(&flow.seed.to_le_bytes());
    }
    let mut word = [0; 8];
    word.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(word) % PHASES_NS
}

/// Tells every probe its times and lets the trial run.
fn arm_and_run(
    bench: &mut Bench,
    machines: &mut [Machine],
    plan: &TrialPlan,
    before: &[Seen],
    attempt: u32,
) -> Result<Times, Failure> {
    let length = plan.warmup.nanos() + plan.duration.nanos();
    let timing = bench.timing(plan);
    let dom0 = dom0_index(machines)?;
    let sender = machines
        .iter()
        .position(|machine| machine.spec.role == Role::Generator);
    let trial = number(bench, plan);
    let cancel = bench.trouble().clone();
    if timing == Timing::Loose {
        // Those whose clocks race ahead capture from now until they are told; then the sender is given its times.
        let mut armed = Vec::new();
        for machine in machines.iter_mut() {
            let now = read_clock(machine)?.realtime_ns;
            let at = if machine.sends_from_outside() {
                Armed::new(now, length)
            } else {
                let at = Armed::new(now + LOOSE_LEAD_NS, UNTIL_TOLD_NS);
                arm(machine, at.arm(trial))?;
                at
            };
            armed.push(at);
        }
        on_all(machines, |machine| {
            if machine.sends_from_outside() {
                Ok(())
            } else {
                await_state(machine, trial, State::Running, &cancel)
            }
        })?;
        let index = sender.unwrap_or(dom0);
        let now = read_clock(&mut machines[index])?.realtime_ns;
        armed[index] = Armed::new(now + LEAD_NS, length);
        arm(&mut machines[index], armed[index].arm(trial))?;
        bench.run_armed(plan, machines)?;
        return Ok(Times {
            timing,
            measured: armed[index],
            armed,
        });
    }

    let sealed = timing == Timing::Sealed;
    let lead = if sealed {
        SEALED_LEAD_NS << (attempt - 1).min(6)
    } else {
        LEAD_NS
    };
    let now = read_clock(&mut machines[dom0])?.realtime_ns;
    // Kernels and the hypervisor do things once a tick, and once a second. A sealed trial stands the same way to all of
    // that, however long what came before took: else a longer word in a module would pass for an effect.
    let grid = if sealed { GRID_NS } else { 1 };
    let start = (now + lead).next_multiple_of(grid) + phase(plan);
    // Offsets of the exchanges just made: good enough to start together; the report uses better ones.
    let armed: Vec<Armed> = before
        .iter()
        .enumerate()
        .map(|(index, seen)| {
            let offset = if index == dom0 {
                0
            } else {
                rough_offset(&seen.exchanges)
            };
            Armed::new(start.saturating_add_signed(offset), length)
        })
        .collect();
    let nic = machines[dom0].spec.interface.clone();
    let arms = armed.iter().zip(machines.iter()).map(|(at, machine)| {
        let watches = sealed && machine.spec.role == Role::Dom0;
        Arm {
            sealed_by: watches.then(|| nic.clone()),
            announce: watches.then(|| PathBuf::from("/dev/kmsg")),
            ..at.arm(trial)
        }
    });
    let arms: Vec<Arm> = arms.collect();
    on_all_with(machines, arms, arm)?;
    if sealed {
        let Armed { start, drain, .. } = armed[dom0];
        bench.run_sealed(machines, trial, start - COUNTED_NS..drain - COUNTED_NS)?;
    } else {
        bench.run_armed(plan, machines)?;
    }
    Ok(Times {
        timing,
        measured: armed[dom0],
        armed,
    })
}

fn arm(machine: &mut Machine, arm: Arm) -> Result<(), Failure> {
    machine.ask(|client| client.arm(arm)).map(drop)
}

/// Local minus reference by the exchange with the least round trip.
fn rough_offset(exchanges: &[Exchange]) -> i64 {
    let trip = |e: &&Exchange| {
        e.t4.wrapping_sub(e.t1)
            .wrapping_sub(e.t3.wrapping_sub(e.t2))
    };
    exchanges.iter().min_by_key(trip).map_or(0, |e| {
        let there = e.t1.wrapping_sub(e.t2).cast_signed();
        let back = e.t4.wrapping_sub(e.t3).cast_signed();
        there.midpoint(back)
    })
}

/// Where frames pass on the hosts of a trial.
struct Wires {
    reference_interface: String,
    reference_mac: String,
    /// dom0's ingress.
    nic: String,
    /// Each receiving guest and its vif in dom0.
    vifs: Vec<(HostName, String)>,
    /// What a patched netback tells of each queue of those vifs.
    queues: Vec<PathBuf>,
    /// What the generator sends.
    flows: Vec<FlowSpec>,
    /// Who answers, in which guest.
    responders: Vec<(HostName, RespondSpec)>,
    sender: SendBy,
    warmup_ns: u64,
    pace: Pace,
    /// Bytes of each kernel ring, and rings of each point.
    rings: (u32, u8),
    sample_every_ns: u64,
    /// Time between rounds of clock exchanges during the trial; none where it is short or its clock is not real.
    clock_every_ns: Option<u64>,
}

impl Wires {
    fn read(bench: &Bench, machines: &mut [Machine], plan: &TrialPlan) -> Result<Self, Failure> {
        let generator = machines
            .iter()
            .find(|machine| machine.spec.role == Role::Generator)
            .map(|machine| machine.spec.clone())
            .ok_or_else(|| {
                Failure::Internal("a trial began on a lab without a generator".to_owned())
            })?;
        let mut guests: Vec<HostSpec> = Vec::new();
        let mut flows = Vec::new();
        for flow in &plan.flows {
            let guest = bench.lab().host(&flow.to).ok_or_else(|| {
                Failure::Internal(format!(
                    "a trial began on a lab without the guest {}",
                    flow.to
                ))
            })?;
            flows.push(traffic::flow(
                flow,
                &generator,
                guest,
                &bench.probe_folder_on(&generator),
            )?);
            if !guests.iter().any(|known| known.name == guest.name) {
                guests.push(guest.clone());
            }
        }
        let dom0 = on_dom0(machines)?;
        let reference_interface = dom0.spec.reference_interface().to_owned();
        let names: Vec<HostName> = guests.iter().map(|guest| guest.name.clone()).collect();
        let ports = match bench.kept() {
            Some(kept) => kept.ports.clone(),
            None => Ports::ask(dom0.host.as_mut(), &reference_interface, &names)?,
        };
        let nic = match plan.mode {
            Mode::Sealed => ports.vif(&generator.name)?,
            Mode::Open => dom0.spec.interface.clone(),
        };
        let vifs = names
            .into_iter()
            .map(|name| ports.vif(&name).map(|vif| (name, vif)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            reference_interface,
            queues: ports.queues_of(&vifs),
            reference_mac: ports.reference_mac,
            nic,
            vifs,
            responders: traffic::responders(&flows, &plan.flows),
            flows,
            sender: plan.sender,
            warmup_ns: plan.warmup.nanos(),
            // Guests of an emulated machine share one CPU: who spins keeps the others from running.
            pace: if bench.lab().is_virtual {
                Pace::Sleep
            } else {
                Pace::Spin
            },
            rings: rings::of(plan, SNAPLEN, bench.lab().is_virtual),
            sample_every_ns: (plan.duration.nanos() / 10).max(100_000_000),
            clock_every_ns: (bench.timing(plan) == Timing::Clocked
                && plan.warmup.nanos() + plan.duration.nanos() >= LONG_NS)
                .then_some(CLOCK_EVERY_NS),
        })
    }

    fn interfaces(&self, machine: &Machine) -> Vec<String> {
        if machine.spec.role != Role::Dom0 {
            return vec![machine.spec.interface.clone()];
        }
        let mut all = vec![self.nic.clone()];
        all.extend(self.vifs.iter().map(|(_, vif)| vif.clone()));
        all
    }

    fn prepare(&self, machine: &Machine, number: u32) -> Prepare {
        let capture = |point, guest: Option<&HostName>, interface: &str| CaptureSpec {
            point,
            guest: guest.map(ToString::to_string),
            interface: interface.to_owned(),
            filter: FILTER.to_owned(),
            snaplen: SNAPLEN,
            buffer: self.rings.0,
            options: CaptureOptions {
                rings: self.rings.1,
                ..CaptureOptions::default()
            },
        };
        let interface = &machine.spec.interface;
        let name = &machine.spec.name;
        let dom0 = machine.spec.role == Role::Dom0;
        let captures = match machine.spec.role {
            Role::Generator => vec![capture(Point::Tx, None, interface)],
            Role::Guest => vec![capture(Point::Rx, Some(name), interface)],
            Role::Dom0 => {
                let mut all = vec![capture(Point::Nic, None, &self.nic)];
                all.extend(
                    self.vifs
                        .iter()
                        .map(|(to, vif)| capture(Point::Vif, Some(to), vif)),
                );
                all
            }
        };
        let files = if dom0 {
            self.queues.clone()
        } else {
            Vec::new()
        };
        Prepare {
            trial: number,
            captures,
            generate: (machine.spec.role == Role::Generator).then(|| Generate {
                interface: interface.clone(),
                pace: self.pace,
                sender: self.sender,
                warmup_ns: self.warmup_ns,
                flows: self.flows.clone(),
            }),
            respond: match machine.spec.role {
                Role::Guest => {
                    let own = self.responders.iter().filter(|(of, _)| of == name);
                    own.map(|(_, spec)| spec.clone()).collect()
                }
                Role::Generator | Role::Dom0 => Vec::new(),
            },
            counters: self.interfaces(machine),
            files,
            domains: dom0,
            sample_every_ns: self.sample_every_ns,
            clock: self
                .clock_every_ns
                .filter(|_| !dom0)
                .map(|every_ns| ClockWatch {
                    interface: interface.clone(),
                    peer_mac: self.reference_mac.clone(),
                    every_ns,
                    count: CLOCK_ROUND,
                }),
        }
    }
}

fn dom0_index(machines: &[Machine]) -> Result<usize, Failure> {
    machines
        .iter()
        .position(|machine| machine.spec.role == Role::Dom0)
        .ok_or_else(|| Failure::Internal("a trial began on a lab without a dom0".to_owned()))
}

fn on_dom0(machines: &mut [Machine]) -> Result<&mut Machine, Failure> {
    let index = dom0_index(machines)?;
    Ok(&mut machines[index])
}

fn describe(machine: &mut Machine, wires: &Wires) -> Result<Ruler, Failure> {
    let interfaces = wires.interfaces(machine);
    machine.ask(|client| client.describe(interfaces))
}

/// Times are reckoned from what this returns: a reading that leaves no room for them is refused here.
fn read_clock(machine: &mut Machine) -> Result<ClockReading, Failure> {
    /// The year 2262, in which also times with a sign end.
    const LATEST: u64 = i64::MAX as u64;
    let reading = machine.ask(Client::read_clock)?;
    if reading.realtime_ns > LATEST {
        return Err(Failure::Probe {
            host: machine.name(),
            doing: "read its clocks".to_owned(),
            why: format!(
                "its time of day is {} ns since 1970, which is after the year 2262: set its clock",
                reading.realtime_ns
            ),
        });
    }
    Ok(reading)
}

/// Exchanges with the reference; the reference itself only reads its clocks.
fn exchange(machine: &mut Machine, peer_mac: &str) -> Result<Seen, Failure> {
    if machine.spec.role == Role::Dom0 {
        let reading = read_clock(machine)?;
        return Ok(Seen {
            exchanges: Vec::new(),
            readings: vec![reading],
        });
    }
    let interface = machine.spec.interface.clone();
    let seen = machine
        .ask(|client| client.exchange_clock(&interface, peer_mac, EXCHANGES, EXCHANGE_TIME))?;
    Ok(Seen {
        exchanges: seen.exchanges,
        readings: vec![seen.reading],
    })
}

/// Asks until the trial is in that state, or has ended.
fn await_state(
    machine: &mut Machine,
    trial: u32,
    wanted: State,
    cancel: &Cancel,
) -> Result<(), Failure> {
    /// Questions keep a virtual machine busy, and while it is busy its clock only creeps.
    const PAUSE: Duration = Duration::from_millis(200);
    let patience = Instant::now() + STEP;
    loop {
        let state = machine.ask(|client| client.status(trial))?;
        if state == wanted || state == State::Done {
            return Ok(());
        }
        if Instant::now() > patience {
            return Err(Failure::Probe {
                host: machine.name(),
                doing: format!("bring trial {trial} to the state {wanted:?} within {STEP:?}"),
                why: format!("it is {state:?}"),
            });
        }
        if cancel.wait(PAUSE) {
            return Err(Failure::Interrupted);
        }
    }
}

/// Brings `result.json` and the captures that it names from a folder in the probe's to `part/<host>/`.
fn fetch_folder(machine: &mut Machine, folder: &Path, part: &Path) -> Result<ProbeResult, Failure> {
    let here = part.join(machine.name());
    fs::create_dir_all(&here).map_err(Failure::io("create the folder", &here))?;
    let text = machine.read(&folder.join("result.json"))?;
    let result: ProbeResult = serde_json::from_slice(&text).map_err(|error| Failure::Probe {
        host: machine.name(),
        doing: "store its results".to_owned(),
        why: format!("result.json cannot be read: {error}"),
    })?;
    for capture in &result.captures {
        // The name comes from the host: it must be a plain file name, or it is not used as a path here.
        let name = Path::new(&capture.file);
        if name.file_name() != Some(name.as_os_str()) {
            return Err(Failure::Probe {
                host: machine.name(),
                doing: "store its results".to_owned(),
                why: format!(
                    "it names a capture that is no plain file name: {}",
                    capture.file
                ),
            });
        }
        let bytes = machine.read(&folder.join(name))?;
        let file = here.join(name);
        fs::write(&file, bytes).map_err(Failure::io("write", &file))?;
    }
    let file = here.join("result.json");
    fs::write(&file, text).map_err(Failure::io("write", &file))?;
    match &result.failed {
        None => Ok(result),
        Some(why) => Err(Failure::Probe {
            host: machine.name(),
            doing: "run the trial".to_owned(),
            why: why.clone(),
        }),
    }
}
