//! All metrics of one flow in one trial, and of all its flows together.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::plan::FlowPlan;
use vifbench_wire::protocol::Point;

use crate::clock::{End, hop_bound};
use crate::metrics::counts::Counts;
use crate::metrics::delay::{Hop, delays, hops_of, ipdv, pdv};
use crate::metrics::jitter::Jitter;
use crate::metrics::rate::{Rates, gap_errors};
use crate::metrics::reordering::Reordering;
use crate::packets::{Packet, TrialPackets};
use crate::stats::Stats;

/// One row of `trials.parquet`: the metrics of one flow, or of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowMetrics {
    /// Flow number; none in the row of all flows.
    pub flow: Option<u16>,
    /// The guest that receives it; `all` in the row of all flows.
    pub to: String,
    /// Fates.
    pub counts: Counts,
    /// Rates.
    pub rates: Rates,
    /// Gap to the packet before at `tx`, less that of the schedule.
    pub gap_error: Option<Stats>,
    /// `tx` stamp less the send time in the payload, both of the generator's clock.
    pub send_to_tx: Option<Stats>,
    /// One-way delay `tx` to `rx`; none when no error bound can be claimed.
    pub delay: Option<Stats>,
    /// Error bound of every delay.
    pub delay_bound_ns: Option<i64>,
    /// Worst resolution of the stamps at `tx` and `rx`: 1 or 1000 ns.
    pub resolution_ns: i64,
    /// Signed IPDV.
    pub ipdv: Option<Stats>,
    /// |IPDV|.
    pub abs_ipdv: Option<Stats>,
    /// PDV.
    pub pdv: Option<Stats>,
    /// RFC 3550 jitter. In the row of all flows the mean over their packets, and no last state.
    pub jitter_mean_ns: Option<f64>,
    /// The filter's last state.
    pub jitter_last_ns: Option<f64>,
    /// Hop by hop.
    pub hops: Vec<Hop>,
}

/// The values behind a [`FlowMetrics`], for figures and for joining flows.
#[derive(Debug, Clone, Default)]
pub struct FlowValues {
    /// One-way delays, sorted; empty without a bound.
    pub delay: Vec<i64>,
    /// |IPDV|, sorted.
    pub abs_ipdv: Vec<i64>,
    /// Signed IPDV.
    ipdv: Vec<i64>,
    /// PDV, sorted.
    pub pdv: Vec<i64>,
    gap_error: Vec<i64>,
    send_to_tx: Vec<i64>,
    hops: Vec<Vec<i64>>,
    /// Packets that moved the jitter filter.
    jitter_packets: u64,
}

impl FlowValues {
    /// Lets go of what no figure shows: of ten million packets it would be half a gigabyte.
    pub(crate) fn keep_for_figures(&mut self) {
        *self = Self {
            delay: std::mem::take(&mut self.delay),
            abs_ipdv: std::mem::take(&mut self.abs_ipdv),
            pdv: std::mem::take(&mut self.pdv),
            jitter_packets: self.jitter_packets,
            ..Self::default()
        };
    }
}

/// Metrics of one flow. `only_flow`: its guest receives no other.
pub fn of_flow(
    trial: &TrialPackets,
    plan: &FlowPlan,
    only_flow: bool,
) -> (FlowMetrics, FlowValues) {
    let first = trial.packets.partition_point(|p| p.flow < plan.flow);
    let last = trial.packets.partition_point(|p| p.flow <= plan.flow);
    let packets = &trial.packets[first..last];
    let guest = plan.to.0.as_str();
    let has = |point| trial.end(guest, point).is_some();

    let mut counts = Counts::of(packets, has);
    let mut arrived: Vec<&Packet> = packets.iter().filter(|p| p.arrival.is_some()).collect();
    arrived.sort_unstable_by_key(|p| p.arrival);
    let mut reordering = Reordering::default();
    for packet in &arrived {
        let at = packet.at(Point::Rx).unwrap_or_default();
        reordering.push(u64::from(packet.seq), at, packet.measured);
    }
    counts.corrupt = only_flow.then(|| corrupt(trial, Some(guest)));
    counts.late = Counts::late(packets, trial.start_ns);
    counts.reordered = reordering.reordered();
    counts.reorder_extent = reordering.max_extent();

    let bound = |from, to| hop_bound(trial.end(guest, from)?, trial.end(guest, to)?);
    let delay_bound_ns = bound(Point::Tx, Point::Rx);
    let raw = delays(packets, Point::Tx, Point::Rx);
    let mut jitter = Jitter::default();
    jitter.extend(
        arrived
            .iter()
            .filter(|p| p.measured)
            .filter_map(|p| p.between(Point::Tx, Point::Rx)),
    );

    let changes = ipdv(&raw);
    let mut values = FlowValues {
        delay: match delay_bound_ns {
            Some(_) => raw.iter().map(|d| d.1).collect(),
            None => Vec::new(),
        },
        abs_ipdv: changes.iter().copied().map(i64::abs).collect(),
        ipdv: changes,
        pdv: pdv(&raw),
        gap_error: gap_errors(packets),
        send_to_tx: packets
            .iter()
            .filter(|p| p.measured)
            .filter_map(|p| Some(p.at(Point::Tx)? - p.send_ns))
            .collect(),
        hops: Vec::new(),
        jitter_packets: jitter.moved(),
    };
    let mut hops = Vec::new();
    for (from, to) in hops_of(has) {
        let bound_ns = bound(from, to);
        let mut times: Vec<i64> = delays(packets, from, to).into_iter().map(|d| d.1).collect();
        let negative = times.iter().filter(|t| **t < 0).count() as u64;
        if bound_ns.is_none() {
            times.clear();
        }
        hops.push(Hop {
            from,
            to,
            time: Stats::select(&mut times),
            bound_ns,
            negative,
            lost: lost_between(packets, from, to),
        });
        values.hops.push(times);
    }
    let metrics = FlowMetrics {
        flow: Some(plan.flow),
        to: guest.to_owned(),
        counts,
        rates: Rates::of(packets, offered_pps(trial, plan), trial.window_ns),
        gap_error: Stats::select(&mut values.gap_error),
        send_to_tx: Stats::select(&mut values.send_to_tx),
        delay: Stats::of(&mut values.delay),
        delay_bound_ns,
        resolution_ns: resolution(&[trial.end(guest, Point::Tx), trial.end(guest, Point::Rx)]),
        ipdv: Stats::select(&mut values.ipdv),
        abs_ipdv: Stats::of(&mut values.abs_ipdv),
        pdv: Stats::of(&mut values.pdv),
        jitter_mean_ns: jitter.mean_ns(),
        jitter_last_ns: jitter.last_ns(),
        hops,
    };
    (metrics, values)
}

