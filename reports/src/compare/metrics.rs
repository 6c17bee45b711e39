//! The numbers that are compared: how each is taken from a trial, which way is better, and what matters by default.

use vifbench_scenarios::judge::{Judge, Least};
use vifbench_wire::protocol::Point;

use super::Unit;
use crate::metrics::flow::FlowMetrics;
use crate::metrics::transactions;
use crate::stats::Stats;
use crate::trial_summary::TrialSummary;

/// Which way a number gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// Which way the number of this name gets better; none where this version has no such number.
pub(crate) fn better(id: &str) -> Option<Better> {
    METRICS
        .iter()
        .find(|metric| metric.id == id)
        .map(|metric| metric.better)
}

/// A number that is compared.
pub(super) struct Metric {
    /// Stable name in JSON and CSV.
    pub id: &'static str,
    /// For a person.
    pub name: &'static str,
    /// Entry of [`crate::definitions`].
    pub definition: &'static str,
    pub unit: Unit,
    pub better: Better,
    /// The smallest difference that matters, in percent (see [`Least::Percent`]); none: shown and not judged unless
    /// the scenario says what matters.
    pub least: Option<f64>,
    /// Its value in one trial.
    pub pick: fn(&FlowMetrics, &TrialSummary) -> Option<Bounded>,
}

/// A value and its error bound; none where no bound is known.
pub(super) type Bounded = (f64, Option<f64>);

fn with_bound(
    stats: Option<Stats>,
    bound_ns: Option<i64>,
    pick: fn(Stats) -> i64,
) -> Option<Bounded> {
    Some((pick(stats?) as f64, Some(bound_ns? as f64)))
}

/// Variations of delay need no common clock: their error is that of the stamps.
fn variation(metrics: &FlowMetrics, value: Option<f64>) -> Option<Bounded> {
    Some((value?, Some(metrics.resolution_ns as f64)))
}

fn hop(metrics: &FlowMetrics, from: Point, to: Point) -> Option<Bounded> {
    let hop = metrics.hops.iter().find(|h| h.from == from && h.to == to)?;
    with_bound(hop.time, hop.bound_ns, |s| s.mean)
}

/// Both ends of a round trip are read from one clock, in whole nanoseconds.
fn round_trip(
    metrics: &FlowMetrics,
    trial: &TrialSummary,
    pick: fn(Stats) -> i64,
) -> Option<Bounded> {
    let stats = transactions::round_trip(&trial.transactions, metrics.flow)?;
    Some((pick(stats) as f64, Some(1.0)))
}

