//! The verdict on a run.
//!
//! First, whether the run answers its question at all: trials there, packets accounted for, delays with bounds. Then what
//! the comparisons say. Only what counts decides ([`crate::compare`]), and nobody's known regression does.

use std::fmt;

use serde::{Deserialize, Serialize};
use vifbench_scenarios::acknowledged::{Acknowledgement, Acknowledgements};
use vifbench_scenarios::judge::{JudgeBy, Least};
use vifbench_store::{Outcome, RunRecord};

use crate::compare::{Comparison, Finding, Meaning};
use crate::metrics::transactions::Transactions;
use crate::search_results::VariantSearch;
use crate::trial_summary::{TrialState, TrialSummary};

/// The kinds of verdict; the command line has one exit code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// Complete, and nothing judged differs by as much as matters.
    Pass,
    /// A variant is better than the base in at least one judged number, none is worse, and none is undecided.
    Improvement,
    /// A variant is worse than the base in at least one judged number.
    Regression,
    /// The evidence does not decide, or does not carry a claim.
    Inconclusive,
    /// The lab failed, or data are missing.
    Infra,
    /// A variant could not be brought up.
    Setup,
    /// The device under test died.
    DutCrash,
}

impl Verdict {
    /// All of them, the gravest first: a run gets the first that applies.
    pub const ALL: [Self; 7] = [
        Self::DutCrash,
        Self::Setup,
        Self::Infra,
        Self::Regression,
        Self::Inconclusive,
        Self::Improvement,
        Self::Pass,
    ];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
            Self::Improvement => "IMPROVEMENT",
            Self::Regression => "REGRESSION",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Infra => "INFRA",
            Self::Setup => "SETUP",
            Self::DutCrash => "DUT-CRASH",
        })
    }
}

/// A verdict and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub reason: String,
    /// Everything that stands against a better verdict, one sentence each.
    pub findings: Vec<String>,
    /// What each of the findings is, in the same order.
    #[serde(default)]
    pub grounds: Vec<Ground>,
}

impl Judgement {
    /// Whether the comparison with this index is a regression that is acknowledged.
    pub fn acknowledges(&self, comparison: usize) -> bool {
        let known = |g: &&Ground| g.kind == GroundKind::Acknowledged;
        self.grounds
            .iter()
            .filter(known)
            .any(|g| g.comparisons.contains(&comparison))
    }
}

/// What a finding is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// Its kind.
    pub kind: GroundKind,
    /// Indices in the run's list of comparisons, where it rests on one. Of a single flow the row of all flows and that of
    /// the flow say the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<usize>,
}

/// The kinds of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroundKind {
    /// The device under test died in a trial.
    Crash,
    /// A variant could not be brought up.
    Setup,
    /// The lab failed a trial, or it was not run.
    Infra,
    /// A metric is worse than the base's.
    Worse,
    /// The numbers of a trial or of a search do not carry a claim.
    Doubt,
    /// A metric is better than the base's.
    Better,
    /// The evidence of a comparison does not decide.
    Open,
    /// A metric is worse, and that is acknowledged.
    Acknowledged,
}

/// Packets that may be missing at `tx` before the traffic is not what was asked, in packets of 1000.
const MISSING_AT_TX: u64 = 10;

