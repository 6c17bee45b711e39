//! From sums to what is reported.

use std::path::PathBuf;

use super::clock::Clocks;
use super::distribution::Distribution;
use super::flow::Flow;
use super::identity::Rules;
use super::pair::{Totals, resolution_ns};
use super::source::CaptureSide;
use super::{Back, InBytes, Jump, Loss, Micros, PairAnalysis, ReorderingSummary};
use crate::stats::Stats;

/// A skew is not reported where it may be wrong by more than this, unless it is larger still.
const SKEW_ERROR_MAX: f64 = 25e-6;

/// Everything that is known when both captures were read.
pub(super) struct Summary {
    pub totals: Totals,
    pub rules: Rules,
    /// By how much the clock of each capture was set back, as its own stamps show.
    pub set_back: [Option<i64>; 2],
    pub paths: [PathBuf; 2],
    pub streaming: bool,
    pub clock_bound_ns: Option<u64>,
    pub warnings: Vec<String>,
}

/// Sums over all flows that go from the first capture to the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub sent: u64,
    pub matched: u64,
    pub lost: u64,
    pub ambiguous: u64,
    pub resegmented: u64,
    pub unmeasured: u64,
    pub negative: u64,
    /// An error bound of the delays can be claimed.
    pub bounded: bool,
}

fn part(of: u64, whole: u64) -> f64 {
    if whole > 0 {
        of as f64 / whole as f64
    } else {
        0.0
    }
}

impl Summary {
    pub fn finish(mut self) -> PairAnalysis {
        let resolution = resolution_ns(&self.totals.tx, &self.totals.rx);
        let all = std::mem::take(&mut self.totals.flows.list);
        let in_bytes = self.in_bytes(&all);
        let (forward, back): (Vec<Flow>, Vec<Flow>) = all
            .into_iter()
            .partition(|flow| self.totals.flows.forward(flow));
        let sum = |of: fn(&Flow) -> u64| forward.iter().map(of).sum::<u64>();
        let skew = self.skew(resolution as f64);
        let bound_ns = match (self.totals.clocks, self.clock_bound_ns) {
            (Clocks::TwoWay(estimate), _) => Some(estimate.bound_ns + resolution as f64),
            // Stamps cut to whole microseconds are up to one off; whole nanoseconds are taken as they are.
            (_, Some(bound)) => Some(bound as f64 + if resolution > 1 { 1000.0 } else { 0.0 }),
            (Clocks::Unknown(_) | Clocks::Rate { .. }, None) => None,
        };
        let sums = Sums {
            sent: sum(|f| f.sent),
            matched: sum(|f| f.matched),
            lost: sum(Flow::lost),
            ambiguous: sum(|f| f.ambiguous),
            resegmented: sum(|f| f.resegmented),
            unmeasured: sum(|f| f.unmeasured),
            negative: sum(|f| f.negative),
            bounded: bound_ns.is_some(),
        };
        self.warn(sums, back.iter().map(|f| f.matched).sum());
        let mut values = Values::of(&forward, !self.streaming);
        let without_skew = skew
            .filter(|skew| !skew.two_way)
            .and_then(|_| values.without_skew.stats());
        let raw = values.delay.stats();
        let spread = |stats: Option<Stats>| stats.map(Micros::from);
        // The filter follows arrivals, before it is known where a clock was set.
        let steady = self.totals.steps.is_empty() || self.clock_bound_ns.is_some();
        let moved = if steady { sum(|f| f.jitter.moved()) } else { 0 };
        let jitter: f64 = forward.iter().map(|f| f.jitter.sum_ns()).sum();
        let rate = |bytes: u64| {
            let first = forward.iter().map(|f| f.first_rx_ns).min()?;
            let last = forward.iter().map(|f| f.last_rx_ns).max()?;
            let ns = last.checked_sub(first).filter(|ns| *ns > 0)?;
            Some(bytes as f64 * 8.0 / (ns as f64 / 1e9) / 1e6)
        };
        let runs = sum(|f| f.runs);
        let certain = sums.matched - sums.ambiguous;
        let ordered = certain > 0 || sums.matched == 0;
        let reordered = sum(|f| f.reordering.reordered());
        let unmeasured = self.nothing(sums);
        let duplicated = sum(|f| f.duplicated);
        let mut there = Values::of(&back, !self.streaming);
        let resolution_name = |side: &CaptureSide| {
            if side.nanoseconds {
                "nanoseconds"
            } else {
                "microseconds"
            }
        };
        PairAnalysis {
            tx_packets: sums.sent,
            rx_packets: sums.matched
                + duplicated
                + self.totals.unmatched
                + sum(|f| f.other_arrivals),
            matched: sums.matched,
            lost: sums.lost,
            duplicated,
            reordered: ordered.then_some(reordered),
            unmatched_rx: self.totals.unmatched,
            negative_delay: sums.negative,
            corrupt_rx: self.totals.rx.corrupt,
            delay_us: bound_ns.and_then(|_| spread(raw)),
            ipdv_us: spread(values.ipdv.stats()),
            pdv_us: spread(values.pdv.stats()),
            rfc3550_jitter_us: (moved > 0).then(|| jitter / moved as f64 / 1e3),
            rfc3550_jitter_last_us: match &forward[..] {
                [only] if steady => only.jitter.last_ns().map(|last| last / 1e3),
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
                ratio: part(sums.lost, sums.sent - sums.unmeasured),
                runs,
                mean_run: part(sums.lost, runs),
                longest_run: forward.iter().map(|f| f.longest_run).max().unwrap_or(0),
                before_first: self.totals.lost_before,
                after_last: self.totals.lost_after,
            },
            reordering: ordered.then(|| ReorderingSummary {
                ratio: part(reordered, certain),
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
            }),
            back: (!back.is_empty()).then(|| Back {
                matched: back.iter().map(|f| f.matched).sum(),
                lost: self.totals.back_lost,
                delay_us: bound_ns.and_then(|_| spread(there.delay.stats())),
            }),
            flows: forward.len() as u64,
            look_alikes: self.totals.look_alikes,
            ambiguous: sums.ambiguous,
            copies: self.totals.tx.copies + self.totals.rx.copies,
            resegmented: sums.resegmented,
            in_bytes,
            jumps: self
                .totals
                .steps
                .iter()
                .map(|step| Jump {
                    at_ns: step.at_ns(),
                    by_us: step.by_ns as f64 / 1e3,
                })
                .collect(),
            unmeasured,
            streaming: self.streaming,
            tx: self.totals.tx,
            rx: self.totals.rx,
        }
    }

    fn in_bytes(&self, flows: &[Flow]) -> Option<InBytes> {
        let mut all = InBytes::default();
        for (number, bytes) in &self.totals.in_bytes {
            if self.totals.flows.forward(&flows[*number as usize]) {
                all.flows += 1;
                all.sent += bytes.sent;
                all.lost += bytes.lost;
            }
        }
        (all.flows > 0).then_some(all)
    }

    fn skew(&self, resolution_ns: f64) -> Option<Skew> {
        match self.totals.clocks {
            Clocks::Unknown(_) => None,
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
