//! The plan: every trial of a run, in its order, before anything is touched.
//!
//! A plan is a function of the scenario, the seed and the number of blocks, the same on any machine: all random
//! numbers come from `ChaCha8`, and nothing but its raw words is used.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::lab::HostName;
use crate::scenario::{Arrivals, FrameSize, Mode, Protocol, Scenario, SendBy, Variant};
use crate::units::{Rate, Span};

/// One flow of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowPlan {
    /// The flow's number, carried in each packet.
    pub flow: u16,
    /// The guest that receives it.
    pub to: HostName,
    /// Transport.
    pub protocol: Protocol,
    /// Frame sizes with FCS.
    pub size: FrameSize,
    /// Spacing.
    pub arrivals: Arrivals,
    /// Seed of this flow's gaps and payload: the same for every variant of a block, so that variants are
    /// compared on the same packets; another for every block, point and flow.
    pub seed: u64,
}

/// One variant on one point of the sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialPlan {
    /// Its number in the run, from 1.
    pub number: u32,
    /// The block it belongs to, from 1.
    pub block: u32,
    /// Which layout of the virtual lab's memory it runs in: the same for every variant of a block, so that a layout
    /// accident is no difference between variants. 0 is the one that the lab boots into.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub layout: u32,
    /// What is under test.
    pub variant: Variant,
    /// The sweep's rate, where the scenario sweeps it.
    pub rate: Option<Rate>,
    /// Where the generator stands.
    pub mode: Mode,
    /// Which way frames take to the wire.
    #[serde(default, skip_serializing_if = "SendBy::is_auto")]
    pub sender: SendBy,
    /// All flows.
    pub flows: Vec<FlowPlan>,
    /// Sent but not counted.
    pub warmup: Span,
    /// The measured part.
    pub duration: Span,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(layout: &u32) -> bool {
    *layout == 0
}

/// Every trial of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// The seed that orders blocks and spaces packets.
    pub seed: u64,
    /// In order of execution.
    pub trials: Vec<TrialPlan>,
}

impl Plan {
    /// Plans every trial. `blocks` overrides the scenario's number of blocks.
    ///
    /// Every block holds every variant on every point of the sweep once; the variants of a point follow each
    /// other, so that what is compared is close in time. The first, third, ... block is in random order, and the
    /// block behind it is its mirror image (`AB` then `BA`): a lab that drifts steadily favours no variant.
    pub fn new(scenario: &Scenario, seed: u64, blocks: Option<u32>) -> Self {
        let mut trials = Vec::new();
        let mut order = Vec::new();
        // A search begins with one trial at the highest rate; what follows depends on what comes out ([`Plan::add`]).
        let blocks = match &scenario.search {
            Some(_) => 1,
            None => blocks.unwrap_or(scenario.blocks),
        };
        for block in 1..=blocks {
            if block % 2 == 1 {
                order = random_order(scenario, seed, block);
            } else {
                order.reverse();
            }
            for &(variant, rate) in &order {
                let number = trials.len() as u32 + 1;
                trials.push(trial(scenario, seed, number, block, variant, rate));
            }
        }
        Self {
            scenario: scenario.name.clone(),
            seed,
            trials,
        }
    }

    /// Adds a trial that a search asks for. `block` counts the trials of this load; the same block of a load has the same
    /// packets for every variant.
    pub fn add(&mut self, scenario: &Scenario, variant: &Variant, rate: Rate, block: u32) {
        let number = self.trials.len() as u32 + 1;
        let trial = trial(scenario, self.seed, number, block, variant, Some(rate));
        self.trials.push(trial);
    }
}

fn trial(
    scenario: &Scenario,
    seed: u64,
    number: u32,
    block: u32,
    variant: &Variant,
    rate: Option<Rate>,
) -> TrialPlan {
    TrialPlan {
        number,
        block,
        layout: (block - 1) % scenario.layouts.max(1),
        variant: variant.clone(),
        rate,
        mode: scenario.mode,
        sender: scenario.sender,
        flows: flows(scenario, seed, block, rate),
        warmup: scenario.warmup,
        duration: scenario.duration,
    }
}

