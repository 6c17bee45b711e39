//! Reading and checking scenario files.

use std::path::Path;

use super::{arrivals, repeats, search};
use crate::acknowledged::unknown_metric;
use crate::file::{self, Faults, FileError, PLAIN_NAME, is_plain_name};
use crate::judge::Least;
use crate::scenario::{
    Arrivals, FrameSize, LAYOUTS, MAX_FRAME, Mode, Patches, Regulator, Scenario, Variant,
};
use crate::units::{Size, Span};
use crate::yaml::{Cause, Mistake, Step, path_text};

/// A module parameter holds whole microseconds; netback gives up on a stuck queue after 10 s.
const MAX_HOLD: Span = Span::from_secs(10);
/// The regulators reckon with 32 bits of nanoseconds.
const MAX_AGGREGATION_HOLD: Span = Span::from_secs(4);
/// More than a page, for the theory, but not so much that a container is a queue.
const MAX_CONTAINER: u64 = 1 << 20;
/// Flow numbers are 16 bits wide.
const MAX_FLOWS: usize = 65_535;

impl Scenario {
    /// Reads and checks a scenario file. `~/` in the path of a capture is the user's home.
    ///
    /// # Errors
    /// When the file cannot be read or has faults; all that can be found at once are in the error.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let text = file::text_of("scenario", path)?;
        let origin = path.display().to_string();
        let mut scenario = Self::parse(&text, &origin)?;
        let mut faults = Faults::new(&text, &origin);
        for (index, traffic) in scenario.traffic.iter_mut().enumerate() {
            if let Arrivals::Trace { file, .. } = &mut traffic.arrivals {
                let at = ["arrivals", "trace", "file"].map(Step::from);
                let at = [&["traffic".into(), index.into()], at.as_slice()].concat();
                *file = faults.at_home(&at, file);
            }
        }
        faults.into_result()?;
        Ok(scenario)
    }

    /// Reads and checks the text of a scenario; `origin` stands for the file name in messages.
    ///
    /// # Errors
    /// See [`Scenario::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, FileError> {
        let scenario: Self = file::read(text, origin, explain)?;
        check(&scenario, text, origin)?;
        Ok(scenario)
    }
}

/// What only a scenario can say of a mistake.
fn explain(mistake: &Mistake, _text: &str) -> Option<(String, String)> {
    match &mistake.cause {
        Cause::MissingKey { key } if key == "rate" => Some((
            format!(
                "the key `rate` is missing in `{}`",
                path_text(&mistake.path)
            ),
            "add it, as in `{rate: 2000/s}`".to_owned(),
        )),
        _ => None,
    }
}

