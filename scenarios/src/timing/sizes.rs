//! How long frames are: all the same, or a mixture.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Lengths of the frames of a flow, in bytes.
#[derive(Debug, Clone)]
pub enum Sizes {
    /// All alike.
    Fixed(u32),
    /// Drawn with weights.
    Mix(Box<Mix>),
}

/// A mixture.
#[derive(Debug, Clone)]
pub struct Mix {
    random: ChaCha8Rng,
    /// Lengths, with the weights summed up.
    steps: Vec<(u32, u64)>,
    total: u64,
}

impl Sizes {
    /// A mixture of lengths with weights; at least one weight is not zero.
    pub fn mix(parts: &[(u32, u32)], seed: u64) -> Self {
        let mut total = 0;
        let steps = parts
            .iter()
            .map(|(len, weight)| {
                total += u64::from(*weight);
                (*len, total)
            })
            .collect();
        Self::Mix(Box::new(Mix {
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x5349_5a45),
            steps,
            total,
        }))
    }

    /// The length of the next frame.
    #[inline]
    pub fn draw(&mut self) -> u32 {
        match self {
            Self::Fixed(len) => *len,
            Self::Mix(mix) => {
                let word = u128::from(mix.random.next_u64());
                let pick = ((word * u128::from(mix.total)) >> 64) as u64;
                mix.steps
                    .iter()
                    .find(|(_, end)| pick < *end)
                    .map_or(0, |(len, _)| *len)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imix_has_its_shares() {
        let mut sizes = Sizes::mix(&[(60, 7), (590, 4), (1514, 1)], 1);
        let drawn: Vec<u32> = (0..120_000).map(|_| sizes.draw()).collect();
        for (len, share) in [(60, 70_000.0), (590, 40_000.0), (1514, 10_000.0f64)] {
            let found = drawn.iter().filter(|l| **l == len).count() as f64;
            // Four standard deviations.
            let sd = (share * (1.0 - share / 120_000.0)).sqrt();
            assert!((found - share).abs() < 4.0 * sd, "{len}: {found}");
        }
    }
}
