//! Delay variation by variant: the distribution of |IPDV|, and quantiles of PDV.

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot};
use crate::figures::curve::{cdf, layers, left_edge};
use crate::figures::of_run::{
    basis, by_variant, detailed_caption, detailed_variants, panel_title, panels,
};
use crate::figures::style::look;
use crate::run_analysis::Analysis;
use crate::stats::quantile;

const QUANTILES: [(u32, &str); 5] = [
    (500, "p50"),
    (900, "p90"),
    (990, "p99"),
    (999, "p99.9"),
    (1000, "max"),
];

/// None where no flow has two packets.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let names = detailed_variants(run);
    let mut plots = Vec::new();
    for (rate, flow, to) in panels(run) {
        let changes = by_variant(run, rate, flow, |f| &f.abs_ipdv);
        if changes.is_empty() {
            continue;
        }
        let name = panel_title(rate, &to);
        plots.push(ipdv(&name, &changes, &names));
        plots.push(pdv(&name, &by_variant(run, rate, flow, |f| &f.pdv), &names));
    }
    (!plots.is_empty()).then(|| Figure {
        id: "jitter",
        title: "Delay variation by variant: |IPDV| (RFC 3393) and PDV (RFC 5481)".to_owned(),
        caption: detailed_caption(
            run,
            "The size of the change of delay from one packet to the next (markers at p10, p50, p90 and p99), and \
             delay above the smallest one of its trial. Neither needs a common clock. All measured packets of all \
             trials of a variant.",
        ),
        definitions: &["ipdv", "pdv", "rfc3550", "quantile"],
        basis: basis(run),
        keys: Key::variants(&names),
        panels: plots,
    })
}

fn ipdv(title: &str, series: &[(usize, Vec<i64>)], names: &[&str]) -> Plot {
    // Changes near zero would stretch a logarithmic axis without end: it begins at the 1 % quantile.
    let ends: Vec<f64> = series
        .iter()
        .flat_map(|(_, v)| [quantile(v, 10), v.last().copied()])
        .flatten()
        .map(|v| v.max(1) as f64)
        .collect();
    let start = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let (unit, unit_name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
    let below = series
        .iter()
        .map(|(_, v)| v.partition_point(|v| (*v as f64) < start))
        .sum();
    let scale = Scale::log(ends).in_unit(unit);
    Plot {
        title: title.to_owned(),
        x: Axis::values(format!("|IPDV| ({unit_name}, log)"), scale),
        y: Axis::values(
            "share of pairs not above",
            Scale::Linear { from: 0.0, to: 1.0 },
        ),
        layers: layers(series, names, |v| cdf(v, unit)),
        note: left_edge(below, "smaller changes", false),
    }
}

fn pdv(title: &str, series: &[(usize, Vec<i64>)], names: &[&str]) -> Plot {
    let value = |values: &[i64], per_mille| quantile(values, per_mille).unwrap_or(0).max(1) as f64;
    let all: Vec<f64> = series
        .iter()
        .flat_map(|(_, values)| QUANTILES.map(|(per_mille, _)| value(values, per_mille)))
        .collect();
    let (unit, unit_name) = time_unit(all.iter().copied().fold(0.0, f64::max));
    let middle = (series.len() as f64 - 1.0) / 2.0;
    let layers = series.iter().enumerate().map(|(n, (i, values))| {
        // Side by side, so that equal values do not hide each other.
        let aside = (n as f64 - middle) * (0.7 / series.len() as f64).min(0.16);
        let points: Vec<_> = QUANTILES
            .iter()
            .enumerate()
            .map(|(q, (per_mille, _))| (q as f64 + aside, value(values, *per_mille) / unit))
            .collect();
        let draw = Draw::Line {
            marked: points.clone(),
            points,
        };
        Layer::new(names[*i], look(*i), draw).weight(0.6)
    });
    Plot {
        title: title.to_owned(),
        x: Axis::names(
            "quantile of PDV",
            QUANTILES.map(|(_, label)| label.to_owned()).to_vec(),
        ),
        y: Axis::values(
            format!("PDV ({unit_name}, log)"),
            Scale::log(all.iter().copied()).in_unit(unit),
        ),
        layers: layers.collect(),
        note: None,
    }
}
