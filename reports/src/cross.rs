//! Two runs, or two variants of any runs, held against each other.
//!
//! Block by block, as within a run. Blocks of one run are alike but for chance, so it does not matter which of the one is
//! paired with which of the other; with the same plan seed they even have the same packets.

use vifbench_scenarios::scenario::Variant;
use vifbench_store::{Noise, RunRecord};

use crate::compare::{Comparison, Question, compare};
use crate::summary::RunSummary;

/// One side: a variant of a run.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The run.
    pub record: &'a RunRecord,
    /// What it measured.
    pub summary: &'a RunSummary,
    /// Which of its variants.
    pub variant: &'a str,
}

impl Side<'_> {
    /// `RUN:variant`.
    pub fn label(&self) -> String {
        format!("{}:{}", self.summary.run, self.variant)
    }

    fn variant(&self) -> Option<&Variant> {
        self.record
            .scenario
            .variants
            .iter()
            .find(|v| v.name == self.variant)
    }
}

/// Why two sides are not the same question, one sentence each. Nothing where only what is under test differs.
pub fn differences(a: &Side<'_>, b: &Side<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, x: &str, y: &str| {
        if x != y {
            found.push(format!("{what}: `{x}` and `{y}`"));
        }
    };
    differ("the rulers differ", &a.summary.ruler, &b.summary.ruler);
    differ("the labs differ", &a.summary.lab, &b.summary.lab);
    let (x, y) = (&a.record.scenario, &b.record.scenario);
    differ(
        "the traffic differs",
        &format!("{:?}", x.traffic),
        &format!("{:?}", y.traffic),
    );
    differ(
        "the durations differ",
        &format!("{} after {}", x.duration, x.warmup),
        &format!("{} after {}", y.duration, y.warmup),
    );
    differ(
        "the generators stood elsewhere",
        &format!("{:?}", x.mode),
        &format!("{:?}", y.mode),
    );
    found
}

/// `b` less `a`, for every number, point and flow that both have; none where a variant is unknown.
pub fn across(a: &Side<'_>, b: &Side<'_>, noise: &Noise) -> Option<Vec<Comparison>> {
    let (mut base, mut other) = (a.variant()?.clone(), b.variant()?.clone());
    (base.name, other.name) = (a.label(), b.label());
    if base.name == other.name {
        // A run and its copy, or a run with itself: each side still has trials of its own.
        other.name.push_str(" (second)");
    }
    let mut trials = Vec::new();
    for (side, name) in [(a, &base.name), (b, &other.name)] {
        let of = side
            .summary
            .trials
            .iter()
            .filter(|t| t.variant == side.variant);
        trials.extend(of.cloned().map(|mut trial| {
            trial.variant.clone_from(name);
            trial
        }));
    }
    let mut scenario = a.record.scenario.clone();
    // What is under test on the first side is the base, whatever its patches.
    base.patches = vifbench_scenarios::scenario::Patches::Stock;
    scenario.variants = vec![base, other];
    // Both runs are over: what they have is all there is to look at.
    scenario.judge.extend = None;
    let question = Question {
        scenario: &scenario,
        noise,
    };
    Some(compare(question, &trials))
}
