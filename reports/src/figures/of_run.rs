//! What the figures of a run have in common: what they rest on, and which trials belong to which curve.

use vifbench_scenarios::units::Rate;

use crate::analysis::Analysis;
use crate::metrics::flow::FlowValues;
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

/// Every point of the sweep and flow that has numbers: rate, flow, guest.
pub fn panels(run: &Analysis) -> Vec<(Option<Rate>, u16, String)> {
    let mut found = Vec::new();
    for row in &run.summary.variants {
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
    let names = run.summary.variant_names();
    names
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
