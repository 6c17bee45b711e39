//! The results: by variant, and against the base.

use maud::{Markup, html};
use vifbench_scenarios::units::Rate;

use crate::compare::{Comparison, Finding};
use crate::metrics::containers::{Costs, Formed};
use crate::page::{head, link};
use crate::run_analysis::Analysis;
use crate::summary::VariantRow;
use crate::text::{self, count, mbits, three_digits, time};

/// What a reader wants first: a few sentences, and the table by variant.
pub(super) fn section(run: &Analysis) -> Markup {
    let summary = &run.summary;
    let rows: Vec<&VariantRow> = summary.variants.iter().filter(|r| r.trials > 0).collect();
    let containers = rows.iter().any(|r| r.per_container.is_some());
    html! {
        section id="results" {
            h2 { "Results" }
            @if rows.is_empty() {
                p { "No trial was measured. " a href="#trials" { "The list of trials" } " tells why." }
            } @else {
                (in_words(run))
                (marks(run))
                div.scroll {
                    table {
                        caption { "By rate, guest and variant: " (link("median", html! { "median over the trials" }))
                                  ", counts summed. " (link("measured", html! { "Measured packets" })) " only. Raw: "
                                  a href="trials.csv" { "trials.csv" } "." }
                        thead { tr {
                            th scope="col" { "rate" } th scope="col" { "to" } th scope="col" { "variant" }
                            th.n scope="col" { "trials" }
                            (head("points", "sent")) (head("loss", "lost")) th.n scope="col" {
                                (link("duplicated", html! { "dup." })) " / " (link("reordering", html! { "reord." }))
                            }
                            (head("delay", "delay p50")) (head("delay", "delay p99")) (head("bound", "bound"))
                            (head("ipdv", "|IPDV| mean")) (head("pdv", "PDV p99"))
                            (head("rfc3550", "RFC 3550 J mean"))
                            (head("rate", "packets/s at tx")) (head("throughput", "Mbit/s"))
                            (head("cpu", "dom0 CPU / a packet"))
                            @if containers { (head("container", "packets per container")) }
                        } }
                        tbody { @for row in rows { (variant_row(row, containers)) } }
                    }
                }
            }
        }
    }
}

fn variant_row(row: &VariantRow, containers: bool) -> Markup {
    let times = |ns: Option<f64>| ns.map_or_else(|| "–".to_owned(), time);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), three_digits);
    html! {
        tr.total[row.flow.is_none()] {
            td { (rate(row.rate)) } td { (row.to) } td { (row.variant) } td.n { (row.trials) }
            td.n { (count(row.sent)) } td.n { (count(row.lost)) } td.n { (count(row.duplicated)) " / " (count(row.reordered)) }
            td.n { (times(row.delay_p50_ns)) } td.n { (times(row.delay_p99_ns)) }
            td.n {
                @match row.delay_bound_ns {
                    Some(bound) => { "±" (time(bound as f64)) }
                    None => { "none" }
                }
            }
            td.n { (times(row.abs_ipdv_mean_ns)) } td.n { (times(row.pdv_p99_ns)) }
            td.n { (times(row.jitter_mean_ns)) }
            td.n { (number(row.achieved_pps)) }
            td.n { (row.throughput_bps.map_or_else(|| "–".to_owned(), mbits)) }
            td.n {
                @match row.dom0_percent {
                    Some(p) => { (three_digits(p)) " % / " (times(row.dom0_ns_per_packet)) }
                    None => { "–" }
                }
            }
            @if containers { td.n { (number(row.per_container)) } }
        }
    }
}

fn rate(rate: Option<Rate>) -> String {
    rate.map_or_else(|| "–".to_owned(), |r| r.to_string())
}

pub(super) fn marks(run: &Analysis) -> Markup {
    html! { @for mark in &run.summary.marks { p.mark.small { "▲ " (mark) } } }
}

fn in_words(run: &Analysis) -> Markup {
    let summary = &run.summary;
    let total: Vec<&Comparison> = summary
        .comparisons
        .iter()
        .filter(|c| c.is_headline())
        .collect();
    let mut groups: Vec<(&str, &str, Option<Rate>)> = Vec::new();
    for c in &total {
        let key = (c.other.as_str(), c.base.as_str(), c.rate);
        if !groups.contains(&key) {
            groups.push(key);
        }
    }
    html! {
        @for (other, base, at) in groups {
            h3 {
                (other) " against " (base)
                @if let Some(at) = at { " at " (at) " a flow" }
            }
            ul.findings {
                @for c in total.iter().filter(|c| (c.other.as_str(), c.base.as_str(), c.rate) == (other, base, at)) {
                    li class=(class(c.finding)) { (sentence(c)) }
                }
                @if let Some(waits) = waits(run, other, at) {
                    li.note {
                        (link("container", html! { (of_kind(waits.formed)) })) ": " (three_digits(waits.per_container))
                        " packets in each"
                        @if let Some(wait) = waits.mean_wait_ns {
                            ", in which a packet " (waited(waits.formed)) " " (time(wait)) " on average"
                        }
                        @if let Some(costs) = waits.costs {
                            "; a packet took " (three_digits(costs.slots)) " slots, " (three_digits(costs.copies))
                            " copies and " (three_digits(costs.events)) " events"
                        }
                        "."
                    }
                }
            }
        }
    }
}

