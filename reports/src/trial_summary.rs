//! One trial as one value: what became of it, and everything that was measured in it.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::scenario::Mode;
use vifbench_scenarios::units::Rate;
use vifbench_store::{Outcome, RunRecord};
use vifbench_wire::protocol::Sent;

use crate::metrics::containers::{Containers, Costs};
use crate::metrics::cpu::DomainUse;
use crate::metrics::flow::FlowMetrics;
use crate::metrics::transactions::Transactions;
use crate::packets::CaptureCount;

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
