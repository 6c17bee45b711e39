//! The verdict on a run.
//!
//! This version judges whether the run answers its question: all trials there, every packet accounted for, delays with
//! bounds. Whether a difference between variants matters is told by each comparison, not by the verdict.

use std::fmt;

use serde::{Deserialize, Serialize};
use vifbench_scenarios::scenario::Mode;

use crate::store::RunRecord;
use crate::summary::{TrialState, TrialSummary};

/// The kinds of verdict; the command line has one exit code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// Complete, and the numbers carry what they claim.
    Pass,
    /// Complete, but the numbers do not carry a claim.
    Inconclusive,
    /// The lab failed, or data are missing.
    Infra,
    /// A variant could not be brought up.
    Setup,
    /// The device under test died.
    DutCrash,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "PASS",
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
}

/// Packets that may be missing at `tx` before the traffic is not what was asked, in packets of 1000.
const MISSING_AT_TX: u64 = 10;

/// Judges a run. A crash outweighs a failed set-up, that a failed lab, that a doubtful number.
pub fn judge(run: &RunRecord, trials: &[TrialSummary]) -> Judgement {
    let mut crashed = Vec::new();
    let mut setup = Vec::new();
    let mut infra = Vec::new();
    let mut doubts = Vec::new();
    for trial in trials {
        let which = format!("trial {} ({})", trial.number, trial.label());
        match &trial.state {
            TrialState::Complete => {
                doubts.extend(
                    doubts_about(trial)
                        .into_iter()
                        .map(|d| format!("{which}: {d}")),
                );
            }
            TrialState::DutCrash { reason, .. } => {
                crashed.push(format!("{which} crashed: {reason}"));
            }
            TrialState::Setup { reason } => {
                setup.push(format!("{which} could not be brought up: {reason}"));
            }
            TrialState::Infra { reason } => infra.push(format!("{which} failed: {reason}")),
            TrialState::Unreadable { reason } => infra.push(format!("{which}: {reason}")),
            TrialState::NotRun => {
                infra.push(format!(
                    "{which} was not run: `vifbench resume {}` runs it",
                    run.run
                ));
            }
        }
    }
    let n = trials.len();
    let verdict = if !crashed.is_empty() {
        Verdict::DutCrash
    } else if !setup.is_empty() {
        Verdict::Setup
    } else if !infra.is_empty() || n == 0 {
        Verdict::Infra
    } else if !doubts.is_empty() {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let findings: Vec<String> = crashed
        .into_iter()
        .chain(setup)
        .chain(infra)
        .chain(doubts)
        .collect();
    let reason = match (verdict, findings.first()) {
        (Verdict::Pass, _) => pass_reason(run, trials),
        (_, Some(first)) if findings.len() > 1 => {
            format!("{first} (and {} more)", findings.len() - 1)
        }
        (_, Some(first)) => first.clone(),
        (_, None) => "the plan has no trial".to_owned(),
    };
    Judgement {
        verdict,
        reason,
        findings,
    }
}

fn pass_reason(run: &RunRecord, trials: &[TrialSummary]) -> String {
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
    let times = match run.scenario.mode {
        Mode::Sealed => "delays carry their error bounds",
        Mode::Open => "an open run shows that the path works, its times mean nothing",
    };
    format!("{all}; {packets} measured packets, {lost} of them lost; {times}")
}

/// What stands against the numbers of a complete trial.
fn doubts_about(trial: &TrialSummary) -> Vec<String> {
    let mut doubts = Vec::new();
    let Some(total) = &trial.total else {
        return vec!["it was not measured".to_owned()];
    };
    if total.counts.sent == 0 {
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
    if let Some(sent) = &trial.sent
        && (sent.due - sent.sent.min(sent.due)) * 1000 > sent.due * MISSING_AT_TX
    {
        doubts.push(format!(
            "the generator sent {} of {} packets that were due: the traffic is not what was asked",
            sent.sent, sent.due
        ));
    }
    for flow in &trial.flows {
        if trial.mode == Mode::Sealed && flow.counts.matched > 0 && flow.delay_bound_ns.is_none() {
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
