//! CPU time by domain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vifbench_store::ClockMap;
use vifbench_wire::protocol::{DomainSample, Point};

use crate::clock::HostClock;
use crate::packets::TrialPackets;

/// What one domain used in the measured part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainUse {
    /// Its name.
    pub name: String,
    /// Its id.
    pub domid: u32,
    /// CPU time a second, in percent of one CPU.
    pub percent: f64,
    /// CPU time by the packets sent in the same stretch (all flows); none when none were.
    pub ns_per_packet: Option<f64>,
    /// Time between the two samples that this comes from.
    pub window_ns: i64,
}

/// CPU use of every domain between the first and the last sample inside the measured part. A domain with fewer
/// than two samples there is named in `warnings` instead.
pub fn by_domain(
    trial: &TrialPackets,
    clocks: &[ClockMap],
    warnings: &mut Vec<String>,
) -> Vec<DomainUse> {
    let from = trial.measure_from_ns;
    let to = from.saturating_add(trial.window_ns);
    let mut uses = Vec::new();
    let mut unsampled = Vec::new();
    for (host, result) in &trial.results {
        let clock = HostClock::of(clocks, host);
        let mut domains: BTreeMap<(u32, &str), Vec<(i64, &DomainSample)>> = BTreeMap::new();
        for sample in &result.domains {
            let at = clock.to_reference(i64::try_from(sample.at_ns).unwrap_or(i64::MAX));
            domains
                .entry((sample.domid, &sample.name))
                .or_default()
                .push((at, sample));
        }
        for ((domid, name), samples) in domains {
            let inside: Vec<_> = samples
                .iter()
                .filter(|(at, _)| (from..=to).contains(at))
                .collect();
            let (Some((t0, first)), Some((t1, last))) = (inside.first(), inside.last()) else {
                unsampled.push(name);
                continue;
            };
            let window_ns = t1 - t0;
            if window_ns <= 0 || last.cpu_ns < first.cpu_ns {
                unsampled.push(name);
                continue;
            }
            let used = (last.cpu_ns - first.cpu_ns) as f64;
            let sent = trial
                .packets
                .iter()
                .filter_map(|p| p.at(Point::Tx))
                .filter(|at| (*t0..*t1).contains(at))
                .count();
            uses.push(DomainUse {
                name: name.to_owned(),
                domid,
                percent: used / window_ns as f64 * 100.0,
                ns_per_packet: (sent > 0).then(|| used / sent as f64),
                window_ns,
            });
        }
    }
    if !unsampled.is_empty() {
        warnings.push(format!(
            "no CPU time of {}: fewer than two samples in the measured part",
            unsampled.join(", ")
        ));
    }
    uses
}