/// Notes all faults.
fn check(scenario: &Scenario, text: &str, origin: &str) -> Result<(), FileError> {
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
    if !(1..=LAYOUTS).contains(&scenario.layouts) {
        faults.add(
            &["layouts".into()],
            format!(
                "{} layouts are not between 1 and {LAYOUTS}",
                scenario.layouts
            ),
            "remove `layouts` for the one that the lab boots into",
        );
    } else if scenario.layouts > 1 && scenario.mode != Mode::Sealed {
        faults.add(
            &["layouts".into()],
            "only a sealed scenario has layouts: they are states of the virtual lab",
            "remove `layouts`, or use `mode: sealed`",
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
    search::check(scenario, &mut faults);
    if let Some(search) = &scenario.search {
        for (key, asked) in [("min", search.min), ("max", search.max)] {
            arrivals::rate(scenario, asked, &["search".into(), key.into()], &mut faults);
        }
    }
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
    !matches!(
        metric,
        "lost"
            | "reordered"
            | "throughput"
            | "transactions"
            | "tcp_goodput"
            | "tcp_retransmitted"
            | "dom0_cpu"
    )
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
        for (_, size) in flow.size.parts() {
            if size < smallest {
                let (name, parts) = (flow.protocol.words(), flow.protocol.min_frame_parts());
                faults.add(
                    &at("size"),
                    format!("a frame of {size} is too small for {name}"),
                    format!("use {smallest} or more ({parts})"),
                );
            }
            if size > Size::from_bytes(MAX_FRAME) {
                faults.add(
                    &at("size"),
                    format!("a frame of {size} is larger than Ethernet carries"),
                    format!(
                        "use {MAX_FRAME} B or less; the size counts the whole frame with its FCS"
                    ),
                );
            }
        }
        if flow.size == FrameSize::Captured && !matches!(flow.arrivals, Arrivals::Trace { .. }) {
            faults.add(
                &at("size"),
                "only a `trace` has captured sizes",
                "give a size, as in `64 B`, or a mixture, as in `imix`",
            );
        }
        arrivals::check(scenario, index, flow, faults);
    }
}

fn sweep(scenario: &Scenario, faults: &mut Faults<'_>) {
    for (index, &point) in scenario.sweep.rate.iter().enumerate() {
        arrivals::rate(
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
    for (index, &hold) in scenario.sweep.hold.iter().enumerate() {
        if let Some(limit) = hold_limit(hold, MAX_AGGREGATION_HOLD) {
            faults.add(
                &["sweep".into(), "hold".into(), index.into()],
                format!("nothing can be held for {hold}"),
                limit,
            );
        }
    }
    for (index, earlier) in repeats(&scenario.sweep.hold) {
        faults.add(
            &["sweep".into(), "hold".into(), index.into()],
            format!(
                "the hold {} is in the sweep already, as point {}",
                scenario.sweep.hold[index],
                earlier + 1
            ),
            "keep one of the two",
        );
    }
    if !scenario.sweep.hold.is_empty() && !scenario.variants.iter().any(Variant::has_hold) {
        faults.add(
            &["sweep".into(), "hold".into()],
            "no variant holds anything",
            "add one, as in `{name: static, patches: aggregation, regulator: static}`",
        );
    }
}

/// What to do about a hold that cannot be.
fn hold_limit(hold: Span, limit: Span) -> Option<String> {
    (hold == Span::default() || !hold.nanos().is_multiple_of(1000) || hold >= limit)
        .then(|| format!("use whole microseconds, above zero and below {limit}, as in `1 ms`"))
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
        aggregation(scenario, variant, &at, faults);
        let Some(hold) = variant.hold else { continue };
        let limit = match variant.patches {
            Patches::Aggregation | Patches::Hold => MAX_AGGREGATION_HOLD,
            Patches::Stock | Patches::Shadow => MAX_HOLD,
        };
        if variant.patches == Patches::Stock {
            faults.add(
                &at("hold"),
                format!(
                    "variant `{}` runs the stock drivers, which hold nothing",
                    variant.name
                ),
                "remove `hold`, or add `patches: shadow`",
            );
        } else if let Some(limit) = hold_limit(hold, limit) {
            faults.add(
                &at("hold"),
                format!("variant `{}` cannot hold for {hold}", variant.name),
                limit,
            );
        }
    }
    let swept = scenario.each_hold();
    if let Some((index, _)) = repeats(swept.variants.iter().map(|v| &v.name)).first()
        && repeats(scenario.variants.iter().map(|v| &v.name)).is_empty()
        && repeats(&scenario.sweep.hold).is_empty()
    {
        faults.add(
            &["sweep".into(), "hold".into()],
            format!(
                "with its hold behind its name a variant is called `{}`, as another is",
                swept.variants[*index].name
            ),
            "rename one of them",
        );
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

/// What belongs to a variant that aggregates, and only there.
fn aggregation(
    scenario: &Scenario,
    variant: &Variant,
    at: &dyn Fn(&str) -> [Step; 3],
    faults: &mut Faults<'_>,
) {
    let name = &variant.name;
    match (variant.patches, variant.regulator) {
        (Patches::Aggregation, None) => faults.add(
            &at("patches"),
            format!("variant `{name}` does not say how long containers wait"),
            "add `regulator: static`, or another one",
        ),
        (Patches::Hold, None) => faults.add(
            &at("patches"),
            format!("variant `{name}` does not say how long packets are held"),
            "add `regulator: static`, or another one",
        ),
        (Patches::Hold, Some(regulator @ (Regulator::NoWait | Regulator::Playout))) => faults.add(
            &at("regulator"),
            format!(
                "variant `{name}` has no containers, without which `{}` does nothing",
                regulator.name()
            ),
            "use `regulator: static` or an adaptive one, or `patches: aggregation`",
        ),
        (Patches::Aggregation | Patches::Hold, Some(regulator)) => {
            let given = variant.hold.is_some() || !scenario.sweep.hold.is_empty();
            if regulator.has_hold() && !given {
                faults.add(
                    &at("regulator"),
                    format!("variant `{name}` has no hold for `{}`", regulator.name()),
                    "add `hold: 1 ms`, or sweep it",
                );
            }
        }
        (Patches::Stock | Patches::Shadow, Some(_)) => faults.add(
            &at("regulator"),
            format!("variant `{name}` has no containers to regulate"),
            "add `patches: aggregation`, or remove `regulator`",
        ),
        (Patches::Stock | Patches::Shadow, None) => {}
    }
    if let Some(unit) = variant.unit
        && (variant.regulator != Some(Regulator::Literal)
            || hold_limit(unit, MAX_AGGREGATION_HOLD).is_some())
    {
        faults.add(
            &at("unit"),
            format!("variant `{name}` cannot have a unit of {unit}"),
            format!("only `literal` has one: whole microseconds, above zero and below {MAX_AGGREGATION_HOLD}"),
        );
    }
    for (key, given) in [
        ("container", variant.container.is_some()),
        ("framing", variant.framing.is_some()),
        ("fill", variant.fill.is_some()),
    ] {
        if given && matches!(variant.patches, Patches::Stock | Patches::Hold) {
            let drivers = match variant.patches {
                Patches::Hold => "only holds packets",
                _ => "runs the stock drivers",
            };
            faults.add(
                &at(key),
                format!("variant `{name}` {drivers}, which have no containers"),
                format!("remove `{key}`, or add `patches: aggregation`"),
            );
        }
    }
    if let Some(container) = variant.container
        && !(1..=MAX_CONTAINER).contains(&container.bytes())
    {
        faults.add(
            &at("container"),
            format!("variant `{name}` cannot have containers of {container}"),
            format!("use 1 B to {MAX_CONTAINER} B; the patches use 4096 B"),
        );
    }
    if let Some(framing) = variant.framing
        && framing.bytes() > MAX_FRAME
    {
        faults.add(
            &at("framing"),
            format!("variant `{name}` cannot put {framing} before every frame"),
            format!("use 0 B to {MAX_FRAME} B; the patches use 8 B"),
        );
    }
}
