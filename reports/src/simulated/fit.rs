//! What a transfer and a packet cost dom0, from a run in a lab.

use std::path::Path;

use thiserror::Error;
use vifbench_model::service::{FitError, Measured, Service, fit};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::scenario::{Patches, ServiceTimes};
use vifbench_scenarios::units::Span;
use vifbench_store::RunReader;

use crate::error::ReportError;
use crate::run_analysis::analyze;

/// Why a run gives no costs.
#[derive(Debug, Error)]
pub enum ServiceFitError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] ReportError),
    /// Its trials do not tell.
    #[error("the run {run} does not tell what a transfer costs: {source}")]
    Fit {
        /// The run.
        run: String,
        /// Why not.
        source: FitError,
    },
}

/// Fits `dom0's CPU time a packet = packet + transfer / N` to the trials of a run.
///
/// N is the number of packets in a container where the variant sends containers. Stock drivers, and those with shadow
/// accounting, make a transfer of every frame: a ring slot, a copy operation, a response.
///
/// # Errors
/// The run cannot be read, or has no two trials that differ in N.
pub fn service_of(
    run_dir: &Path,
    progress: &dyn Progress,
) -> Result<ServiceTimes, ServiceFitError> {
    let run = analyze(&RunReader::new(run_dir), progress)?;
    let sends_containers = |variant: &str| {
        run.run
            .scenario
            .variants
            .iter()
            .any(|v| v.name == variant && v.patches == Patches::Aggregation)
    };
    let measured: Vec<Measured> = run
        .summary
        .trials
        .iter()
        .filter_map(|trial| {
            let packets_per_transfer = if sends_containers(&trial.variant) {
                trial.per_container(None)?
            } else {
                1.0
            };
            Some(Measured {
                packets_per_transfer,
                ns_per_packet: trial.dom0()?.ns_per_packet?,
                weight: trial.total.as_ref()?.counts.sent as f64,
            })
        })
        .collect();
    let Service {
        transfer_ps,
        packet_ps,
    } = fit(&measured).map_err(|source| ServiceFitError::Fit {
        run: run.summary.run,
        source,
    })?;
    let span = |ps: u64| Span::from_nanos((ps + 500) / 1000);
    Ok(ServiceTimes {
        transfer: span(transfer_ps),
        packet: span(packet_ps),
    })
}
