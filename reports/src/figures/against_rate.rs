//! Delay against the offered rate, with what is sure of it.

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::{basis, trials_of};
use crate::figures::style::look;
use crate::run_analysis::Analysis;
use crate::stats::{Stats, paired};

/// A variant's mean over its trials at every rate: rate, lower end, mean, upper end.
struct Curve {
    variant: usize,
    points: Vec<(f64, f64, f64, f64)>,
}

/// A quantile with its name.
type Number = (&'static str, fn(Stats) -> i64);

const NUMBERS: [Number; 2] = [("p50", |s| s.p50), ("p99", |s| s.p99)];

/// None unless the rate was swept and a delay can be claimed at two rates.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let names = run.summary.variant_names();
    let mut fewest = usize::MAX;
    let mut plots = Vec::new();
    for (name, pick) in NUMBERS {
        let curves: Vec<Curve> = (0..names.len())
            .map(|variant| Curve {
                variant,
                points: points(run, names[variant], pick, &mut fewest),
            })
            .filter(|curve| curve.points.len() > 1)
            .collect();
        let ends = || {
            curves
                .iter()
                .flat_map(|c| c.points.iter().flat_map(|p| [p.1, p.3]))
                .filter(|v| *v > 0.0)
        };
        let (unit, unit_name) = time_unit(ends().fold(0.0, f64::max));
        let mut layers = Vec::new();
        for Curve { variant, points } in &curves {
            let (name, look) = (names[*variant], look(*variant));
            let band = points
                .iter()
                .map(|p| (p.0, p.1.max(1.0) / unit, p.3 / unit));
            layers.push(Layer::new(name, look, Draw::Band(band.collect())));
            let points: Vec<_> = points.iter().map(|p| (p.0, p.2 / unit)).collect();
            let line = Draw::Line {
                marked: points.clone(),
                points,
            };
            layers.push(Layer::new(name, look, line));
        }
        if layers.is_empty() {
            continue;
        }
        let rates = curves.iter().flat_map(|c| c.points.iter().map(|p| p.0));
        plots.push(Plot {
            title: format!("{name} delay, all flows"),
            x: Axis::values("offered packets/s of each flow (log)", Scale::log(rates)),
            y: Axis::values(
                format!("{name} delay ({unit_name}, log)"),
                Scale::log(ends()).in_unit(unit),
            ),
            layers,
            note: None,
        });
    }
    let bands = if fewest >= paired::LEAST_FOR_INTERVAL {
        "bands are 95 % confidence intervals of the mean (bootstrap-t)"
    } else {
        "bands go from the smallest to the largest trial, which are too few for a confidence interval"
    };
    (!plots.is_empty()).then(|| Figure {
        id: "delay-rate",
        title: "One-way delay, tx to rx, against the offered rate".to_owned(),
        caption: format!("Mean over the trials of a variant; {bands}."),
        definitions: &["delay", "bound", "quantile", "rate"],
        basis: basis(run),
        keys: Key::variants(&names),
        panels: plots,
    })
}

fn points(
    run: &Analysis,
    variant: &str,
    pick: fn(Stats) -> i64,
    fewest: &mut usize,
) -> Vec<(f64, f64, f64, f64)> {
    let mut points = Vec::new();
    for rate in run.summary.rates() {
        let values: Vec<f64> = trials_of(run, rate, variant)
            .filter_map(|i| Some(pick(run.summary.trials[i].total.as_ref()?.delay?) as f64))
            .collect();
        let (Some(rate), false) = (rate, values.is_empty()) else {
            continue;
        };
        *fewest = (*fewest).min(values.len());
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (low, high) = match paired::interval(&values, 0.05, 1) {
            Some(interval) => (interval.low, interval.high),
            None => (
                values.iter().copied().fold(f64::INFINITY, f64::min),
                values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ),
        };
        points.push((rate.per_sec_f64(), low, mean, high));
    }
    points
}
