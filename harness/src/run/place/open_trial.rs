//! Trials whose packets come from outside, armed over the network. Where all clocks are real, all hosts start together. The
//! clocks of emulated hosts run at a speed of their own: these capture from before the trial until they are told to end.

use std::time::{Duration, Instant};

use vifbench_scenarios::plan::TrialPlan;
use vifbench_wait::Cancel;
use vifbench_wire::protocol::State;

use crate::error::Failure;
use crate::run::clocks::ClockData;
use crate::run::deadlines::STEP;
use crate::run::schedule::{HostTimes, Schedule, length_ns, phase};
use crate::run::trial_hosts::{TrialHost, TrialHosts};

/// From the arming to the start: by then every probe has answered.
const LEAD_NS: u64 = 1_000_000_000;
/// The same for emulated hosts: they need to be armed in time.
const EMULATED_LEAD_NS: u64 = 5_000_000_000;
/// Emulated hosts capture until they are told to end, at most for an hour of theirs.
const UNTIL_ENDED_NS: u64 = 3_600_000_000_000;

/// Arms all hosts for the same moment.
pub fn arm_together(
    hosts: &mut TrialHosts,
    plan: &TrialPlan,
    before: &[ClockData],
) -> Result<Schedule, Failure> {
    let now = hosts.dom0().read_clock()?.realtime_ns;
    let start = now + LEAD_NS + phase(plan);
    let schedule = Schedule::together(start, length_ns(plan), before, hosts.dom0_index());
    hosts.each_with(schedule.hosts.clone(), |host, times| {
        host.arm(times.arm(plan.number))
    })?;
    Ok(schedule)
}

/// Arms the emulated hosts, and the sender once these capture. The sender's clock counts.
pub fn arm_receivers_first(
    hosts: &mut TrialHosts,
    plan: &TrialPlan,
    trial: &Cancel,
) -> Result<Schedule, Failure> {
    let (number, length) = (plan.number, length_ns(plan));
    let mut armed = Vec::new();
    for host in hosts.iter_mut() {
        let now = host.read_clock()?.realtime_ns;
        if host.sends_from_outside() {
            armed.push(HostTimes::new(now, length));
        } else {
            let times = HostTimes::new(now + EMULATED_LEAD_NS, UNTIL_ENDED_NS);
            host.arm(times.arm(number))?;
            armed.push(times);
        }
    }
    hosts.each(|host| {
        if host.sends_from_outside() {
            Ok(())
        } else {
            await_state(host, number, State::Running, trial)
        }
    })?;
    let mut measured = None;
    for (host, times) in hosts.iter_mut().zip(&mut armed) {
        if host.sends_from_outside() {
            let now = host.read_clock()?.realtime_ns;
            *times = HostTimes::new(now + LEAD_NS, length);
            host.arm(times.arm(number))?;
            measured = Some(*times);
        }
    }
    let measured = measured.ok_or_else(|| {
        Failure::Internal("an open trial began without a sender outside the lab".to_owned())
    })?;
    Ok(Schedule {
        hosts: armed,
        measured,
    })
}

/// Waits until the last packet was sent. Nothing is requested meanwhile: no control traffic while packets are timed.
pub fn wait_out(plan: &TrialPlan, trial: &Cancel) -> Result<(), Failure> {
    let length = Duration::from_nanos(length_ns(plan));
    if trial.wait(length + Duration::from_secs(2)) {
        Err(Failure::Interrupted)
    } else {
        Ok(())
    }
}

/// Ends the captures of emulated hosts.
pub fn end_receivers(hosts: &mut TrialHosts, plan: &TrialPlan) -> Result<(), Failure> {
    hosts.each(|host| {
        if host.sends_from_outside() {
            Ok(())
        } else {
            host.ask(|client| client.finish(plan.number))
        }
    })?;
    Ok(())
}

/// Waits until every probe has stored its results.
pub fn await_results(
    hosts: &mut TrialHosts,
    plan: &TrialPlan,
    trial: &Cancel,
) -> Result<(), Failure> {
    hosts.each(|host| await_state(host, plan.number, State::Done, trial))?;
    Ok(())
}

/// Requests the trial's state until it is the wanted one, or the trial has ended.
fn await_state(
    host: &mut TrialHost,
    number: u32,
    wanted: State,
    trial: &Cancel,
) -> Result<(), Failure> {
    /// Requests keep a virtual machine busy, and while it is busy its clock only creeps.
    const PAUSE: Duration = Duration::from_millis(200);
    let patience = Instant::now() + STEP;
    loop {
        let state = host.ask(|client| client.status(number))?;
        if state == wanted || state == State::Done {
            return Ok(());
        }
        if Instant::now() > patience {
            return Err(Failure::Probe {
                host: host.name(),
                doing: format!("bring trial {number} to the state {wanted:?} within {STEP:?}"),
                why: format!("it is {state:?}"),
            });
        }
        if trial.wait(PAUSE) {
            return Err(Failure::Interrupted);
        }
    }
}
