//! How full containers were and how long they were held.

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot, Point};
use crate::figures::of_run::{
    basis, detailed_caption, detailed_rates, detailed_variants, rate_title, trials_of,
};
use crate::figures::style::look;
use crate::metrics::containers::{Bucket, Histograms, add};
use crate::run_analysis::Analysis;

/// A histogram with what it counts.
type Kind = (&'static str, fn(&Histograms) -> &Vec<Bucket>);

const KINDS: [Kind; 3] = [
    ("bytes in a container", |h| &h.fill_bytes),
    ("packets in a container", |h| &h.frames),
    ("held", |h| &h.hold_ns),
];

/// None where no variant has containers, real or would-be.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let names = detailed_variants(run);
    let mut plots = Vec::new();
    for rate in detailed_rates(run) {
        for (what, pick) in KINDS {
            let series: Vec<(usize, Vec<Bucket>)> = names
                .iter()
                .enumerate()
                .map(|(i, name)| {
                    let mut all = Vec::new();
                    for trial in trials_of(run, rate, name) {
                        if let Some(values) = &run.trials[trial].values {
                            for bucket in pick(&values.containers) {
                                add(&mut all, *bucket);
                            }
                        }
                    }
                    (i, all)
                })
                .filter(|(_, all)| !all.is_empty())
                .collect();
            if !series.is_empty() {
                plots.push(plot(&rate_title(rate), what, &series, &names));
            }
        }
    }
    (!plots.is_empty()).then(|| Figure {
        id: "containers",
        title: "Containers: how full, and how long they were held".to_owned(),
        caption: detailed_caption(
            run,
            "Share of a variant's containers in each bucket (powers of two), all vifs and trials, warm-up included. \
             Under shadow accounting: containers that would have formed. A container's hold is its first packet's wait.",
        ),
        definitions: &["container"],
        basis: basis(run),
        keys: Key::variants(&names)
            .into_iter()
            .enumerate()
            .filter(|(i, _)| plots.iter().any(|p: &Plot| p.layers.iter().any(|l| l.series == names[*i])))
            .map(|(_, key)| key)
            .collect(),
        panels: plots,
    })
}

fn plot(title: &str, what: &str, series: &[(usize, Vec<Bucket>)], names: &[&str]) -> Plot {
    let edges = || {
        series
            .iter()
            .flat_map(|(_, all)| all.iter().flat_map(|b| [edge(b.from), edge(b.to + 1)]))
    };
    let (unit, axis) = if what == "held" {
        let (unit, name) = time_unit(edges().fold(0.0, f64::max));
        (unit, format!("hold ({name}, log)"))
    } else {
        (1.0, format!("{what} (log)"))
    };
    let layers: Vec<Layer> = series
        .iter()
        .map(|(i, all)| {
            let draw = Draw::Line {
                points: outline(all, unit),
                marked: middles(all, unit),
            };
            Layer::new(names[*i], look(*i), draw)
        })
        .collect();
    let highest = layers.iter().flat_map(|layer| match &layer.draw {
        Draw::Line { points, .. } => points.iter().map(|p| p.1).collect(),
        _ => Vec::new(),
    });
    Plot {
        title: title.to_owned(),
        x: Axis::values(axis, Scale::log(edges()).in_unit(unit)),
        y: Axis::values(
            "% of containers",
            Scale::linear(highest.collect::<Vec<f64>>(), true),
        ),
        layers,
        note: None,
    }
}

/// A logarithm has no zero: the bucket from 0 begins at one half.
fn edge(value: u64) -> f64 {
    (value as f64).max(0.5)
}

fn share(all: &[Bucket], bucket: Bucket) -> f64 {
    let whole: u64 = all.iter().map(|b| b.count).sum();
    bucket.count as f64 / whole.max(1) as f64 * 100.0
}

/// Upright and level lines around the buckets, down to nothing between those that do not touch.
fn outline(all: &[Bucket], unit: f64) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut end = None;
    for bucket in all {
        let (from, to) = (edge(bucket.from) / unit, edge(bucket.to + 1) / unit);
        if end != Some(from) {
            points.extend(end.map(|end| (end, 0.0)));
            points.push((from, 0.0));
        }
        let share = share(all, *bucket);
        points.extend([(from, share), (to, share)]);
        end = Some(to);
    }
    points.extend(end.map(|end| (end, 0.0)));
    points
}

fn middles(all: &[Bucket], unit: f64) -> Vec<Point> {
    all.iter()
        .map(|b| {
            let middle = (edge(b.from) * edge(b.to + 1)).sqrt();
            (middle / unit, share(all, *b))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_gaps_go_down_to_nothing() {
        let bucket = |from, to, count| Bucket { from, to, count };
        let all = [bucket(0, 1, 1), bucket(2, 3, 2), bucket(8, 15, 1)];
        assert_eq!(
            outline(&all, 1.0),
            [
                (0.5, 0.0),
                (0.5, 25.0),
                (2.0, 25.0),
                (2.0, 50.0),
                (4.0, 50.0),
                (4.0, 0.0),
                (8.0, 0.0),
                (8.0, 25.0),
                (16.0, 25.0),
                (16.0, 0.0),
            ]
        );
        let sum: f64 = middles(&all, 1.0).iter().map(|p| p.1).sum();
        assert!((sum - 100.0).abs() < 1e-9);
    }
}
