//! `report/index.html`: one file, nothing loaded from elsewhere.
//!
//! Every text that came from a host, a guest or a scenario goes through maud, which escapes it; figures are escaped by
//! plotters. The page's own policy ([`shell`]) forbids loads, and every script but its own, should anything slip through.

mod instructions;
mod provenance;
mod results;
mod search;
pub(crate) mod shell;
mod transactions;
mod trials;

use maud::{Markup, PreEscaped, Render, html};

use crate::definitions::{DEFINITIONS, Definition, definition};
use crate::figures::drawn::Drawn;
use crate::figures::provenance::Origin;
use crate::figures::sheet::PAPERS;
use crate::run_analysis::Analysis;
use crate::verdict::Verdict;

/// The page, with its figures.
pub(crate) fn page(run: &Analysis, figures: &[Drawn], origin: &Origin) -> String {
    let summary = &run.summary;
    let linked = |id: &str| link(id, definition(id).map_or(id, |d| d.name));
    let body = html! {
        header {
            p.over { "vifbench report" }
            h1 { (summary.scenario) " on " (summary.lab) }
            p.about { (summary.about) }
            (verdict(run))
            @for mark in &summary.marks { p.mark { "▲ " (mark) } }
            nav {
                a href="#results" { "Results" } " "
                a href="#figures" { "Figures" } " "
                a href="#comparisons" { "Comparisons" } " "
                a href="#trials" { "Trials" } " "
                a href="#ruler" { "Ruler" } " "
                a href="#files" { "Files" } " "
                a href="#definitions" { "Definitions" }
            }
        }
        main {
            (results::section(run))
            (search::section(run))
            section id="figures" {
                h2 { "Figures" }
                @if figures.is_empty() { p { "There is nothing to draw: no trial was measured." } }
                @for drawn in figures { (drawing(drawn, &linked)) }
            }
            (results::comparisons(run))
            (instructions::section(run))
            (transactions::section(run))
            (trials::section(run))
            (provenance::section(run))
            (files(run, origin))
            (definitions())
        }
        footer {
            "Run " (summary.run) ", started " (summary.started) ", vifbench " (summary.vifbench)
            ". This page can be rebuilt from the run's folder: " code { "vifbench report" } "."
        }
    };
    let title = format!(
        "{} on {}: {}",
        summary.scenario, summary.lab, summary.judgement.verdict
    );
    shell::page(&title, &body)
}

/// So many findings stand under the verdict at once, the largest first; a run of many variants has dozens.
const FINDINGS: usize = 5;

fn verdict(run: &Analysis) -> Markup {
    let judgement = &run.summary.judgement;
    let class = match judgement.verdict {
        Verdict::Pass | Verdict::Improvement => "good",
        Verdict::Inconclusive => "doubt",
        Verdict::Regression | Verdict::Infra | Verdict::Setup | Verdict::DutCrash => "bad",
    };
    html! {
        div class={ "verdict " (class) } {
            p { (link("verdict", html! { strong { (judgement.verdict) } })) ": " (judgement.reason) "." }
            @if judgement.findings.len() > 1 {
                ul { @for finding in judgement.findings.iter().take(FINDINGS) { li { (finding) } } }
            }
            @if judgement.findings.len() > FINDINGS {
                details {
                    summary { (judgement.findings.len() - FINDINGS) " more findings" }
                    ul { @for finding in judgement.findings.iter().skip(FINDINGS) { li { (finding) } } }
                }
            }
        }
    }
}

/// How the word of a verdict looks.
pub(crate) fn verdict_class(verdict: &str) -> &'static str {
    match verdict {
        "PASS" | "IMPROVEMENT" => "good",
        "INCONCLUSIVE" => "doubt",
        _ => "bad",
    }
}

/// A link to a definition.
pub(crate) fn link(id: &str, what: impl Render) -> Markup {
    let title = definition(id).map_or("", |d| d.name);
    html! { a.def href={ "#def-" (id) } title=(title) { (what) } }
}

