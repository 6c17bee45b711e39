//! Tables of a simulation as CSV.

use std::path::PathBuf;

use vifbench_model::experiment::Row;
use vifbench_model::pareto::Choice;
use vifbench_scenarios::units::Rate;
use vifbench_store::NewFile;

use crate::error::ReportError;
use crate::simulated::{SIMULATED_MARK, Simulation};
use crate::tables::{column, frame, write_csv};
use crate::tex_tables::Table;
use crate::text::{three_digits, time};

/// Writes one row a variant and point.
pub fn write_rows(
    file: NewFile,
    simulation: &Simulation<'_>,
    rows: &[Row],
) -> Result<PathBuf, ReportError> {
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
    let frame = frame(file.path(), rows.len(), columns)?;
    write_csv(file, frame)
}

/// The table for a paper: by variant and point; of closed loops the counterpart of the paper's Table 1, samples a second
/// with the multiple of `static` at the same point.
pub fn paper_table(simulation: &Simulation<'_>, rows: &[Row]) -> Table {
    let closed = rows.iter().any(|r| r.samples_per_s.is_some());
    let us = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |us| time(us * 1000.0));
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    let mut last = None;
    for row in rows {
        if last != Some((row.rate, row.hold_us)) {
            groups.push(Vec::new());
            last = Some((row.rate, row.hold_us));
        }
        let mut cells = vec![
            row.rate.map_or_else(|| "–".to_owned(), |r| r.to_string()),
            us(row.hold_us),
            row.variant.clone(),
            us(row.mean_wait_us),
            us(row.p99_wait_us),
            us(row.mean_abs_ipdv_us),
            row.packets_per_container
                .map_or_else(|| "–".to_owned(), three_digits),
        ];
        if closed {
            let fixed = rows
                .iter()
                .find(|r| r.variant == "static" && (r.rate, r.hold_us) == (row.rate, row.hold_us));
            let multiple = fixed
                .and_then(|fixed| Some(row.samples_per_s? / fixed.samples_per_s?))
                .map_or_else(|| "–".to_owned(), |m| format!("{}×", three_digits(m)));
            cells.push(
                row.samples_per_s
                    .map_or_else(|| "–".to_owned(), three_digits),
            );
            cells.push(multiple);
        }
        if let Some(group) = groups.last_mut() {
            group.push(cells);
        }
    }
    let mut head: Vec<String> = [
        "rate",
        "T0",
        "variant",
        "wait",
        "p99",
        "|IPDV|",
        "packets/ct.",
    ]
    .map(str::to_owned)
    .to_vec();
    if closed {
        head.extend(["samples/s", "of static"].map(str::to_owned));
    }
    Table {
        label: "simulated",
        caption: format!(
            "{}, simulated: mean and p99 wait, mean |IPDV| and packets a container{}.",
            simulation.scenario.name,
            if closed {
                "; samples a second of the closed loops, and as a multiple of the static time-out (the paper's Table 1)"
            } else {
                ""
            }
        ),
        columns: format!("lrl{}", "r".repeat(head.len() - 3)),
        head,
        groups,
    }
}

/// Writes every choice, those on the front marked.
pub fn write_choices(file: NewFile, simulation: &Simulation<'_>) -> Result<PathBuf, ReportError> {
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
    let frame = frame(file.path(), choices.len(), columns)?;
    write_csv(file, frame)
}
