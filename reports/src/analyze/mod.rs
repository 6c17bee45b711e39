//! `vifbench analyze`: two captures, one before and one behind what is to be measured, without a run around them.
//!
//! Packets are known again (`identity`), joined (`pair`) and added up flow by flow (`flow`); what the clocks do
//! is read from the packets themselves where they tell (`clock`).

mod clock;
mod distribution;
mod flow;
mod identity;
mod outstanding;
mod pair;
mod source;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ReportError;
use crate::stats::Stats;
use clock::Clocks;
use distribution::Distribution;
use flow::Flow;
use identity::Rules;
use pair::{End, Totals, in_memory, resolution_ns, streaming};
pub use source::CaptureSide;
use source::glance;

/// A skew is not told where it may be wrong by more than this, unless it is larger still.
const SKEW_ERROR_MAX: f64 = 25e-6;
/// Memory that a packet takes at most, in bytes: see [`outstanding`].
const PACKET_MEMORY: u64 = 64;
/// Streaming, unless told otherwise: a packet that takes longer is lost (RFC 7680's Tmax).
const LONGEST_NS: i64 = 1_000_000_000;
/// How much of a compressed capture comes out of a byte of file, at least.
const COMPRESSION: u64 = 10;

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
    /// Lost by sent.
    pub ratio: f64,
    /// Runs of packets of one flow that were lost one after the other.
    pub runs: u64,
    /// Packets in a run, on average.
    pub mean_run: f64,
    /// The longest run.
    pub longest_run: u64,
    /// Of the lost, those sent before the first packet that arrived: perhaps the second capture began later.
    pub before_first: u64,
    /// Of the lost, those sent behind the last packet that arrived: perhaps the second capture ended sooner.
    pub after_last: u64,
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
    /// Packets in the first capture that can be known again, copies included.
    pub tx_packets: u64,
    /// Packets in the second capture that can be known again, copies included.
    pub rx_packets: u64,
    /// Packets in both, first copies.
    pub matched: u64,
    /// RFC 7680: in the first only.
    pub lost: u64,
    /// RFC 5560: further copies in the second.
    pub duplicated: u64,
    /// RFC 4737, in the second.
    pub reordered: u64,
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
    /// More on reordering.
    pub reordering: ReorderingSummary,
    /// The other direction.
    pub back: Option<Back>,
    /// Flows from the first to the second capture.
    pub flows: u64,
    /// Packets sent that look like one sent before: they are matched in order.
    pub look_alikes: u64,
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
    /// Streaming: a packet that takes longer counts as lost.
    pub longest_ns: Option<u64>,
}

/// Joins two captures packet by packet and measures the way between them.
///
/// # Errors
/// A capture cannot be read.
pub fn analyze_pair(tx: &Path, rx: &Path, options: &Options) -> Result<PairAnalysis, ReportError> {
    let from = End {
        path: tx,
        interface: options.tx_interface.as_deref(),
    };
    let to = End {
        path: rx,
        interface: options.rx_interface.as_deref(),
    };
    let (at_tx, at_rx) = (
        glance(from.path, from.interface)?,
        glance(to.path, to.interface)?,
    );
    // The same file: one capture process stamped both ends.
    let clock_bound_ns = options.clock_bound_ns.or(same_file(tx, rx).then_some(0));
    let rules = Rules {
        own: at_tx.own || at_rx.own,
        snaplen: at_tx.snaplen.min(at_rx.snaplen),
        two_way: clock_bound_ns.is_none(),
    };
    let mut warnings = Vec::new();
    let expected = size(tx) / at_tx.bytes_each;
    let crowded = free_memory().is_some_and(|free| expected * PACKET_MEMORY > free / 2);
    if crowded && !options.streaming {
        warnings.push(
            "the captures are too large for the memory at hand: read as with --streaming"
                .to_owned(),
        );
    }
    if same_file(tx, rx) && options.tx_interface == options.rx_interface {
        warnings.push(
            "both captures are the same file, and the same packets of it: each is its own twin, so that every delay is \
             zero; name the interface of each side with --tx-interface and --rx-interface"
                .to_owned(),
        );
    }
    let constant = options.streaming || crowded;
    let longest_ns = options
        .longest_ns
        .map_or(LONGEST_NS, |ns| i64::try_from(ns).unwrap_or(i64::MAX));
    let totals = if constant {
        streaming(from, to, rules, longest_ns)?
    } else {
        in_memory(
            from,
            to,
            rules,
            usize::try_from(expected).unwrap_or(usize::MAX).min(1 << 28),
        )?
    };
    Ok(Summary {
        totals,
        rules,
        paths: (tx.to_owned(), rx.to_owned()),
        streaming: constant,
        clock_bound_ns,
        warnings,
    }
    .finish())
}

