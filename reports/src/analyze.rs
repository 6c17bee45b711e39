//! `vifbench analyze`: two captures of vifbench's packets, one before and one behind what is to be measured, without a
//! run around them.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vifbench_probes::protocol::Point;

use crate::capture::{self, Content};
use crate::error::ReportError;
use crate::metrics::counts::Counts;
use crate::metrics::delay::{delays, ipdv, pdv};
use crate::metrics::jitter::rfc3550;
use crate::metrics::reordering::rfc4737;
use crate::packets::{Packet, index};
use crate::stats::Stats;

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

/// What two captures say; the keys are stable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairAnalysis {
    /// Test packets in the first capture, copies included.
    pub tx_packets: u64,
    /// Test packets in the second capture, copies included.
    pub rx_packets: u64,
    /// Packets in both, first copies.
    pub matched: u64,
    /// In the first only.
    pub lost: u64,
    /// Further copies in the second.
    pub duplicated: u64,
    /// RFC 4737, in the second.
    pub reordered: u64,
    /// In the second only.
    pub unmatched_rx: u64,
    /// Stamped earlier in the second than in the first.
    pub negative_delay: u64,
    /// Damaged packets in the second.
    pub corrupt_rx: u64,
    /// RFC 7679; null when no error bound was given, because the captures themselves carry none.
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
    /// Rate difference of the two clocks; null: it is not estimated from one-way captures.
    pub skew_ppm: Option<f64>,
    /// Error bound of `delay_us`, stamp resolution included; null when none can be claimed.
    pub delay_bound_us: Option<f64>,
    /// Where stamps come from, as far as the files tell.
    pub timestamp_source: String,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
}

/// One capture's own counts.
#[derive(Default)]
struct Side {
    packets: u64,
    foreign: u64,
    corrupt: u64,
    cut: u64,
    bytes: u64,
    first_ns: Option<i64>,
    last_ns: Option<i64>,
    nanoseconds: bool,
}

