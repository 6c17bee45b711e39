//! What the figures of a run have in common: what they rest on, and which trials belong to which curve.

use vifbench_scenarios::units::Rate;

use crate::metrics::flow::FlowValues;
use crate::run_analysis::Analysis;
use crate::text::{count, plural};

/// On what the figures rest, and the marks that go on every one of the run.
pub fn basis(run: &Analysis) -> Vec<String> {
    let measured: Vec<_> = run
        .summary
        .trials
        .iter()
        .filter_map(|t| t.total.as_ref())
        .collect();
    let packets: u64 = measured.iter().map(|t| t.counts.sent).sum();
    let basis = format!(
        "{}, {} measured packets  ·  scenario {}, run {}",
        plural(measured.len(), "trial"),
        count(packets),
        run.summary.scenario,
        run.summary.run,
    );
    std::iter::once(basis)
        .chain(run.summary.marks.iter().map(|m| format!("▲ {m}")))
        .collect()
}

/// `2000/s to u1`, `to u1`.
pub fn panel_title(rate: Option<Rate>, to: &str) -> String {
    match rate {
        Some(rate) => format!("{rate} to {to}"),
        None => format!("to {to}"),
    }
}

/// `2000/s a flow`, or nothing where nothing is swept.
pub fn rate_title(rate: Option<Rate>) -> String {
    rate.map_or_else(String::new, |r| format!("{r} a flow"))
}

/// More points of a sweep are not drawn in detail.
const RATES: usize = 6;
/// With more variants only some of a sweep of holds are drawn in detail.
const VARIANTS: usize = 14;

/// Points of the sweep that are drawn in detail: the lowest, the highest, and some evenly between.
pub fn detailed_rates(run: &Analysis) -> Vec<Option<Rate>> {
    spread(run.summary.rates())
}

fn spread<T: Copy>(all: Vec<T>) -> Vec<T> {
    if all.len() <= RATES {
        return all;
    }
    let last = all.len() - 1;
    (0..RATES).map(|n| all[n * last / (RATES - 1)]).collect()
}

/// Variants that are drawn in detail, in the scenario's order: of a long sweep of holds those with the longest.
pub fn detailed_variants(run: &Analysis) -> Vec<&str> {
    let mut names = run.summary.variant_names();
    if names.len() <= VARIANTS {
        return names;
    }
    let variants = &run.run.scenario.variants;
    let longest = variants.iter().filter_map(|v| v.hold).max();
    names.retain(|name| {
        let variant = variants.iter().find(|v| v.name == *name);
        variant.is_none_or(|v| v.hold.is_none() || v.hold == longest)
    });
    names
}

/// The caption of a figure that has a panel, or a curve, for each rate and variant: with what it leaves out.
pub fn detailed_caption(run: &Analysis, caption: &str) -> String {
    format!("{caption}{}", left_out(run).unwrap_or_default())
}

fn left_out(run: &Analysis) -> Option<String> {
    let (rates, names) = (run.summary.rates(), run.summary.variant_names());
    let drawn = (detailed_rates(run).len(), detailed_variants(run).len());
    let mut parts = Vec::new();
    if drawn.0 < rates.len() {
        parts.push(format!("{} of {} rates", drawn.0, rates.len()));
    }
    if drawn.1 < names.len() {
        parts.push(format!(
            "{} of {} variants, those with the longest hold",
            drawn.1,
            names.len()
        ));
    }
    (!parts.is_empty()).then(|| format!(" Drawn: {}; trials.csv has all.", parts.join(", ")))
}

/// Every point of the sweep and flow that is drawn in detail and has numbers: rate, flow, guest.
pub fn panels(run: &Analysis) -> Vec<(Option<Rate>, u16, String)> {
    let mut found = Vec::new();
    let rates = detailed_rates(run);
    for row in run
        .summary
        .variants
        .iter()
        .filter(|row| rates.contains(&row.rate))
    {
        let Some(flow) = row.flow.filter(|_| row.trials > 0) else {
            continue;
        };
        let key = (row.rate, flow, row.to.clone());
        if !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

/// Trials of a variant at a point of the sweep, with their places in the run.
pub fn trials_of<'r>(
    run: &'r Analysis,
    rate: Option<Rate>,
    variant: &'r str,
) -> impl Iterator<Item = usize> + 'r {
    run.summary
        .trials
        .iter()
        .enumerate()
        .filter(move |(_, t)| t.rate == rate && t.variant == variant && t.total.is_some())
        .map(|(i, _)| i)
}

/// Values of one flow over all trials of a variant, sorted.
pub fn pooled(
    run: &Analysis,
    rate: Option<Rate>,
    variant: &str,
    flow: u16,
    pick: fn(&FlowValues) -> &Vec<i64>,
) -> Vec<i64> {
    let mut all = Vec::new();
    for i in trials_of(run, rate, variant) {
        let place = run.summary.trials[i]
            .flows
            .iter()
            .position(|m| m.flow == Some(flow));
        if let (Some(place), Some(values)) = (place, &run.trials[i].values) {
            all.extend_from_slice(pick(&values.flows[place]));
        }
    }
    // A stable sort merges the sorted trials, an unstable one would begin anew.
    all.sort_by(i64::cmp);
    all
}

/// The same for every variant that has any, with its place in the list of variants.
pub fn by_variant(
    run: &Analysis,
    rate: Option<Rate>,
    flow: u16,
    pick: fn(&FlowValues) -> &Vec<i64>,
) -> Vec<(usize, Vec<i64>)> {
    detailed_variants(run)
        .iter()
        .enumerate()
        .map(|(i, name)| (i, pooled(run, rate, name, flow, pick)))
        .filter(|(_, values)| !values.is_empty())
        .collect()
}

/// The largest error bound of the delays of a flow.
pub fn bound(run: &Analysis, rate: Option<Rate>, flow: u16) -> Option<i64> {
    run.summary
        .variants
        .iter()
        .filter(|r| r.rate == rate && r.flow == Some(flow))
        .filter_map(|r| r.delay_bound_ns)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sweep_is_thinned_from_end_to_end() {
        assert_eq!(spread((1..=6).collect()), [1, 2, 3, 4, 5, 6]);
        assert_eq!(spread((1..=7).collect()), [1, 2, 3, 4, 5, 7]);
        assert_eq!(spread((0..=100).collect()), [0, 20, 40, 60, 80, 100]);
    }
}
