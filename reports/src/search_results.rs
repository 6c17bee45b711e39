//! What a throughput search found (RFC 2544, section 26.1; RFC 9971): the rate that each variant bears.
//!
//! The counts are the probes' own, of the whole trial with its warm-up: packets that were due at the generator, and packets
//! that the captures at `rx` saw, those included that a capture had no room to keep.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::search::{Found, Tried};
use vifbench_store::{Outcome, RunReader, RunRecord, TrialRecord};
use vifbench_wire::protocol::Point;

use crate::error::ReportError;

/// The search of one variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariantSearch {
    /// Its name.
    pub variant: String,
    /// Its trials, in the order that they were made.
    pub tried: Vec<Tried>,
    /// What they say.
    pub found: Vec<Found>,
    /// A trial gave no result, so the search went no further.
    pub broken: bool,
}

impl VariantSearch {
    /// Is what was not borne above a rate that was found what the generator did not send?
    pub fn ends_at_generator(&self, found: &Found) -> bool {
        let of_it = |tried: &&Tried| Some(tried.rate) == found.upper;
        self.tried
            .iter()
            .filter(of_it)
            .any(|tried| tried.unsent > 0)
    }

    /// What stands against a rate where the search ended at the generator.
    pub fn generator_doubt(&self, found: &Found) -> Option<&'static str> {
        self.ends_at_generator(found).then_some(
            "the generator did not send all of what was not borne: the limit may be its own",
        )
    }

    /// What stands against the rates as the drivers' own, a sentence a goal.
    pub fn doubts(&self) -> Vec<String> {
        let doubtful = self.found.iter().filter_map(|found| {
            let why = self.generator_doubt(found)?;
            Some(format!("{}, {}: {why}", self.variant, found.goal.name()))
        });
        doubtful.collect()
    }

    /// What was found, a sentence a goal.
    pub fn in_words(&self) -> Vec<String> {
        let told = |found: &Found| {
            let goal = found.goal.name();
            let text = match (found.lower, found.upper) {
                _ if found.unfinished => format!("{goal} was not found: the search did not end"),
                (Some(lower), Some(upper)) if self.ends_at_generator(found) => {
                    format!("{goal} {lower} a flow ({upper} is not borne, nor all of it sent)")
                }
                (Some(lower), Some(upper)) => {
                    format!("{goal} {lower} a flow ({upper} is not borne)")
                }
                (Some(lower), None) => {
                    format!("{goal} {lower} a flow or more: the highest rate is borne")
                }
                (None, Some(upper)) => {
                    format!("{goal} below {upper} a flow: the lowest rate is not borne")
                }
                (None, None) => format!("{goal} was not searched"),
            };
            format!("{}: {text}", self.variant)
        };
        self.found.iter().map(told).collect()
    }
}

/// Reads every search of a run; empty where its scenario searches nothing.
///
/// # Errors
/// When a trial's files cannot be read.
pub fn read(run: &RunReader, record: &RunRecord) -> Result<Vec<VariantSearch>, ReportError> {
    let Some(asked) = &record.scenario.search else {
        return Ok(Vec::new());
    };
    let mut all = Vec::new();
    for variant in &record.scenario.variants {
        let mut tried = Vec::new();
        let mut broken = false;
        let of_it = record.plan.trials.iter();
        for plan in of_it.filter(|plan| plan.variant.name == variant.name) {
            let Some(trial) = run.read_trial(plan.number)? else {
                continue;
            };
            match (&trial.outcome, plan.rate) {
                (Outcome::Complete, Some(rate)) => {
                    let (due, sent, arrived) = count(run, &trial)?;
                    tried.push(Tried {
                        rate,
                        due,
                        lost: due.saturating_sub(arrived),
                        unsent: due.saturating_sub(sent),
                    });
                }
                _ => broken = true,
            }
        }
        all.push(VariantSearch {
            variant: variant.name.clone(),
            found: asked.found(record.scenario.blocks, &tried),
            tried,
            broken,
        });
    }
    Ok(all)
}

/// Packets due, sent and arrived.
fn count(run: &RunReader, trial: &TrialRecord) -> Result<(u64, u64, u64), ReportError> {
    let (mut due, mut sent, mut arrived) = (0, 0, 0);
    for host in &trial.probes {
        let (_, result) = run.read_result(trial.plan.number, host)?;
        if let Some(of_generator) = &result.sent {
            due += of_generator.due;
            sent += of_generator.sent;
        }
        let at_rx = result.captures.iter();
        arrived += at_rx
            .filter(|capture| capture.ready.spec.point == Point::Rx)
            .map(|c| c.written + c.dropped_kernel + c.dropped_application)
            .sum::<u64>();
    }
    Ok((due, sent, arrived))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vifbench_scenarios::search::Goal;
    use vifbench_scenarios::units::Rate;

    #[test]
    fn what_the_generator_did_not_send_is_no_limit_of_the_drivers() {
        let tried = |rate, unsent| Tried {
            rate: Rate::per_sec(rate),
            due: 1000,
            lost: 100,
            unsent,
        };
        let found = Found {
            goal: Goal::Ndr,
            lower: Some(Rate::per_sec(700)),
            upper: Some(Rate::per_sec(1000)),
            forwarded: Some(700.0),
            unfinished: false,
        };
        let mut search = VariantSearch {
            variant: "stock".to_owned(),
            // The generator failed at a rate beyond, which says nothing of the limit.
            tried: vec![tried(2000, 90), tried(1000, 0)],
            found: vec![found],
            broken: false,
        };
        assert!(search.doubts().is_empty());
        assert_eq!(
            search.in_words(),
            ["stock: NDR 700/s a flow (1000/s is not borne)"]
        );
        search.tried[1].unsent = 1;
        assert_eq!(
            search.doubts(),
            [
                "stock, NDR: the generator did not send all of what was not borne: the limit may be its own"
            ]
        );
        assert!(search.in_words()[0].ends_with("(1000/s is not borne, nor all of it sent)"));
    }
}
