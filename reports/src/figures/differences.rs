//! Every variant against the base: difference, interval, and what does not count.

use vifbench_scenarios::units::Rate;

use crate::compare::Comparison;
use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Bar, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::{basis, rate_title};
use crate::figures::style::{Colour, GRID, INK, Look, look};
use crate::run_analysis::Analysis;

/// What does not count: a grey bar under the interval.
const LITTLE: Look = Look {
    colour: Colour(0xdd, 0xdd, 0xdd),
    dash: &[],
    marker: None,
};
/// Above this many percent multiples are shown, on a logarithmic axis.
const PERCENTS: f64 = 60.0;

/// A difference in percent of the base: mean, interval or range, and what it must exceed.
struct Row<'c> {
    of: &'c Comparison,
    mean: f64,
    low: f64,
    high: f64,
    threshold: f64,
}

impl<'c> Row<'c> {
    /// None where the base is zero: losses where nothing is lost have no percentage.
    fn of(c: &'c Comparison) -> Option<Self> {
        let percent = c.percent.filter(|p| p.is_finite())?;
        let base = c.pairs.iter().map(|p| p.base).sum::<f64>() / c.pairs.len() as f64;
        let share = |value: f64| value / base * 100.0;
        let (low, high) = c
            .interval
            .map_or((c.min, c.max), |interval| (interval.low, interval.high));
        Some(Self {
            of: c,
            mean: percent,
            low: share(low),
            high: share(high),
            threshold: share(c.threshold.size).abs(),
        })
    }
}

/// None where there is nothing to compare.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let names = run.summary.variant_names();
    let all = || run.summary.comparisons.iter().filter(|c| c.flow.is_none());
    // Those that the verdict rests on; where it rests on none, all.
    let judged = all().any(|c| c.judged);
    let rows: Vec<Row<'_>> = all()
        .filter(|c| c.judged || !judged)
        .filter_map(Row::of)
        .collect();
    let base = &rows.first()?.of.base;
    let variants: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| rows.iter().any(|r| r.of.other == *name))
        .collect();
    let mut rates: Vec<Option<Rate>> = Vec::new();
    for row in &rows {
        if !rates.contains(&row.of.rate) {
            rates.push(row.of.rate);
        }
    }
    rates.sort_unstable();
    // A panel a variant and point of the sweep: grey bars of several variants would hide each other.
    let mut plots = Vec::new();
    for rate in &rates {
        for variant in &variants {
            let here: Vec<&Row<'_>> = rows
                .iter()
                .filter(|r| r.of.rate == *rate && r.of.other == *variant)
                .collect();
            let place = names.iter().position(|n| n == variant).unwrap_or(0);
            plots.extend(plot(&here, base, look(place)));
        }
    }
    let intervals = rows.iter().all(|r| r.of.interval.is_some());
    let ends = if intervals {
        "Lines are 95 % confidence intervals of the mean difference over the blocks (bootstrap-t)."
    } else {
        "Lines go from the smallest to the largest difference of a block where there are fewer than five blocks, else \
         they are 95 % confidence intervals of the mean (bootstrap-t)."
    };
    let keys = [
        ("mean difference, paired by block", look(0), false),
        ("does not count", LITTLE, true),
    ]
    .map(|(name, look, area)| Key {
        name: name.to_owned(),
        look: Look {
            colour: if area { look.colour } else { INK },
            dash: &[],
            ..look
        },
        area,
    });
    (!plots.is_empty()).then(|| Figure {
        id: "differences",
        title: format!("Differences to {base}, all flows"),
        caption: format!(
            "{}, other less base in percent of the base, or other as a multiple of the base where that is large, paired by block; right \
             is more. {ends} A difference counts when it \
             is significant and lies outside the grey bar: what is too small to matter, or within bound and noise.",
            if judged { "Judged numbers" } else { "All numbers" }
        ),
        definitions: &["pair", "bound", "verdict"],
        basis: basis(run),
        keys: keys.to_vec(),
        panels: plots,
    })
}

fn plot(rows: &[&Row<'_>], base: &str, look: Look) -> Option<Plot> {
    let first = rows.first()?;
    let largest = rows
        .iter()
        .flat_map(|r| [r.low.abs(), r.high.abs()])
        .fold(0.0, f64::max);
    let as_multiples = largest > PERCENTS;
    // A multiple of nothing has no logarithm: such an end lies at the edge.
    let value = |percent: f64| {
        if as_multiples {
            (1.0 + percent / 100.0).max(1e-3)
        } else {
            percent
        }
    };
    let ends: Vec<f64> = rows
        .iter()
        .flat_map(|r| {
            [
                r.low,
                r.high,
                r.threshold.min(100.0),
                -r.threshold.min(90.0),
            ]
        })
        .map(value)
        .collect();
    let (scale, title) = if as_multiples {
        (Scale::log(ends), format!("multiple of {base} (log)"))
    } else {
        let scale = Scale::linear(ends, true);
        (scale, format!("difference to {base} (%)"))
    };
    let grey = rows.iter().enumerate().map(|(i, r)| Bar {
        at: i as f64,
        thick: 0.8,
        from: value(-r.threshold),
        to: value(r.threshold),
        inside: None,
        behind: None,
    });
    let intervals = rows
        .iter()
        .enumerate()
        .map(|(i, r)| (i as f64, value(r.low), value(r.mean), value(r.high)));
    let rule = Look {
        colour: GRID,
        ..LITTLE
    };
    Some(Plot {
        title: match first.of.rate {
            Some(_) => format!("{}, {}", first.of.other, rate_title(first.of.rate)),
            None => first.of.other.clone(),
        },
        x: Axis::values(title, scale),
        y: Axis::list(rows.iter().map(|r| r.of.name.clone()).collect()),
        layers: vec![
            Layer::new("does not count", LITTLE, Draw::Bars(grey.collect())),
            Layer::new("no difference", rule, Draw::Rule(value(0.0))),
            Layer::new(
                first.of.other.clone(),
                Look { dash: &[], ..look },
                Draw::Intervals(intervals.collect()),
            ),
        ],
        note: None,
    })
}
