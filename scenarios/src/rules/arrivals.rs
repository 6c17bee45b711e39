//! The spacing of a flow.

use crate::file::Faults;
use crate::scenario::{Arrivals, FrameSize, Scenario, Traffic};
use crate::units::{Rate, Size, Span};
use crate::yaml::Step;

/// Sequence numbers are 32 bits wide.
const MAX_PACKETS: f64 = 4_294_967_295.0;
/// As many requests of a closed loop may be under way.
const MAX_OUTSTANDING: u32 = 65_535;
/// As many packets may be due at once.
const MAX_BURST: u32 = 1 << 20;
/// A message of a TCP request and response.
const MAX_MESSAGE: Size = Size::from_bytes(1 << 20);
/// Of a capture's own speed.
const SPEEDS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;
/// Each TCP flow has a port of its own in the guest.
const MAX_TCP_FLOW: usize = 4096;

/// What is wrong with the spacing of a flow.
pub(super) fn check(scenario: &Scenario, flow: usize, traffic: &Traffic, faults: &mut Faults<'_>) {
    let arrivals = &traffic.arrivals;
    let at = |key: &str| -> [Step; 5] {
        [
            "traffic".into(),
            flow.into(),
            "arrivals".into(),
            arrivals.word().into(),
            key.into(),
        ]
    };
    transport(flow, traffic, faults);
    if let Some(mean) = arrivals.rate() {
        let key = if matches!(arrivals, Arrivals::Saturate { .. }) {
            "cap"
        } else {
            "rate"
        };
        rate(scenario, mean, &at(key), faults);
    } else if !scenario.sweep.rate.is_empty() {
        faults.add(
            &["sweep".into(), "rate".into()],
            format!(
                "`traffic[{flow}]` is a `{}`, which has no rate to sweep",
                arrivals.word()
            ),
            "remove the sweep of rates, or the flow",
        );
    }
    let fastest = |rate: Rate| {
        let swept = scenario.sweep.rate.iter().copied();
        swept.chain([rate]).max().unwrap_or(rate)
    };
    let too_slow = |peak: Rate, fastest: Rate| {
        (
            format!("bursts at {peak} leave no silence at a mean of {fastest}"),
            "give a rate within bursts that is above every mean rate",
        )
    };
    match arrivals {
        Arrivals::Cbr { .. }
        | Arrivals::Poisson { .. }
        | Arrivals::Saturate { .. }
        | Arrivals::TcpBulk {} => {}
        Arrivals::OnOff {
            rate,
            peak,
            burst,
            shape,
        } => {
            let fastest = fastest(*rate);
            if *peak <= fastest {
                let (what, mend) = too_slow(*peak, fastest);
                faults.add(&at("peak"), what, mend);
            }
            if !burst.is_finite() || *burst < 1.0 {
                faults.add(
                    &at("burst"),
                    format!("a mean of {burst} packets a burst cannot be"),
                    "give 1 or more, as in `11`",
                );
            }
            if !shape.is_finite() || *shape <= 1.0 {
                faults.add(
                    &at("shape"),
                    format!("a Pareto law with a shape of {shape} has no mean"),
                    "give a shape above 1, as in `1.5`",
                );
            }
        }
        Arrivals::Bursts { rate, burst, peak } => {
            if !(1..=MAX_BURST).contains(burst) {
                faults.add(
                    &at("burst"),
                    format!("a burst of {burst} packets cannot be"),
                    format!("give 1 to {MAX_BURST}"),
                );
            }
            let fastest = fastest(*rate);
            if let Some(peak) = peak
                && *peak <= fastest
            {
                let (what, mend) = too_slow(*peak, fastest);
                faults.add(&at("peak"), what, mend);
            }
        }
        Arrivals::Ramp { from, to, over } => {
            if *over == Span::default() {
                faults.add(
                    &at("over"),
                    "a ramp that takes no time is no ramp",
                    "give a time above zero, as in `10 s`",
                );
            }
            if from.max(to) == &Rate::default() {
                faults.add(
                    &at("to"),
                    "a ramp from zero to zero sends nothing",
                    "give a rate above zero, as in `2000/s`",
                );
            } else {
                number(scenario, *from.max(to), &at("to"), faults);
            }
        }
        Arrivals::ClosedLoop {
            round_trip,
            outstanding,
            samples,
        } => {
            if *round_trip == Span::default() {
                faults.add(
                    &at("round_trip"),
                    "with a round trip of zero, requests without end would be sent in no time",
                    "give a time above zero, as in `500 us`",
                );
            }
            under_way(*outstanding, &at("outstanding"), faults);
            let seconds = round_trip.secs_f64();
            let most = f64::from(*outstanding) * scenario.duration.secs_f64() / seconds;
            if *samples == Some(0) {
                faults.add(
                    &at("samples"),
                    "0 samples measure nothing",
                    "ask for at least 1",
                );
            } else if samples.is_none() && seconds > 0.0 && most > MAX_PACKETS {
                faults.add(
                    &at("round_trip"),
                    format!("a round trip of {round_trip} for {} is more than a flow can number ({MAX_PACKETS})", scenario.duration),
                    "lengthen the round trip or shorten the duration",
                );
            }
        }
        Arrivals::Trace { file, speed } => {
            if file.as_os_str().is_empty() {
                faults.add(
                    &at("file"),
                    "no capture is named",
                    "give the path of a pcap file",
                );
            }
            if !SPEEDS.contains(speed) {
                faults.add(
                    &at("speed"),
                    format!("time cannot run {speed} times as fast"),
                    "give a number above zero, as in `2`; at most a million, at least a millionth",
                );
            }
        }
        Arrivals::TcpRr {
            request,
            response,
            outstanding,
        } => {
            under_way(*outstanding, &at("outstanding"), faults);
            for (key, size) in [("request", *request), ("response", *response)] {
                if size == Size::default() || size > MAX_MESSAGE {
                    faults.add(
                        &at(key),
                        format!("a {key} of {size} cannot be"),
                        format!("give 1 B to {MAX_MESSAGE} of payload"),
                    );
                }
            }
        }
    }
}

