//! `literal`: the paper's formulas as they are printed, which the traffic does not enter.
//!
//! Thakur and Goudar (IJETT 11(2), 2014) print `Dk = (a*Dk-1)` and `Vk = (a*Vk-1) + (1-a)`: the samples are lost. From
//! D = V = 0 it follows D = 0, V = 1 - a^k, so after k frames the hold is 4 (1 - 0.99^k) time units, whatever the
//! traffic is. The unit is not given; here it is a parameter.

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{PAPER, PAPER_LONGEST};

/// A ramp towards four time units.
#[derive(Debug, Clone, Copy)]
pub struct Literal<A: Arithmetic> {
    unit: A::Value,
    deviation: A::Value,
}

impl<A: Arithmetic> Literal<A> {
    /// `unit` is the time unit in nanoseconds that the paper leaves open; at most 2^32 - 1 count.
    pub fn new(unit: u64) -> Self {
        Self {
            unit: A::time(unit.min(PAPER_LONGEST)),
            deviation: A::Value::default(),
        }
    }
}

impl<A: Arithmetic> Regulator for Literal<A> {
    /// Every frame is one step, the first one too.
    #[inline]
    fn arrive(&mut self, _gap: Option<u64>) {
        self.deviation = A::blend(self.deviation, self.unit, PAPER.keep, PAPER.of);
    }

    #[inline]
    fn deadline(&mut self, _now: u64, opened: u64, _frames: u32) -> u64 {
        let twice = A::add(self.deviation, self.deviation);
        opened.saturating_add(A::nanos(A::add(twice, twice)))
    }
}
