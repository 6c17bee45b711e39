//! Figures: each is made once as data ([`chart`]), laid out for the page and for the columns of papers, and drawn as SVG,
//! PNG and PDF. CSV and `PGFPlots` source come from the same data.
//!
//! ```text
//! chart -> layout (on a sheet) -> scene -> draw (SVG, PNG), pdf
//! chart -> csv, pgf, values under the pointer
//! ```

pub mod against_hold;
pub mod against_rate;
pub mod axis;
pub mod boxes;
pub mod cdf;
pub mod chart;
pub mod containers;
pub mod cpu;
pub mod csv;
mod curve;
pub mod differences;
pub mod draw;
pub mod drawn;
pub mod font;
pub mod front;
pub mod grouped_bars;
pub mod hops;
pub mod hover;
pub mod instructions;
pub mod jitter;
pub mod layout;
pub mod of_run;
pub mod pdf;
pub mod pgf;
pub mod provenance;
pub mod rates;
pub mod scene;
pub mod search;
pub mod sheet;
pub mod style;
pub mod writing;

use crate::figures::chart::Figure;
use crate::run_analysis::Analysis;

/// All figures that the run has data for. The font must be registered.
pub fn figures(run: &Analysis) -> Vec<Figure> {
    [
        search::figure(run),
        differences::figure(run),
        cdf::figure(run),
        cdf::tail(run),
        boxes::figure(run),
        against_hold::figure(run),
        against_rate::figure(run),
        hops::figure(run),
        jitter::figure(run),
        rates::figure(run),
        containers::figure(run),
        cpu::figure(run),
        front::figure(run),
        instructions::flames(run),
        instructions::against_first(run),
    ]
    .into_iter()
    .flatten()
    .collect()
}
