//! How the one-way delay is distributed, by variant: the share not above, and the tail above.

use vifbench_scenarios::units::Rate;

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Draw, Figure, Key, Plot};
use crate::figures::curve::{ccdf, cdf, layers, left_edge, time_scale};
use crate::figures::of_run::{
    basis, bound, by_variant, detailed_caption, detailed_variants, panel_title, panels,
};
use crate::run_analysis::Analysis;
use crate::text;

/// None where no delay can be claimed.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let scale = Scale::Linear { from: 0.0, to: 1.0 };
    let y = |_: f64| Axis::values("share of packets not above", scale);
    Some(Figure {
        id: "delay-cdf",
        title: "One-way delay, tx to rx: distribution by variant".to_owned(),
        caption: detailed_caption(
            run,
            "Every measured packet of all trials of a variant. A curve further left is faster; a steeper one \
                  varies less. Markers stand at p10, p50, p90 and p99.",
        ),
        definitions: &["delay", "bound", "quantile"],
        basis: basis(run),
        keys: Key::variants(&detailed_variants(run)),
        panels: plots(run, cdf, y, false)?,
    })
}

/// The complementary distribution on two logarithmic axes: what happens to the slowest packets.
pub fn tail(run: &Analysis) -> Option<Figure> {
    let y = |least: f64| {
        let scale = Scale::Log {
            from: least * 0.8,
            to: 1.0,
        };
        Axis::values("share of packets above (log)", scale)
    };
    Some(Figure {
        id: "delay-ccdf",
        title: "One-way delay, tx to rx: the tail by variant".to_owned(),
        caption: detailed_caption(
            run,
            "Every measured packet of all trials of a variant: the share of packets that took longer. A curve \
                  further down and left has the shorter tail. Markers stand at p50, p90, p99 and p99.9; each curve ends \
                  at its slowest packet.",
        ),
        definitions: &["delay", "bound", "quantile"],
        basis: basis(run),
        keys: Key::variants(&detailed_variants(run)),
        panels: plots(run, ccdf, y, true)?,
    })
}

/// One panel a flow and point of the sweep; `y` is made for the smallest share that a packet is.
fn plots(
    run: &Analysis,
    draw: fn(&[i64], f64) -> Draw,
    y: impl Fn(f64) -> Axis,
    note_on_top: bool,
) -> Option<Vec<Plot>> {
    let names = detailed_variants(run);
    let plots: Vec<Plot> = panels(run)
        .into_iter()
        .filter_map(|(rate, flow, to)| {
            let series = by_variant(run, rate, flow, |f| &f.delay);
            let most = series.iter().map(|(_, d)| d.len()).max()?;
            let (x, unit, unit_name) = time_scale(&series);
            let below = series
                .iter()
                .map(|(_, d)| d.partition_point(|v| *v <= 0))
                .sum();
            Some(Plot {
                title: panel_title(rate, &to),
                x: Axis::values(delay_title(run, rate, flow, unit_name), x),
                // Two decades at least, so that few packets make a curve too.
                y: y((1.0 / most as f64).min(0.01)),
                layers: layers(&series, &names, |d| draw(d, unit)),
                note: left_edge(below, "delays at or below zero", note_on_top),
            })
        })
        .collect();
    (!plots.is_empty()).then_some(plots)
}

/// The axis of delays, with their bound.
pub fn delay_title(run: &Analysis, rate: Option<Rate>, flow: u16, unit: &str) -> String {
    match bound(run, rate, flow) {
        Some(bound) => format!(
            "one-way delay ({unit}, log), bound ±{}",
            text::time(bound as f64)
        ),
        None => format!("one-way delay ({unit}, log)"),
    }
}
