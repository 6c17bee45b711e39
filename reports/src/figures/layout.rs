//! Lays a figure out on a sheet: heading, legend, panels in a grid, and what it rests on.

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Bar, Draw, Figure, Key, Layer, Plot, Point, Quartiles};
use crate::figures::font;
use crate::figures::scene::{Across, Scene, Text};
use crate::figures::sheet::Sheet;
use crate::figures::style::{Colour, GRID, INK, PALE, SHADE, SOFT};
use crate::figures::writing::{fit, fit_names, plain, wrap};

/// A figure on a sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Laid {
    /// The drawing.
    pub scene: Scene,
    /// The plot area of every panel.
    pub areas: Vec<Area>,
}

/// A plot area: where values lie on the sheet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Bottom edge.
    pub bottom: f64,
    x: Scale,
    y: Scale,
    /// Room behind the right edge, up to the end of the cell.
    behind: f64,
}

impl Area {
    /// Where a pair of values lies; values outside of the axes lie on the nearest edge.
    pub fn at(&self, x: f64, y: f64) -> Point {
        (
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        )
    }

    fn width(&self) -> f64 {
        self.right - self.left
    }

    fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// Lays a figure out. The font must be registered.
pub fn lay_out(figure: &Figure, sheet: &Sheet) -> Laid {
    let mut scene = Scene::new(sheet.width, 0.0);
    let mut y = sheet.margin;
    if let Some(size) = sheet.heading {
        y = heading(&mut scene, sheet, &figure.title, size, y);
        y = basis(&mut scene, sheet, &figure.basis, y) + 0.6 * sheet.text;
    }
    y = legend(&mut scene, sheet, &figure.keys, y);
    let (bottom, areas) = panels(&mut scene, sheet, &figure.panels, y);
    y = bottom;
    if sheet.heading.is_none() {
        y = basis(&mut scene, sheet, &figure.basis, y + 0.2 * sheet.text);
    }
    scene.height = (y + sheet.margin).ceil();
    Laid { scene, areas }
}

fn heading(scene: &mut Scene, sheet: &Sheet, title: &str, size: f64, y: f64) -> f64 {
    scene.text(Text {
        // Bold is wider than what `fit` measures.
        text: fit(title, size * 1.1, sheet.width - 2.0 * sheet.margin),
        x: sheet.margin,
        y: y + 0.5 * size,
        size,
        colour: INK,
        across: Across::Left,
        bold: true,
        upright: false,
    });
    y + 1.5 * size
}

/// What the figure rests on, and its marks.
fn basis(scene: &mut Scene, sheet: &Sheet, lines: &[String], mut y: f64) -> f64 {
    let size = if sheet.heading.is_some() {
        sheet.text
    } else {
        sheet.small * 0.88
    };
    let room = sheet.width - 2.0 * sheet.margin;
    for line in lines.iter().flat_map(|line| wrap(line, size, room)) {
        plain(
            scene,
            &line,
            (sheet.margin, y + 0.6 * size),
            Across::Left,
            size,
            SOFT,
        );
        y += 1.35 * size;
    }
    y
}

fn legend(scene: &mut Scene, sheet: &Sheet, keys: &[Key], top: f64) -> f64 {
    if keys.is_empty() {
        return top;
    }
    let em = sheet.text;
    let (mut x, mut y) = (sheet.margin, top + 0.8 * em);
    for key in keys {
        let name = fit(&key.name, em, (20.0 * em).min(sheet.width * 0.7));
        let wide = 3.4 * em + font::width(&name, em, false) + 1.6 * em;
        if x + wide - 1.6 * em > sheet.width - sheet.margin && x > sheet.margin {
            x = sheet.margin;
            y += 1.6 * em;
        }
        if key.area {
            scene.rect(
                x + 0.5 * em,
                y - 0.5 * em,
                x + 2.8 * em,
                y + 0.5 * em,
                key.look.colour,
            );
        } else {
            let line = vec![(x, y), (x + 2.8 * em, y)];
            scene.line(
                line,
                key.look.colour,
                LINE * em * 1.1,
                scaled(key.look.dash, em),
            );
            scene.mark(key.look, (x + 1.4 * em, y), MARK * em);
        }
        plain(scene, &name, (x + 3.4 * em, y), Across::Left, em, INK);
        x += wide;
    }
    y + 1.2 * em
}

/// Thickness of a line, in em.
const LINE: f64 = 0.17;
/// Size of a marker, in em.
const MARK: f64 = 0.69;

/// Dashes are given for the page's size of text.
fn scaled(dash: &[f64], em: f64) -> Vec<f64> {
    dash.iter().map(|d| d * em / 13.0).collect()
}

/// Labels of an axis: place and text.
type Ticks = Vec<(f64, String)>;

fn panels(scene: &mut Scene, sheet: &Sheet, plots: &[Plot], top: f64) -> (f64, Vec<Area>) {
    let em = sheet.text;
    let columns = sheet.columns(plots.len());
    let gap = 1.4 * em;
    let room = sheet.width - 2.0 * sheet.margin - gap * (columns as f64 - 1.0);
    let cell = room / columns as f64;
    let heights: Vec<f64> = plots.iter().map(|p| height(p, cell, em)).collect();
    let ticks: Vec<Ticks> = plots
        .iter()
        .zip(&heights)
        .map(|(p, height)| y_ticks(p, *height, cell, sheet))
        .collect();
    let lefts: Vec<f64> = plots
        .iter()
        .zip(&ticks)
        .map(|(p, ticks)| {
            let widest = ticks
                .iter()
                .map(|(_, label)| font::width(label, sheet.small, false))
                .fold(0.0, f64::max);
            let title = if p.y.title.is_empty() { 0.0 } else { 1.5 * em };
            title + widest + 0.8 * em
        })
        .collect();
    let rights: Vec<f64> = plots.iter().map(|p| behind(p, cell, sheet)).collect();
    let most = |of: &[f64], column: usize| {
        of.iter()
            .skip(column)
            .step_by(columns)
            .copied()
            .fold(0.0, f64::max)
    };
    // Titles of x axes may be longer than their axes: they are broken, and their row is higher.
    let x_titles: Vec<Vec<String>> = plots
        .iter()
        .enumerate()
        .map(|(n, plot)| {
            let column = n % columns;
            let width = cell - most(&lefts, column) - most(&rights, column);
            let mut lines = wrap(&plot.x.title, em, width + 1.2 * em);
            lines.truncate(2);
            lines
        })
        .collect();
    let mut y = top;
    let mut areas = Vec::new();
    for (row, here) in plots.chunks(columns).enumerate() {
        let first = row * columns;
        let height = heights[first..first + here.len()]
            .iter()
            .copied()
            .fold(0.0, f64::max);
        for (column, plot) in here.iter().enumerate() {
            let left = sheet.margin + column as f64 * (cell + gap);
            let area = Area {
                left: left + most(&lefts, column),
                top: y + 1.9 * em,
                right: left + cell - most(&rights, column),
                bottom: y + 1.9 * em + height,
                x: plot.x.scale,
                y: plot.y.scale,
                behind: most(&rights, column),
            };
            let n = first + column;
            axes(scene, sheet, plot, &area, &ticks[n], &x_titles[n]);
            for layer in &plot.layers {
                draw(scene, sheet, layer, &area);
            }
            note(scene, sheet, plot, &area);
            areas.push(area);
        }
        let lines = x_titles[first..first + here.len()]
            .iter()
            .map(Vec::len)
            .max();
        // Title above; labels and title of the axis below.
        y += 1.9 * em + height + (2.6 + 1.3 * lines.unwrap_or(0).max(1) as f64) * em;
    }
    (y, areas)
}

/// Height of a plot area: by its names, or in proportion to its width.
fn height(plot: &Plot, cell: f64, em: f64) -> f64 {
    if plot.y.names.is_empty() {
        return (0.56 * cell).min(24.0 * em);
    }
    // Bars or boxes that stand side by side on a name need room each.
    let mut places: Vec<i64> = Vec::new();
    for layer in &plot.layers {
        let at = |at: f64| (at.rem_euclid(1.0) * 1000.0).round() as i64;
        match &layer.draw {
            Draw::Bars(bars) => places.extend(bars.iter().map(|b| at(b.at))),
            Draw::Boxes(boxes) => places.extend(boxes.iter().map(|b| at(b.at))),
            Draw::Intervals(all) => places.extend(all.iter().map(|i| at(i.0))),
            _ => {}
        }
    }
    places.sort_unstable();
    places.dedup();
    plot.y.names.len() as f64 * (0.9 + 1.2 * places.len().max(1) as f64) * em
}

fn y_ticks(plot: &Plot, height: f64, cell: f64, sheet: &Sheet) -> Ticks {
    if plot.y.names.is_empty() {
        plot.y.scale.ticks(height / (3.4 * sheet.text))
    } else {
        // In a narrow cell names need a larger share of it.
        let room = (0.3 * cell).max(0.42 * cell.min(17.0 * sheet.small));
        names(&plot.y.names, sheet.small, room)
    }
}

fn names(names: &[String], size: f64, room: f64) -> Ticks {
    fit_names(names, size, room)
        .into_iter()
        .enumerate()
        .map(|(i, name)| (i as f64, name))
        .collect()
}

/// Room on the right: for what stands behind bars.
fn behind(plot: &Plot, cell: f64, sheet: &Sheet) -> f64 {
    let widest = bars(plot)
        .filter_map(|bar| bar.behind.as_ref())
        .map(|text| font::width(text, sheet.small, false))
        .fold(0.0, f64::max);
    if widest > 0.0 {
        widest.min(cell * 0.36) + 1.2 * sheet.text
    } else {
        // Half of the last label of the x axis.
        1.5 * sheet.text
    }
}

fn bars(plot: &Plot) -> impl Iterator<Item = &Bar> {
    plot.layers.iter().flat_map(|layer| match &layer.draw {
        Draw::Bars(bars) => bars.as_slice(),
        _ => &[],
    })
}

/// Grid, labels and titles.
fn axes(
    scene: &mut Scene,
    sheet: &Sheet,
    plot: &Plot,
    area: &Area,
    y_ticks: &Ticks,
    x_title: &[String],
) {
    let (em, small) = (sheet.text, sheet.small);
    let hair = em / 13.0;
    for layer in &plot.layers {
        if let Draw::Shade(from, to) = layer.draw {
            let (left, right) = (area.at(from, 0.0).0, area.at(to, 0.0).0);
            scene.rect(left, area.top, right, area.bottom, SHADE);
        }
    }
    scene.text(Text {
        text: fit(&plot.title, em * 1.15, area.width()),
        x: area.left,
        y: area.top - 0.9 * em,
        size: em,
        colour: INK,
        across: Across::Left,
        bold: true,
        upright: false,
    });
    for (value, label) in y_ticks {
        let (_, y) = area.at(0.0, *value);
        if plot.y.names.is_empty() {
            scene.line(
                vec![(area.left, y), (area.right, y)],
                GRID,
                hair,
                Vec::new(),
            );
        }
        let at = (area.left - 0.55 * em, y);
        plain(scene, label, at, Across::Right, small, SOFT);
    }
    for (value, label) in x_ticks(&plot.x, area, sheet) {
        let x = area.at(value, 0.0).0;
        if plot.x.names.is_empty() {
            scene.line(
                vec![(x, area.top), (x, area.bottom)],
                GRID,
                hair,
                Vec::new(),
            );
            let tick = vec![(x, area.bottom), (x, area.bottom + 0.35 * em)];
            scene.line(tick, SOFT, hair, Vec::new());
        }
        let at = (x, area.bottom + 1.1 * em);
        plain(scene, &label, at, Across::Middle, small, SOFT);
    }
    let corners = vec![
        (area.left, area.top),
        (area.left, area.bottom),
        (area.right, area.bottom),
    ];
    scene.line(corners, SOFT, hair, Vec::new());
    let middle = f64::midpoint(area.left, area.right);
    for (n, line) in x_title.iter().enumerate() {
        let at = (middle, area.bottom + (2.5 + 1.3 * n as f64) * em);
        plain(scene, line, at, Across::Middle, em, INK);
    }
    if !plot.y.title.is_empty() {
        let widest = y_ticks
            .iter()
            .map(|(_, label)| font::width(label, small, false))
            .fold(0.0, f64::max);
        scene.text(Text {
            text: fit(&plot.y.title, em, area.height() + 3.0 * em),
            x: area.left - 0.55 * em - widest - 0.9 * em,
            y: f64::midpoint(area.top, area.bottom),
            size: em,
            colour: INK,
            across: Across::Middle,
            bold: false,
            upright: true,
        });
    }
}

fn x_ticks(axis: &Axis, area: &Area, sheet: &Sheet) -> Ticks {
    let ticks = if axis.names.is_empty() {
        axis.scale.ticks(area.width() / (5.8 * sheet.text))
    } else {
        let slot = area.width() / axis.names.len() as f64;
        names(&axis.names, sheet.small, slot - 0.4 * sheet.text)
    };
    // Labels that would touch the one before are left out.
    let mut kept: Ticks = Vec::new();
    let mut free_from = f64::NEG_INFINITY;
    for (value, label) in ticks {
        let half = font::width(&label, sheet.small, false) / 2.0;
        let x = area.at(value, 0.0).0;
        if x - half >= free_from && x + half <= sheet.width {
            free_from = x + half + 0.6 * sheet.text;
            kept.push((value, label));
        }
    }
    kept
}

fn note(scene: &mut Scene, sheet: &Sheet, plot: &Plot, area: &Area) {
    let Some(note) = &plot.note else { return };
    let em = sheet.text;
    let y = if note.on_top {
        area.top + 0.9 * em
    } else {
        area.bottom - 0.9 * em
    };
    let text = fit(&note.text, sheet.small, area.width() - 1.2 * em);
    let at = (area.right - 0.6 * em, y);
    plain(scene, &text, at, Across::Right, sheet.small, SOFT);
}

fn draw(scene: &mut Scene, sheet: &Sheet, layer: &Layer, area: &Area) {
    let em = sheet.text;
    let (colour, width) = (layer.look.colour, LINE * em * layer.weight);
    match &layer.draw {
        Draw::Line { points, marked } => {
            let mut line: Vec<Point> = points.iter().map(|(x, y)| area.at(*x, *y)).collect();
            line.dedup();
            scene.line(line, colour, width, scaled(layer.look.dash, em));
            for (x, y) in marked {
                let size = MARK * em * layer.weight.sqrt();
                scene.mark(layer.look, area.at(*x, *y), size);
            }
        }
        Draw::Band(points) => {
            let upper = points.iter().map(|(x, _, high)| area.at(*x, *high));
            let lower = points.iter().rev().map(|(x, low, _)| area.at(*x, *low));
            scene.area(upper.chain(lower).collect(), colour, PALE);
        }
        Draw::Bars(bars) => {
            for bar in bars {
                draw_bar(scene, sheet, bar, colour, area);
            }
        }
        Draw::Boxes(boxes) => {
            for of in boxes {
                draw_box(scene, em, of, colour, area);
            }
        }
        Draw::Intervals(all) => {
            for (at, low, middle, high) in all {
                let line = vec![area.at(*low, *at), area.at(*high, *at)];
                for (x, y) in &line {
                    let end = vec![(*x, y - 0.3 * em), (*x, y + 0.3 * em)];
                    scene.line(end, colour, width * 0.7, Vec::new());
                }
                scene.line(line, colour, width * 0.7, Vec::new());
                scene.mark(layer.look, area.at(*middle, *at), MARK * em);
            }
        }
        // Drawn under the grid.
        Draw::Shade(..) => {}
        Draw::Rule(at) => {
            let x = area.at(*at, 0.0).0;
            let line = vec![(x, area.top), (x, area.bottom)];
            scene.line(line, SOFT, 0.1 * em, Vec::new());
        }
    }
}

fn draw_bar(scene: &mut Scene, sheet: &Sheet, bar: &Bar, colour: Colour, area: &Area) {
    let em = sheet.text;
    let (from, top) = area.at(bar.from, bar.at - bar.thick / 2.0);
    let (to, bottom) = area.at(bar.to, bar.at + bar.thick / 2.0);
    scene.rect(from, top, to, bottom, colour);
    let middle = f64::midpoint(top, bottom);
    if let Some((text, ink)) = &bar.inside
        && font::width(text, sheet.small, false) + 0.6 * em < to - from
    {
        let at = (f64::midpoint(from, to), middle);
        plain(scene, text, at, Across::Middle, sheet.small, *ink);
    }
    if let Some(text) = &bar.behind {
        let text = fit(text, sheet.small, area.behind - 0.6 * em);
        let at = (area.right + 0.6 * em, middle);
        plain(scene, &text, at, Across::Left, sheet.small, INK);
    }
}

fn draw_box(scene: &mut Scene, em: f64, of: &Quartiles, colour: Colour, area: &Area) {
    let (top, bottom) = (of.at - of.thick / 2.0, of.at + of.thick / 2.0);
    let line = LINE * em * 0.8;
    for (from, to) in [(of.low, of.q1), (of.q3, of.high)] {
        scene.line(
            vec![area.at(from, of.at), area.at(to, of.at)],
            colour,
            line,
            Vec::new(),
        );
    }
    for end in [of.low, of.high] {
        let half = of.thick / 4.0;
        let ends = vec![area.at(end, of.at - half), area.at(end, of.at + half)];
        scene.line(ends, colour, line, Vec::new());
    }
    let corners = vec![
        area.at(of.q1, top),
        area.at(of.q3, top),
        area.at(of.q3, bottom),
        area.at(of.q1, bottom),
        area.at(of.q1, top),
    ];
    scene.area(corners.clone(), colour, PALE);
    scene.line(corners, colour, line, Vec::new());
    let median = vec![area.at(of.median, top), area.at(of.median, bottom)];
    scene.line(median, colour, LINE * em * 1.6, Vec::new());
}
