//! A run as one value: what `vifbench run` and `vifbench report` print, as text or JSON.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::units::Rate;
use vifbench_store::RunRecord;

use crate::compare::{Comparison, Finding};
use crate::metrics::flow::FlowMetrics;
use crate::search_results::VariantSearch;
use crate::stats::median;
use crate::text;
use crate::trial_summary::TrialSummary;
use crate::verdict::Judgement;

/// Mark on everything that a virtual lab measured.
pub const VIRTUAL_MARK: &str = "virtual lab: instruction time, not hardware time";
/// Mark on everything that an open trial of a virtual lab measured.
pub const OPEN_MARK: &str = "open trials of a virtual lab: times mean nothing";

/// One variant at one point of the sweep for one guest: the median over its trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantRow {
    /// Point of the sweep.
    pub rate: Option<Rate>,
    /// Flow number; none for all flows.
    pub flow: Option<u16>,
    /// The guest, or `all`.
    pub to: String,
    /// The variant.
    pub variant: String,
    /// Trials that were measured.
    pub trials: usize,
    /// Measured packets seen at `tx`, all trials.
    pub sent: u64,
    /// Of them lost.
    pub lost: u64,
    /// Duplicates that arrived.
    pub duplicated: u64,
    /// Arrived out of order.
    pub reordered: u64,
    /// Median over the trials of the p50 delay; none without a bound.
    pub delay_p50_ns: Option<f64>,
    /// The same of the p99 delay.
    pub delay_p99_ns: Option<f64>,
    /// The largest bound among the trials.
    pub delay_bound_ns: Option<i64>,
    /// Median over the trials of the mean |IPDV|.
    pub abs_ipdv_mean_ns: Option<f64>,
    /// Median over the trials of the p99 PDV.
    pub pdv_p99_ns: Option<f64>,
    /// Median over the trials of the mean RFC 3550 jitter.
    pub jitter_mean_ns: Option<f64>,
    /// Offered packets a second.
    pub offered_pps: f64,
    /// Median packets a second at `tx`.
    pub achieved_pps: Option<f64>,
    /// Median throughput.
    pub throughput_bps: Option<f64>,
    /// Median CPU use of dom0 in percent of one CPU; only in the row of all flows.
    pub dom0_percent: Option<f64>,
    /// Median CPU time of dom0 a packet; only in the row of all flows.
    pub dom0_ns_per_packet: Option<f64>,
    /// Median packets in a container, or in one that would have formed.
    pub per_container: Option<f64>,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's id.
    pub run: String,
    /// Version of vifbench that made it.
    pub vifbench: String,
    /// When it started.
    pub started: String,
    /// The scenario's name.
    pub scenario: String,
    /// The scenario's question.
    pub about: String,
    /// The lab's name.
    pub lab: String,
    /// What it was measured with ([`crate::ruler`]).
    pub ruler: String,
    /// Marks that go on every figure and table.
    pub marks: Vec<String>,
    /// The verdict.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// By rate, guest and variant.
    pub variants: Vec<VariantRow>,
    /// Every number against the base variant.
    pub comparisons: Vec<Comparison>,
    /// What a throughput search found; empty where there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<VariantSearch>,
    /// Every planned trial.
    pub trials: Vec<TrialSummary>,
}

impl RunSummary {
    pub(crate) fn new(
        run: &RunRecord,
        ruler: String,
        trials: Vec<TrialSummary>,
        comparisons: Vec<Comparison>,
        judgement: Judgement,
    ) -> Self {
        let names: Vec<&str> = run
            .scenario
            .variants
            .iter()
            .map(|v| v.name.as_str())
            .collect();
        Self {
            run: run.run.clone(),
            vifbench: run.vifbench.clone(),
            started: run.started.clone(),
            scenario: run.scenario.name.clone(),
            about: run.scenario.about.clone(),
            lab: run.lab.name.clone(),
            ruler,
            marks: marks(run),
            judgement,
            variants: variant_rows(&names, &trials),
            comparisons,
            search: Vec::new(),
            trials,
        }
    }