/// Judges a run. A crash outweighs a failed set-up, that a failed lab, that a regression, that a doubtful number, that
/// an undecided one.
pub fn judge(
    run: &RunRecord,
    trials: &[TrialSummary],
    comparisons: &[Comparison],
    searches: &[VariantSearch],
    known: &Acknowledgements,
) -> Judgement {
    let mut crashed = Vec::new();
    let mut setup = Vec::new();
    let mut infra = Vec::new();
    let mut doubts = Vec::new();
    let load = if searches.is_empty() {
        Load::Given
    } else {
        Load::Searched
    };
    for trial in trials {
        let which = format!("trial {} ({})", trial.number, trial.label());
        match &trial.state {
            TrialState::Done(Outcome::Complete) => {
                doubts.extend(
                    doubts_about(trial, load)
                        .into_iter()
                        .map(|d| format!("{which}: {d}")),
                );
            }
            TrialState::Done(Outcome::DutCrash { reason, .. }) => {
                crashed.push(format!("{which} crashed: {reason}"));
            }
            TrialState::Done(Outcome::Setup { reason }) => {
                setup.push(format!("{which} could not be brought up: {reason}"));
            }
            TrialState::Done(Outcome::Infra { reason }) => {
                infra.push(format!("{which} failed: {reason}"));
            }
            TrialState::Unreadable { reason } => infra.push(format!("{which}: {reason}")),
            TrialState::NotRun => {
                infra.push(format!(
                    "{which} was not run: `vifbench resume {}` runs it",
                    run.run
                ));
            }
        }
    }
    doubts.extend(searches.iter().flat_map(VariantSearch::doubts));
    let told = told(run, comparisons, known);
    let n = trials.len();
    let verdict = if !crashed.is_empty() {
        Verdict::DutCrash
    } else if !setup.is_empty() {
        Verdict::Setup
    } else if !infra.is_empty() || n == 0 {
        Verdict::Infra
    } else if !told.worse.is_empty() {
        Verdict::Regression
    } else if !doubts.is_empty() || !told.open.is_empty() {
        // What is better hides nothing that is undecided.
        Verdict::Inconclusive
    } else if !told.better.is_empty() {
        Verdict::Improvement
    } else {
        Verdict::Pass
    };
    // Of a doubtful run the doubt is what a reader must know first.
    let (findings, grounds): (Vec<String>, Vec<Ground>) = of_kind(GroundKind::Crash, crashed)
        .chain(of_kind(GroundKind::Setup, setup))
        .chain(of_kind(GroundKind::Infra, infra))
        .chain(told.worse)
        .chain(of_kind(GroundKind::Doubt, doubts))
        .chain(told.open)
        .chain(told.better)
        .chain(told.known)
        .unzip();
    if verdict == Verdict::Pass {
        return Judgement {
            verdict,
            reason: pass_reason(run, trials, comparisons),
            findings,
            grounds,
        };
    }
    let reason = match findings.first() {
        Some(first) if findings.len() > 1 => {
            format!("{first} (and {} more)", findings.len() - 1)
        }
        Some(first) => first.clone(),
        None => "the plan has no trial".to_owned(),
    };
    Judgement {
        verdict,
        reason,
        findings,
        grounds,
    }
}

/// A sentence and what it is.
type Told = (String, Ground);

fn of_kind(kind: GroundKind, sentences: Vec<String>) -> impl Iterator<Item = Told> {
    let ground = move || Ground {
        kind,
        comparisons: Vec::new(),
    };
    sentences
        .into_iter()
        .map(move |sentence| (sentence, ground()))
}

/// What the comparisons say.
#[derive(Default)]
struct Comparisons {
    worse: Vec<Told>,
    better: Vec<Told>,
    open: Vec<Told>,
    /// Regressions that are acknowledged.
    known: Vec<Told>,
}

fn told(run: &RunRecord, comparisons: &[Comparison], known: &Acknowledgements) -> Comparisons {
    let mut told = Comparisons::default();
    // The row of all flows says nothing new where there is one flow only.
    let flows = run.scenario.traffic.len();
    let mut judged: Vec<&Comparison> = comparisons
        .iter()
        .filter(|c| c.judged && (flows > 1 || c.flow.is_none()))
        .collect();
    // The clearest first; the order of equals stays.
    judged.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    for c in judged {
        let sentence = format!("{}: {}", c.place(), c.sentence.trim_end_matches('.'));
        let same = |d: &Comparison| {
            let said = |x: &Comparison| (x.metric.clone(), x.rate, x.other.clone());
            std::ptr::eq(c, d) || (flows == 1 && d.judged && said(c) == said(d))
        };
        let ground = |kind| Ground {
            kind,
            comparisons: (0..)
                .zip(comparisons)
                .filter_map(|(index, d)| same(d).then_some(index))
                .collect(),
        };
        match c.meaning {
            Meaning::Worse => match acknowledged(run, c, known) {
                Known::Yes(entry) => told.known.push((
                    format!(
                        "{sentence}; acknowledged until {}: {}",
                        entry.expires, entry.reason
                    ),
                    ground(GroundKind::Acknowledged),
                )),
                Known::Expired(entry) => told.worse.push((
                    format!(
                        "{sentence}; its acknowledgement expired on {}",
                        entry.expires
                    ),
                    ground(GroundKind::Worse),
                )),
                Known::No => told.worse.push((sentence, ground(GroundKind::Worse))),
            },
            Meaning::Better => told.better.push((sentence, ground(GroundKind::Better))),
            Meaning::Neither if c.is_open() => {
                told.open.push((sentence, ground(GroundKind::Open)));
            }
            Meaning::Neither => {}
        }
    }
    told
}

/// How many times what matters the difference is.
fn weight(c: &Comparison) -> f64 {
    if c.threshold.size > 0.0 {
        c.mean.abs() / c.threshold.size
    } else {
        c.mean.abs()
    }
}

