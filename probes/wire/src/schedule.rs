//! When each packet is due: the open-loop schedule of all flows, merged by send time.
//!
//! A schedule is a pure function of flows, seeds, start and stop, the same on every machine
//! ([`vifbench_scenarios::timing`]). Flows that something else drives (answers, the sender's speed) have nothing in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use thiserror::Error;
use vifbench_scenarios::scenario::Arrivals;
use vifbench_scenarios::timing::{Captured, Timing, TimingError};

use crate::flow_frames::with_fcs;
use crate::replay::{self, ReplayError};

/// Why a flow has no schedule.
#[derive(Debug, Error)]
pub enum ScheduleError {
    /// Its packets cannot be spaced.
    #[error("flow {flow}: {source}")]
    Timing {
        /// The flow's number.
        flow: u16,
        /// What is wrong.
        source: TimingError,
    },
    /// Its capture cannot be replayed.
    #[error("flow {flow}: {source}")]
    Replay {
        /// The flow's number.
        flow: u16,
        /// What is wrong.
        source: ReplayError,
    },
    /// The stop time lies before the start time.
    #[error(
        "the trial ends at {stop_ns} ns, before it starts at {start_ns} ns: give the stop time after the start"
    )]
    Backwards {
        /// Start of the trial.
        start_ns: u64,
        /// Its end.
        stop_ns: u64,
    },
}

/// One packet that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When, in nanoseconds of the clock that `start_ns` was given in.
    pub at_ns: u64,
    /// Index of its flow, in the order the flows were given.
    pub flow: usize,
    /// Its number within the flow.
    pub seq: u32,
    /// Its size with FCS, where a capture has it.
    pub size: Option<u32>,
}

/// The times of one flow, from its start, before any of them has passed.
#[derive(Debug, Clone)]
enum Source {
    Timing(Timing),
    Replay {
        frames: Arc<[Captured]>,
        next: usize,
        speed: f64,
    },
    /// Nothing is due beforehand.
    Unscheduled,
}

impl Source {
    fn of(number: u16, arrivals: &Arrivals, seed: u64) -> Result<Self, ScheduleError> {
        if let Arrivals::Trace { file, speed } = arrivals {
            let frames = replay::read(file).map_err(|source| ScheduleError::Replay {
                flow: number,
                source,
            })?;
            return Ok(Self::Replay {
                frames: frames.into(),
                next: 0,
                speed: *speed,
            });
        }
        let timing = Timing::of(arrivals, seed).map_err(|source| ScheduleError::Timing {
            flow: number,
            source,
        })?;
        Ok(timing.map_or(Self::Unscheduled, Self::Timing))
    }

    fn next(&mut self) -> Option<(u64, Option<u32>)> {
        match self {
            Self::Timing(timing) => Some((timing.draw(), None)),
            Self::Replay {
                frames,
                next,
                speed,
            } => {
                let frame = frames.get(*next)?.at_speed(*speed);
                *next += 1;
                Some((frame.at, Some(with_fcs(frame.len))))
            }
            Self::Unscheduled => None,
        }
    }
}

/// A flow and its next packet.
#[derive(Debug, Clone)]
struct Flow {
    source: Source,
    seq: u32,
    size: Option<u32>,
}

/// What packets are due, before it is known when the first one is.
#[derive(Debug, Clone)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Of flows given as number, arrivals and seed. Captures are read here.
    ///
    /// # Errors
    /// When packets cannot be spaced, or a capture cannot be replayed.
    pub fn new<'a>(
        flows: impl IntoIterator<Item = (u16, &'a Arrivals, u64)>,
    ) -> Result<Self, ScheduleError> {
        flows
            .into_iter()
            .map(|(number, arrivals, seed)| Source::of(number, arrivals, seed))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The schedule for a trial. Packets are due in `start_ns..stop_ns`.
    ///
    /// # Errors
    /// When the stop time lies before the start.
    pub fn schedule(&self, start_ns: u64, stop_ns: u64) -> Result<Schedule, ScheduleError> {
        if stop_ns < start_ns {
            return Err(ScheduleError::Backwards { start_ns, stop_ns });
        }
        let mut next = BinaryHeap::new();
        let flows = self.0.iter().enumerate().map(|(index, source)| {
            let mut source = source.clone();
            let first = source.next();
            if let Some((at, _)) = first {
                next.push(Reverse((start_ns.saturating_add(at), index)));
            }
            Flow {
                source,
                seq: 0,
                size: first.and_then(|(_, size)| size),
            }
        });
        let flows = flows.collect();
        Ok(Schedule {
            flows,
            next,
            start_ns,
            stop_ns,
        })
    }
}

