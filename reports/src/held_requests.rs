//! What a hold costs requests that wait for answers: transactions a second of every regulator, T0 by T0, beside those of
//! the fixed hold.
//!
//! This is the paper's own experiment (Thakur and Goudar, IJETT 11(2), 2014, Table 1): 500 requests to each of two
//! guests, under a static time-out and under the self-adaptive one.

use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::units::Span;

use crate::metrics::transactions;
use crate::run_analysis::Analysis;

/// How many times the throughput of the static time-out the paper's Table 1 gives the adaptive one. It tells neither T0
/// nor the round trip.
pub const PAPER_RATIO: f64 = 3.188;

/// Transactions a second by regulator and hold.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldRequests {
    /// The regulators that hold, the static one first.
    pub regulators: Vec<Regulator>,
    /// One row a hold, shortest first.
    pub rows: Vec<Row>,
    /// Variants to which T0 means nothing, and theirs.
    pub without: Vec<(String, f64)>,
}

/// One T0.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// T0.
    pub hold: Span,
    /// Transactions a second of all flows together, mean over the trials; in the order of the regulators.
    pub per_s: Vec<Option<f64>>,
}

impl Row {
    /// How many times the static hold's transactions a regulator has.
    pub fn ratio(&self, regulator: usize) -> Option<f64> {
        let fixed = self.per_s.first().copied().flatten()?;
        (fixed > 0.0).then_some(self.per_s.get(regulator).copied().flatten()? / fixed)
    }
}

/// None unless requests were answered under a fixed hold and under another regulator.
pub fn of(run: &Analysis) -> Option<HeldRequests> {
    let variants = &run.run.scenario.variants;
    let holding: Vec<(Regulator, Span, Option<f64>)> = variants
        .iter()
        .filter(|variant| variant.has_hold())
        .filter_map(|v| Some((v.regulator?, v.hold?, mean(run, &v.name))))
        .collect();
    let mut regulators: Vec<Regulator> = Vec::new();
    let mut holds: Vec<Span> = Vec::new();
    for &(regulator, hold, _) in &holding {
        if !regulators.contains(&regulator) {
            regulators.push(regulator);
        }
        if !holds.contains(&hold) {
            holds.push(hold);
        }
    }
    regulators.sort_by_key(|r| *r != Regulator::Static);
    holds.sort();
    let value = |regulator: Regulator, hold: Span| {
        let found = holding
            .iter()
            .find(|(r, h, _)| (*r, *h) == (regulator, hold))?;
        found.2
    };
    let rows: Vec<Row> = holds
        .iter()
        .map(|&hold| Row {
            hold,
            per_s: regulators.iter().map(|&r| value(r, hold)).collect(),
        })
        .filter(|row| row.per_s.iter().any(Option::is_some))
        .collect();
    let compared = |row: &Row| (1..regulators.len()).any(|n| row.ratio(n).is_some());
    if regulators.first() != Some(&Regulator::Static) || !rows.iter().any(compared) {
        return None;
    }
    let without = variants
        .iter()
        .filter(|v| !v.has_hold())
        .filter_map(|v| Some((v.name.clone(), mean(run, &v.name)?)))
        .collect();
    Some(HeldRequests {
        regulators,
        rows,
        without,
    })
}

/// Over the trials of a variant, whatever else was swept.
fn mean(run: &Analysis, variant: &str) -> Option<f64> {
    let of_variant = run.summary.trials.iter().filter(|t| t.variant == variant);
    let values: Vec<f64> = of_variant
        .filter_map(|t| transactions::per_s(&t.transactions, None))
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_fixed_hold() {
        let row = Row {
            hold: Span::from_nanos(1_000_000),
            per_s: vec![Some(100.0), Some(318.8), None],
        };
        assert_eq!(row.ratio(0), Some(1.0));
        assert!((row.ratio(1).expect("both ran") - PAPER_RATIO).abs() < 1e-9);
        assert_eq!((row.ratio(2), row.ratio(3)), (None, None));
        let nothing = Row {
            per_s: vec![Some(0.0), Some(1.0)],
            ..row
        };
        assert_eq!(nothing.ratio(1), None, "nothing was answered");
    }
}
