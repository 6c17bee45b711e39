//! Variants against the first stock one, paired by block: the same seeds, the same point of the sweep.
//!
//! The unit of replication is the trial. What is said of a number rests on its pairs ([`crate::stats::paired`]); when it
//! counts is decided in one place, `decide`.

mod decide;
pub mod learn;
mod metrics;

use serde::{Deserialize, Serialize};
use vifbench_scenarios::judge::{Judge, JudgeBy};
use vifbench_scenarios::scenario::{Patches, Scenario, Variant};
use vifbench_scenarios::units::Rate;
use vifbench_store::Noise;

use self::metrics::{METRICS, Metric};
use crate::stats::paired::{self, Interval};
use crate::text;
use crate::trial_summary::TrialSummary;

pub use self::decide::{Threshold, ThresholdBy};
pub(crate) use self::metrics::{Better, better};

/// The chance of even one false alarm in a run that the verdict may have.
pub const LEVEL: f64 = 0.05;
/// The chance that an interval misses the truth.
const INTERVAL_LEVEL: f64 = 0.05;

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
    /// Transactions a second.
    PerSecond,
}

impl Unit {
    /// As it stands in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::BitsPerSecond => "bits-per-second",
            Self::PercentOfCpu => "percent-of-cpu",
            Self::Packets => "packets",
            Self::PerSecond => "per-second",
        }
    }

    /// The unit of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Ns,
            Self::BitsPerSecond,
            Self::PercentOfCpu,
            Self::Packets,
            Self::PerSecond,
        ]
        .into_iter()
        .find(|unit| unit.name() == name)
    }

    /// A difference with its sign and unit.
    pub fn difference(self, value: f64) -> String {
        let sign = if value > 0.0 { "+" } else { "" };
        match self {
            Self::Ns => text::signed_time(value),
            Self::BitsPerSecond => format!("{sign}{} Mbit/s", text::mbits(value)),
            Self::PercentOfCpu => format!("{sign}{} % of a CPU", text::three_digits(value)),
            Self::Packets => format!("{sign}{} packets", whole(value)),
            Self::PerSecond => format!("{sign}{}/s", text::three_digits(value)),
        }
    }

    /// A value with its unit.
    pub fn value(self, value: f64) -> String {
        match self {
            Self::Ns => text::time(value),
            Self::BitsPerSecond => format!("{} Mbit/s", text::mbits(value)),
            Self::PercentOfCpu => format!("{} %", text::three_digits(value)),
            Self::Packets => whole(value),
            Self::PerSecond => format!("{}/s", text::three_digits(value)),
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
    /// Its whole interval, widened by the error bound, is smaller than what matters.
    Small,
    /// Not shown to differ, and shown not to be worse by as much as matters: the worse end of the interval, widened by
    /// the error bound, is smaller than that.
    NotWorse,
    /// The pairs do not decide.
    CannotTell,
    /// Higher than the base: significant, large enough to matter, beyond bound and noise.
    Higher,
    /// Lower than the base, likewise.
    Lower,
}

impl Finding {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Equal,
        Self::Small,
        Self::NotWorse,
        Self::CannotTell,
        Self::Higher,
        Self::Lower,
    ];
}

/// What a difference that counts means for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// An improvement.
    Better,
    /// A regression.
    Worse,
    /// Neither, or not known.
    Neither,
}

/// Numbers whose comparison is worth a sentence at the top of a page and on a terminal; of the hops only the one that patches change.
const HEADLINES: [&str; 11] = [
    "delay_p50",
    "delay_p99",
    "hop_vif_rx",
    "abs_ipdv_mean",
    "lost",
    "throughput",
    "transactions",
    "round_trip_p50",
    "round_trip_p99",
    "tcp_goodput",
    "dom0_cpu",
];

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
    /// The verdict rests on it.
    pub judged: bool,
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
    /// 95 % confidence interval of the mean difference; none with too few pairs.
    pub interval: Option<Interval>,
    /// Chance, were the variants alike, that any judged number of the run differs as clearly, over all its looks. Of a
    /// number that is not judged: the same for it alone. None without any difference.
    pub p: Option<f64>,
    /// Mean difference in standard deviations of the differences (Hedges); none with too few pairs.
    pub effect: Option<f64>,
    /// Error bound of a difference: both sides' bounds together; none where none is known.
    pub bound: Option<f64>,
    /// What a difference must exceed to count, and why.
    pub threshold: Threshold,
    /// What can be said.
    pub finding: Finding,
    /// What that means.
    pub meaning: Meaning,
    /// The same as a sentence, which begins with `name`.
    pub sentence: String,
}

impl Comparison {
    /// Is it worth a sentence by itself? Of all flows together only.
    pub fn is_headline(&self) -> bool {
        self.flow.is_none() && HEADLINES.contains(&self.metric.as_str())
    }

    /// `shadow at 2000/s to u1`.
    pub fn place(&self) -> String {
        let rate = self.rate.map(|r| format!(" at {r}")).unwrap_or_default();
        match self.flow {
            Some(_) => format!("{}{rate} to {}", self.other, self.to),
            None => format!("{}{rate}, all flows", self.other),
        }
    }

