//! Poisson: exponential gaps. The sum is kept in `f64`, whose error stays far below 1 ns for hours.

use super::unit;
use crate::units::Rate;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// Exponential gaps.
#[derive(Debug, Clone)]
pub struct Poisson {
    random: ChaCha8Rng,
    mean: f64,
    at: f64,
}

impl Poisson {
    /// `rate` is not zero.
    pub fn new(rate: Rate, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mean = rate.gap_nanos();
        let at = -libm::log(unit(&mut random)) * mean;
        Self { random, mean, at }
    }

    /// When the next packet is due, in nanoseconds from the start.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        let at = self.at;
        self.at += -libm::log(unit(&mut self.random)) * self.mean;
        // As rounding does, without a call.
        (at + 0.5) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_everywhere() {
        // If this changes, stored runs can no longer be compared with new ones. The generator has this list too.
        let mut poisson = Poisson::new(Rate::per_sec(2000), 1);
        let at: Vec<u64> = (0..6).map(|_| poisson.draw()).collect();
        assert_eq!(
            at,
            [
                455_048, 1_715_520, 1_973_807, 2_732_409, 3_362_344, 3_533_160
            ]
        );
    }
}
