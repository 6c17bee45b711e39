//! `vifbench analyze`: two captures, one before and one behind what is to be measured, without a run around them.
//!
//! What the captures are like is read from their packets (`facts`, `copies`). Packets are identified (`identity`), joined
//! (`pair`, `outstanding`, `align`) and added up flow by flow (`flow`); what the clocks do is read from the packets
//! themselves (`clock`, `steps`).

mod align;
mod as_is;
mod clock;
mod copies;
mod distribution;
mod facts;
mod files;
mod flow;
mod identity;
mod outstanding;
mod pair;
mod placed;
mod segments;
mod source;
mod steps;
mod summary;
mod warnings;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::stats::Stats;
use copies::CopyRules;
use facts::{Facts, SAMPLE};
use files::CaptureFile;
use identity::Rules;
use pair::{End, Job, Outcome, in_memory, streaming, wider};
pub use source::CaptureSide;
use source::{Manner, Source};
use summary::Summary;

/// Memory that a packet takes at most, in bytes: see [`outstanding`].
const PACKET_MEMORY: u64 = 64;
/// Streaming, unless requested otherwise: a packet that takes longer is lost (RFC 7680's Tmax).
const LONGEST_NS: i64 = 1_000_000_000;

/// [`Stats`] in microseconds, as other tools expect them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Micros {
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % are not above it.
    pub p90: f64,
    /// 99 % are not above it.
    pub p99: f64,
    /// 99.9 % are not above it.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

impl From<Stats> for Micros {
    fn from(s: Stats) -> Self {
        let us = |ns: i64| ns as f64 / 1e3;
        Self {
            min: us(s.min),
            mean: us(s.mean),
            p50: us(s.p50),
            p90: us(s.p90),
            p99: us(s.p99),
            p999: us(s.p999),
            max: us(s.max),
        }
    }
}

/// Loss (RFC 7680) and how it comes in runs (RFC 3357).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Loss {
    /// Lost by sent, of packets; those sent when the second capture was damaged are not among them.
    pub ratio: f64,
    /// Runs of packets of one flow that were lost one after the other.
    pub runs: u64,
    /// Packets in a run, on average.
    pub mean_run: f64,
    /// The longest run.
    pub longest_run: u64,
    /// Of the lost, those sent before the first packet that arrived: perhaps the second capture began later.
    pub before_first: u64,
    /// Sent behind the last packet that arrived: perhaps the second capture ended sooner. They are among the lost,
    /// unless the second capture is damaged: then it cannot hold them.
    pub after_last: u64,
}

/// Flows of TCP that were captured in packets of other lengths on the two sides, compared in bytes of their sequence
/// numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct InBytes {
    /// Such flows.
    pub flows: u64,
    /// Different bytes that were sent.
    pub sent: u64,
    /// Of them, those that never arrived.
    pub lost: u64,
}

/// Where the least delay jumped and stayed: a clock was set, or the path became another one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Jump {
    /// About when, by the clock of the first capture, in nanoseconds since 1970.
    pub at_ns: i64,
    /// By how much packets seem to take longer from then on.
    pub by_us: f64,
}

/// Reordering (RFC 4737).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ReorderingSummary {
    /// Reordered by received (section 4.1.3).
    pub ratio: f64,
    /// Greatest extent in packets (section 4.2), looked for among the last 65,536 arrivals.
    pub max_extent: u64,
    /// Greatest late time in microseconds (section 4.3).
    pub max_late_us: f64,
}

/// Packets that go from the second capture to the first, where there are such.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Back {
    /// In both.
    pub matched: u64,
    /// Sent at the second, never at the first.
    pub lost: u64,
    /// Delay (RFC 7679), with the same bound.
    pub delay_us: Option<Micros>,
}

