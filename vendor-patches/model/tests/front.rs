//! `breakeven` lies on or beyond the front of all other regulators, on the traffic of every library scenario.

use vifbench_model::experiment::{NoCaptures, Question};
use vifbench_model::pareto::{Choice, explore};
use vifbench_scenarios::library;
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::units::Span;

/// What does not matter: 2 % of the transfers, 2 % of T0 or of the wait.
const TOLERANCE: f64 = 0.02;

fn beaten(ours: &Choice, all: &[Choice]) -> Option<String> {
    let by = all
        .iter()
        .filter(|c| c.regulator != Regulator::BreakEven && c.rate == ours.rate)
        .find(|c| ours.is_beaten_by(c, TOLERANCE))?;
    let words = |c: &Choice| {
        let hold = c
            .hold
            .map_or_else(|| "no hold".to_owned(), |h| h.to_string());
        format!(
            "{} {hold}: {:.1} us, {:.4} transfers",
            c.regulator.name(),
            c.mean_wait_us,
            c.transfers_per_packet
        )
    };
    let rate = ours.rate.map(|r| r.to_string()).unwrap_or_default();
    Some(format!("{rate} {} is beaten by {}", words(ours), words(by)))
}

#[test]
fn nothing_beats_breakeven() {
    let mut found = Vec::new();
    for entry in library::all() {
        let mut scenario = entry.scenario().expect("it is sound");
        if !scenario.only_measured().is_empty() || scenario.search.is_some() {
            continue;
        }
        // Each rate for as long as it has packets enough.
        scenario.duration = Span::from_secs(300);
        let choices = explore(&Question {
            scenario: &scenario,
            seed: 7,
            blocks: Some(2),
            captures: &NoCaptures,
            progress: &|_, _| {},
        })
        .expect("the library can be simulated");
        let ours: Vec<&Choice> = choices
            .iter()
            .filter(|c| c.regulator == Regulator::BreakEven)
            .collect();
        assert!(!ours.is_empty());
        found.extend(
            ours.into_iter()
                .filter_map(|c| beaten(c, &choices))
                .map(|f| format!("{}: {f}", entry.name)),
        );
    }
    assert!(
        found.is_empty(),
        "{}\n{} in all",
        found.join("\n"),
        found.len()
    );
}