enum Known<'a> {
    Yes(&'a Acknowledgement),
    Expired(&'a Acknowledgement),
    No,
}

/// Whether a regression is acknowledged on the day that the run started.
fn acknowledged<'a>(run: &RunRecord, c: &Comparison, known: &'a Acknowledgements) -> Known<'a> {
    let fits = |entry: &&Acknowledgement| {
        entry.metric == c.metric
            && entry.variant.as_ref().is_none_or(|v| *v == c.other)
            && entry
                .scenario
                .as_ref()
                .is_none_or(|s| *s == run.scenario.name)
            && entry.rate.is_none_or(|r| Some(r) == c.rate)
            && entry.to.as_ref().is_none_or(|to| *to == c.to)
            && match entry.up_to {
                None | Some(Least::Ignored) => true,
                Some(Least::Percent(most)) => c.percent.is_some_and(|p| p.abs() <= most),
                Some(Least::Time(most)) => c.mean.abs() <= most.nanos() as f64,
            }
    };
    let day = run.started.get(..10).unwrap_or_default();
    let mut expired = None;
    for entry in known.acknowledged.iter().filter(fits) {
        // Days as text compare as days do.
        if day <= entry.expires.as_str() {
            return Known::Yes(entry);
        }
        expired = Some(entry);
    }
    expired.map_or(Known::No, Known::Expired)
}

fn pass_reason(run: &RunRecord, trials: &[TrialSummary], comparisons: &[Comparison]) -> String {
    let packets: u64 = trials
        .iter()
        .filter_map(|t| t.total.as_ref())
        .map(|t| t.counts.sent)
        .sum();
    let lost: u64 = trials
        .iter()
        .filter_map(|t| t.total.as_ref())
        .map(|t| t.counts.lost)
        .sum();
    let all = match trials.len() {
        1 => "the one trial is complete".to_owned(),
        n => format!("all {n} trials are complete"),
    };
    let times = if trials.iter().all(|t| t.times_count) {
        "delays carry their error bounds"
    } else {
        "open trials of a virtual lab show that the path works, their times mean nothing"
    };
    let differences = match run.scenario.judge.by {
        _ if run.scenario.variants.len() < 2 => "there is no variant to compare".to_owned(),
        JudgeBy::Completeness => "differences are shown, not judged".to_owned(),
        JudgeBy::Differences => {
            let judged = comparisons.iter().filter(|c| c.judged);
            let (mut equal, mut small, mut not_worse) = (0, 0, 0);
            for c in judged {
                match c.finding {
                    Finding::Equal => equal += 1,
                    Finding::Small => small += 1,
                    Finding::NotWorse => not_worse += 1,
                    Finding::CannotTell | Finding::Higher | Finding::Lower => {}
                }
            }
            format!(
                "no judged metric is worse by as much as matters ({equal} equal, {small} different by less than matters, \
                 {not_worse} not worse)"
            )
        }
    };
    format!("{all}; {packets} measured packets, {lost} of them lost; {times}; {differences}")
}

/// How a trial's load was chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// By the scenario: all of it must be sent.
    Given,
    /// By a search, which asks for more than can be sent and tells so itself.
    Searched,
}

/// What stands against the numbers of a complete trial.
fn doubts_about(trial: &TrialSummary, load: Load) -> Vec<String> {
    let mut doubts = Vec::new();
    let Some(total) = &trial.total else {
        return vec!["it was not measured".to_owned()];
    };
    // What TCP sends is not captured: it is known by its answers.
    let answered = |t: &Transactions| t.transactions > 0 || t.tcp.is_some();
    let packets = trial.flows.len()
        > trial
            .transactions
            .iter()
            .filter(|t| t.tcp.is_some())
            .count();
    for flow in &trial.transactions {
        if !answered(flow) {
            doubts.push(format!("no request to {} was answered", flow.to));
        }
        if flow.corrupt > 0 {
            doubts.push(format!(
                "{} bytes or packets to or from {} came other than they were sent",
                flow.corrupt, flow.to
            ));
        }
    }
    if !packets {
        // All flows are TCP.
    } else if total.counts.sent == 0 {
        doubts.push("no packet was seen at tx in the measured part".to_owned());
    } else if total.counts.received == 0 {
        doubts.push("no packet arrived in the measured part".to_owned());
    }
    let captured: u64 = trial.captures.iter().map(|c| c.dropped_kernel).sum();
    if captured > 0 {
        doubts.push(format!(
            "captures dropped {captured} packets, so that losses cannot be told from gaps"
        ));
    }
    if let Some(sent) = trial.sent.as_ref().filter(|_| load == Load::Given)
        && (sent.due - sent.sent.min(sent.due)) * 1000 > sent.due * MISSING_AT_TX
    {
        doubts.push(format!(
            "the generator sent {} of {} packets that were due: the traffic is not what was asked",
            sent.sent, sent.due
        ));
    }
    for flow in &trial.flows {
        if trial.times_count && flow.counts.matched > 0 && flow.delay_bound_ns.is_none() {
            doubts.push(format!("delays to {} have no error bound", flow.to));
        }
        if let (Some(delay), Some(bound)) = (flow.delay, flow.delay_bound_ns)
            && delay.min < -bound
        {
            doubts.push(format!("delays to {} break their error bound", flow.to));
        }
    }
    doubts
}
