//! Offered against achieved: what the schedule asked, what left the generator, what arrived.

use serde::{Deserialize, Serialize};
use vifbench_wire::protocol::Point;

use crate::packets::{Packet, TrialPackets};

/// Packets and bits a second over the measured part.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Mean rate of the scenario, packets a second; what was sent where packets wait for answers or go as fast as they can.
    pub offered_pps: f64,
    /// Packets a second in the capture at `tx`.
    pub achieved_pps: f64,
    /// Packets a second that arrived.
    pub received_pps: f64,
    /// Frames that arrived with their FCS, bits a second.
    pub throughput_bps: f64,
    /// UDP payload that arrived intact, first copies, bits a second.
    pub goodput_bps: f64,
}

impl Rates {
    /// Of the measured packets of one flow, over the measured part of `window_ns`; without a rate that was asked for, it
    /// is what was sent.
    pub fn of(packets: &[Packet], offered_pps: Option<f64>, window_ns: i64) -> Self {
        let seconds = window_ns as f64 / 1e9;
        if seconds <= 0.0 {
            return Self {
                offered_pps: offered_pps.unwrap_or_default(),
                ..Self::default()
            };
        }
        let measured = || packets.iter().filter(|p| p.measured);
        let sent = measured().filter(|p| p.at(Point::Tx).is_some()).count();
        let arrived = || measured().filter(|p| p.at(Point::Rx).is_some());
        let bits = |bytes: u64| bytes as f64 * 8.0 / seconds;
        let achieved_pps = sent as f64 / seconds;
        Self {
            offered_pps: offered_pps.unwrap_or(achieved_pps),
            achieved_pps,
            received_pps: arrived().count() as f64 / seconds,
            throughput_bps: bits(arrived().map(|p| u64::from(p.size)).sum()),
            goodput_bps: bits(arrived().map(|p| u64::from(p.payload)).sum()),
        }
    }

    /// Adds another flow's.
    pub fn add(&mut self, other: &Self) {
        self.offered_pps += other.offered_pps;
        self.achieved_pps += other.achieved_pps;
        self.received_pps += other.received_pps;
        self.throughput_bps += other.throughput_bps;
        self.goodput_bps += other.goodput_bps;
    }
}

/// Gap error: the gap between two packets of a flow at `tx` less the gap that the schedule has between them. Signed;
/// only of packets that are next to each other in the schedule. Free of any clock offset.
pub fn gap_errors(packets: &[Packet]) -> Vec<i64> {
    packets
        .windows(2)
        .filter(|pair| pair[0].measured && pair[1].measured)
        .filter(|pair| pair[1].seq == pair[0].seq.wrapping_add(1))
        .filter_map(|pair| {
            let sent = pair[1].at(Point::Tx)? - pair[0].at(Point::Tx)?;
            Some(sent - (pair[1].due_ns? - pair[0].due_ns?))
        })
        .collect()
}

/// Packets a second over time, in bins of equal length, warm-up included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Series {
    /// Start of the first bin, from the start of the measured part; negative in the warm-up.
    pub from_ns: i64,
    /// Length of a bin.
    pub bin_ns: i64,
    /// Packets due in each bin, by the schedule.
    pub due: Vec<u32>,
    /// Packets stamped at `tx`.
    pub tx: Vec<u32>,
    /// Packets stamped at `rx`, by their send time: a gap shows what was lost, not what was late.
    pub rx: Vec<u32>,
}

/// Bins in the measured part of a figure.
const BINS: i64 = 40;

impl Series {
    /// Of all packets of a trial. Packets outside warm-up and measured part (late ones) go to the nearest bin.
    pub fn of(trial: &TrialPackets, warmup_ns: i64) -> Self {
        let (measure_from_ns, window_ns) = (trial.measure_from_ns, trial.window_ns);
        let bin_ns = (window_ns / BINS).max(1);
        let before = warmup_ns.max(0) / bin_ns;
        let bins = (before + BINS) as usize;
        let mut series = Self {
            from_ns: -before * bin_ns,
            bin_ns,
            due: vec![0; bins],
            tx: vec![0; bins],
            rx: vec![0; bins],
        };
        let bin = |at: i64| {
            let from = at
                .saturating_sub(measure_from_ns)
                .saturating_sub(-before * bin_ns);
            from.div_euclid(bin_ns).clamp(0, bins as i64 - 1) as usize
        };
        for due in &trial.due_ns {
            series.due[bin(measure_from_ns.saturating_add(due - warmup_ns))] += 1;
        }
        for packet in &trial.packets {
            if let Some(tx) = packet.at(Point::Tx) {
                series.tx[bin(tx)] += 1;
            }
            if packet.at(Point::Rx).is_some() {
                series.rx[bin(packet.send_ns)] += 1;
            }
        }
        series
    }
}
