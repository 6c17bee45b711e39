//! Flows that wait for answers: a table by trial.

use maud::{Markup, html};

use crate::held_requests::{self, HeldRequests, PAPER_RATIO};
use crate::metrics::transactions::Transactions;
use crate::page::results::marks;
use crate::page::{head, link};
use crate::run_analysis::Analysis;
use crate::text::{count, mbits, three_digits, time};
use crate::trial_summary::TrialSummary;

/// The section; nothing where no flow waits for answers.
pub(super) fn section(run: &Analysis) -> Markup {
    let rows: Vec<(&TrialSummary, &Transactions)> = run
        .summary
        .trials
        .iter()
        .flat_map(|trial| trial.transactions.iter().map(move |t| (trial, t)))
        .collect();
    let tcp = rows.iter().any(|(_, row)| row.tcp.is_some());
    html! {
        @if !rows.is_empty() {
            section id="transactions" {
                h2 { "Requests and TCP" }
                p {
                    "Flows in which packets wait for answers (a " (link("transaction", html! { "closed loop" }))
                    "): what the generator's own clock and the kernel's counters say, after the warm-up."
                }
                (marks(run))
                @if let Some(held) = held_requests::of(run) { (ratios(&held)) }
                div.scroll { table {
                    thead { tr {
                        th.n scope="col" { "trial" } th.n scope="col" { "block" } th scope="col" { "variant" }
                        th scope="col" { "flow" } th scope="col" { "to" }
                        (head("transaction", "transactions/s"))
                        (head("round-trip", "round trip p50")) (head("round-trip", "p99")) (head("round-trip", "p99.9"))
                        (head("transaction", "unanswered / unexpected / corrupt"))
                        @if tcp {
                            (head("tcp-goodput", "goodput, Mbit/s")) (head("tcp-repeats", "segments sent again"))
                            (head("tcp-repeats", "efficiency")) (head("tcp-rtt", "TCP's own round trip, least / smoothed"))
                            th scope="col" { "segment" }
                        }
                    } }
                    tbody { @for (trial, row) in rows { (line(trial, row, tcp)) } }
                } }
            }
        }
    }
}

/// Transactions a second by regulator and hold, and how many times the static hold's that is.
fn ratios(held: &HeldRequests) -> Markup {
    let number = |n: Option<f64>| n.map_or_else(|| "–".to_owned(), three_digits);
    html! {
        h3 { "Against the static hold" }
        p {
            "Transactions a second of all flows together, and how many times those of " code { "static" } " at the same T0. "
            "The paper (Thakur and Goudar 2014, Table 1: 500 samples against each of two guests) has "
            strong { (PAPER_RATIO) } " for its adaptive hold against its static one; it tells neither T0 nor the round trip."
        }
        div.scroll { table {
            thead { tr {
                th.n scope="col" { "T0" }
                @for (n, regulator) in held.regulators.iter().enumerate() {
                    th.n scope="col" { (regulator.name()) }
                    @if n > 0 { th.n scope="col" { "ratio" } }
                }
            } }
            tbody { @for row in &held.rows { tr {
                td.n { (row.hold) }
                @for n in 0..held.regulators.len() {
                    td.n { (number(row.per_s[n])) }
                    @if n > 0 { td.n { strong { (number(row.ratio(n))) } } }
                }
            } } }
        } }
        @if !held.without.is_empty() {
            p.small {
                "Whatever T0: "
                @for (n, (name, per_s)) in held.without.iter().enumerate() {
                    @if n > 0 { ", " }
                    (name) " " (three_digits(*per_s)) "/s"
                }
                "."
            }
        }
    }
}

fn line(trial: &TrialSummary, row: &Transactions, tcp: bool) -> Markup {
    let dash = || "–".to_owned();
    let trip = |pick: fn(&crate::stats::Stats) -> i64| {
        row.round_trip
            .as_ref()
            .map_or_else(dash, |s| time(pick(s) as f64))
    };
    html! {
        tr {
            td.n { (trial.number) } td.n { (trial.block) } td { (trial.variant) }
            td { (row.flow) " " (row.kind) } td { (row.to) }
            td.n { (row.per_s.map_or_else(dash, three_digits)) }
            td.n { (trip(|s| s.p50)) } td.n { (trip(|s| s.p99)) } td.n { (trip(|s| s.p999)) }
            td.n { (count(row.unanswered)) " / " (count(row.unexpected)) " / " (count(row.corrupt)) }
            @if tcp {
                @match &row.tcp {
                    Some(tcp) => {
                        td.n { (mbits(tcp.goodput_bps)) }
                        td.n { (count(tcp.retransmitted)) " of " (count(tcp.segments)) }
                        td.n { (tcp.efficiency.map_or_else(dash, |e| format!("{} %", three_digits(e * 100.0)))) }
                        td.n { (time(f64::from(tcp.min_rtt_us) * 1e3)) " / " (time(f64::from(tcp.smoothed_rtt_us) * 1e3)) }
                        td.n { (tcp.segment) " B, " (tcp.congestion) }
                    }
                    None => { td {} td {} td {} td {} td {} }
                }
            }
        }
    }
}