pub(super) const METRICS: [Metric; 19] = [
    Metric {
        id: "delay_mean",
        name: "mean delay",
        definition: "delay",
        unit: Unit::Ns,
        better: Better::Lower,
        least: None,
        pick: |m, _| with_bound(m.delay, m.delay_bound_ns, |s| s.mean),
    },
    Metric {
        id: "delay_p50",
        name: "p50 delay",
        definition: "delay",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(2.0),
        pick: |m, _| with_bound(m.delay, m.delay_bound_ns, |s| s.p50),
    },
    Metric {
        id: "delay_p99",
        name: "p99 delay",
        definition: "delay",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(2.0),
        pick: |m, _| with_bound(m.delay, m.delay_bound_ns, |s| s.p99),
    },
    Metric {
        id: "hop_tx_nic",
        name: "mean time tx to nic",
        definition: "hop",
        unit: Unit::Ns,
        better: Better::Lower,
        least: None,
        pick: |m, _| hop(m, Point::Tx, Point::Nic),
    },
    Metric {
        id: "hop_nic_vif",
        name: "mean time nic to vif",
        definition: "hop",
        unit: Unit::Ns,
        better: Better::Lower,
        least: None,
        pick: |m, _| hop(m, Point::Nic, Point::Vif),
    },
    Metric {
        id: "hop_vif_rx",
        name: "mean time vif to rx",
        definition: "hop",
        unit: Unit::Ns,
        better: Better::Lower,
        least: None,
        pick: |m, _| hop(m, Point::Vif, Point::Rx),
    },
    Metric {
        id: "abs_ipdv_mean",
        name: "mean |IPDV|",
        definition: "ipdv",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(2.0),
        pick: |m, _| variation(m, m.abs_ipdv.map(|s| s.mean as f64)),
    },
    Metric {
        id: "pdv_p99",
        name: "p99 PDV",
        definition: "pdv",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(3.0),
        pick: |m, _| variation(m, m.pdv.map(|s| s.p99 as f64)),
    },
    Metric {
        id: "rfc3550_jitter_mean",
        name: "RFC 3550 jitter (mean of J)",
        definition: "rfc3550",
        unit: Unit::Ns,
        better: Better::Lower,
        least: None,
        pick: |m, _| variation(m, m.jitter_mean_ns),
    },
    Metric {
        id: "lost",
        name: "lost packets",
        definition: "loss",
        unit: Unit::Packets,
        better: Better::Lower,
        least: Some(0.1),
        pick: |m, _| Some((m.counts.lost as f64, Some(0.0))),
    },
    Metric {
        id: "reordered",
        name: "reordered packets",
        definition: "reordering",
        unit: Unit::Packets,
        better: Better::Lower,
        least: Some(0.1),
        pick: |m, _| Some((m.counts.reordered as f64, Some(0.0))),
    },
    Metric {
        id: "throughput",
        name: "throughput",
        definition: "throughput",
        unit: Unit::BitsPerSecond,
        better: Better::Higher,
        least: Some(1.0),
        pick: |m, _| Some((m.rates.throughput_bps, Some(0.0))),
    },
    Metric {
        id: "transactions",
        name: "transactions",
        definition: "transaction",
        unit: Unit::PerSecond,
        better: Better::Higher,
        least: Some(2.0),
        pick: |m, t| Some((transactions::per_s(&t.transactions, m.flow)?, Some(0.0))),
    },
    Metric {
        id: "round_trip_p50",
        name: "p50 round trip",
        definition: "round-trip",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(2.0),
        pick: |m, t| round_trip(m, t, |s| s.p50),
    },
    Metric {
        id: "round_trip_p99",
        name: "p99 round trip",
        definition: "round-trip",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(3.0),
        pick: |m, t| round_trip(m, t, |s| s.p99),
    },
    Metric {
        id: "tcp_goodput",
        name: "goodput of TCP",
        definition: "tcp-goodput",
        unit: Unit::BitsPerSecond,
        better: Better::Higher,
        least: Some(1.0),
        pick: |m, t| {
            Some((
                transactions::goodput_bps(&t.transactions, m.flow)?,
                Some(0.0),
            ))
        },
    },
    Metric {
        id: "tcp_retransmitted",
        name: "TCP segments sent again",
        definition: "tcp-repeats",
        unit: Unit::Packets,
        better: Better::Lower,
        least: None,
        pick: |m, t| {
            Some((
                transactions::retransmitted(&t.transactions, m.flow)?,
                Some(0.0),
            ))
        },
    },
    Metric {
        id: "dom0_cpu",
        name: "dom0 CPU",
        definition: "cpu",
        unit: Unit::PercentOfCpu,
        better: Better::Lower,
        least: None,
        // The CPU cannot be split between flows: only the row of all flows has it.
        pick: |m, t| match m.flow {
            None => Some((t.dom0()?.percent, None)),
            Some(_) => None,
        },
    },
    Metric {
        id: "dom0_cpu_per_packet",
        name: "dom0 CPU time a packet",
        definition: "cpu",
        unit: Unit::Ns,
        better: Better::Lower,
        least: Some(2.0),
        pick: |m, t| match m.flow {
            None => Some((t.dom0()?.ns_per_packet?, None)),
            Some(_) => None,
        },
    },
];

impl Metric {
    /// What a difference must be to matter, if this number is judged.
    pub fn least(&self, judge: &Judge, times_count: bool) -> Option<Least> {
        let timed = self.unit == Unit::Ns || self.unit == Unit::PercentOfCpu;
        if timed && !times_count {
            return None;
        }
        match judge.matters.get(self.id) {
            Some(Least::Ignored) => None,
            Some(least) => Some(*least),
            None => self.least.map(Least::Percent),
        }
    }

    /// The size used for a number that is not judged.
    pub fn usual(&self) -> Least {
        Least::Percent(self.least.unwrap_or(2.0))
    }

    /// The smallest difference that matters in the number's own unit, for a base of `base` and `sent` packets.
    pub fn smallest(&self, least: Least, base: f64, sent: f64) -> f64 {
        match least {
            Least::Ignored => 0.0,
            Least::Percent(percent) if self.unit == Unit::Packets => percent / 100.0 * sent,
            Least::Percent(percent) => percent / 100.0 * base.abs(),
            Least::Time(span) => span.nanos() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_know_the_same_names() {
        let ours: Vec<&str> = METRICS.iter().map(|m| m.id).collect();
        assert_eq!(ours, vifbench_scenarios::judge::METRICS);
    }
}
