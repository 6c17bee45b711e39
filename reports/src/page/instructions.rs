//! Where the instructions of a packet went, and what a real processor would need for them.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::cost_model::{CostModel, amounts};
use crate::figures::of_run::rate_title;
use crate::instructions::calls::CALLS;
use crate::instructions::{Part, VariantInstructions, differences};
use crate::page::results::marks;
use crate::page::{head, link};
use crate::run_analysis::Analysis;
use crate::text::{signed_percent, three_digits, time};

/// So many functions stand in a table of differences.
const LARGEST: usize = 25;

/// The section; nothing where no instructions were counted.
pub(super) fn section(run: &Analysis) -> Markup {
    let counted = run.instructions();
    let mut rates = Vec::new();
    for one in &counted {
        if !rates.contains(&one.rate) {
            rates.push(one.rate);
        }
    }
    html! {
        @if !counted.is_empty() {
            section id="instructions" {
                h2 { "Where the instructions go" }
                p {
                    "Every instruction of the machine was " (link("instructions", html! { "counted" }))
                    ", and put to a function of a domain. All numbers are a packet that was sent."
                }
                (marks(run))
                @for rate in rates {
                    @let here: Vec<&VariantInstructions> = counted.iter().filter(|one| one.rate == rate).collect();
                    @if rate.is_some() { h3 { (rate_title(rate)) } }
                    (parts(&here))
                    (calls(&here))
                    (modelled(&here, &run.cost_model))
                    (functions(&here))
                }
            }
        }
    }
}

/// Instructions by domain and part.
fn parts(counted: &[&VariantInstructions]) -> Markup {
    let mut rows: BTreeSet<(&str, Part)> = BTreeSet::new();
    for one in counted {
        rows.extend(
            one.by
                .keys()
                .map(|(domain, part, _)| (domain.as_str(), *part)),
        );
    }
    let spent = |one: &VariantInstructions, row: Option<(&str, Part)>| {
        let all =
            one.sum(|(domain, part, _)| row.is_none_or(|row| row == (domain.as_str(), *part)));
        all.instructions
    };
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "domain" } th scope="col" { "part" }
                @for one in counted { (head("instructions", &one.variant)) }
                @for one in counted.iter().skip(1) { th.n scope="col" { (one.variant) ", against " (counted[0].variant) } }
            } }
            tbody {
                @for row in rows.into_iter().map(Some).chain([None]) {
                    tr {
                        @match row {
                            Some((domain, part)) => { td { (domain) } td { (part.name()) } }
                            None => { td { strong { "all" } } td {} }
                        }
                        @for one in counted { td.n { (three_digits(spent(one, row))) } }
                        @for one in counted.iter().skip(1) {
                            td.n { (against(spent(counted[0], row), spent(one, row))) }
                        }
                    }
                }
            }
        } }
    }
}

fn against(base: f64, value: f64) -> String {
    if base > 0.0 {
        signed_percent((value / base - 1.0) * 100.0)
    } else {
        "–".to_owned()
    }
}

/// Hypercalls and their like, and what memory was asked for.
fn calls(counted: &[&VariantInstructions]) -> Markup {
    let number = |n: Option<f64>| n.map_or_else(|| "–".to_owned(), three_digits);
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "a packet" }
                @for one in counted { th.n scope="col" { (one.variant) } }
            } }
            tbody {
                @for call in &CALLS { tr {
                    td { (call.name) }
                    @for one in counted { td.n { (number(one.calls(call))) } }
                } }
                tr { td { (link("memory-calls", html! { "memory calls a kilobyte of frames" })) }
                     @for one in counted { td.n { (number(one.memory_calls_a_kilobyte())) } } }
                tr { td { "reads and writes of memory" }
                     @for one in counted { td.n { (three_digits(one.sum(|_| true).accesses)) } } }
                tr { td { (link("simulated-caches", html! { "lines that the first level of caches lacked" })) }
                     @for one in counted { td.n { (three_digits(one.sum(|_| true).missed_l1)) } } }
                tr { td { "lines that the last level lacked too" }
                     @for one in counted { td.n { (three_digits(one.sum(|_| true).missed_ll)) } } }
            }
        } }
    }
}

/// Instruction time beside modelled time.
fn modelled(counted: &[&VariantInstructions], model: &CostModel) -> Markup {
    html! {
        p {
            (link("cost-model", html! { "Modelled time" })) ": what one processor would need, by "
            @match model.calibration() {
                Some(of) => { "a model calibrated with the hardware run " code { (of.hardware) } " (" (of.points) " points)" }
                None => { "a model that no hardware run has calibrated yet" }
            }
            "; with its standard deviation. Instruction time is what the lab's own clock counts, 2 ns each."
        }
        div.scroll { table {
            thead { tr {
                th scope="col" { "variant" } th.n scope="col" { "instruction time" } (head("cost-model", "modelled time"))
                th.n scope="col" { "against " (counted[0].variant) }
            } }
            tbody { @for (n, one) in counted.iter().enumerate() {
                @let (first, here) = (amounts(counted[0]), amounts(one));
                @let (all, more) = (model.time(&here), model.difference(&first, &here));
                tr {
                    td { (one.variant) }
                    td.n { (time(one.sum(|_| true).instructions * 2.0)) }
                    td.n { (time(all.ns)) " ± " (time(all.sd)) }
                    td.n { @if n > 0 { (crate::text::signed_time(more.ns)) " ± " (time(more.sd)) } @else { "–" } }
                }
            } }
        } }
    }
}

/// What differs most between the first variant and each other.
fn functions(counted: &[&VariantInstructions]) -> Markup {
    html! {
        @for other in counted.iter().skip(1) {
            details {
                summary { "Functions in which " (other.variant) " differs most from " (counted[0].variant) }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "domain" } th scope="col" { "part" } th scope="col" { "function" }
                        th.n scope="col" { (counted[0].variant) } th.n scope="col" { (other.variant) }
                        th.n scope="col" { "difference" } th.n scope="col" { "calls: " (counted[0].variant) }
                        th.n scope="col" { (other.variant) }
                    } }
                    tbody { @for d in differences(counted[0], other, LARGEST) { tr {
                        td { (d.place.0) } td { (d.place.1.name()) } td { code { (d.place.2) } }
                        td.n { (three_digits(d.one.instructions)) } td.n { (three_digits(d.other.instructions)) }
                        td.n { @if d.more() > 0.0 { "+" } @else { "−" } (three_digits(d.more().abs())) }
                        td.n { (three_digits(d.one.entered)) } td.n { (three_digits(d.other.entered)) }
                    } } }
                } }
            }
        }
    }
}
