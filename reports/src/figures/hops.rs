//! Where the time goes from hop to hop.

use vifbench_probes::protocol::Point;
use vifbench_scenarios::units::Rate;

use crate::analysis::Analysis;
use crate::figures::Figure;
use crate::figures::axis::{Scale, time_unit};
use crate::figures::font;
use crate::figures::frame::{
    Frame, Key, MARGIN, WIDTH, fit, panel_title, panels, plain, trials_of,
};
use crate::figures::scene::{Across, Scene, Text};
use crate::figures::style::{GRID, INK, PARTS, SMALL, SOFT, TEXT};
use crate::metrics::delay::Hop;
use crate::text::{self, three_digits};

const BAR: f64 = 24.0;
const GAP: f64 = 8.0;
const GROUP: f64 = 30.0;
const LABELS: f64 = 130.0;

/// One bar: mean time of each hop, over the trials of a variant.
struct Bar {
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
    let variants = run.summary.variant_names();
    let groups: Vec<(String, Vec<Bar>)> = panels(run)
        .into_iter()
        .map(|(rate, flow, to)| {
            let bars = variants
                .iter()
                .filter_map(|v| bar(run, rate, flow, v))
                .collect();
            (panel_title(rate, &to), bars)
        })
        .filter(|(_, bars): &(String, Vec<Bar>)| !bars.is_empty())
        .collect();
    let all = || groups.iter().flat_map(|(_, bars)| bars);
    let mut hops: Vec<(Point, Point)> = Vec::new();
    for part in all().flat_map(|b| &b.parts).filter(|p| p.mean_ns.is_some()) {
        if !hops.contains(&part.hop) {
            hops.push(part.hop);
        }
    }
    if hops.is_empty() {
        return None;
    }
    let longest = all().map(Bar::length).fold(0.0, f64::max);
    let (unit, unit_name) = time_unit(longest);
    let keys: Vec<Key> = hops
        .iter()
        .enumerate()
        .map(|(i, (from, to))| Key {
            name: format!("{} to {}", name(*from), name(*to)),
            look: None,
            area: Some(PARTS[i % PARTS.len()].0),
        })
        .collect();
    let bars: usize = groups.iter().map(|(_, b)| b.len()).sum();
    let plot = bars as f64 * (BAR + GAP) + groups.len() as f64 * GROUP;
    let title = "Where the time goes: mean time from hop to hop";
    let mut frame = Frame::new(title, run, &keys, plot + 48.0);
    let sums = all()
        .map(|bar| font::width(&bar.sum(unit, unit_name), TEXT, false))
        .fold(0.0, f64::max)
        .min(WIDTH / 2.0);
    let (left, right) = (MARGIN + LABELS, WIDTH - MARGIN - sums - 18.0);
    // Ends with the longest bar, so that no grid line runs through the sums behind the bars.
    let scale = Scale::Linear {
        from: 0.0,
        to: (longest / unit).max(1e-9),
    };
    let (top, bottom) = (frame.top, frame.top + plot);
    let scene = &mut frame.scene;
    axis(scene, scale, (left, right), (top, bottom), unit_name);
    let mut y = top;
    for (group, bars) in &groups {
        scene.text(Text {
            text: fit(group, TEXT * 1.08, right - MARGIN),
            x: MARGIN,
            y: y + GROUP / 2.0 + 2.0,
            size: TEXT,
            colour: INK,
            across: Across::Left,
            bold: true,
            upright: false,
        });
        y += GROUP;
        for bar in bars {
            let middle = y + BAR / 2.0;
            let label = fit(&bar.variant, TEXT, LABELS - 14.0);
            plain(
                scene,
                &label,
                (left - 8.0, middle),
                Across::Right,
                TEXT,
                INK,
            );
            parts(scene, bar, &hops, scale, unit, (left, right), y);
            let sum = fit(&bar.sum(unit, unit_name), TEXT, sums + 4.0);
            plain(scene, &sum, (right + 14.0, middle), Across::Left, TEXT, INK);
            y += BAR + GAP;
        }
    }
    Some(Figure {
        id: "hops",
        title: title.to_owned(),
        caption: "Mean over the measured packets of each trial, then over the trials. Hops within dom0 need no clock \
                  estimate; a hop between two hosts carries the bound of their clocks."
            .to_owned(),
        definitions: &["points", "hop", "bound"],
        scene: frame.scene,
    })
}

fn bar(run: &Analysis, rate: Option<Rate>, flow: u16, variant: &str) -> Option<Bar> {
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
    Some(Bar {
        variant: variant.to_owned(),
        parts,
        bound_ns,
    })
}

impl Bar {
    fn length(&self) -> f64 {
        self.parts
            .iter()
            .filter_map(|p| p.mean_ns)
            .map(|m| m.max(0.0))
            .sum()
    }

    /// `12.1 + 8.0 + 41.2 = 61.3 µs, ±1.2 µs`.
    fn sum(&self, unit: f64, unit_name: &str) -> String {
        let parts: Vec<String> = self
            .parts
            .iter()
            .map(|p| {
                p.mean_ns
                    .map_or_else(|| "?".to_owned(), |m| three_digits(m / unit))
            })
            .collect();
        let whole: Option<f64> = self.parts.iter().map(|p| p.mean_ns).sum();
        match (whole, self.bound_ns) {
            (Some(whole), Some(bound)) => format!(
                "{} = {} {unit_name}, ±{}",
                parts.join(" + "),
                three_digits(whole / unit),
                text::time(bound as f64)
            ),
            _ => format!(
                "{} {unit_name}  (?: no bound, not shown)",
                parts.join(" + ")
            ),
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

fn axis(
    scene: &mut Scene,
    scale: Scale,
    (left, right): (f64, f64),
    (top, bottom): (f64, f64),
    unit: &str,
) {
    for (value, label) in scale.ticks(6.0) {
        let x = left + scale.place(value) * (right - left);
        scene.line(vec![(x, top), (x, bottom)], GRID, 1.0, &[]);
        plain(
            scene,
            &label,
            (x, bottom + 12.0),
            Across::Middle,
            SMALL,
            SOFT,
        );
    }
    scene.line(vec![(left, top), (left, bottom)], SOFT, 1.0, &[]);
    let middle = f64::midpoint(left, right);
    let title = format!("mean time ({unit})");
    plain(
        scene,
        &title,
        (middle, bottom + 34.0),
        Across::Middle,
        TEXT,
        INK,
    );
}

/// Draws the parts of a bar, with their values where there is room.
fn parts(
    scene: &mut Scene,
    bar: &Bar,
    hops: &[(Point, Point)],
    scale: Scale,
    unit: f64,
    (left, right): (f64, f64),
    top: f64,
) {
    let place = |ns: f64| left + scale.place(ns / unit) * (right - left);
    let mut done = 0.0;
    for part in &bar.parts {
        let Some(mean) = part.mean_ns.map(|m| m.max(0.0)) else {
            continue;
        };
        let which = hops.iter().position(|h| *h == part.hop).unwrap_or(0);
        let (colour, ink) = PARTS[which % PARTS.len()];
        let (from, to) = (place(done), place(done + mean));
        scene.rect(from, top, to, top + BAR, colour);
        let value = three_digits(mean / unit);
        if font::width(&value, SMALL, false) + 8.0 < to - from {
            let at = (f64::midpoint(from, to), top + BAR / 2.0);
            plain(scene, &value, at, Across::Middle, SMALL, ink);
        }
        done += mean;
    }
}
