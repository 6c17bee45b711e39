//! One trial: its eight steps, in order. What differs between places is a method of [`Place`](super::place::Place).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vifbench_provisioning::lab::step;
use vifbench_scenarios::lab::Role;
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::progress::Progress;
use vifbench_store::{ClockMap, FORMAT, ModuleProof, Outcome, TrialRecord};
use vifbench_wire::clock_estimate::Interval;
use vifbench_wire::protocol::{ProbeResult, Ruler};

use super::clocks::{self, ClockData};
use super::drivers::Drivers;
use super::instruments::Instruments;
use super::rig::Rig;
use super::schedule::Schedule;
use super::traffic;
use super::trial_hosts::{TrialHost, TrialHosts};
use super::variants::Variants;
use crate::error::Failure;

/// Two-way exchanges of each clock, before the trial and after it.
const EXCHANGES: u32 = 20;
/// They may take this long by the host's clock.
const EXCHANGE_TIME: Duration = Duration::from_secs(20);

/// A trial that is to run.
pub struct Trial<'a, 'v> {
    /// What runs it.
    pub rig: &'a mut Rig,
    /// The variants of the run.
    pub variants: &'a mut Variants<'v>,
    /// The trial.
    pub plan: &'a TrialPlan,
    /// The run's folder.
    pub run: &'a Path,
    /// The folder for the results.
    pub part: &'a Path,
    /// Which attempt at this trial it is, from 1.
    pub attempt: u32,
    /// Where to report progress.
    pub progress: &'a dyn Progress,
}

/// What a trial measured, each in the hosts' order.
struct Measured {
    rulers: Vec<Ruler>,
    clocks: Vec<ClockData>,
    schedule: Schedule,
}

impl<'v> Trial<'_, 'v> {
    /// Runs the trial and returns its record. The results are in the folder for them.
    pub fn run(mut self) -> Result<TrialRecord, Failure> {
        let drivers = self.restore()?;
        let modules = self.prove(&drivers)?;
        let began = Instant::now();
        let watched = step(&format!("a trial with {}", self.plan.variant.name));
        let (mut hosts, instruments, rulers) = self.connect(&drivers)?;
        let before = compare_clocks(&mut hosts, &instruments)?;
        self.prepare(&mut hosts, &instruments)?;
        let schedule = self.arm(&mut hosts, &before)?;
        self.let_run(&mut hosts, &schedule)?;
        let (results, after) = self.fetch(&mut hosts, &instruments)?;
        watched.done();
        let measured = Measured {
            rulers,
            clocks: joined(before, &results, after),
            schedule,
        };
        Ok(self.record(modules, &hosts, measured, began))
    }

    /// Step 1: the hosts are as at the beginning of every trial, with the variant's modules freshly loaded.
    fn restore(&mut self) -> Result<Drivers<'v>, Failure> {
        let cancel = self.rig.cancel().clone();
        let place = self.rig.place_mut();
        place.begin()?;
        let release = place.kernel()?;
        let variant = &self.plan.variant;
        let drivers = self
            .variants
            .drivers(variant, &release, &cancel, self.progress)?;
        place.restore(&drivers, self.plan, self.progress)?;
        Ok(drivers)
    }

    /// Step 2: the loaded modules are the ones that were built.
    fn prove(&mut self, drivers: &Drivers<'_>) -> Result<Vec<ModuleProof>, Failure> {
        self.rig.place_mut().prove(drivers)
    }

    /// Step 3: a probe runs on every host and describes its measurement setup.
    fn connect(
        &mut self,
        drivers: &Drivers<'_>,
    ) -> Result<(TrialHosts, Instruments, Vec<Ruler>), Failure> {
        let mut hosts = self.rig.place().trial_hosts(self.plan)?;
        let (flows, run) = (&self.plan.flows, self.run);
        hosts.each(|host| {
            host.install(drivers.vifprobe)?;
            if host.spec.role == Role::Generator {
                traffic::bring_traces(host, flows, run)?;
            }
            host.start()
        })?;
        let instruments = Instruments::choose(self.rig.place(), &mut hosts, self.plan)?;
        let rulers = hosts.each(|host| {
            let interfaces = instruments.interfaces(&host.spec);
            host.ask(|client| client.describe(interfaces))
        })?;
        Ok((hosts, instruments, rulers))
    }

    /// Step 5: captures, generator and receivers are ready.
    fn prepare(&self, hosts: &mut TrialHosts, instruments: &Instruments) -> Result<(), Failure> {
        let trial = self.rig.place().trial_number(self.plan);
        hosts.each(|host| {
            let prepare = instruments.prepare(&host.spec, trial);
            host.ask(|client| client.prepare(prepare)).map(drop)
        })?;
        Ok(())
    }

    /// Step 6: every probe has its times, by its own clock.
    fn arm(&self, hosts: &mut TrialHosts, before: &[ClockData]) -> Result<Schedule, Failure> {
        let place = self.rig.place();
        place.arm(hosts, self.plan, before, self.attempt)
    }

    /// Step 7: the packets are sent.
    fn let_run(&mut self, hosts: &mut TrialHosts, schedule: &Schedule) -> Result<(), Failure> {
        self.rig.place_mut().run(hosts, self.plan, schedule)
    }

    /// Step 8: the results are in the folder of the trial. The clocks are compared again first, as close to the trial as
    /// possible.
    fn fetch(
        &mut self,
        hosts: &mut TrialHosts,
        instruments: &Instruments,
    ) -> Result<(Vec<ProbeResult>, Vec<ClockData>), Failure> {
        let after = exchange(hosts, &instruments.reference_mac)?;
        let place = self.rig.place_mut();
        place.await_results(hosts, self.plan)?;
        let folder = PathBuf::from(format!("trial-{}", place.trial_number(self.plan)));
        let part = self.part;
        let results = hosts.each(|host| fetch_folder(host, &folder, part))?;
        place.end_probes(hosts)?;
        let sent = results.iter().filter_map(|result| result.sent.as_ref());
        let packets = sent.map(|sent| sent.sent).sum();
        place.write_own_records(hosts, packets, part)?;
        Ok((results, after))
    }

    /// The record of the complete trial.
    fn record(
        &self,
        modules: Vec<ModuleProof>,
        hosts: &TrialHosts,
        measured: Measured,
        began: Instant,
    ) -> TrialRecord {
        let mut warnings = Vec::new();
        let clocks = self.clock_maps(hosts, &measured, &mut warnings);
        let times = measured.schedule.measured;
        TrialRecord {
            format: FORMAT,
            plan: self.plan.clone(),
            outcome: Outcome::Complete,
            modules,
            clocks,
            rulers: hosts.names().zip(measured.rulers).collect(),
            probes: hosts.names().collect(),
            warnings,
            start_ns: times.start,
            measure_from_ns: times.start + self.plan.warmup.nanos(),
            stop_ns: times.stop,
            wall_s: began.elapsed().as_secs_f64(),
        }
    }

    /// How the clock of each host maps to dom0's.
    fn clock_maps(
        &self,
        hosts: &TrialHosts,
        measured: &Measured,
        warnings: &mut Vec<String>,
    ) -> Vec<ClockMap> {
        let place = self.rig.place();
        let dom0 = hosts.dom0_index();
        let map = |(index, host): (usize, &TrialHost)| {
            let (name, times) = (host.name(), measured.schedule.hosts[index]);
            if index == dom0 {
                clocks::reference(&name, times.start)
            } else if place.shares_time(&host.spec) {
                let interval = Interval {
                    from_ns: times.start,
                    to_ns: times.drain,
                };
                let (clock, reference) = (&measured.clocks[index], &measured.clocks[dom0]);
                clocks::map(&name, clock, reference, interval, warnings)
            } else {
                clocks::unrelated(&name, times.start)
            }
        };
        hosts.iter().enumerate().map(map).collect()
    }
}

