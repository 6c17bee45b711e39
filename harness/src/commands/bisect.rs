//! `vifbench bisect`: finds the patch of a series, or the release of a kernel, that moved a number, by one sealed trial
//! each; other draws tell whether that was an accident.

mod draws;
mod releases;
mod series;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vifbench_reports::analyze_run;
use vifbench_reports::compare::{Unit, measured};
use vifbench_scenarios::judge::METRICS;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;
use vifbench_wait::Cancel;

use self::draws::Draws;
use super::scenario;
use crate::cli::{BisectArgs, Format};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Two exact values that differ by less than this share of the first are the same to a reader.
const NOTHING: f64 = 1e-9;

/// Carries out the command.
pub fn run(
    args: &BisectArgs,
    format: Format,
    progress: &'static dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    if !METRICS.contains(&args.metric.as_str()) {
        return Err(Failure::Usage(format!(
            "there is no number `{}`; there are {}",
            args.metric,
            METRICS.join(", ")
        )));
    }
    let asked = scenario::find(&args.scenario)?;
    if asked.mode != Mode::Sealed || asked.sweep.points().len() > 1 {
        return Err(Failure::Usage(format!(
            "{} cannot be bisected with: it must be `mode: sealed`, because only sealed trials are exact, and have no sweep",
            args.scenario
        )));
    }
    let outcome = match &args.releases {
        Some(line) => releases::bisect(args, line, &asked, progress, cancel)?,
        None => series::bisect(args, asked, progress, cancel)?,
    };
    match format {
        Format::Text => write!(stdout(), "{}", outcome.to_text())?,
        Format::Json => stdout().json(&outcome.to_json())?,
    }
    Ok(Exit::Pass)
}

/// The number of a step, and its unit.
type Number = (f64, Unit);

/// The number of a step in so many blocks: each is a draw, with packets and a layout of memory of its own.
type Drawn = (Vec<f64>, Unit);

/// What was measured.
#[derive(Debug, PartialEq)]
struct Searched {
    /// Of the steps that were measured, in the first draw.
    values: BTreeMap<usize, Number>,
    /// The first step that lies on the last one's side.
    found: Option<usize>,
    /// What that one moved in other draws, where that was asked.
    draws: Option<Draws>,
}

/// What came of it.
struct Outcome {
    /// The number's name.
    metric: String,
    /// What a step is: a patch, or a release.
    kind: &'static str,
    /// What each step adds to the one before it; the first is what all others are held against.
    steps: Vec<String>,
    /// What was measured of them.
    searched: Searched,
    /// Where its trials are kept.
    folder: PathBuf,
}

impl Outcome {
    fn to_json(&self) -> Value {
        let Searched {
            values,
            found,
            draws,
        } = &self.searched;
        let named = |step: usize| json!({"step": step, self.kind: self.steps[step]});
        let steps: Vec<Value> = values
            .iter()
            .map(|(step, (value, _))| {
                let mut named = named(*step);
                named["value"] = json!(value);
                named
            })
            .collect();
        let mut found = found.map(named);
        if let (Some(found), Some(draws)) = (&mut found, draws) {
            found["moved"] = draws.to_json();
        }
        json!({
            "metric": self.metric,
            "run": self.folder.display().to_string(),
            "steps": steps,
            "found": found,
        })
    }

    fn to_text(&self) -> String {
        let Searched {
            values,
            found,
            draws,
        } = &self.searched;
        let base = values[&0].0;
        let change = |from: f64, to: f64| percent(from, to).map(|by| format!("{by:+.3} %"));
        let shown = |step: usize| {
            let (value, unit) = values[&step];
            unit.value(value)
        };
        let mut lines = vec![format!(
            "{} by {}, one sealed trial each",
            self.metric, self.kind
        )];
        for (step, (value, _)) in values {
            let mark = if *found == Some(*step) {
                "  <-- here"
            } else {
                ""
            };
            lines.push(format!(
                "{step:>4}  {:>12}  {:>11}  {}{mark}",
                shown(*step),
                change(base, *value).unwrap_or_else(|| "-".to_owned()),
                self.steps[*step]
            ));
        }
        match *found {
            None => {
                lines.push("nothing moved: the first and the last step are the same".to_owned());
            }
            Some(step) => {
                let (before, after) = (values[&(step - 1)].0, values[&step].0);
                let by = change(before, after).map(|by| format!(" by {by}"));
                lines.push(format!(
                    "{} moved {}{}: {} to {}",
                    self.steps[step],
                    self.metric,
                    by.unwrap_or_default(),
                    shown(step - 1),
                    shown(step)
                ));
                lines.push(draws.as_ref().map_or_else(
                    || "one draw says so: --draws 6 tells whether others do".to_owned(),
                    Draws::to_text,
                ));
                if values.len() < self.steps.len() {
                    lines.push(
                        "other steps may move it too: --every measures all of them".to_owned(),
                    );
                }
            }
        }
        lines.push(format!("run: {}", self.folder.display()));
        lines.join("\n") + "\n"
    }
}

