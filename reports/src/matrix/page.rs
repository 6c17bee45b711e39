//! `index.html` of a matrix.

use maud::{Markup, html};

use super::{Cell, Column, Matrix, Row};
use crate::definitions::definition;
use crate::figures::drawn::Drawn;
use crate::figures::provenance::Origin;
use crate::page::{definition_list, drawing, head, link, shell, verdict_class};
use crate::text::signed_percent;

/// The page, with its figure.
pub(super) fn page(matrix: &Matrix, figures: &[Drawn], origin: &Origin) -> String {
    let record = &matrix.record;
    let columns = matrix.columns();
    let rows = matrix.rows(&columns);
    let mut used: Vec<&str> = columns.iter().map(|c| c.definition).collect();
    used.extend(figures.iter().flat_map(|d| d.figure.definitions));
    used.push("verdict");
    used.sort_unstable();
    used.dedup();
    let known: Vec<_> = used.into_iter().filter_map(definition).copied().collect();
    let linked = |id: &str| link(id, definition(id).map_or(id, |d| d.name));
    let body = html! {
        header {
            p.over { "vifbench matrix" }
            h1 { (record.scenario) " over kernels and hypervisors" }
            p.about { (record.about) }
            @for mark in matrix.marks() { p.mark { "▲ " (mark) } }
            nav {
                a href="#combinations" { "Combinations" } " "
                a href="#results" { "Results" } " "
                a href="#figures" { "Figures" } " "
                a href="#effects" { "Effects" } " "
                a href="#files" { "Files" } " "
                a href="#definitions" { "Definitions" }
            }
        }
        main {
            (combinations(matrix))
            section id="results" {
                h2 { "Results" }
                @if rows.is_empty() { p { "Nothing was measured." } } @else {
                    p {
                        "Medians over the trials, all flows together. Beside each: how much more or less than the same variant on "
                        (matrix.base()) "."
                    }
                    (table(matrix, &columns, &rows, |row| &row.against))
                }
            }
            section id="figures" {
                h2 { "Figures" }
                @if figures.is_empty() { p { "There is nothing to draw." } }
                @for drawn in figures { (drawing(drawn, &linked)) }
            }
            section id="effects" {
                h2 { "What a variant does" }
                @let other: Vec<&Row<'_>> = rows.iter().filter(|row| row.effect.iter().any(Option::is_some)).collect();
                @if other.is_empty() { p { "No combination has two variants to hold against each other." } } @else {
                    p { "The same medians. Beside each: how much more or less than the first variant of the same combination. "
                        "How sure that is, each run's own report tells." }
                    (table(matrix, &columns, &other, |row| &row.effect))
                }
            }
            section id="files" {
                h2 { "Files" }
                p { "Made from the data " code { (origin.data) } "." }
                ul {
                    li { a href="matrix.csv" { "matrix.csv" } ": every number of this page, with full versions" }
                    li { a href="matrix.json" { "matrix.json" } ": what was asked, and what became of it" }
                }
            }
            (definition_list(&known))
        }
        footer {
            "Matrix " (record.matrix) ", began " (record.began) ", vifbench " (record.vifbench)
            ". This page can be made again from its folder: " code { "vifbench report" } "."
        }
    };
    shell::page(
        &format!("{} over kernels and hypervisors", record.scenario),
        &body,
    )
}

fn combinations(matrix: &Matrix) -> Markup {
    html! {
        section id="combinations" {
            h2 { "Combinations" }
            div.scroll { table {
                thead { tr {
                    th scope="col" { "kernel" } th scope="col" { "Xen" } th scope="col" { "verdict" }
                    th scope="col" { "reason" } th.n scope="col" { "minutes" } th scope="col" { "report" }
                } }
                tbody { @for (cell, run) in matrix.record.cells.iter().zip(&matrix.runs) {
                    @let full = run.as_ref();
                    tr {
                        td { (full.map_or(cell.kernel.as_str(), |run| run.kernel.as_str())) }
                        td { (full.map_or(cell.xen.as_str(), |run| run.xen.as_str())) }
                        td class=(verdict_class(&cell.verdict)) { (cell.verdict) }
                        td.wide { (cell.reason) (left_out(cell)) }
                        td.n { (format!("{:.1}", cell.minutes)) }
                        td { @if let Some(run) = &cell.run { a href={ (run) "/report/index.html" } { (run) } } @else { "–" } }
                    }
                } }
            } }
        }
    }
}

fn left_out(cell: &Cell) -> Markup {
    html! { @for out in &cell.left_out { br; "Without " (out.variant) ": " (out.reason) "." } }
}

fn table<'r, R: std::borrow::Borrow<Row<'r>>>(
    matrix: &Matrix,
    columns: &[Column],
    rows: &[R],
    percent: impl for<'a> Fn(&'a Row<'r>) -> &'a Vec<Option<f64>>,
) -> Markup {
    let with_rates = rows.iter().any(|row| row.borrow().rate.is_some());
    html! { div.scroll { table {
        thead { tr {
            th scope="col" { "combination" } th scope="col" { "variant" }
            @if with_rates { th scope="col" { "rate" } }
            th.n scope="col" { "trials" }
            @for column in columns {
                (head(column.definition, column.name))
                th.n scope="col" { "by" }
            }
        } }
        tbody { @for row in rows {
            @let row = row.borrow();
            tr {
                td { (matrix.record.cells[row.cell].name()) } td { (row.variant) }
                @if with_rates { td { @if let Some(rate) = row.rate { (rate) } @else { "–" } } }
                td.n { (row.values.iter().flatten().map(|value| value.trials).max().unwrap_or(0)) }
                @for (value, by) in row.values.iter().zip(percent(row)) {
                    td.n { @if let Some(value) = value { (value.unit.value(value.median)) } @else { "–" } }
                    td.n { @if let Some(by) = by { (signed_percent(*by)) } @else { "" } }
                }
            }
        } }
    } } }
}
