//! Values whose quantiles are wanted: all of them, or a histogram of constant size.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::as_is::AsIs;
use crate::stats::Stats;

/// Values below 2^`BITS` above the reference have a bucket each; above, buckets are 2^-`BITS` of the value wide.
const BITS: u32 = 11;

/// A set of nanosecond values.
#[derive(Debug, Clone)]
pub(super) enum Distribution {
    /// Every value.
    Exact(Vec<i64>),
    /// A histogram.
    Sketch(Sketch),
}

impl Distribution {
    pub fn new(exact: bool) -> Self {
        if exact {
            Self::Exact(Vec::new())
        } else {
            Self::Sketch(Sketch::default())
        }
    }

    pub fn add(&mut self, value: i64) {
        match self {
            Self::Exact(values) => values.push(value),
            Self::Sketch(sketch) => sketch.add(value),
        }
    }

    /// The smallest value.
    pub fn least(&self) -> Option<i64> {
        match self {
            Self::Exact(values) => values.iter().min().copied(),
            Self::Sketch(sketch) => sketch.edges.map(|e| e.0),
        }
    }

    /// Adds all of another's values, each moved by `by`.
    pub fn absorb(&mut self, other: &Self, by: i64) {
        match (self, other) {
            (Self::Exact(all), Self::Exact(more)) => {
                all.extend(more.iter().map(|v| v.saturating_add(by)));
            }
            (Self::Sketch(all), Self::Sketch(more)) => all.absorb(more, by),
            // All distributions of one analysis are of one kind.
            (Self::Sketch(all), Self::Exact(more)) => {
                for value in more {
                    all.add(value.saturating_add(by));
                }
            }
            (Self::Exact(_), Self::Sketch(_)) => {}
        }
    }

    /// Summary; of a histogram, quantiles are within 1/2048 of their distance from its first value.
    pub fn stats(&mut self) -> Option<Stats> {
        match self {
            Self::Exact(values) => Stats::select(values),
            Self::Sketch(sketch) => sketch.stats(),
        }
    }
}

/// Buckets around the first value, finer near it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    reference: i64,
    buckets: HashMap<i32, u64, BuildHasherDefault<AsIs>>,
    edges: Option<(i64, i64)>,
    sum: i128,
    n: u64,
}

/// The bucket of a distance.
fn bucket(distance: u64) -> i32 {
    let octave = (64 - distance.leading_zeros()).saturating_sub(BITS + 1);
    (octave << BITS) as i32 + (distance >> octave) as i32
}

/// The middle of a bucket.
fn middle(bucket: i32) -> u64 {
    let bucket = bucket as u32;
    let octave = (bucket >> BITS).saturating_sub(1);
    let low = u64::from(bucket - (octave << BITS)) << octave;
    low + (1u64 << octave) / 2
}

impl Sketch {
    fn add(&mut self, value: i64) {
        self.add_many(value, 1);
    }

    fn add_many(&mut self, value: i64, n: u64) {
        if self.n == 0 {
            self.reference = value;
        }
        let place = bucket(value.abs_diff(self.reference));
        // Below the reference: -1 and down, so that 0 is only ever above.
        let place = if value < self.reference {
            -1 - place
        } else {
            place
        };
        *self.buckets.entry(place).or_default() += n;
        let (min, max) = self.edges.unwrap_or((value, value));
        self.edges = Some((min.min(value), max.max(value)));
        self.sum += i128::from(value) * i128::from(n);
        self.n += n;
    }

    fn value(&self, place: i32) -> i64 {
        let (min, max) = self.edges.unwrap_or_default();
        let value = if place < 0 {
            self.reference.saturating_sub_unsigned(middle(-1 - place))
        } else {
            self.reference.saturating_add_unsigned(middle(place))
        };
        value.clamp(min, max)
    }

    fn absorb(&mut self, other: &Self, by: i64) {
        if other.n == 0 {
            return;
        }
        let (sum, n) = (self.sum, self.n);
        if n == 0 {
            self.reference = other.reference.saturating_add(by);
            self.n = 1;
        }
        for (place, count) in &other.buckets {
            self.add_many(other.value(*place).saturating_add(by), *count);
        }
        // Sums and extremes are exact, whatever the buckets say.
        self.sum = sum + other.sum + i128::from(by) * i128::from(other.n);
        self.n = n + other.n;
        if let Some((min, max)) = other.edges {
            let (min, max) = (min.saturating_add(by), max.saturating_add(by));
            let own = self.edges.unwrap_or((min, max));
            self.edges = Some((own.0.min(min), own.1.max(max)));
        }
    }

    fn quantile(&self, sorted: &[(i32, u64)], per_mille: u64) -> i64 {
        let rank = (u128::from(self.n) * u128::from(per_mille))
            .div_ceil(1000)
            .max(1) as u64;
        let mut passed = 0;
        for (place, count) in sorted {
            passed += count;
            if passed >= rank {
                return self.value(*place);
            }
        }
        self.edges.unwrap_or_default().1
    }

    fn stats(&self) -> Option<Stats> {
        let (min, max) = self.edges?;
        let mut sorted: Vec<(i32, u64)> = self.buckets.iter().map(|(b, n)| (*b, *n)).collect();
        sorted.sort_unstable();
        Some(Stats {
            n: self.n,
            min,
            mean: crate::stats::rounded(self.sum, self.n),
            p50: self.quantile(&sorted, 500),
            p90: self.quantile(&sorted, 900),
            p99: self.quantile(&sorted, 990),
            p999: self.quantile(&sorted, 999),
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_is_near(distance in 0u64..(1 << 62)) {
            let error = middle(bucket(distance)).abs_diff(distance);
            prop_assert!(error <= distance >> (BITS + 1), "{distance} {error}");
        }

        #[test]
        fn a_histogram_is_near_the_exact(
            values in prop::collection::vec(-1_000_000_000i64..1_000_000_000, 1..300), by in -1000i64..1000,
        ) {
            let mut exact = Distribution::new(true);
            let mut sketch = Distribution::new(false);
            for value in &values {
                exact.add(*value);
                sketch.add(*value);
            }
            let (mut all_exact, mut all_sketch) = (Distribution::new(true), Distribution::new(false));
            for _ in 0..2 {
                all_exact.absorb(&exact, by);
                all_sketch.absorb(&sketch, by);
            }
            for (a, b, twice) in [(exact, sketch, 1), (all_exact, all_sketch, 2)] {
                let (mut a, mut b) = (a, b);
                let (a, b) = (a.stats().unwrap(), b.stats().unwrap());
                prop_assert_eq!((a.n, a.min, a.mean, a.max), (b.n, b.min, b.mean, b.max));
                for (x, y) in [(a.p50, b.p50), (a.p90, b.p90), (a.p99, b.p99), (a.p999, b.p999)] {
                    let far = values[0].abs_diff(x) + 2000;
                    prop_assert!(x.abs_diff(y) <= twice * (far >> BITS) + 1, "{x} {y}");
                }
            }
        }
    }
}
