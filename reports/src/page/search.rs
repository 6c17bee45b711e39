//! The table of a throughput search.

use maud::{Markup, html};
use vifbench_scenarios::search::Found;

use crate::page::{head, link};
use crate::run_analysis::Analysis;
use crate::search_results::VariantSearch;
use crate::text::{count, three_digits};

/// Nothing where the scenario searches nothing.
pub(super) fn section(run: &Analysis) -> Markup {
    let Some(asked) = &run.run.scenario.search else {
        return html! {};
    };
    html! {
        h3 { "Throughput search" }
        p {
            "Between " (asked.min) " and " (asked.max) " a flow, to " (asked.resolution) " of the rate; a partial drop rate may lose "
            (asked.loss) ". " (link("ndr", html! { "How it is searched" })) "."
        }
        div.scroll { table {
            thead { tr {
                th scope="col" { "variant" } (head("ndr", "rate")) th.n scope="col" { "borne" }
                th.n scope="col" { "not borne" } th.n scope="col" { "arriving, packets/s" } th.n scope="col" { "trials" }
                th scope="col" { "notes" }
            } }
            tbody { @for search in &run.search { @for found in &search.found { (row(search, found)) } } }
        } }
        details {
            summary { "Every trial of the search" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "variant" } th.n scope="col" { "rate" } th.n scope="col" { "due" }
                    th.n scope="col" { "lost" } th.n scope="col" { "of them not sent" } th.n scope="col" { "loss" }
                } }
                tbody { @for search in &run.search { @for trial in &search.tried { tr {
                    td { (search.variant) } td.n { (trial.rate) } td.n { (count(trial.due)) } td.n { (count(trial.lost)) }
                    td.n { (count(trial.unsent)) } td.n { (three_digits(trial.loss() * 100.0)) " %" }
                } } } }
            } }
        }
    }
}

fn row(search: &VariantSearch, found: &Found) -> Markup {
    let rate = |rate: Option<_>| rate.map_or_else(|| "–".to_owned(), |r| format!("{r}"));
    html! {
        tr {
            td { (search.variant) } td { (found.goal.name()) } td.n { (rate(found.lower)) } td.n { (rate(found.upper)) }
            td.n { (found.forwarded.map_or_else(|| "–".to_owned(), three_digits)) }
            td.n { (search.tried.len()) } td { (notes(search, found)) }
        }
    }
}

fn notes(search: &VariantSearch, found: &Found) -> String {
    let mut notes = Vec::new();
    if found.lower.is_none() && !found.unfinished {
        notes.push("not even the lowest rate is borne");
    }
    if found.upper.is_none() && !found.unfinished {
        notes.push("the highest rate is borne: the limit lies above");
    }
    notes.extend(search.generator_doubt(found));
    if found.unfinished {
        notes.push(if search.broken {
            "a trial failed, so the search ended early"
        } else {
            "not finished"
        });
    }
    notes.join("; ")
}
