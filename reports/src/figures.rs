//! Figures: each is laid out once as a [`scene::Scene`], and plotters draws that as SVG and as PNG.

pub mod axis;
pub mod cdf;
pub mod cpu;
pub mod draw;
pub mod font;
pub mod frame;
pub mod hops;
pub mod jitter;
pub mod rates;
pub mod scene;
pub mod search;
pub mod style;

use crate::analysis::Analysis;
use crate::figures::scene::Scene;

/// A figure with what a page says about it.
#[derive(Debug, Clone)]
pub struct Figure {
    /// File name without its ending, and anchor in the page.
    pub id: &'static str,
    /// Heading.
    pub title: String,
    /// What is seen, on what it rests, and how to read it.
    pub caption: String,
    /// Entries of [`crate::definitions`] that it shows.
    pub definitions: &'static [&'static str],
    /// The drawing.
    pub scene: Scene,
}

/// All figures that the run has data for. The font must be registered.
pub fn figures(run: &Analysis) -> Vec<Figure> {
    [
        search::figure(run),
        cdf::figure(run),
        hops::figure(run),
        jitter::figure(run),
        rates::figure(run),
        cpu::figure(run),
    ]
    .into_iter()
    .flatten()
    .collect()
}