    /// The verdict rests on it, and it is not decided.
    pub fn is_open(&self) -> bool {
        self.judged && self.finding == Finding::CannotTell
    }
}

/// The variant that others are held against: the first stock one, else the first.
pub fn base(variants: &[Variant]) -> Option<&Variant> {
    variants
        .iter()
        .find(|v| v.patches == Patches::Stock)
        .or_else(|| variants.first())
}

/// What trials are compared under.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The variants, the judge, the blocks at the first look.
    pub scenario: &'a Scenario,
    /// Noise learned from runs of a variant against itself.
    pub noise: &'a Noise,
}

impl Question<'_> {
    /// How often the same numbers are tested: variants besides the base, times looks.
    fn tests(&self) -> f64 {
        let others = self.scenario.variants.len().saturating_sub(1).max(1);
        let looks = self.scenario.judge.looks(self.scenario.blocks).len();
        (others * looks) as f64
    }

    /// Fewest blocks with which this scenario can be decided at all.
    pub fn least_blocks(&self) -> u32 {
        paired::least_blocks(LEVEL / self.tests())
    }
}

/// Every number of every other variant, at every point of the sweep, for every flow and for all.
pub fn compare(question: Question<'_>, trials: &[TrialSummary]) -> Vec<Comparison> {
    let variants = &question.scenario.variants;
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
        let mut of_variant = Vec::new();
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
                    let judge = &question.scenario.judge;
                    if let Some(c) = one(metric, judge, *rate, flow, &base.name, &other.name, &at) {
                        of_variant.push((metric, c));
                    }
                }
            }
        }
        decide::decide(question, &mut of_variant);
        found.extend(of_variant.into_iter().map(|(_, c)| c));
    }
    found
}

/// A comparison with everything but what is decided of it.
fn one(
    metric: &Metric,
    judge: &Judge,
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
        Some((row, (metric.pick)(row, trial)?))
    };
    let mut blocks: Vec<u32> = trials.iter().map(|t| t.block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let mut pairs = Vec::new();
    let mut bounds = Vec::new();
    let mut sent = 0.0;
    let mut guest = None;
    for block in blocks {
        let (Some((row, (x, x_bound))), Some((_, (y, y_bound)))) =
            (of(base, block), of(other, block))
        else {
            continue;
        };
        guest.get_or_insert_with(|| row.to.clone());
        sent += row.counts.sent as f64;
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
    let differences: Vec<f64> = pairs.iter().map(|p| p.difference).collect();
    let mean = differences.iter().sum::<f64>() / n;
    let min = differences.iter().copied().fold(f64::INFINITY, f64::min);
    let max = differences
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let base_mean = pairs.iter().map(|p| p.base).sum::<f64>() / n;
    // The bound of each pair holds for the mean of all: errors of separate trials may all point the same way.
    let bound = bounds
        .into_iter()
        .try_fold(0.0_f64, |worst, b| Some(worst.max(b?)));
    let percent = (base_mean != 0.0).then(|| mean / base_mean * 100.0);
    let times_count = trials.iter().all(|t| t.times_count);
    let least = match judge.by {
        JudgeBy::Differences => metric.least(judge, times_count),
        JudgeBy::Completeness => None,
    };
    let threshold = Threshold {
        // What is not judged has the same sentence, with its default size.
        least: metric.smallest(least.unwrap_or_else(|| metric.usual()), base_mean, sent / n),
        ..Threshold::default()
    };
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
        judged: least.is_some(),
        interval: paired::interval(&differences, INTERVAL_LEVEL, SEED),
        p: None,
        effect: paired::effect_size(&differences),
        pairs,
        mean,
        min,
        max,
        percent,
        bound,
        threshold,
        finding: Finding::CannotTell,
        meaning: Meaning::Neither,
        sentence: String::new(),
    })
}

/// Resamples and sampled signs are the same every time: a report is a function of its run.
const SEED: u64 = 20_050_815;

/// One number of one variant at one point for one flow, over its trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The variant.
    pub variant: String,
    /// Point of the sweep.
    pub rate: Option<Rate>,
    /// The guest, or `all`.
    pub to: String,
    /// Stable name of the number.
    pub metric: &'static str,
    /// Its name for a person.
    pub name: &'static str,
    /// Its definition.
    pub definition: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// One value a trial, in the order of the plan.
    pub values: Vec<f64>,
}

/// Every number of every variant, as the trials have it.
pub fn measured(trials: &[TrialSummary]) -> Vec<Measured> {
    let mut found: Vec<Measured> = Vec::new();
    for trial in trials {
        for row in trial.rows() {
            for metric in &METRICS {
                let Some((value, _)) = (metric.pick)(row, trial) else {
                    continue;
                };
                let same = found.iter_mut().find(|m| {
                    m.metric == metric.id
                        && m.variant == trial.variant
                        && m.rate == trial.rate
                        && m.to == row.to
                });
                match same {
                    Some(m) => m.values.push(value),
                    None => found.push(Measured {
                        variant: trial.variant.clone(),
                        rate: trial.rate,
                        to: row.to.clone(),
                        metric: metric.id,
                        name: metric.name,
                        definition: metric.definition,
                        unit: metric.unit,
                        values: vec![value],
                    }),
                }
            }
        }
    }
    found
}