/// All cells of a block: points shuffled, and the variants of each point shuffled.
fn random_order(scenario: &Scenario, seed: u64, block: u32) -> Vec<(&Variant, Option<Rate>)> {
    let mut random = generator(Use::Order, [seed, u64::from(block), 0]);
    let mut points = match &scenario.search {
        Some(search) => vec![Some(search.max)],
        None => scenario.sweep.points(),
    };
    shuffle(&mut points, &mut random);
    let mut order = Vec::new();
    for point in points {
        let mut variants: Vec<&Variant> = scenario.variants.iter().collect();
        shuffle(&mut variants, &mut random);
        order.extend(variants.into_iter().map(|variant| (variant, point)));
    }
    order
}

fn flows(scenario: &Scenario, seed: u64, block: u32, rate: Option<Rate>) -> Vec<FlowPlan> {
    // A point is known by its rate, not by its place in the sweep: a point that is added changes no other.
    let point = rate.map_or(0, Rate::per_1000_s);
    let mut seeds = generator(Use::Flows, [seed, u64::from(block), point]);
    scenario
        .traffic
        .iter()
        .zip(0..)
        .map(|(traffic, flow)| FlowPlan {
            flow,
            to: traffic.to.clone(),
            protocol: traffic.protocol,
            size: traffic.size.clone(),
            arrivals: rate.map_or_else(
                || traffic.arrivals.clone(),
                |rate| traffic.arrivals.at_rate(rate),
            ),
            seed: seeds.next_u64(),
        })
        .collect()
}

/// What random numbers are for: each use has a key of its own.
#[derive(Clone, Copy)]
enum Use {
    Order = 1,
    Flows = 2,
}

