//! Tables on disk: Parquet and CSV through polars.

use std::path::{Path, PathBuf};

use polars::prelude::*;
use vifbench_scenarios::units::Rate;
use vifbench_store::NewFile;
use vifbench_wire::protocol::Point;

use crate::compare::Comparison;
use crate::error::ReportError;
use crate::metrics::flow::FlowMetrics;
use crate::packets::{Packet, index};
use crate::stats::Stats;
use crate::summary::RunSummary;
use crate::trial_summary::TrialSummary;

/// Writes `packets/<n>.parquet`: one row a packet.
///
/// Times are nanoseconds since 1970 on the reference clock; whether differences between hosts mean anything is told by
/// the bounds in `trials.parquet`.
pub(crate) fn write_packets(
    file: NewFile,
    packets: &[Packet],
    about: Vec<(String, String)>,
) -> Result<PathBuf, ReportError> {
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
    let frame = frame(file.path(), packets.len(), columns)?;
    write_parquet(file, frame, about)
}

/// Writes `trials.parquet`: one row a trial and flow, and one a trial of all its flows (`to` is `all`).
pub(crate) fn write_trials(file: NewFile, summary: &RunSummary) -> Result<PathBuf, ReportError> {
    let frame = trials_frame(file.path(), summary)?;
    write_parquet(file, frame, about(&summary.run, &summary.marks))
}

/// What a Parquet file says of itself: which run, and the marks that its numbers carry.
pub(crate) fn about(run: &str, marks: &[String]) -> Vec<(String, String)> {
    vec![
        ("vifbench.run".to_owned(), run.to_owned()),
        ("vifbench.marks".to_owned(), marks.join("; ")),
    ]
}

/// The same as CSV.
pub(crate) fn write_trials_csv(
    file: NewFile,
    summary: &RunSummary,
) -> Result<PathBuf, ReportError> {
    let frame = trials_frame(file.path(), summary)?;
    write_csv(file, frame)
}

fn trials_frame(path: &Path, summary: &RunSummary) -> Result<DataFrame, ReportError> {
    let mut table = TrialTable::of(summary);
    table.trial("run", |_| summary.run.as_str());
    table.trial("lab", |_| summary.lab.as_str());
    let marks = summary.marks.join("; ");
    table.trial("marks", |_| marks.as_str());
    table.trial("trial", |t| t.number);
    table.trial("block", |t| t.block);
    if summary.trials.iter().any(|t| t.layout > 0) {
        table.trial("layout", |t| t.layout);
    }
    table.trial("variant", |t| t.variant.as_str());
    table.trial("rate_pps", |t| t.rate.map(Rate::per_sec_f64));
    table.trial("state", |t| t.state.word());
    table.trial("reason", |t| t.state.reason());
    table.flow("flow", |m| m.flow.map(u32::from));
    table.flow("to", |m| Some(m.to.clone()));

    table.flow("sent", |m| Some(m.counts.sent));
    table.flow("received", |m| Some(m.counts.received));
    table.flow("matched", |m| Some(m.counts.matched));
    table.flow("lost", |m| Some(m.counts.lost));
    table.flow("duplicated", |m| Some(m.counts.duplicated));
    table.flow("reordered", |m| Some(m.counts.reordered));
    table.flow("reorder_extent", |m| Some(m.counts.reorder_extent));
    table.flow("unmatched", |m| Some(m.counts.unmatched));
    table.flow("corrupt", |m| m.counts.corrupt);
    table.flow("unstamped", |m| Some(m.counts.unstamped));
    table.flow("negative_delay", |m| Some(m.counts.negative));
    table.flow("late", |m| m.counts.late);

    table.flow("offered_pps", |m| Some(m.rates.offered_pps));
    table.flow("achieved_pps", |m| Some(m.rates.achieved_pps));
    table.flow("received_pps", |m| Some(m.rates.received_pps));
    table.flow("throughput_bps", |m| Some(m.rates.throughput_bps));
    table.flow("goodput_bps", |m| Some(m.rates.goodput_bps));

    table.flow("delay_bound_ns", |m| m.delay_bound_ns);
    table.stats("delay", |m| m.delay);
    table.stats("ipdv", |m| m.ipdv);
    table.stats("abs_ipdv", |m| m.abs_ipdv);
    table.stats("pdv", |m| m.pdv);
    table.flow("rfc3550_jitter_mean_ns", |m| m.jitter_mean_ns);
    table.flow("rfc3550_jitter_last_ns", |m| m.jitter_last_ns);
    table.stats("gap_error", |m| m.gap_error);
    table.stats("send_to_tx", |m| m.send_to_tx);
    for (name, from, to) in [
        ("tx_nic", Point::Tx, Point::Nic),
        ("nic_vif", Point::Nic, Point::Vif),
        ("vif_rx", Point::Vif, Point::Rx),
    ] {
        let hop = |m: &FlowMetrics| {
            m.hops
                .iter()
                .find(|h| (h.from, h.to) == (from, to))
                .cloned()
        };
        table.flow(&format!("hop_{name}_bound_ns"), |m| hop(m)?.bound_ns);
        table.flow(&format!("hop_{name}_lost"), |m| Some(hop(m)?.lost));
        table.stats(&format!("hop_{name}"), |m| hop(m)?.time);
    }
    // The CPU cannot be split between flows: only the row of all flows has it.
    table.both("dom0_cpu_percent", |t, m| match m.flow {
        None => Some(t.dom0()?.percent),
        Some(_) => None,
    });
    table.both("dom0_cpu_ns_per_packet", |t, m| match m.flow {
        None => t.dom0()?.ns_per_packet,
        Some(_) => None,
    });
    table.both("packets_per_container", |t, m| {
        t.per_container(m.flow.map(|_| m.to.as_str()))
    });
    let costs = |t: &TrialSummary, m: &FlowMetrics| t.costs(m.flow.map(|_| m.to.as_str()));
    table.both("slots_per_packet", |t, m| Some(costs(t, m)?.slots));
    table.both("copies_per_packet", |t, m| Some(costs(t, m)?.copies));
    table.both("hypercalls_per_packet", |t, m| {
        Some(costs(t, m)?.hypercalls)
    });
    table.both("events_per_packet", |t, m| Some(costs(t, m)?.events));
    frame(path, table.rows.len(), table.columns)
}

