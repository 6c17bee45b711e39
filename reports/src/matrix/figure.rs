//! A number a panel, a combination a name, a variant a bar.

use super::{Column, Matrix, Row};
use crate::compare::Unit;
use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Figure, Key, Plot};
use crate::figures::grouped_bars::{Value, layers};
use crate::figures::of_run::rate_title;

/// What is drawn, where it was measured; the table has more.
const DRAWN: [&str; 4] = [
    "delay_p50",
    "delay_p99",
    "transactions",
    "dom0_cpu_per_packet",
];
/// More variants make bars too thin.
const VARIANTS: usize = 8;

/// None where nothing was measured.
pub(super) fn figure(matrix: &Matrix) -> Option<Figure> {
    let columns = matrix.columns();
    let mut rows = matrix.rows(&columns);
    // Of a sweep the last point, where there is most to do.
    let rate = rows.iter().map(|row| row.rate).max()?;
    rows.retain(|row| row.rate == rate);
    let mut variants: Vec<&str> = Vec::new();
    for row in &rows {
        if !variants.contains(&row.variant) {
            variants.push(row.variant);
        }
    }
    let all = variants.len();
    variants.truncate(VARIANTS);
    let drawn = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| DRAWN.contains(&column.metric));
    let mut caption =
        "Median over the trials, with the smallest and the largest where there are several. All flows together.".to_owned();
    if let Some(rate) = rate {
        caption = format!("{caption} At {}.", rate_title(Some(rate)));
    }
    if all > VARIANTS {
        caption = format!("{caption} The first {VARIANTS} of {all} variants.");
    }
    if matrix
        .record
        .cells
        .iter()
        .any(|cell| !cell.left_out.is_empty())
    {
        caption += " Where a variant is missing, there are no patches for that kernel.";
    }
    let panels: Vec<Plot> = drawn
        .map(|(n, column)| plot(matrix, column, n, &rows, &variants))
        .collect();
    (!panels.is_empty()).then(|| Figure {
        id: "matrix",
        title: format!("{} over kernels and hypervisors", matrix.record.scenario),
        caption,
        definitions: &["delay", "cpu"],
        basis: matrix.basis(),
        keys: Key::areas(&variants),
        panels,
    })
}

/// A unit that reads well for all values of a panel: its name, and how many of the metric's own it is.
fn scaled(unit: Unit, greatest: f64) -> (&'static str, f64) {
    match unit {
        Unit::Ns if greatest >= 1e6 => ("ms", 1e6),
        Unit::Ns if greatest >= 1e3 => ("µs", 1e3),
        Unit::Ns => ("ns", 1.0),
        Unit::BitsPerSecond => ("Mbit/s", 1e6),
        Unit::PercentOfCpu => ("% of one CPU", 1.0),
        Unit::Packets => ("packets", 1.0),
        Unit::PerSecond => ("1/s", 1.0),
    }
}

fn plot(matrix: &Matrix, column: &Column, n: usize, rows: &[Row<'_>], variants: &[&str]) -> Plot {
    let values = || rows.iter().filter_map(|row| row.values[n].as_ref());
    let greatest = values().map(|value| value.high).fold(0.0, f64::max);
    let (unit, size) = scaled(column.unit, greatest);
    let bars = |variant: &str| -> Vec<Value> {
        let of = |row: &Row<'_>| {
            let value = row.values[n].as_ref()?;
            Some(Value {
                name: row.cell,
                low: value.low / size,
                middle: value.median / size,
                high: value.high / size,
                text: value.unit.value(value.median),
            })
        };
        let of_variant = rows.iter().filter(|row| row.variant == variant);
        of_variant.filter_map(of).collect()
    };
    let names = matrix.record.cells.iter().map(super::Cell::name);
    Plot {
        title: column.name.to_owned(),
        x: Axis::values(unit, Scale::linear([0.0, greatest / size], true)),
        y: Axis::list(names.collect()),
        layers: layers(variants, bars),
        note: None,
    }
}
