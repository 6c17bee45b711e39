//! Bursts and silences: the length of a burst has a Pareto law (so that traffic is alike on many scales), packets in a
//! burst have equal gaps, silences are exponential.
//!
//! A burst has `ceil(X)` packets, `P(X > x) = (x_m / x)^shape` for `x >= x_m`. `x_m` is found so that the mean is what was
//! asked for; with a shape of 2 or less the variance is infinite and sample means converge slowly.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use thiserror::Error;

use super::unit;

/// Longer bursts do not happen within a trial.
const LONGEST: f64 = 1e12;

/// Why there can be no such bursts.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum BurstError {
    /// The mean of the law is infinite, or the number is none.
    #[error("bursts with a Pareto shape of {0} have no mean: give a shape above 1")]
    Shape(f64),
    /// A burst has one packet at least.
    #[error("a mean of {0} packets a burst cannot be: give 1 or more")]
    Mean(f64),
    /// The gap within bursts is already too long for the rate.
    #[error(
        "bursts leave no silence at this rate: the rate within bursts has to be above the mean rate"
    )]
    NoSilence,
}

/// Bursts and silences.
#[derive(Debug, Clone)]
pub struct OnOff {
    random: ChaCha8Rng,
    gap: f64,
    silence: f64,
    exponent: f64,
    least: f64,
    at: f64,
    left: u64,
}

impl OnOff {
    /// `rate` packets a second in the mean, `peak` within a burst, `burst` packets a burst in the mean.
    ///
    /// # Errors
    /// When there can be no such bursts.
    pub fn new(
        rate: f64,
        peak: f64,
        burst: f64,
        shape: f64,
        seed: u64,
    ) -> Result<Self, BurstError> {
        let gap = 1e9 / peak;
        let silence = burst * 1e9 / rate - (burst - 1.0) * gap;
        if rate >= peak || !silence.is_finite() || silence <= 0.0 {
            return Err(BurstError::NoSilence);
        }
        Self::with_silence(gap, burst, shape, silence, seed)
    }

    /// The same with a gap within bursts and a mean silence between them, in nanoseconds.
    ///
    /// # Errors
    /// When there can be no such bursts.
    pub fn with_silence(
        gap: f64,
        burst: f64,
        shape: f64,
        silence: f64,
        seed: u64,
    ) -> Result<Self, BurstError> {
        if !shape.is_finite() || shape <= 1.0 {
            return Err(BurstError::Shape(shape));
        }
        if !burst.is_finite() || burst < 1.0 {
            return Err(BurstError::Mean(burst));
        }
        let mut bursts = Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            gap,
            silence,
            exponent: -1.0 / shape,
            least: least(burst, shape),
            at: 0.0,
            left: 0,
        };
        bursts.begin(0.0);
        Ok(bursts)
    }

    fn begin(&mut self, from: f64) {
        self.at = from - libm::log(unit(&mut self.random)) * self.silence;
        let length = self.least * libm::pow(unit(&mut self.random), self.exponent);
        self.left = libm::ceil(length.clamp(1.0, LONGEST)) as u64;
    }

    /// When the next packet is due, in nanoseconds from the start.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        let at = self.at;
        self.left -= 1;
        if self.left == 0 {
            self.begin(at);
        } else {
            self.at += self.gap;
        }
        (at + 0.5) as u64
    }
}

/// The mean of `ceil(X)`: the sum of its survival function over 0, 1, 2, ...
fn mean(least: f64, shape: f64) -> f64 {
    let first = libm::floor(least) + 1.0;
    let mut tail = 0.0;
    let mut n = first;
    while n < first + 64.0 {
        tail += libm::pow(n, -shape);
        n += 1.0;
    }
    // Euler and Maclaurin for the rest.
    tail += libm::pow(n, 1.0 - shape) / (shape - 1.0)
        + libm::pow(n, -shape) / 2.0
        + shape * libm::pow(n, -shape - 1.0) / 12.0;
    first + libm::pow(least, shape) * tail
}

/// `x_m` for a mean.
fn least(burst: f64, shape: f64) -> f64 {
    let (mut low, mut high) = (0.0, burst);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if mean(middle, shape) > burst {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_what_was_asked_for() {
        for (burst, shape) in [(11.0, 1.5), (3.0, 2.5), (1.0, 1.2), (40.0, 3.0)] {
            assert!(
                (mean(least(burst, shape), shape) - burst).abs() < 1e-6,
                "{burst} {shape}"
            );
        }
        // With a light tail the sample agrees: 2 % is more than four standard errors.
        let mut bursts = OnOff::new(2000.0, 100_000.0, 8.0, 4.0, 5).unwrap();
        let n = 400_000;
        let last = (0..n).map(|_| bursts.draw()).last().unwrap();
        let rate = f64::from(n) / (last as f64 / 1e9);
        assert!((rate / 2000.0 - 1.0).abs() < 0.02, "{rate}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(
            OnOff::new(10.0, 10.0, 5.0, 1.5, 0).err(),
            Some(BurstError::NoSilence)
        );
        assert_eq!(
            OnOff::new(f64::NAN, 10.0, 5.0, 1.5, 0).err(),
            Some(BurstError::NoSilence)
        );
        assert_eq!(
            OnOff::new(1.0, 10.0, 5.0, 1.0, 0).err(),
            Some(BurstError::Shape(1.0))
        );
        assert!(matches!(
            OnOff::new(1.0, 10.0, 5.0, f64::NAN, 0),
            Err(BurstError::Shape(_))
        ));
        assert_eq!(
            OnOff::new(1.0, 10.0, 0.5, 1.5, 0).err(),
            Some(BurstError::Mean(0.5))
        );
    }
}
