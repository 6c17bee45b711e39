//! Tables on disk: Parquet and CSV through polars.

use std::fs::File;
use std::path::Path;

use polars::prelude::*;
use vifbench_probes::protocol::Point;

use crate::compare::Comparison;
use crate::error::ReportError;
use crate::metrics::flow::FlowMetrics;
use crate::packets::{Packet, index};
use crate::stats::Stats;
use crate::summary::{RunSummary, TrialSummary};

/// Writes `packets/<n>.parquet`: one row a packet.
///
/// Times are nanoseconds since 1970 on the reference clock; whether differences between hosts mean anything is told by
/// the bounds in `trials.parquet`.
pub(crate) fn write_packets(
    path: &Path,
    packets: &[Packet],
    about: Vec<(String, String)>,
) -> Result<(), ReportError> {
    let at = |name: &str, point: Point| {
        column(
            name,
            packets.iter().map(|p| p.at(point)).collect::<Vec<_>>(),
        )
    };
    let columns = vec![
        column(
            "flow",
            packets
                .iter()
                .map(|p| u32::from(p.flow))
                .collect::<Vec<_>>(),
        ),
        column("seq", packets.iter().map(|p| p.seq).collect::<Vec<_>>()),
        column("size", packets.iter().map(|p| p.size).collect::<Vec<_>>()),
        column(
            "measured",
            packets.iter().map(|p| p.measured).collect::<Vec<_>>(),
        ),
        column(
            "send_ns",
            packets.iter().map(|p| p.send_ns).collect::<Vec<_>>(),
        ),
        at("tx_ns", Point::Tx),
        at("nic_ns", Point::Nic),
        at("vif_ns", Point::Vif),
        at("rx_ns", Point::Rx),
        column(
            "duplicates",
            packets
                .iter()
                .map(|p| p.copies[index(Point::Rx)])
                .collect::<Vec<_>>(),
        ),
        column(
            "arrival",
            packets.iter().map(|p| p.arrival).collect::<Vec<_>>(),
        ),
    ];
    write_parquet(path, frame(path, packets.len(), columns)?, about)
}

/// Writes `trials.parquet`: one row a trial and flow, and one a trial of all its flows (`to` is `all`).
pub(crate) fn write_trials(path: &Path, summary: &RunSummary) -> Result<(), ReportError> {
    write_parquet(
        path,
        trials_frame(path, summary)?,
        about(&summary.run, &summary.marks),
    )
}

/// What a Parquet file says of itself: which run, and the marks that its numbers carry.
pub(crate) fn about(run: &str, marks: &[String]) -> Vec<(String, String)> {
    vec![
        ("vifbench.run".to_owned(), run.to_owned()),
        ("vifbench.marks".to_owned(), marks.join("; ")),
    ]
}

/// The same as CSV.
pub(crate) fn write_trials_csv(path: &Path, summary: &RunSummary) -> Result<(), ReportError> {
    write_csv(path, trials_frame(path, summary)?)
}

