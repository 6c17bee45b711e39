//! What the found step moved in other draws: other layouts of the machine's memory, and other packets.

use serde_json::{Value, json};
use vifbench_reports::compare::Unit;
use vifbench_reports::stats::paired::{Interval, adjusted_p, interval, mean_and_error};
use vifbench_reports::text::{p_value, plural};

use super::percent;

/// The chance that an interval misses the truth.
const LEVEL: f64 = 0.05;

/// The number before the found step and after it, draw by draw.
#[derive(Debug, PartialEq)]
pub(super) struct Draws {
    pairs: Vec<(f64, f64)>,
    unit: Unit,
    /// Mean difference.
    mean: f64,
    /// Of the mean before; none where that is zero.
    percent: Option<f64>,
    /// None for few draws.
    interval: Option<Interval>,
    /// How likely differences that clear are where nothing moved; none where no draw differs.
    p: Option<f64>,
}

impl Draws {
    pub(super) fn new(before: Vec<f64>, after: Vec<f64>, unit: Unit, seed: u64) -> Self {
        let pairs: Vec<(f64, f64)> = before.into_iter().zip(after).collect();
        let differences: Vec<f64> = pairs.iter().map(|(before, after)| after - before).collect();
        let (mean, _) = mean_and_error(&differences);
        let base = pairs.iter().map(|pair| pair.0).sum::<f64>() / pairs.len() as f64;
        let family = [differences.iter().copied().map(Some).collect()];
        Self {
            mean,
            percent: percent(base, base + mean),
            interval: interval(&differences, LEVEL, seed),
            p: adjusted_p(&family, seed).first().copied().flatten(),
            pairs,
            unit,
        }
    }

    /// One sentence.
    pub(super) fn to_text(&self) -> String {
        let draws = plural(self.pairs.len(), "other draw");
        let Some(p) = self.p else {
            return format!("in {draws} of layout and packets: no difference");
        };
        let difference = |value| self.unit.difference(value);
        let share = self.percent.map(|percent| format!(" ({percent:+.3} %)"));
        let interval = self.interval.as_ref().map(|interval| {
            let (low, high) = (difference(interval.low), difference(interval.high));
            format!("95 % interval {low} to {high}, ")
        });
        let each = self.pairs.iter().map(|pair| difference(pair.1 - pair.0));
        format!(
            "in {draws} of layout and packets: {}{} on average ({}{}); each: {}",
            difference(self.mean),
            share.unwrap_or_default(),
            interval.unwrap_or_default(),
            p_value(p),
            each.collect::<Vec<_>>().join(", ")
        )
    }

    pub(super) fn to_json(&self) -> Value {
        let pair = |(before, after): &(f64, f64)| json!({"before": before, "after": after});
        json!({
            "draws": self.pairs.iter().map(pair).collect::<Value>(),
            "mean": self.mean,
            "percent": self.percent,
            "interval": self.interval,
            "p": self.p,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(before: &[f64], after: &[f64]) -> Draws {
        Draws::new(before.to_vec(), after.to_vec(), Unit::Ns, 1)
    }

    #[test]
    fn a_difference_is_told_with_its_chance() {
        let before = [75_500.0, 75_300.0, 75_000.0, 75_200.0];
        let after = [73_700.0, 75_200.0, 74_500.0, 75_100.0];
        insta::assert_snapshot!(draws(&before, &after).to_text(), @"in 4 other draws of layout and packets: -625 ns (-0.831 %) on average (p = 0.125); each: -1.80 µs, -100 ns, -500 ns, -100 ns");
        let many = draws(&before.repeat(2), &after.repeat(2));
        insta::assert_snapshot!(many.to_text(), @"in 8 other draws of layout and packets: -625 ns (-0.831 %) on average (95 % interval -2.34 µs to -169 ns, p = 0.008); each: -1.80 µs, -100 ns, -500 ns, -100 ns, -1.80 µs, -100 ns, -500 ns, -100 ns");
        assert_eq!(
            many.to_json()["draws"][1],
            json!({"before": 75_300.0, "after": 75_200.0})
        );
    }

    #[test]
    fn nothing_is_no_difference() {
        let same = draws(&[0.0, 1.0], &[0.0, 1.0]);
        assert_eq!(
            same.to_text(),
            "in 2 other draws of layout and packets: no difference"
        );
        assert_eq!(same.to_json()["p"], Value::Null);
        let one = draws(&[100.0], &[101.0]).to_text();
        assert_eq!(
            one,
            "in 1 other draw of layout and packets: +1.00 ns (+1.000 %) on average (p = 1.00); each: +1.00 ns"
        );
        let lost = draws(&[0.0, 0.0], &[1.0, 2.0]);
        assert_eq!(lost.percent, None, "nothing was lost before");
    }
}
