//! The page of a simulation.

use maud::{Markup, html};
use vifbench_model::experiment::Row;
use vifbench_model::pareto::Choice;

use crate::definitions::Definition;
use crate::figures::drawn::Drawn;
use crate::figures::provenance::Origin;
use crate::page::{definition_list, drawing, shell};
use crate::simulated::{SIMULATED_MARK, Simulation};
use crate::text::{count, three_digits, time};

const DEFINITIONS: &[Definition] = &[
    Definition {
        id: "simulated",
        name: "Simulated",
        text: "Nothing here was measured. The regulators and the container are those of the patches, bit for bit; the \
               packets are those that a run with the same seed sends; dom0 is reduced to the service time that the \
               scenario gives, and to none where it gives none.",
        formula: Some("service(N packets) = transfer + N packet"),
        source: "vendor-patches/model",
    },
    Definition {
        id: "wait",
        name: "Wait",
        text: "From a packet's arrival at the guest's vif to its delivery in the guest: in the container, in line for \
               dom0, in its transfer, and in the playout where there is one. Packets of the warm-up are not counted. \
               No wait is told where dom0 cannot keep up. ± is the standard error over the blocks.",
        formula: None,
        source: "vifbench",
    },
    Definition {
        id: "ipdv",
        name: "|IPDV|",
        text: "The size of the difference of the waits of two successive packets of a flow; the mean over all pairs.",
        formula: Some("|W(i) - W(i-1)|"),
        source: "RFC 3393",
    },
    Definition {
        id: "container",
        name: "Packets a container, and time-outs",
        text: "Packets delivered by one transfer to the guest; a packet that travels alone is a transfer of one. Under \
               shadow accounting: the containers that would have formed. Time-outs: of the containers, those that left \
               because their deadline came.",
        formula: None,
        source: "vifbench",
    },
    Definition {
        id: "samples",
        name: "Samples a second",
        text: "Answers of all closed loops, from the first request to the last answer.",
        formula: Some("X = M / (r + h)"),
        source: "vifbench",
    },
    Definition {
        id: "front",
        name: "Front",
        text: "Of all regulators with all holds on this traffic, those for which no other has a smaller mean wait for \
               no more transfers a packet, or fewer transfers for no more wait.",
        formula: None,
        source: "Pareto",
    },
];

/// The page, with its figures.
pub fn page(
    simulation: &Simulation<'_>,
    rows: &[Row],
    figures: &[Drawn],
    origin: &Origin,
) -> String {
    let scenario = simulation.scenario;
    let linked = |id: &str| html! { a.def href={ "#def-" (id) } { (name(id)) } };
    let body = html! {
        header {
            p.over { "vifbench report of a simulation" }
            h1 { (scenario.name) ", " a.def href="#def-simulated" { "simulated" } }
            p.about { (scenario.about) }
            p.mark { "▲ " (SIMULATED_MARK) }
            nav {
                a href="#results" { "Results" } " "
                a href="#figures" { "Figures" } " "
                @if !simulation.choices.is_empty() { a href="#front" { "Front" } " " }
                a href="#ruler" { "What was asked" } " "
                a href="#files" { "Files" } " "
                a href="#definitions" { "Definitions" }
            }
        }
        main {
            (results(rows))
            section id="figures" {
                h2 { "Figures" }
                @if figures.is_empty() { p { "There is nothing to draw: no packet was measured." } }
                @for drawn in figures { (drawing(drawn, &linked)) }
            }
            @if !simulation.choices.is_empty() { (front(simulation.choices)) }
            (asked(simulation))
            (files(simulation, origin))
            (definition_list(DEFINITIONS))
        }
        footer {
            "Made by vifbench " (simulation.vifbench) ", seed " (simulation.seed)
            ". The same scenario, seed and version make the same page."
        }
    };
    shell::page(&format!("{}, simulated", scenario.name), &body)
}

fn head(id: &str, text: &str) -> Markup {
    html! { th.n scope="col" { a.def href={ "#def-" (id) } { (text) } } }
}

fn us(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |us| time(us * 1000.0))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), three_digits)
}

