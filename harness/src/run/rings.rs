//! How large the kernel rings of a trial's captures are, and how many share a point.

use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::units::Rate;

use super::machine_kind::MachineKind;

/// A ring holds this much of a trial's load: longer than the thread that empties it is ever kept from a processor.
const SECONDS: f64 = 0.25;
/// What the kernel puts before each packet in the ring, and in front of a block.
const OVERHEAD: f64 = 96.0;
/// The least, and all that an emulated machine can spare.
const LEAST: u32 = 4 << 20;
/// Kernel memory that is locked for a point, at most.
const MOST: f64 = (256 << 20) as f64;
/// From this rate on two threads share a point: one would spend more than a third of a processor on it.
const SHARED_FROM: f64 = 2e6;

/// Bytes of each ring, and how many there are.
pub fn of(plan: &TrialPlan, snaplen: u32, kind: MachineKind) -> (u32, u8) {
    let rates = plan.flows.iter().filter_map(|flow| flow.arrivals.rate());
    let rate: f64 = rates.map(Rate::per_sec_f64).sum();
    if kind == MachineKind::Emulated {
        return (LEAST, 1);
    }
    let rings = if rate < SHARED_FROM { 1 } else { 2 };
    let bytes = rate * SECONDS * (f64::from(snaplen) + OVERHEAD) / f64::from(rings);
    // A power of two divides into blocks of any size.
    let bytes = (bytes.clamp(f64::from(LEAST), MOST) as u32).next_power_of_two();
    (bytes, rings)
}

#[cfg(test)]
mod tests {
    use vifbench_scenarios::plan::Plan;
    use vifbench_scenarios::scenario::Scenario;

    use super::*;

    fn plan(rate: &str) -> TrialPlan {
        let text = format!(
            "name: x\nabout: x\ntraffic:\n  - {{to: u1, size: 64 B, arrivals: {{cbr: {{rate: {rate}}}}}}}\n\
             variants: [{{name: stock}}]\nduration: 1 s\n"
        );
        let scenario = Scenario::parse(&text, "x.yaml").expect("a sound scenario");
        Plan::new(&scenario, 1, Some(1)).trials.remove(0)
    }

    #[test]
    fn rings_grow_with_the_load_but_not_in_an_emulated_machine() {
        assert_eq!(of(&plan("2000/s"), 128, MachineKind::Real), (LEAST, 1));
        // Line rate of 1 GbE: 83 MB for a quarter of a second.
        assert_eq!(
            of(&plan("1488095/s"), 128, MachineKind::Real),
            (128 << 20, 1)
        );
        assert_eq!(
            of(&plan("14.88 M/s"), 128, MachineKind::Real),
            (256 << 20, 2)
        );
        assert_eq!(
            of(&plan("1488095/s"), 128, MachineKind::Emulated),
            (LEAST, 1)
        );
    }
}
