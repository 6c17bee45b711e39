//! What flows that wait for answers have measured: transactions, round trips, goodput of TCP and what it sent again.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::plan::FlowPlan;
use vifbench_wire::protocol::{LoopDone, ProbeResult};

use crate::stats::Stats;

/// One flow of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transactions {
    /// Flow number.
    pub flow: u16,
    /// The guest that answers.
    pub to: String,
    /// As in the scenario: `closed_loop`, `tcp_rr` or `tcp_bulk`.
    pub kind: String,
    /// Requests that were answered in the measured part.
    pub transactions: u64,
    /// The same a second; none of a bulk transfer.
    pub per_s: Option<f64>,
    /// Round trips of those.
    pub round_trip: Option<Stats>,
    /// Requests without an answer, whole trial.
    pub unanswered: u64,
    /// Answers to nothing that was under way, whole trial.
    pub unexpected: u64,
    /// Packets or bytes that came to the generator or the guest other than they were sent, whole trial.
    pub corrupt: u64,
    /// Of TCP.
    pub tcp: Option<Tcp>,
}

/// What TCP did in the measured part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tcp {
    /// Payload that the guest acknowledged, bits a second.
    pub goodput_bps: f64,
    /// Segments sent again.
    pub retransmitted: u64,
    /// Segments with payload sent, repeats included.
    pub segments: u64,
    /// Of the payload sent, the share that was not a repeat; none where nothing was sent.
    pub efficiency: Option<f64>,
    /// The least round trip that the kernel saw, in microseconds.
    pub min_rtt_us: u32,
    /// The smoothed round trip at the end, in microseconds.
    pub smoothed_rtt_us: u32,
    /// Payload of a full segment.
    pub segment: u32,
    /// Congestion control.
    pub congestion: String,
}

/// Of every flow that waits for answers, in the plan's order.
pub fn transactions(results: &[(String, ProbeResult)], flows: &[FlowPlan]) -> Vec<Transactions> {
    let done = |flow: u16| {
        let loops = results.iter().filter_map(|(_, r)| r.sent.as_ref());
        loops.flat_map(|s| &s.loops).find(|l| l.flow == flow)
    };
    let corrupt_at_guest = |flow: u16| -> u64 {
        let responded = results.iter().flat_map(|(_, r)| &r.responded);
        let of_flow = responded.filter(|r| r.flow == flow);
        of_flow.map(|r| r.corrupt).sum()
    };
    flows
        .iter()
        .filter_map(|plan| {
            let mut row = of_flow(plan, done(plan.flow)?);
            row.corrupt += corrupt_at_guest(plan.flow);
            Some(row)
        })
        .collect()
}

fn of_flow(plan: &FlowPlan, done: &LoopDone) -> Transactions {
    let seconds = done.measured_ns as f64 / 1e9;
    let per_second = |n: f64| if seconds > 0.0 { n / seconds } else { 0.0 };
    let kind = plan.arrivals.word();
    Transactions {
        flow: plan.flow,
        to: plan.to.to_string(),
        kind: kind.to_owned(),
        transactions: done.transactions,
        per_s: (kind != "tcp_bulk").then(|| per_second(done.transactions as f64)),
        round_trip: done.round_trip.map(|q| Stats {
            n: q.count,
            min: q.min as i64,
            mean: q.mean as i64,
            p50: q.p50 as i64,
            p90: q.p90 as i64,
            p99: q.p99 as i64,
            p999: q.p999 as i64,
            max: q.max as i64,
        }),
        unanswered: done.unanswered,
        unexpected: done.unexpected,
        corrupt: done.corrupt,
        tcp: done.tcp.as_ref().map(|tcp| Tcp {
            goodput_bps: per_second(tcp.bytes_acked as f64 * 8.0),
            retransmitted: tcp.segments_retransmitted,
            segments: tcp.data_segments,
            efficiency: (tcp.bytes_sent > 0)
                .then(|| 1.0 - tcp.bytes_retransmitted as f64 / tcp.bytes_sent as f64),
            min_rtt_us: tcp.min_rtt_us,
            smoothed_rtt_us: tcp.smoothed_rtt_us,
            segment: tcp.segment,
            congestion: tcp.congestion.clone(),
        }),
    }
}

