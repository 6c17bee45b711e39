//! A drawing as a list of shapes, before any pixel: what all back ends draw, and what tests can check.

use crate::figures::style::{Colour, Look};

/// Where a text's given point lies in it, across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    /// Left end.
    Left,
    /// Middle.
    Middle,
    /// Right end.
    Right,
}

/// One line of text, vertically centred on `y`.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    /// What it says.
    pub text: String,
    /// Where.
    pub x: f64,
    /// Where.
    pub y: f64,
    /// Height of an em.
    pub size: f64,
    /// Colour.
    pub colour: Colour,
    /// What `x` means.
    pub across: Across,
    /// Bold.
    pub bold: bool,
    /// Turned by a quarter to the left: reads upwards, `x` is its middle line, `across` is along it.
    pub upright: bool,
}

/// Something to draw. Lengths are those of the sheet: pixels on the page, points on paper.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Text.
    Text(Text),
    /// A line through points, with dash lengths (drawn, left out, ...); empty for a solid one.
    Line {
        /// Its points.
        points: Vec<(f64, f64)>,
        /// Colour.
        colour: Colour,
        /// Thickness.
        width: f64,
        /// Dashes.
        dash: Vec<f64>,
    },
    /// A filled area.
    Polygon {
        /// Its corners.
        points: Vec<(f64, f64)>,
        /// Colour.
        colour: Colour,
        /// 1 hides what lies below.
        opacity: f64,
    },
}

/// A whole drawing.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// Length across.
    pub width: f64,
    /// Length down.
    pub height: f64,
    /// In the order of drawing.
    pub shapes: Vec<Shape>,
}

impl Scene {
    /// An empty one.
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            shapes: Vec::new(),
        }
    }

    /// Adds text.
    pub fn text(&mut self, text: Text) {
        self.shapes.push(Shape::Text(text));
    }

    /// Adds a line.
    pub fn line(&mut self, points: Vec<(f64, f64)>, colour: Colour, width: f64, dash: Vec<f64>) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line {
                points,
                colour,
                width,
                dash,
            });
        }
    }

    /// Adds a filled rectangle.
    pub fn rect(&mut self, left: f64, top: f64, right: f64, bottom: f64, colour: Colour) {
        let points = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
        self.polygon(points, colour);
    }

    /// Adds a filled area.
    pub fn polygon(&mut self, points: Vec<(f64, f64)>, colour: Colour) {
        self.area(points, colour, 1.0);
    }

    /// Adds the marker of a series around a point, if the series has one.
    pub fn mark(&mut self, look: Look, at: (f64, f64), size: f64) {
        if let Some(marker) = look.marker {
            self.polygon(marker.corners(at, size), look.colour);
        }
    }

    /// Adds a filled area that lets through what lies below.
    pub fn area(&mut self, points: Vec<(f64, f64)>, colour: Colour, opacity: f64) {
        if points.len() > 2 {
            self.shapes.push(Shape::Polygon {
                points,
                colour,
                opacity,
            });
        }
    }
}
