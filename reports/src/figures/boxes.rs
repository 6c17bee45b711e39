//! Delay by variant as boxes, with the medians of the trials beside them.

use crate::figures::axis::{Scale, time_unit};
use crate::figures::cdf::delay_title;
use crate::figures::chart::{Axis, Draw, Figure, Layer, Plot, Quartiles};
use crate::figures::of_run::{
    basis, by_variant, detailed_caption, detailed_variants, panel_title, panels, trials_of,
};
use crate::figures::style::look;
use crate::run_analysis::Analysis;
use crate::stats::quantile;

/// None where no delay can be claimed.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let names = detailed_variants(run);
    let mut plots = Vec::new();
    for (rate, flow, to) in panels(run) {
        let series = by_variant(run, rate, flow, |f| &f.delay);
        if series.is_empty() {
            continue;
        }
        let at = |values: &[i64], per_mille| {
            quantile(values, per_mille).unwrap_or_default().max(1) as f64
        };
        let ends: Vec<f64> = series
            .iter()
            .flat_map(|(_, v)| [at(v, 10), at(v, 990)])
            .collect();
        let (unit, unit_name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
        let shown: Vec<String> = series.iter().map(|(i, _)| names[*i].to_owned()).collect();
        let mut layers = Vec::new();
        for (row, (i, values)) in series.iter().enumerate() {
            let value = |per_mille| at(values, per_mille) / unit;
            let quartiles = Quartiles {
                at: row as f64,
                thick: 0.5,
                low: value(10),
                q1: value(250),
                median: value(500),
                q3: value(750),
                high: value(990),
            };
            layers.push(Layer::new(
                names[*i],
                look(*i),
                Draw::Boxes(vec![quartiles]),
            ));
            let medians = trials_of(run, rate, names[*i])
                .filter_map(|t| {
                    let flows = &run.summary.trials[t].flows;
                    let median = flows.iter().find(|m| m.flow == Some(flow))?.delay?.p50;
                    Some((median.max(1) as f64 / unit, row as f64 + 0.38))
                })
                .collect();
            let marked = Draw::Line {
                points: Vec::new(),
                marked: medians,
            };
            let series = format!("{}, median of a trial", names[*i]);
            layers.push(Layer::new(series, look(*i), marked).weight(0.4));
        }
        plots.push(Plot {
            title: panel_title(rate, &to),
            x: Axis::values(
                delay_title(run, rate, flow, unit_name),
                Scale::log(ends).in_unit(unit),
            ),
            y: Axis::list(shown),
            layers,
            note: None,
        });
    }
    (!plots.is_empty()).then(|| Figure {
        id: "delay-box",
        title: "One-way delay, tx to rx, by variant".to_owned(),
        caption: detailed_caption(
            run,
            "Boxes from p25 to p75 of all measured packets with the median as a thick line, whiskers to p1 and p99. \
             Below each box the median of every trial: what the verdict rests on.",
        ),
        definitions: &["delay", "bound", "quantile", "median"],
        basis: basis(run),
        keys: Vec::new(),
        panels: plots,
    })
}
