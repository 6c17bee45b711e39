//! A run as one value: what `vifbench run` and `vifbench report` print, as text or JSON.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::scenario::Mode;
use vifbench_scenarios::units::Rate;
use vifbench_store::{Outcome, RunRecord};
use vifbench_wire::protocol::Sent;

use crate::compare::{Comparison, Finding};
use crate::metrics::containers::{Containers, Costs};
use crate::metrics::cpu::DomainUse;
use crate::metrics::flow::FlowMetrics;
use crate::metrics::transactions::Transactions;
use crate::packets::CaptureCount;
use crate::search::VariantSearch;
use crate::stats::median;
use crate::text;
use crate::verdict::Judgement;

/// Mark on everything that a virtual lab measured.
pub const VIRTUAL_MARK: &str = "virtual lab: instruction time, not hardware time";
/// Mark on everything that an open trial of a virtual lab measured.
pub const OPEN_MARK: &str = "open trials of a virtual lab: times mean nothing";

/// What became of a planned trial. In JSON it is one object: its `state`, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StateJson", into = "StateJson")]
pub enum TrialState {
    /// It ended, and its files could be read.
    Done(Outcome),
    /// Not finished yet.
    NotRun,
    /// Finished, but its files are missing or damaged.
    Unreadable {
        /// Which file, and what is wrong.
        reason: String,
    },
}

/// [`TrialState`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
enum StateJson {
    Complete,
    NotRun,
    Unreadable {
        reason: String,
    },
    Infra {
        reason: String,
    },
    Setup {
        reason: String,
    },
    DutCrash {
        reason: String,
        console: Vec<String>,
    },
}

impl From<TrialState> for StateJson {
    fn from(state: TrialState) -> Self {
        match state {
            TrialState::Done(Outcome::Complete) => Self::Complete,
            TrialState::Done(Outcome::Infra { reason }) => Self::Infra { reason },
            TrialState::Done(Outcome::Setup { reason }) => Self::Setup { reason },
            TrialState::Done(Outcome::DutCrash { reason, console }) => {
                Self::DutCrash { reason, console }
            }
            TrialState::NotRun => Self::NotRun,
            TrialState::Unreadable { reason } => Self::Unreadable { reason },
        }
    }
}

impl From<StateJson> for TrialState {
    fn from(state: StateJson) -> Self {
        match state {
            StateJson::Complete => Self::Done(Outcome::Complete),
            StateJson::Infra { reason } => Self::Done(Outcome::Infra { reason }),
            StateJson::Setup { reason } => Self::Done(Outcome::Setup { reason }),
            StateJson::DutCrash { reason, console } => {
                Self::Done(Outcome::DutCrash { reason, console })
            }
            StateJson::NotRun => Self::NotRun,
            StateJson::Unreadable { reason } => Self::Unreadable { reason },
        }
    }
}

impl TrialState {
    /// The trial was measured.
    pub fn is_complete(&self) -> bool {
        *self == Self::Done(Outcome::Complete)
    }

    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done(Outcome::Complete) => "complete",
            Self::NotRun => "not run",
            Self::Unreadable { .. } => "unreadable",
            Self::Done(Outcome::Infra { .. }) => "INFRA",
            Self::Done(Outcome::Setup { .. }) => "SETUP",
            Self::Done(Outcome::DutCrash { .. }) => "DUT-CRASH",
        }
    }

    /// Why the trial is not complete.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Done(Outcome::Complete) | Self::NotRun => None,
            Self::Unreadable { reason }
            | Self::Done(
                Outcome::Infra { reason }
                | Outcome::Setup { reason }
                | Outcome::DutCrash { reason, .. },
            ) => Some(reason),
        }
    }
}

