//! Variants against the first stock one, paired by block: the same seeds, the same point of the sweep.
//!
//! The unit of replication is the trial. With the few pairs that a run has, all of them are shown with their mean
//! and range; no p-value is made of them.

use serde::{Deserialize, Serialize};
use vifbench_probes::protocol::Point;
use vifbench_scenarios::scenario::{Patches, Variant};
use vifbench_scenarios::units::Rate;

use crate::metrics::flow::FlowMetrics;
use crate::stats::Stats;
use crate::summary::TrialSummary;
use crate::text;

/// What a compared number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bits a second.
    BitsPerSecond,
    /// Percent of one CPU.
    PercentOfCpu,
    /// Packets.
    Packets,
}

impl Unit {
    /// As it stands in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::BitsPerSecond => "bits-per-second",
            Self::PercentOfCpu => "percent-of-cpu",
            Self::Packets => "packets",
        }
    }

    /// A difference with its sign and unit.
    pub fn difference(self, value: f64) -> String {
        let sign = if value > 0.0 { "+" } else { "" };
        match self {
            Self::Ns => text::signed_time(value),
            Self::BitsPerSecond => format!("{sign}{} Mbit/s", text::mbits(value)),
            Self::PercentOfCpu => format!("{sign}{} % of a CPU", text::three_digits(value)),
            Self::Packets => format!("{sign}{} packets", whole(value)),
        }
    }

    /// A value with its unit.
    pub fn value(self, value: f64) -> String {
        match self {
            Self::Ns => text::time(value),
            Self::BitsPerSecond => format!("{} Mbit/s", text::mbits(value)),
            Self::PercentOfCpu => format!("{} %", text::three_digits(value)),
            Self::Packets => whole(value),
        }
    }
}

/// A count without decimals, a mean of counts with them.
fn whole(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        text::three_digits(value)
    }
}

/// A number that is compared.
struct Metric {
    /// Stable name in JSON and CSV.
    id: &'static str,
    /// For a person.
    name: &'static str,
    /// Entry of [`crate::definitions`].
    definition: &'static str,
    unit: Unit,
    /// Its value in one trial.
    pick: fn(&FlowMetrics, &TrialSummary) -> Option<Bounded>,
}

/// A value and its error bound; none where no bound is known.
type Bounded = (f64, Option<f64>);

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

const METRICS: [Metric; 14] = [
    Metric {
        id: "delay_mean",
        name: "mean delay",
        definition: "delay",
        unit: Unit::Ns,
        pick: |m, _| with_bound(m.delay, m.delay_bound_ns, |s| s.mean),
    },
    Metric {
        id: "delay_p50",
        name: "p50 delay",
        definition: "delay",
        unit: Unit::Ns,
        pick: |m, _| with_bound(m.delay, m.delay_bound_ns, |s| s.p50),
    },
    Metric {
        id: "delay_p99",
        name: "p99 delay",
        definition: "delay",
        unit: Unit::Ns,
        pick: |m, _| with_bound(m.delay, m.delay_bound_ns, |s| s.p99),
    },
    Metric {
        id: "hop_tx_nic",
        name: "mean time tx to nic",
        definition: "hop",
        unit: Unit::Ns,
        pick: |m, _| hop(m, Point::Tx, Point::Nic),
    },
    Metric {
        id: "hop_nic_vif",
        name: "mean time nic to vif",
        definition: "hop",
        unit: Unit::Ns,
        pick: |m, _| hop(m, Point::Nic, Point::Vif),
    },
    Metric {
        id: "hop_vif_rx",
        name: "mean time vif to rx",
        definition: "hop",
        unit: Unit::Ns,
        pick: |m, _| hop(m, Point::Vif, Point::Rx),
    },
    Metric {
        id: "abs_ipdv_mean",
        name: "mean |IPDV|",
        definition: "ipdv",
        unit: Unit::Ns,
        pick: |m, _| variation(m, m.abs_ipdv.map(|s| s.mean as f64)),
    },
    Metric {
        id: "pdv_p99",
        name: "p99 PDV",
        definition: "pdv",
        unit: Unit::Ns,
        pick: |m, _| variation(m, m.pdv.map(|s| s.p99 as f64)),
    },
    Metric {
        id: "rfc3550_jitter_mean",
        name: "RFC 3550 jitter (mean of J)",
        definition: "rfc3550",
        unit: Unit::Ns,
        pick: |m, _| variation(m, m.jitter_mean_ns),
    },
    Metric {
        id: "lost",
        name: "lost packets",
        definition: "loss",
        unit: Unit::Packets,
        pick: |m, _| Some((m.counts.lost as f64, Some(0.0))),
    },
    Metric {
        id: "reordered",
        name: "reordered packets",
        definition: "reordering",
        unit: Unit::Packets,
        pick: |m, _| Some((m.counts.reordered as f64, Some(0.0))),
    },
    Metric {
        id: "throughput",
        name: "throughput",
        definition: "throughput",
        unit: Unit::BitsPerSecond,
        pick: |m, _| Some((m.rates.throughput_bps, Some(0.0))),
    },
    Metric {
        id: "dom0_cpu",
        name: "dom0 CPU",
        definition: "cpu",
        unit: Unit::PercentOfCpu,
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
        pick: |m, t| match m.flow {
            None => Some((t.dom0()?.ns_per_packet?, None)),
            Some(_) => None,
        },
    },
];

