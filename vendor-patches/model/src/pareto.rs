//! What can be had for given traffic: the mean wait of a packet against the transfers that a packet costs, over all
//! regulators and holds, and which of these nothing else beats.

use serde::{Deserialize, Serialize};
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::units::{Rate, Span};

use crate::experiment::Outcome;

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

/// Outcomes of [`crate::experiment::all_regulators`] as choices. Where dom0 could not keep up there is none.
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