/// Whether protocol, size and number of the flow suit who makes its packets.
fn transport(flow: usize, traffic: &Traffic, faults: &mut Faults<'_>) {
    let at = |key: &str| -> [Step; 3] { ["traffic".into(), flow.into(), key.into()] };
    let (tcp, word) = (traffic.arrivals.is_tcp(), traffic.arrivals.word());
    if traffic.protocol.is_tcp() && !tcp {
        faults.add(
            &at("protocol"),
            format!("TCP decides itself when packets go, so they cannot be spaced by `{word}`"),
            "use `arrivals: {tcp_rr: {}}` or `{tcp_bulk: {}}`, or `protocol: udp`",
        );
    } else if tcp && !traffic.protocol.is_tcp() {
        faults.add(
            &at("arrivals"),
            format!("`{word}` goes over TCP"),
            "add `protocol: tcp`, or `tcp6`",
        );
    }
    if tcp && !matches!(traffic.size, FrameSize::Fixed(_)) {
        faults.add(
            &at("size"),
            format!(
                "TCP cuts its segments itself, so they cannot be `{}`",
                traffic.size
            ),
            "give the largest frame, as in `1518 B`",
        );
    }
    if tcp && flow >= MAX_TCP_FLOW {
        faults.add(
            &at("arrivals"),
            format!("only the first {MAX_TCP_FLOW} flows can be TCP, each has a port of its own"),
            "put it further up, or remove some",
        );
    }
}

fn under_way(outstanding: u32, path: &[Step], faults: &mut Faults<'_>) {
    if !(1..=MAX_OUTSTANDING).contains(&outstanding) {
        faults.add(
            path,
            format!("{outstanding} requests cannot be under way"),
            format!("give 1 to {MAX_OUTSTANDING}"),
        );
    }
}

/// A rate must send something, and no more than can be counted.
pub(super) fn rate(scenario: &Scenario, rate: Rate, path: &[Step], faults: &mut Faults<'_>) {
    let seconds = scenario.duration.secs_f64();
    let packets = rate.per_sec_f64() * seconds;
    if rate == Rate::default() {
        faults.add(
            path,
            "a rate of zero sends nothing",
            "give a rate above zero, as in `2000/s`",
        );
    } else if packets < 1.0 && seconds > 0.0 {
        faults.add(
            path,
            format!(
                "at {rate} no packet falls into the duration of {}",
                scenario.duration
            ),
            "raise the rate or the duration",
        );
    } else {
        number(scenario, rate, path, faults);
    }
}

/// No more packets than a flow has numbers.
fn number(scenario: &Scenario, rate: Rate, path: &[Step], faults: &mut Faults<'_>) {
    let seconds = scenario.duration.secs_f64() + scenario.warmup.secs_f64();
    if rate.per_sec_f64() * seconds > MAX_PACKETS {
        faults.add(
            path,
            format!(
                "{rate} for {} is more packets than a flow can number ({MAX_PACKETS})",
                scenario.duration
            ),
            "lower the rate or the duration",
        );
    }
}
