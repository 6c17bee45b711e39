//! Drawing a scene with plotters, as SVG or PNG: the same code for both.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::ReportError;
use crate::figures::font::{self, font};
use crate::figures::scene::{Across, Scene, Shape};
use crate::figures::style::{Colour, PAPER};

/// Pixels of a file for one of the scene: back ends place everything on whole pixels.
const SCALE: f64 = 2.0;

/// The scene as SVG, with text as text.
pub fn svg(scene: &Scene, path: &Path) -> Result<String, ReportError> {
    font::register()?;
    let mut buffer = String::new();
    {
        let root = SVGBackend::with_string(&mut buffer, size(scene)).into_drawing_area();
        play(scene, &root, 0.03).map_err(|reason| failed(path, reason))?;
    }
    Ok(buffer)
}

/// The scene as PNG, in `path`.
pub fn png(scene: &Scene, path: &Path) -> Result<(), ReportError> {
    font::register()?;
    let root = BitMapBackend::new(path, size(scene)).into_drawing_area();
    play(scene, &root, 0.17).map_err(|reason| failed(path, reason))
}

fn size(scene: &Scene) -> (u32, u32) {
    (
        (scene.width * SCALE).ceil() as u32,
        (scene.height * SCALE).ceil() as u32,
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
    drop: f64,
) -> Result<(), String> {
    let told = |error: DrawingAreaErrorKind<DB::ErrorType>| error.to_string();
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
                let font = font(text.size * SCALE, text.bold);
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
                let style = rgb(*colour).stroke_width((width * SCALE).round().max(1.0) as u32);
                for piece in dashes(points, dash) {
                    let pixels: Vec<_> = piece.into_iter().map(pixel).collect();
                    root.draw(&PathElement::new(pixels, style)).map_err(told)?;
                }
            }
            Shape::Polygon { points, colour } => {
                let pixels: Vec<_> = points.iter().copied().map(pixel).collect();
                root.draw(&Polygon::new(pixels, rgb(*colour).filled()))
                    .map_err(told)?;
            }
        }
    }
    root.present().map_err(told)
}

fn rgb(Colour(r, g, b): Colour) -> RGBColor {
    RGBColor(r, g, b)
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
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