fn trials_frame(path: &Path, summary: &RunSummary) -> Result<DataFrame, ReportError> {
    let rows: Vec<(&TrialSummary, Option<&FlowMetrics>)> = summary
        .trials
        .iter()
        .flat_map(|t| {
            // A trial without numbers still has its row: what failed must not look as if it never was.
            let none = t.total.is_none().then_some((t, None));
            t.rows().map(move |m| (t, Some(m))).chain(none)
        })
        .collect();
    let mut columns = Vec::new();
    let mut trial = |name: &str, pick: &dyn Fn(&TrialSummary) -> Option<String>| {
        columns.push(column(
            name,
            rows.iter().map(|(t, _)| pick(t)).collect::<Vec<_>>(),
        ));
    };
    trial("run", &|_| Some(summary.run.clone()));
    trial("lab", &|_| Some(summary.lab.clone()));
    trial("marks", &|_| Some(summary.marks.join("; ")));
    trial("variant", &|t| Some(t.variant.clone()));
    trial("state", &|t| Some(t.state.word().to_owned()));
    trial("reason", &|t| t.state.reason().map(str::to_owned));
    let numbers =
        |pick: &dyn Fn(&TrialSummary) -> f64| rows.iter().map(|(t, _)| pick(t)).collect::<Vec<_>>();
    columns.push(column(
        "trial",
        rows.iter().map(|(t, _)| t.number).collect::<Vec<_>>(),
    ));
    columns.push(column(
        "block",
        rows.iter().map(|(t, _)| t.block).collect::<Vec<_>>(),
    ));
    columns.push(column(
        "rate_pps",
        numbers(&|t| t.rate.map_or(f64::NAN, |r| r.per_sec_f64()))
            .into_iter()
            .map(|r| (!r.is_nan()).then_some(r))
            .collect::<Vec<_>>(),
    ));
    columns.push(column(
        "flow",
        rows.iter()
            .map(|(_, m)| m.and_then(|m| m.flow).map(u32::from))
            .collect::<Vec<_>>(),
    ));
    columns.push(column(
        "to",
        rows.iter()
            .map(|(_, m)| m.map(|m| m.to.clone()))
            .collect::<Vec<_>>(),
    ));

    let counts: [(&str, fn(&FlowMetrics) -> Option<u64>); 11] = [
        ("sent", |m| Some(m.counts.sent)),
        ("received", |m| Some(m.counts.received)),
        ("matched", |m| Some(m.counts.matched)),
        ("lost", |m| Some(m.counts.lost)),
        ("duplicated", |m| Some(m.counts.duplicated)),
        ("reordered", |m| Some(m.counts.reordered)),
        ("reorder_extent", |m| Some(m.counts.reorder_extent)),
        ("unmatched", |m| Some(m.counts.unmatched)),
        ("corrupt", |m| m.counts.corrupt),
        ("unstamped", |m| Some(m.counts.unstamped)),
        ("negative_delay", |m| Some(m.counts.negative)),
    ];
    for (name, pick) in counts {
        columns.push(column(
            name,
            rows.iter()
                .map(|(_, m)| m.and_then(pick))
                .collect::<Vec<_>>(),
        ));
    }
    let rates: [(&str, fn(&FlowMetrics) -> f64); 5] = [
        ("offered_pps", |m| m.rates.offered_pps),
        ("achieved_pps", |m| m.rates.achieved_pps),
        ("received_pps", |m| m.rates.received_pps),
        ("throughput_bps", |m| m.rates.throughput_bps),
        ("goodput_bps", |m| m.rates.goodput_bps),
    ];
    for (name, pick) in rates {
        columns.push(column(
            name,
            rows.iter().map(|(_, m)| m.map(pick)).collect::<Vec<_>>(),
        ));
    }
    columns.push(column(
        "delay_bound_ns",
        rows.iter()
            .map(|(_, m)| m.and_then(|m| m.delay_bound_ns))
            .collect::<Vec<_>>(),
    ));
    let times: [(&str, fn(&FlowMetrics) -> Option<Stats>); 6] = [
        ("gap_error", |m| m.gap_error),
        ("send_to_tx", |m| m.send_to_tx),
        ("delay", |m| m.delay),
        ("ipdv", |m| m.ipdv),
        ("abs_ipdv", |m| m.abs_ipdv),
        ("pdv", |m| m.pdv),
    ];
    for (name, pick) in times {
        let of: Vec<Option<Stats>> = rows.iter().map(|(_, m)| m.and_then(pick)).collect();
        columns.extend(stats_columns(name, &of));
    }
    for (name, pick) in [
        (
            "rfc3550_jitter_mean_ns",
            (|m| m.jitter_mean_ns) as fn(&FlowMetrics) -> Option<f64>,
        ),
        ("rfc3550_jitter_last_ns", |m| m.jitter_last_ns),
    ] {
        columns.push(column(
            name,
            rows.iter()
                .map(|(_, m)| m.and_then(pick))
                .collect::<Vec<_>>(),
        ));
    }
    for (name, from, to) in [
        ("tx_nic", Point::Tx, Point::Nic),
        ("nic_vif", Point::Nic, Point::Vif),
        ("vif_rx", Point::Vif, Point::Rx),
    ] {
        let hops: Vec<_> = rows
            .iter()
            .map(|(_, m)| m.and_then(|m| m.hops.iter().find(|h| h.from == from && h.to == to)))
            .collect();
        columns.push(column(
            &format!("hop_{name}_bound_ns"),
            hops.iter()
                .map(|h| h.and_then(|h| h.bound_ns))
                .collect::<Vec<_>>(),
        ));
        columns.push(column(
            &format!("hop_{name}_lost"),
            hops.iter().map(|h| h.map(|h| h.lost)).collect::<Vec<_>>(),
        ));
        let of: Vec<Option<Stats>> = hops.iter().map(|h| h.and_then(|h| h.time)).collect();
        columns.extend(stats_columns(&format!("hop_{name}"), &of));
    }
    // The CPU cannot be split between flows.
    let dom0 = |pick: fn(&crate::metrics::cpu::DomainUse) -> Option<f64>| {
        rows.iter()
            .map(|(t, m)| m.filter(|m| m.flow.is_none()).and_then(|_| pick(t.dom0()?)))
            .collect::<Vec<_>>()
    };
    columns.push(column("dom0_cpu_percent", dom0(|d| Some(d.percent))));
    columns.push(column("dom0_cpu_ns_per_packet", dom0(|d| d.ns_per_packet)));
    columns.push(column(
        "packets_per_would_be_container",
        rows.iter()
            .map(|(t, m)| m.and_then(|m| t.per_container(m.flow.map(|_| m.to.as_str()))))
            .collect::<Vec<_>>(),
    ));
    frame(path, rows.len(), columns)
}