/// Step 4: dom0's clock is the reference, with which the clock of every other host is compared.
fn compare_clocks(
    hosts: &mut TrialHosts,
    instruments: &Instruments,
) -> Result<Vec<ClockData>, Failure> {
    let reference = &instruments.reference_interface;
    hosts.dom0().ask(|client| client.serve_clock(reference))?;
    exchange(hosts, &instruments.reference_mac)
}

/// Exchanges with the reference, whose address is given. The reference itself only reads its clocks.
fn exchange(hosts: &mut TrialHosts, reference_mac: &str) -> Result<Vec<ClockData>, Failure> {
    hosts.each(|host| {
        if host.spec.role == Role::Dom0 {
            return Ok(ClockData {
                exchanges: Vec::new(),
                readings: vec![host.read_clock()?],
            });
        }
        let interface = host.spec.interface.clone();
        let answer = host.ask(|client| {
            client.exchange_clock(&interface, reference_mac, EXCHANGES, EXCHANGE_TIME)
        })?;
        Ok(ClockData {
            exchanges: answer.exchanges,
            readings: vec![answer.reading],
        })
    })
}

/// What was read of each clock before the trial, during it and after it.
fn joined(
    before: Vec<ClockData>,
    results: &[ProbeResult],
    after: Vec<ClockData>,
) -> Vec<ClockData> {
    before
        .into_iter()
        .zip(results)
        .zip(after)
        .map(|((mut all, result), after)| {
            all.extend(ClockData {
                exchanges: result.exchanges.clone(),
                readings: result.clock.clone(),
            });
            all.extend(after);
            all
        })
        .collect()
}

/// Brings `result.json` and the captures that it names from a folder in the probe's to `part/<host>/`.
fn fetch_folder(host: &mut TrialHost, folder: &Path, part: &Path) -> Result<ProbeResult, Failure> {
    let here = part.join(host.name());
    fs::create_dir_all(&here).map_err(Failure::io("create the folder", &here))?;
    let name = host.name();
    let bad = |why: String| Failure::Probe {
        host: name.clone(),
        doing: "store its results".to_owned(),
        why,
    };
    let text = host.read(&folder.join("result.json"))?;
    let result: ProbeResult = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("result.json cannot be read: {error}")))?;
    for capture in &result.captures {
        // The name comes from the host: it must be a plain file name, or it is not used as a path here.
        let plain = Path::new(&capture.file);
        if plain.file_name() != Some(plain.as_os_str()) {
            return Err(bad(format!(
                "it names a capture that is no plain file name: {}",
                capture.file
            )));
        }
        let bytes = host.read(&folder.join(plain))?;
        let file = here.join(plain);
        fs::write(&file, bytes).map_err(Failure::io("write", &file))?;
    }
    let file = here.join("result.json");
    fs::write(&file, text).map_err(Failure::io("write", &file))?;
    match &result.failed {
        None => Ok(result),
        Some(why) => Err(Failure::Probe {
            host: name,
            doing: "run the trial".to_owned(),
            why: why.clone(),
        }),
    }
}