/// Everything measured in one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialSummary {
    /// Its number in the run.
    pub number: u32,
    /// Its block.
    pub block: u32,
    /// In which layout of the virtual lab's memory it ran; 0 is the one that the lab boots into.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub layout: u32,
    /// The variant's name.
    pub variant: String,
    /// Point of the sweep.
    pub rate: Option<Rate>,
    /// Where the generator stood.
    pub mode: Mode,
    /// Its times may be judged: it was timed by clocks that packets and machines share. Only open trials of a virtual lab
    /// were not.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub times_count: bool,
    /// What became of it.
    pub state: TrialState,
    /// One row a flow.
    pub flows: Vec<FlowMetrics>,
    /// All flows together.
    pub total: Option<FlowMetrics>,
    /// CPU time by domain.
    pub domains: Vec<DomainUse>,
    /// Containers and what packets cost, by vif; empty with the packaged drivers.
    pub containers: Vec<Containers>,
    /// Flows that wait for answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transactions: Vec<Transactions>,
    /// What the generator says of itself.
    pub sent: Option<Sent>,
    /// What each capture held.
    pub captures: Vec<CaptureCount>,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
    /// Wall-clock seconds on the controller.
    pub wall_s: Option<f64>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_true(times_count: &bool) -> bool {
    *times_count
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(layout: &u32) -> bool {
    *layout == 0
}

impl TrialSummary {
    /// A trial of the plan, before anything is known of it.
    pub(crate) fn planned(run: &RunRecord, plan: &TrialPlan) -> Self {
        Self {
            number: plan.number,
            block: plan.block,
            layout: plan.layout,
            variant: plan.variant.name.clone(),
            rate: plan.rate,
            mode: plan.mode,
            times_count: run.times_count(plan),
            state: TrialState::NotRun,
            flows: Vec::new(),
            total: None,
            domains: Vec::new(),
            containers: Vec::new(),
            transactions: Vec::new(),
            sent: None,
            captures: Vec::new(),
            warnings: Vec::new(),
            wall_s: None,
        }
    }

    /// `shadow at 2000/s, block 2`.
    pub fn label(&self) -> String {
        let rate = self.rate.map(|r| format!(" at {r}")).unwrap_or_default();
        let layout = match self.layout {
            0 => String::new(),
            layout => format!(", layout {layout}"),
        };
        format!("{}{rate}, block {}{layout}", self.variant, self.block)
    }

    /// Rows of all flows, then the row of all together.
    pub fn rows(&self) -> impl Iterator<Item = &FlowMetrics> {
        self.flows.iter().chain(&self.total)
    }

    /// CPU use of domain 0.
    pub fn dom0(&self) -> Option<&DomainUse> {
        self.domains.iter().find(|d| d.domid == 0)
    }

    /// Packets in a container, for the vif of a guest or (none) for all vifs together.
    pub fn per_container(&self, guest: Option<&str>) -> Option<f64> {
        let of = || {
            self.containers
                .iter()
                .filter(move |w| guest.is_none() || w.guest.as_deref() == guest)
        };
        let containers: u64 = of().map(|w| w.containers).sum();
        let packets: u64 = of().map(|w| w.frames).sum();
        (containers > 0).then(|| packets as f64 / containers as f64)
    }

    /// What a packet cost, for the vif of a guest or (none) for all vifs together.
    pub fn costs(&self, guest: Option<&str>) -> Option<Costs> {
        let costs: Vec<Costs> = self
            .containers
            .iter()
            .filter(|w| guest.is_none() || w.guest.as_deref() == guest)
            .filter_map(|w| w.costs)
            .collect();
        Costs::of_all(&costs)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_state_is_written_as_it_always_was() {
        let reason = || "r".to_owned();
        let console = vec!["c".to_owned()];
        let states = [
            (TrialState::NotRun, r#"{"state":"not-run"}"#),
            (
                TrialState::Unreadable { reason: reason() },
                r#"{"state":"unreadable","reason":"r"}"#,
            ),
            (
                TrialState::Done(Outcome::Complete),
                r#"{"state":"complete"}"#,
            ),
            (
                TrialState::Done(Outcome::Infra { reason: reason() }),
                r#"{"state":"infra","reason":"r"}"#,
            ),
            (
                TrialState::Done(Outcome::Setup { reason: reason() }),
                r#"{"state":"setup","reason":"r"}"#,
            ),
            (
                TrialState::Done(Outcome::DutCrash {
                    reason: reason(),
                    console,
                }),
                r#"{"state":"dut-crash","reason":"r","console":["c"]}"#,
            ),
        ];
        for (state, json) in states {
            assert_eq!(serde_json::to_string(&state).unwrap(), json);
            assert_eq!(serde_json::from_str::<TrialState>(json).unwrap(), state);
        }
    }
}
