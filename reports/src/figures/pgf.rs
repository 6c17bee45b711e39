//! A figure as `PGFPlots` source, to be put into a paper with `\input` and changed there.

use std::fmt::Write as _;

use crate::figures::axis::{Scale, exact};
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot};
use crate::figures::provenance::Provenance;
use crate::figures::style::{Colour, Look, Marker, PALE};
use crate::latex::escaped;

/// More panels than this stand in two columns.
const MOST_IN_COLUMN: usize = 3;

/// The source. Its comment says what the paper's preamble needs.
pub fn pgf(figure: &Figure, about: &Provenance) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "% {}\n% {}",
        comment(&about.title),
        comment(&about.caption)
    );
    for (key, value) in about.facts() {
        let _ = writeln!(out, "% {}: {}", comment(key), comment(&value));
    }
    out.push_str(
        "% The preamble needs:\n%   \\usepackage{pgfplots}\n%   \\pgfplotsset{compat=1.18}\n%   \
         \\usepgfplotslibrary{groupplots}\n% Width of the whole: \\vifbenchwidth, the column's unless it is set before.\n\
         \\providecommand{\\vifbenchwidth}{\\columnwidth}\n\\begin{tikzpicture}[font=\\scriptsize]\n",
    );
    let columns = figure.panels.len().div_ceil(MOST_IN_COLUMN).clamp(1, 2);
    let rows = figure.panels.len().div_ceil(columns);
    let width = 1.0 / columns as f64 - if columns > 1 { 0.02 } else { 0.0 };
    let _ = writeln!(
        out,
        "\\begin{{groupplot}}[group style={{group size={columns} by {rows}, vertical sep=1.7cm, horizontal sep=1.5cm}},\n  \
         width={width:.2}\\vifbenchwidth, scale only axis=false,\n  every axis plot/.append style={{line width=0.8pt}}, \
         grid=major, grid style={{black!12}},\n  title style={{font=\\scriptsize\\bfseries, yshift=-1ex}}, axis lines=left, \
         axis line style={{-}}, clip mode=individual]"
    );
    for plot in &figure.panels {
        panel(&mut out, plot, width);
    }
    out.push_str("\\end{groupplot}\n");
    legend(&mut out, &figure.keys, rows);
    out.push_str("\\end{tikzpicture}\n");
    out
}

fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn panel(out: &mut String, plot: &Plot, width: f64) {
    // Names need a line each, numbers a shape that is pleasant.
    let height = if plot.y.names.is_empty() {
        format!("{:.2}\\vifbenchwidth", 0.66 * width)
    } else {
        format!("{:.1}em", 7.0 + 1.9 * plot.y.names.len() as f64)
    };
    let _ = writeln!(
        out,
        "\\nextgroupplot[height={height}, title={{{}}},\n  {},\n  {}]",
        escaped(&plot.title),
        axis('x', &plot.x),
        axis('y', &plot.y)
    );
    for layer in &plot.layers {
        draw(out, layer);
    }
    if let Some(note) = &plot.note {
        let (place, anchor) = if note.on_top {
            ("1,1", "north east")
        } else {
            ("1,0", "south east")
        };
        let _ = writeln!(
            out,
            "\\node[anchor={anchor}, font=\\tiny] at (rel axis cs:{place}) {{{}}};",
            escaped(&note.text)
        );
    }
}

fn axis(which: char, axis: &Axis) -> String {
    let (from, to, log) = match axis.scale {
        Scale::Linear { from, to } => (from, to, false),
        Scale::Log { from, to } => (from, to, true),
    };
    let mut options = format!(
        "{which}label={{{}}}, {which}min={}, {which}max={}",
        escaped(&axis.title),
        from.min(to),
        from.max(to)
    );
    if log {
        let _ = write!(options, ", {which}mode=log, minor {which} tick num=0");
    }
    if from > to {
        let _ = write!(options, ", {which} dir=reverse");
    }
    let ticks: Vec<(f64, String)> = if axis.names.is_empty() {
        axis.scale.ticks(5.0)
    } else {
        let names = axis.names.iter().enumerate();
        names.map(|(i, name)| (i as f64, name.clone())).collect()
    };
    let places: Vec<String> = ticks.iter().map(|(value, _)| value.to_string()).collect();
    let labels: Vec<String> = ticks
        .iter()
        .map(|(_, label)| format!("{{{}}}", escaped(label)))
        .collect();
    let _ = write!(
        options,
        ", {which}tick={{{}}}, {which}ticklabels={{{}}}",
        places.join(","),
        labels.join(",")
    );
    options
}

fn colour(Colour(r, g, b): Colour) -> String {
    format!("{{rgb,255:red,{r};green,{g};blue,{b}}}")
}

fn dash(look: Look) -> String {
    if look.dash.is_empty() {
        return "solid".to_owned();
    }
    let parts: Vec<String> = look
        .dash
        .iter()
        .enumerate()
        .map(|(i, length)| {
            let what = if i % 2 == 0 { "on" } else { "off" };
            format!("{what} {:.2}pt", length * 7.5 / 13.0)
        })
        .collect();
    format!("dash pattern={}", parts.join(" "))
}

fn marker(look: Look) -> String {
    match look.marker {
        None => "mark=none".to_owned(),
        Some(marker) => {
            let name = match marker {
                Marker::Disc => "*",
                Marker::Square => "square*",
                Marker::Up => "triangle*",
                Marker::Diamond => "diamond*",
            };
            format!("mark={name}, mark size=1.6pt, mark options={{solid}}")
        }
    }
}

