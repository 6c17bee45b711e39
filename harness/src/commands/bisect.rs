//! `vifbench bisect`: finds the patch of a series, or the release of a kernel, that moved a number, by sealed trials, with no
//! statistics.

mod releases;
mod series;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vifbench_provisioning::wait::Cancel;
use vifbench_reports::analyze_run;
use vifbench_reports::compare::{Unit, measured};
use vifbench_scenarios::judge::METRICS;
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::Mode;

use super::scenario;
use crate::cli::{BisectArgs, Format};
use crate::error::Failure;
use crate::exit::Exit;

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
        Format::Text => print!("{}", outcome.to_text()),
        Format::Json => println!("{}", outcome.to_json()),
    }
    Ok(Exit::Pass)
}

/// The number of a step, and its unit.
type Number = (f64, Unit);

/// The number of a step in the first so many layouts of the machine's memory, each with packets of its own.
type InLayouts = (Vec<f64>, Unit);

/// What was measured.
#[derive(Debug, PartialEq)]
struct Searched {
    /// Of the steps that were measured, in the layout that the lab boots into.
    values: BTreeMap<usize, Number>,
    /// The first step that lies on the last one's side.
    found: Option<usize>,
    /// The number before the found step and after it, in each layout; empty where that was not asked.
    layouts: Vec<(f64, f64)>,
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
            layouts,
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
        if let Some(found) = &mut found
            && !layouts.is_empty()
        {
            let pair = |(before, after): &(f64, f64)| json!({"before": before, "after": after});
            found["layouts"] = layouts.iter().map(pair).collect();
            found["same_way"] = json!(same_way(layouts));
        }
        json!({
            "metric": self.metric,
            "run": self.folder,
            "steps": steps,
            "found": found,
        })
    }

    fn to_text(&self) -> String {
        let Searched {
            values,
            found,
            layouts,
        } = &self.searched;
        let base = values[&0].0;
        let change = |from: f64, to: f64| 100.0 * (to - from) / from;
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
                "{step:>4}  {:>12}  {:>+9.3} %  {}{mark}",
                shown(*step),
                change(base, *value),
                self.steps[*step]
            ));
        }
        match *found {
            None => {
                lines.push("nothing moved: the first and the last step are the same".to_owned());
            }
            Some(step) => {
                let (before, after) = (values[&(step - 1)].0, values[&step].0);
                lines.push(format!(
                    "{} moved {} by {:+.3} %: {} to {}",
                    self.steps[step],
                    self.metric,
                    change(before, after),
                    shown(step - 1),
                    shown(step)
                ));
                if !layouts.is_empty() {
                    let each: Vec<String> = layouts
                        .iter()
                        .map(|(before, after)| format!("{:+.3} %", change(*before, *after)))
                        .collect();
                    lines.push(format!(
                        "in {} layouts, each with packets of its own: {}; {}",
                        each.len(),
                        each.join(", "),
                        if same_way(layouts) {
                            "the same way in all of them"
                        } else {
                            "not the same way in all of them, so it may be no more than where things lie in memory"
                        }
                    ));
                }
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
/// same), or every one; then that one and the one before it in so many layouts, where these are asked. `measure` is asked for a
/// step and a number of layouts.
fn search(
    last: usize,
    every: bool,
    layouts: Option<u32>,
    mut measure: impl FnMut(usize, u32) -> Result<InLayouts, Failure>,
) -> Result<Searched, Failure> {
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
            layouts: Vec::new(),
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
    let layouts = match layouts {
        None => Vec::new(),
        Some(n) => {
            let (before, after) = (measure(before, n)?.0, measure(after, n)?.0);
            before.into_iter().zip(after).collect()
        }
    };
    Ok(Searched {
        values,
        found: Some(after),
        layouts,
    })
}

/// Did the number move the same way in each layout?
fn same_way(layouts: &[(f64, f64)]) -> bool {
    layouts.iter().all(|(before, after)| after > before)
        || layouts.iter().all(|(before, after)| after < before)
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
) -> Result<InLayouts, Failure> {
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
        let measure = |step: usize, layouts: u32| {
            assert_eq!(layouts, 1);
            asked.push(step);
            Ok((vec![numbers[step]], Unit::Ns))
        };
        let searched = search(numbers.len() - 1, every, None, measure).unwrap();
        assert_eq!(searched.values.len(), asked.len(), "none is measured twice");
        assert!(searched.layouts.is_empty());
        (asked, searched.found)
    }

    #[test]
    fn both_sides_of_the_step_are_measured_in_layouts() {
        let mut asked = Vec::new();
        let measure = |step: usize, layouts: u32| {
            asked.push((step, layouts));
            let values = (0..layouts).map(|n| [10.0, 10.0, 20.0][step] + f64::from(n));
            Ok((values.collect(), Unit::Ns))
        };
        let found = search(2, false, Some(3), measure).unwrap();
        assert_eq!(asked, [(0, 1), (2, 1), (1, 1), (1, 3), (2, 3)]);
        assert_eq!(found.layouts, [(10.0, 20.0), (11.0, 21.0), (12.0, 22.0)]);
        let same = search(2, false, Some(3), |_, _| Ok((vec![1.0], Unit::Ns))).unwrap();
        assert_eq!((same.found, same.layouts), (None, vec![]));
    }

    #[test]
    fn one_layout_that_differs_is_told() {
        assert!(same_way(&[(1.0, 2.0), (5.0, 5.1)]));
        assert!(same_way(&[(2.0, 1.0), (5.0, 4.9)]));
        assert!(!same_way(&[(1.0, 2.0), (5.0, 4.9)]));
        assert!(!same_way(&[(1.0, 2.0), (5.0, 5.0)]));
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
                layouts: Vec::new(),
            },
            folder: PathBuf::from("results/x"),
        };
        insta::assert_snapshot!(outcome.to_text(), @r"
        delay_p50 by release, one sealed trial each
           0        100 µs     +0.000 %  6.1.0-50
           1        101 µs     +1.000 %  6.1.0-51  <-- here
           2        101 µs     +1.000 %  6.1.0-52
        6.1.0-51 moved delay_p50 by +1.000 %: 100 µs to 101 µs
        run: results/x
        ");
        assert_eq!(
            outcome.to_json()["found"],
            json!({"step": 1, "release": "6.1.0-51"})
        );
        outcome.searched.layouts = vec![(100_000.0, 101_000.0), (100_500.0, 100_000.0)];
        insta::assert_snapshot!(outcome.to_text(), @r"
        delay_p50 by release, one sealed trial each
           0        100 µs     +0.000 %  6.1.0-50
           1        101 µs     +1.000 %  6.1.0-51  <-- here
           2        101 µs     +1.000 %  6.1.0-52
        6.1.0-51 moved delay_p50 by +1.000 %: 100 µs to 101 µs
        in 2 layouts, each with packets of its own: +1.000 %, -0.498 %; not the same way in all of them, so it may be no more than where things lie in memory
        run: results/x
        ");
        let found = &outcome.to_json()["found"];
        assert_eq!(found["same_way"], json!(false));
        assert_eq!(
            found["layouts"][1],
            json!({"before": 100_500.0, "after": 100_000.0})
        );
    }
}