/// Both sides of one block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The block.
    pub block: u32,
    /// The base's value.
    pub base: f64,
    /// The other's value.
    pub other: f64,
    /// Other less base.
    pub difference: f64,
}

/// What can be said of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Every pair is exactly equal.
    Equal,
    /// Smaller than the error bound, or pairs point both ways.
    CannotTell,
    /// Higher than the base in every pair, by more than the bound.
    Higher,
    /// Lower than the base in every pair, by more than the bound.
    Lower,
}

/// One number of one variant against the base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Point of the sweep.
    pub rate: Option<Rate>,
    /// Flow number; none for all flows.
    pub flow: Option<u16>,
    /// The guest, or `all`.
    pub to: String,
    /// The variant compared with.
    pub base: String,
    /// The variant compared.
    pub other: String,
    /// Stable name of the number.
    pub metric: String,
    /// Its name for a person.
    pub name: String,
    /// Its definition.
    pub definition: String,
    /// Its unit.
    pub unit: Unit,
    /// Every pair.
    pub pairs: Vec<Pair>,
    /// Mean difference.
    pub mean: f64,
    /// Smallest difference.
    pub min: f64,
    /// Largest difference.
    pub max: f64,
    /// Mean difference in percent of the base's mean; none where that is zero.
    pub percent: Option<f64>,
    /// Error bound of a difference: both sides' bounds together; none where none is known.
    pub bound: Option<f64>,
    /// What can be said.
    pub finding: Finding,
    /// The same as a sentence, which begins with `name`.
    pub sentence: String,
}

/// The variant that others are held against: the first stock one, else the first.
pub fn base(variants: &[Variant]) -> Option<&Variant> {
    variants
        .iter()
        .find(|v| v.patches == Patches::Stock)
        .or_else(|| variants.first())
}

/// Every number of every other variant, at every point of the sweep, for every flow and for all.
pub fn compare(variants: &[Variant], trials: &[TrialSummary]) -> Vec<Comparison> {
    let Some(base) = base(variants) else {
        return Vec::new();
    };
    let mut rates: Vec<Option<Rate>> = Vec::new();
    for trial in trials {
        if !rates.contains(&trial.rate) {
            rates.push(trial.rate);
        }
    }
    let mut found = Vec::new();
    for other in variants.iter().filter(|v| v.name != base.name) {
        for rate in &rates {
            let at: Vec<_> = trials
                .iter()
                .filter(|t| t.rate == *rate && t.total.is_some())
                .collect();
            let mut flows: Vec<Option<u16>> = Vec::new();
            for flow in at.iter().flat_map(|t| t.rows()).map(|m| m.flow) {
                if !flows.contains(&flow) {
                    flows.push(flow);
                }
            }
            for flow in flows {
                for metric in &METRICS {
                    found.extend(one(metric, *rate, flow, &base.name, &other.name, &at));
                }
            }
        }
    }
    found
}

