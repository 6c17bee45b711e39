//! Delay variation by variant: the distribution of |IPDV|, and quantiles of PDV.

use crate::analysis::Analysis;
use crate::figures::Figure;
use crate::figures::axis::{Scale, time_unit};
use crate::figures::frame::{
    Cell, Frame, Key, Panel, grid, left_edge_note, panel_title, panels, plain, pooled, rows,
};
use crate::figures::scene::{Across, Scene};
use crate::figures::style::{SMALL, SOFT, look};
use crate::stats::quantile;

const ROW: f64 = 320.0;
const STEPS: usize = 400;
const QUANTILES: [(u32, &str); 5] = [
    (500, "p50"),
    (900, "p90"),
    (990, "p99"),
    (999, "p99.9"),
    (1000, "max"),
];

/// None where no flow has two packets.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let variants = run.summary.variant_names();
    let panels: Vec<_> = panels(run)
        .into_iter()
        .filter(|(rate, flow, _)| {
            variants
                .iter()
                .any(|v| !pooled(run, *rate, v, *flow, |f| &f.abs_ipdv).is_empty())
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let title = "Delay variation by variant: |IPDV| (RFC 3393) and PDV (RFC 5481)";
    let cells = panels.len() * 2;
    let mut frame = Frame::new(title, run, &Key::variants(&variants), rows(2, cells) * ROW);
    let grid = grid(frame.top, 2, cells, ROW);
    for (n, (rate, flow, to)) in panels.iter().enumerate() {
        let name = panel_title(*rate, to);
        let of = |pick: fn(&crate::metrics::flow::FlowValues) -> &Vec<i64>| {
            variants
                .iter()
                .enumerate()
                .map(|(i, v)| (i, pooled(run, *rate, v, *flow, pick)))
                .filter(|(_, values)| !values.is_empty())
                .collect::<Vec<_>>()
        };
        ipdv(&mut frame.scene, grid[2 * n], &name, &of(|f| &f.abs_ipdv));
        pdv(&mut frame.scene, grid[2 * n + 1], &name, &of(|f| &f.pdv));
    }
    Some(Figure {
        id: "jitter",
        title: title.to_owned(),
        caption: "Left: the size of the change of delay from one packet to the next. Right: delay above the smallest \
                  one of its trial. Neither needs a common clock. All measured packets of all trials of a variant."
            .to_owned(),
        definitions: &["ipdv", "pdv", "rfc3550", "quantile"],
        scene: frame.scene,
    })
}

fn ipdv(scene: &mut Scene, cell: Cell, name: &str, series: &[(usize, Vec<i64>)]) {
    // Changes near zero would stretch a logarithmic axis without end: it begins at the 1 % quantile.
    let ends: Vec<f64> = series
        .iter()
        .flat_map(|(_, v)| [quantile(v, 10), v.last().copied()])
        .flatten()
        .map(|v| v.max(1) as f64)
        .collect();
    let start = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let (unit, unit_name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
    let panel = Panel::in_cell(
        cell,
        Scale::log(ends).in_unit(unit),
        Scale::Linear { from: 0.0, to: 1.0 },
    );
    let x_title = format!("|IPDV| ({unit_name}, log)");
    panel.draw(scene, name, (&x_title, "share of pairs not above"), true);
    let mut below = 0;
    for (i, values) in series {
        let look = look(*i);
        below += values.partition_point(|v| (*v as f64) < start);
        let point = |value: i64, share: f64| panel.at(value as f64 / unit, share);
        let mut line = Vec::new();
        for step in 0..=STEPS {
            let rank = (values.len() - 1) * step / STEPS;
            line.push(point(values[rank], (rank + 1) as f64 / values.len() as f64));
        }
        line.dedup();
        scene.line(line, look.colour, 2.2, look.dash);
        for per_mille in [100, 500, 900, 990] {
            if let Some(value) = quantile(values, per_mille) {
                let at = point(value, f64::from(per_mille) / 1000.0);
                look.mark(scene, at, 9.0);
            }
        }
    }
    left_edge_note(scene, &panel, below, "smaller changes");
}

fn pdv(scene: &mut Scene, cell: Cell, name: &str, series: &[(usize, Vec<i64>)]) {
    let value = |values: &[i64], per_mille| quantile(values, per_mille).unwrap_or(0) as f64;
    let all: Vec<f64> = series
        .iter()
        .flat_map(|(_, values)| QUANTILES.map(|(per_mille, _)| value(values, per_mille)))
        .collect();
    let (unit, unit_name) = time_unit(all.iter().copied().fold(0.0, f64::max));
    let panel = Panel::in_cell(
        cell,
        Scale::Linear {
            from: -0.5,
            to: QUANTILES.len() as f64 - 0.5,
        },
        Scale::log(all).in_unit(unit),
    );
    let y_title = format!("PDV ({unit_name}, log)");
    panel.draw(scene, name, ("quantile of PDV", &y_title), false);
    for (q, (_, label)) in QUANTILES.iter().enumerate() {
        let (x, _) = panel.at(q as f64, 0.0);
        plain(
            scene,
            label,
            (x, panel.bottom + 14.0),
            Across::Middle,
            SMALL,
            SOFT,
        );
    }
    let middle = (series.len() as f64 - 1.0) / 2.0;
    for (n, (i, values)) in series.iter().enumerate() {
        let look = look(*i);
        // Side by side, so that equal values do not hide each other.
        let aside = (n as f64 - middle) * 0.16;
        let points: Vec<_> = QUANTILES
            .iter()
            .enumerate()
            .map(|(q, (per_mille, _))| panel.at(q as f64 + aside, value(values, *per_mille) / unit))
            .collect();
        scene.line(points.clone(), look.colour, 1.2, look.dash);
        for at in points {
            look.mark(scene, at, 10.0);
        }
    }
}
