//! One trial on one host: captures, generator, counters and samples, from `Prepare` to `result.json`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use thiserror::Error;
use vifbench_wait::{Alarm, Cancel, Woken};
use vifbench_wire::protocol::{
    Arm, CaptureReady, ClockReading, ClockWatch, Counters, Exchange, Prepare, ProbeResult, Sent,
    VERSION,
};

use crate::capture::{CaptureError, RunningCapture};
use crate::clock::exchange::{ExchangeError, exchange};
use crate::clock::reading::{read_clocks, realtime_ns};
use crate::counters::snapshot;
use crate::domains::Sampler;
use crate::generator::{Generator, GeneratorError, Window};
use crate::responder::{ResponderError, RunningResponder};
use crate::senders::Sender;

/// Name of the file that is written last.
pub const RESULT_FILE: &str = "result.json";

/// Counters are read this long before the start, so that reading them is over when the first packet is due.
const LEAD_NS: u64 = 200_000_000;

/// Rounds of clock exchanges during a trial are no closer than this.
const SHORTEST_ROUND_NS: u64 = 10_000_000;

/// `CLOCK_REALTIME` was set when it moved against `CLOCK_MONOTONIC` by more than this.
const STEP_NS: u64 = 1_000_000;

/// Why a trial could not be prepared or stored.
#[derive(Debug, Error)]
pub enum TrialError {
    /// A capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The generator.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// A responder.
    #[error(transparent)]
    Responder(#[from] ResponderError),
    /// The times make no sense.
    #[error(
        "cannot arm trial {trial}: start {start_ns}, stop {stop_ns} and drain {drain_ns} must follow one another"
    )]
    Order {
        /// Which trial.
        trial: u32,
        /// First packet.
        start_ns: u64,
        /// End of sending.
        stop_ns: u64,
        /// End of captures.
        drain_ns: u64,
    },
    /// The file system refused.
    #[error("cannot {doing} {path}: {error}")]
    Files {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The operating system refused something else.
    #[error("cannot prepare trial {trial}: {error}")]
    System {
        /// Which trial.
        trial: u32,
        /// What the system said.
        error: io::Error,
    },
}

/// A trial that is prepared: captures run, the generator is open.
pub struct Trial {
    plan: Prepare,
    folder: PathBuf,
    captures: Vec<RunningCapture>,
    generator: Option<Generator<Box<dyn Sender>>>,
    responders: Vec<RunningResponder>,
    prepared: ClockReading,
    alarm: Alarm,
    end: Cancel,
}

