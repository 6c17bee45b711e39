//! A figure's numbers as CSV: what is drawn, point by point, in the units of the axes.

use crate::figures::axis::exact;
use crate::figures::chart::{Axis, Draw, Figure, Layer, Plot};
use crate::figures::provenance::Provenance;

/// The figure's CSV twin. The last three columns tell where the numbers come from.
pub fn csv(figure: &Figure, about: &Provenance) -> String {
    let mut out =
        String::from("panel,x_axis,y_axis,series,mark,x,y,low,high,q1,q3,run,vifbench,data\n");
    for plot in &figure.panels {
        for layer in &plot.layers {
            for row in rows(plot, layer) {
                let text = |text: &str| quoted(text);
                let number = |value: Option<f64>| value.map_or_else(String::new, exact);
                let cells = [
                    text(&plot.title),
                    text(&plot.x.title),
                    text(&plot.y.title),
                    text(&layer.series),
                    row.mark.to_owned(),
                    row.x,
                    row.y,
                    number(row.low),
                    number(row.high),
                    number(row.q1),
                    number(row.q3),
                    text(&about.origin.run),
                    text(&about.origin.vifbench),
                    text(&about.origin.data),
                ];
                out.push_str(&cells.join(","));
                out.push('\n');
            }
        }
    }
    out
}

/// One mark of a layer.
#[derive(Default)]
struct Row {
    mark: &'static str,
    x: String,
    y: String,
    low: Option<f64>,
    high: Option<f64>,
    q1: Option<f64>,
    q3: Option<f64>,
}

fn rows(plot: &Plot, layer: &Layer) -> Vec<Row> {
    let x = |value: f64| place(&plot.x, value);
    let y = |value: f64| place(&plot.y, value);
    let point = |mark, (px, py): (f64, f64)| Row {
        mark,
        x: x(px),
        y: y(py),
        ..Row::default()
    };
    match &layer.draw {
        Draw::Line { points, marked } => points
            .iter()
            .map(|p| point("line", *p))
            .chain(marked.iter().map(|p| point("point", *p)))
            .collect(),
        Draw::Band(points) => points
            .iter()
            .map(|(at, low, high)| Row {
                mark: "band",
                x: x(*at),
                low: Some(*low),
                high: Some(*high),
                ..Row::default()
            })
            .collect(),
        Draw::Bars(bars) => bars
            .iter()
            .map(|bar| Row {
                mark: "bar",
                x: x(bar.to),
                y: y(bar.at),
                low: Some(bar.from),
                high: Some(bar.to),
                ..Row::default()
            })
            .collect(),
        Draw::Boxes(boxes) => boxes
            .iter()
            .map(|of| Row {
                mark: "box",
                x: x(of.median),
                y: y(of.at),
                low: Some(of.low),
                high: Some(of.high),
                q1: Some(of.q1),
                q3: Some(of.q3),
            })
            .collect(),
        Draw::Intervals(all) => all
            .iter()
            .map(|(at, low, middle, high)| Row {
                mark: "interval",
                x: x(*middle),
                y: y(*at),
                low: Some(*low),
                high: Some(*high),
                ..Row::default()
            })
            .collect(),
        Draw::Shade(from, to) => vec![Row {
            mark: "shade",
            low: Some(*from),
            high: Some(*to),
            ..Row::default()
        }],
        Draw::Rule(at) => vec![Row {
            mark: "rule",
            x: x(*at),
            ..Row::default()
        }],
    }
}

/// A place on an axis: its name where the axis has names, whatever stands beside others on it.
pub fn place(axis: &Axis, value: f64) -> String {
    if axis.names.is_empty() {
        return exact(value);
    }
    let nearest = value.round().max(0.0) as usize;
    axis.names
        .get(nearest)
        .map_or_else(|| exact(value), |name| quoted(name))
}

/// Quoted where RFC 4180 asks for it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
