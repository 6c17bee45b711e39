//! Bursts of a fixed length at fixed times: packet n of burst b is due `phase + b * length / rate + n / peak` after the
//! start, without drift.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::cbr::Cbr;
use super::unit;
use crate::units::Rate;

/// Equal bursts.
#[derive(Debug, Clone)]
pub struct Bursts {
    /// When bursts begin.
    starts: Cbr,
    /// Packets a burst.
    length: u32,
    /// Packets a second within a burst, in packets per 1000 s; none: all at once.
    peak_per_1000_s: Option<u64>,
    start: u64,
    done: u32,
}

impl Bursts {
    /// `rate` packets a second in the mean, `length` packets a burst, `peak` packets a second within one; neither is
    /// zero. The phase is drawn, so that seeds are replicates.
    pub fn new(rate: Rate, length: u32, peak: Option<Rate>, seed: u64) -> Self {
        let length = length.max(1);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let between = rate.gap_nanos() * f64::from(length);
        let phase = ((1.0 - unit(&mut random)) * between) as u64;
        let mut starts = Cbr::every(u64::from(length), rate, phase);
        Self {
            start: starts.draw(),
            starts,
            length,
            peak_per_1000_s: peak.map(|peak| peak.per_1000_s().max(1)),
            done: 0,
        }
    }

    /// When the next packet is due, in nanoseconds from the start.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        if self.done == self.length {
            self.done = 0;
            self.start = self.starts.draw();
        }
        let within = self.peak_per_1000_s.map_or(0, |peak| {
            let gaps = u128::from(self.done) * 1_000_000_000_000 / u128::from(peak);
            u64::try_from(gaps).unwrap_or(u64::MAX)
        });
        self.done += 1;
        self.start.saturating_add(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_come_at_their_times_and_do_not_drift() {
        let mut bursts = Bursts::new(Rate::per_sec(300), 3, Some(Rate::per_sec(30_000)), 5);
        let at: Vec<u64> = (0..3000).map(|_| bursts.draw()).collect();
        let phase = at[0];
        assert!(phase < 10_000_000);
        for (n, at) in at.iter().enumerate() {
            let (burst, within) = (n as u64 / 3, n as u64 % 3);
            let due = phase + burst * 10_000_000 + within * 1_000_000_000 / 30_000;
            assert_eq!(*at, due);
        }
    }

    #[test]
    fn without_a_peak_a_burst_is_due_at_once() {
        let mut bursts = Bursts::new(Rate::per_sec(7), 4, None, 5);
        let at: Vec<u64> = (0..8).map(|_| bursts.draw()).collect();
        assert!(at[..4].iter().all(|t| *t == at[0]));
        // 4 packets at 7 a second: 571,428,571.4 ns a burst.
        assert_eq!(at[4] - at[0], 571_428_571);
    }
}
