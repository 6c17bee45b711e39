//! A throughput search.

use std::collections::BTreeSet;

use crate::file::Faults;
use crate::judge::JudgeBy;
use crate::scenario::Scenario;
use crate::search::Share;
use crate::units::Rate;
use crate::yaml::Step;

/// Notes all faults of a scenario's search.
pub(super) fn check(scenario: &Scenario, faults: &mut Faults<'_>) {
    let Some(search) = &scenario.search else {
        return;
    };
    let at = |key: &str| -> [Step; 2] { ["search".into(), key.into()] };
    let unique: BTreeSet<_> = search.find.iter().collect();
    if unique.is_empty() || unique.len() < search.find.len() {
        faults.add(
            &at("find"),
            "it must name what is searched for, each once",
            "write `find: [ndr, pdr]`, or one of them",
        );
    }
    if search.min < Rate::per_sec(1) || search.min >= search.max {
        faults.add(
            &at("min"),
            format!(
                "there is nothing to search between {} and {}",
                search.min, search.max
            ),
            "give a `min` of 1/s or more, and a `max` above it",
        );
    }
    let (least, most) = (Share::from_ppm(100), Share::from_ppm(500_000));
    if !(least..=most).contains(&search.resolution) {
        faults.add(
            &at("resolution"),
            format!("{} is no useful resolution", search.resolution),
            format!("use {least} to {most}"),
        );
    }
    for (key, share) in [("loss", search.loss), ("exceed", search.exceed)] {
        if share > most {
            faults.add(
                &at(key),
                format!("{share} is more than half"),
                format!("use {most} or less"),
            );
        }
    }
    if !scenario.sweep.rate.is_empty() {
        faults.add(
            &["sweep".into(), "rate".into()],
            "a search chooses the rates itself",
            "remove the sweep of rates, or the search",
        );
    }
    for (index, flow) in scenario.traffic.iter().enumerate() {
        if flow.arrivals.rate().is_none() {
            faults.add(
                &["traffic".into(), index.into(), "arrivals".into()],
                format!("a `{}` has no rate to search", flow.arrivals.word()),
                "use `cbr` or `poisson`, or remove the search",
            );
        }
    }
    if scenario.judge.by != JudgeBy::Completeness || scenario.judge.extend.is_some() {
        faults.add(
            &["search".into()],
            "the rates that a search finds are shown, and not judged",
            "write `judge: {by: completeness}`, without `extend`",
        );
    }
}