/// Containers of a variant's trials, all vifs.
struct Waits {
    formed: Formed,
    per_container: f64,
    mean_wait_ns: Option<f64>,
    costs: Option<Costs>,
}

fn waits(run: &Analysis, variant: &str, rate: Option<Rate>) -> Option<Waits> {
    let vifs: Vec<_> = run
        .summary
        .trials
        .iter()
        .filter(|t| t.variant == variant && t.rate == rate)
        .flat_map(|t| &t.containers)
        .filter(|vif| vif.containers > 0)
        .collect();
    let containers: u64 = vifs.iter().map(|v| v.containers).sum();
    let frames: u64 = vifs.iter().map(|v| v.frames).sum();
    if containers == 0 {
        return None;
    }
    let waited: Option<f64> = vifs
        .iter()
        .map(|v| Some(v.mean_wait_ns? * v.frames as f64))
        .sum::<Option<f64>>();
    let costs: Vec<Costs> = vifs.iter().filter_map(|v| v.costs).collect();
    Some(Waits {
        formed: vifs.first()?.formed,
        per_container: frames as f64 / containers as f64,
        mean_wait_ns: waited.map(|w| w / frames as f64),
        costs: Costs::of_all(&costs),
    })
}

fn of_kind(formed: Formed) -> &'static str {
    match formed {
        Formed::Sent => "Containers",
        Formed::Held => "Groups of packets held together",
        Formed::WouldBe => "Would-be containers",
        Formed::No => "No containers",
    }
}

fn waited(formed: Formed) -> &'static str {
    match formed {
        Formed::Sent | Formed::Held | Formed::No => "waited",
        Formed::WouldBe => "would have waited",
    }
}

fn class(finding: Finding) -> &'static str {
    match finding {
        Finding::Equal | Finding::Small => "equal",
        Finding::NotWorse => "not-worse",
        Finding::CannotTell => "cannot-tell",
        Finding::Higher => "higher",
        Finding::Lower => "lower",
    }
}

/// The sentence, its first words linked to the definition.
fn sentence(c: &Comparison) -> Markup {
    let rest = c.sentence.strip_prefix(c.name.as_str()).unwrap_or_default();
    html! { (link(&c.definition, c.name.as_str())) (rest) }
}

/// Every comparison, flow by flow.
pub(super) fn comparisons(run: &Analysis) -> Markup {
    let all = &run.summary.comparisons;
    html! {
        section id="comparisons" {
            h2 { "Comparisons" }
            p { "Other less base, " (link("pair", html! { "paired by block" })) ". All pairs are listed; raw: "
                a href="comparisons.csv" { "comparisons.csv" } "." }
            (marks(run))
            @if all.is_empty() {
                p { "There is no pair: a variant has no measured trial in the same block as the base." }
            } @else {
                div.scroll {
                    table {
                        thead { tr {
                            th scope="col" { "rate" } th scope="col" { "to" } th scope="col" { "variant" }
                            th scope="col" { "number" }
                            (head("pair", "base → other, by block")) (head("pair", "mean difference"))
                            (head("pair", "smallest to largest")) (head("bound", "bound")) th scope="col" { "finding" }
                        } }
                        tbody { @for c in all { (comparison_row(c)) } }
                    }
                }
            }
        }
    }
}

fn comparison_row(c: &Comparison) -> Markup {
    html! {
        tr.total[c.flow.is_none()] {
            td { (rate(c.rate)) } td { (c.to) } td { (c.other) }
            td { (link(&c.definition, html! { (c.name) })) }
            td.n.wide {
                @for (n, pair) in c.pairs.iter().enumerate() {
                    @if n > 0 { "; " }
                    (c.unit.value(pair.base)) " → " (c.unit.value(pair.other))
                }
            }
            td.n {
                (c.unit.difference(c.mean))
                @if let Some(percent) = c.percent { " (" (text::signed_percent(percent)) ")" }
            }
            td.n { (c.unit.difference(c.min)) " to " (c.unit.difference(c.max)) }
            td.n {
                @match c.bound {
                    Some(0.0) => { "exact" }
                    Some(bound) => { (c.unit.value(bound)) }
                    None => { "not known" }
                }
            }
            td class=(class(c.finding)) {
                @match c.finding {
                    Finding::Equal => { "equal" }
                    Finding::Small => { "too small to matter" }
                    Finding::NotWorse => { "not worse" }
                    Finding::CannotTell => { "cannot tell" }
                    Finding::Higher => { "higher" }
                    Finding::Lower => { "lower" }
                }
            }
        }
    }
}
