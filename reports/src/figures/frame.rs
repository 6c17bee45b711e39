//! What all figures share: heading, marks, legend, and panels with their axes.

use vifbench_scenarios::units::Rate;

use crate::analysis::Analysis;
use crate::figures::axis::Scale;
use crate::figures::font;
use crate::figures::scene::{Across, Scene, Text};
use crate::figures::style::{Colour, GRID, HEADING, INK, Look, SMALL, SOFT, TEXT, look};
use crate::text::{count, plural};

/// Width of every figure.
pub const WIDTH: f64 = 960.0;
/// Free space around.
pub const MARGIN: f64 = 18.0;

/// Shortens a text to the room that it has.
pub fn fit(text: &str, size: f64, room: f64) -> String {
    // Control characters have no glyph, and names may come from a host.
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if font::width(&clean, size, false) <= room {
        return clean;
    }
    let mut kept: Vec<char> = clean.chars().collect();
    while !kept.is_empty() {
        kept.pop();
        let short: String = kept.iter().chain(&['…']).collect();
        if font::width(&short, size, false) <= room {
            return short;
        }
    }
    "…".to_owned()
}

/// One entry of a legend.
pub struct Key {
    /// What it stands for.
    pub name: String,
    /// As a series.
    pub look: Option<Look>,
    /// As an area.
    pub area: Option<Colour>,
}

impl Key {
    /// One for every variant, in the order that gives each its look.
    pub fn variants(names: &[&str]) -> Vec<Self> {
        names
            .iter()
            .enumerate()
            .map(|(i, name)| Self {
                name: (*name).to_owned(),
                look: Some(look(i)),
                area: None,
            })
            .collect()
    }

    /// The same for bars.
    pub fn areas(names: &[&str]) -> Vec<Self> {
        names
            .iter()
            .enumerate()
            .map(|(i, name)| Self {
                name: (*name).to_owned(),
                look: None,
                area: Some(look(i).colour),
            })
            .collect()
    }
}

/// A figure whose heading is drawn; panels begin at `top`.
pub struct Frame {
    /// The drawing.
    pub scene: Scene,
    /// Where panels begin.
    pub top: f64,
}

impl Frame {
    /// Heading, marks and legend on a drawing of a run whose panels take `height`.
    pub fn new(title: &str, run: &Analysis, keys: &[Key], height: f64) -> Self {
        Self::with_lines(title, &lines(run), keys, height)
    }

    /// The same with these lines below the heading.
    pub fn with_lines(title: &str, lines: &[String], keys: &[Key], height: f64) -> Self {
        let mut scene = Scene::new(WIDTH, 0.0);
        let room = WIDTH - 2.0 * MARGIN;
        scene.text(Text {
            text: fit(title, HEADING * 1.1, room),
            x: MARGIN,
            y: 24.0,
            size: HEADING,
            colour: INK,
            across: Across::Left,
            bold: true,
            upright: false,
        });
        let mut y = 46.0;
        for line in lines {
            plain(
                &mut scene,
                &fit(line, TEXT, room),
                (MARGIN, y),
                Across::Left,
                TEXT,
                SOFT,
            );
            y += 18.0;
        }
        y = legend(&mut scene, keys, y + 6.0);
        let top = y + 8.0;
        scene.height = top + height + MARGIN;
        Self { scene, top }
    }
}

/// On what the figure rests, and the marks that go on every figure of the run.
fn lines(run: &Analysis) -> Vec<String> {
    let measured: Vec<_> = run
        .summary
        .trials
        .iter()
        .filter_map(|t| t.total.as_ref())
        .collect();
    let packets: u64 = measured.iter().map(|t| t.counts.sent).sum();
    let basis = format!(
        "{}, {} measured packets  ·  scenario {}, run {}",
        plural(measured.len(), "trial"),
        count(packets),
        run.summary.scenario,
        run.summary.run,
    );
    std::iter::once(basis)
        .chain(run.summary.marks.iter().map(|m| format!("▲ {m}")))
        .collect()
}