/// What two captures say; the keys are stable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairAnalysis {
    /// Packets in the first capture that can be known again, without copies that the capture made.
    pub tx_packets: u64,
    /// Packets in the second capture that can be known again, without copies that the capture made.
    pub rx_packets: u64,
    /// Packets in both, first copies.
    pub matched: u64,
    /// RFC 7680: in the first only.
    pub lost: u64,
    /// RFC 5560: further copies in the second.
    pub duplicated: u64,
    /// RFC 4737, in the second; null where it cannot be said of any packet.
    pub reordered: Option<u64>,
    /// In the second only.
    pub unmatched_rx: u64,
    /// Stamped earlier in the second than in the first.
    pub negative_delay: u64,
    /// Damaged packets in the second.
    pub corrupt_rx: u64,
    /// RFC 7679; null when no error bound can be claimed.
    pub delay_us: Option<Micros>,
    /// RFC 3393, signed, within each flow.
    pub ipdv_us: Option<Micros>,
    /// RFC 5481, within each flow.
    pub pdv_us: Option<Micros>,
    /// RFC 3550: mean of J over the packets that moved it, all flows.
    pub rfc3550_jitter_us: Option<f64>,
    /// RFC 3550: the filter's last state; null with several flows.
    pub rfc3550_jitter_last_us: Option<f64>,
    /// Bits of the frames in the second capture (with FCS), from its first to its last stamp.
    pub throughput_mbps: Option<f64>,
    /// Rate of the second clock less that of the first; null where the packets do not tell.
    pub skew_ppm: Option<f64>,
    /// Error bound of `delay_us`, stamp resolution included; null when none can be claimed.
    pub delay_bound_us: Option<f64>,
    /// Where stamps come from, as far as the files tell.
    pub timestamp_source: String,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
    /// How far `skew_ppm` may be off.
    pub skew_bound_ppm: Option<f64>,
    /// `one-way` (Moon, Skelly and Towsley) or `two-way`.
    pub skew_method: Option<String>,
    /// RFC 5481, with the skew of `skew_ppm` taken out; null with a two-way estimate, where `pdv_us` is without it.
    pub pdv_without_skew_us: Option<Micros>,
    /// RFC 2647: bits of the payload of first copies, from the first to the last stamp.
    pub goodput_mbps: Option<f64>,
    /// Loss in runs.
    pub loss: Loss,
    /// More on reordering; null where it cannot be said of any packet.
    pub reordering: Option<ReorderingSummary>,
    /// The other direction.
    pub back: Option<Back>,
    /// Flows from the first to the second capture.
    pub flows: u64,
    /// Packets sent that look like one sent before: they are matched by their times.
    pub look_alikes: u64,
    /// Of the matched: look-alikes of which it cannot be said which one arrived. They have no delay and no order.
    #[serde(default)]
    pub ambiguous: u64,
    /// Copies that the captures themselves made, in both; they count nowhere else.
    #[serde(default)]
    pub copies: u64,
    /// Packets whose bytes arrived in packets of other lengths: neither matched nor lost.
    #[serde(default)]
    pub resegmented: u64,
    /// What is compared in bytes; null where nothing is.
    #[serde(default)]
    pub in_bytes: Option<InBytes>,
    /// Where the least delay jumped and stayed.
    #[serde(default)]
    pub jumps: Vec<Jump>,
    /// Why nothing was measured; null where something was.
    #[serde(default)]
    pub unmeasured: Option<String>,
    /// Memory was constant: quantiles are within 1/2048.
    pub streaming: bool,
    /// What the first capture held.
    pub tx: CaptureSide,
    /// What the second capture held.
    pub rx: CaptureSide,
}

/// How two captures are to be read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How far the two clocks may lie apart (0 for one clock).
    pub clock_bound_ns: Option<u64>,
    /// Only packets of this interface of the first capture: its name, or its number from 0.
    pub tx_interface: Option<String>,
    /// Only packets of this interface of the second capture.
    pub rx_interface: Option<String>,
    /// Constant memory; without it captures that would not fit half of the free memory are read so.
    pub streaming: bool,
    /// A packet that takes longer counts as lost.
    pub longest_ns: Option<u64>,
    /// A packet in a tunnel is always the packet that the tunnel carries. Else it is so unless many inner headers were cut
    /// off, where packets in tunnels are identified by the outer ones.
    pub decapsulate: bool,
}