/// A generator keyed by what it is for and three numbers.
fn generator(what: Use, numbers: [u64; 3]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, number) in key
        .chunks_exact_mut(8)
        .zip(numbers.into_iter().chain([what as u64]))
    {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// Fisher and Yates, written out because the `rand` crate may change its own between versions.
fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        // The high half of the product is uniform in 0..=last, but for 1 part in 2^64 / items.
        let pick = (u128::from(random.next_u64()) * (last as u128 + 1)) >> 64;
        items.swap(last, pick as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::scenario::{Patches, Sweep, Traffic};
    use crate::units::Size;

    fn scenario(flows: usize, rates: &[u64], variants: usize, blocks: u32) -> Scenario {
        let arrivals = Arrivals::Poisson {
            rate: Rate::per_sec(7),
        };
        let traffic = Traffic {
            to: HostName("u1".into()),
            protocol: Protocol::Udp,
            size: Size::from_bytes(64).into(),
            arrivals,
        };
        Scenario {
            name: "p".into(),
            about: String::new(),
            traffic: vec![traffic; flows],
            sweep: Sweep {
                rate: rates.iter().copied().map(Rate::per_sec).collect(),
                hold: Vec::new(),
            },
            search: None,
            variants: (0..variants)
                .map(|n| Variant::new(format!("v{n}"), Patches::Stock))
                .collect(),
            service: None,
            mode: Mode::Sealed,
            sender: SendBy::Auto,
            warmup: Span::default(),
            duration: Span::from_secs(1),
            blocks,
            layouts: 1,
            judge: crate::judge::Judge::default(),
        }
    }

    type Cell = (String, Option<Rate>);

    fn cell(trial: &TrialPlan) -> Cell {
        (trial.variant.name.clone(), trial.rate)
    }

    /// Strategy: flows, sweep, variants, blocks, seed.
    fn any_scenario() -> impl Strategy<Value = (Scenario, u64)> {
        let rates = prop::collection::btree_set(1..10_000_u64, 0..5);
        (1..4_usize, rates, 1..5_usize, 1..7_u32, any::<u64>()).prop_map(
            |(flows, rates, variants, blocks, seed)| {
                (
                    scenario(
                        flows,
                        &rates.into_iter().collect::<Vec<_>>(),
                        variants,
                        blocks,
                    ),
                    seed,
                )
            },
        )
    }

    proptest! {
        #[test]
        fn every_block_holds_every_cell_once((scenario, seed) in any_scenario()) {
            let plan = Plan::new(&scenario, seed, None);
            let all: BTreeSet<Cell> = scenario.variants.iter()
                .flat_map(|v| scenario.sweep.points().into_iter().map(|p| (v.name.clone(), p)))
                .collect();
            for block in 1..=scenario.blocks {
                let cells: Vec<Cell> = plan.trials.iter().filter(|t| t.block == block).map(cell).collect();
                prop_assert_eq!(cells.len(), all.len());
                prop_assert_eq!(&cells.into_iter().collect::<BTreeSet<_>>(), &all);
            }
            let numbers: Vec<u32> = plan.trials.iter().map(|t| t.number).collect();
            prop_assert_eq!(numbers, (1..=plan.trials.len() as u32).collect::<Vec<_>>());
        }

        #[test]
        fn variants_of_a_point_share_their_packets_and_nothing_else_does((scenario, seed) in any_scenario()) {
            let plan = Plan::new(&scenario, seed, None);
            let mut seeds: BTreeMap<(u32, Option<Rate>), Vec<FlowPlan>> = BTreeMap::new();
            for trial in &plan.trials {
                let flows = seeds.entry((trial.block, trial.rate)).or_insert_with(|| trial.flows.clone());
                prop_assert_eq!(&*flows, &trial.flows);
            }
            let distinct: BTreeSet<u64> = seeds.values().flatten().map(|flow| flow.seed).collect();
            prop_assert_eq!(distinct.len(), seeds.values().map(Vec::len).sum::<usize>());
        }

        #[test]
        fn a_pair_of_blocks_cancels_a_steady_drift((mut scenario, seed) in any_scenario()) {
            scenario.blocks = 2;
            let plan = Plan::new(&scenario, seed, None);
            let mut places: BTreeMap<Cell, u32> = BTreeMap::new();
            for trial in &plan.trials {
                *places.entry(cell(trial)).or_default() += trial.number;
            }
            prop_assert_eq!(places.values().collect::<BTreeSet<_>>().len(), 1, "mean places differ: {:?}", places);
        }

        #[test]
        fn a_plan_is_a_function_of_its_inputs((scenario, seed) in any_scenario()) {
            prop_assert_eq!(Plan::new(&scenario, seed, None), Plan::new(&scenario, seed, None));
            prop_assert_ne!(
                &Plan::new(&scenario, seed, None).trials[0].flows,
                &Plan::new(&scenario, seed ^ 1, None).trials[0].flows
            );
        }

        #[test]
        fn a_point_that_is_added_changes_no_other(seed: u64) {
            let few = Plan::new(&scenario(2, &[100, 200], 2, 1), seed, None);
            let many = Plan::new(&scenario(2, &[100, 150, 200], 2, 1), seed, None);
            for trial in &few.trials {
                prop_assert!(many.trials.iter().any(|other| other.rate == trial.rate && other.flows == trial.flows));
            }
        }
    }

    #[test]
    fn blocks_take_layouts_in_turn_and_variants_of_a_block_share_one() {
        let asked = Scenario {
            layouts: 3,
            ..scenario(1, &[], 2, 5)
        };
        let plan = Plan::new(&asked, 1, None);
        let layouts: Vec<u32> = plan.trials.iter().map(|trial| trial.layout).collect();
        assert_eq!(layouts, [0, 0, 1, 1, 2, 2, 0, 0, 1, 1]);
    }

    #[test]
    fn the_override_wins() {
        assert_eq!(
            Plan::new(&scenario(1, &[], 2, 5), 1, Some(3)).trials.len(),
            6
        );
    }

    #[test]
    fn the_sweep_sets_the_rate_of_every_flow() {
        let plan = Plan::new(&scenario(2, &[100], 1, 1), 1, None);
        assert!(plan.trials[0].flows.iter().all(|flow| flow.arrivals
            == Arrivals::Poisson {
                rate: Rate::per_sec(100)
            }));
    }

    /// Fails when the order or a seed changes on another machine or with another version of a crate.
    #[test]
    fn the_plan_is_the_same_everywhere() {
        let plan = Plan::new(&scenario(1, &[100, 200], 2, 2), 42, None);
        let lines: Vec<String> = plan
            .trials
            .iter()
            .map(|t| {
                format!(
                    "{} block {} {} at {:?} seed {}",
                    t.number,
                    t.block,
                    t.variant.name,
                    t.rate.map(|r| r.to_string()),
                    t.flows[0].seed
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn orders_are_not_all_alike() {
        let orders: BTreeSet<Vec<Cell>> = (0..50)
            .map(|seed| {
                Plan::new(&scenario(1, &[], 2, 1), seed, None)
                    .trials
                    .iter()
                    .map(cell)
                    .collect()
            })
            .collect();
        assert_eq!(orders.len(), 2, "both AB and BA occur");
    }
}
