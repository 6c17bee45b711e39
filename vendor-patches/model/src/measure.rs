//! What a simulation says: counts, and the distribution of waits, in memory that does not grow with the packets.

use hdrhistogram::Histogram;

use crate::stage::Reason;

/// Longest wait that is told apart from longer ones: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// Counts and sums of a simulation. Times are nanoseconds; only frames that arrived in the measured part count.
#[derive(Debug, Clone)]
pub struct Measure {
    waits: Histogram<u64>,
    longest: u64,
    sum: u128,
    squares: u128,
    ipdv_sum: u128,
    ipdv_pairs: u64,
    /// Transfers to guests: containers, and frames alone.
    pub transfers: u64,
    /// Frames in them.
    pub transferred: u64,
    /// Containers that left, by [`Reason`].
    pub reasons: [u64; 4],
    /// Frames that travelled alone.
    pub alone: u64,
    /// Frames that came too late for their playout.
    pub late: u64,
    /// Answers of closed loops, and the time that they took.
    pub samples: u64,
    /// The time in which the answers came, summed over repetitions.
    pub sampled_ns: u128,
    /// The consumer could not keep up: waits mean nothing.
    pub overloaded: bool,
}

impl Default for Measure {
    fn default() -> Self {
        let waits = Histogram::new_with_max(LONGEST, 3)
            .unwrap_or_else(|_| unreachable!("the bounds are constants that it allows"));
        Self {
            waits,
            longest: 0,
            sum: 0,
            squares: 0,
            ipdv_sum: 0,
            ipdv_pairs: 0,
            transfers: 0,
            transferred: 0,
            reasons: [0; 4],
            alone: 0,
            late: 0,
            samples: 0,
            sampled_ns: 0,
            overloaded: false,
        }
    }
}

impl Measure {
    /// One frame was delivered.
    #[inline]
    pub(crate) fn wait(&mut self, wait: u64) {
        self.waits.saturating_record(wait);
        self.longest = self.longest.max(wait);
        self.sum += u128::from(wait);
        self.squares += u128::from(wait) * u128::from(wait);
    }

    /// Two successive frames of a flow waited differently by so much.
    #[inline]
    pub(crate) fn ipdv(&mut self, difference: u64) {
        self.ipdv_sum += u128::from(difference);
        self.ipdv_pairs += 1;
    }

    /// A transfer.
    #[inline]
    pub(crate) fn transfer(&mut self, frames: u32, reason: Option<Reason>) {
        self.transfers += 1;
        self.transferred += u64::from(frames);
        match reason {
            Some(reason) => self.reasons[reason as usize] += 1,
            None => self.alone += 1,
        }
    }

    /// Adds what another simulation of the same says.
    pub fn merge(&mut self, other: &Self) {
        // Both have the same bounds.
        let added = self.waits.add(&other.waits);
        debug_assert!(added.is_ok());
        self.longest = self.longest.max(other.longest);
        self.sum += other.sum;
        self.squares += other.squares;
        self.ipdv_sum += other.ipdv_sum;
        self.ipdv_pairs += other.ipdv_pairs;
        self.transfers += other.transfers;
        self.transferred += other.transferred;
        for (mine, theirs) in self.reasons.iter_mut().zip(other.reasons) {
            *mine += theirs;
        }
        self.alone += other.alone;
        self.late += other.late;
        self.samples += other.samples;
        self.sampled_ns += other.sampled_ns;
        self.overloaded |= other.overloaded;
    }

    /// Frames delivered.
    pub fn packets(&self) -> u64 {
        self.waits.len()
    }

    /// The mean wait.
    pub fn mean_wait(&self) -> Option<f64> {
        (self.packets() > 0).then(|| self.sum as f64 / self.packets() as f64)
    }

    /// The standard deviation of waits.
    pub fn sd_wait(&self) -> Option<f64> {
        let mean = self.mean_wait()?;
        let square = self.squares as f64 / self.packets() as f64;
        Some(libm::sqrt((square - mean * mean).max(0.0)))
    }

    /// A quantile of waits, per mille, to three digits.
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        (self.packets() > 0).then(|| {
            let value = self.waits.value_at_quantile(f64::from(per_mille) / 1000.0);
            // A class of the histogram ends beyond its largest value.
            value.min(self.longest)
        })
    }

    /// The share of waits above `wait`; exact to the histogram's classes.
    pub fn share_above(&self, wait: u64) -> Option<f64> {
        (self.packets() > 0).then(|| {
            let below: u64 = self
                .waits
                .iter_recorded()
                .take_while(|v| v.value_iterated_to() <= wait)
                .map(|v| v.count_since_last_iteration())
                .sum();
            1.0 - below as f64 / self.packets() as f64
        })
    }

    /// The mean |IPDV| (RFC 3393) over successive frames of a flow.
    pub fn mean_abs_ipdv(&self) -> Option<f64> {
        (self.ipdv_pairs > 0).then(|| self.ipdv_sum as f64 / self.ipdv_pairs as f64)
    }

    /// Frames a transfer.
    pub fn packets_per_transfer(&self) -> Option<f64> {
        (self.transfers > 0).then(|| self.transferred as f64 / self.transfers as f64)
    }

    /// Of the containers, the share that a deadline released.
    pub fn timeout_fraction(&self) -> Option<f64> {
        let containers: u64 = self.reasons.iter().sum();
        (containers > 0).then(|| self.reasons[Reason::Timeout as usize] as f64 / containers as f64)
    }

    /// Answers a second, for closed loops.
    pub fn samples_per_s(&self) -> Option<f64> {
        (self.samples > 0 && self.sampled_ns > 0)
            .then(|| self.samples as f64 * 1e9 / self.sampled_ns as f64)
    }

    /// Points of the distribution of waits for a figure: value and share not above it, at most `most`.
    pub fn distribution(&self, most: usize) -> Vec<(u64, f64)> {
        let total = self.packets() as f64;
        let mut below = 0;
        let all: Vec<(u64, f64)> = self
            .waits
            .iter_recorded()
            .map(|v| {
                below += v.count_since_last_iteration();
                (
                    v.value_iterated_to().min(self.longest),
                    below as f64 / total,
                )
            })
            .collect();
        let step = all.len().div_ceil(most.max(1)).max(1);
        let last = all.last().copied();
        let mut points: Vec<_> = all.into_iter().step_by(step).collect();
        if points.last() != last.as_ref() {
            points.extend(last);
        }
        points
    }
}