fn stats_columns(name: &str, of: &[Option<Stats>]) -> Vec<Column> {
    let fields: [(&str, fn(&Stats) -> i64); 7] = [
        ("min", |s| s.min),
        ("mean", |s| s.mean),
        ("p50", |s| s.p50),
        ("p90", |s| s.p90),
        ("p99", |s| s.p99),
        ("p999", |s| s.p999),
        ("max", |s| s.max),
    ];
    fields
        .into_iter()
        .map(|(field, pick)| {
            column(
                &format!("{name}_{field}_ns"),
                of.iter().map(|s| s.as_ref().map(pick)).collect::<Vec<_>>(),
            )
        })
        .collect()
}

/// Writes every pair of every comparison as CSV.
pub(crate) fn write_comparisons_csv(path: &Path, summary: &RunSummary) -> Result<(), ReportError> {
    let rows: Vec<_> = summary
        .comparisons
        .iter()
        .flat_map(|c| c.pairs.iter().map(move |p| (c, p)))
        .collect();
    let text = |name: &str, pick: &dyn Fn(&Comparison) -> String| {
        column(name, rows.iter().map(|(c, _)| pick(c)).collect::<Vec<_>>())
    };
    let columns = vec![
        text("run", &|_| summary.run.clone()),
        text("marks", &|_| summary.marks.join("; ")),
        text("metric", &|c| c.metric.clone()),
        text("unit", &|c| {
            serde_json::to_value(c.unit)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default()
        }),
        column(
            "rate_pps",
            rows.iter()
                .map(|(c, _)| c.rate.map(|r| r.per_sec_f64()))
                .collect::<Vec<_>>(),
        ),
        text("to", &|c| c.to.clone()),
        text("base", &|c| c.base.clone()),
        text("other", &|c| c.other.clone()),
        column(
            "block",
            rows.iter().map(|(_, p)| p.block).collect::<Vec<_>>(),
        ),
        column(
            "base_value",
            rows.iter().map(|(_, p)| p.base).collect::<Vec<_>>(),
        ),
        column(
            "other_value",
            rows.iter().map(|(_, p)| p.other).collect::<Vec<_>>(),
        ),
        column(
            "difference",
            rows.iter().map(|(_, p)| p.difference).collect::<Vec<_>>(),
        ),
        column(
            "bound",
            rows.iter().map(|(c, _)| c.bound).collect::<Vec<_>>(),
        ),
        text("sentence", &|c| c.sentence.clone()),
    ];
    write_csv(path, frame(path, rows.len(), columns)?)
}

fn column<T, Phantom: ?Sized>(name: &str, values: T) -> Column
where
    T: AsRef<Phantom>,
    Series: NamedFrom<T, Phantom>,
{
    Column::from(Series::new(name.into(), values))
}

fn frame(path: &Path, height: usize, columns: Vec<Column>) -> Result<DataFrame, ReportError> {
    DataFrame::new(height, columns).map_err(table(path))
}

fn write_parquet(
    path: &Path,
    mut frame: DataFrame,
    about: Vec<(String, String)>,
) -> Result<(), ReportError> {
    let file = create(path)?;
    ParquetWriter::new(file)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(about)))
        .finish(&mut frame)
        .map_err(table(path))?;
    Ok(())
}

fn write_csv(path: &Path, mut frame: DataFrame) -> Result<(), ReportError> {
    let mut file = create(path)?;
    CsvWriter::new(&mut file)
        .finish(&mut frame)
        .map_err(table(path))
}

fn create(path: &Path) -> Result<File, ReportError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(ReportError::write(parent))?;
    }
    File::create(path).map_err(ReportError::write(path))
}

fn table(path: &Path) -> impl FnOnce(PolarsError) -> ReportError {
    let path = path.to_owned();
    move |error| ReportError::Table {
        path,
        reason: error.to_string(),
    }
}
