//! Bars of several series side by side on each name, each with its smallest and largest value across its end.

use crate::figures::chart::{Bar, Draw, Layer};
use crate::figures::style::{INK, Look, look};

/// What one bar shows.
pub struct Value {
    /// Which name of the y axis it stands on.
    pub name: usize,
    /// The smallest value.
    pub low: f64,
    /// Where the bar ends.
    pub middle: f64,
    /// The largest value.
    pub high: f64,
    /// The same for a reader, behind the bar.
    pub text: String,
}

/// A layer of bars and one of intervals for each series, in the order that gives each its look.
pub fn layers(series: &[&str], values: impl Fn(&str) -> Vec<Value>) -> Vec<Layer> {
    let thick = 0.8 / series.len() as f64;
    let ends = Look {
        colour: INK,
        dash: &[],
        marker: None,
    };
    let mut layers = Vec::new();
    for (n, name) in series.iter().enumerate() {
        let (mut bars, mut spans) = (Vec::new(), Vec::new());
        for value in values(name) {
            let at = value.name as f64 + (n as f64 + 0.5 - series.len() as f64 / 2.0) * thick;
            bars.push(Bar {
                at,
                thick: thick * 0.88,
                from: 0.0,
                to: value.middle,
                inside: None,
                behind: Some(value.text),
            });
            if value.high > value.low {
                spans.push((at, value.low, value.middle, value.high));
            }
        }
        layers.push(Layer::new(*name, look(n), Draw::Bars(bars)));
        layers.push(Layer::new(*name, ends, Draw::Intervals(spans)).weight(0.7));
    }
    layers
}