/// Bytes of a capture, about as they are after decompression.
fn size(path: &Path) -> u64 {
    let compressed = path.extension().is_some_and(|e| e == "zst");
    let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if compressed {
        bytes * COMPRESSION
    } else {
        bytes
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
    real(a).is_some_and(|a| Some(a) == real(b))
}

/// From sums to what is told.
struct Summary {
    totals: Totals,
    rules: Rules,
    paths: (PathBuf, PathBuf),
    streaming: bool,
    clock_bound_ns: Option<u64>,
    warnings: Vec<String>,
}

impl Summary {
    fn finish(mut self) -> PairAnalysis {
        let resolution = resolution_ns(&self.totals.tx, &self.totals.rx);
        self.warn_of_captures();
        let all = std::mem::take(&mut self.totals.flows.list);
        let (forward, back): (Vec<Flow>, Vec<Flow>) = all
            .into_iter()
            .partition(|flow| self.totals.flows.forward(flow));
        let sum = |of: fn(&Flow) -> u64| forward.iter().map(of).sum::<u64>();
        let (sent, matched) = (sum(|f| f.sent), sum(|f| f.matched));
        let (duplicated, reordered) = (sum(|f| f.duplicated), sum(|f| f.reordering.reordered()));
        let (tx_copies, unmatched) = (self.totals.tx_copies, self.totals.unmatched);

        let skew = self.skew(resolution as f64);
        let bound_ns = match (self.totals.clocks, self.clock_bound_ns) {
            (Clocks::TwoWay(estimate), _) => Some(estimate.bound_ns + resolution as f64),
            // Stamps cut to whole microseconds are up to one off; whole nanoseconds are taken as they are.
            (_, Some(bound)) => Some(bound as f64 + if resolution > 1 { 1000.0 } else { 0.0 }),
            (Clocks::Unknown | Clocks::Rate { .. }, None) => None,
        };
        if bound_ns.is_none() {
            self.warnings.push(
                "no bound of the clocks was given, and no traffic came back to tell one: delays are not claimed, \
                 only their variation"
                    .to_owned(),
            );
        }
        let mut values = Values::of(&forward, !self.streaming);
        let without_skew = skew
            .filter(|skew| !skew.two_way)
            .and_then(|_| values.without_skew.stats());
        let raw = values.delay.stats();
        let spread = |stats: Option<Stats>| stats.map(Micros::from);
        let moved = sum(|f| f.jitter.moved());
        let jitter: f64 = forward.iter().map(|f| f.jitter.sum_ns()).sum();
        let rate = |bytes: u64| {
            let first = forward.iter().map(|f| f.first_rx_ns).min()?;
            let last = forward.iter().map(|f| f.last_rx_ns).max()?;
            let ns = last.checked_sub(first).filter(|ns| *ns > 0)?;
            Some(bytes as f64 * 8.0 / (ns as f64 / 1e9) / 1e6)
        };
        let lost = sent - matched;
        let runs = sum(|f| f.runs);
        let one = |part: u64, whole: u64| {
            if whole > 0 {
                part as f64 / whole as f64
            } else {
                0.0
            }
        };
        let negative = sum(|f| f.negative);
        self.warn_of_numbers(lost, matched, negative, bound_ns.is_some());
        let mut there = Values::of(&back, !self.streaming);
        let resolution_name = |side: &CaptureSide| {
            if side.nanoseconds {
                "nanoseconds"
            } else {
                "microseconds"
            }
        };
        PairAnalysis {
            tx_packets: sent + tx_copies,
            rx_packets: matched + duplicated + unmatched,
            matched,
            lost,
            duplicated,
            reordered,
            unmatched_rx: unmatched,
            negative_delay: negative,
            corrupt_rx: self.totals.rx.corrupt,
            delay_us: bound_ns.and_then(|_| spread(raw)),
            ipdv_us: spread(values.ipdv.stats()),
            pdv_us: spread(values.pdv.stats()),
            rfc3550_jitter_us: (moved > 0).then(|| jitter / moved as f64 / 1e3),
            rfc3550_jitter_last_us: match &forward[..] {
                [only] => only.jitter.last_ns().map(|last| last / 1e3),
                _ => None,
            },
            throughput_mbps: rate(sum(|f| f.rx_bytes)),
            skew_ppm: skew.map(|s| s.ppm),
            delay_bound_us: bound_ns.map(|b| b / 1e3),
            timestamp_source: format!(
                "not told by the files; tx in {}, rx in {}",
                resolution_name(&self.totals.tx),
                resolution_name(&self.totals.rx)
            ),
            warnings: self.warnings,
            skew_bound_ppm: skew.map(|s| s.bound_ppm),
            skew_method: skew.map(|s| if s.two_way { "two-way" } else { "one-way" }.to_owned()),
            pdv_without_skew_us: spread(without_skew),
            goodput_mbps: rate(sum(|f| f.payload_bytes)),
            loss: Loss {
                ratio: one(lost, sent),
                runs,
                mean_run: one(lost, runs),
                longest_run: forward.iter().map(|f| f.longest_run).max().unwrap_or(0),
                before_first: self.totals.lost_before,
                after_last: self.totals.lost_after,
            },
            reordering: ReorderingSummary {
                ratio: one(reordered, matched),
                max_extent: forward
                    .iter()
                    .map(|f| f.reordering.max_extent())
                    .max()
                    .unwrap_or(0),
                max_late_us: forward
                    .iter()
                    .map(|f| f.reordering.max_late_ns())
                    .max()
                    .unwrap_or(0) as f64
                    / 1e3,
            },
            back: (!back.is_empty()).then(|| Back {
                matched: back.iter().map(|f| f.matched).sum(),
                lost: self.totals.back_lost,
                delay_us: bound_ns.and_then(|_| spread(there.delay.stats())),
            }),
            flows: forward.len() as u64,
            look_alikes: self.totals.look_alikes,
            streaming: self.streaming,
            tx: self.totals.tx,
            rx: self.totals.rx,
        }
    }

    fn skew(&self, resolution_ns: f64) -> Option<Skew> {
        match self.totals.clocks {
            Clocks::Unknown => None,
            Clocks::TwoWay(estimate) => {
                let (from, to) = self.totals.span?;
                let length = (to - from) as f64;
                (length > 0.0).then(|| Skew {
                    ppm: estimate.skew * 1e6,
                    bound_ppm: 2.0 * estimate.bound_ns / length * 1e6,
                    two_way: true,
                })
            }
            Clocks::Rate { skew, .. } => {
                let error = self.totals.residue.as_ref()?.error(resolution_ns)?;
                (error <= SKEW_ERROR_MAX || error * 2.0 <= skew.abs()).then_some(Skew {
                    ppm: skew * 1e6,
                    bound_ppm: error * 1e6,
                    two_way: false,
                })
            }
        }
    }

    fn warn_of_captures(&mut self) {
        let own = self.rules.own;
        let totals = &self.totals;
        for (path, side) in [(&self.paths.0, &totals.tx), (&self.paths.1, &totals.rx)] {
            let path = path.display();
            let mut say = |n: u64, what: &str| {
                if n > 0 {
                    self.warnings.push(format!("{path}: {n} {what}"));
                }
            };
            say(side.foreign, "packets are not vifbench's and were left out");
            say(side.corrupt, "packets are damaged and were left out");
            say(
                side.cut,
                "packets are cut too short to be told from others and were left out: capture with a longer snap \
                 length",
            );
            say(side.untimed, "packets have no time stamp and were left out");
            say(
                side.super_packets,
                "packets are larger than any Ethernet frame: offload (GSO, GRO, LRO) joined segments before they \
                 were captured, so that they match only what was joined alike; switch it off with `ethtool -K \
                 INTERFACE gro off gso off tso off lro off`",
            );
            if side.super_packets == 0 {
                say(
                    side.over_mtu,
                    "packets are above 1500 B: jumbo frames, or segments joined by offload (GSO, GRO)",
                );
            }
            say(
                side.backwards,
                "stamps lie before that of the packet before",
            );
            if !own {
                say(side.not_ip, "frames are not IP and were left out");
            }
            if side.packets == 0 {
                self.warnings.push(format!("{path}: no packet in it"));
            } else if !side.nanoseconds {
                self.warnings
                    .push(format!("{path}: stamps are cut to microseconds"));
            }
        }
    }

    fn warn_of_numbers(&mut self, lost: u64, matched: u64, negative: u64, bounded: bool) {
        let mut say = |line: String| self.warnings.push(line);
        if self.totals.look_alikes > 0 {
            say(format!(
                "{} packets look like one that was sent before (same addresses, ports, IP id and payload): they are \
                 matched in order, so that where one of them is lost the delays of those behind it are wrong",
                self.totals.look_alikes
            ));
        }
        if self.totals.tx_copies > 0 {
            say(format!(
                "{} further copies at tx were left out",
                self.totals.tx_copies
            ));
        }
        if matched == 0 {
            say("no packet is in both captures".to_owned());
        } else if !self.totals.aligned {
            say(
                "the captures have no packet in common at their beginning: packets were matched as if the clocks \
                 agreed"
                    .to_owned(),
            );
        }
        let edges = self.totals.lost_before + self.totals.lost_after;
        if lost > 0 && edges > 0 {
            say(format!(
                "{edges} of the lost packets were sent before the first or behind the last that arrived: the second \
                 capture may have run for a shorter time"
            ));
        }
        if negative > 0 && bounded {
            say(format!(
                "{negative} packets have a negative delay: the clocks lie further apart than was said"
            ));
        }
        if self.totals.flows.crowded {
            say(
                "there are more flows than are told apart: the last ones are taken as one"
                    .to_owned(),
            );
        }
    }
}

/// How fast one clock runs against the other.
#[derive(Debug, Clone, Copy)]
struct Skew {
    ppm: f64,
    bound_ppm: f64,
    two_way: bool,
}

/// The values of several flows.
struct Values {
    delay: Distribution,
    ipdv: Distribution,
    pdv: Distribution,
    without_skew: Distribution,
}

impl Values {
    fn of(flows: &[Flow], exact: bool) -> Self {
        let mut all = Self {
            delay: Distribution::new(exact),
            ipdv: Distribution::new(exact),
            pdv: Distribution::new(exact),
            without_skew: Distribution::new(exact),
        };
        for flow in flows {
            all.delay.absorb(&flow.delay, 0);
            all.ipdv.absorb(&flow.ipdv, 0);
            // RFC 5481, section 4.2: each delay less the smallest of its flow.
            for (into, of) in [
                (&mut all.pdv, &flow.delay),
                (&mut all.without_skew, &flow.without_skew),
            ] {
                if let Some(least) = of.least() {
                    into.absorb(of, least.saturating_neg());
                }
            }
        }
        all
    }
}
