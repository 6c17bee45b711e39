//! Transactions a second against T0: what requests that wait for answers pay for a hold.

use crate::analysis::Analysis;
use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::basis;
use crate::figures::style::look;
use crate::held_requests::{self, PAPER_RATIO};

/// None unless requests ran under a fixed hold and another regulator at two holds.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let held = held_requests::of(run)?;
    if held.rows.len() < 2 {
        return None;
    }
    let fixed = held.without.iter().map(|(name, _)| name.as_str());
    let names: Vec<&str> = held
        .regulators
        .iter()
        .map(|r| r.name())
        .chain(fixed)
        .collect();
    let holds = || held.rows.iter().map(|row| row.hold.nanos() as f64 / 1e6);
    let mut layers = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let value = |row: &held_requests::Row| {
            let without = n.checked_sub(held.regulators.len());
            without.map_or_else(|| row.per_s[n], |at| Some(held.without[at].1))
        };
        let points: Vec<(f64, f64)> = holds()
            .zip(&held.rows)
            .filter_map(|(hold, row)| Some((hold, value(row)?)))
            .collect();
        let marked = points.clone();
        layers.push(Layer::new(*name, look(n), Draw::Line { points, marked }));
    }
    let all = || {
        let of_rows = held.rows.iter().flat_map(|row| row.per_s.iter().flatten());
        of_rows.copied().chain(held.without.iter().map(|(_, v)| *v))
    };
    Some(Figure {
        id: "transactions-hold",
        title: "Transactions a second against the hold".to_owned(),
        caption: format!(
            "All flows together, mean over the trials. Each request waits for the answer to the last one, so a fixed hold is \
             paid in full. The paper's Table 1 has {PAPER_RATIO} times as many with its adaptive hold as with \
             the static one, and does not tell T0."
        ),
        definitions: &["transaction"],
        basis: basis(run),
        keys: Key::variants(&names),
        panels: vec![Plot {
            title: String::new(),
            x: Axis::values("hold T0 (ms, log)", Scale::log(holds())),
            y: Axis::values("transactions/s (log)", Scale::log(all())),
            layers,
            note: None,
        }],
    })
}
