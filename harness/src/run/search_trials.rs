//! The next trials of a throughput search, from those that are on disk.

use vifbench_reports::search_results;
use vifbench_scenarios::plan::Plan;
use vifbench_store::RunWriter;

use crate::error::Failure;

/// The plan with a further trial for every variant whose search has not ended; none when all have, or when the scenario
/// searches nothing.
pub fn go_on(run: &RunWriter) -> Result<Option<Plan>, Failure> {
    let record = run.record();
    let Some(asked) = &record.scenario.search else {
        return Ok(None);
    };
    let mut plan = record.plan.clone();
    let before = plan.trials.len();
    for seen in search_results::read(&run.reader(), record)? {
        // A trial without a result would be planned for ever: the search of that variant ends unfinished.
        let next = asked.next(record.scenario.blocks, &seen.tried);
        if let (Some(rate), false) = (next, seen.broken) {
            let variant = record.scenario.variants.iter();
            if let Some(variant) = variant.into_iter().find(|v| v.name == seen.variant) {
                let of_it = seen.tried.iter().filter(|t| t.rate == rate).count() as u32;
                plan.add(&record.scenario, variant, rate, of_it + 1);
            }
        }
    }
    Ok((plan.trials.len() > before).then_some(plan))
}
