//! The history: what every run of a lab measured, as one small Parquet file a run in `history/` beside the runs. It stays
//! when a run's captures are removed to save room.
//!
//! Change points over it are a second opinion: they see slow drift that no single night shows, but need several nights
//! behind a change. The verdict of a night rests on that night alone.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::*;
use serde::Serialize;
use vifbench_store::{NewFile, StoreError, files, history_folder};

pub use self::page::write_page;
use crate::compare::{self, Better, Unit};
use crate::error::ReportError;
use crate::stats::changes::{Change, changes};
use crate::stats::median;
use crate::summary::RunSummary;
use crate::tables;
use crate::text;

/// One number of one night.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Night {
    /// The run.
    pub run: String,
    /// When it started, RFC 3339, UTC.
    pub started: String,
    /// Its verdict.
    pub verdict: String,
    /// Its ruler.
    pub ruler: String,
    /// Median over the trials.
    pub value: f64,
    /// Trials.
    pub trials: u32,
}

/// What makes a series: the same number of the same thing on the same lab.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// The scenario's name.
    pub scenario: String,
    /// The lab's name.
    pub lab: String,
    /// The variant.
    pub variant: String,
    /// Point of the sweep as written, or nothing.
    pub rate: String,
    /// The guest, or `all`.
    pub to: String,
    /// The metric.
    pub metric: String,
    /// Its unit.
    pub unit: String,
}

impl Key {
    /// For a person: `small-packets on bench: shadow at 1000/s to u1, delay_p99`.
    pub fn title(&self) -> String {
        let rate = if self.rate.is_empty() {
            String::new()
        } else {
            format!(" at {}", self.rate)
        };
        format!(
            "{} on {}: {}{rate} to {}, {}",
            self.scenario, self.lab, self.variant, self.to, self.metric
        )
    }

    /// A value with its unit.
    pub fn value(&self, value: f64) -> String {
        Unit::from_name(&self.unit)
            .map_or_else(|| text::three_digits(value), |unit| unit.value(value))
    }
}

/// One number over all nights, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// What it is.
    pub key: Key,
    /// Every night.
    pub nights: Vec<Night>,
    /// Where it changed, by night index.
    pub changes: Vec<Change>,
    /// Where the ruler changed: indices of the first night on another.
    pub ruler_changes: Vec<usize>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct History {
    /// Distinct runs that were read and that carry numbers.
    pub runs: usize,
    /// Every series.
    pub series: Vec<Series>,
    /// Runs that are INFRA, SETUP or DUT-CRASH: what is left of them is no night of a series.
    pub failed: Vec<String>,
    /// Files that could not be read, one sentence each; each costs only its own night.
    pub unreadable: Vec<String>,
}

/// Writes what a run measured into the history of the folder that it lies in.
pub fn record(out: &Path, summary: &RunSummary) -> Result<PathBuf, ReportError> {
    let path = history_folder(out).join(format!("{}.parquet", summary.run));
    let measured = compare::measured(&summary.trials);
    let mut rows: Vec<(&compare::Measured, f64)> = Vec::new();
    for m in &measured {
        rows.extend(median(&m.values).map(|value| (m, value)));
    }
    let text = |name: &str, pick: &dyn Fn(&compare::Measured) -> String| {
        tables::column(
            name,
            rows.iter().map(|(m, _)| pick(m)).collect::<Vec<String>>(),
        )
    };
    let columns = vec![
        text("run", &|_| summary.run.clone()),
        text("started", &|_| summary.started.clone()),
        text("scenario", &|_| summary.scenario.clone()),
        text("lab", &|_| summary.lab.clone()),
        text("ruler", &|_| summary.ruler.clone()),
        text("verdict", &|_| summary.judgement.verdict.to_string()),
        text("variant", &|m| m.variant.clone()),
        text("rate", &|m| {
            m.rate.map_or_else(String::new, |r| r.to_string())
        }),
        text("to", &|m| m.to.clone()),
        text("metric", &|m| m.metric.to_owned()),
        text("unit", &|m| m.unit.name().to_owned()),
        tables::column("value", rows.iter().map(|(_, v)| *v).collect::<Vec<f64>>()),
        tables::column(
            "trials",
            rows.iter()
                .map(|(m, _)| m.values.len() as u32)
                .collect::<Vec<u32>>(),
        ),
    ];
    let frame = tables::frame(&path, rows.len(), columns)?;
    let file = NewFile::create(path)?;
    tables::write_parquet(file, frame, tables::about(&summary.run, &summary.marks))
}