/// Joins two captures packet by packet and measures the way between them. `-` is standard input.
///
/// # Errors
/// A capture cannot be read.
pub fn analyze_pair(tx: &Path, rx: &Path, options: &Options) -> Result<PairAnalysis, ReportError> {
    let same = same_file(tx, rx);
    // The same file: one capture process stamped both ends.
    let clock_bound_ns = options.clock_bound_ns.or(same.then_some(0));
    let mut warnings = Vec::new();
    if same && options.tx_interface == options.rx_interface {
        warnings.push(
            "both captures are the same file, and the same packets of it: each is its own twin, so that every delay is \
             zero; name the interface of each side with --tx-interface and --rx-interface"
                .to_owned(),
        );
    }
    let (tx, rx) = CaptureFile::pair(tx, rx)?;
    let ends = Ends {
        files: [tx, rx],
        interfaces: [options.tx_interface.clone(), options.rx_interface.clone()],
        two_way: clock_bound_ns.is_none(),
        decapsulate: options.decapsulate,
    };
    let mut plan = ends.first_plan()?;
    let expected = plan.facts[0].expected;
    let crowded = free_memory().is_some_and(|free| expected * PACKET_MEMORY > free / 2);
    if crowded && !options.streaming {
        warnings.push(
            "the captures are too large for the memory at hand: read as with --streaming"
                .to_owned(),
        );
    }
    let constant = options.streaming || crowded;
    let longest_ns = options
        .longest_ns
        .map(|ns| i64::try_from(ns).unwrap_or(i64::MAX / 4).min(i64::MAX / 4));
    let totals = loop {
        let job = Job {
            tx: ends.end(&plan, 0),
            rx: ends.end(&plan, 1),
            longest_ns,
            clock_bound_ns,
            expected,
        };
        let outcome = if constant {
            streaming(&job, longest_ns.unwrap_or(LONGEST_NS))?
        } else {
            in_memory(&job)?
        };
        match outcome {
            Outcome::Done(totals) => break totals,
            Outcome::Revise => plan = ends.whole_plan()?,
            Outcome::Disordered if constant => return Err(ends.disordered(&plan)),
            Outcome::Disordered => {
                for manner in &mut plan.manners {
                    manner.order = wider(manner.order);
                }
            }
        }
    };
    Ok(Summary {
        totals: *totals,
        rules: plan.manners[0].rules,
        set_back: plan.facts.each_ref().map(Facts::set_back),
        paths: ends.files.map(|file| file.path),
        streaming: constant,
        clock_bound_ns,
        warnings,
    }
    .finish())
}

/// Two captures and what the user said of them.
struct Ends {
    files: [CaptureFile; 2],
    interfaces: [Option<String>; 2],
    two_way: bool,
    decapsulate: bool,
}

/// How the captures are to be read, by what is known of them.
struct Plan {
    facts: [Facts; 2],
    manners: [Manner; 2],
}

impl Ends {
    fn end<'a>(&'a self, plan: &'a Plan, side: usize) -> End<'a> {
        End {
            file: &self.files[side],
            interface: self.interfaces[side].as_deref(),
            manner: &plan.manners[side],
        }
    }

    fn facts(&self, limit: u64) -> Result<[Facts; 2], ReportError> {
        let of =
            |side: usize| Facts::of(&self.files[side], self.interfaces[side].as_deref(), limit);
        Ok([of(0)?, of(1)?])
    }

    /// What the first packets show; whatever contradicts it later makes it be revised.
    fn first_plan(&self) -> Result<Plan, ReportError> {
        let facts = self.facts(SAMPLE)?;
        if facts.iter().any(|f| f.is_disordered() || f.places) {
            return self.whole_plan();
        }
        let plan = self.plan(facts, false, SAMPLE)?;
        let copied = |manner: &Manner| manner.copies.is_some();
        if plan.manners.iter().any(copied) {
            return self.whole_plan();
        }
        Ok(plan)
    }

    /// What all packets show.
    fn whole_plan(&self) -> Result<Plan, ReportError> {
        let facts = self.facts(u64::MAX)?;
        self.plan(facts, true, u64::MAX)
    }

    fn plan(&self, facts: [Facts; 2], surveyed: bool, limit: u64) -> Result<Plan, ReportError> {
        let inner = self.decapsulate || facts.iter().all(Facts::is_open);
        let rules = Rules {
            own: facts.iter().any(|f| f.own),
            hashed: facts
                .iter()
                .map(|f| f.hashed(inner))
                .min()
                .unwrap_or(usize::MAX),
            inner,
            two_way: self.two_way,
        };
        let mut manners = facts.each_ref().map(|facts| Manner {
            rules,
            order: facts.order(),
            copies: None,
            surveyed,
        });
        for (side, manner) in manners.iter_mut().enumerate() {
            // Looked for without refusing anything: what contradicts is found when the captures are read.
            let looking = Manner {
                copies: Some(CopyRules::none()),
                surveyed: true,
                ..manner.clone()
            };
            let interface = self.interfaces[side].as_deref();
            let mut source = Source::open(&self.files[side], interface, &looking)?;
            let copies = copies::survey(|| source.placed(), limit)?;
            manner.copies = copies.is_needed().then_some(copies);
        }
        Ok(Plan { facts, manners })
    }

    fn disordered(&self, plan: &Plan) -> ReportError {
        let side = usize::from(plan.manners[0].order == source::Order::Checked);
        ReportError::Capture {
            path: self.files[side].path.clone(),
            reason: "its stamps are too far out of order for --streaming: put it into order with `reordercap`, or \
                     analyze it without --streaming"
                .to_owned(),
            source: None,
        }
    }
}

fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    a == b || real(a).is_some_and(|a| Some(a) == real(b))
}
