//! The index of all nights: runs with their verdicts, what changed, and a sparkline a series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use maud::{Markup, PreEscaped, html};
use vifbench_store::{ReportFolder, history_folder};

use crate::error::ReportError;
use crate::history::{History, Series};
use crate::page::{shell, verdict_class};
use crate::stats::changes::Change;
use crate::text::{self, plural};

/// Points of a sparkline at most: as many as are told apart.
const POINTS: usize = 150;
/// Height and width of its own coordinates.
const HIGH: f64 = 30.0;
const WIDE: f64 = 150.0;
/// Runs and changes that stand unfolded.
const NEWEST: usize = 30;

/// One run, as far as the page tells of it.
struct Run<'h> {
    started: &'h str,
    scenario: &'h str,
    lab: &'h str,
    verdict: &'h str,
    ruler: &'h str,
}

/// Writes `history/index.html` of the runs in `out`.
///
/// # Errors
/// It cannot be written.
pub fn write_page(out: &Path, history: &History) -> Result<PathBuf, ReportError> {
    let folder = ReportFolder::create(history_folder(out))?;
    Ok(folder.write("index.html", page(history, out).as_bytes())?)
}

fn page(history: &History, out: &Path) -> String {
    let mut runs: BTreeMap<&str, Run<'_>> = BTreeMap::new();
    for series in &history.series {
        for night in &series.nights {
            runs.entry(&night.run).or_insert_with(|| Run {
                started: &night.started,
                scenario: &series.key.scenario,
                lab: &series.key.lab,
                verdict: &night.verdict,
                ruler: &night.ruler,
            });
        }
    }
    let mut runs: Vec<(&str, Run<'_>)> = runs.into_iter().collect();
    runs.sort_by(|a, b| (b.1.started, b.0).cmp(&(a.1.started, a.0)));
    let body = html! {
        header {
            p.over { "vifbench history" }
            h1 { "All nights" }
            p.about {
                (plural(history.runs, "run")) ", " (history.series.len()) " series"
                @if let (Some(first), Some(last)) = (runs.last(), runs.first()) {
                    ", from " (day(first.1.started)) " to " (day(last.1.started))
                }
            }
            nav {
                a href="#changes" { "Changes" } " " a href="#runs" { "Runs" } " " a href="#series" { "Series" } " "
                a href="#definitions" { "Definitions" }
            }
        }
        main {
            (changes(history))
            (all_runs(&runs, out))
            (all_series(history))
            section id="definitions" {
                h2 { "Definitions" }
                dl {
                    dt { "Series" }
                    dd { "The same number of the same variant, point of the sweep and guest, of the same scenario on the \
                          same lab, night by night: the median over the trials of a run." }
                    dt id="def-change" { "Change" }
                    dd { "Where the distribution of a series changes, found after the fact (E-divisive, Matteson and James \
                          2014; at least five nights on each side, p of at most 0.02 by 199 shuffles). A second opinion: \
                          the verdict of a night rests on that night alone." }
                    dt id="def-ruler" { "Ruler" }
                    dd { "A short name for the versions, CPUs, NICs and settings that a run was measured with. A dashed \
                          line marks a night on another ruler: what changes there may be the ruler." }
                }
            }
        }
        footer { "Made by " code { "vifbench history --page" } " from the files beside it." }
    };
    shell::page("vifbench: all nights", &body)
}

/// The day of an RFC 3339 time.
fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

fn changes(history: &History) -> Markup {
    let found = history.newest_changes();
    let table = |found: &[(&Series, &Change)]| {
        html! { div.scroll { table {
            thead { tr {
                th scope="col" { "first night" } th scope="col" { "series" } th.n scope="col" { "before" }
                th.n scope="col" { "since" } th.n scope="col" { "by" } th.n scope="col" { "p" }
                th scope="col" { a.def href="#def-ruler" { "ruler" } }
            } }
            tbody { @for (series, change) in found { (change_row(series, change)) } }
        } } }
    };
    let (newest, older) = found.split_at(found.len().min(NEWEST));
    html! {
        section id="changes" {
            h2 { "Changes" }
            @if found.is_empty() {
                p { "No series " a.def href="#def-change" { "changed" } "." }
            } @else {
                (table(newest))
                @if !older.is_empty() {
                    details { summary { (plural(older.len(), "older change")) } (table(older)) }
                }
            }
        }
    }
}

fn change_row(series: &Series, change: &Change) -> Markup {
    let night = &series.nights[change.at];
    html! { tr {
        td { (day(&night.started)) } td.wide { (series.key.title()) }
        td.n { (series.key.value(change.before)) } td.n { (series.key.value(change.after)) }
        td.n {
            @if change.before == 0.0 { "–" }
            @else { (text::signed_percent((change.after / change.before - 1.0) * 100.0)) }
        }
        td.n { (text::probability(change.p)) }
        td { @if series.ruler_changes.contains(&change.at) { "changed too" } @else { "the same" } }
    } }
}

fn all_runs(runs: &[(&str, Run<'_>)], out: &Path) -> Markup {
    let table = |runs: &[(&str, Run<'_>)]| {
        html! { div.scroll { table {
            thead { tr {
                th scope="col" { "started" } th scope="col" { "scenario" } th scope="col" { "lab" }
                th scope="col" { "verdict" } th scope="col" { a.def href="#def-ruler" { "ruler" } } th scope="col" { "report" }
            } }
            tbody { @for (name, run) in runs { tr {
                td { (run.started) } td { (run.scenario) } td { (run.lab) }
                td class=(verdict_class(run.verdict)) { (run.verdict) } td { (run.ruler) }
                td {
                    // Its folder may have been removed to keep within the room.
                    @if out.join(name).join("report/index.html").is_file() {
                        a href={ "../" (name) "/report/index.html" } { (name) }
                    } @else { (name) }
                }
            } } }
        } } }
    };
    let (newest, older) = runs.split_at(runs.len().min(NEWEST));
    html! {
        section id="runs" {
            h2 { "Runs" }
            @if runs.is_empty() { p { "There is none yet." } } @else { (table(newest)) }
            @if !older.is_empty() {
                details { summary { (plural(older.len(), "older run")) } (table(older)) }
            }
        }
    }
}

fn all_series(history: &History) -> Markup {
    let mut groups: BTreeMap<(&str, &str), Vec<&Series>> = BTreeMap::new();
    for series in &history.series {
        let key = (series.key.scenario.as_str(), series.key.lab.as_str());
        groups.entry(key).or_default().push(series);
    }
    html! {
        section id="series" {
            h2 { "Series" }
            p { "Upright lines: a " a.def href="#def-change" { "change" } " (solid), another "
                a.def href="#def-ruler" { "ruler" } " (dashed)." }
            @for ((scenario, lab), all) in groups {
                h3 { (scenario) " on " (lab) }
                @let (whole, flows): (Vec<&Series>, Vec<&Series>) = all.into_iter().partition(|s| s.key.to == "all");
                (table_of(&whole))
                @if !flows.is_empty() {
                    details { summary { "Guest by guest: " (flows.len()) " series" } (table_of(&flows)) }
                }
            }
        }
    }
}

fn table_of(series: &[&Series]) -> Markup {
    html! { div.scroll { table {
        thead { tr {
            th scope="col" { "variant" } th scope="col" { "rate" } th scope="col" { "to" } th scope="col" { "number" }
            th.n scope="col" { "nights" } th.n scope="col" { "last" } th.n scope="col" { "smallest" }
            th.n scope="col" { "largest" } th.n scope="col" { "changes" } th scope="col" { "oldest to newest" }
        } }
        tbody { @for s in series { (series_row(s)) } }
    } } }
}

fn series_row(series: &Series) -> Markup {
    let key = &series.key;
    let values = || series.nights.iter().map(|n| n.value);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let last = series.nights.last().map_or(0.0, |n| n.value);
    html! { tr {
        td { (key.variant) } td { @if key.rate.is_empty() { "–" } @else { (key.rate) } } td { (key.to) } td { (key.metric) }
        td.n { (series.nights.len()) } td.n { (key.value(last)) } td.n { (key.value(low)) } td.n { (key.value(high)) }
        td.n { (series.changes.len()) }
        td { (PreEscaped(sparkline(series, low, high))) }
    } }
}

/// All numbers, none of them text: nothing needs escaping.
fn sparkline(series: &Series, low: f64, high: f64) -> String {
    let n = series.nights.len();
    let x = |night: f64| (night + 0.5) / n as f64 * WIDE;
    let span = if high > low { high - low } else { 1.0 };
    // What never differs is drawn in the middle.
    let foot = if high > low { HIGH - 2.0 } else { HIGH / 2.0 };
    let y = |value: f64| foot - (value - low) / span * (HIGH - 4.0);
    let mut svg = format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDE} {HIGH}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{n} nights\">"
    );
    // Writing to a String cannot fail.
    for (nights, class) in [
        (&series.ruler_changes, "ruler"),
        (&series.changes.iter().map(|c| c.at).collect(), "change"),
    ] {
        for night in nights {
            let at = x(*night as f64 - 0.5);
            let _ = write!(
                svg,
                "<line class=\"{class}\" x1=\"{at:.1}\" y1=\"0\" x2=\"{at:.1}\" y2=\"{HIGH}\"/>"
            );
        }
    }
    svg.push_str("<polyline points=\"");
    // Of many nights the lowest and the highest of each stretch, so that a single bad one is seen.
    let stretch = (n * 2).div_ceil(POINTS).max(1);
    for (i, part) in series.nights.chunks(stretch).enumerate() {
        let indexed = || part.iter().enumerate();
        let least = indexed().min_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let most = indexed().max_by(|a, b| a.1.value.total_cmp(&b.1.value));
        let mut ends: Vec<usize> = [least, most]
            .into_iter()
            .flatten()
            .map(|(j, _)| j)
            .collect();
        ends.sort_unstable();
        ends.dedup();
        for j in ends {
            let night = (i * stretch + j) as f64;
            let _ = write!(svg, "{:.1},{:.1} ", x(night), y(part[j].value));
        }
    }
    svg.push_str("\"/></svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Key, Night};

    fn series(values: impl Iterator<Item = f64>) -> Series {
        let night = |(i, value): (usize, f64)| Night {
            run: format!("r{i}"),
            started: format!("2026-01-01T00:00:{:02}Z", i % 60),
            verdict: "PASS".into(),
            ruler: "x".into(),
            value,
            trials: 1,
        };
        Series {
            key: Key {
                scenario: "<b>s".into(),
                lab: "l".into(),
                variant: "v".into(),
                rate: String::new(),
                to: "all".into(),
                metric: "delay_p50".into(),
                unit: "ns".into(),
            },
            nights: values.enumerate().map(night).collect(),
            changes: Vec::new(),
            ruler_changes: vec![1],
        }
    }

    #[test]
    fn a_single_bad_night_among_many_is_seen() {
        let long = series((0..1000).map(|i| if i == 777 { 90.0 } else { 10.0 }));
        let svg = sparkline(&long, 10.0, 90.0);
        let points: Vec<&str> = svg
            .split("points=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .map(|all| all.split_whitespace().collect())
            .expect("points");
        assert!(points.len() <= POINTS + 2, "{}", points.len());
        assert_eq!(points.iter().filter(|p| p.ends_with(",2.0")).count(), 1);
    }

    #[test]
    fn names_are_escaped_and_missing_reports_are_not_linked() {
        let history = History {
            runs: 3,
            series: vec![series([1.0, 1.0, 1.0].into_iter())],
            ..History::default()
        };
        let page = page(&history, Path::new("/nonexistent"));
        assert!(page.contains("&lt;b&gt;s") && !page.contains("<b>s"));
        assert!(!page.contains("report/index.html"));
        assert!(page.contains("class=\"ruler\""));
    }
}
