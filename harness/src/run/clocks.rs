//! From clock readings and exchanges to the maps that a trial's record carries.

use vifbench_store::ClockMap;
use vifbench_wire::clock_estimate::{Assumptions, Estimate, Interval, judge, track};
use vifbench_wire::protocol::{ClockReading, Exchange};

/// What was read of one host's clock over a trial.
#[derive(Debug, Clone, Default)]
pub struct ClockData {
    /// Exchanges with the reference: before, in a long trial during, and after.
    pub exchanges: Vec<Exchange>,
    /// Bracketed readings: before, at start, stop and drain, and after.
    pub readings: Vec<ClockReading>,
}

impl ClockData {
    /// Local minus reference, by the exchange with the least round trip; 0 without exchanges.
    pub fn rough_offset(&self) -> i64 {
        let trip = |e: &&Exchange| {
            e.t4.wrapping_sub(e.t1)
                .wrapping_sub(e.t3.wrapping_sub(e.t2))
        };
        self.exchanges.iter().min_by_key(trip).map_or(0, |e| {
            let there = e.t1.wrapping_sub(e.t2).cast_signed();
            let back = e.t4.wrapping_sub(e.t3).cast_signed();
            there.midpoint(back)
        })
    }

    /// Adds what was read later.
    pub fn extend(&mut self, later: Self) {
        self.readings.extend(later.readings);
        self.exchanges.extend(later.exchanges);
    }
}

/// The map of the reference itself.
pub fn reference(host: &str, at_ns: u64) -> ClockMap {
    to_map(host, &Estimate::reference(at_ns), None)
}

/// The map of a clock that has nothing to do with the reference's, as the controller's in an open trial of the virtual lab.
/// Nothing across it can be claimed.
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

/// The map of a host's clock to the reference over `interval` of its own time.
pub fn map(
    host: &str,
    data: &ClockData,
    reference: &ClockData,
    interval: Interval,
    warnings: &mut Vec<String>,
) -> ClockMap {
    let assumptions = Assumptions::default();
    match judge(
        &data.exchanges,
        &data.readings,
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
            let steps = steps(data, interval, &assumptions);
            warnings.push(format!(
                "{host}: no delay across its clock can be claimed: {why}{steps}"
            ));
            unrelated(host, interval.from_ns)
        }
    }
}

/// When and by how much a clock was set, as far as the exchanges during the trial show it.
fn steps(data: &ClockData, interval: Interval, assumptions: &Assumptions) -> String {
    let Ok(track) = track(&data.exchanges, interval, assumptions) else {
        return String::new();
    };
    let steps = track.steps().map(|(gap, by_ns)| {
        let after = |ns: u64| ns.saturating_sub(interval.from_ns) as f64 / 1e9;
        format!(
            "; it was set by {:.3} ms between {:.1} s and {:.1} s of the trial",
            by_ns / 1e6,
            after(gap.from_ns),
            after(gap.to_ns)
        )
    });
    steps.collect()
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
    fn a_clock_that_was_set_during_a_trial_is_reported_with_time_and_size() {
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
        let data = ClockData {
            exchanges: exchanges.collect(),
            readings: Vec::new(),
        };
        let interval = Interval {
            from_ns: start,
            to_ns: start + 20 * SECOND,
        };
        let mut warnings = Vec::new();
        let map = map("u1", &data, &ClockData::default(), interval, &mut warnings);
        assert_eq!(map.bound_ns, None);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("it was set by 5.0")
                && warnings[0].contains("between 6.5 s and 7.0 s"),
            "{warnings:?}"
        );
    }
}
