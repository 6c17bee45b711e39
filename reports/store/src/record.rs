//! The records of a run: `run.json`, `trials/<n>/trial.json`, and the lines of `events.jsonl`.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::scenario::{Mode, Scenario};
use vifbench_wire::protocol::Ruler;

use crate::format::Versioned;

/// Format version of [`RunRecord`] and [`TrialRecord`].
pub const FORMAT: u32 = 1;

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The run's id, also its folder's name.
    pub run: String,
    /// Version of vifbench.
    pub vifbench: String,
    /// Wall-clock start on the controller, RFC 3339, UTC.
    pub started: String,
    /// The scenario as it was read.
    pub scenario: Scenario,
    /// The lab that it ran on.
    pub lab: Lab,
    /// Every trial, in the order in which they run.
    pub plan: Plan,
}

impl Versioned for RunRecord {
    const FORMAT: u32 = FORMAT;
}

impl RunRecord {
    /// Whether times of this trial mean anything. They do where packets and machines share a clock, or where clocks were
    /// compared: in sealed trials and on hardware. In an open trial of a virtual lab packets come from outside the
    /// machine's time.
    pub fn times_count(&self, trial: &TrialPlan) -> bool {
        !(self.lab.is_virtual && trial.mode == Mode::Open)
    }
}

/// A module that was proved live: the running kernel's build-id is that of the file that was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleProof {
    /// Host or guest.
    pub host: String,
    /// `xen_netback` or `xen_netfront`.
    pub module: String,
    /// `stock` or the patch series' name.
    pub series: String,
    /// `/sys/module/*/srcversion`; empty for Debian's own modules, which have none.
    pub srcversion: String,
    /// The GNU build-id note of the loaded module, in hex.
    pub build_id: String,
    /// Feature keys of the pair in xenstore, as (`guest/device/backend/key`, value).
    pub features: Vec<(String, String)>,
}

/// How a host's clock maps to the reference clock (dom0's): `reference = local - offset_ns - skew * (local - at_ns)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClockMap {
    /// The host whose clock it is.
    pub host: String,
    /// Offset to the reference at `at_ns`, in nanoseconds.
    pub offset_ns: f64,
    /// Rate difference (dimensionless; 1e-6 is 1 ppm).
    pub skew: f64,
    /// Local time at which `offset_ns` holds.
    pub at_ns: u64,
    /// The truth lies within this many nanoseconds, for the whole trial; none when no bound can be claimed.
    pub bound_ns: Option<f64>,
    /// `reference`, `shared-tsc` or `two-way`.
    pub method: String,
    /// Offset by two-way exchange and its bound, kept beside for checking.
    pub two_way: Option<(f64, f64)>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// All results are here.
    Complete,
    /// The lab failed, not the patch.
    Infra {
        /// What happened.
        reason: String,
    },
    /// The variant could not be brought up.
    Setup {
        /// What happened.
        reason: String,
    },
    /// The device under test died.
    DutCrash {
        /// What happened.
        reason: String,
        /// The console's last lines.
        console: Vec<String>,
    },
}

/// `trials/<n>/trial.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// What it was to do.
    pub plan: TrialPlan,
    /// How it ended.
    pub outcome: Outcome,
    /// The modules that were proved live.
    pub modules: Vec<ModuleProof>,
    /// Every host's clock.
    pub clocks: Vec<ClockMap>,
    /// Every host's measurement setup.
    pub rulers: Vec<(String, Ruler)>,
    /// Hosts with a results folder, in the order tx, dom0, guests.
    pub probes: Vec<String>,
    /// What is doubtful about the measurement setup, one sentence each: clocks that step, wander or cannot be compared.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// When sending began, on the reference clock, in nanoseconds.
    pub start_ns: u64,
    /// First counted instant: the end of the warm-up, on the reference clock.
    pub measure_from_ns: u64,
    /// End of sending.
    pub stop_ns: u64,
    /// Wall-clock seconds the trial took on the controller.
    pub wall_s: f64,
}

impl Versioned for TrialRecord {
    const FORMAT: u32 = FORMAT;
}

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339, UTC, controller.
    pub at: String,
    /// `run-started`, `trial-started`, `trial-ended`, `variant-ready`, `retry`, `interrupted`, `counting`, `run-ended`.
    pub what: String,
    /// Trial number, where it belongs to one.
    pub trial: Option<u32>,
    /// Details for a person.
    pub text: String,
}
