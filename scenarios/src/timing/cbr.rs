//! Constant bit rate: packet n arrives `phase + n / rate` after the start, without drift.

use super::unit;
use crate::units::Rate;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const KILOSECOND: u64 = 1_000_000_000_000;

/// Equal gaps.
#[derive(Debug, Clone)]
pub struct Cbr {
    at: u64,
    /// What is behind the point of `at`, in parts of `per_1000_s`.
    rest: u64,
    gap: u64,
    gap_rest: u64,
    per_1000_s: u64,
}

impl Cbr {
    /// `rate` is not zero. The phase is drawn, so that seeds are replicates.
    pub fn new(rate: Rate, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let phase = ((1.0 - unit(&mut random)) * rate.gap_nanos()) as u64;
        Self::with_phase(rate, phase)
    }

    /// The first packet arrives at `phase`.
    pub fn with_phase(rate: Rate, phase: u64) -> Self {
        Self::every(1, rate, phase)
    }

    /// Only the first of each `packets` packets.
    pub(super) fn every(packets: u64, rate: Rate, phase: u64) -> Self {
        let per_1000_s = rate.per_1000_s().max(1);
        // 2^32 packets in 1000 s of nanoseconds stay below 2^72.
        let gap = u128::from(packets) * u128::from(KILOSECOND);
        let whole = gap / u128::from(per_1000_s);
        Self {
            at: phase,
            rest: 0,
            gap: u64::try_from(whole).unwrap_or(u64::MAX),
            gap_rest: (gap % u128::from(per_1000_s)) as u64,
            per_1000_s,
        }
    }

    /// When the next packet is due, in nanoseconds from the start.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        let at = self.at;
        self.at = at.saturating_add(self.gap);
        self.rest += self.gap_rest;
        if self.rest >= self.per_1000_s {
            self.rest -= self.per_1000_s;
            self.at = self.at.saturating_add(1);
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_do_not_drift() {
        let mut cbr = Cbr::with_phase(Rate::per_sec(3), 7);
        for n in 0..3000u64 {
            assert_eq!(cbr.draw(), 7 + n * 1_000_000_000 / 3);
        }
    }
}