    /// Points of the sweep, in the order that they were first run, sorted by rate.
    pub fn rates(&self) -> Vec<Option<Rate>> {
        let mut rates: Vec<_> = self.trials.iter().map(|t| t.rate).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }

    /// Names of the variants, in the scenario's order.
    pub fn variant_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.variants {
            if !names.contains(&row.variant.as_str()) {
                names.push(&row.variant);
            }
        }
        names
    }

    /// The table for a terminal.
    pub fn to_text(&self) -> String {
        let judgement = &self.judgement;
        let mut lines = vec![
            format!("{} on {}, run {}", self.scenario, self.lab, self.run),
            format!("{}: {}", judgement.verdict, judgement.reason),
        ];
        // The first finding is the reason.
        lines.extend(
            judgement
                .findings
                .iter()
                .skip(1)
                .map(|finding| format!("  {finding}")),
        );
        lines.extend(self.marks.iter().map(|mark| format!("[{mark}]")));
        if self.variants.iter().any(|v| v.trials > 0) {
            lines.push(String::new());
            lines.extend(aligned(&self.cells()));
        }
        lines.extend(self.search.iter().flat_map(VariantSearch::in_words));
        lines.extend(self.short_comparisons());
        lines.push(String::new());
        lines.join("\n")
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let with_containers = self.variants.iter().any(|v| v.per_container.is_some());
        let mut header: Vec<String> = [
            "rate",
            "to",
            "variant",
            "trials",
            "sent",
            "lost",
            "delay p50",
            "p99",
            "bound",
            "|IPDV| mean",
            "PDV p99",
            "Mbit/s",
            "dom0 CPU",
        ]
        .map(str::to_owned)
        .into();
        if with_containers {
            header.push("packets/container".to_owned());
        }
        let mut rows = vec![header];
        let time = |ns: Option<f64>| ns.map_or_else(|| "-".to_owned(), text::time);
        for row in self.variants.iter().filter(|r| r.trials > 0) {
            let mut cells = vec![
                row.rate.map_or_else(|| "-".to_owned(), |r| r.to_string()),
                row.to.clone(),
                row.variant.clone(),
                row.trials.to_string(),
                row.sent.to_string(),
                row.lost.to_string(),
                time(row.delay_p50_ns),
                time(row.delay_p99_ns),
                row.delay_bound_ns.map_or_else(
                    || "none".to_owned(),
                    |b| format!("±{}", text::time(b as f64)),
                ),
                time(row.abs_ipdv_mean_ns),
                time(row.pdv_p99_ns),
                row.throughput_bps
                    .map_or_else(|| "-".to_owned(), text::mbits),
                row.dom0_percent.map_or_else(
                    || "-".to_owned(),
                    |p| format!("{} %", text::three_digits(p)),
                ),
            ];
            if with_containers {
                cells.push(
                    row.per_container
                        .map_or_else(|| "-".to_owned(), text::three_digits),
                );
            }
            rows.push(cells);
        }
        rows
    }

    /// The few comparisons that fit a terminal: the headlines.
    fn short_comparisons(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut heading = None;
        for c in self.comparisons.iter().filter(|c| c.is_headline()) {
            let this = (&c.other, c.rate);
            if heading != Some(this) {
                let rate = c.rate.map(|r| format!(" at {r}")).unwrap_or_default();
                lines.push(String::new());
                lines.push(format!(
                    "{} against {}{rate}, all flows, paired by block:",
                    c.other, c.base
                ));
                heading = Some(this);
            }
            let mark = match c.finding {
                Finding::Equal | Finding::Small | Finding::NotWorse => "=",
                Finding::CannotTell => "?",
                Finding::Higher => "+",
                Finding::Lower => "-",
            };
            lines.push(format!("  {mark} {}", c.sentence));
        }
        lines
    }
}

