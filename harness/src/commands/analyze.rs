//! `vifbench analyze`: delay, jitter and loss between two captures.

use std::path::Path;

use serde_json::json;
use vifbench_reports::analyze::{Micros, PairAnalysis, analyze_pair};
use vifbench_scenarios::units::Span;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;

/// Carries out the command.
pub fn run(
    tx: &Path,
    rx: &Path,
    clock_bound: Option<Span>,
    format: Format,
) -> Result<Exit, Failure> {
    let pair = analyze_pair(tx, rx, clock_bound.map(Span::nanos))?;
    match format {
        Format::Json => println!("{}", json!(pair)),
        Format::Text => print(&pair),
    }
    Ok(Exit::Pass)
}

fn print(pair: &PairAnalysis) {
    println!(
        "packets: {} at tx, {} at rx, {} matched, {} lost, {} duplicated, {} reordered (RFC 4737), {} unmatched at rx",
        pair.tx_packets,
        pair.rx_packets,
        pair.matched,
        pair.lost,
        pair.duplicated,
        pair.reordered,
        pair.unmatched_rx
    );
    println!(
        "{:<26}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "us", "mean", "p50", "p99", "p99.9", "max"
    );
    match (&pair.delay_us, pair.delay_bound_us) {
        (Some(delay), Some(bound)) => row(&format!("delay (RFC 7679) +-{bound:.3}"), delay),
        _ => println!("delay (RFC 7679): none is claimed without --clock-bound"),
    }
    for (name, values) in [
        ("IPDV (RFC 3393)", &pair.ipdv_us),
        ("PDV (RFC 5481)", &pair.pdv_us),
    ] {
        if let Some(values) = values {
            row(name, values);
        }
    }
    if let Some(jitter) = pair.rfc3550_jitter_us {
        println!("RFC 3550 jitter, mean of J: {jitter:.3} us");
    }
    if let Some(rate) = pair.throughput_mbps {
        println!("throughput: {rate:.3} Mbit/s");
    }
    for warning in &pair.warnings {
        println!("note: {warning}");
    }
}

fn row(name: &str, values: &Micros) {
    println!(
        "{name:<26}{:>10.3}{:>10.3}{:>10.3}{:>10.3}{:>10.3}",
        values.mean, values.p50, values.p99, values.p999, values.max
    );
}
