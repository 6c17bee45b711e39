//! The discrete-event simulator: flows arrive at the queues of guests, containers form, dom0 works on them one after
//! the other, guests take them.
//!
//! Three things can happen next: an arrival, a deadline, the end of a transfer. At the same instant they happen in this
//! order. Without a service stage a transfer takes no time. Memory does not grow with the number of packets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

use vifbench_scenarios::timing::Sizes;

use crate::arithmetic::Fixed;
use crate::arrivals::Source;
use crate::container::Layout;
use crate::measure::Measure;
use crate::playout::Playout;
use crate::regulator::{NEVER, Regulator};
use crate::service::Service;
use crate::stage::{Reason, Release, Stage};

/// With more frames than this in wait for the consumer, it is taken not to keep up.
const BACKLOG: usize = 1 << 20;

/// One flow.
#[derive(Debug)]
pub struct Flow {
    /// The queue, and so the guest, that it goes to.
    pub queue: usize,
    /// When its frames arrive.
    pub source: Source,
    /// How long they are, unless the source knows.
    pub sizes: Sizes,
}

/// What all queues have in common.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// The container.
    pub layout: Layout,
    /// T0, in nanoseconds.
    pub hold: u64,
    /// Dom0's work, which all queues share.
    pub service: Service,
    /// The receiver plays out, with this cap on P.
    pub playout: Option<u64>,
    /// Containers are only counted; every frame travels alone and at once.
    pub shadow: bool,
}

/// What became of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Its flow.
    pub flow: u32,
    /// Its queue.
    pub queue: u32,
    /// Arrival at the vif.
    pub arrived: u64,
    /// Its container's release, or its own.
    pub released: u64,
    /// When the guest's driver took it from its container.
    pub extracted: u64,
    /// When it was delivered.
    pub delivered: u64,
}

/// A frame in wait.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    arrived: u64,
    flow: u32,
}

#[derive(Debug)]
struct Queue<R> {
    stage: Stage<R>,
    waiting: Vec<Waiting>,
    playout: Option<Playout<Fixed>>,
}

#[derive(Debug)]
struct Batch {
    queue: usize,
    released: u64,
    opened: u64,
    frames: Vec<Waiting>,
}

#[derive(Debug)]
struct FlowState {
    queue: usize,
    source: Source,
    sizes: Sizes,
    /// Size of the arrival that is due next.
    next_len: Option<u32>,
    last_wait: Option<u64>,
    first_sample: Option<u64>,
    last_sample: u64,
}

/// A simulation of one kind of regulator.
pub struct Engine<'t, R> {
    setup: Setup,
    window: Range<u64>,
    stop: u64,
    flows: Vec<FlowState>,
    queues: Vec<Queue<R>>,
    arrivals: BinaryHeap<Reverse<(u64, u32)>>,
    /// What the consumer works on, and until when.
    working: Option<(u64, Batch)>,
    backlog: VecDeque<Batch>,
    in_backlog: usize,
    /// What transfers of the measured part take of the consumer's time.
    work: u128,
    spare: Vec<Vec<Waiting>>,
    measure: Measure,
    trace: Option<&'t mut dyn FnMut(Delivery)>,
}

impl<'t, R: Regulator> Engine<'t, R> {
    /// `regulator` makes one for each of the `queues`. Frames that arrive within the `window` are measured; flows go on
    /// until `stop`. Every delivery is told to `trace`.
    pub fn new(
        setup: Setup,
        queues: usize,
        mut regulator: impl FnMut() -> R,
        flows: Vec<Flow>,
        (window, stop): (Range<u64>, u64),
        trace: Option<&'t mut dyn FnMut(Delivery)>,
    ) -> Self {
        let mut engine = Self {
            setup,
            window,
            stop,
            flows: Vec::with_capacity(flows.len()),
            queues: (0..queues)
                .map(|_| Queue {
                    stage: Stage::new(regulator(), setup.layout, setup.hold),
                    waiting: Vec::new(),
                    playout: setup.playout.map(Playout::new),
                })
                .collect(),
            arrivals: BinaryHeap::new(),
            working: None,
            backlog: VecDeque::new(),
            in_backlog: 0,
            work: 0,
            spare: Vec::new(),
            measure: Measure::default(),
            trace,
        };
        for (index, mut flow) in flows.into_iter().enumerate() {
            let mut next_len = None;
            if let Source::ClosedLoop { start, .. } = &mut flow.source {
                for at in std::mem::take(start) {
                    engine.arrivals.push(Reverse((at, index as u32)));
                }
            } else if let Some((at, len)) = flow.source.next() {
                next_len = len;
                engine.arrivals.push(Reverse((at, index as u32)));
            }
            engine.flows.push(FlowState {
                queue: flow.queue,
                source: flow.source,
                sizes: flow.sizes,
                next_len,
                last_wait: None,
                first_sample: None,
                last_sample: 0,
            });
        }
        engine
    }