/// Transactions a second of one flow, or of all.
pub fn per_s(all: &[Transactions], flow: Option<u16>) -> Option<f64> {
    sum(all, flow, |t| t.per_s)
}

/// Goodput of TCP of one flow, or of all, bits a second.
pub fn goodput_bps(all: &[Transactions], flow: Option<u16>) -> Option<f64> {
    sum(all, flow, |t| Some(t.tcp.as_ref()?.goodput_bps))
}

/// Segments sent again by one flow, or by all.
pub fn retransmitted(all: &[Transactions], flow: Option<u16>) -> Option<f64> {
    sum(all, flow, |t| Some(t.tcp.as_ref()?.retransmitted as f64))
}

/// Round trips of one flow; of all only where there is no other: quantiles do not add up.
pub fn round_trip(all: &[Transactions], flow: Option<u16>) -> Option<Stats> {
    let mut of = all
        .iter()
        .filter(|t| flow.is_none_or(|flow| t.flow == flow))
        .filter_map(|t| t.round_trip);
    let first = of.next()?;
    of.next().is_none().then_some(first)
}

fn sum(
    all: &[Transactions],
    flow: Option<u16>,
    pick: impl Fn(&Transactions) -> Option<f64>,
) -> Option<f64> {
    all.iter()
        .filter(|t| flow.is_none_or(|flow| t.flow == flow))
        .filter_map(pick)
        .fold(None, |sum: Option<f64>, value| {
            Some(sum.unwrap_or(0.0) + value)
        })
}

#[cfg(test)]
mod tests {
    use vifbench_scenarios::lab::HostName;
    use vifbench_scenarios::scenario::{Arrivals, Protocol};
    use vifbench_scenarios::units::Size;
    use vifbench_wire::protocol::{Quantiles, Responded, Sent, TcpDone};

    use super::*;

    fn plan(flow: u16, arrivals: Arrivals) -> FlowPlan {
        FlowPlan {
            flow,
            to: HostName("u1".into()),
            protocol: Protocol::Tcp,
            size: Size::from_bytes(1518).into(),
            arrivals,
            seed: 1,
        }
    }

    #[test]
    fn rates_are_over_the_measured_part() {
        let requests = LoopDone {
            flow: 4,
            measured_ns: 2_000_000_000,
            transactions: 5000,
            round_trip: Some(Quantiles {
                count: 5000,
                p50: 300_000,
                ..Quantiles::default()
            }),
            ..LoopDone::default()
        };
        let bulk = LoopDone {
            flow: 5,
            measured_ns: 2_000_000_000,
            tcp: Some(TcpDone {
                bytes_acked: 1_000_000,
                bytes_sent: 1_250_000,
                bytes_retransmitted: 125_000,
                segments_retransmitted: 90,
                ..TcpDone::default()
            }),
            ..LoopDone::default()
        };
        let rr = Arrivals::TcpRr {
            request: Size::from_bytes(1),
            response: Size::from_bytes(1),
            outstanding: 1,
        };
        let plans = [
            plan(4, rr),
            plan(5, Arrivals::TcpBulk {}),
            plan(6, Arrivals::TcpBulk {}),
        ];
        let generator = ProbeResult {
            sent: Some(Sent {
                loops: vec![bulk, requests],
                ..Sent::default()
            }),
            ..ProbeResult::default()
        };
        let guest = ProbeResult {
            responded: vec![Responded {
                flow: 5,
                corrupt: 3,
                ..Responded::default()
            }],
            ..ProbeResult::default()
        };
        let results = [("gen".to_owned(), generator), ("u1".to_owned(), guest)];
        let all = transactions(&results, &plans);
        assert_eq!(all.len(), 2);
        assert_eq!(per_s(&all, None), Some(2500.0));
        assert_eq!(per_s(&all, Some(5)), None);
        assert_eq!(goodput_bps(&all, None), Some(4e6));
        assert_eq!(retransmitted(&all, Some(5)), Some(90.0));
        assert_eq!(all[1].tcp.as_ref().and_then(|t| t.efficiency), Some(0.9));
        assert_eq!(all[1].corrupt, 3);
        assert_eq!(round_trip(&all, None).map(|s| s.p50), Some(300_000));
        let twice = [all[0].clone(), all[0].clone()];
        assert_eq!(round_trip(&twice, None), None);
    }
}