/// The rate that was asked for: the scenario's, or that of the packets due in the measured part. None where packets wait
/// for answers or go as fast as they can: such a flow offers what it sends.
fn offered_pps(trial: &TrialPackets, plan: &FlowPlan) -> Option<f64> {
    if let Some(rate) = plan.arrivals.rate() {
        return Some(rate.per_sec_f64());
    }
    let due = *trial.due_measured.get(&plan.flow)?;
    Some(due as f64 / (trial.window_ns.max(1) as f64 / 1e9))
}

/// Damaged packets that arrived in the measured part, at one guest or at all.
fn corrupt(trial: &TrialPackets, guest: Option<&str>) -> u64 {
    trial
        .corrupt_at_rx
        .iter()
        .filter(|(_, at)| *at >= trial.measure_from_ns)
        .filter(|(of, _)| guest.is_none() || of.as_deref() == guest)
        .count() as u64
}

fn resolution(ends: &[Option<&End>]) -> i64 {
    if ends.iter().flatten().all(|end| end.nanoseconds) {
        1
    } else {
        1000
    }
}

/// Measured packets that `from` saw, and neither `to` nor any later point.
fn lost_between(packets: &[Packet], from: Point, to: Point) -> u64 {
    let later = crate::packets::index(to);
    packets
        .iter()
        .filter(|p| p.measured && p.at(from).is_some())
        .filter(|p| p.at_ns[later..].iter().all(Option::is_none))
        .count() as u64
}

/// All flows of a trial as one row: counts and rates add up, times are pooled. IPDV and PDV stay those within each
/// flow. A delay is claimed only where every flow has a bound, with the largest of them.
pub fn total(trial: &TrialPackets, flows: &[(FlowMetrics, FlowValues)]) -> FlowMetrics {
    let mut counts = Counts::default();
    let mut rates = Rates::default();
    for (metrics, _) in flows {
        counts.add(&metrics.counts);
        rates.add(&metrics.rates);
    }
    counts.corrupt = Some(corrupt(trial, None));
    let pool = |pick: fn(&FlowValues) -> &Vec<i64>| {
        let mut all: Vec<i64> = flows.iter().flat_map(|(_, v)| pick(v)).copied().collect();
        Stats::select(&mut all)
    };
    let delay_bound_ns = flows
        .iter()
        .map(|(m, _)| m.delay_bound_ns)
        .try_fold(0, |worst, bound| Some(worst.max(bound?)));
    let moved: u64 = flows.iter().map(|(_, v)| v.jitter_packets).sum();
    let jitter_sum: f64 = flows
        .iter()
        .filter_map(|(m, v)| Some(m.jitter_mean_ns? * v.jitter_packets as f64))
        .sum();
    FlowMetrics {
        flow: None,
        to: "all".to_owned(),
        counts,
        rates,
        gap_error: pool(|v| &v.gap_error),
        send_to_tx: pool(|v| &v.send_to_tx),
        delay: delay_bound_ns.and_then(|_| pool(|v| &v.delay)),
        delay_bound_ns,
        resolution_ns: flows
            .iter()
            .map(|(m, _)| m.resolution_ns)
            .max()
            .unwrap_or(1),
        ipdv: pool(|v| &v.ipdv),
        abs_ipdv: pool(|v| &v.abs_ipdv),
        pdv: pool(|v| &v.pdv),
        jitter_mean_ns: (moved > 0).then(|| jitter_sum / moved as f64),
        jitter_last_ns: None,
        hops: total_hops(flows),
    }
}

/// Pooled hops, where all flows passed the same points; otherwise none.
fn total_hops(flows: &[(FlowMetrics, FlowValues)]) -> Vec<Hop> {
    let Some((first, _)) = flows.first() else {
        return Vec::new();
    };
    let path = |m: &FlowMetrics| m.hops.iter().map(|h| (h.from, h.to)).collect::<Vec<_>>();
    if flows.iter().any(|(m, _)| path(m) != path(first)) {
        return Vec::new();
    }
    (0..first.hops.len())
        .map(|i| {
            let of = |m: &FlowMetrics| m.hops[i].clone();
            let bound_ns = flows
                .iter()
                .map(|(m, _)| of(m).bound_ns)
                .try_fold(0, |worst, bound| Some(worst.max(bound?)));
            let mut all: Vec<i64> = flows.iter().flat_map(|(_, v)| v.hops[i].clone()).collect();
            Hop {
                from: first.hops[i].from,
                to: first.hops[i].to,
                time: bound_ns.and_then(|_| Stats::select(&mut all)),
                bound_ns,
                negative: flows.iter().map(|(m, _)| of(m).negative).sum(),
                lost: flows.iter().map(|(m, _)| of(m).lost).sum(),
            }
        })
        .collect()
}