fn one(
    metric: &Metric,
    rate: Option<Rate>,
    flow: Option<u16>,
    base: &str,
    other: &str,
    trials: &[&TrialSummary],
) -> Option<Comparison> {
    let of = |variant: &str, block: u32| {
        let trial = trials
            .iter()
            .find(|t| t.variant == variant && t.block == block)?;
        let row = trial.rows().find(|m| m.flow == flow)?;
        Some((row.to.clone(), (metric.pick)(row, trial)?))
    };
    let mut blocks: Vec<u32> = trials.iter().map(|t| t.block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let mut pairs = Vec::new();
    let mut bounds = Vec::new();
    let mut guest = None;
    for block in blocks {
        let (Some((to, (x, x_bound))), Some((_, (y, y_bound)))) =
            (of(base, block), of(other, block))
        else {
            continue;
        };
        guest.get_or_insert(to);
        pairs.push(Pair {
            block,
            base: x,
            other: y,
            difference: y - x,
        });
        bounds.push(x_bound.zip(y_bound).map(|(a, b)| a + b));
    }
    let to = guest?;
    let n = pairs.len() as f64;
    let differences = || pairs.iter().map(|p| p.difference);
    let mean = differences().sum::<f64>() / n;
    let min = differences().fold(f64::INFINITY, f64::min);
    let max = differences().fold(f64::NEG_INFINITY, f64::max);
    let base_mean = pairs.iter().map(|p| p.base).sum::<f64>() / n;
    // The bound of each pair holds for the mean of all: errors of separate trials may all point the same way.
    let bound = bounds
        .into_iter()
        .try_fold(0.0_f64, |worst, b| Some(worst.max(b?)));
    let percent = (base_mean != 0.0).then(|| mean / base_mean * 100.0);
    let (finding, sentence) = judge(
        metric,
        other,
        base,
        (mean, min, max),
        percent,
        bound,
        pairs.len(),
    );
    Some(Comparison {
        rate,
        flow,
        to,
        base: base.to_owned(),
        other: other.to_owned(),
        metric: metric.id.to_owned(),
        name: metric.name.to_owned(),
        definition: metric.definition.to_owned(),
        unit: metric.unit,
        pairs,
        mean,
        min,
        max,
        percent,
        bound,
        finding,
        sentence,
    })
}

fn judge(
    metric: &Metric,
    other: &str,
    base: &str,
    (mean, min, max): (f64, f64, f64),
    percent: Option<f64>,
    bound: Option<f64>,
    pairs: usize,
) -> (Finding, String) {
    let unit = metric.unit;
    let name = metric.name;
    let range = match pairs {
        1 => "one pair, no spread known".to_owned(),
        n => format!(
            "{n} pairs: {} to {}",
            unit.difference(min),
            unit.difference(max)
        ),
    };
    if min == 0.0 && max == 0.0 {
        let sentence = match pairs {
            1 => format!("{name}: equal in the one pair."),
            n => format!("{name}: equal in all {n} pairs."),
        };
        return (Finding::Equal, sentence);
    }
    let size = match percent {
        Some(percent) => {
            format!(
                "{} ({})",
                unit.difference(mean),
                text::signed_percent(percent)
            )
        }
        None => unit.difference(mean),
    };
    if let Some(bound) = bound
        && mean.abs() < bound
    {
        let sentence = format!(
            "{name}: {size}, difference below the bound of {}: cannot tell ({range}).",
            unit.value(bound)
        );
        return (Finding::CannotTell, sentence);
    }
    if min <= 0.0 && max >= 0.0 {
        let sentence = format!("{name}: {size}, pairs do not agree: cannot tell ({range}).");
        return (Finding::CannotTell, sentence);
    }
    let (finding, word) = if mean > 0.0 {
        (Finding::Higher, "higher")
    } else {
        (Finding::Lower, "lower")
    };
    let bound = match bound {
        Some(0.0) => "counted exactly".to_owned(),
        Some(bound) => format!("bound {}", unit.value(bound)),
        None => "no error bound known".to_owned(),
    };
    let sentence =
        format!("{name}: {word} with {other} than with {base} by {size} ({range}; {bound}).");
    (finding, sentence)
}
