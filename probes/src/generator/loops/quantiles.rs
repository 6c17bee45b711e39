//! Exact quantiles of round trips.

use vifbench_wire::protocol::Quantiles;

/// Round trips in nanoseconds, 4 bytes each: one of 4.3 s or more counts as that.
#[derive(Debug, Default)]
pub struct RoundTrips(Vec<u32>);

impl RoundTrips {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, ns: u64) {
        self.0.push(u32::try_from(ns).unwrap_or(u32::MAX));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Their summary; none of none.
    pub fn summary(mut self) -> Option<Quantiles> {
        let values = &mut self.0;
        values.sort_unstable();
        let (min, max) = (*values.first()?, *values.last()?);
        let n = values.len();
        let rank = |per_mille: usize| {
            let rank = (n * per_mille).div_ceil(1000).clamp(1, n) - 1;
            u64::from(values[rank])
        };
        let sum: u64 = values.iter().map(|v| u64::from(*v)).sum();
        Some(Quantiles {
            count: n as u64,
            min: min.into(),
            mean: (sum + n as u64 / 2) / n as u64,
            p50: rank(500),
            p90: rank(900),
            p99: rank(990),
            p999: rank(999),
            max: max.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_ranks() {
        assert_eq!(RoundTrips::default().summary(), None);
        let mut trips = RoundTrips::default();
        for ns in (1..=1000).rev() {
            trips.add(ns);
        }
        trips.add(u64::MAX);
        let found = trips.summary().unwrap();
        assert_eq!((found.count, found.min, found.p50), (1001, 1, 501));
        assert_eq!((found.p99, found.p999), (991, 1000));
        assert_eq!(found.max, u64::from(u32::MAX));
    }
}