/// What goes on every figure and table of the run.
pub fn marks(run: &RunRecord) -> Vec<String> {
    let mut marks = Vec::new();
    if run.lab.is_virtual {
        marks.push(VIRTUAL_MARK.to_owned());
    }
    if run.plan.trials.iter().any(|t| !run.times_count(t)) {
        marks.push(OPEN_MARK.to_owned());
    }
    marks
}

/// Columns padded to their widest cell; the first three to the left, numbers to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(c, (cell, width))| match c {
                0..3 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn variant_rows(variants: &[&str], trials: &[TrialSummary]) -> Vec<VariantRow> {
    let mut rates: Vec<_> = trials.iter().map(|t| t.rate).collect();
    rates.sort_unstable();
    rates.dedup();
    let mut flows: Vec<(Option<u16>, String)> = Vec::new();
    for row in trials.iter().flat_map(TrialSummary::rows) {
        let key = (row.flow, row.to.clone());
        if !flows.contains(&key) {
            flows.push(key);
        }
    }
    // Flows first, the row of all last.
    flows.sort_by_key(|(flow, _)| (flow.is_none(), *flow));
    let mut rows = Vec::new();
    for rate in rates {
        for (flow, to) in &flows {
            for variant in variants {
                rows.push(variant_row(rate, *flow, to, variant, trials));
            }
        }
    }
    rows
}

fn variant_row(
    rate: Option<Rate>,
    flow: Option<u16>,
    to: &str,
    variant: &str,
    trials: &[TrialSummary],
) -> VariantRow {
    let of: Vec<(&TrialSummary, &FlowMetrics)> = trials
        .iter()
        .filter(|t| t.variant == variant && t.rate == rate)
        .filter_map(|t| Some((t, t.rows().find(|m| m.flow == flow)?)))
        .collect();
    let over = |pick: &dyn Fn(&TrialSummary, &FlowMetrics) -> Option<f64>| {
        let values: Vec<f64> = of.iter().filter_map(|(t, m)| pick(t, m)).collect();
        median(&values)
    };
    let sum = |pick: fn(&FlowMetrics) -> u64| of.iter().map(|(_, m)| pick(m)).sum();
    let guest = flow.map(|_| to);
    let dom0 = |t: &TrialSummary| match flow {
        None => t.dom0().cloned(),
        Some(_) => None,
    };
    VariantRow {
        rate,
        flow,
        to: to.to_owned(),
        variant: variant.to_owned(),
        trials: of.len(),
        sent: sum(|m| m.counts.sent),
        lost: sum(|m| m.counts.lost),
        duplicated: sum(|m| m.counts.duplicated),
        reordered: sum(|m| m.counts.reordered),
        delay_p50_ns: over(&|_, m| Some(m.delay?.p50 as f64)),
        delay_p99_ns: over(&|_, m| Some(m.delay?.p99 as f64)),
        delay_bound_ns: of
            .iter()
            .map(|(_, m)| m.delay_bound_ns)
            .try_fold(None, |worst: Option<i64>, bound| {
                Some(worst.max(Some(bound?)))
            })
            .flatten(),
        abs_ipdv_mean_ns: over(&|_, m| Some(m.abs_ipdv?.mean as f64)),
        pdv_p99_ns: over(&|_, m| Some(m.pdv?.p99 as f64)),
        jitter_mean_ns: over(&|_, m| m.jitter_mean_ns),
        offered_pps: of.first().map_or(0.0, |(_, m)| m.rates.offered_pps),
        achieved_pps: over(&|_, m| Some(m.rates.achieved_pps)),
        throughput_bps: over(&|_, m| Some(m.rates.throughput_bps)),
        dom0_percent: over(&|t, _| Some(dom0(t)?.percent)),
        dom0_ns_per_packet: over(&|t, _| dom0(t)?.ns_per_packet),
        per_container: over(&|t, _| t.per_container(guest)),
    }
}
