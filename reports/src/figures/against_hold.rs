//! Transactions a second against T0: what requests that wait for answers pay for a hold.

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot, Point};
use crate::figures::of_run::basis;
use crate::figures::style::look;
use crate::held_requests::{self, PAPER_RATIO};
use crate::run_analysis::Analysis;

/// Lines nearer than this share of their values hide each other.
const NEAR: f64 = 0.05;

/// None unless requests ran under a fixed hold and another regulator at two holds.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let held = held_requests::of(run)?;
    if held.rows.len() < 2 {
        return None;
    }
    let fixed = held.without.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = held
        .regulators
        .iter()
        .map(|r| r.name())
        .chain(fixed)
        .collect();
    let holds = || held.rows.iter().map(|row| row.hold.nanos() as f64 / 1e6);
    let mut lines: Vec<(&str, Vec<Point>)> = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let value = |row: &held_requests::Row| {
            let without = n.checked_sub(held.regulators.len());
            without.map_or_else(|| row.per_s[n], |at| Some(held.without[at].1))
        };
        let points = holds()
            .zip(&held.rows)
            .filter_map(|(hold, row)| Some((hold, value(row)?)))
            .collect();
        lines.push((name, points));
    }
    let layer = |(n, (name, points)): (usize, &(&str, Vec<Point>))| {
        let (points, marked) = (points.clone(), points.clone());
        Layer::new(*name, look(n), Draw::Line { points, marked })
    };
    let layers = lines.iter().enumerate().map(layer).collect();
    let all = || {
        let of_rows = held.rows.iter().flat_map(|row| row.per_s.iter().flatten());
        of_rows.copied().chain(held.without.iter().map(|(_, v)| *v))
    };
    Some(Figure {
        id: "transactions-hold",
        title: "Transactions a second against the hold".to_owned(),
        caption: format!(
            "All flows together, mean over the trials. Each request waits for the answer to the last one, so a fixed hold is \
             paid in full. The paper's Table 1 has {PAPER_RATIO} times as many with its adaptive hold as with \
             the static one, and does not tell T0.{}",
            told(&near_each_other(&lines))
        ),
        definitions: &["transaction"],
        basis: basis(run),
        keys: Key::variants(&names),
        panels: vec![Plot {
            title: String::new(),
            x: Axis::values("hold T0 (ms, log)", Scale::log(holds())),
            y: Axis::values("transactions/s (log)", Scale::log(all())),
            layers,
            note: None,
        }],
    })
}

/// Lines whose values differ by no more than [`NEAR`] wherever both have one; each belongs to the first one that it is near.
fn near_each_other<'a>(lines: &[(&'a str, Vec<Point>)]) -> Vec<Vec<&'a str>> {
    let near = |a: &[Point], b: &[Point]| {
        let mut shared = a.iter().filter_map(|(x, y)| {
            let other = b.iter().find(|p| p.0.total_cmp(x).is_eq())?.1;
            Some((y - other).abs() <= NEAR * y.max(other))
        });
        shared.next() == Some(true) && shared.all(|is_near| is_near)
    };
    let mut groups: Vec<(&[Point], Vec<&str>)> = Vec::new();
    for (name, points) in lines {
        match groups.iter_mut().find(|(first, _)| near(first, points)) {
            Some((_, names)) => names.push(name),
            None => groups.push((points, vec![name])),
        }
    }
    let names = groups.into_iter().map(|(_, names)| names);
    names.filter(|names| names.len() > 1).collect()
}

/// A sentence for the caption.
fn told(groups: &[Vec<&str>]) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let groups: Vec<String> = groups.iter().map(|names| names.join(", ")).collect();
    format!(
        " Lines that differ by no more than {:.0} % at any hold, so that they hide each other: {}.",
        NEAR * 100.0,
        groups.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_hide_each_other_are_told() {
        let line = |name, values: [f64; 3]| {
            let points = [0.1, 1.0, 10.0].into_iter().zip(values).collect::<Vec<_>>();
            (name, points)
        };
        let mut lines = vec![
            line("static", [3000.0, 1400.0, 190.0]),
            line("literal", [3000.0, 1400.0, 500.0]),
            line("paper", [3010.0, 1390.0, 198.0]),
            line("stock", [3400.0, 3400.0, 3400.0]),
            ("nowait", vec![(1.0, 3300.0)]),
            ("none", vec![]),
        ];
        let groups = near_each_other(&lines);
        assert_eq!(groups, [vec!["static", "paper"], vec!["stock", "nowait"]]);
        assert!(told(&groups).ends_with("static, paper; stock, nowait."));
        lines.truncate(2);
        assert_eq!(told(&near_each_other(&lines)), "");
    }
}
