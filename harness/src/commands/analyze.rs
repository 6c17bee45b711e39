//! `vifbench analyze`: delay, jitter and loss between two captures.

use std::path::Path;

use vifbench_reports::analyze::{Micros, Options, PairAnalysis, analyze_pair};

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stderr, stdout};

/// Carries out the command.
pub fn run(tx: &Path, rx: &Path, options: &Options, format: Format) -> Result<Exit, Failure> {
    let pair = analyze_pair(tx, rx, options)?;
    match format {
        Format::Json => stdout().json(&pair)?,
        Format::Text => print(&pair)?,
    }
    match &pair.unmeasured {
        None => Ok(Exit::Pass),
        Some(why) => {
            writeln!(stderr(), "error: {why}");
            Ok(Exit::Inconclusive)
        }
    }
}

fn print(pair: &PairAnalysis) -> Result<(), OutputError> {
    writeln!(
        stdout(),
        "packets: {} at tx, {} at rx, {} matched, {} lost, {} duplicated, {} reordered (RFC 4737), {} unmatched at rx",
        pair.tx_packets,
        pair.rx_packets,
        pair.matched,
        pair.lost,
        pair.duplicated,
        pair.reordered
            .map_or_else(|| "an unknown number".to_owned(), |n| n.to_string()),
        pair.unmatched_rx
    )?;
    if let Some(bytes) = pair.in_bytes {
        writeln!(
            stdout(),
            "{} packets were cut or joined on the way: of {} bytes in {} flows of TCP, {} were lost",
            pair.resegmented,
            bytes.sent,
            bytes.flows,
            bytes.lost
        )?;
    }
    writeln!(
        stdout(),
        "{:<26}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "us",
        "mean",
        "p50",
        "p99",
        "p99.9",
        "max"
    )?;
    match (&pair.delay_us, pair.delay_bound_us) {
        (Some(delay), Some(bound)) => row(&format!("delay (RFC 7679) +-{bound:.3}"), delay)?,
        _ => writeln!(
            stdout(),
            "delay (RFC 7679): none is claimed without --clock-bound or traffic in both directions"
        )?,
    }
    for (name, values) in [
        ("IPDV (RFC 3393)", &pair.ipdv_us),
        ("PDV (RFC 5481)", &pair.pdv_us),
        ("PDV without clock skew", &pair.pdv_without_skew_us),
    ] {
        if let Some(values) = values {
            row(name, values)?;
        }
    }
    if let Some(jitter) = pair.rfc3550_jitter_us {
        writeln!(stdout(), "RFC 3550 jitter, mean of J: {jitter:.3} us")?;
    }
    if let (Some(rate), Some(good)) = (pair.throughput_mbps, pair.goodput_mbps) {
        writeln!(
            stdout(),
            "throughput: {rate:.3} Mbit/s of frames with FCS; goodput (RFC 2647): {good:.3} Mbit/s"
        )?;
    }
    if let (Some(skew), Some(bound), Some(method)) =
        (pair.skew_ppm, pair.skew_bound_ppm, &pair.skew_method)
    {
        writeln!(
            stdout(),
            "clock skew, rx against tx: {skew:+.3} ppm +-{bound:.3} ({method})"
        )?;
    }
    if pair.lost > 0 {
        writeln!(
            stdout(),
            "loss (RFC 7680): {:.4} %, in {} runs of {:.1} on average, the longest of {} (RFC 3357)",
            pair.loss.ratio * 100.0,
            pair.loss.runs,
            pair.loss.mean_run,
            pair.loss.longest_run
        )?;
    }
    if let Some(reordering) = pair.reordering
        && pair.reordered > Some(0)
    {
        writeln!(
            stdout(),
            "reordering (RFC 4737): {:.4} %, extent up to {} packets, late by up to {:.3} us",
            reordering.ratio * 100.0,
            reordering.max_extent,
            reordering.max_late_us
        )?;
    }
    if let Some(back) = &pair.back {
        writeln!(
            stdout(),
            "the other way: {} matched, {} lost",
            back.matched,
            back.lost
        )?;
        if let Some(delay) = &back.delay_us {
            row("  delay", delay)?;
        }
    }
    for warning in &pair.warnings {
        writeln!(stdout(), "note: {warning}")?;
    }
    Ok(())
}

fn row(name: &str, values: &Micros) -> Result<(), OutputError> {
    writeln!(
        stdout(),
        "{name:<26}{:>12.3}{:>12.3}{:>12.3}{:>12.3}{:>12.3}",
        values.mean,
        values.p50,
        values.p99,
        values.p999,
        values.max
    )
}