    /// Runs until every frame that arrived is delivered.
    pub fn run(mut self) -> Measure {
        loop {
            let arrival = match self.arrivals.peek() {
                Some(Reverse((at, _))) if *at < self.stop => *at,
                _ => NEVER,
            };
            let done = self.working.as_ref().map_or(NEVER, |(at, _)| *at);
            let (alarm, queue) = self.alarm();
            if arrival <= alarm && arrival <= done {
                if arrival == NEVER {
                    break;
                }
                self.arrive();
            } else if alarm <= done {
                if let Some(release) = self.queues[queue].stage.expire(alarm) {
                    self.released(queue, release);
                }
            } else {
                self.done(done);
            }
            if self.in_backlog > BACKLOG {
                self.measure.overloaded = true;
                break;
            }
        }
        // Flows run side by side: from the first request of any to the last answer of any.
        let first = self.flows.iter().filter_map(|flow| flow.first_sample).min();
        let last = self.flows.iter().map(|flow| flow.last_sample).max();
        if let (Some(first), Some(last)) = (first, last) {
            self.measure.sampled_ns = u128::from(last.saturating_sub(first));
        }
        // More work than time: waits would grow for as long as this lasts.
        let measured = self
            .window
            .end
            .min(self.stop)
            .saturating_sub(self.window.start);
        self.measure.overloaded |= self.work > u128::from(measured);
        for queue in &self.queues {
            self.measure.late += queue.playout.as_ref().map_or(0, Playout::late);
        }
        self.measure
    }

    /// The earliest deadline, and whose.
    #[inline]
    fn alarm(&self) -> (u64, usize) {
        let mut first = (NEVER, 0);
        for (index, queue) in self.queues.iter().enumerate() {
            let at = queue.stage.alarm();
            if at < first.0 {
                first = (at, index);
            }
        }
        first
    }

    #[inline]
    fn arrive(&mut self) {
        let Some(mut top) = self.arrivals.peek_mut() else {
            return;
        };
        let Reverse((now, index)) = *top;
        let flow = &mut self.flows[index as usize];
        let len = flow.next_len.take().unwrap_or_else(|| flow.sizes.draw());
        match flow.source.next() {
            Some((at, len)) => {
                flow.next_len = len;
                *top = Reverse((at.max(now), index));
                drop(top);
            }
            None => {
                std::collections::binary_heap::PeekMut::pop(top);
            }
        }
        let place = flow.queue;
        let frame = Waiting {
            arrived: now,
            flow: index,
        };
        let outcome = self.queues[place].stage.arrive(now, len, true);
        if self.setup.shadow {
            for release in [outcome.expired, outcome.displaced, outcome.completed]
                .into_iter()
                .flatten()
            {
                self.count(release.opened, release.frames, Some(release.reason));
            }
            if outcome.alone {
                self.count(now, 1, None);
            }
            self.alone(place, frame);
            return;
        }
        if let Some(release) = outcome.expired {
            self.released(place, release);
        }
        if let Some(release) = outcome.displaced {
            self.released(place, release);
        }
        if outcome.alone {
            self.count(now, 1, None);
            self.alone(place, frame);
        } else {
            self.queues[place].waiting.push(frame);
        }
        if let Some(release) = outcome.completed {
            self.released(place, release);
        }
        if R::WAITS_FOR_CONSUMER
            && self.working.is_none()
            && self.queues[place].stage.due() == Some(NEVER)
            && let Some(release) = self.queues[place].stage.drain(now)
        {
            self.released(place, release);
        }
    }

    /// A frame is on its way by itself.
    fn alone(&mut self, queue: usize, frame: Waiting) {
        let mut frames = self.spare.pop().unwrap_or_default();
        frames.push(frame);
        self.hand_over(Batch {
            queue,
            released: frame.arrived,
            opened: frame.arrived,
            frames,
        });
    }

