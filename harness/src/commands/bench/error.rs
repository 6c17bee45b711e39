//! Why a part of the bench could not be measured.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use vifbench_probes::capture::CaptureError;
use vifbench_probes::counters::ruler::RulerError;
use vifbench_probes::generator::GeneratorError;
use vifbench_reports::error::ReportError;
use vifbench_wire::clock_estimate::EstimateError;

/// A part failed.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A program could not be run, or did not do its part.
    #[error("cannot {doing}: `{command}`: {why}")]
    Program {
        /// What it was for.
        doing: &'static str,
        /// As it was called.
        command: String,
        /// What it said.
        why: String,
    },
    /// A file.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Entering a namespace.
    #[error("cannot enter the network namespace {name}: {source}; run it as root")]
    Namespace {
        /// Which.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// What came out cannot be: a fault of vifbench or of the tool, not a number.
    #[error("{0}")]
    Wrong(String),
    /// A capture.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The generator.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// The clocks.
    #[error(transparent)]
    Clock(#[from] EstimateError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] RulerError),
    /// The analysis.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}