/// Joins two captures by flow and sequence number.
///
/// `clock_bound_ns`: how far the two clocks may lie apart (0 for one clock); without it no absolute delay is claimed.
///
/// # Errors
/// A capture cannot be read.
pub fn analyze_pair(
    tx: &Path,
    rx: &Path,
    clock_bound_ns: Option<u64>,
) -> Result<PairAnalysis, ReportError> {
    let mut packets: Vec<Packet> = Vec::new();
    let mut rows = HashMap::new();
    let from = read(tx, Point::Tx, &mut packets, &mut rows)?;
    let to = read(rx, Point::Rx, &mut packets, &mut rows)?;
    packets.sort_unstable_by_key(|p| (p.flow, p.seq));

    let mut warnings = Vec::new();
    for (path, side) in [(tx, &from), (rx, &to)] {
        let mut say = |n: u64, what: &str| {
            if n > 0 {
                warnings.push(format!("{}: {n} {what}", path.display()));
            }
        };
        say(side.foreign, "packets are not vifbench's and were left out");
        say(side.corrupt, "packets are damaged and were left out");
        say(
            side.cut,
            "packets are cut too short to be read and were left out",
        );
        if side.packets == 0 {
            warnings.push(format!("{}: no test packet in it", path.display()));
        }
        if !side.nanoseconds {
            warnings.push(format!(
                "{}: stamps are cut to microseconds",
                path.display()
            ));
        }
    }
    warnings.push("skew between the two clocks is not estimated".to_owned());
    let resolution = if from.nanoseconds && to.nanoseconds {
        0
    } else {
        1000
    };
    let bound = clock_bound_ns.map(|b| b.saturating_add(resolution));
    if bound.is_none() {
        warnings.push(
            "no bound of the clocks was given: delays are not claimed, only their variation"
                .to_owned(),
        );
    }

    let mut delay = Vec::new();
    let mut variation = Vec::new();
    let mut above_least = Vec::new();
    let (mut jitter_sum, mut jitter_moved, mut jitter_last) = (0.0, 0_u64, None);
    let mut counts = Counts::default();
    let mut flows = 0;
    for flow in packets.chunk_by(|a, b| a.flow == b.flow) {
        flows += 1;
        let mut arrived: Vec<&Packet> = flow.iter().filter(|p| p.arrival.is_some()).collect();
        arrived.sort_unstable_by_key(|p| p.arrival);
        let order: Vec<_> = arrived.iter().map(|p| (p.seq, true)).collect();
        let mut own = Counts::of(flow, |p| matches!(p, Point::Tx | Point::Rx));
        own.reordered = rfc4737(&order).reordered;
        counts.add(&own);
        let transits: Vec<i64> = arrived
            .iter()
            .filter_map(|p| p.between(Point::Tx, Point::Rx))
            .collect();
        if let Some(jitter) = rfc3550(&transits) {
            let moved = transits.len() as u64 - 1;
            jitter_sum += jitter.mean_ns * moved as f64;
            jitter_moved += moved;
            jitter_last = Some(jitter.last_ns);
        }
        let of_flow = delays(flow, Point::Tx, Point::Rx);
        variation.extend(ipdv(&of_flow));
        above_least.extend(pdv(&of_flow));
        delay.extend(of_flow.into_iter().map(|d| d.1));
    }
    let span = to
        .first_ns
        .zip(to.last_ns)
        .map(|(a, b)| b - a)
        .filter(|span| *span > 0);
    let resolution = |side: &Side| {
        if side.nanoseconds {
            "nanoseconds"
        } else {
            "microseconds"
        }
    };
    Ok(PairAnalysis {
        tx_packets: from.packets,
        rx_packets: to.packets,
        matched: counts.matched,
        lost: counts.lost,
        duplicated: counts.duplicated,
        reordered: counts.reordered,
        unmatched_rx: counts.unmatched,
        negative_delay: counts.negative,
        corrupt_rx: to.corrupt,
        delay_us: bound.and_then(|_| Stats::of(&mut delay)).map(Micros::from),
        ipdv_us: Stats::of(&mut variation).map(Micros::from),
        pdv_us: Stats::of(&mut above_least).map(Micros::from),
        rfc3550_jitter_us: (jitter_moved > 0).then(|| jitter_sum / jitter_moved as f64 / 1e3),
        rfc3550_jitter_last_us: jitter_last.filter(|_| flows == 1).map(|j| j / 1e3),
        throughput_mbps: span.map(|ns| to.bytes as f64 * 8.0 / (ns as f64 / 1e9) / 1e6),
        skew_ppm: None,
        delay_bound_us: bound.map(|b| b as f64 / 1e3),
        timestamp_source: format!(
            "not told by the files; tx in {}, rx in {}",
            resolution(&from),
            resolution(&to)
        ),
        warnings,
    })
}

fn read(
    path: &Path,
    point: Point,
    packets: &mut Vec<Packet>,
    rows: &mut HashMap<(u16, u32), usize>,
) -> Result<Side, ReportError> {
    let at = index(point);
    let mut side = Side::default();
    side.nanoseconds = capture::read(path, |seen| {
        let mark = match seen.content {
            Content::Ours(mark) => mark,
            Content::Foreign => return side.foreign += 1,
            Content::Corrupt => return side.corrupt += 1,
            Content::Cut => return side.cut += 1,
        };
        side.bytes += u64::from(seen.size);
        side.first_ns = Some(side.first_ns.map_or(seen.at_ns, |t| t.min(seen.at_ns)));
        side.last_ns = Some(side.last_ns.map_or(seen.at_ns, |t| t.max(seen.at_ns)));
        let row = *rows.entry((mark.flow, mark.seq)).or_insert_with(|| {
            packets.push(Packet {
                flow: mark.flow,
                seq: mark.seq,
                size: seen.size,
                payload: mark.payload,
                send_ns: mark.send_ns,
                due_ns: None,
                at_ns: [None; 4],
                copies: [0; 4],
                arrival: None,
                measured: true,
            });
            packets.len() - 1
        });
        let packet = &mut packets[row];
        if packet.at_ns[at].is_some() {
            packet.copies[at] += 1;
        } else {
            packet.at_ns[at] = Some(seen.at_ns);
            if point == Point::Rx {
                packet.arrival = Some(u32::try_from(side.packets).unwrap_or(u32::MAX));
            }
        }
        side.packets += 1;
    })?;
    Ok(side)
}
