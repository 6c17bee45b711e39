//! The ruler: with what all this was measured.

use maud::{Markup, html};
use vifbench_store::{ClockMap, ModuleProof, TrialRecord};
use vifbench_wire::protocol::Ruler;

use crate::page::{head, link};
use crate::run_analysis::Analysis;
use crate::text::{signed_time, three_digits, time};

pub(super) fn section(run: &Analysis) -> Markup {
    let lab = &run.run.lab;
    let seed = run.run.plan.seed;
    html! {
        section id="ruler" {
            h2 { "Ruler" }
            p { "With what this was measured. Runs on different rulers are not compared without saying so." }
            ul {
                li { "vifbench " (run.run.vifbench) ", plan seed " (seed) }
                li {
                    "lab " (lab.name)
                    @if lab.is_virtual { " (virtual)" }
                    ": "
                    @for (n, host) in lab.hosts.iter().enumerate() {
                        @if n > 0 { ", " }
                        (host.name.to_string()) " (" (host.interface) ")"
                    }
                }
            }
            (modules(run))
            (clocks(run))
            (rulers(run))
            (events(run))
        }
    }
}

/// Values that several trials share, with the trials that have each.
fn shared<'r, T: PartialEq>(
    run: &'r Analysis,
    of: impl Fn(&'r TrialRecord) -> &'r [T],
) -> Vec<(&'r T, Vec<u32>)> {
    let mut found: Vec<(&T, Vec<u32>)> = Vec::new();
    for record in run.trials.iter().filter_map(|t| t.record.as_ref()) {
        for value in of(record) {
            match found.iter_mut().find(|(known, _)| *known == value) {
                Some((_, trials)) => trials.push(record.plan.number),
                None => found.push((value, vec![record.plan.number])),
            }
        }
    }
    found
}

