//! Drawing a scene with plotters, as SVG or PNG: the same code for both.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use vifbench_store::{ReportFolder, files};

use crate::error::ReportError;
use crate::figures::font::{self, font};
use crate::figures::provenance::Provenance;
use crate::figures::scene::{Across, Scene, Shape};
use crate::figures::style::{Colour, PAPER};

/// Pixels of a file for one of the page: back ends place everything on whole pixels.
pub const PAGE_SCALE: f64 = 2.0;
/// The same for a point of paper: a twentieth of a point is finer than any printer.
const PAPER_SCALE: f64 = 20.0;

/// The scene as SVG for the page, with text as text.
pub fn svg(scene: &Scene, path: &Path) -> Result<String, ReportError> {
    plotted(scene, PAGE_SCALE, path)
}

/// The same as a file of its own, with what it says of itself in its metadata.
pub fn svg_file(svg: &str, about: &Provenance) -> String {
    described(svg, None, about)
}

/// The scene as an SVG file for paper: its size is in points.
pub fn svg_on_paper(scene: &Scene, about: &Provenance, path: &Path) -> Result<String, ReportError> {
    let body = plotted(scene, PAPER_SCALE, path)?;
    Ok(described(&body, Some((scene.width, scene.height)), about))
}

fn plotted(scene: &Scene, scale: f64, path: &Path) -> Result<String, ReportError> {
    font::register()?;
    let mut buffer = String::new();
    {
        let root = SVGBackend::with_string(&mut buffer, size(scene, scale)).into_drawing_area();
        play(scene, &root, scale, 0.03).map_err(|reason| failed(path, reason))?;
    }
    Ok(buffer)
}

