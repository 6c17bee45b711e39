//! Scenarios.

use super::repeats;
use crate::acknowledged::unknown_metric;
use crate::file::{Faults, FileError, PLAIN_NAME, is_plain_name};
use crate::judge::Least;
use crate::scenario::{Arrivals, MAX_FRAME, MIN_PAYLOAD, Patches, Protocol, Scenario};
use crate::units::{Rate, Size, Span};
use crate::yaml::{Cause, Mistake, Step, path_text};

/// Words of the design that this version does not honour. They are refused rather than ignored.
const LATER: [&str; 6] = [
    "regulator",
    "container",
    "framing",
    "aggregation",
    "tcp",
    "trace",
];
/// Arrivals of the design that this version does not honour.
const LATER_ARRIVALS: [&str; 2] = ["onoff", "closed_loop"];

/// A module parameter holds whole microseconds; netback gives up on a stuck queue after 10 s.
const MAX_HOLD: Span = Span::from_secs(10);
/// Sequence numbers are 32 bits wide.
const MAX_PACKETS: f64 = 4_294_967_295.0;
/// Flow numbers are 16 bits wide.
const MAX_FLOWS: usize = 65_535;

/// What only a scenario can say of a mistake.
pub(crate) fn explain(mistake: &Mistake, _text: &str) -> Option<(String, String)> {
    let word = match &mistake.cause {
        Cause::UnknownKey { key, .. } => key,
        Cause::UnknownChoice { word, .. } => word,
        Cause::MissingKey { key } if key == "rate" => {
            return Some((
                format!(
                    "the key `rate` is missing in `{}`",
                    path_text(&mistake.path)
                ),
                "add it, as in `{rate: 2000/s}`".to_owned(),
            ));
        }
        _ => return None,
    };
    let later = LATER.contains(&word.as_str()) || LATER_ARRIVALS.contains(&word.as_str());
    later.then(|| {
        (
            format!("this version of vifbench cannot honour `{word}` yet"),
            "remove it, or use a version that does".to_owned(),
        )
    })
}

/// Notes all faults.
pub(crate) fn check(scenario: &Scenario, text: &str, origin: &str) -> Result<(), FileError> {
    let mut faults = Faults::new(text, origin);
    if !is_plain_name(&scenario.name) {
        faults.add(
            &["name".into()],
            format!("`{}` cannot be a scenario's name", scenario.name),
            PLAIN_NAME,
        );
    }
    traffic(scenario, &mut faults);
    sweep(scenario, &mut faults);
    variants(scenario, &mut faults);
    if scenario.duration == Span::default() {
        faults.add(
            &["duration".into()],
            "a trial of no duration measures nothing",
            "give a duration above zero, as in `1 s`",
        );
    }
    if scenario.blocks == 0 {
        faults.add(
            &["blocks".into()],
            "with 0 blocks nothing would run",
            "ask for at least 1 block",
        );
    }
    judge(scenario, &mut faults);
    faults.into_result()
}

fn judge(scenario: &Scenario, faults: &mut Faults<'_>) {
    for (metric, least) in &scenario.judge.matters {
        let path: [Step; 3] = ["judge".into(), "matters".into(), metric.as_str().into()];
        if let Some((what, mend)) = unknown_metric(metric) {
            faults.add(&path, what, mend);
        } else if matches!(least, Least::Time(_)) && !is_time(metric) {
            faults.add(
                &path,
                format!("`{metric}` is no time"),
                "write the smallest difference that matters as a share, as in `2 %`",
            );
        }
    }
    if let Some(extend) = &scenario.judge.extend
        && extend.to <= scenario.blocks
    {
        faults.add(
            &["judge".into(), "extend".into(), "to".into()],
            format!(
                "up to {} blocks are no more than the {} of the scenario",
                extend.to, scenario.blocks
            ),
            "raise it above `blocks`, or remove `extend`",
        );
    }
}

fn is_time(metric: &str) -> bool {
    !matches!(metric, "lost" | "reordered" | "throughput" | "dom0_cpu")
}

