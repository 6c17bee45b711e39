//! A run's folder: its records, the reader and the writer. Nothing here needs root, a network, Xen, or a table library.
//!
//! ```text
//! results/
//!   noise.json            learned noise, acknowledged.yaml, known regressions, and cost-model.json:
//!                         copied into each run when it starts
//!   history/              one small table per run; it stays when captures are removed
//!   <run>/
//!     run.json              RunRecord: scenario, lab, plan, versions; written at the start, and again when blocks are added
//!     noise.json            what the run is judged under, also when it is reported later;
//!     acknowledged.yaml     so are these
//!     cost-model.json       what instructions cost on a real processor, where a hardware run was used to calibrate it
//!     traces/*.pcap.zst     times and lengths of the captures that are replayed, named by content
//!     events.jsonl          one Event per line, appended while running
//!     lock                  held by the process that writes the run
//!     trials/<n>/trial.json TrialRecord; its presence means that the trial finished
//!     trials/<n>/<host>/    result.json (ProbeResult) and *.pcap.zst of each probe
//!     trials/<n>/instructions.json  InstructionsRecord: what every function executed (`run --instructions`)
//!     packets/<n>.parquet   one row per packet (written by analysis)
//!     trials.parquet        one row per trial and flow (written by analysis)
//!     report/               everything for a reader; can be rebuilt from the rest, byte for byte
//! ```
//!
//! [`RunWriter`] is the harness's: it creates or continues a run and holds its lock. [`RunReader`] reads what the harness
//! wrote; it takes no lock and writes nothing, so it works on a read-only folder. [`AnalysisWriter`] and [`ReportFolder`]
//! write what analysis makes. All of them fail with [`StoreError`].
//!
//! Every record carries a format version. A reader accepts every version up to its own: newer fields have defaults. It
//! refuses a later version with one sentence.

mod analysis_writer;
mod cost_model;
mod error;
pub mod files;
mod format;
mod instructions;
mod noise;
mod reader;
mod record;
mod writer;

pub use analysis_writer::{AnalysisWriter, NewFile, ReportFolder};
pub use cost_model::{COST_MODEL_FILE, COST_MODEL_FORMAT, COSTS, Calibration, CostModelRecord};
pub use error::{StoreError, room_hint};
pub use format::{Versioned, check_format, read_versioned};
pub use instructions::{FunctionCount, INSTRUCTIONS_FILE, INSTRUCTIONS_FORMAT, InstructionsRecord};
pub use noise::{Floor, LEAST_RUNS, NOISE_FILE, Noise};
pub use reader::RunReader;
pub use record::{ClockMap, Event, FORMAT, ModuleProof, Outcome, RunRecord, TrialRecord};
pub use writer::{RunWriter, history_folder, remove_captures};