/// Puts title, description and metadata into an SVG, and the size that it has on paper.
fn described(svg: &str, points: Option<(f64, f64)>, about: &Provenance) -> String {
    let (root, rest) = svg.split_once('>').unwrap_or((svg, ""));
    let mut out = match (points, root.split_once("viewBox")) {
        (Some((width, height)), Some((_, view))) => {
            format!("<svg width=\"{width}pt\" height=\"{height}pt\" viewBox{view}>")
        }
        _ => format!("{root}>"),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n<title>{}</title>\n<desc>{}</desc>\n<metadata>",
        escaped(&about.title),
        escaped(&about.caption)
    );
    for (key, value) in about.facts() {
        let _ = write!(out, "\n{}: {}", escaped(key), escaped(&value));
    }
    out.push_str("\n</metadata>");
    out.push_str(rest);
    out
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

/// Writes the scene as `<id>.png` for the page, with its description as its text.
pub fn png(
    scene: &Scene,
    about: &Provenance,
    folder: &ReportFolder,
    id: &str,
) -> Result<PathBuf, ReportError> {
    font::register()?;
    // plotters writes to a path only, and takes the format from its end.
    let raw = format!(".{id}.part.png");
    let path = folder.file(&raw);
    {
        let root = BitMapBackend::new(&path, size(scene, PAGE_SCALE)).into_drawing_area();
        play(scene, &root, PAGE_SCALE, 0.17).map_err(|reason| failed(&path, reason))?;
    }
    let bytes = files::read(&path)?;
    let bytes = with_text(&bytes, about)
        .ok_or_else(|| failed(&path, "what was drawn is no PNG".to_owned()))?;
    folder.remove(&raw)?;
    Ok(folder.write(&format!("{id}.png"), &bytes)?)
}

/// Puts an `iTXt` chunk a fact behind a PNG's header. None where there is no header.
fn with_text(png: &[u8], about: &Provenance) -> Option<Vec<u8>> {
    // Signature, then the header chunk: length, type, 13 bytes, checksum.
    const HEADER: usize = 8 + 4 + 4 + 13 + 4;
    let (header, rest) = png.split_at_checked(HEADER)?;
    if header.get(12..16) != Some(b"IHDR") {
        return None;
    }
    let mut facts = vec![
        ("Title", about.title.clone()),
        ("Description", about.caption.clone()),
    ];
    facts.extend(about.facts());
    let mut out = header.to_vec();
    for (key, value) in facts {
        let mut chunk = b"iTXt".to_vec();
        chunk.extend(key.as_bytes());
        // Not compressed, of no language, with no translated keyword.
        chunk.extend([0, 0, 0, 0, 0]);
        chunk.extend(value.as_bytes());
        let length = u32::try_from(chunk.len() - 4).ok()?;
        out.extend(length.to_be_bytes());
        let checksum = crc32fast::hash(&chunk);
        out.extend(chunk);
        out.extend(checksum.to_be_bytes());
    }
    out.extend(rest);
    Some(out)
}

fn size(scene: &Scene, scale: f64) -> (u32, u32) {
    (
        (scene.width * scale).ceil() as u32,
        (scene.height * scale).ceil() as u32,
    )
}

fn failed(path: &Path, reason: String) -> ReportError {
    ReportError::Draw {
        path: path.to_owned(),
        reason,
    }
}

/// `drop` moves text down by that share of its em: the back ends centre it each in their own way, both too high.
fn play<DB: DrawingBackend>(
    scene: &Scene,
    root: &DrawingArea<DB, Shift>,
    scale: f64,
    drop: f64,
) -> Result<(), String> {
    let told = |error: DrawingAreaErrorKind<DB::ErrorType>| error.to_string();
    let pixel = |(x, y): (f64, f64)| ((x * scale).round() as i32, (y * scale).round() as i32);
    root.fill(&rgb(PAPER)).map_err(told)?;
    for shape in &scene.shapes {
        match shape {
            Shape::Text(text) => {
                let down = drop * text.size;
                let at = if text.upright {
                    (text.x + down, text.y)
                } else {
                    (text.x, text.y + down)
                };
                let h = match text.across {
                    Across::Left => HPos::Left,
                    Across::Middle => HPos::Center,
                    Across::Right => HPos::Right,
                };
                let font = font(text.size * scale, text.bold);
                let font = if text.upright {
                    font.transform(FontTransform::Rotate270)
                } else {
                    font
                };
                let style = font.color(&rgb(text.colour)).pos(Pos::new(h, VPos::Center));
                root.draw(&Text::new(text.text.as_str(), pixel(at), style))
                    .map_err(told)?;
            }
            Shape::Line {
                points,
                colour,
                width,
                dash,
            } => {
                let style = rgb(*colour).stroke_width((width * scale).round().max(1.0) as u32);
                for piece in dashes(points, dash) {
                    let pixels: Vec<_> = piece.into_iter().map(pixel).collect();
                    root.draw(&PathElement::new(pixels, style)).map_err(told)?;
                }
            }
            Shape::Polygon {
                points,
                colour,
                opacity,
            } => {
                let pixels: Vec<_> = points.iter().copied().map(pixel).collect();
                let style = rgb(*colour).mix(*opacity).filled();
                root.draw(&Polygon::new(pixels, style)).map_err(told)?;
            }
        }
    }
    root.present().map_err(told)
}

fn rgb(Colour(r, g, b): Colour) -> RGBColor {
    RGBColor(r, g, b)
}

/// Cuts a line into what is drawn of it.
fn dashes(points: &[(f64, f64)], dash: &[f64]) -> Vec<Vec<(f64, f64)>> {
    if dash.is_empty() || dash.iter().any(|d| *d <= 0.0) {
        return vec![points.to_vec()];
    }
    let mut pieces = Vec::new();
    let (mut turn, mut left) = (0, dash[0]);
    let mut piece: Vec<(f64, f64)> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let drawn = turn % 2 == 0;
            if length < left {
                left -= length;
                if drawn {
                    piece.push(to);
                }
                break;
            }
            let share = if length > 0.0 { left / length } else { 1.0 };
            let cut = (
                from.0 + (to.0 - from.0) * share,
                from.1 + (to.1 - from.1) * share,
            );
            if drawn {
                piece.push(cut);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![cut];
            }
            turn += 1;
            left = dash[turn % dash.len()];
            from = cut;
        }
    }
    if piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_go_around_corners() {
        let line = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)];
        assert_eq!(dashes(&line, &[]), vec![line.to_vec()]);
        assert_eq!(
            dashes(&line, &[12.0, 4.0]),
            vec![
                vec![(0.0, 0.0), (10.0, 0.0), (10.0, 2.0)],
                vec![(10.0, 6.0), (10.0, 10.0)],
            ]
        );
    }

    #[test]
    fn dashes_end_on_a_line_of_no_length() {
        assert!(
            dashes(&[(1.0, 1.0), (1.0, 1.0)], &[2.0, 1.0])
                .iter()
                .all(|p| p.len() > 1)
        );
    }
}