/// The head of a column of numbers, linked to its definition.
pub(crate) fn head(id: &str, text: &str) -> Markup {
    html! { th.n scope="col" { (link(id, html! { (text) })) } }
}

/// A figure with its caption; `linked` makes a definition's name a link to it.
pub(crate) fn drawing(drawn: &Drawn, linked: &dyn Fn(&str) -> Markup) -> Markup {
    let figure = &drawn.figure;
    let file = |ending: &str, what: &str| {
        html! { a href={ "figures/" (figure.id) (ending) } { (what) } }
    };
    html! {
        figure id={ "figure-" (figure.id) } {
            div.card role="img" aria-label=(figure.title) { (PreEscaped(&drawn.svg)) }
            script type="application/json" data-figure=(figure.id) { (PreEscaped(&drawn.values)) }
            figcaption {
                strong { (figure.title) ". " } (figure.caption) " "
                span.links {
                    "Definitions: "
                    @for (n, id) in figure.definitions.iter().enumerate() {
                        @if n > 0 { ", " }
                        (linked(id))
                    }
                    ". Its numbers: " (file(".csv", "CSV")) ". Files: "
                    (file(".svg", "SVG")) ", " (file(".png", "PNG")) ", " (file(".tex", "PGFPlots")) ", PDF for "
                    @for (n, sheet) in PAPERS.iter().enumerate() {
                        @if n > 0 { "; " }
                        (file(&format!("{}.pdf", sheet.suffix), sheet.name))
                    }
                    "."
                }
            }
        }
    }
}

fn files(run: &Analysis, origin: &Origin) -> Markup {
    html! {
        section id="files" {
            h2 { "Files" }
            p { "Made from the data " code { (origin.data) } "." }
            ul {
                li { a href="trials.csv" { "trials.csv" } " and " a href="../trials.parquet" { "trials.parquet" }
                     ": every metric, one row a trial and flow" }
                li { a href="comparisons.csv" { "comparisons.csv" } ": every pair of every comparison" }
                li { a href="tables/results.tex" { "results.tex" } " and "
                     a href="tables/comparisons.tex" { "comparisons.tex" } ": tables for a paper (LaTeX, booktabs)" }
                li { a href="summary.json" { "summary.json" } ": all of this page's numbers" }
                li { a href="junit.xml" { "junit.xml" } " and " a href="verdict.md" { "verdict.md" }
                     ": the verdict for test dashboards and for GitHub" }
                li { a href="../run.json" { "run.json" } ": scenario, lab and plan; "
                     a href="../events.jsonl" { "events.jsonl" } ": what happened when" }
                @for trial in &run.summary.trials {
                    @if !trial.captures.is_empty() {
                        li id={ "files-" (trial.number) } {
                            "Trial " (trial.number) ": "
                            a href={ "../trials/" (trial.number) "/trial.json" } { "trial.json" } ", "
                            a href={ "../packets/" (trial.number) ".parquet" } { "packets" }
                            "; raw captures "
                            @for (n, capture) in trial.captures.iter().enumerate() {
                                @if n > 0 { ", " }
                                a href={ "../" (escaped_path(&capture.file)) } { (file_name(&capture.file)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A path as part of a URL: everything but the plainest characters is percent-encoded.
fn escaped_path(path: &str) -> String {
    path.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn definitions() -> Markup {
    definition_list(DEFINITIONS)
}

/// Definitions with their anchors.
pub(crate) fn definition_list(definitions: &[Definition]) -> Markup {
    html! {
        section id="definitions" {
            h2 { "Definitions" }
            dl {
                @for d in definitions {
                    dt id={ "def-" (d.id) } { (d.name) }
                    dd {
                        (d.text)
                        @if let Some(formula) = d.formula { " " code { (formula) } }
                        " " span.source { "[" (d.source) "]" }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_parts_of_urls() {
        assert_eq!(
            escaped_path("trials/1/gen/tx.pcap.zst"),
            "trials/1/gen/tx.pcap.zst"
        );
        assert_eq!(escaped_path("a b\"<?#"), "a%20b%22%3C%3F%23");
    }
}
