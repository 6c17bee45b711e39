//! Every planned trial, also those that failed.

use maud::{Markup, html};
use vifbench_store::Outcome;

use crate::metrics::flow::FlowMetrics;
use crate::page::results::marks;
use crate::page::{head, link};
use crate::run_analysis::Analysis;
use crate::text::{count, three_digits, time};
use crate::trial_summary::{TrialState, TrialSummary};

pub(super) fn section(run: &Analysis) -> Markup {
    let trials = &run.summary.trials;
    html! {
        section id="trials" {
            h2 { "Trials" }
            p { "In the order of the plan. No packet is dropped silently: what is not in the numbers is counted here." }
            @if trials.iter().any(|t| t.layout > 0) {
                p { "Blocks ran in layouts of the machine's memory in turn, every variant of a block in the same: other addresses of modules and pages, another time since the boot. Layout 0 is the one that the lab boots into." }
            }
            (marks(run))
            (table(&html! { @for trial in trials { (whole(trial)) } }))
            @for trial in trials { (failure(trial)) }
            @if trials.iter().any(|t| t.flows.len() > 1) {
                details {
                    summary { "Flow by flow" }
                    (table(&html! { @for trial in trials { @for flow in &trial.flows {
                        tr { (first(trial)) (numbers(flow)) td {} }
                    } } }))
                }
            }
            (generators(trials))
            (containers(trials))
            (captures(trials))
            (warnings(trials))
        }
    }
}

fn table(rows: &Markup) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr {
                    th.n scope="col" { "trial" } th.n scope="col" { "block" } th scope="col" { "variant" }
                    th scope="col" { "rate" } th scope="col" { "state" } th scope="col" { "to" }
                    (head("points", "sent")) (head("points", "received")) (head("loss", "lost"))
                    (head("duplicated", "dup.")) (head("reordering", "reord."))
                    (head("unmatched", "unmatched / unstamped / corrupt / negative"))
                    (head("delay", "delay mean")) (head("bound", "bound")) (head("gap", "gap error p50 / p99"))
                    th.n scope="col" { "took" }
                } }
                tbody { (rows) }
            }
        }
    }
}

fn first(trial: &TrialSummary) -> Markup {
    html! {
        td.n {
            @if trial.captures.is_empty() { (trial.number) }
            @else { a href={ "#files-" (trial.number) } title="raw data" { (trial.number) } }
        }
        td.n { (trial.block) @if trial.layout > 0 { " (layout " (trial.layout) ")" } } td { (trial.variant) }
        td { (trial.rate.map_or_else(|| "–".to_owned(), |r| r.to_string())) }
        td class={ "state " (state_class(&trial.state)) } { (trial.state.word()) }
    }
}

/// A trial as one row, also when it has no numbers.
fn whole(trial: &TrialSummary) -> Markup {
    let took = trial
        .wall_s
        .map_or_else(|| "–".to_owned(), |s| time(s * 1e9));
    html! {
        tr {
            (first(trial))
            @match &trial.total {
                Some(total) => { (numbers(total)) }
                None => { td colspan="10" { (trial.state.reason().unwrap_or("")) } }
            }
            td.n { (took) }
        }
    }
}

fn numbers(row: &FlowMetrics) -> Markup {
    let c = &row.counts;
    let lost_at: Vec<String> = row
        .hops
        .iter()
        .filter(|h| h.lost > 0)
        .map(|h| format!("{:?} to {:?}: {}", h.from, h.to, h.lost).to_lowercase())
        .collect();
    html! {
        td { (row.to) }
        td.n { (count(c.sent)) } td.n { (count(c.received)) }
        td.n { (count(c.lost)) @if !lost_at.is_empty() { " (" (lost_at.join(", ")) ")" } }
        td.n { (count(c.duplicated)) }
        td.n { (count(c.reordered)) @if c.reorder_extent > 0 { " (extent " (c.reorder_extent) ")" } }
        td.n {
            (count(c.unmatched)) " / " (count(c.unstamped)) " / "
            (c.corrupt.map_or_else(|| "?".to_owned(), count)) " / " (count(c.negative))
        }
        td.n { (row.delay.map_or_else(|| "–".to_owned(), |d| time(d.mean as f64))) }
        td.n { (row.delay_bound_ns.map_or_else(|| "none".to_owned(), |b| format!("±{}", time(b as f64)))) }
        td.n {
            @match row.gap_error {
                Some(gap) => { (time(gap.p50 as f64)) " / " (time(gap.p99 as f64)) }
                None => { "–" }
            }
        }
    }
}

fn state_class(state: &TrialState) -> &'static str {
    match state {
        TrialState::Done(Outcome::Complete) => "good",
        TrialState::NotRun => "doubt",
        _ => "bad",
    }
}

fn failure(trial: &TrialSummary) -> Markup {
    let Some(reason) = trial.state.reason() else {
        return html! {};
    };
    html! {
        div.failure id={ "trial-" (trial.number) } {
            h3 { "Trial " (trial.number) " (" (trial.label()) "): " (trial.state.word()) }
            p { (reason) }
            @if let TrialState::Done(Outcome::DutCrash { console, .. }) = &trial.state {
                p { "The console's last lines:" }
                pre { @for line in console { (clean(line)) "\n" } }
            }
        }
    }
}

