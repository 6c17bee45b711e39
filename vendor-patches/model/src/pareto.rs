//! What can be had for given traffic: the mean wait of a packet against the transfers that a packet costs, over all
//! regulators and holds, and which of these nothing else beats.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::scenario::{Patches, Regulator, Scenario, Variant};
use vifbench_scenarios::units::{Rate, Span};

use crate::experiment::{Outcome, Question, SimulationError, simulate};

/// The holds that are tried: 1, 2 and 5 in each decade that the kernel allows.
pub const HOLDS: [Span; 10] = [
    Span::from_nanos(20_000),
    Span::from_nanos(50_000),
    Span::from_nanos(100_000),
    Span::from_nanos(200_000),
    Span::from_nanos(500_000),
    Span::from_millis(1),
    Span::from_millis(2),
    Span::from_millis(5),
    Span::from_millis(10),
    Span::from_millis(20),
];

/// Packets of a choice in one block: enough for a mean to about a hundredth, few enough for all choices.
const PACKETS: f64 = 40_000.0;

/// Tries every regulator with every hold of [`HOLDS`] on the scenario's traffic, rate by rate. Each rate lasts until it
/// has some 40 000 packets a block, if the scenario lasts that long.
///
/// # Errors
/// As [`simulate`].
pub fn explore(question: &Question<'_>) -> Result<Vec<Choice>, SimulationError> {
    let mut outcomes = Vec::new();
    for rate in question.scenario.sweep.points() {
        let scenario = all_regulators(question.scenario, rate);
        outcomes.extend(simulate(&Question {
            scenario: &scenario,
            ..*question
        })?);
    }
    Ok(choices(&outcomes))
}

/// The same traffic at one rate under every regulator with every hold.
fn all_regulators(scenario: &Scenario, rate: Option<Rate>) -> Scenario {
    // The container is that of the scenario's own variants.
    let pattern = scenario
        .variants
        .iter()
        .find(|variant| variant.patches == Patches::Aggregation);
    let variants = Regulator::ALL
        .into_iter()
        .map(|regulator| Variant {
            regulator: Some(regulator),
            container: pattern.and_then(|p| p.container),
            framing: pattern.and_then(|p| p.framing),
            fill: pattern.and_then(|p| p.fill),
            ..Variant::new(regulator.name(), Patches::Aggregation)
        })
        .collect();
    let mut all = scenario.clone();
    all.variants = variants;
    all.sweep.hold = HOLDS.to_vec();
    all.sweep.rate = rate.into_iter().collect();
    let total: f64 = scenario
        .traffic
        .iter()
        .filter_map(|flow| Some(rate.or(flow.arrivals.rate())?.per_sec_f64()))
        .sum();
    if total > 0.0 {
        // The first fifth is for the estimates to settle.
        let enough = Span::from_nanos((PACKETS / total * 1e9) as u64);
        all.duration = all.duration.min(enough);
        all.warmup = Span::from_nanos(all.duration.nanos() / 4);
    }
    all
}

/// One regulator with one hold on given traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The rule.
    pub regulator: Regulator,
    /// T0; it does not matter to `nowait`.
    pub hold: Option<Span>,
    /// Rate of each flow.
    pub rate: Option<Rate>,
    /// Mean wait.
    pub mean_wait_us: f64,
    /// 99 % of waits are not above.
    pub p99_wait_us: f64,
    /// The work that a packet costs, in transfers.
    pub transfers_per_packet: f64,
    /// Nothing else has less of one for no more of the other.
    pub on_front: bool,
}

impl Choice {
    /// Whether `other` gives less of one, by more than `by`, for no more of the other.
    ///
    /// `by` is what does not matter: as a share of transfers, and of T0 or the wait itself, whichever is more.
    pub fn is_beaten_by(&self, other: &Self, by: f64) -> bool {
        let hold = self.hold.map_or(0.0, |hold| hold.nanos() as f64 / 1000.0);
        let wait = by * hold.max(self.mean_wait_us);
        let transfers = by * self.transfers_per_packet;
        let less_wait = other.mean_wait_us < self.mean_wait_us - wait;
        let less_work = other.transfers_per_packet < self.transfers_per_packet - transfers;
        (less_wait && other.transfers_per_packet <= self.transfers_per_packet)
            || (less_work && other.mean_wait_us <= self.mean_wait_us)
    }
}

/// Outcomes of all regulators as choices. Where dom0 could not keep up there is none.
pub fn choices(outcomes: &[Outcome]) -> Vec<Choice> {
    let mut choices: Vec<Choice> = Vec::new();
    for outcome in outcomes {
        let row = outcome.row();
        let Some(regulator) = outcome.regulator else {
            continue;
        };
        let (Some(mean_wait_us), Some(p99_wait_us), Some(packets)) =
            (row.mean_wait_us, row.p99_wait_us, row.packets_per_container)
        else {
            continue;
        };
        let choice = Choice {
            regulator,
            hold: outcome.hold.filter(|_| regulator.has_hold()),
            rate: outcome.rate,
            mean_wait_us,
            p99_wait_us,
            transfers_per_packet: 1.0 / packets,
            on_front: false,
        };
        // What does not depend on the hold is one choice, not one for each.
        let again = |c: &Choice| {
            (c.regulator, c.hold, c.rate) == (choice.regulator, choice.hold, choice.rate)
        };
        if !choices.iter().any(again) {
            choices.push(choice);
        }
    }
    let on_front: Vec<bool> = choices
        .iter()
        .map(|choice| {
            !choices
                .iter()
                .any(|other| other.rate == choice.rate && choice.is_beaten_by(other, 0.0))
        })
        .collect();
    for (choice, on_front) in choices.iter_mut().zip(on_front) {
        choice.on_front = on_front;
    }
    choices
}