    #[inline]
    fn count(&mut self, opened: u64, frames: u32, reason: Option<Reason>) {
        if self.window.contains(&opened) {
            self.measure.transfer(frames, reason);
        }
    }

    #[inline]
    fn released(&mut self, queue: usize, release: Release) {
        self.count(release.opened, release.frames, Some(release.reason));
        if self.setup.shadow {
            return;
        }
        let spare = self.spare.pop().unwrap_or_default();
        let frames = std::mem::replace(&mut self.queues[queue].waiting, spare);
        self.hand_over(Batch {
            queue,
            released: release.at,
            opened: release.opened,
            frames,
        });
    }

    /// The consumer gets a transfer, at once if it is idle.
    #[inline]
    fn hand_over(&mut self, batch: Batch) {
        if self.setup.service.is_free() {
            let at = batch.released;
            self.deliver(batch, at);
            return;
        }
        if self.window.contains(&batch.opened) {
            let frames = batch.frames.len() as u32;
            self.work += u128::from(self.setup.service.nanos(frames));
        }
        if self.working.is_none() {
            let at = batch.released;
            self.work(batch, at);
        } else {
            self.in_backlog += batch.frames.len();
            self.backlog.push_back(batch);
        }
    }

    fn work(&mut self, batch: Batch, now: u64) {
        let until = now.saturating_add(self.setup.service.nanos(batch.frames.len() as u32));
        self.working = Some((until, batch));
        for queue in &mut self.queues {
            queue.stage.consumer_is_busy(true);
        }
    }

    /// The consumer is done with a transfer: the guest has it, and what waits longest is next.
    fn done(&mut self, now: u64) {
        if let Some((_, batch)) = self.working.take() {
            self.deliver(batch, now);
        }
        for queue in &mut self.queues {
            queue.stage.consumer_is_busy(false);
        }
        let oldest = if R::WAITS_FOR_CONSUMER {
            (0..self.queues.len())
                .filter_map(|index| {
                    let stage = &self.queues[index].stage;
                    let due = stage.due()?;
                    (due <= now || due == NEVER).then(|| (stage.opened(), index))
                })
                .min()
        } else {
            None
        };
        let first_in_backlog = self.backlog.front().map_or(NEVER, |batch| batch.opened);
        match oldest {
            Some((opened, index)) if opened < first_in_backlog => {
                if let Some(release) = self.queues[index].stage.drain(now) {
                    self.released(index, release);
                }
            }
            _ => {
                if let Some(batch) = self.backlog.pop_front() {
                    self.in_backlog -= batch.frames.len();
                    self.work(batch, now);
                }
            }
        }
    }

    #[inline]
    fn deliver(&mut self, mut batch: Batch, extracted: u64) {
        for frame in &batch.frames {
            let delivered = match &mut self.queues[batch.queue].playout {
                Some(playout) => {
                    let age = batch.released - frame.arrived;
                    playout.deliver(extracted, u32::try_from(age).unwrap_or(u32::MAX))
                }
                None => extracted,
            };
            let flow = &mut self.flows[frame.flow as usize];
            let measured = self.window.contains(&frame.arrived);
            if measured {
                let wait = delivered - frame.arrived;
                self.measure.wait(wait);
                if let Some(last) = flow.last_wait.replace(wait) {
                    self.measure.ipdv(wait.abs_diff(last));
                }
            }
            if let Source::ClosedLoop {
                round_trip,
                samples,
                ..
            } = &mut flow.source
            {
                let next = delivered.saturating_add(*round_trip);
                if measured {
                    self.measure.samples += 1;
                    flow.first_sample.get_or_insert(frame.arrived);
                    flow.last_sample = next;
                }
                let more = match samples {
                    Some(0) => false,
                    Some(left) => {
                        *left -= 1;
                        true
                    }
                    None => true,
                };
                if more {
                    self.arrivals.push(Reverse((next, frame.flow)));
                }
            }
            if let Some(trace) = &mut self.trace {
                trace(Delivery {
                    flow: frame.flow,
                    queue: batch.queue as u32,
                    arrived: frame.arrived,
                    released: batch.released,
                    extracted,
                    delivered,
                });
            }
        }
        batch.frames.clear();
        self.spare.push(batch.frames);
    }
}