fn legend(scene: &mut Scene, keys: &[Key], mut y: f64) -> f64 {
    if keys.is_empty() {
        return y - 6.0;
    }
    y += 6.0;
    let mut x = MARGIN;
    for key in keys {
        let name = fit(&key.name, TEXT, 260.0);
        let wide = 44.0 + font::width(&name, TEXT, false) + 26.0;
        if x + wide > WIDTH - MARGIN && x > MARGIN {
            x = MARGIN;
            y += 22.0;
        }
        if let Some(look) = key.look {
            scene.line(vec![(x, y), (x + 36.0, y)], look.colour, 2.5, look.dash);
            look.mark(scene, (x + 18.0, y), 9.0);
        }
        if let Some(area) = key.area {
            scene.rect(x + 6.0, y - 7.0, x + 36.0, y + 7.0, area);
        }
        plain(scene, &name, (x + 44.0, y), Across::Left, TEXT, INK);
        x += wide;
    }
    y + 16.0
}

/// Adds ordinary text.
pub fn plain(
    scene: &mut Scene,
    text: &str,
    (x, y): (f64, f64),
    across: Across,
    size: f64,
    colour: Colour,
) {
    let text = text.to_owned();
    scene.text(Text {
        text,
        x,
        y,
        size,
        colour,
        across,
        bold: false,
        upright: false,
    });
}

/// A plot area with two axes.
pub struct Panel {
    /// Left edge of the area.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Bottom edge.
    pub bottom: f64,
    /// Across.
    pub x: Scale,
    /// Upwards.
    pub y: Scale,
}

/// Room that a panel needs beside its plot area: left, top, right, bottom.
pub const ROOM: (f64, f64, f64, f64) = (74.0, 26.0, 10.0, 46.0);

impl Panel {
    /// The plot area of a cell, with room for titles and labels.
    pub fn in_cell(cell: Cell, x: Scale, y: Scale) -> Self {
        Self {
            left: cell.left + ROOM.0,
            top: cell.top + ROOM.1,
            right: cell.right - ROOM.2,
            bottom: cell.bottom - ROOM.3,
            x,
            y,
        }
    }

    /// Where a pair of values lies.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        )
    }

    /// Grid, ticks and titles; series are drawn over it. `x_ticks` off: the caller labels categories.
    pub fn draw(
        &self,
        scene: &mut Scene,
        title: &str,
        (x_title, y_title): (&str, &str),
        x_ticks: bool,
    ) {
        let (width, height) = (self.right - self.left, self.bottom - self.top);
        let shown = fit(title, TEXT * 1.15, width);
        scene.text(Text {
            text: shown,
            x: self.left,
            y: self.top - 12.0,
            size: TEXT,
            colour: INK,
            across: Across::Left,
            bold: true,
            upright: false,
        });
        for (value, label) in self.y.ticks(height / 45.0) {
            let (_, y) = self.at(0.0, value);
            scene.line(vec![(self.left, y), (self.right, y)], GRID, 1.0, &[]);
            plain(
                scene,
                &label,
                (self.left - 7.0, y),
                Across::Right,
                SMALL,
                SOFT,
            );
        }
        if x_ticks {
            let ticks = self.x.ticks(width / 75.0);
            for (value, label) in keep_apart(&ticks, |v| self.at(v, 0.0).0) {
                let x = self.at(value, 0.0).0;
                scene.line(vec![(x, self.top), (x, self.bottom)], GRID, 1.0, &[]);
                scene.line(
                    vec![(x, self.bottom), (x, self.bottom + 5.0)],
                    SOFT,
                    1.0,
                    &[],
                );
                plain(
                    scene,
                    &label,
                    (x, self.bottom + 14.0),
                    Across::Middle,
                    SMALL,
                    SOFT,
                );
            }
        }
        let corners = vec![
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        scene.line(corners, SOFT, 1.0, &[]);
        let middle = f64::midpoint(self.left, self.right);
        if !x_title.is_empty() {
            let at = (middle, self.bottom + 33.0);
            plain(
                scene,
                &fit(x_title, TEXT, width + 60.0),
                at,
                Across::Middle,
                TEXT,
                INK,
            );
        }
        scene.text(Text {
            text: fit(y_title, TEXT, height + 40.0),
            x: self.left - 60.0,
            y: f64::midpoint(self.top, self.bottom),
            size: TEXT,
            colour: INK,
            across: Across::Middle,
            bold: false,
            upright: true,
        });
    }
}

