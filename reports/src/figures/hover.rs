//! What the page shows under the pointer: places on the drawing and what stands there, as JSON for its script.

use serde::Serialize;

use crate::figures::axis::label_of;
use crate::figures::chart::{Axis, Draw, Figure, Layer, Plot, Point};
use crate::figures::draw::PAGE_SCALE;
use crate::figures::layout::{Area, Laid};

/// Of a line at most so many points answer: neighbours are closer than a finger.
const MOST: usize = 60;

/// A panel: its plot area and its series.
#[derive(Serialize)]
struct Panel<'f> {
    /// Left, top, right, bottom.
    area: [f64; 4],
    x: &'f str,
    y: &'f str,
    series: Vec<Series<'f>>,
}

#[derive(Serialize)]
struct Series<'f> {
    name: &'f str,
    /// Place on the drawing, and what to say of x and y.
    points: Vec<(f64, f64, String, String)>,
}

/// The values of a laid-out figure. Always valid inside a `script` element: every `<` is written as an escape.
pub fn values(figure: &Figure, laid: &Laid) -> String {
    let panels: Vec<Panel<'_>> = figure
        .panels
        .iter()
        .zip(&laid.areas)
        .map(|(plot, area)| panel(plot, area))
        .collect();
    // Strings and finite numbers always have a form as JSON.
    serde_json::to_string(&panels)
        .unwrap_or_else(|_| "[]".to_owned())
        .replace('<', "\\u003c")
}

fn panel<'f>(plot: &'f Plot, area: &Area) -> Panel<'f> {
    let series = plot
        .layers
        .iter()
        .filter_map(|layer| {
            let points: Vec<_> = spots(plot, layer)
                .into_iter()
                .map(|(at, x, y)| {
                    let (px, py) = area.at(at.0, at.1);
                    (drawn(px), drawn(py), x, y)
                })
                .collect();
            (!points.is_empty()).then(|| Series {
                name: &layer.series,
                points,
            })
        })
        .collect();
    Panel {
        area: [area.left, area.top, area.right, area.bottom].map(drawn),
        x: &plot.x.title,
        y: &plot.y.title,
        series,
    }
}

/// Lengths of the SVG, in whole ones: it is drawn that finely.
fn drawn(length: f64) -> f64 {
    (length * PAGE_SCALE).round()
}

fn say(axis: &Axis, value: f64) -> String {
    let nearest = value.round().max(0.0) as usize;
    match axis.names.get(nearest) {
        Some(name) => name.clone(),
        None => label_of(value),
    }
}

/// Where something answers, and what it says of x and of y.
fn spots(plot: &Plot, layer: &Layer) -> Vec<(Point, String, String)> {
    let x = |value: f64| say(&plot.x, value);
    let y = |value: f64| say(&plot.y, value);
    let range = |low: f64, high: f64| format!("{} to {}", label_of(low), label_of(high));
    match &layer.draw {
        Draw::Line { points, marked } => {
            let every = points.len().div_ceil(MOST).max(1);
            let of_line = points.iter().step_by(every);
            of_line
                .chain(marked)
                .map(|p| (*p, x(p.0), y(p.1)))
                .collect()
        }
        // The line that it belongs to answers, with the band's ends.
        Draw::Band(points) => points
            .iter()
            .map(|(at, low, high)| {
                let middle = f64::midpoint(*low, *high);
                ((*at, middle), x(*at), range(*low, *high))
            })
            .collect(),
        Draw::Bars(bars) => bars
            .iter()
            .map(|bar| {
                let length = label_of(bar.to - bar.from);
                ((f64::midpoint(bar.from, bar.to), bar.at), length, y(bar.at))
            })
            .collect(),
        Draw::Boxes(boxes) => boxes
            .iter()
            .map(|b| {
                let text = format!(
                    "p1 {}, p25 {}, p50 {}, p75 {}, p99 {}",
                    label_of(b.low),
                    label_of(b.q1),
                    label_of(b.median),
                    label_of(b.q3),
                    label_of(b.high)
                );
                ((b.median, b.at), text, y(b.at))
            })
            .collect(),
        Draw::Intervals(all) => all
            .iter()
            .map(|(at, low, middle, high)| {
                let text = format!("{} ({})", label_of(*middle), range(*low, *high));
                ((*middle, *at), text, y(*at))
            })
            .collect(),
        Draw::Shade(..) | Draw::Rule(_) => Vec::new(),
    }
}
