//! From clock readings and exchanges to the maps that a trial's record carries.

use vifbench_store::ClockMap;
use vifbench_wire::clock_estimate::{Assumptions, Estimate, Interval, judge, track};
use vifbench_wire::protocol::{ClockReading, Exchange};

/// What one host's clock showed over a trial.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Exchanges with the reference: before, in a long trial during, and after.
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
            let steps = steps(seen, interval, &assumptions);
            warnings.push(format!(
                "{host}: no delay across its clock can be claimed: {why}{steps}"
            ));
            unrelated(host, interval.from_ns)
        }
    }
}

/// When, and by how much, a clock was set, where the exchanges made along the trial tell it.
fn steps(seen: &Seen, interval: Interval, assumptions: &Assumptions) -> String {
    let Ok(track) = track(&seen.exchanges, interval, assumptions) else {
        return String::new();
    };
    let told = track.steps().map(|(gap, by_ns)| {
        let after = |ns: u64| ns.saturating_sub(interval.from_ns) as f64 / 1e9;
        format!(
            "; it was set by {:.3} ms between {:.1} s and {:.1} s of the trial",
            by_ns / 1e6,
            after(gap.from_ns),
            after(gap.to_ns)
        )
    });
    told.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_in_mid_trial_is_told_with_time_and_size() {
        const SECOND: u64 = 1_000_000_000;
        let start = 1_795_305_600 * SECOND;
        // Ahead of the reference by 1 ms, and by 6 ms after 7 s; 100 us each way.
        let exchanges = (0..40).map(|n| {
            let t = start + n * SECOND / 2;
            let ahead = if n < 14 { 1_000_000 } else { 6_000_000 };
            Exchange {
                t1: t + ahead,
                t2: t + 100_000,
                t3: t + 110_000,
                t4: t + 210_000 + ahead,
            }
        });
        let seen = Seen {
            exchanges: exchanges.collect(),
            readings: Vec::new(),
        };
        let interval = Interval {
            from_ns: start,
            to_ns: start + 20 * SECOND,
        };
        let mut warnings = Vec::new();
        let map = map("u1", &seen, &Seen::default(), interval, &mut warnings);
        assert_eq!(map.bound_ns, None);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("it was set by 5.0")
                && warnings[0].contains("between 6.5 s and 7.0 s"),
            "{warnings:?}"
        );
    }
}
