//! What a variant costs dom0 against what it does to the delay: the front is what no other variant beats in both.

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot, Point};
use crate::figures::of_run::{basis, rate_title};
use crate::figures::style::{FAINT, Look, look};
use crate::run_analysis::Analysis;

/// None where no two variants have both a delay and a cost at the same point of the sweep.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let names = run.summary.variant_names();
    let mut plots = Vec::new();
    for rate in run.summary.rates() {
        let rows = run
            .summary
            .variants
            .iter()
            .filter(|r| r.flow.is_none() && r.rate == rate);
        let points: Vec<(usize, f64, f64)> = rows
            .filter_map(|row| {
                let place = names.iter().position(|n| *n == row.variant)?;
                Some((place, row.dom0_ns_per_packet?, row.delay_p50_ns?))
            })
            .filter(|(_, cost, delay)| *cost > 0.0 && *delay > 0.0)
            .collect();
        if points.len() > 1 {
            plots.push(plot(&rate_title(rate), &points, &names));
        }
    }
    (!plots.is_empty()).then(|| Figure {
        id: "front",
        title: "The front: median delay against dom0's CPU time a packet".to_owned(),
        caption: "Medians over the trials, all flows. Further down is less delay, further left is less work; the grey line \
                  joins the variants that no other beats in both. Errors are those of the tables."
            .to_owned(),
        definitions: &["delay", "cpu", "median"],
        basis: basis(run),
        keys: Key::variants(&names)
            .into_iter()
            .map(|key| Key {
                look: Look { dash: &[], ..key.look },
                ..key
            })
            .collect(),
        panels: plots,
    })
}

fn plot(title: &str, points: &[(usize, f64, f64)], names: &[&str]) -> Plot {
    let largest = |pick: fn(&(usize, f64, f64)) -> f64| points.iter().map(pick).fold(0.0, f64::max);
    let (x_unit, x_name) = time_unit(largest(|p| p.1));
    let (y_unit, y_name) = time_unit(largest(|p| p.2));
    let at = |p: &(usize, f64, f64)| (p.1 / x_unit, p.2 / y_unit);
    let all: Vec<Point> = points.iter().map(at).collect();
    let steps = Look {
        colour: FAINT,
        dash: &[],
        marker: None,
    };
    let line = Draw::Line {
        points: front(&all),
        marked: Vec::new(),
    };
    let mut layers = vec![Layer::new("front", steps, line).weight(1.6)];
    layers.extend(points.iter().map(|p| {
        let marked = Draw::Line {
            points: Vec::new(),
            marked: vec![at(p)],
        };
        Layer::new(names[p.0], look(p.0), marked).weight(1.6)
    }));
    Plot {
        title: title.to_owned(),
        x: Axis::values(
            format!("dom0 CPU time a packet ({x_name}, log)"),
            Scale::log(all.iter().map(|p| p.0)),
        ),
        y: Axis::values(
            format!("median delay ({y_name}, log)"),
            Scale::log(all.iter().map(|p| p.1)),
        ),
        layers,
        note: None,
    }
}

/// The points that no other beats in both, as steps: between two of them nothing is promised.
pub fn front(all: &[Point]) -> Vec<Point> {
    let beaten = |p: &Point| {
        all.iter()
            .any(|q| q.0 <= p.0 && q.1 <= p.1 && (q.0 < p.0 || q.1 < p.1))
    };
    let mut best: Vec<Point> = all.iter().copied().filter(|p| !beaten(p)).collect();
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.total_cmp(&b.1)));
    let mut steps: Vec<Point> = Vec::new();
    for (x, y) in best {
        if let Some((_, before)) = steps.last().copied() {
            steps.push((x, before));
        }
        steps.push((x, y));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beaten_in_both_is_not_on_the_front() {
        let all = [(1.0, 9.0), (2.0, 9.5), (3.0, 2.0), (4.0, 2.0)];
        assert_eq!(front(&all), [(3.0, 2.0), (1.0, 2.0), (1.0, 9.0)]);
        assert_eq!(front(&[]), []);
    }
}
