//! Every way a command can fail, and the exit code that says which kind it was.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use vifbench_model::experiment::SimulationError;
use vifbench_provisioning::data::DataError;
use vifbench_provisioning::host::HostError;
use vifbench_provisioning::lab::LabError;
use vifbench_provisioning::lease::LeaseError;
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::builder::BuildError;
use vifbench_provisioning::state::StateError;
use vifbench_provisioning::undo::UndoError;
use vifbench_reports::calibration::CalibrationError;
use vifbench_reports::error::ReportError;
use vifbench_reports::simulated::ServiceFitError;
use vifbench_scenarios::file::FileError;
use vifbench_store::{StoreError, room_hint};
use vifbench_wire::replay::ReplayError;

use crate::commands::bench::BenchError;
use crate::exit::Exit;
use crate::interrupt::InterruptError;
use crate::output::OutputError;

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
    /// The files that vifbench reads while it runs.
    #[error(transparent)]
    Data(#[from] DataError),
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
    /// A host's answer to a command means nothing.
    #[error("{host} gave no usable answer to `{command}`: {why}")]
    Answer {
        /// Where.
        host: String,
        /// What was asked.
        command: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// A sealed trial gave two different results.
    #[error(
        "{what}, of the variant {variant}, is not exact: it came out different from {against}, first in {first}; something from outside reached the lab (where only this variant is so: through its modules), or the lab is not the one it is taken for"
    )]
    NotExact {
        /// Which trial.
        what: String,
        /// Its variant.
        variant: String,
        /// What it was compared with.
        against: String,
        /// Where the results differ first.
        first: String,
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
    /// The virtual lab gives no sign any more.
    #[error("{source}; the end of dom0's console is\n{}\ngo on with `vifbench resume {}`", console.join("\n"), run.display())]
    Stuck {
        /// Which step.
        source: Box<Failure>,
        /// The console's last lines.
        console: Vec<String>,
        /// The run's folder.
        run: PathBuf,
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
    /// A file or folder that the user named.
    #[error("cannot {doing} {}: {source}", path.display())]
    Named {
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

    /// As [`Self::io`], for a file or folder that the user named.
    pub fn named(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Named {
            doing,
            path,
            source,
        }
    }

    /// Is a disk of this machine full?
    pub fn is_out_of_room(&self) -> bool {
        match self {
            Self::Io { source, .. } => !room_hint(source).is_empty(),
            Self::Store(error) => error.is_out_of_room(),
            _ => false,
        }
    }

    /// Does the virtual lab give no sign any more?
    pub fn is_stuck(&self) -> bool {
        matches!(self.host_error(), Some(HostError::Stuck { .. }))
            || matches!(self, Self::Lab(LabError::Stuck { .. }))
    }

    /// The host that did not do its part, where that was the reason.
    pub fn host_error(&self) -> Option<&HostError> {
        match self {
            Self::Host(error) | Self::Lease(LeaseError::Host(error)) => Some(error),
            Self::Modules(error) => error.host_error(),
            _ => None,
        }
    }

    /// Was it the set-up of a variant that failed?
    pub fn is_setup(&self) -> bool {
        self.host_error().is_none_or(|error| !error.is_outage())
            && matches!(
                self,
                Self::Host(HostError::Failed { .. }) | Self::Modules(_)
            )
    }

    /// Which exit code says it.
    pub fn exit(&self) -> Exit {
        if self.is_stuck() || self.host_error().is_some_and(HostError::is_outage) {
            return Exit::Infra;
        }
        match self {
            Self::File(_)
            | Self::Unfit { .. }
            | Self::OnlySimulated { .. }
            | Self::Simulation(_)
            | Self::Calibration(_)
            | Self::ServiceFit(ServiceFitError::Fit { .. })
            | Self::State(_)
            | Self::Host(HostError::BadHostKey { .. } | HostError::NoKey { .. })
            | Self::Usage(_) => Exit::Usage,
            Self::Output(error) => error.exit(),
            Self::Named { source, .. } => of_place(source),
            Self::Replay(error) => of_replay(error),
            Self::Store(error) => of_store(error),
            Self::Report(error) | Self::ServiceFit(ServiceFitError::Run(error)) => of_report(error),
            Self::Lab(error) => of_lab(error),
            Self::Modules(error) => of_modules(error),
            Self::Host(HostError::Interrupted { .. }) | Self::Interrupted => Exit::Interrupted,
            Self::Host(HostError::Failed { .. }) => Exit::Setup,
            Self::Host(_)
            | Self::Data(_)
            | Self::Stuck { .. }
            | Self::Undo(_)
            | Self::Lease(_)
            | Self::Probe { .. }
            | Self::Answer { .. }
            | Self::NotExact { .. }
            | Self::NoTrial { .. }
            | Self::Bench(_)
            | Self::Signals(InterruptError::Token(_))
            | Self::Io { .. } => Exit::Infra,
            Self::Signals(InterruptError::Handler(_) | InterruptError::Parent(_))
            | Self::Internal(_) => Exit::Internal,
        }
    }
}

/// A capture that cannot be replayed is bad input; the reduced copy is written by vifbench.
fn of_replay(error: &ReplayError) -> Exit {
    match error {
        ReplayError::Write { .. } => Exit::Infra,
        _ => Exit::Usage,
    }
}

/// A run that is not there, or not readable, was named by the user.
fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::Read { .. }
        | StoreError::Json { .. }
        | StoreError::Newer { .. }
        | StoreError::UnsafeName { .. }
        | StoreError::Acknowledgements(_) => Exit::Usage,
        StoreError::Write { source, .. } => of_place(source),
        StoreError::Busy { .. } => Exit::Infra,
        StoreError::NotWritten { .. } => Exit::Internal,
    }
}

