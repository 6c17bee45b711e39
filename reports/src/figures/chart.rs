//! A figure as data: panels with axes and what is drawn in them, in the units of the axes.
//!
//! Everything that shows a figure is made from this one value: the drawing in each width ([`super::layout`]), the CSV
//! twin, the `PGFPlots` source and the values that the page shows under the pointer. So they cannot say different things.

use crate::figures::axis::Scale;
use crate::figures::style::{Colour, Look, look};

/// A figure with what a page or a paper says about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// File name without its ending, and anchor in the page.
    pub id: &'static str,
    /// Heading.
    pub title: String,
    /// What is seen and how to read it.
    pub caption: String,
    /// Entries of [`crate::definitions`] that it shows.
    pub definitions: &'static [&'static str],
    /// On what it rests (trials, packets, run), then the marks that go on every figure of the run. Never empty.
    pub basis: Vec<String>,
    /// The legend.
    pub keys: Vec<Key>,
    /// The panels, row by row.
    pub panels: Vec<Plot>,
}

/// One entry of a legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// What it stands for.
    pub name: String,
    /// How it looks.
    pub look: Look,
    /// A filled area, not a line.
    pub area: bool,
}

impl Key {
    /// One for every variant, in the order that gives each its look.
    pub fn variants(names: &[&str]) -> Vec<Self> {
        Self::each(names, false)
    }

    /// The same for areas.
    pub fn areas(names: &[&str]) -> Vec<Self> {
        Self::each(names, true)
    }

    fn each(names: &[&str], area: bool) -> Vec<Self> {
        let key = |(i, name): (usize, &&str)| Self {
            name: (*name).to_owned(),
            look: look(i),
            area,
        };
        names.iter().enumerate().map(key).collect()
    }
}

/// A plot area with two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Upwards; names are listed downwards.
    pub y: Axis,
    /// In the order of drawing.
    pub layers: Vec<Layer>,
    /// Small print in a corner that the curves leave free.
    pub note: Option<Note>,
}

/// Small print in a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// What it says.
    pub text: String,
    /// In the upper right corner; else in the lower right.
    pub on_top: bool,
}

/// An axis, with its unit in its title.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it counts, and in which unit.
    pub title: String,
    /// Where values lie.
    pub scale: Scale,
    /// Names at 0, 1, 2 ... instead of numbers.
    pub names: Vec<String>,
}

impl Axis {
    /// An axis of numbers.
    pub fn values(title: impl Into<String>, scale: Scale) -> Self {
        Self {
            title: title.into(),
            scale,
            names: Vec::new(),
        }
    }

    /// Names from left to right.
    pub fn names(title: impl Into<String>, names: Vec<String>) -> Self {
        let to = names.len() as f64 - 0.5;
        Self {
            title: title.into(),
            scale: Scale::Linear { from: -0.5, to },
            names,
        }
    }

    /// Names from top to bottom.
    pub fn list(names: Vec<String>) -> Self {
        let from = names.len() as f64 - 0.5;
        Self {
            title: String::new(),
            scale: Scale::Linear { from, to: -0.5 },
            names,
        }
    }
}

/// One series in a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name, as in the legend.
    pub series: String,
    /// How it looks.
    pub look: Look,
    /// Thickness of lines and size of markers; 1 is usual.
    pub weight: f64,
    /// What it is.
    pub draw: Draw,
}

impl Layer {
    /// A layer of usual weight.
    pub fn new(series: impl Into<String>, look: Look, draw: Draw) -> Self {
        Self {
            series: series.into(),
            look,
            weight: 1.0,
            draw,
        }
    }

    /// The same with another weight.
    #[must_use]
    pub fn weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }
}

/// A point: x and y.
pub type Point = (f64, f64);

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Draw {
    /// A line, and points on it that carry the marker. Without a line: points.
    Line {
        /// The line.
        points: Vec<Point>,
        /// The markers.
        marked: Vec<Point>,
    },
    /// Pale, between two lines: x, lower and upper y.
    Band(Vec<(f64, f64, f64)>),
    /// Bars along x, one a name of the y axis.
    Bars(Vec<Bar>),
    /// Boxes along x.
    Boxes(Vec<Quartiles>),
    /// Intervals along x: place on y, lower end, middle, upper end.
    Intervals(Vec<(f64, f64, f64, f64)>),
    /// A grey stretch of x, from and to.
    Shade(f64, f64),
    /// A grey line at this x.
    Rule(f64),
}

/// A bar along x.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its middle on the y axis.
    pub at: f64,
    /// Its thickness on the y axis.
    pub thick: f64,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Its value, drawn in it where there is room.
    pub inside: Option<(String, Colour)>,
    /// What stands behind the bar, at the right edge of the plot.
    pub behind: Option<String>,
}

/// A box with its whiskers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quartiles {
    /// Its middle on the y axis.
    pub at: f64,
    /// Its thickness on the y axis.
    pub thick: f64,
    /// End of the lower whisker.
    pub low: f64,
    /// Lower end of the box.
    pub q1: f64,
    /// The line in the box.
    pub median: f64,
    /// Upper end of the box.
    pub q3: f64,
    /// End of the upper whisker.
    pub high: f64,
}
