//! How often the bound of a clock estimate holds, over random worlds whose truth is known.

use vifbench_wire::synthetic_clocks::{coverage, skew_errors_over_a_quiet_minute};

use super::Bench;
use super::answer::Answer;
use super::error::BenchError;

/// The worlds of the test, so that anyone gets the same numbers.
const SEED: u64 = 5;
const SEED_OF_MINUTES: u64 = 6;

pub fn measure(bench: &Bench<'_>) -> Result<Answer, BenchError> {
    let worlds = bench.amount(1000);
    let minutes = bench.amount(50);
    let seen = coverage(worlds, SEED)?;
    bench.go_on()?;
    let errors = skew_errors_over_a_quiet_minute(minutes, SEED_OF_MINUTES)?;
    let mut answer = Answer {
        setting: format!(
            "{worlds} random worlds: offset to 1 s, skew to 200 ppm, wander, steps in a fifth, unequal ways, queues; \
             and {minutes} quiet minutes of 10 exchanges a second"
        ),
        ..Answer::default()
    };
    let percent = |n: u32| f64::from(n) / f64::from(seen.cases) * 100.0;
    let (ours, simple) = ("vifbench", "least round trip");
    answer.row(
        "truth within the bound all along",
        ours,
        percent(seen.held),
        "% of worlds",
    );
    answer.row(
        "truth within the bound all along",
        simple,
        percent(seen.held_by_least_round_trip),
        "% of worlds",
    );
    if seen.steps > 0 {
        answer.row(
            "steps above two round trips found",
            ours,
            f64::from(seen.steps_found) / f64::from(seen.steps) * 100.0,
            "%",
        );
    }
    for (what, part) in [
        ("bound by half the least round trip, median", 0.5),
        ("bound by half the least round trip, 90 %", 0.9),
    ] {
        if let Some(width) = seen.width(part) {
            answer.row(what, ours, width, "x");
        }
    }
    if let (Some(middle), Some(worst)) = (errors.get(errors.len() / 2), errors.last()) {
        answer.row(
            "skew error over a quiet minute, median",
            ours,
            *middle,
            "ppm",
        );
        answer.row("skew error over a quiet minute, worst", ours, *worst, "ppm");
    }
    answer.notes.push(
        "no public tool estimates a bound from recorded exchanges; `least round trip` is the textbook's way: offset from \
         the fastest exchange, half its round trip as the bound, no allowance for skew"
            .to_owned(),
    );
    Ok(answer)
}