/// What is read was named by the user; what is written, the disk and the fonts are this machine's.
fn of_report(error: &ReportError) -> Exit {
    match error {
        ReportError::Store(error) => of_store(error),
        ReportError::Capture { .. }
        | ReportError::History { .. }
        | ReportError::NoHistory { .. } => Exit::Usage,
        ReportError::Table { .. } | ReportError::Font { .. } => Exit::Infra,
        ReportError::Junit { .. } | ReportError::Draw { .. } => Exit::Internal,
    }
}

/// A place that the user named: a wrong one is a mistake, a full or failing disk is not.
fn of_place(source: &io::Error) -> Exit {
    match source.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::AlreadyExists => Exit::Usage,
        _ => Exit::Infra,
    }
}

fn of_lab(error: &LabError) -> Exit {
    match error {
        LabError::UnknownVersion { .. }
        | LabError::BadName { .. }
        | LabError::BadImages { .. }
        | LabError::NoSuchHost { .. } => Exit::Usage,
        _ => Exit::Infra,
    }
}

/// A series that is missing, or is none, was named by the user; a patch in it that does not build is what is tested.
fn of_modules(error: &ModuleError) -> Exit {
    match error {
        ModuleError::Series(_)
        | ModuleError::Build(BuildError::Series(_) | BuildError::BadRelease { .. }) => Exit::Usage,
        _ => Exit::Setup,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_vifbench_is_no_mistake_of_the_user() {
        assert_eq!(Failure::panicked().exit(), Exit::Internal);
        assert_eq!(Failure::Usage(String::new()).exit(), Exit::Usage);
        let json = || serde_json::from_str::<u32>("{").expect_err("no number");
        let path = PathBuf::from("summary.json");
        // The same error of the same crate: once of a file that was given, once of one that vifbench makes.
        let damaged = StoreError::Json {
            path: path.clone(),
            source: json(),
        };
        let not_made = StoreError::NotWritten {
            path,
            source: json(),
        };
        assert_eq!(Failure::Report(damaged.into()).exit(), Exit::Usage);
        assert_eq!(Failure::Report(not_made.into()).exit(), Exit::Internal);
    }

    #[test]
    fn a_wrong_place_is_a_mistake_and_a_full_disk_is_not() {
        let at = |kind: io::ErrorKind| {
            let path = Path::new("results");
            Failure::named("create the folder", path)(kind.into()).exit()
        };
        assert_eq!(at(io::ErrorKind::PermissionDenied), Exit::Usage);
        assert_eq!(at(io::ErrorKind::NotFound), Exit::Usage);
        assert_eq!(at(io::ErrorKind::StorageFull), Exit::Infra);
        assert_eq!(at(io::ErrorKind::Other), Exit::Infra);
    }

    #[test]
    fn a_series_that_is_missing_is_no_variant_that_fails() {
        let series = vifbench_provisioning::modules::series::SeriesError::NoVariant {
            line: "6.1".into(),
            variant: "mine".into(),
            known: "stock".into(),
        };
        let failure = Failure::Modules(ModuleError::Series(series));
        assert_eq!(failure.exit(), Exit::Usage);
        // Within a run the trial says which variant could not be set up.
        assert!(failure.is_setup());
    }
}
