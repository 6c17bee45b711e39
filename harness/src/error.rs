//! Every way a command can fail, and the exit code that says which kind it was.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_model::experiment::SimulationError;
use vifbench_provisioning::host::HostError;
use vifbench_provisioning::lab::LabError;
use vifbench_provisioning::lease::LeaseError;
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::state::StateError;
use vifbench_provisioning::undo::UndoError;
use vifbench_reports::cost_model::CalibrationError;
use vifbench_reports::error::ReportError;
use vifbench_reports::simulated::ServiceFitError;
use vifbench_scenarios::file::FileError;
use vifbench_wire::replay::ReplayError;

use crate::commands::bench::BenchError;
use crate::exit::Exit;
use crate::interrupt::InterruptError;
use crate::output::OutputError;
use crate::store::StoreError;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Failure {
    /// A lab or scenario file has faults.
    #[error(transparent)]
    File(#[from] FileError),
    /// A scenario and a lab do not fit together.
    #[error("the scenario cannot run on the lab {lab}:\n{}", problems.join("\n"))]
    Unfit {
        /// The lab's name.
        lab: String,
        /// One sentence each.
        problems: Vec<String>,
    },
    /// A scenario asks for what a lab cannot do yet.
    #[error("a lab cannot run this scenario:\n{}\nremove that, or ask the model: vifbench simulate {scenario}", reasons.iter().map(|r| format!("  {r}")).collect::<Vec<_>>().join("\n"))]
    OnlySimulated {
        /// As it was named.
        scenario: String,
        /// One phrase each.
        reasons: Vec<String>,
    },
    /// A command was given something it does not know.
    #[error("{0}")]
    Usage(String),
    /// Something that cannot be, whatever the user does: one sentence that says what.
    #[error("{0}")]
    Internal(String),
    /// Results could not be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The virtual lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Building, swapping or proving modules.
    #[error(transparent)]
    Modules(#[from] ModuleError),
    /// The model.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// A run that tells no costs.
    #[error(transparent)]
    ServiceFit(#[from] ServiceFitError),
    /// Runs that teach nothing of costs.
    #[error(transparent)]
    Calibration(#[from] CalibrationError),
    /// A capture to replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The run store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The undo stack.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// Somebody else has the lab.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// No folder for state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A probe refused or misbehaved.
    #[error("the probe on {host} could not {doing}: {why}")]
    Probe {
        /// Where.
        host: String,
        /// What was asked.
        doing: String,
        /// Its answer.
        why: String,
    },
    /// A sealed trial gave two different results.
    #[error(
        "trial {trial}, of the variant {variant}, is not exact: it came out different from {against}, first in {what}; something from outside reached the lab (where only this variant is so: through its modules), or the lab is not the one it is taken for"
    )]
    NotExact {
        /// Which trial.
        trial: u32,
        /// Its variant.
        variant: String,
        /// Where the results differ first.
        what: String,
        /// What it was compared with.
        against: String,
    },
    /// Runs of one trial, made for comparison, came out different.
    #[error(
        "the variant {variant} of {scenario} is not exact: two of its runs differ first in {what}; something from outside reached the lab"
    )]
    Inexact {
        /// Which scenario.
        scenario: String,
        /// Which variant of it.
        variant: String,
        /// Where they differ first.
        what: String,
    },
    /// A run of a bisection, in a process of its own.
    #[error("no trial on Linux {release}: {reason}; what it said is in {}", log.display())]
    NoTrial {
        /// Of which kernel.
        release: String,
        /// One sentence.
        reason: String,
        /// What it said while it worked.
        log: PathBuf,
    },
    /// A file of this machine.
    #[error("cannot {doing} {}: {source}{}", path.display(), room_hint(source))]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Ctrl-C.
    #[error("interrupted; the hosts are restored")]
    Interrupted,
    /// The bench.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The signal handler.
    #[error(transparent)]
    Signals(#[from] InterruptError),
}

/// What to do about a full disk; nothing about other errors.
pub fn room_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, then go on with `vifbench resume`"
        }
        _ => "",
    }
}

impl Failure {
    /// Of a panic, whose own message is out already.
    pub fn panicked() -> Self {
        Self::Internal("vifbench stopped where it must not".to_owned())
    }

    /// For `map_err` after an operation on a file of this machine.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// Is a disk of this machine full?
    pub fn is_out_of_room(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Store(StoreError::Io { source, .. }) => {
                !room_hint(source).is_empty()
            }
            _ => false,
        }
    }

    /// The host that did not do its part, where that was the reason.
    pub fn host_error(&self) -> Option<&HostError> {
        match self {
            Self::Host(error) | Self::Lease(LeaseError::Host(error)) => Some(error),
            Self::Modules(error) => error.host_error(),
            _ => None,
        }
    }

    /// Which exit code says it.
    pub fn exit(&self) -> Exit {
        if self.host_error().is_some_and(HostError::is_outage) {
            return Exit::Infra;
        }
        match self {
            Self::File(_)
            | Self::Unfit { .. }
            | Self::OnlySimulated { .. }
            | Self::Simulation(_)
            | Self::Calibration(_)
            | Self::Replay(_)
            | Self::ServiceFit(ServiceFitError::Fit { .. })
            | Self::Usage(_) => Exit::Usage,
            Self::Host(HostError::Interrupted { .. }) | Self::Interrupted => Exit::Interrupted,
            Self::Host(HostError::Failed { .. }) | Self::Modules(_) => Exit::Setup,
            Self::Host(_)
            | Self::Lab(_)
            | Self::Store(_)
            | Self::Undo(_)
            | Self::Lease(_)
            | Self::State(_)
            | Self::Probe { .. }
            | Self::NotExact { .. }
            | Self::Inexact { .. }
            | Self::NoTrial { .. }
            | Self::Bench(_)
            | Self::Io { .. } => Exit::Infra,
            Self::Output(error) => error.exit(),
            Self::Report(_)
            | Self::ServiceFit(ServiceFitError::Run(_))
            | Self::Signals(_)
            | Self::Internal(_) => Exit::Internal,
        }
    }
}