/// Tells how many values lie left of a distribution's axis; in the corner that such a curve leaves free.
pub fn left_edge_note(scene: &mut Scene, panel: &Panel, below: usize, what: &str) {
    if below > 0 {
        let note = format!("{below} {what} at the left edge");
        let room = panel.right - panel.left - 16.0;
        let at = (panel.right - 8.0, panel.bottom - 12.0);
        plain(
            scene,
            &fit(&note, SMALL, room),
            at,
            Across::Right,
            SMALL,
            SOFT,
        );
    }
}

/// Leaves out labels that would touch the one before.
fn keep_apart(ticks: &[(f64, String)], place: impl Fn(f64) -> f64) -> Vec<(f64, String)> {
    let mut kept: Vec<(f64, String)> = Vec::new();
    let mut free_from = f64::NEG_INFINITY;
    for (value, label) in ticks {
        let half = font::width(label, SMALL, false) / 2.0;
        let x = place(*value);
        if x - half >= free_from {
            free_from = x + half + 8.0;
            kept.push((*value, label.clone()));
        }
    }
    kept
}

/// A part of the drawing.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Bottom edge.
    pub bottom: f64,
}

/// Cells of a grid, row by row, below `top`.
pub fn grid(top: f64, columns: usize, count: usize, row_height: f64) -> Vec<Cell> {
    let columns = columns.max(1);
    let gap = 22.0;
    let width = (WIDTH - 2.0 * MARGIN - gap * (columns as f64 - 1.0)) / columns as f64;
    (0..count)
        .map(|i| {
            let left = MARGIN + (i % columns) as f64 * (width + gap);
            let top = top + (i / columns) as f64 * row_height;
            Cell {
                left,
                top,
                right: left + width,
                bottom: top + row_height - 8.0,
            }
        })
        .collect()
}

/// Rows that a grid needs.
pub fn rows(columns: usize, count: usize) -> f64 {
    count.div_ceil(columns.max(1)) as f64
}

/// `2000/s to u1`, `u1`.
pub fn panel_title(rate: Option<Rate>, to: &str) -> String {
    match rate {
        Some(rate) => format!("{rate} to {to}"),
        None => format!("to {to}"),
    }
}

/// Every point of the sweep and flow that has numbers: rate, flow, guest.
pub fn panels(run: &Analysis) -> Vec<(Option<Rate>, u16, String)> {
    let mut found = Vec::new();
    for row in &run.summary.variants {
        let Some(flow) = row.flow.filter(|_| row.trials > 0) else {
            continue;
        };
        let key = (row.rate, flow, row.to.clone());
        if !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

/// Trials of a variant at a point of the sweep, with their places in the run.
pub fn trials_of<'r>(
    run: &'r Analysis,
    rate: Option<Rate>,
    variant: &'r str,
) -> impl Iterator<Item = usize> + 'r {
    run.summary
        .trials
        .iter()
        .enumerate()
        .filter(move |(_, t)| t.rate == rate && t.variant == variant && t.total.is_some())
        .map(|(i, _)| i)
}

/// Values of one flow over all trials of a variant, sorted.
pub fn pooled(
    run: &Analysis,
    rate: Option<Rate>,
    variant: &str,
    flow: u16,
    pick: fn(&crate::metrics::flow::FlowValues) -> &Vec<i64>,
) -> Vec<i64> {
    let mut all = Vec::new();
    for i in trials_of(run, rate, variant) {
        let place = run.summary.trials[i]
            .flows
            .iter()
            .position(|m| m.flow == Some(flow));
        if let (Some(place), Some(values)) = (place, &run.trials[i].values) {
            all.extend_from_slice(pick(&values.flows[place]));
        }
    }
    all.sort_unstable();
    all
}