/// All packets of a trial in the order they are due; ties go to the flow given first.
#[derive(Debug, Clone)]
pub struct Schedule {
    flows: Vec<Flow>,
    next: BinaryHeap<Reverse<(u64, usize)>>,
    start_ns: u64,
    stop_ns: u64,
}

impl Schedule {
    /// The schedule of flows given as number, arrivals and seed. Packets are due in `start_ns..stop_ns`.
    ///
    /// # Errors
    /// When packets cannot be spaced, a capture cannot be replayed, or the stop time lies before the start.
    pub fn new<'a>(
        flows: impl IntoIterator<Item = (u16, &'a Arrivals, u64)>,
        start_ns: u64,
        stop_ns: u64,
    ) -> Result<Self, ScheduleError> {
        Sources::new(flows)?.schedule(start_ns, stop_ns)
    }

    /// When the next packet is due, if there is one.
    pub fn next_ns(&self) -> Option<u64> {
        let Reverse((at_ns, _)) = *self.next.peek()?;
        (at_ns < self.stop_ns).then_some(at_ns)
    }
}

impl Iterator for Schedule {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let mut top = self.next.peek_mut()?;
        let Reverse((at_ns, index)) = *top;
        if at_ns >= self.stop_ns {
            return None;
        }
        let flow = &mut self.flows[index];
        let due = Due {
            at_ns,
            flow: index,
            seq: flow.seq,
            size: flow.size,
        };
        // A flow of 2^32 packets lasts 36 minutes at 2 M/s; numbers wrap there, as the packet header does.
        flow.seq = flow.seq.wrapping_add(1);
        match flow.source.next() {
            Some((after, size)) => {
                flow.size = size;
                *top = Reverse((self.start_ns.saturating_add(after), index));
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
            }
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vifbench_scenarios::units::Rate;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn cbr(rate: u64) -> Arrivals {
        Arrivals::Cbr {
            rate: Rate::per_sec(rate),
        }
    }
    fn poisson(rate: u64) -> Arrivals {
        Arrivals::Poisson {
            rate: Rate::per_sec(rate),
        }
    }

    #[test]
    fn cbr_has_equal_gaps_that_do_not_drift() {
        let flow = cbr(3);
        let due: Vec<_> = Schedule::new([(0, &flow, 9)], 0, 1000 * SECOND)
            .unwrap()
            .collect();
        assert_eq!(due.len(), 3000);
        let phase = due[0].at_ns;
        assert!(phase < SECOND / 3 + 1);
        for packet in &due {
            assert_eq!(packet.at_ns, phase + u64::from(packet.seq) * SECOND / 3);
        }
    }

    #[test]
    fn poisson_has_exponential_gaps() {
        let flow = poisson(2000);
        let due: Vec<_> = Schedule::new([(0, &flow, 4)], 5 * SECOND, 105 * SECOND)
            .unwrap()
            .map(|d| d.at_ns)
            .collect();
        // 200,000 packets expected: four standard deviations are 1789.
        assert!((due.len() as i64 - 200_000).abs() < 1789, "{}", due.len());
        let gaps: Vec<f64> = due.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let sd = (gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!(
            (sd / mean - 1.0).abs() < 0.02,
            "coefficient of variation {}",
            sd / mean
        );
        let long = gaps.iter().filter(|g| **g > 500_000.0).count() as f64 / gaps.len() as f64;
        assert!((long - (-1.0f64).exp()).abs() < 0.005, "{long}");
    }

    #[test]
    fn the_schedule_is_the_same_everywhere() {
        // If this changes, stored runs can no longer be compared with new ones: raise the run format.
        let flows = [poisson(2000), cbr(500)];
        let due: Vec<_> = Schedule::new([(0, &flows[0], 1), (1, &flows[1], 2)], 0, SECOND)
            .unwrap()
            .take(8)
            .map(|d| (d.at_ns, d.flow, d.seq))
            .collect();
        let expected = [
            (237_318, 1, 0),
            (455_048, 0, 0),
            (1_715_520, 0, 1),
            (1_973_807, 0, 2),
            (2_237_318, 1, 1),
            (2_732_409, 0, 3),
            (3_362_344, 0, 4),
            (3_533_160, 0, 5),
        ];
        assert_eq!(due, expected);
    }

    #[test]
    fn refuses_what_has_no_schedule() {
        let flow = cbr(0);
        assert!(matches!(
            Schedule::new([(3, &flow, 9)], 0, 1),
            Err(ScheduleError::Timing { flow: 3, .. })
        ));
        let flow = Arrivals::Trace {
            file: "/nowhere/x.pcap".into(),
            speed: 1.0,
        };
        let error = Schedule::new([(3, &flow, 9)], 0, 1).unwrap_err();
        assert!(
            error.to_string().contains("flow 3: cannot replay /nowhere"),
            "{error}"
        );
        let flow = cbr(1);
        assert!(matches!(
            Schedule::new([(3, &flow, 9)], 2, 1),
            Err(ScheduleError::Backwards { .. })
        ));
    }

    #[test]
    fn what_waits_for_answers_is_not_due_beforehand() {
        let flows = [
            Arrivals::TcpBulk {},
            Arrivals::Saturate { cap: None },
            cbr(10),
        ];
        let flows = flows.iter().map(|a| (0, a, 1));
        let due: Vec<_> = Schedule::new(flows, 0, SECOND).unwrap().collect();
        assert_eq!(due.len(), 10);
        assert!(due.iter().all(|due| due.flow == 2));
    }

    #[test]
    fn a_capture_is_replayed_at_its_speed_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pcap.zst");
        let mut writer = crate::pcap_file::Writer::create(&file, 1, 128).unwrap();
        for (at, len) in [(77_000, 60), (78_000, 590), (90_000, 1514)] {
            writer.record(at, len, &[]).unwrap();
        }
        writer.finish().unwrap();
        let trace = Arrivals::Trace { file, speed: 2.0 };
        let due: Vec<_> = Schedule::new([(0, &trace, 1)], 1000, SECOND)
            .unwrap()
            .map(|d| (d.at_ns, d.seq, d.size))
            .collect();
        let expected = [
            (1000, 0, Some(64)),
            (1500, 1, Some(594)),
            (7500, 2, Some(1518)),
        ];
        assert_eq!(due, expected);
    }

    proptest! {
        #[test]
        fn merged_in_order_within_the_trial(
            rates in prop::collection::vec((any::<bool>(), 1u64..100_000, any::<u64>()), 1..5),
            start in 0u64..(1 << 60),
        ) {
            let flows: Vec<_> = rates.iter()
                .map(|(even, rate, seed)| (if *even { cbr(*rate) } else { poisson(*rate) }, *seed))
                .collect();
            let stop = start + SECOND / 10;
            let schedule = || Schedule::new(flows.iter().map(|(a, s)| (0, a, *s)), start, stop).unwrap();
            let due: Vec<_> = schedule().collect();
            prop_assert!(due.windows(2).all(|w| (w[0].at_ns, w[0].flow) <= (w[1].at_ns, w[1].flow)));
            prop_assert!(due.iter().all(|d| (start..stop).contains(&d.at_ns)));
            for index in 0..flows.len() {
                let seqs = due.iter().filter(|d| d.flow == index).map(|d| d.seq);
                prop_assert!(seqs.eq(0..due.iter().filter(|d| d.flow == index).count() as u32));
            }
            prop_assert_eq!(due, schedule().collect::<Vec<_>>());
        }
    }
}