impl Trial {
    /// Makes the trial's folder, starts its captures and opens its generator.
    ///
    /// # Errors
    /// When any of that fails; then nothing is left running, and no folder.
    pub fn prepare(plan: Prepare, parent: &Path) -> Result<Self, TrialError> {
        let trial = plan.trial;
        let folder = folder(parent, trial);
        let files = |doing| {
            let path = folder.clone();
            move |error| TrialError::Files { doing, path, error }
        };
        let system = |error| TrialError::System { trial, error };
        // Results of an earlier attempt at this trial must not be mixed with new ones.
        remove_folder(&folder).map_err(files("clear"))?;
        fs::create_dir(&folder).map_err(files("create"))?;
        let captures = plan
            .captures
            .iter()
            .map(|spec| RunningCapture::start(spec, &folder));
        let opened = captures
            .collect::<Result<Vec<_>, _>>()
            .map_err(TrialError::from)
            .and_then(|captures| {
                let generator = plan.generate.as_ref().map(Generator::open).transpose()?;
                let responders = plan.respond.iter().map(RunningResponder::start);
                let responders = responders.collect::<Result<Vec<_>, _>>()?;
                // Said now rather than after the trial: an interface that is not there.
                snapshot::take(&plan.counters, &[]).map_err(|e| system(io::Error::other(e)))?;
                Ok((
                    captures,
                    generator,
                    responders,
                    Alarm::new().map_err(system)?,
                    Cancel::new().map_err(system)?,
                ))
            });
        let (captures, generator, responders, alarm, end) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // The captures that were started have stopped by being dropped.
                remove_folder(&folder).map_err(files("clear"))?;
                return Err(error);
            }
        };
        Ok(Self {
            plan,
            folder,
            captures,
            generator,
            responders,
            prepared: read_clocks(),
            alarm,
            end,
        })
    }

    /// What was verified of the captures.
    pub fn captures(&self) -> Vec<CaptureReady> {
        self.captures
            .iter()
            .map(|capture| capture.ready().clone())
            .collect()
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.plan.trial
    }

    /// The word that ends the trial early, whether it runs or not.
    pub fn end(&self) -> Cancel {
        self.end.clone()
    }

    /// Ends it without a result.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn discard(self) -> Result<(), TrialError> {
        let path = self.folder.clone();
        // All at once; each is then waited for as it is dropped.
        for capture in &self.captures {
            capture.tell_to_stop()?;
        }
        drop(self);
        remove_folder(&path).map_err(|error| TrialError::Files {
            doing: "remove",
            path,
            error,
        })
    }

    /// Waits for the start, runs, waits for the drain and stores everything. `running` is called at the start.
    ///
    /// What goes wrong on the way is told in the result, which is stored in any case.
    ///
    /// # Errors
    /// When the result cannot be stored.
    pub fn run(mut self, arm: &Arm, running: impl FnOnce()) -> Result<ProbeResult, TrialError> {
        let mut result = ProbeResult {
            version: VERSION,
            trial: self.plan.trial,
            clock: vec![self.prepared],
            ..ProbeResult::default()
        };
        let mut failures = Vec::new();
        if let Err(failure) = self.measure(arm, &mut result, running) {
            failures.push(failure);
        }
        for responder in std::mem::take(&mut self.responders) {
            match responder.finish() {
                Ok(done) => result.responded.push(done),
                Err(error) => failures.push(error.to_string()),
            }
        }
        for capture in &self.captures {
            failures.extend(capture.tell_to_stop().err().map(|error| error.to_string()));
        }
        for capture in std::mem::take(&mut self.captures) {
            match capture.finish() {
                Ok((done, warnings)) => {
                    result.captures.push(done);
                    result.warnings.extend(warnings);
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
        result.warnings.extend(clock_step(&result.clock));
        if !failures.is_empty() {
            result.failed = Some(failures.join("; "));
        }
        store(&self.folder, &result)?;
        if let Some(path) = &arm.announce {
            announce(path, &format!("trial {} ended", self.plan.trial))?;
        }
        Ok(result)
    }

    /// From arming to the drain. The error says why the trial is void; what was read by then is kept.
    fn measure(
        &mut self,
        arm: &Arm,
        result: &mut ProbeResult,
        running: impl FnOnce(),
    ) -> Result<(), String> {
        let mut sampler = if self.plan.domains {
            Sampler::of_this_host(self.plan.sample_every_ns)
        } else {
            Sampler::none()
        };
        let outcome = self.measure_with(&mut sampler, arm, result, running);
        let sampled = sampler.finish();
        result.domains = sampled.samples;
        result.domains_by = sampled.by;
        result.warnings.extend(sampled.failed);
        outcome
    }

    fn measure_with(
        &mut self,
        sampler: &mut Sampler,
        arm: &Arm,
        result: &mut ProbeResult,
        running: impl FnOnce(),
    ) -> Result<(), String> {
        let now = realtime_ns();
        if now >= arm.start_ns {
            let late_ms = (now - arm.start_ns) as f64 / 1e6;
            return Err(format!(
                "the trial was armed {late_ms:.1} ms after its start time; arm it earlier"
            ));
        }
        let early = "the trial was ended before its start time";
        if self.wait(arm.start_ns.saturating_sub(LEAD_NS), sampler)? == Woken::Cancelled {
            return Err(early.to_owned());
        }
        check_seal(arm)?;
        result.before = self.counters()?;
        sampler.sample();
        let ready = realtime_ns();
        if ready > arm.start_ns {
            let late_us = (ready - arm.start_ns) / 1000;
            result.warnings.push(format!(
                "the counters before the trial were read {late_us} us late"
            ));
        }
        sampler.begin(arm.start_ns);
        let window = Window {
            start_ns: arm.start_ns,
            stop_ns: arm.stop_ns,
            // Leaves the last packets half of the drain time to arrive.
            give_up_ns: arm.stop_ns.midpoint(arm.drain_ns),
        };
        let generator = self.generator.take();
        let end = self.end.clone();
        let told = &self.end.clone();
        let clock = self.plan.clock.clone();
        let (outcome, sent, exchanged) = std::thread::scope(|scope| {
            let sending =
                generator.map(|mut generator| scope.spawn(move || generator.run(window, &end)));
            let exchanging = clock
                .map(|watch| scope.spawn(move || during(&watch, arm.start_ns, arm.stop_ns, told)));
            let outcome = self.watch(sampler, arm, result, running);
            if outcome.is_err() {
                // The generator would otherwise go on to its stop time.
                if let Err(error) = self.end.cancel() {
                    tracing::warn!("cannot end the generator: {error}");
                }
            }
            let exchanged = exchanging.map(ScopedJoinHandle::join);
            (outcome, sending.map(ScopedJoinHandle::join), exchanged)
        });
        match exchanged {
            None => {}
            Some(Ok(Ok(exchanges))) => result.exchanges = exchanges,
            // The trial has the exchanges before and after it.
            Some(Ok(Err(error))) => result
                .warnings
                .push(format!("no clock exchanges during the trial: {error}")),
            Some(Err(_)) => {
                return Err(
                    "the thread that exchanges clocks died: a defect of vifprobe".to_owned(),
                );
            }
        }
        let sent = match sent {
            None => None,
            Some(Ok(Ok(sent))) => Some(sent),
            Some(Ok(Err(error))) => return Err(error.to_string()),
            Some(Err(_)) => {
                return Err("the generator's thread died: a defect of vifprobe".to_owned());
            }
        };
        result.warnings.extend(sent.iter().flat_map(shortfalls));
        result.sent = sent;
        outcome
    }

    /// While the generator sends: samples, clock readings, and the counters at the end.
    fn watch(
        &self,
        sampler: &mut Sampler,
        arm: &Arm,
        result: &mut ProbeResult,
        running: impl FnOnce(),
    ) -> Result<(), String> {
        let mut woken = self.wait(arm.start_ns, sampler)?;
        result.clock.push(read_clocks());
        running();
        for moment in [arm.stop_ns, arm.drain_ns] {
            if woken == Woken::Due {
                woken = self.wait(moment, sampler)?;
            }
            result.clock.push(read_clocks());
        }
        if woken == Woken::Cancelled && realtime_ns() < arm.start_ns {
            return Err("the trial was ended before its start time".to_owned());
        }
        result.after = self.counters()?;
        sampler.sample();
        check_seal(arm)
    }

    /// Sleeps, but for the samples that fall due.
    fn wait(&self, until_ns: u64, sampler: &mut Sampler) -> Result<Woken, String> {
        loop {
            let next = sampler.next_ns().min(until_ns);
            match self.alarm.until(next, &self.end) {
                Ok(Woken::Cancelled) => return Ok(Woken::Cancelled),
                Ok(_) if next == until_ns => return Ok(Woken::Due),
                Ok(_) => sampler.sample_due(),
                Err(error) => return Err(format!("cannot wait for the trial's times: {error}")),
            }
        }
    }

    fn counters(&self) -> Result<Counters, String> {
        snapshot::take(&self.plan.counters, &self.plan.files).map_err(|error| error.to_string())
    }
}

/// Exchanges clocks in rounds between two moments, or until told to end.
fn during(
    watch: &ClockWatch,
    from_ns: u64,
    to_ns: u64,
    end: &Cancel,
) -> Result<Vec<Exchange>, ExchangeError> {
    let system = |error| ExchangeError::System {
        doing: "wait for the next clock exchange",
        interface: watch.interface.clone(),
        error,
    };
    let alarm = Alarm::new().map_err(system)?;
    let every_ns = watch.every_ns.max(SHORTEST_ROUND_NS);
    let mut exchanges = Vec::new();
    let mut next = from_ns;
    while next < to_ns && alarm.until(next, end).map_err(system)? == Woken::Due {
        let done = exchange(&watch.interface, &watch.peer_mac, watch.count, every_ns / 2)?;
        exchanges.extend(done.exchanges);
        // A round that took long, or a clock that was set forward, leaves rounds out.
        next = next.max(realtime_ns().saturating_sub(every_ns)) + every_ns;
    }
    Ok(exchanges)
}

/// Where a trial's results lie.
pub fn folder(parent: &Path, trial: u32) -> PathBuf {
    parent.join(format!("trial-{trial}"))
}

/// Removes a folder; one that is not there is fine.
///
/// # Errors
/// As the file system gives them.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Checks that times follow one another.
///
/// # Errors
/// When they do not.
pub fn check_times(arm: &Arm) -> Result<(), TrialError> {
    if arm.start_ns < arm.stop_ns && arm.stop_ns <= arm.drain_ns {
        return Ok(());
    }
    Err(TrialError::Order {
        trial: arm.trial,
        start_ns: arm.start_ns,
        stop_ns: arm.stop_ns,
        drain_ns: arm.drain_ns,
    })
}

/// In a sealed trial nothing may come in from outside: the link of the interface must be down.
fn check_seal(arm: &Arm) -> Result<(), String> {
    let Some(interface) = &arm.sealed_by else {
        return Ok(());
    };
    let path = format!("/sys/class/net/{interface}/carrier");
    match fs::read_to_string(&path).map(|text| text.trim().to_owned()) {
        Ok(carrier) if carrier == "0" => Ok(()),
        Ok(carrier) => Err(format!(
            "the trial is not sealed: {interface} has a link (carrier {carrier}); take the link down before its start"
        )),
        Err(error) => Err(format!(
            "the trial is not sealed for sure: cannot read {path}: {error}"
        )),
    }
}

/// What of the load that was asked for did not go out.
fn shortfalls(sent: &Sent) -> Vec<String> {
    let unsent = sent.due.saturating_sub(sent.sent + sent.refused);
    let mut warnings = Vec::new();
    if sent.refused > 0 {
        warnings.push(format!(
            "the kernel refused {} of {} packets",
            sent.refused, sent.due
        ));
    }
    if unsent > 0 {
        warnings.push(format!(
            "the generator fell behind: {unsent} of {} packets were not sent",
            sent.due
        ));
    }
    warnings
}

/// Both clocks are slewed alike, so only a clock that was set moves one against the other.
fn clock_step(clock: &[ClockReading]) -> Option<String> {
    let apart = |r: &ClockReading| i128::from(r.realtime_ns) - i128::from(r.monotonic_ns);
    let (first, last) = (clock.first().map(apart)?, clock.last().map(apart)?);
    (first.abs_diff(last) > u128::from(STEP_NS)).then(|| {
        format!(
            "CLOCK_REALTIME was set by {} ns during the trial",
            last - first
        )
    })
}

fn store(folder: &Path, result: &ProbeResult) -> Result<(), TrialError> {
    let path = folder.join(RESULT_FILE);
    let part = folder.join("result.json.part");
    let write = || -> io::Result<()> {
        // At once: a system call for each word of it would take the machine's time while the drivers settle.
        let mut text = serde_json::to_vec(result)?;
        text.push(b'\n');
        let mut file = File::create(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&part, &path)
    };
    write().map_err(|error| TrialError::Files {
        doing: "store the result in",
        path: path.clone(),
        error,
    })
}

/// Tells whoever reads the file, as a line of its own.
pub(crate) fn announce(path: &Path, what: &str) -> Result<(), TrialError> {
    let failed = |error| TrialError::Files {
        doing: "announce the trial in",
        path: path.to_owned(),
        error,
    };
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(failed)?;
    // In one write: /dev/kmsg makes a record of each.
    file.write_all(format!("vifbench: {what}\n").as_bytes())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Prepare {
        Prepare {
            trial: 3,
            captures: vec![],
            generate: None,
            respond: vec![],
            counters: vec!["lo".into()],
            files: vec!["/proc/uptime".into()],
            domains: false,
            sample_every_ns: 0,
            clock: None,
        }
    }

    fn arm(start: u64) -> Arm {
        Arm {
            trial: 3,
            start_ns: start,
            stop_ns: start + 20_000_000,
            drain_ns: start + 30_000_000,
            sealed_by: None,
            announce: None,
        }
    }

    fn stored(dir: &Path) -> ProbeResult {
        serde_json::from_slice(&fs::read(folder(dir, 3).join(RESULT_FILE)).unwrap()).unwrap()
    }

    #[test]
    fn runs_stores_and_announces() {
        let dir = tempfile::tempdir().unwrap();
        let told = dir.path().join("told");
        let arm = Arm {
            announce: Some(told.clone()),
            ..arm(realtime_ns() + 20_000_000)
        };
        let trial = Trial::prepare(plan(), dir.path()).unwrap();
        let mut started = 0;
        let result = trial.run(&arm, || started = realtime_ns()).unwrap();
        assert!(started >= arm.start_ns && realtime_ns() >= arm.drain_ns);
        assert_eq!(result.failed, None);
        assert_eq!(result.clock.len(), 4);
        assert!(result.before.at_ns < arm.start_ns && result.after.at_ns >= arm.drain_ns);
        assert!(result.after.files[0].1.is_some());
        assert_eq!(stored(dir.path()), result);
        assert_eq!(
            fs::read_to_string(told).unwrap(),
            "vifbench: trial 3 ended\n"
        );
    }

    #[test]
    fn a_start_that_has_passed_voids_the_trial() {
        let dir = tempfile::tempdir().unwrap();
        let trial = Trial::prepare(plan(), dir.path()).unwrap();
        trial
            .run(&arm(realtime_ns() - 1_000_000), || panic!("ran"))
            .unwrap();
        assert!(
            stored(dir.path())
                .failed
                .unwrap()
                .contains("after its start time")
        );
    }

    #[test]
    fn a_link_that_is_up_voids_a_sealed_trial() {
        let dir = tempfile::tempdir().unwrap();
        let trial = Trial::prepare(plan(), dir.path()).unwrap();
        let arm = Arm {
            sealed_by: Some("lo".into()),
            ..arm(realtime_ns() + 10_000_000)
        };
        trial.run(&arm, || panic!("ran")).unwrap();
        let failed = stored(dir.path()).failed.unwrap();
        assert!(failed.contains("not sealed: lo has a link"), "{failed}");
    }

    #[test]
    fn the_word_to_end_keeps_the_result() {
        let dir = tempfile::tempdir().unwrap();
        let trial = Trial::prepare(plan(), dir.path()).unwrap();
        let far = Arm {
            stop_ns: u64::MAX - 1,
            drain_ns: u64::MAX,
            ..arm(realtime_ns() + 5_000_000)
        };
        let end = trial.end();
        let result = trial.run(&far, || end.cancel().unwrap()).unwrap();
        assert_eq!(result.failed, None);
        assert!(result.after.at_ns > 0);
    }

    #[test]
    fn a_failed_preparation_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = Prepare {
            counters: vec!["no-such-nic".into()],
            ..plan()
        };
        let error = Trial::prepare(wrong, dir.path()).err().unwrap();
        assert!(error.to_string().contains("no-such-nic"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let reading = |realtime_ns, monotonic_ns| ClockReading {
            tsc_before: 0,
            realtime_ns,
            monotonic_ns,
            tsc_after: 0,
        };
        assert_eq!(
            clock_step(&[reading(100, 50), reading(5_000_100, 5_000_050)]),
            None
        );
        assert!(
            clock_step(&[reading(9_000_000, 50), reading(100, 60)])
                .unwrap()
                .contains("-8999910 ns")
        );
    }

    #[test]
    fn packets_that_did_not_go_out_are_told() {
        let sent = |due, sent, refused| Sent {
            due,
            sent,
            refused,
            ..Sent::default()
        };
        assert!(shortfalls(&sent(10, 10, 0)).is_empty());
        assert_eq!(
            shortfalls(&sent(10, 5, 2)),
            [
                "the kernel refused 2 of 10 packets",
                "the generator fell behind: 3 of 10 packets were not sent"
            ]
        );
    }

    #[test]
    fn times_must_follow_one_another() {
        assert!(check_times(&arm(5)).is_ok());
        assert!(
            check_times(&Arm {
                stop_ns: 5,
                ..arm(5)
            })
            .is_err()
        );
        assert!(
            check_times(&Arm {
                drain_ns: 6,
                ..arm(5)
            })
            .is_err()
        );
    }
}
