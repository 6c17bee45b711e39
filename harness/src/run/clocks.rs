//! From clock readings and exchanges to the maps that a trial's record carries.

use vifbench_probes::clock::estimate::{Assumptions, Estimate, Interval, judge};
use vifbench_probes::protocol::{ClockReading, Exchange};
use vifbench_reports::store::ClockMap;

/// What one host's clock showed over a trial.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Exchanges with the reference, before and after.
    pub exchanges: Vec<Exchange>,
    /// Bracketed readings: before, at start, stop and drain, and after.
    pub readings: Vec<ClockReading>,
}

/// How the reference itself maps.
pub fn reference(host: &str, at_ns: u64) -> ClockMap {
    to_map(host, &Estimate::reference(at_ns), None)
}

/// A clock that does not run on the reference's time at all (the controller's, in an open trial of the virtual
/// lab): nothing across it can be claimed.
pub fn unrelated(host: &str, at_ns: u64) -> ClockMap {
    ClockMap {
        host: host.to_owned(),
        offset_ns: 0.0,
        skew: 0.0,
        at_ns,
        bound_ns: None,
        method: "none".to_owned(),
        two_way: None,
    }
}

/// How a host's clock maps to the reference over `interval` of its own time.
pub fn map(
    host: &str,
    seen: &Seen,
    reference: &Seen,
    interval: Interval,
    warnings: &mut Vec<String>,
) -> ClockMap {
    let assumptions = Assumptions::default();
    match judge(
        &seen.exchanges,
        &seen.readings,
        &reference.readings,
        interval,
        &assumptions,
    ) {
        Ok(judged) => {
            if let Some(why) = &judged.refused {
                warnings.push(format!("{host}: {why}; two-way exchange is used"));
            }
            to_map(host, &judged.best, Some(&judged.two_way))
        }
        Err(why) => {
            warnings.push(format!(
                "{host}: no delay across its clock can be claimed: {why}"
            ));
            unrelated(host, interval.from_ns)
        }
    }
}

fn to_map(host: &str, estimate: &Estimate, two_way: Option<&Estimate>) -> ClockMap {
    ClockMap {
        host: host.to_owned(),
        offset_ns: estimate.offset_ns,
        skew: estimate.skew,
        at_ns: estimate.at_ns,
        bound_ns: Some(estimate.bound_ns),
        method: estimate.method.name().to_owned(),
        two_way: two_way.map(|e| (e.offset_at(estimate.at_ns), e.bound_ns)),
    }
}