/// Measures as few of the steps from 0 to `last` as tell the first that lies on the last one's side (none where the ends are the
/// same), or every one, in the first block; then that one and the one before it in all of so many blocks. `measure` is asked for a
/// step and a number of blocks.
fn search(
    last: usize,
    every: bool,
    blocks: u32,
    seed: u64,
    mut measure: impl FnMut(usize, u32) -> Result<Drawn, Failure>,
) -> Result<Searched, Failure> {
    // There is a value for each block that was asked for: see `number`.
    let mut one = |step: usize| measure(step, 1).map(|(values, unit)| (values[0], unit));
    let mut values = BTreeMap::new();
    let first: BTreeSet<usize> = if every {
        (0..=last).collect()
    } else {
        BTreeSet::from([0, last])
    };
    for step in first {
        values.insert(step, one(step)?);
    }
    let (base, end) = (values[&0].0, values[&last].0);
    if (end - base).abs() <= NOTHING * base.abs() {
        return Ok(Searched {
            values,
            found: None,
            draws: None,
        });
    }
    let (mut before, mut after) = (0, last);
    while after - before > 1 {
        let middle = before.midpoint(after);
        // With every step measured it is known.
        if let Entry::Vacant(unknown) = values.entry(middle) {
            unknown.insert(one(middle)?);
        }
        let value = values[&middle].0;
        if is_moved(base, end, value) {
            after = middle;
        } else {
            before = middle;
        }
    }
    let draws = if blocks > 1 {
        let ((before, unit), (after, _)) = (measure(before, blocks)?, measure(after, blocks)?);
        // The first draw chose the step, so it says too much for it.
        let others = |values: Vec<f64>| values.into_iter().skip(1).collect();
        Some(Draws::new(others(before), others(after), unit, seed))
    } else {
        None
    };
    Ok(Searched {
        values,
        found: Some(after),
        draws,
    })
}

/// How much more one value is than another, in percent of that; none where that is zero.
fn percent(from: f64, to: f64) -> Option<f64> {
    (from != 0.0).then(|| 100.0 * (to - from) / from.abs())
}

/// Does a value lie nearer to the end than to the base?
fn is_moved(base: f64, end: f64, value: f64) -> bool {
    (value - base).abs() >= (value - end).abs()
}