fn coordinates(points: &[(f64, f64)]) -> String {
    let points: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("({},{})", exact(*x), exact(*y)))
        .collect();
    // TeX reads lines of any length, people do not.
    points
        .chunks(8)
        .map(|line| line.join(" "))
        .collect::<Vec<_>>()
        .join("\n  ")
}

fn draw(out: &mut String, layer: &Layer) {
    let tone = colour(layer.look.colour);
    let segment = |from: (f64, f64), to: (f64, f64)| {
        format!(
            "\\draw[color={tone}] (axis cs:{},{}) -- (axis cs:{},{});\n",
            from.0, from.1, to.0, to.1
        )
    };
    let rectangle = |from: (f64, f64), to: (f64, f64), options: &str| {
        format!(
            "\\draw[{options}] (axis cs:{},{}) rectangle (axis cs:{},{});\n",
            from.0, from.1, to.0, to.1
        )
    };
    let _ = writeln!(out, "% {}", comment(&layer.series));
    match &layer.draw {
        Draw::Line { points, marked } => {
            if !points.is_empty() {
                let _ = writeln!(
                    out,
                    "\\addplot[color={tone}, {}, mark=none, line width={:.2}pt] coordinates {{\n  {}}};",
                    dash(layer.look),
                    0.8 * layer.weight,
                    coordinates(points)
                );
            }
            if !marked.is_empty() && layer.look.marker.is_some() {
                let _ = writeln!(
                    out,
                    "\\addplot[color={tone}, only marks, {}] coordinates {{\n  {}}};",
                    marker(layer.look),
                    coordinates(marked)
                );
            }
        }
        Draw::Band(points) => {
            let upper = points.iter().map(|(x, _, high)| (*x, *high));
            let lower = points.iter().rev().map(|(x, low, _)| (*x, *low));
            let around: Vec<(f64, f64)> = upper.chain(lower).collect();
            let _ = writeln!(
                out,
                "\\addplot[fill={tone}, fill opacity={PALE}, draw=none, mark=none] coordinates {{\n  {}}} -- cycle;",
                coordinates(&around)
            );
        }
        Draw::Bars(bars) => {
            for bar in bars {
                let half = bar.thick / 2.0;
                let options = format!("fill={tone}, draw=none");
                let corners = ((bar.from, bar.at - half), (bar.to, bar.at + half));
                out.push_str(&rectangle(corners.0, corners.1, &options));
                if let Some(text) = &bar.behind {
                    let _ = writeln!(
                        out,
                        "\\node[anchor=east, font=\\tiny, fill=white, fill opacity=0.8, text opacity=1, inner sep=1pt] at ({{rel axis cs:1,0}} |- {{axis \
                         cs:{},{}}}) {{{}}};",
                        bar.from,
                        bar.at,
                        escaped(text)
                    );
                }
            }
        }
        Draw::Boxes(boxes) => {
            for b in boxes {
                let half = b.thick / 2.0;
                out.push_str(&segment((b.low, b.at), (b.q1, b.at)));
                out.push_str(&segment((b.q3, b.at), (b.high, b.at)));
                let options = format!("draw={tone}, fill={tone}, fill opacity={PALE}");
                out.push_str(&rectangle(
                    (b.q1, b.at - half),
                    (b.q3, b.at + half),
                    &options,
                ));
                out.push_str(&segment((b.median, b.at - half), (b.median, b.at + half)));
            }
        }
        Draw::Intervals(all) => {
            for (at, low, _, high) in all {
                out.push_str(&segment((*low, *at), (*high, *at)));
            }
            let middles: Vec<(f64, f64)> = all.iter().map(|i| (i.2, i.0)).collect();
            let _ = writeln!(
                out,
                "\\addplot[color={tone}, only marks, {}] coordinates {{\n  {}}};",
                marker(layer.look),
                coordinates(&middles)
            );
        }
        Draw::Shade(from, to) => {
            let _ = writeln!(
                out,
                "\\fill[black!5] ({{axis cs:{from},0}} |- {{rel axis cs:0,0}}) rectangle ({{axis cs:{to},0}} |- {{rel axis \
                 cs:0,1}});"
            );
        }
        Draw::Rule(at) => {
            let _ = writeln!(
                out,
                "\\draw[black!60] ({{axis cs:{at},0}} |- {{rel axis cs:0,0}}) -- ({{axis cs:{at},0}} |- {{rel axis cs:0,1}});"
            );
        }
    }
}

/// Below the last panel, because keys may stand for series that the first panel lacks.
fn legend(out: &mut String, keys: &[Key], rows: usize) {
    if keys.is_empty() || rows == 0 {
        return;
    }
    let _ = writeln!(
        out,
        "\\matrix[anchor=north, yshift=-3.2em, column sep=0.6em, font=\\tiny] at (group c1r{rows}.south) {{"
    );
    for pair in keys.chunks(3) {
        let cells: Vec<String> = pair
            .iter()
            .map(|key| {
                let tone = colour(key.look.colour);
                let sign = if key.area {
                    format!(
                        "\\fill[{tone_option}] (0,-0.06) rectangle (0.4,0.12);",
                        tone_option = format_args!("color={tone}")
                    )
                } else {
                    format!("\\draw[color={tone}, {}] (0,0) -- (0.5,0);", dash(key.look))
                };
                format!("{sign} & \\node[anchor=west]{{{}}};", escaped(&key.name))
            })
            .collect();
        let _ = writeln!(out, "  {} \\\\", cells.join(" & "));
    }
    out.push_str("};\n");
}