fn list(trials: &[u32]) -> String {
    trials
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn modules(run: &Analysis) -> Markup {
    let proofs: Vec<(&ModuleProof, Vec<u32>)> = shared(run, |r| &r.modules);
    html! {
        h3 { "Modules, proved after loading" }
        @if proofs.is_empty() { p { "No module was proved: no trial came that far." } }
        @else {
            div.scroll { table {
                thead { tr {
                    th scope="col" { "host" } th scope="col" { "module" } th scope="col" { "series" }
                    th scope="col" { "srcversion" } th scope="col" { "build-id" }
                    th scope="col" { "features in xenstore" } th scope="col" { "trials" }
                } }
                tbody { @for (proof, trials) in &proofs { tr {
                    td { (proof.host) } td { (proof.module) } td { (proof.series) }
                    td { code { (proof.srcversion) } } td { code.long { (proof.build_id) } }
                    td.wide {
                        @for (n, (key, value)) in proof.features.iter().enumerate() {
                            @if n > 0 { ", " }
                            (key) "=" (value)
                        }
                    }
                    td { (list(trials)) }
                } } }
            } }
        }
    }
}

fn clocks(run: &Analysis) -> Markup {
    let mut maps: Vec<(u32, &ClockMap)> = Vec::new();
    for record in run.trials.iter().filter_map(|t| t.record.as_ref()) {
        maps.extend(record.clocks.iter().map(|c| (record.plan.number, c)));
    }
    html! {
        h3 { "Clocks" }
        p { "Each host's clock against the reference, dom0's. " (link("bound", html! { "The bound" }))
            " holds for the whole trial." }
        @if maps.is_empty() { p { "No clock was compared." } }
        @else {
            (clocks_by_host(&maps))
            details {
                summary { "Trial by trial" }
                div.scroll { table {
                    thead { tr {
                        th.n scope="col" { "trial" } th scope="col" { "host" } th scope="col" { "method" }
                        th.n scope="col" { "offset" } th.n scope="col" { "skew (ppm)" } (head("bound", "bound"))
                        th.n scope="col" { "two-way offset, for checking" }
                    } }
                    tbody { @for (trial, map) in &maps { tr {
                        td.n { (trial) } td { (map.host) } td { (map.method) }
                        td.n { (signed_time(map.offset_ns)) } td.n { (three_digits(map.skew * 1e6)) }
                        td.n { (bound(map.bound_ns)) }
                        td.n {
                            @match map.two_way {
                                Some((offset, bound)) => { (signed_time(offset)) " ±" (time(bound)) }
                                None => { "–" }
                            }
                        }
                    } } }
                } }
            }
        }
    }
}

fn bound(ns: Option<f64>) -> String {
    ns.map_or_else(|| "none".to_owned(), |b| format!("±{}", time(b)))
}

/// Each host's worst case over the trials.
fn clocks_by_host(maps: &[(u32, &ClockMap)]) -> Markup {
    let mut hosts: Vec<(&str, &str)> = Vec::new();
    for (_, map) in maps {
        let key = (map.host.as_str(), map.method.as_str());
        if !hosts.contains(&key) {
            hosts.push(key);
        }
    }
    let of = |(host, method): (&str, &str)| -> Vec<&ClockMap> {
        let same = maps
            .iter()
            .filter(|(_, m)| m.host == host && m.method == method);
        same.map(|(_, m)| *m).collect()
    };
    let range = |values: Vec<f64>| {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    };
    html! {
        div.scroll { table {
            thead { tr {
                th scope="col" { "host" } th scope="col" { "method" } th.n scope="col" { "trials" }
                th.n scope="col" { "offset, smallest to largest" } th.n scope="col" { "largest skew (ppm)" }
                (head("bound", "largest bound"))
            } }
            tbody { @for key in hosts {
                @let maps = of(key);
                @let (least, most) = range(maps.iter().map(|m| m.offset_ns).collect());
                @let (_, skew) = range(maps.iter().map(|m| m.skew.abs() * 1e6).collect());
                @let worst = maps.iter().map(|m| m.bound_ns)
                    .try_fold(0.0_f64, |worst, b| Some(worst.max(b?)));
                tr {
                    td { (key.0) } td { (key.1) } td.n { (maps.len()) }
                    td.n { (signed_time(least)) " to " (signed_time(most)) } td.n { (three_digits(skew)) }
                    td.n { (bound(worst)) }
                }
            } }
        } }
    }
}

fn rulers(run: &Analysis) -> Markup {
    let rulers: Vec<(&(String, Ruler), Vec<u32>)> = shared(run, |r| &r.rulers);
    let changed: Vec<&str> = rulers
        .iter()
        .map(|((host, _), _)| host.as_str())
        .filter(|host| {
            rulers
                .iter()
                .filter(|((other, _), _)| other == host)
                .count()
                > 1
        })
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    html! {
        h3 { "Hosts" }
        @if rulers.is_empty() { p { "No host was described." } }
        @for host in changed {
            p.mark { "▲ " (host) " is not described the same way in all trials: modules under test differ by design; \
                     anything else means that the ruler changed." }
        }
        @for ((host, ruler), trials) in &rulers {
            details {
                summary { (host) ": Linux " (ruler.kernel) " (trials " (list(trials)) ")" }
                dl.facts {
                    dt { "kernel" } dd { (ruler.kernel) }
                    dt { "clocksource" } dd { (ruler.clocksource) }
                    dt { "Xen" } dd { (ruler.xen.as_deref().unwrap_or("not told")) }
                    dt { "command line" } dd { (ruler.cmdline) }
                    dt { "CPU" } dd { (ruler.cpu) }
                    dt { "libpcap" } dd { (ruler.libpcap) }
                    dt { "modules" }
                    dd {
                        @for (name, srcversion, build_id) in &ruler.modules {
                            div { (name) " " code { (srcversion) } " " code.long { (build_id) } }
                        }
                    }
                    dt { "interfaces" }
                    dd {
                        @for (interface, property, value) in &ruler.interfaces {
                            div { (interface) " " (property) ": " (value) }
                        }
                    }
                }
            }
        }
    }
}

fn events(run: &Analysis) -> Markup {
    html! {
        @if !run.events.is_empty() {
            details {
                summary { "What happened when" }
                div.scroll { table {
                    tbody { @for event in &run.events { tr {
                        td { (event.at) } td { (event.what) }
                        td { @if let Some(trial) = event.trial { "trial " (trial) } } td.wide { (event.text) }
                    } } }
                } }
            }
        }
    }
}
