//! Where the time goes from hop to hop.

use vifbench_scenarios::units::Rate;
use vifbench_wire::protocol::Point;

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Axis, Bar, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::{
    basis, detailed_caption, detailed_variants, panel_title, panels, trials_of,
};
use crate::figures::style::{Look, PARTS};
use crate::metrics::delay::Hop;
use crate::run_analysis::Analysis;
use crate::text::{self, three_digits};

/// Mean time of each hop, over the trials of a variant.
struct Path {
    variant: String,
    parts: Vec<Part>,
    bound_ns: Option<i64>,
}

struct Part {
    hop: (Point, Point),
    /// None where no bound can be claimed.
    mean_ns: Option<f64>,
}

/// None where no hop has a time.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let variants = detailed_variants(run);
    let groups: Vec<(String, Vec<Path>)> = panels(run)
        .into_iter()
        .map(|(rate, flow, to)| {
            let paths = variants
                .iter()
                .filter_map(|v| path(run, rate, flow, v))
                .collect();
            (panel_title(rate, &to), paths)
        })
        .filter(|(_, paths): &(String, Vec<Path>)| !paths.is_empty())
        .collect();
    let all = || groups.iter().flat_map(|(_, paths)| paths);
    let mut hops: Vec<(Point, Point)> = Vec::new();
    for part in all().flat_map(|b| &b.parts).filter(|p| p.mean_ns.is_some()) {
        if !hops.contains(&part.hop) {
            hops.push(part.hop);
        }
    }
    if hops.is_empty() {
        return None;
    }
    let (unit, unit_name) = time_unit(all().map(Path::length).fold(0.0, f64::max));
    let keys: Vec<Key> = hops
        .iter()
        .enumerate()
        .map(|(i, hop)| Key {
            name: hop_name(*hop),
            look: part_look(i),
            area: true,
        })
        .collect();
    let plot = |(title, paths): &(String, Vec<Path>)| {
        let longest = paths.iter().map(Path::length).fold(0.0, f64::max);
        // Ends with the longest bar: the sums stand behind it.
        let scale = Scale::Linear {
            from: 0.0,
            to: (longest / unit).max(1e-9),
        };
        Plot {
            title: title.clone(),
            x: Axis::values(format!("mean time ({unit_name})"), scale),
            y: Axis::list(paths.iter().map(|p| p.variant.clone()).collect()),
            layers: layers(paths, &hops, unit, unit_name),
            note: None,
        }
    };
    Some(Figure {
        id: "hops",
        title: "Where the time goes: mean time from hop to hop".to_owned(),
        caption: detailed_caption(
            run,
            "Mean over the measured packets of each trial, then over the trials. Hops within dom0 need no clock \
                  estimate; a hop between two hosts carries the bound of their clocks. A hop without a bound is not shown.",
        ),
        definitions: &["points", "hop", "bound"],
        basis: basis(run),
        keys,
        panels: groups.iter().map(plot).collect(),
    })
}

fn hop_name((from, to): (Point, Point)) -> String {
    format!("{} to {}", name(from), name(to))
}

fn part_look(i: usize) -> Look {
    Look {
        colour: PARTS[i % PARTS.len()].0,
        dash: &[],
        marker: None,
    }
}

/// One layer a hop; the sum stands behind the last part of each bar.
fn layers(paths: &[Path], hops: &[(Point, Point)], unit: f64, unit_name: &str) -> Vec<Layer> {
    let mut layers: Vec<(usize, Vec<Bar>)> = (0..hops.len()).map(|i| (i, Vec::new())).collect();
    for (row, path) in paths.iter().enumerate() {
        let mut done = 0.0;
        let last = path.parts.iter().rposition(|p| p.mean_ns.is_some());
        for (n, part) in path.parts.iter().enumerate() {
            let Some(mean) = part.mean_ns.map(|m| m.max(0.0) / unit) else {
                continue;
            };
            let which = hops.iter().position(|h| *h == part.hop).unwrap_or(0);
            layers[which].1.push(Bar {
                at: row as f64,
                thick: 0.68,
                from: done,
                to: done + mean,
                inside: Some((three_digits(mean), PARTS[which % PARTS.len()].1)),
                behind: (last == Some(n)).then(|| path.sum(unit, unit_name)),
            });
            done += mean;
        }
    }
    layers
        .into_iter()
        .map(|(i, bars)| Layer::new(hop_name(hops[i]), part_look(i), Draw::Bars(bars)))
        .collect()
}

fn path(run: &Analysis, rate: Option<Rate>, flow: u16, variant: &str) -> Option<Path> {
    let flows: Vec<_> = trials_of(run, rate, variant)
        .filter_map(|i| {
            run.summary.trials[i]
                .flows
                .iter()
                .find(|m| m.flow == Some(flow))
        })
        .collect();
    let first = flows.first()?;
    let of = |hop: &Hop| {
        let means: Option<Vec<f64>> = flows
            .iter()
            .map(|m| {
                let same = m
                    .hops
                    .iter()
                    .find(|h| (h.from, h.to) == (hop.from, hop.to))?;
                Some(same.time?.mean as f64)
            })
            .collect();
        means.map(|m| m.iter().sum::<f64>() / m.len() as f64)
    };
    let parts: Vec<Part> = first
        .hops
        .iter()
        .map(|hop| Part {
            hop: (hop.from, hop.to),
            mean_ns: of(hop),
        })
        .collect();
    if parts.iter().all(|p| p.mean_ns.is_none()) {
        return None;
    }
    let bound_ns = flows
        .iter()
        .map(|m| m.delay_bound_ns)
        .try_fold(0, |w, b| Some(w.max(b?)));
    Some(Path {
        variant: variant.to_owned(),
        parts,
        bound_ns,
    })
}

impl Path {
    fn length(&self) -> f64 {
        self.parts
            .iter()
            .filter_map(|p| p.mean_ns)
            .map(|m| m.max(0.0))
            .sum()
    }

    /// `61.3 µs ±1.2 µs`, or that parts of it are not known.
    fn sum(&self, unit: f64, unit_name: &str) -> String {
        let whole: Option<f64> = self.parts.iter().map(|p| p.mean_ns).sum();
        match (whole, self.bound_ns) {
            (Some(whole), Some(bound)) => format!(
                "{} {unit_name} ±{}",
                three_digits(whole / unit),
                text::time(bound as f64)
            ),
            _ => format!("{} {unit_name} + ?", three_digits(self.length() / unit)),
        }
    }
}

fn name(point: Point) -> &'static str {
    match point {
        Point::Tx => "tx",
        Point::Nic => "nic",
        Point::Vif => "vif",
        Point::Rx => "rx",
    }
}