/// The number of a variant in each of a run's so many trials of it, all flows together.
fn number(
    run: &Path,
    variant: &str,
    metric: &str,
    trials: u32,
    progress: &dyn Progress,
) -> Result<Drawn, Failure> {
    let summary = analyze_run(run, progress)?;
    measured(&summary.trials)
        .into_iter()
        .find(|m| m.variant == variant && m.metric == metric && m.to == "all")
        .filter(|m| m.values.len() == trials as usize)
        .map(|m| (m.values, m.unit))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "not every trial of {variant} gave {metric}; see {}",
                run.display()
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_nearer_end() {
        assert!(!is_moved(100.0, 101.0, 100.2));
        assert!(is_moved(100.0, 101.0, 100.9));
        assert!(is_moved(100.0, 90.0, 92.0));
        assert!(!is_moved(100.0, 90.0, 99.0));
    }

    fn searched(numbers: &[f64], every: bool) -> (Vec<usize>, Option<usize>) {
        let mut asked = Vec::new();
        let measure = |step: usize, blocks: u32| {
            assert_eq!(blocks, 1);
            asked.push(step);
            Ok((vec![numbers[step]], Unit::Ns))
        };
        let searched = search(numbers.len() - 1, every, 1, 1, measure).unwrap();
        assert_eq!(searched.values.len(), asked.len(), "none is measured twice");
        assert_eq!(searched.draws, None);
        (asked, searched.found)
    }

    #[test]
    fn both_sides_of_the_step_are_drawn_again() {
        let mut asked = Vec::new();
        let measure = |step: usize, blocks: u32| {
            asked.push((step, blocks));
            let values = (0..blocks).map(|n| [10.0, 10.0, 20.0][step] + f64::from(n));
            Ok((values.collect(), Unit::Ns))
        };
        let found = search(2, false, 4, 1, measure).unwrap();
        assert_eq!(asked, [(0, 1), (2, 1), (1, 1), (1, 4), (2, 4)]);
        let (before, after) = (vec![11.0, 12.0, 13.0], vec![21.0, 22.0, 23.0]);
        assert_eq!(found.draws, Some(Draws::new(before, after, Unit::Ns, 1)));
        let same = search(2, false, 4, 1, |_, _| Ok((vec![1.0], Unit::Ns))).unwrap();
        assert_eq!((same.found, same.draws), (None, None));
    }

    #[test]
    fn nothing_has_no_percentage() {
        assert_eq!(percent(0.0, 3.0), None);
        assert_eq!(percent(-2.0, -1.0), Some(50.0), "upwards is more");
    }

    #[test]
    fn few_steps_are_measured() {
        let moved = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.2, 1.2, 1.2];
        assert_eq!(searched(&moved, false), (vec![0, 8, 4, 6, 5], Some(6)));
        assert_eq!(searched(&moved, true).1, Some(6));
        assert_eq!(searched(&moved, true).0.len(), 9);
        assert_eq!(searched(&[1.0, 2.0, 1.0], false), (vec![0, 2], None));
        assert_eq!(searched(&[2.0, 1.0], false), (vec![0, 1], Some(1)));
        assert_eq!(searched(&[2.0], false).1, None);
    }

    #[test]
    fn the_step_is_told_with_what_it_moved() {
        let mut outcome = Outcome {
            metric: "delay_p50".to_owned(),
            kind: "release",
            steps: vec![
                "6.1.0-50".to_owned(),
                "6.1.0-51".to_owned(),
                "6.1.0-52".to_owned(),
            ],
            searched: Searched {
                values: BTreeMap::from([
                    (0, (100_000.0, Unit::Ns)),
                    (1, (101_000.0, Unit::Ns)),
                    (2, (101_000.0, Unit::Ns)),
                ]),
                found: Some(1),
                draws: None,
            },
            folder: PathBuf::from("results/x"),
        };
        insta::assert_snapshot!(outcome.to_text(), @r"
        delay_p50 by release, one sealed trial each
           0        100 µs     +0.000 %  6.1.0-50
           1        101 µs     +1.000 %  6.1.0-51  <-- here
           2        101 µs     +1.000 %  6.1.0-52
        6.1.0-51 moved delay_p50 by +1.000 %: 100 µs to 101 µs
        one draw says so: --draws 6 tells whether others do
        run: results/x
        ");
        assert_eq!(
            outcome.to_json()["found"],
            json!({"step": 1, "release": "6.1.0-51"})
        );
        outcome.searched.values =
            BTreeMap::from([(0, (0.0, Unit::Packets)), (1, (2.0, Unit::Packets))]);
        outcome.searched.draws = Some(Draws::new(vec![0.0, 0.0], vec![2.0, 1.0], Unit::Packets, 1));
        insta::assert_snapshot!(outcome.to_text(), @r"
        delay_p50 by release, one sealed trial each
           0             0            -  6.1.0-50
           1             2            -  6.1.0-51  <-- here
        6.1.0-51 moved delay_p50: 0 to 2
        in 2 other draws of layout and packets: +1.50 packets on average (p = 0.500); each: +2 packets, +1 packets
        other steps may move it too: --every measures all of them
        run: results/x
        ");
        assert_eq!(outcome.to_json()["found"]["moved"]["mean"], json!(1.5));
    }
}