/// One row a trial and flow; columns are added one by one.
struct TrialTable<'r> {
    rows: Vec<(&'r TrialSummary, Option<&'r FlowMetrics>)>,
    columns: Vec<Column>,
}

impl<'r> TrialTable<'r> {
    fn of(summary: &'r RunSummary) -> Self {
        let mut rows = Vec::new();
        for trial in &summary.trials {
            rows.extend(trial.rows().map(|flow| (trial, Some(flow))));
            if trial.total.is_none() {
                // What failed must not look as if it never was.
                rows.push((trial, None));
            }
        }
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    fn trial<T, Kind: ?Sized>(&mut self, name: &str, pick: impl Fn(&'r TrialSummary) -> T)
    where
        Vec<T>: AsRef<Kind>,
        Series: NamedFrom<Vec<T>, Kind>,
    {
        let values: Vec<T> = self.rows.iter().map(|(t, _)| pick(t)).collect();
        self.columns.push(column(name, values));
    }

    fn flow<T, Kind: ?Sized>(&mut self, name: &str, pick: impl Fn(&FlowMetrics) -> Option<T>)
    where
        Vec<Option<T>>: AsRef<Kind>,
        Series: NamedFrom<Vec<Option<T>>, Kind>,
    {
        self.both(name, |_, m| pick(m));
    }

    fn both<T, Kind: ?Sized>(
        &mut self,
        name: &str,
        pick: impl Fn(&TrialSummary, &FlowMetrics) -> Option<T>,
    ) where
        Vec<Option<T>>: AsRef<Kind>,
        Series: NamedFrom<Vec<Option<T>>, Kind>,
    {
        let values: Vec<Option<T>> = self.rows.iter().map(|(t, m)| pick(t, (*m)?)).collect();
        self.columns.push(column(name, values));
    }

    /// Seven columns, `<name>_min_ns` to `<name>_max_ns`.
    fn stats(&mut self, name: &str, pick: impl Fn(&FlowMetrics) -> Option<Stats>) {
        self.flow(&format!("{name}_min_ns"), |m| Some(pick(m)?.min));
        self.flow(&format!("{name}_mean_ns"), |m| Some(pick(m)?.mean));
        self.flow(&format!("{name}_p50_ns"), |m| Some(pick(m)?.p50));
        self.flow(&format!("{name}_p90_ns"), |m| Some(pick(m)?.p90));
        self.flow(&format!("{name}_p99_ns"), |m| Some(pick(m)?.p99));
        self.flow(&format!("{name}_p999_ns"), |m| Some(pick(m)?.p999));
        self.flow(&format!("{name}_max_ns"), |m| Some(pick(m)?.max));
    }
}

/// Writes every pair of every comparison as CSV.
pub(crate) fn write_comparisons_csv(
    file: NewFile,
    summary: &RunSummary,
) -> Result<PathBuf, ReportError> {
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
        text("unit", &|c| c.unit.name().to_owned()),
        column(
            "rate_pps",
            rows.iter()
                .map(|(c, _)| c.rate.map(Rate::per_sec_f64))
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
    let frame = frame(file.path(), rows.len(), columns)?;
    write_csv(file, frame)
}

pub(crate) fn column<T, Phantom: ?Sized>(name: &str, values: T) -> Column
where
    T: AsRef<Phantom>,
    Series: NamedFrom<T, Phantom>,
{
    Column::from(Series::new(name.into(), values))
}

pub(crate) fn frame(
    path: &Path,
    height: usize,
    columns: Vec<Column>,
) -> Result<DataFrame, ReportError> {
    DataFrame::new(height, columns).map_err(table(path))
}

pub(crate) fn write_parquet(
    mut file: NewFile,
    mut frame: DataFrame,
    about: Vec<(String, String)>,
) -> Result<PathBuf, ReportError> {
    ParquetWriter::new(&mut file)
        .with_key_value_metadata(Some(KeyValueMetadata::from_static(about)))
        .finish(&mut frame)
        .map_err(table(file.path()))?;
    Ok(file.finish()?)
}

pub(crate) fn write_csv(mut file: NewFile, mut frame: DataFrame) -> Result<PathBuf, ReportError> {
    CsvWriter::new(&mut file)
        .finish(&mut frame)
        .map_err(table(file.path()))?;
    Ok(file.finish()?)
}

fn table(path: &Path) -> impl FnOnce(PolarsError) -> ReportError {
    let path = path.to_owned();
    move |error| ReportError::Table {
        path,
        reason: error.to_string(),
    }
}