fn results(rows: &[Row]) -> Markup {
    let holds = rows.iter().any(|r| r.hold_us.is_some());
    let samples = rows.iter().any(|r| r.samples_per_s.is_some());
    html! {
        section id="results" {
            h2 { "Results" }
            @if rows.iter().any(|r| r.overloaded) {
                p { "Where a row says " strong { "overloaded" } ", dom0 could not keep up with the packets: waits \
                     would grow for as long as the traffic lasts." }
            }
            div.scroll {
                table {
                    caption { "By rate, hold and variant; all blocks together." }
                    thead { tr {
                        th scope="col" { "rate" }
                        @if holds { th.n scope="col" { "hold" } }
                        th scope="col" { "variant" } th.n scope="col" { "packets" }
                        (head("wait", "wait, mean")) (head("wait", "±")) (head("wait", "p50")) (head("wait", "p99"))
                        (head("ipdv", "|IPDV| mean")) (head("container", "packets / container"))
                        (head("container", "time-outs"))
                        @if samples { (head("samples", "samples/s")) }
                    } }
                    tbody { @for row in rows { tr {
                        td { (row.rate.map_or_else(|| "–".to_owned(), |r| r.to_string())) }
                        @if holds { td.n { (us(row.hold_us)) } }
                        td { (row.variant) }
                        td.n { (count(row.packets)) }
                        @if row.overloaded {
                            td.bad colspan="5" { "overloaded" }
                        } @else {
                            td.n { (us(row.mean_wait_us)) } td.n { (us(row.mean_wait_se_us)) }
                            td.n { (us(row.p50_wait_us)) } td.n { (us(row.p99_wait_us)) }
                            td.n { (us(row.mean_abs_ipdv_us)) }
                        }
                        td.n { (number(row.packets_per_container)) }
                        td.n { (row.timeout_fraction.map_or_else(|| "–".to_owned(), |f| format!("{} %", three_digits(f * 100.0)))) }
                        @if samples { td.n { (number(row.samples_per_s)) } }
                    } } }
                }
            }
        }
    }
}

fn name(id: &str) -> &str {
    DEFINITIONS
        .iter()
        .find(|d| d.id == id)
        .map_or(id, |d| d.name)
}

fn front(choices: &[Choice]) -> Markup {
    html! {
        section id="front" {
            h2 { "Front" }
            div.scroll {
                table {
                    caption { "The " a.def href="#def-front" { "front" } " by rate: what nothing else beats, from the least wait to the least work. \
                               All " (choices.len()) " choices are in " a href="pareto.csv" { "pareto.csv" } "." }
                    thead { tr {
                        th scope="col" { "rate" } th scope="col" { "regulator" } th.n scope="col" { "hold" }
                        (head("wait", "wait, mean")) (head("wait", "p99")) (head("front", "transfers a packet"))
                    } }
                    tbody { @for choice in sorted(choices) { tr {
                        td { (choice.rate.map_or_else(|| "–".to_owned(), |r| r.to_string())) }
                        td { (choice.regulator.name()) }
                        td.n { (choice.hold.map_or_else(|| "–".to_owned(), |h| h.to_string())) }
                        td.n { (us(Some(choice.mean_wait_us))) } td.n { (us(Some(choice.p99_wait_us))) }
                        td.n { (three_digits(choice.transfers_per_packet)) }
                    } } }
                }
            }
        }
    }
}

/// Those on the front, by rate and wait.
fn sorted(choices: &[Choice]) -> Vec<&Choice> {
    let mut front: Vec<&Choice> = choices.iter().filter(|c| c.on_front).collect();
    front.sort_by(|a, b| {
        a.rate
            .cmp(&b.rate)
            .then(a.mean_wait_us.total_cmp(&b.mean_wait_us))
            .then(a.regulator.cmp(&b.regulator))
    });
    front
}

fn asked(simulation: &Simulation<'_>) -> Markup {
    let scenario = simulation.scenario;
    html! {
        section id="ruler" {
            h2 { "What was asked" }
            dl.facts {
                dt { "warm-up, duration" } dd { (scenario.warmup) ", " (scenario.duration) }
                dt { "seed" } dd { (simulation.seed) }
                dt { "dom0's work" }
                dd {
                    @match &scenario.service {
                        Some(service) => { (service.transfer) " a transfer and " (service.packet) " a packet" }
                        None => { "none: waits are those of the containers alone" }
                    }
                }
            }
            @match scenario.to_yaml() {
                Ok(yaml) => { pre { (yaml) } }
                Err(error) => { p { (error) } }
            }
        }
    }
}

fn files(simulation: &Simulation<'_>, origin: &Origin) -> Markup {
    html! {
        section id="files" {
            h2 { "Files" }
            p { "Made from the data " code { (origin.data) } "." }
            ul {
                li { a href="tables/simulated.tex" { "simulated.tex" } ": a table for a paper (LaTeX, booktabs)" }
                li { a href="simulated.csv" { "simulated.csv" } ": one row a variant and point" }
                @if !simulation.choices.is_empty() {
                    li { a href="pareto.csv" { "pareto.csv" } ": every regulator with every hold" }
                }
                li { a href="summary.json" { "summary.json" } ": all of this page's numbers, and the scenario" }
            }
        }
    }
}
