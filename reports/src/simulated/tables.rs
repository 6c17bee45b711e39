//! Tables of a simulation as CSV.

use std::path::Path;

use vifbench_model::experiment::Row;
use vifbench_model::pareto::Choice;
use vifbench_scenarios::units::Rate;

use crate::error::ReportError;
use crate::simulated::{SIMULATED_MARK, Simulation};
use crate::tables::{column, frame, write_csv};

/// Writes one row a variant and point.
pub fn write_rows(
    path: &Path,
    simulation: &Simulation<'_>,
    rows: &[Row],
) -> Result<(), ReportError> {
    let text = |name: &str, pick: &dyn Fn(&Row) -> Option<String>| {
        column(name, rows.iter().map(pick).collect::<Vec<_>>())
    };
    let number = |name: &str, pick: &dyn Fn(&Row) -> Option<f64>| {
        column(name, rows.iter().map(pick).collect::<Vec<_>>())
    };
    let whole = |name: &str, pick: &dyn Fn(&Row) -> u64| {
        column(name, rows.iter().map(pick).collect::<Vec<_>>())
    };
    let columns = vec![
        text("scenario", &|_| Some(simulation.scenario.name.clone())),
        text("marks", &|_| Some(SIMULATED_MARK.to_owned())),
        whole("seed", &|_| simulation.seed),
        text("variant", &|r| Some(r.variant.clone())),
        text("regulator", &|r| r.regulator.clone()),
        number("rate_pps", &|r| r.rate.map(Rate::per_sec_f64)),
        number("hold_us", &|r| r.hold_us),
        whole("blocks", &|r| u64::from(r.blocks)),
        whole("packets", &|r| r.packets),
        number("mean_wait_us", &|r| r.mean_wait_us),
        number("mean_wait_se_us", &|r| r.mean_wait_se_us),
        number("p50_wait_us", &|r| r.p50_wait_us),
        number("p99_wait_us", &|r| r.p99_wait_us),
        number("mean_abs_ipdv_us", &|r| r.mean_abs_ipdv_us),
        number("packets_per_container", &|r| r.packets_per_container),
        number("timeout_fraction", &|r| r.timeout_fraction),
        number("samples_per_s", &|r| r.samples_per_s),
        whole("late", &|r| r.late),
        column(
            "overloaded",
            rows.iter().map(|r| r.overloaded).collect::<Vec<_>>(),
        ),
    ];
    write_csv(path, frame(path, rows.len(), columns)?)
}

/// Writes every choice, those on the front marked.
pub fn write_choices(path: &Path, simulation: &Simulation<'_>) -> Result<(), ReportError> {
    let choices = simulation.choices;
    let number = |name: &str, pick: &dyn Fn(&Choice) -> Option<f64>| {
        column(name, choices.iter().map(pick).collect::<Vec<_>>())
    };
    let text = |name: &str, pick: &dyn Fn(&Choice) -> String| {
        column(name, choices.iter().map(pick).collect::<Vec<_>>())
    };
    let columns = vec![
        text("scenario", &|_| simulation.scenario.name.clone()),
        text("marks", &|_| SIMULATED_MARK.to_owned()),
        text("regulator", &|c| c.regulator.name().to_owned()),
        number("rate_pps", &|c| c.rate.map(Rate::per_sec_f64)),
        number("hold_us", &|c| c.hold.map(|h| h.nanos() as f64 / 1000.0)),
        number("mean_wait_us", &|c| Some(c.mean_wait_us)),
        number("p99_wait_us", &|c| Some(c.p99_wait_us)),
        number("transfers_per_packet", &|c| Some(c.transfers_per_packet)),
        column(
            "on_front",
            choices.iter().map(|c| c.on_front).collect::<Vec<_>>(),
        ),
    ];
    write_csv(path, frame(path, choices.len(), columns)?)
}
