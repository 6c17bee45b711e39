//! A ramp: the rate goes evenly from one value to another and then stays there.
//!
//! Packet n is due when the rate's integral reaches `n + phase`: `t = 2x / (a + sqrt(a^2 + 2 s x))` with `x` packets, the
//! first rate `a` and the slope `s`. That form loses no digits where the slope is small, and holds for rates that fall.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::unit;
use crate::units::{Rate, Span};

/// A rate that changes.
#[derive(Debug, Clone)]
pub struct Ramp {
    from: f64,
    to: f64,
    /// Seconds.
    over: f64,
    /// Packets of the ramp itself.
    within: f64,
    phase: f64,
    done: u64,
}

impl Ramp {
    /// From `from` to `to` packets a second within `over`; `over` and one of the rates are not zero. The phase is
    /// drawn, so that seeds are replicates.
    pub fn new(from: Rate, to: Rate, over: Span, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (from, to, over) = (from.per_sec_f64(), to.per_sec_f64(), over.secs_f64());
        Self {
            from,
            to,
            over,
            within: f64::midpoint(from, to) * over,
            phase: 1.0 - unit(&mut random),
            done: 0,
        }
    }

    /// When the next packet is due, in nanoseconds from the start; the end of time where the rate has fallen to zero.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        let packets = self.done as f64 + self.phase;
        self.done += 1;
        let seconds = if packets < self.within {
            let slope = (self.to - self.from) / self.over;
            // Rounding must not take a root of less than nothing where the rate falls to zero.
            let root = libm::sqrt((self.from * self.from + 2.0 * slope * packets).max(0.0));
            2.0 * packets / (self.from + root)
        } else {
            self.over + (packets - self.within) / self.to
        };
        // Infinity and what is too long saturate; 0 packets at a rate of 0 are due at once.
        if seconds.is_nan() {
            0
        } else {
            (seconds * 1e9 + 0.5) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(from: u64, to: u64, over: u64) -> Vec<u64> {
        let mut ramp = Ramp::new(
            Rate::per_sec(from),
            Rate::per_sec(to),
            Span::from_secs(over),
            3,
        );
        (0..100_000).map(|_| ramp.draw()).collect()
    }

    fn count(due: &[u64], from_s: f64, to_s: f64) -> f64 {
        due.iter()
            .filter(|at| (from_s * 1e9..to_s * 1e9).contains(&(**at as f64)))
            .count() as f64
    }

    #[test]
    fn the_rate_goes_up_and_stays() {
        let at = due(0, 1000, 10);
        assert!(at.windows(2).all(|w| w[0] <= w[1]));
        // 500 packets in the first half would be half of a constant rate; the integral says 1250 of 5000.
        assert!((count(&at, 0.0, 5.0) - 1250.0).abs() <= 1.0);
        assert!((count(&at, 0.0, 10.0) - 5000.0).abs() <= 1.0);
        assert!((count(&at, 10.0, 20.0) - 10_000.0).abs() <= 1.0);
    }

    #[test]
    fn it_goes_down_too_and_may_end() {
        let at = due(1000, 0, 10);
        assert!((count(&at, 0.0, 5.0) - 3750.0).abs() <= 1.0);
        assert!((count(&at, 0.0, 10.0) - 5000.0).abs() <= 1.0);
        assert_eq!(at.last(), Some(&u64::MAX));
    }

    #[test]
    fn a_flat_ramp_is_a_constant_rate() {
        let at = due(500, 500, 10);
        assert!(
            at.windows(2)
                .all(|w| (w[1] - w[0]).abs_diff(2_000_000) <= 1)
        );
    }
}
