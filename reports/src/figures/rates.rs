//! Throughput over time: what was offered, achieved and received.

use vifbench_scenarios::units::Rate;

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::{
    basis, detailed_caption, detailed_rates, detailed_variants, trials_of,
};
use crate::figures::style::{FAINT, Look, look};
use crate::metrics::rate::Series;
use crate::run_analysis::Analysis;

/// Offered: wide and pale, so that what lies on it is seen.
const OFFERED: Look = Look {
    colour: FAINT,
    dash: &[],
    marker: None,
};
const NAMES: [&str; 3] = [
    "offered: due by the schedule",
    "achieved: captured at tx",
    "received: arrived at rx, by send time",
];

/// None where nothing was measured.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let mut plots = Vec::new();
    for rate in detailed_rates(run) {
        for variant in detailed_variants(run) {
            let series: Vec<&Series> = trials_of(run, rate, variant)
                .filter_map(|i| run.trials[i].values.as_ref().map(|v| &v.series))
                .collect();
            plots.extend(plot(rate, variant, &series));
        }
    }
    let keys = NAMES
        .into_iter()
        .zip([OFFERED, look(0), look(1)])
        .map(|(name, look)| Key {
            name: name.to_owned(),
            look,
            area: false,
        });
    (!plots.is_empty()).then(|| Figure {
        id: "rates",
        title: "Throughput over time: offered, achieved and received, all flows".to_owned(),
        caption: detailed_caption(
            run,
            "Mean over the trials of a variant. Where achieved leaves offered, the generator did not send what \
             was asked; where received leaves achieved, packets were lost. The warm-up is shaded and not \
             counted.",
        ),
        definitions: &["rate", "gap", "measured"],
        basis: basis(run),
        keys: keys.collect(),
        panels: plots,
    })
}

fn plot(rate: Option<Rate>, variant: &str, series: &[&Series]) -> Option<Plot> {
    let first = series.first()?;
    // Trials of one point of the sweep have the same bins; a mean over them is drawn.
    let mean = |pick: fn(&Series) -> &Vec<u32>| -> Vec<f64> {
        (0..pick(first).len())
            .map(|bin| {
                let sum: f64 = series
                    .iter()
                    .filter_map(|s| pick(s).get(bin))
                    .map(|n| f64::from(*n))
                    .sum();
                sum / series.len() as f64 / (first.bin_ns as f64 / 1e9)
            })
            .collect()
    };
    let lines = [
        (OFFERED, mean(|s| &s.due)),
        (look(0), mean(|s| &s.tx)),
        (look(1), mean(|s| &s.rx)),
    ];
    let seconds = |bin: f64| (first.from_ns as f64 + bin * first.bin_ns as f64) / 1e9;
    let x = Scale::Linear {
        from: seconds(0.0),
        to: seconds(first.tx.len() as f64),
    };
    let y = Scale::linear(lines.iter().flat_map(|(_, l)| l.iter().copied()), true);
    let mut layers = Vec::new();
    if first.from_ns < 0 {
        layers.push(Layer::new(
            "warm-up",
            OFFERED,
            Draw::Shade(seconds(0.0), 0.0),
        ));
    }
    for (n, (look, line)) in lines.iter().enumerate() {
        let points: Vec<_> = line
            .iter()
            .enumerate()
            .map(|(bin, rate)| (seconds(bin as f64 + 0.5), *rate))
            .collect();
        // Markers alternate, so that one line does not hide the other's.
        let marked = points.iter().copied().skip(n * 4).step_by(10).collect();
        let draw = Draw::Line { points, marked };
        let weight = if n == 0 { 2.8 } else { 0.9 };
        layers.push(Layer::new(NAMES[n], *look, draw).weight(weight));
    }
    Some(Plot {
        title: match rate {
            Some(rate) => format!("{variant}, {rate} a flow"),
            None => variant.to_owned(),
        },
        x: Axis::values("time since the measured part began (s)", x),
        y: Axis::values("packets/s", y),
        layers,
        note: None,
    })
}