fn traffic(scenario: &Scenario, faults: &mut Faults<'_>) {
    if scenario.traffic.is_empty() {
        faults.add(
            &["traffic".into()],
            "there is no traffic",
            "add at least one flow, as in `- {to: u1, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}`",
        );
    }
    if scenario.traffic.len() > MAX_FLOWS {
        faults.add(
            &["traffic".into()],
            format!("there are more than {MAX_FLOWS} flows"),
            "remove some",
        );
    }
    for (index, flow) in scenario.traffic.iter().enumerate() {
        let at = |key: &str| -> [Step; 3] { ["traffic".into(), index.into(), key.into()] };
        let smallest = flow.protocol.min_frame();
        if flow.size < smallest {
            let (name, header) = match flow.protocol {
                Protocol::Udp => ("UDP over IPv4", 20),
                Protocol::Udp6 => ("UDP over IPv6", 40),
            };
            faults.add(
                &at("size"),
                format!("a frame of {} is too small for {name}", flow.size),
                format!(
                    "use {smallest} or more (14 Ethernet + {header} IP + 8 UDP + {MIN_PAYLOAD} for the probe's own header + 4 FCS)"
                ),
            );
        }
        if flow.size > Size::from_bytes(MAX_FRAME) {
            faults.add(
                &at("size"),
                format!("a frame of {} is larger than Ethernet carries", flow.size),
                format!("use {MAX_FRAME} B or less; the size counts the whole frame with its FCS"),
            );
        }
        let shape = match flow.arrivals {
            Arrivals::Cbr { .. } => "cbr",
            Arrivals::Poisson { .. } => "poisson",
        };
        let [traffic, place, arrivals] = at("arrivals");
        rate(
            scenario,
            flow.arrivals.rate(),
            &[traffic, place, arrivals, shape.into(), "rate".into()],
            faults,
        );
    }
}

fn sweep(scenario: &Scenario, faults: &mut Faults<'_>) {
    for (index, &point) in scenario.sweep.rate.iter().enumerate() {
        rate(
            scenario,
            point,
            &["sweep".into(), "rate".into(), index.into()],
            faults,
        );
    }
    for (index, earlier) in repeats(&scenario.sweep.rate) {
        faults.add(
            &["sweep".into(), "rate".into(), index.into()],
            format!(
                "the rate {} is in the sweep already, as point {}",
                scenario.sweep.rate[index],
                earlier + 1
            ),
            "keep one of the two; `blocks` says how often each point runs",
        );
    }
}

/// A rate must send something, and no more than can be counted.
fn rate(scenario: &Scenario, rate: Rate, path: &[Step], faults: &mut Faults<'_>) {
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
    } else if rate.per_sec_f64() * (seconds + scenario.warmup.secs_f64()) > MAX_PACKETS {
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

fn variants(scenario: &Scenario, faults: &mut Faults<'_>) {
    if scenario.variants.is_empty() {
        faults.add(
            &["variants".into()],
            "there are no variants",
            "add at least one, as in `- {name: stock}`",
        );
    }
    for (index, variant) in scenario.variants.iter().enumerate() {
        let at = |key: &str| -> [Step; 3] { ["variants".into(), index.into(), key.into()] };
        if !is_plain_name(&variant.name) {
            faults.add(
                &at("name"),
                format!("`{}` cannot be a variant's name", variant.name),
                PLAIN_NAME,
            );
        }
        let Some(hold) = variant.hold else { continue };
        if variant.patches == Patches::Stock {
            faults.add(
                &at("hold"),
                format!(
                    "variant `{}` runs the stock drivers, which hold nothing",
                    variant.name
                ),
                "remove `hold`, or add `patches: shadow`",
            );
        } else if hold == Span::default() || hold.nanos() % 1000 != 0 || hold >= MAX_HOLD {
            faults.add(
                &at("hold"),
                format!("variant `{}` cannot hold for {hold}", variant.name),
                format!("use whole microseconds, above zero and below {MAX_HOLD}, as in `1 ms`"),
            );
        }
    }
    for (index, earlier) in repeats(scenario.variants.iter().map(|v| &v.name)) {
        faults.add(
            &["variants".into(), index.into(), "name".into()],
            format!(
                "variants {} and {} are both named `{}`",
                earlier + 1,
                index + 1,
                scenario.variants[index].name
            ),
            "give each its own name",
        );
    }
}
