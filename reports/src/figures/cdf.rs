//! How the one-way delay is distributed, by variant.

use crate::analysis::Analysis;
use crate::figures::Figure;
use crate::figures::axis::{Scale, time_unit};
use crate::figures::frame::{
    Frame, Key, Panel, grid, left_edge_note, panel_title, panels, pooled, rows,
};
use crate::figures::scene::Scene;
use crate::figures::style::look;
use crate::stats::quantile;
use crate::text;

/// Points of a drawn distribution: more than pixels across, fewer than packets.
const STEPS: u32 = 400;

/// None where no delay can be claimed.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let variants = run.summary.variant_names();
    let panels: Vec<_> = panels(run)
        .into_iter()
        .filter(|(rate, flow, _)| {
            variants
                .iter()
                .any(|v| !pooled(run, *rate, v, *flow, |f| &f.delay).is_empty())
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let columns = panels.len().min(2);
    let row = if columns == 1 { 380.0 } else { 330.0 };
    let title = "One-way delay, tx to rx: distribution by variant";
    let height = rows(columns, panels.len()) * row;
    let mut frame = Frame::new(title, run, &Key::variants(&variants), height);
    for ((rate, flow, to), cell) in panels
        .iter()
        .zip(grid(frame.top, columns, panels.len(), row))
    {
        let series: Vec<(usize, Vec<i64>)> = variants
            .iter()
            .enumerate()
            .map(|(i, v)| (i, pooled(run, *rate, v, *flow, |f| &f.delay)))
            .filter(|(_, d)| !d.is_empty())
            .collect();
        let ends = series
            .iter()
            .flat_map(|(_, d)| [d.first(), d.last()])
            .flatten();
        let ends: Vec<f64> = ends.map(|v| (*v).max(1) as f64).collect();
        let (unit, name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
        let panel = Panel::in_cell(
            cell,
            Scale::log(ends).in_unit(unit),
            Scale::Linear { from: 0.0, to: 1.0 },
        );
        let scene = &mut frame.scene;
        let bound = run
            .summary
            .variants
            .iter()
            .filter(|r| r.rate == *rate && r.flow == Some(*flow))
            .filter_map(|r| r.delay_bound_ns)
            .max();
        let x_title = match bound {
            Some(bound) => {
                format!(
                    "one-way delay ({name}, log), bound ±{}",
                    text::time(bound as f64)
                )
            }
            None => format!("one-way delay ({name}, log)"),
        };
        panel.draw(
            scene,
            &panel_title(*rate, to),
            (&x_title, "share of packets not above"),
            true,
        );
        for (i, delays) in &series {
            draw(scene, &panel, *i, delays, unit);
        }
        let below: usize = series
            .iter()
            .map(|(_, d)| d.partition_point(|v| *v <= 0))
            .sum();
        left_edge_note(scene, &panel, below, "delays at or below zero");
    }
    Some(Figure {
        id: "delay-cdf",
        title: title.to_owned(),
        caption: "Every measured packet of all trials of a variant. A curve further left is faster; a steeper one \
                  varies less. Markers stand at p10, p50, p90 and p99."
            .to_owned(),
        definitions: &["delay", "bound", "quantile"],
        scene: frame.scene,
    })
}

fn draw(scene: &mut Scene, panel: &Panel, variant: usize, delays: &[i64], unit: f64) {
    let look = look(variant);
    let point = |value: i64, share: f64| panel.at(value as f64 / unit, share);
    let mut line = vec![point(delays[0], 0.0)];
    for step in 0..=STEPS {
        // Finer towards both ends is not needed: neighbours are less than a pixel apart.
        let rank = (delays.len() - 1) * step as usize / STEPS as usize;
        let share = (rank + 1) as f64 / delays.len() as f64;
        line.push(point(delays[rank], share));
    }
    line.dedup();
    scene.line(line, look.colour, 2.2, look.dash);
    for per_mille in [100, 500, 900, 990] {
        if let Some(value) = quantile(delays, per_mille) {
            let at = point(value, f64::from(per_mille) / 1000.0);
            look.mark(scene, at, 9.0);
        }
    }
}
