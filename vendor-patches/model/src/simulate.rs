//! One variant on given traffic: picks the regulator, makes the queues, runs the engine.

use std::ops::Range;

use vifbench_scenarios::scenario::Regulator;

use crate::arithmetic::Fixed;
use crate::container::Layout;
use crate::engine::{Delivery, Engine, Flow, Setup};
use crate::measure::Measure;
use crate::regulator::{
    self as rule, BreakEven, Gated, Literal, NoWait, Paper, Ramjee1, Ramjee2, Ramjee3, Ramjee4,
    StaticHold,
};
use crate::service::Service;

/// What dom0 does with frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Every frame alone and at once.
    Stock,
    /// The same, while containers with a fixed hold are counted.
    Shadow,
    /// Containers, released by this rule.
    Containers(Regulator),
}

/// A variant, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// What is done with frames.
    pub handling: Handling,
    /// T0.
    pub hold: u64,
    /// The time unit of `literal`.
    pub unit: u64,
    /// The container.
    pub layout: Layout,
    /// Dom0's work.
    pub service: Service,
}

/// The unit of `literal` where none is given.
pub const DEFAULT_UNIT: u64 = 1_000_000;

impl Model {
    /// Containers of this layout, without a service stage.
    pub const fn new(regulator: Regulator, hold: u64, layout: Layout) -> Self {
        Self {
            handling: Handling::Containers(regulator),
            hold,
            unit: DEFAULT_UNIT,
            layout,
            service: Service {
                transfer_ps: 0,
                packet_ps: 0,
            },
        }
    }

    /// Simulates `flows` to so many `queues` until `stop`, and measures frames that arrive within the `window`.
    pub fn run(
        &self,
        queues: usize,
        flows: Vec<Flow>,
        (window, stop): (Range<u64>, u64),
        trace: Option<&mut dyn FnMut(Delivery)>,
    ) -> Measure {
        let mut setup = Setup {
            layout: self.layout,
            hold: self.hold,
            service: self.service,
            playout: None,
            shadow: false,
        };
        let hold = self.hold;
        macro_rules! run {
            ($regulator:expr) => {
                Engine::new(setup, queues, || $regulator, flows, (window, stop), trace).run()
            };
        }
        let regulator = match self.handling {
            Handling::Stock => {
                setup.layout.capacity = 0;
                return run!(StaticHold::new(0));
            }
            Handling::Shadow => {
                setup.shadow = true;
                Regulator::Static
            }
            Handling::Containers(regulator) => regulator,
        };
        match regulator {
            Regulator::NoWait => run!(NoWait),
            Regulator::Static => run!(StaticHold::new(hold)),
            Regulator::Literal => run!(Literal::<Fixed>::new(self.unit)),
            Regulator::Paper => run!(Paper::<Fixed>::new(hold)),
            Regulator::Gated => run!(Gated::<Fixed>::new(hold)),
            Regulator::Ramjee1 => run!(Ramjee1::<Fixed>::new(hold)),
            Regulator::Ramjee2 => run!(Ramjee2::<Fixed>::new(hold)),
            Regulator::Ramjee3 => run!(Ramjee3::<Fixed>::new(hold)),
            Regulator::Ramjee4 => run!(Ramjee4::<Fixed>::new(hold)),
            Regulator::Playout => {
                setup.playout = Some(hold);
                run!(StaticHold::new(hold))
            }
            Regulator::BreakEven => run!(BreakEven::new(hold)),
            // Where net_dim begins. Experiments refuse it, as the model does not follow it from there.
            Regulator::Dim => run!(StaticHold::new(hold)),
        }
    }
}

/// Any rule can be simulated, also one that has no name in scenarios.
pub fn run_rule<R: rule::Regulator>(
    setup: Setup,
    queues: usize,
    regulator: impl FnMut() -> R,
    flows: Vec<Flow>,
    times: (Range<u64>, u64),
) -> Measure {
    Engine::new(setup, queues, regulator, flows, times, None).run()
}
