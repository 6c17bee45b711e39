//! `trials/<n>/instructions.json`: what every function executed in a counted trial.

use serde::{Deserialize, Serialize};

use crate::format::Versioned;

/// The file in a trial's folder.
pub const INSTRUCTIONS_FILE: &str = "instructions.json";
/// Its format.
pub const INSTRUCTIONS_FORMAT: u32 = 1;

/// `trials/<n>/instructions.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionsRecord {
    /// [`INSTRUCTIONS_FORMAT`] of the writer.
    pub format: u32,
    /// Packets that were sent, including those of the warm-up.
    pub packets: u64,
    /// Every function that was executed.
    pub functions: Vec<FunctionCount>,
}

impl Versioned for InstructionsRecord {
    const FORMAT: u32 = INSTRUCTIONS_FORMAT;
}

/// What one function did in a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCount {
    /// `xen`, or a domain's name.
    pub domain: String,
    /// A kernel module, `vmlinux` for what is built in, `programs`, `agent`, or `xen`.
    pub module: String,
    /// Its name; `(unnamed)` where it has none.
    pub function: String,
    /// Instructions begun.
    pub instructions: u64,
    /// How often its first instruction was begun.
    pub entered: u64,
    /// Reads and writes of memory.
    pub accesses: u64,
    /// Lines of code and data that the simulated first level lacked.
    pub missed_l1: u64,
    /// How many of these lines the simulated last level lacked too.
    pub missed_ll: u64,
}
