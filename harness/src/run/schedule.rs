//! When a trial begins and ends, by each host's clock.

use vifbench_scenarios::plan::TrialPlan;
use vifbench_wire::protocol::Arm;

use super::clocks::ClockData;

/// Captures and counters go on for this long after the last packet was due.
const DRAIN_NS: u64 = 300_000_000;
/// A period of a kernel's clock tick at 100 Hz, the longest that is common.
const PHASES_NS: u64 = 10_000_000;

/// The times of a trial on one host, in nanoseconds of its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTimes {
    /// The first packet is due.
    pub start: u64,
    /// The last packet is due.
    pub stop: u64,
    /// Captures and counters end.
    pub drain: u64,
}

impl HostTimes {
    /// The times of a trial of this length. An offset that a host made up leads at most to the end of time.
    pub fn new(start: u64, length_ns: u64) -> Self {
        let stop = start.saturating_add(length_ns);
        Self {
            start,
            stop,
            drain: stop.saturating_add(DRAIN_NS),
        }
    }

    /// The request to the probe of the host.
    pub fn arm(self, trial: u32) -> Arm {
        Arm {
            trial,
            start_ns: self.start,
            stop_ns: self.stop,
            drain_ns: self.drain,
            sealed_by: None,
            announce: None,
        }
    }
}

/// When a trial runs.
#[derive(Debug)]
pub struct Schedule {
    /// By the clock of each host, in the hosts' order.
    pub hosts: Vec<HostTimes>,
    /// By the clock that counts for the record.
    pub measured: HostTimes,
}

impl Schedule {
    /// The same moment on all hosts. `start` is of dom0's clock. The offsets are those of the exchanges just made: good enough
    /// to start together. The report uses better ones.
    pub fn together(start: u64, length_ns: u64, before: &[ClockData], dom0: usize) -> Self {
        let hosts = before.iter().enumerate().map(|(index, clock)| {
            let offset = if index == dom0 {
                0
            } else {
                clock.rough_offset()
            };
            HostTimes::new(start.saturating_add_signed(offset), length_ns)
        });
        Self {
            hosts: hosts.collect(),
            measured: HostTimes::new(start, length_ns),
        }
    }
}

/// From the first packet to the last.
pub fn length_ns(plan: &TrialPlan) -> u64 {
    plan.warmup.nanos() + plan.duration.nanos()
}

/// Where within a period of the clock tick a trial begins: another place for every block, the same for its variants, so
/// that nobody's timers always stand in the same relation to the packets.
pub fn phase(plan: &TrialPlan) -> u64 {
    let mut hash = blake3::Hasher::new();
    for flow in &plan.flows {
        hash.update(&flow.seed.to_le_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first) % PHASES_NS
}

#[cfg(test)]
mod tests {
    use vifbench_wire::protocol::Exchange;

    use super::*;

    #[test]
    fn a_trial_starts_at_the_same_moment_on_hosts_whose_clocks_differ() {
        // The second host is ahead by 1 ms; a frame takes 100 us each way.
        let ahead = 1_000_000;
        let exchange = Exchange {
            t1: ahead,
            t2: 100_000,
            t3: 110_000,
            t4: 210_000 + ahead,
        };
        let before = [
            ClockData::default(),
            ClockData {
                exchanges: vec![exchange],
                readings: Vec::new(),
            },
        ];
        let schedule = Schedule::together(5_000_000_000, 1_000, &before, 0);
        assert_eq!(schedule.measured, schedule.hosts[0]);
        assert_eq!(schedule.hosts[0].start, 5_000_000_000);
        assert_eq!(schedule.hosts[1].start, 5_000_000_000 + ahead);
        assert_eq!(schedule.hosts[1].stop, schedule.hosts[1].start + 1_000);
    }

    #[test]
    fn an_absurd_start_does_not_overflow() {
        let times = HostTimes::new(u64::MAX - 1, 10);
        assert_eq!((times.stop, times.drain), (u64::MAX, u64::MAX));
    }
}
