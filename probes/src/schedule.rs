//! When each packet is due: the open-loop schedule of all flows, merged by send time.
//!
//! A schedule is a pure function of flows, seeds, start and stop, the same on every machine: the generator
//! is `ChaCha8`, and the logarithm is `libm`'s own, not that of the C library.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;
use vifbench_scenarios::scenario::Arrivals;

/// Why a flow has no schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// A rate of zero has no gaps.
    #[error(
        "flow {flow} has a rate of 0/s: no packet would ever be due; give it a rate above zero"
    )]
    NoRate {
        /// The flow's number.
        flow: u16,
    },
    /// Packets of this shape are not sent.
    #[error(
        "flow {flow} has `{shape}` arrivals, which are not sent yet; use `cbr` or `poisson`, or simulate it"
    )]
    NoSchedule {
        /// The flow's number.
        flow: u16,
        /// As it is written in scenarios.
        shape: &'static str,
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
}

/// Gaps of one flow.
#[derive(Debug, Clone)]
struct Flow {
    start_ns: u64,
    seq: u32,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    /// Packet `seq` is due `phase + seq / rate` after the start; the rate is in packets per 1000 s.
    Cbr { phase_ns: u64, per_1000_s: u64 },
    /// Gaps are drawn; the sum is kept in f64, whose error stays far below 1 ns for trials of hours.
    Poisson {
        rng: Box<ChaCha8Rng>,
        mean_ns: f64,
        at_ns: f64,
    },
}

/// A number in (0, 1], from the upper 53 bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

impl Flow {
    fn new(
        number: u16,
        arrivals: &Arrivals,
        seed: u64,
        start_ns: u64,
    ) -> Result<Self, ScheduleError> {
        let (Arrivals::Cbr { rate } | Arrivals::Poisson { rate }) = arrivals else {
            return Err(ScheduleError::NoSchedule {
                flow: number,
                shape: arrivals.word(),
            });
        };
        let rate = rate.per_sec_f64();
        if rate <= 0.0 {
            return Err(ScheduleError::NoRate { flow: number });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mean_ns = 1e9 / rate;
        let shape = if let Arrivals::Cbr { .. } = arrivals {
            // The phase is drawn, so that seeds are replicates of a CBR flow too.
            Shape::Cbr {
                phase_ns: ((1.0 - unit(&mut rng)) * mean_ns) as u64,
                per_1000_s: (rate * 1000.0).round() as u64,
            }
        } else {
            // Poisson: what else there is was refused above.
            let first = -libm::log(unit(&mut rng)) * mean_ns;
            Shape::Poisson {
                rng: Box::new(rng),
                mean_ns,
                at_ns: first,
            }
        };
        Ok(Self {
            start_ns,
            seq: 0,
            shape,
        })
    }

    /// When the next packet is due.
    fn due_ns(&self) -> u64 {
        let after = match &self.shape {
            Shape::Cbr {
                phase_ns,
                per_1000_s,
            } => {
                let gaps = u128::from(self.seq) * 1_000_000_000_000 / u128::from(*per_1000_s);
                // Saturates after 584 years.
                u64::try_from(gaps)
                    .unwrap_or(u64::MAX)
                    .saturating_add(*phase_ns)
            }
            Shape::Poisson { at_ns, .. } => at_ns.round() as u64,
        };
        self.start_ns.saturating_add(after)
    }

    fn advance(&mut self) {
        // A flow of 2^32 packets lasts 36 minutes at 2 M/s; numbers wrap there, as the packet header does.
        self.seq = self.seq.wrapping_add(1);
        if let Shape::Poisson {
            rng,
            mean_ns,
            at_ns,
        } = &mut self.shape
        {
            *at_ns += -libm::log(unit(rng)) * *mean_ns;
        }
    }
}

/// All packets of a trial in the order they are due; ties go to the flow given first.
#[derive(Debug, Clone)]
pub struct Schedule {
    flows: Vec<Flow>,
    next: BinaryHeap<Reverse<(u64, usize)>>,
    stop_ns: u64,
}

impl Schedule {
    /// The schedule of flows given as number, arrivals and seed. Packets are due in `start_ns..stop_ns`.
    ///
    /// # Errors
    /// When a rate is zero, or the stop time lies before the start.
    pub fn new<'a>(
        flows: impl IntoIterator<Item = (u16, &'a Arrivals, u64)>,
        start_ns: u64,
        stop_ns: u64,
    ) -> Result<Self, ScheduleError> {
        if stop_ns < start_ns {
            return Err(ScheduleError::Backwards { start_ns, stop_ns });
        }
        let flows: Vec<Flow> = flows
            .into_iter()
            .map(|(number, arrivals, seed)| Flow::new(number, arrivals, seed, start_ns))
            .collect::<Result<_, _>>()?;
        let next = flows
            .iter()
            .enumerate()
            .map(|(i, flow)| Reverse((flow.due_ns(), i)))
            .collect();
        Ok(Self {
            flows,
            next,
            stop_ns,
        })
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
        let seq = flow.seq;
        flow.advance();
        *top = Reverse((flow.due_ns(), index));
        Some(Due {
            at_ns,
            flow: index,
            seq,
        })
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
            Err(ScheduleError::NoRate { flow: 3 })
        ));
        let flow = Arrivals::Trace { file: "x".into() };
        assert!(matches!(
            Schedule::new([(3, &flow, 9)], 0, 1),
            Err(ScheduleError::NoSchedule {
                flow: 3,
                shape: "trace"
            })
        ));
        let flow = cbr(1);
        assert!(matches!(
            Schedule::new([(3, &flow, 9)], 2, 1),
            Err(ScheduleError::Backwards { .. })
        ));
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
