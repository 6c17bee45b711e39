//! Distributions as lines: points of sorted values, more than there are pixels and fewer than there are packets.

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Draw, Layer, Note, Point};
use crate::figures::style::look;
use crate::stats::quantile;

/// Points of a drawn distribution.
const STEPS: usize = 240;
/// Where the markers stand, in thousandths.
const MARKED: [u32; 4] = [100, 500, 900, 990];

/// The share of values that are not above each of them.
pub fn cdf(sorted: &[i64], unit: f64) -> Draw {
    let point = |value: i64, share: f64| (at_least_one(value) / unit, share);
    let mut points: Vec<Point> = sorted.first().map(|v| point(*v, 0.0)).into_iter().collect();
    for step in 0..=STEPS {
        let Some(rank) = (sorted.len().max(1) - 1)
            .checked_mul(step)
            .map(|r| r / STEPS)
        else {
            continue;
        };
        if let Some(value) = sorted.get(rank) {
            points.push(point(*value, (rank + 1) as f64 / sorted.len() as f64));
        }
    }
    points.dedup();
    let marked = MARKED
        .iter()
        .filter_map(|m| Some(point(quantile(sorted, *m)?, f64::from(*m) / 1000.0)))
        .collect();
    Draw::Line { points, marked }
}

/// The share of values that are above each of them, on a logarithmic axis: the tail has as many points as the middle.
pub fn ccdf(sorted: &[i64], unit: f64) -> Draw {
    let n = sorted.len();
    let mut points: Vec<Point> = Vec::new();
    let mut ranks: Vec<usize> = (0..=STEPS)
        .map(|step| {
            // The share above goes down by equal factors, from nearly all to the last value.
            let share = (n as f64).powf(-(step as f64) / STEPS as f64);
            ((1.0 - share) * n as f64).floor() as usize
        })
        .chain((0..STEPS / 4).map(|step| n * step / (STEPS / 4)))
        .filter(|rank| *rank + 1 < n)
        .collect();
    ranks.sort_unstable();
    ranks.dedup();
    if let Some(first) = sorted.first() {
        points.push((at_least_one(*first) / unit, 1.0));
    }
    for rank in ranks {
        let above = (n - 1 - rank) as f64 / n as f64;
        points.push((at_least_one(sorted[rank]) / unit, above));
    }
    // What the last value is above of, and nothing is above it.
    if let (Some(last), true) = (sorted.last(), n > 1) {
        points.push((at_least_one(*last) / unit, 1.0 / n as f64));
    }
    points.dedup();
    let marked = [500, 900, 990, 999]
        .iter()
        .filter(|m| n as f64 * f64::from(1000 - **m) >= 1000.0)
        .filter_map(|m| {
            let value = quantile(sorted, *m)?;
            Some((at_least_one(value) / unit, 1.0 - f64::from(*m) / 1000.0))
        })
        .collect();
    Draw::Line { points, marked }
}

/// A logarithm has neither zero nor less: such values lie at the left edge, and a note says so.
fn at_least_one(ns: i64) -> f64 {
    ns.max(1) as f64
}

/// One layer a variant.
pub fn layers(
    series: &[(usize, Vec<i64>)],
    names: &[&str],
    draw: impl Fn(&[i64]) -> Draw,
) -> Vec<Layer> {
    series
        .iter()
        .map(|(i, values)| Layer::new(names[*i], look(*i), draw(values)))
        .collect()
}

/// A logarithmic scale around all values, its unit in nanoseconds, and the unit's name.
pub fn time_scale(series: &[(usize, Vec<i64>)]) -> (Scale, f64, &'static str) {
    let ends = series
        .iter()
        .flat_map(|(_, d)| [d.first(), d.last()])
        .flatten();
    let ends: Vec<f64> = ends.map(|v| at_least_one(*v)).collect();
    let (unit, name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
    (Scale::log(ends).in_unit(unit), unit, name)
}

/// Tells how many values lie left of a distribution's axis.
pub fn left_edge(below: usize, what: &str, on_top: bool) -> Option<Note> {
    (below > 0).then(|| Note {
        text: format!("{below} {what} at the left edge"),
        on_top,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(draw: Draw) -> Vec<Point> {
        match draw {
            Draw::Line { points, .. } => points,
            other => panic!("not a line: {other:?}"),
        }
    }

    proptest! {
        /// Each point says what counting says.
        #[test]
        fn points_are_true(mut values in proptest::collection::vec(1i64..5000, 1..3000)) {
            values.sort_unstable();
            let n = values.len() as f64;
            let share = |keep: &dyn Fn(f64) -> bool| {
                values.iter().filter(|v| keep(**v as f64)).count() as f64 / n
            };
            for (x, y) in line(cdf(&values, 1.0)).into_iter().skip(1) {
                prop_assert!(y <= share(&|v| v <= x) + 1e-9 && y >= share(&|v| v < x) - 1e-9);
            }
            let above = line(ccdf(&values, 1.0));
            for (x, y) in above.iter().copied().skip(1) {
                prop_assert!(y >= share(&|v| v > x) - 1e-9 && y <= share(&|v| v >= x) + 1e-9, "{x} {y}");
            }
            prop_assert!(above.windows(2).all(|p| p[0].0 <= p[1].0 && p[0].1 >= p[1].1));
            if values.len() > 1 {
                prop_assert_eq!(above.last().copied(), values.last().map(|v| (*v as f64, 1.0 / n)));
            }
        }
    }
}
