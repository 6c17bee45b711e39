//! The plan: every trial of a run, in its order, before anything is touched.

use serde::{Deserialize, Serialize};

use crate::lab::HostName;
use crate::scenario::{Arrivals, Mode, Protocol, Variant};
use crate::units::{Rate, Size, Span};

/// One flow of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowPlan {
    /// The flow's number, carried in each packet.
    pub flow: u16,
    /// The guest that receives it.
    pub to: HostName,
    /// Transport.
    pub protocol: Protocol,
    /// Frame size with FCS.
    pub size: Size,
    /// Spacing.
    pub arrivals: Arrivals,
    /// Seed of this flow's gaps and payload: the same for every variant of a block.
    pub seed: u64,
}

/// One variant on one point of the sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialPlan {
    /// Its number in the run, from 1.
    pub number: u32,
    /// The block it belongs to, from 1.
    pub block: u32,
    /// What is under test.
    pub variant: Variant,
    /// The sweep's rate, where the scenario sweeps it.
    pub rate: Option<Rate>,
    /// Where the generator stands.
    pub mode: Mode,
    /// All flows.
    pub flows: Vec<FlowPlan>,
    /// Sent but not counted.
    pub warmup: Span,
    /// The measured part.
    pub duration: Span,
}

/// Every trial of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// The seed that orders blocks and spaces packets.
    pub seed: u64,
    /// In order of execution.
    pub trials: Vec<TrialPlan>,
}