/// A console's text without the control characters that a terminal would act on.
fn clean(line: &str) -> String {
    line.chars()
        .map(|c| {
            if c.is_control() && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn generators(trials: &[TrialSummary]) -> Markup {
    let with: Vec<_> = trials
        .iter()
        .filter_map(|t| Some((t, t.sent.as_ref()?)))
        .collect();
    html! {
        @if !with.is_empty() {
            details {
                summary { "What the generator says of itself, whole trials" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "trial" } (head("rate", "due")) (head("rate", "sent"))
                        (head("rate", "refused")) (head("late", "handed over late")) (head("late", "latest"))
                        (head("late", "left tx late")) (head("gap", "time to tx p50 / p99")) (head("sender", "sender"))
                    } }
                    tbody { @for (trial, sent) in with { tr {
                        td.n { (trial.number) } td.n { (count(sent.due)) } td.n { (count(sent.sent)) }
                        td.n { (count(sent.refused)) } td.n { (count(sent.late)) }
                        td.n { (time(sent.latest_ns as f64)) }
                        td.n { (left_late(trial)) }
                        td.n {
                            @match trial.total.as_ref().and_then(|t| t.send_to_tx) {
                                Some(s) => { (time(s.p50 as f64)) " / " (time(s.p99 as f64)) }
                                None => { "–" }
                            }
                        }
                        td { (sent.sender) }
                    } } }
                } }
            }
        }
    }
}

/// Packets that left late, and their share of those that left: `84 (4.2 %)`.
fn left_late(trial: &TrialSummary) -> String {
    let Some((late, sent)) = trial
        .total
        .as_ref()
        .and_then(|t| Some((t.counts.late?, t.counts.sent)))
    else {
        return "–".to_owned();
    };
    let percent = late as f64 / sent.max(1) as f64 * 100.0;
    format!("{} ({} %)", count(late), three_digits(percent))
}

fn containers(trials: &[TrialSummary]) -> Markup {
    html! {
        @if trials.iter().any(|t| !t.containers.is_empty()) {
            details {
                summary { "Containers by vif, whole trials" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "trial" } th scope="col" { "vif" } th scope="col" { "guest" }
                        (head("container", "frames")) (head("container", "containers"))
                        (head("container", "frames in each")) (head("container", "full"))
                        (head("container", "at time-out")) (head("container", "by a bypass"))
                        (head("container", "as backlog")) (head("container", "frames past them"))
                        (head("container", "mean wait")) (head("container", "slots / a packet"))
                        (head("container", "copies / a packet")) (head("container", "hypercalls / a packet"))
                        (head("container", "events / a packet"))
                    } }
                    tbody { @for trial in trials { @for vif in &trial.containers { tr {
                        td.n { (trial.number) } td { (vif.interface) } td { (vif.guest.as_deref().unwrap_or("?")) }
                        td.n { (count(vif.frames)) } td.n { (count(vif.containers)) }
                        td.n { (vif.per_container.map_or_else(|| "–".to_owned(), three_digits)) }
                        td.n { (count(vif.full)) } td.n { (count(vif.timeout)) } td.n { (count(vif.bypass)) }
                        td.n { (count(vif.backlog)) } td.n { (count(vif.bypass_frames)) }
                        td.n { (vif.mean_wait_ns.map_or_else(|| "–".to_owned(), time)) }
                        @for cost in [
                            vif.costs.map(|c| c.slots), vif.costs.map(|c| c.copies),
                            vif.costs.map(|c| c.hypercalls), vif.costs.map(|c| c.events),
                        ] {
                            td.n { (cost.map_or_else(|| "–".to_owned(), three_digits)) }
                        }
                    } } } }
                } }
            }
        }
    }
}

fn captures(trials: &[TrialSummary]) -> Markup {
    html! {
        @if trials.iter().any(|t| !t.captures.is_empty()) {
            details {
                summary { "Captures: what each file held" }
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "file" } (head("points", "point")) th scope="col" { "stamps" }
                        th scope="col" { "packets" } (head("unmatched", "foreign")) (head("unmatched", "corrupt"))
                        (head("unmatched", "cut")) (head("unmatched", "unknown flow"))
                        (head("unmatched", "other guest's")) th scope="col" { "dropped by kernel" }
                        th scope="col" { "dropped by interface" }
                    } }
                    tbody { @for trial in trials { @for c in &trial.captures { tr {
                        td { (c.file) } td { (format!("{:?}", c.point).to_lowercase()) }
                        td { (c.timestamp_source) ", " @if c.nanoseconds { "ns" } @else { "µs" } }
                        td.n { (count(c.packets)) } td.n { (count(c.foreign)) } td.n { (count(c.corrupt)) }
                        td.n { (count(c.cut)) } td.n { (count(c.unknown_flow)) } td.n { (count(c.stray)) }
                        td.n { (count(c.dropped_kernel)) } td.n { (count(c.dropped_interface)) }
                    } } } }
                } }
            }
        }
    }
}

fn warnings(trials: &[TrialSummary]) -> Markup {
    let mut lines: Vec<(&str, Vec<u32>)> = Vec::new();
    for trial in trials {
        for warning in &trial.warnings {
            match lines.iter_mut().find(|(line, _)| line == warning) {
                Some((_, of)) => of.push(trial.number),
                None => lines.push((warning, vec![trial.number])),
            }
        }
    }
    html! {
        @if !lines.is_empty() {
            h3 { "Warnings" }
            ul { @for (line, of) in lines { li {
                (line) " (trial "
                (of.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")) ")"
            } } }
        }
        p.small { "Losses by hop and all other counts are " (link("unmatched", html! { "defined below" })) "." }
    }
}