/// Reads the whole history of the runs in `out`, with change points.
///
/// A run counts once, however many copies of its file there are. A run that failed as a whole is named and left out, and so
/// is a file that cannot be read.
///
/// # Errors
/// There is no such folder, or the folder has no history and is therefore none of runs.
pub fn read(out: &Path) -> Result<History, ReportError> {
    let folder = history_folder(out);
    if !files::exists(&folder)? {
        return Err(ReportError::NoHistory {
            folder: out.to_owned(),
        });
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(StoreError::read(&folder))? {
        let path = entry.map_err(StoreError::read(&folder))?.path();
        if path.extension().is_some_and(|e| e == "parquet") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut history = History::default();
    let mut series: BTreeMap<Key, Vec<Night>> = BTreeMap::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut failed: BTreeSet<String> = BTreeSet::new();
    for path in &paths {
        let rows = match read_run(path) {
            Ok(rows) => rows,
            Err(error) => {
                history.unreadable.push(error.to_string());
                continue;
            }
        };
        // Before this file: what a run has in it is one night, and a copy of the file says nothing new.
        let known = seen.clone();
        for (key, night) in rows {
            if known.contains(&night.run) {
                continue;
            }
            seen.insert(night.run.clone());
            if FAILED.contains(&night.verdict.as_str()) {
                failed.insert(night.run);
            } else {
                series.entry(key).or_default().push(night);
            }
        }
    }
    history.runs = seen.len() - failed.len();
    history.failed = failed.into_iter().collect();
    history.series = series
        .into_iter()
        .map(|(key, mut nights)| {
            nights.sort_by(|a, b| (&a.started, &a.run).cmp(&(&b.started, &b.run)));
            let values: Vec<f64> = nights.iter().map(|n| n.value).collect();
            let ruler_changes = (1..nights.len())
                .filter(|i| nights[*i].ruler != nights[i - 1].ruler)
                .collect();
            Series {
                key,
                changes: changes(&values),
                nights,
                ruler_changes,
            }
        })
        .collect();
    Ok(history)
}

/// Verdicts of runs that failed as a whole, as they stand in the history.
const FAILED: [&str; 3] = ["INFRA", "SETUP", "DUT-CRASH"];

/// Every number in the file of one run.
fn read_run(path: &Path) -> Result<Vec<(Key, Night)>, ReportError> {
    let bad = |error: PolarsError| ReportError::History {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(StoreError::read(path))?;
    let frame = ParquetReader::new(file).finish().map_err(bad)?;
    let text = |name: &str| -> Result<Vec<String>, PolarsError> {
        Ok(frame
            .column(name)?
            .str()?
            .iter()
            .map(|v| v.unwrap_or_default().to_owned())
            .collect())
    };
    let [
        run,
        started,
        scenario,
        lab,
        ruler,
        verdict,
        variant,
        rate,
        to,
        metric,
        unit,
    ] = [
        "run", "started", "scenario", "lab", "ruler", "verdict", "variant", "rate", "to", "metric",
        "unit",
    ]
    .map(text);
    let (run, started, scenario, lab, ruler, verdict) = (
        run.map_err(bad)?,
        started.map_err(bad)?,
        scenario.map_err(bad)?,
        lab.map_err(bad)?,
        ruler.map_err(bad)?,
        verdict.map_err(bad)?,
    );
    let (variant, rate, to, metric, unit) = (
        variant.map_err(bad)?,
        rate.map_err(bad)?,
        to.map_err(bad)?,
        metric.map_err(bad)?,
        unit.map_err(bad)?,
    );
    let values = frame.column("value").and_then(|c| c.f64().cloned());
    let trials = frame.column("trials").and_then(|c| c.u32().cloned());
    let (values, trials) = (values.map_err(bad)?, trials.map_err(bad)?);
    let mut rows = Vec::new();
    for (i, (value, n)) in values.iter().zip(trials.iter()).enumerate() {
        let (Some(value), Some(n)) = (value, n) else {
            continue;
        };
        if !value.is_finite() {
            continue;
        }
        let key = Key {
            scenario: scenario[i].clone(),
            lab: lab[i].clone(),
            variant: variant[i].clone(),
            rate: rate[i].clone(),
            to: to[i].clone(),
            metric: metric[i].clone(),
            unit: unit[i].clone(),
        };
        let night = Night {
            run: run[i].clone(),
            started: started[i].clone(),
            verdict: verdict[i].clone(),
            ruler: ruler[i].clone(),
            value,
            trials: n,
        };
        rows.push((key, night));
    }
    Ok(rows)
}

impl History {
    /// One CSV a scenario, lab, variant, rate and guest, as Apache Otava's CSV importer reads them: a column `time`, a
    /// column for every metric, the run as an attribute. With the Otava configuration that names them. File name and text.
    pub fn otava(&self) -> Vec<(String, String)> {
        let mut tables: BTreeMap<(String, String), Vec<&Series>> = BTreeMap::new();
        for series in &self.series {
            let k = &series.key;
            let name = [&k.scenario, &k.lab, &k.variant, &k.rate, &k.to]
                .map(|part| {
                    part.chars()
                        .map(|c| {
                            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                                c
                            } else {
                                '_'
                            }
                        })
                        .collect::<String>()
                })
                .join("+");
            tables
                .entry((name, String::new()))
                .or_default()
                .push(series);
        }
        let mut files = Vec::new();
        let mut config =
            String::from("# For Apache Otava: otava analyze --config otava.yaml\ntests:\n");
        for ((name, _), series) in &tables {
            let mut nights: BTreeSet<(&str, &str)> = BTreeSet::new();
            let mut values: BTreeMap<(&str, &str), f64> = BTreeMap::new();
            for s in series {
                for night in &s.nights {
                    nights.insert((&night.started, &night.run));
                    values.insert((&night.run, &s.key.metric), night.value);
                }
            }
            let metrics: Vec<&str> = series.iter().map(|s| s.key.metric.as_str()).collect();
            let mut csv = format!("time,run,{}\n", metrics.join(","));
            for (started, run) in nights {
                let cells: Vec<String> = metrics
                    .iter()
                    .map(|m| {
                        values
                            .get(&(run, *m))
                            .map_or_else(String::new, f64::to_string)
                    })
                    .collect();
                // Writing to a String cannot fail.
                let _ = writeln!(csv, "{started},{run},{}", cells.join(","));
            }
            files.push((format!("{name}.csv"), csv));
            let _ = write!(
                config,
                "  \"{name}\":\n    type: csv\n    file: \"{name}.csv\"\n    time_column: time\n    attributes: [run]\n    \
                 metrics:\n"
            );
            for s in series {
                let direction = match compare::better(&s.key.metric) {
                    Some(Better::Higher) => 1,
                    Some(Better::Lower) => -1,
                    // Of another version: Otava then reports its changes, and calls none a regression.
                    None => 0,
                };
                let _ = writeln!(
                    config,
                    "      {m}: {{column: {m}, direction: {direction}}}",
                    m = s.key.metric
                );
            }
        }
        files.push(("otava.yaml".to_owned(), config));
        files
    }

    /// Every change with its series, the newest first.
    pub fn newest_changes(&self) -> Vec<(&Series, &Change)> {
        let mut found: Vec<(&Series, &Change)> = self
            .series
            .iter()
            .flat_map(|s| s.changes.iter().map(move |c| (s, c)))
            .collect();
        found.sort_by(|(a, c), (b, d)| {
            let at = |s: &Series, c: &Change| s.nights[c.at].started.clone();
            at(b, d).cmp(&at(a, c)).then_with(|| a.key.cmp(&b.key))
        });
        found
    }

    /// The series that changed, newest change first, for a terminal.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{}, {} series\n",
            text::plural(self.runs, "run"),
            self.series.len()
        );
        if !self.failed.is_empty() {
            let _ = writeln!(
                out,
                "{} left out because they failed: {}",
                text::plural(self.failed.len(), "run"),
                self.failed.join(", ")
            );
        }
        for problem in &self.unreadable {
            let _ = writeln!(out, "not read: {problem}");
        }
        let found = self.newest_changes();
        if found.is_empty() {
            out.push_str("no change point\n");
        }
        for (series, change) in found {
            let night = &series.nights[change.at];
            let percent = if change.before == 0.0 {
                String::new()
            } else {
                format!(
                    " ({})",
                    text::signed_percent((change.after / change.before - 1.0) * 100.0)
                )
            };
            let ruler = if series.ruler_changes.contains(&change.at) {
                "; the ruler changed with it"
            } else {
                ""
            };
            let _ = writeln!(
                out,
                "{}  {}: {} -> {}{percent}, {}{ruler}",
                night.run,
                series.key.title(),
                series.key.value(change.before),
                series.key.value(change.after),
                text::p_value(change.p),
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otava_learns_which_way_every_number_gets_better() {
        let names = vifbench_scenarios::judge::METRICS;
        let series = names
            .into_iter()
            .chain(["of_another_version"])
            .map(|metric| Series {
                key: Key {
                    scenario: "s".into(),
                    lab: "l".into(),
                    variant: "v".into(),
                    rate: String::new(),
                    to: "all".into(),
                    metric: metric.into(),
                    unit: "ns".into(),
                },
                nights: Vec::new(),
                changes: Vec::new(),
                ruler_changes: Vec::new(),
            })
            .collect();
        let files = History {
            series,
            ..History::default()
        }
        .otava();
        let (name, config) = files.last().expect("the configuration");
        assert_eq!(name, "otava.yaml");
        let with = |direction: i32| -> Vec<&str> {
            let end = format!(", direction: {direction}}}");
            config
                .lines()
                .filter(|line| line.ends_with(&end))
                .filter_map(|line| line.trim().split(':').next())
                .collect()
        };
        assert_eq!(with(1), ["throughput", "transactions", "tcp_goodput"]);
        assert_eq!(with(-1).len(), names.len() - 3);
        assert_eq!(with(0), ["of_another_version"]);
    }
}
