//! `gated`: `paper` with three mends. This project's, not the paper's.
//!
//! 1. Gaps beyond T0 are no samples: they are silences between talkspurts, as in Ramjee et al.
//! 2. The margin is at least G = 20 us (as RFC 6298 has a floor), so that equal gaps (V = 0) do not make the deadline
//!    race with the very frame it waits for.
//! 3. A gate: phi follows the share of held containers that got more than one frame. While it is below a quarter
//!    nothing is held, but for every 64th container, a probe.

use super::Regulator;
use crate::arithmetic::Arithmetic;
use crate::estimator::{Estimator, PAPER, PAPER_LONGEST};

/// G, in nanoseconds: the slack of a timer.
pub const FLOOR: u64 = 20_000;
/// One, for phi.
const ONE: u32 = 1 << 16;
/// The gate is closed below this phi.
const CLOSED_BELOW: u32 = ONE / 4;
/// Under a closed gate, one container in so many is held.
const PROBE: u32 = 64;

/// `paper` that stops holding where holding does not pay.
#[derive(Debug, Clone, Copy)]
pub struct Gated<A: Arithmetic> {
    cap: u64,
    gaps: Estimator<A>,
    sum: u64,
    phi: u32,
    /// Containers opened under a closed gate, ever.
    closed: u32,
    held: bool,
}

impl<A: Arithmetic> Gated<A> {
    /// `hold` is T0 in nanoseconds.
    pub fn new(hold: u64) -> Self {
        Self {
            cap: hold,
            gaps: Estimator::default(),
            sum: 0,
            phi: ONE,
            closed: 0,
            held: true,
        }
    }
}

impl<A: Arithmetic> Regulator for Gated<A> {
    #[inline]
    fn arrive(&mut self, gap: Option<u64>) {
        if let Some(gap) = gap
            && gap <= self.cap
        {
            self.gaps.sample(A::time(gap.min(PAPER_LONGEST)), PAPER);
        }
    }

    #[inline]
    fn open(&mut self) {
        self.sum = 0;
        self.held = self.phi >= CLOSED_BELOW || {
            self.closed = self.closed.wrapping_add(1);
            self.closed.is_multiple_of(PROBE)
        };
    }

    #[inline]
    fn deadline(&mut self, now: u64, opened: u64, frames: u32) -> u64 {
        if !self.held {
            return now;
        }
        let own = now
            .saturating_sub(opened)
            .saturating_add(self.gaps.hold_above(FLOOR, self.cap));
        self.sum = self.sum.saturating_add(own);
        opened.saturating_add(self.sum / u64::from(frames))
    }

    #[inline]
    fn release(&mut self, frames: u32, _overdue: bool) {
        if self.held {
            let paid = if frames > 1 { ONE } else { 0 };
            self.phi = (9 * self.phi + paid + 5) / 10;
        }
    }
}
