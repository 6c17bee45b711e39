//! The generator: sends every packet of a schedule at its time, whatever comes back (open loop); beside it as much as goes
//! of flows that saturate, and the flows that wait for answers (`loops`).

mod error;
mod loops;
mod window;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;

use rustix::thread::set_current_timer_slack;
use vifbench_scenarios::scenario::Arrivals;
use vifbench_scenarios::units::Rate;
use vifbench_wait::{Alarm, Cancel, Woken, sleep_until};
use vifbench_wire::flow_frames::FlowFrames;
use vifbench_wire::protocol::{Generate, LATE_NS, Pace, Sent};
use vifbench_wire::schedule::{Due, Schedule, Sources};

use self::loops::Loop;
use self::window::Times;
use crate::clock::reading::realtime_ns;
use crate::realtime;
use crate::senders::{self, Sender, is_fatal};

pub use self::error::{GeneratorError, LoopError};
pub use self::window::Window;

/// Gaps longer than this are waited for with an ear for the word to stop.
const LONG_GAP_NS: u64 = 20_000_000;

/// A spinning generator sleeps until this long before the send time.
const SPIN_NS: u64 = 200_000;

/// A capped flow makes good so much of what a slow moment cost, and no more.
const CATCH_UP_NS: u64 = 1_000_000;

/// A generator that is ready: templates built, sockets open.
pub struct Generator<S> {
    interface: String,
    pace: Pace,
    warmup_ns: u64,
    /// Numbers of all flows.
    numbers: Vec<u16>,
    /// Frames of the flows that this thread sends.
    frames: Vec<Option<FlowFrames>>,
    /// What is due at given times.
    sources: Sources,
    saturating: Vec<Saturating>,
    loops: Vec<(usize, Loop)>,
    sender: S,
    /// What the report says of the sender.
    sent_by: String,
}

impl Generator<Box<dyn Sender>> {
    /// Builds every flow's frames and opens the interface.
    ///
    /// # Errors
    /// When a flow cannot be built or scheduled, or the interface cannot be opened.
    pub fn open(plan: &Generate) -> Result<Self, GeneratorError> {
        let chosen = senders::open(plan)?;
        let mut generator = Self::with_sender(plan, chosen.sender)?;
        generator.sent_by = chosen.said;
        Ok(generator)
    }
}

impl<S: Sender> Generator<S> {
    /// Builds every flow's frames for another sender.
    ///
    /// # Errors
    /// When a flow cannot be built or scheduled.
    pub fn with_sender(plan: &Generate, sender: S) -> Result<Self, GeneratorError> {
        let flows = &plan.flows;
        let mut frames = Vec::new();
        let mut saturating = Vec::new();
        let mut loops = Vec::new();
        for (index, flow) in flows.iter().enumerate() {
            let waits = Loop::open(flow, &plan.interface, plan.pace)?;
            let of_this_thread = waits.is_none();
            loops.extend(waits.map(|waits| (index, waits)));
            if let Arrivals::Saturate { cap } = &flow.arrivals {
                saturating.push(Saturating::new(index, *cap));
            }
            frames.push(if of_this_thread {
                Some(FlowFrames::new(flow)?)
            } else {
                None
            });
        }
        Ok(Self {
            interface: plan.interface.clone(),
            pace: plan.pace,
            warmup_ns: plan.warmup_ns,
            numbers: flows.iter().map(|flow| flow.flow).collect(),
            frames,
            sources: Sources::new(flows.iter().map(|f| (f.flow, &f.arrivals, f.seed)))?,
            saturating,
            loops,
            sender,
            sent_by: String::new(),
        })
    }

    /// Sends everything that is due in the window, each packet at its time or, where it fell behind, as soon after
    /// as it can. What is still unsent when it gives up counts as due; what was not due yet when it was told to
    /// stop does not. Flows that wait for answers go on beside it.
    ///
    /// # Errors
    /// When the interface takes no packets at all any more, a flow that waits for answers fails, or there is no timer.
    pub fn run(&mut self, window: Window, stop: &Cancel) -> Result<Sent, GeneratorError> {
        let times = Times {
            window,
            measure_from_ns: window.start_ns.saturating_add(self.warmup_ns),
        };
        let mut tally = Tally {
            sent: Sent::default(),
            per_flow: vec![0; self.numbers.len()],
            in_time: Vec::new(),
        };
        let loops = std::mem::take(&mut self.loops);
        std::thread::scope(|scope| {
            let running: Vec<_> = loops
                .into_iter()
                .map(|(index, waits)| (index, scope.spawn(move || waits.run(times, stop))))
                .collect();
            let paced = self.send_all(window, stop, &mut tally);
            for (index, thread) in running {
                let ended = thread.join().map_err(|_| GeneratorError::Died {
                    flow: self.numbers[index],
                })??;
                tally.sent.due += ended.sent + ended.refused;
                tally.sent.sent += ended.sent;
                tally.sent.refused += ended.refused;
                tally.per_flow[index] += ended.sent;
                tally.sent.loops.push(ended.done);
            }
            paced
        })?;
        let Tally {
            mut sent,
            per_flow,
            in_time,
        } = tally;
        let said = std::iter::once(self.sent_by.clone()).chain(in_time);
        sent.sender = said
            .filter(|phrase| !phrase.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
        sent.flows = self.numbers.iter().copied().zip(per_flow).collect();
        Ok(sent)
    }

    /// Everything that this thread sends: what is due at given times, and in between as much as goes of the rest.
    fn send_all(
        &mut self,
        window: Window,
        stop: &Cancel,
        tally: &mut Tally,
    ) -> Result<(), GeneratorError> {
        // Without this the kernel may end each sleep up to 50 us late, to save power.
        set_current_timer_slack(Some(NonZeroU64::MIN))
            .map_err(|error| GeneratorError::Timer(error.into()))?;
        if self.pace == Pace::Spin {
            tally.in_time = realtime::prepare();
        }
        let alarm = Alarm::new().map_err(GeneratorError::Timer)?;
        let mut schedule = self.sources.schedule(window.start_ns, window.stop_ns)?;
        for flow in &mut self.saturating {
            flow.next_ns = window.start_ns;
        }
        let mut batch = Batch::default();
        let ahead_ns = self.sender.ahead_ns();
        loop {
            let now = realtime_ns();
            if now >= window.give_up_ns || stop.is_cancelled() {
                break;
            }
            let (packet, due) = match self.next(now, ahead_ns, &mut schedule, window) {
                Next::Packet(packet, due) => (packet, due),
                Next::Wait(until) => {
                    self.flush(&mut batch, tally)?;
                    let woken = wait_until(until, self.pace, &alarm, stop);
                    if woken.map_err(GeneratorError::Timer)? == Woken::Cancelled {
                        break;
                    }
                    continue;
                }
                Next::Over => break,
            };
            let Some(frames) = &mut self.frames[packet.flow] else {
                continue;
            };
            let template = frames.next(packet.size)?;
            template.number(packet.seq);
            let now = realtime_ns();
            match due {
                None => self.sender.push(template.stamp(now)),
                Some(due_ns) => {
                    let leaves_ns = due_ns.max(now);
                    self.sender.push_at(template.stamp(leaves_ns), leaves_ns);
                    let late = now.saturating_sub(due_ns);
                    tally.sent.late += u64::from(late > LATE_NS);
                    tally.sent.latest_ns = tally.sent.latest_ns.max(late);
                }
            }
            batch.flows.push_back(packet.flow);
            tally.sent.due += 1;
            // What has a time does not wait for company, unless that may go as well.
            let horizon = now.saturating_add(ahead_ns);
            let alone = due.is_some() && schedule.next_ns().is_none_or(|next| next > horizon);
            if alone || batch.flows.len() >= self.sender.capacity() {
                self.flush(&mut batch, tally)?;
            }
        }
        self.flush(&mut batch, tally)?;
        let now = realtime_ns();
        tally.sent.due += schedule.take_while(|due| due.at_ns <= now).count() as u64;
        Ok(())
    }

    /// What comes next: what is due, or will be before so long, else what may go at any time, else the wait for either.
    fn next(&mut self, now: u64, ahead_ns: u64, schedule: &mut Schedule, window: Window) -> Next {
        let next_ns = schedule.next_ns();
        let horizon = now.saturating_add(ahead_ns);
        if next_ns.is_some_and(|next| next <= horizon)
            && let Some(due) = schedule.next()
        {
            return Next::Packet(Packet::of(&due), Some(due.at_ns));
        }
        // Half of what may be handed over ahead is, at each waking: few wakings, and time left for a slow one.
        let wake_ns = next_ns.map(|next| next.saturating_sub(ahead_ns / 2));
        let open = if now < window.stop_ns {
            self.saturating.iter_mut().min_by_key(|flow| flow.next_ns)
        } else {
            None
        };
        if let Some(flow) = open {
            if flow.next_ns <= now {
                return Next::Packet(flow.take(now), None);
            }
            let capped = flow.next_ns.min(window.stop_ns);
            return Next::Wait(wake_ns.map_or(capped, |wake| wake.min(capped)));
        }
        wake_ns.map_or(Next::Over, Next::Wait)
    }

    /// Sends the batch, and counts what became of each packet.
    fn flush(&mut self, batch: &mut Batch, tally: &mut Tally) -> Result<(), GeneratorError> {
        while !batch.flows.is_empty() {
            let (sent, refused) = match self.sender.flush() {
                Ok(sent) => (sent, None),
                Err(refused) => (refused.sent, Some(refused.error)),
            };
            for flow in batch.flows.drain(..sent) {
                tally.sent.sent += 1;
                tally.per_flow[flow] += 1;
            }
            match refused {
                None => break,
                Some(error) if is_fatal(&error) => {
                    return Err(GeneratorError::Gone {
                        interface: self.interface.clone(),
                        sent: tally.sent.sent,
                        error,
                    });
                }
                Some(_) => {
                    batch.flows.pop_front();
                    tally.sent.refused += 1;
                }
            }
        }
        Ok(())
    }
}

/// What is counted of this thread's packets, and in the end of all.
struct Tally {
    sent: Sent,
    per_flow: Vec<u64>,
    /// What was done so that it is in time.
    in_time: Vec<String>,
}

/// The flows of the packets that the sender holds, in its order.
#[derive(Default)]
struct Batch {
    flows: VecDeque<usize>,
}

/// What comes next.
enum Next {
    /// A packet, and when it was due if it has a time.
    Packet(Packet, Option<u64>),
    /// Nothing before this.
    Wait(u64),
    /// Nothing any more.
    Over,
}

/// A packet that goes next.
#[derive(Debug, Clone, Copy)]
struct Packet {
    flow: usize,
    seq: u32,
    size: Option<u32>,
}

impl Packet {
    fn of(due: &Due) -> Self {
        Self {
            flow: due.flow,
            seq: due.seq,
            size: due.size,
        }
    }
}

/// A flow that goes as fast as it can.
#[derive(Debug)]
struct Saturating {
    flow: usize,
    seq: u32,
    /// No packet before this.
    next_ns: u64,
    /// Between two packets, by the cap; zero without one.
    gap_ns: u64,
}

impl Saturating {
    fn new(flow: usize, cap: Option<Rate>) -> Self {
        Self {
            flow,
            seq: 0,
            next_ns: 0,
            gap_ns: cap.map_or(0, |cap| cap.gap_nanos().ceil() as u64),
        }
    }

    fn take(&mut self, now: u64) -> Packet {
        let packet = Packet {
            flow: self.flow,
            seq: self.seq,
            size: None,
        };
        self.seq = self.seq.wrapping_add(1);
        // Flows without a cap take turns. What a slow moment cost is made good only as far as one wait goes.
        self.next_ns = if self.gap_ns == 0 {
            now
        } else {
            (self.next_ns + self.gap_ns).max(now.saturating_sub(CATCH_UP_NS))
        };
        packet
    }
}

fn wait_until(at_ns: u64, pace: Pace, alarm: &Alarm, stop: &Cancel) -> io::Result<Woken> {
    if stop.is_cancelled() {
        return Ok(Woken::Cancelled);
    }
    let sleep_to_ns = match pace {
        Pace::Sleep => at_ns,
        Pace::Spin => at_ns.saturating_sub(SPIN_NS),
    };
    let now = realtime_ns();
    if sleep_to_ns > now.saturating_add(LONG_GAP_NS) {
        if alarm.until(sleep_to_ns, stop)? == Woken::Cancelled {
            return Ok(Woken::Cancelled);
        }
    } else if sleep_to_ns > now {
        sleep_until(sleep_to_ns)?;
    }
    while pace == Pace::Spin && realtime_ns() < at_ns {
        std::hint::spin_loop();
    }
    Ok(Woken::Due)
}

#[cfg(test)]
mod tests {
    use vifbench_scenarios::scenario::SendBy;
    use vifbench_scenarios::units::Size;

    use std::time::Duration;

    use vifbench_wire::packet::{Parsed, parse};
    use vifbench_wire::protocol::FlowSpec;
    use vifbench_wire::schedule::Due;

    use super::*;
    use crate::senders::Refused;

    #[derive(Default)]
    struct Recorder {
        capacity: usize,
        waiting: VecDeque<Vec<u8>>,
        /// How long before their time it takes frames, and which times it was told.
        ahead_ns: u64,
        times: Vec<u64>,
        /// How many frames each flush had.
        flushes: Vec<usize>,
        frames: Vec<(u64, Vec<u8>)>,
        answers: Vec<i32>,
    }

    impl Sender for &mut Recorder {
        fn capacity(&self) -> usize {
            self.capacity.max(1)
        }
        fn ahead_ns(&self) -> u64 {
            self.ahead_ns
        }
        fn push(&mut self, frame: &[u8]) {
            self.waiting.push_back(frame.to_vec());
        }
        fn push_at(&mut self, frame: &[u8], at_ns: u64) {
            self.times.push(at_ns);
            self.push(frame);
        }
        fn flush(&mut self) -> Result<usize, Refused> {
            self.flushes.push(self.waiting.len());
            let mut sent = 0;
            while let Some(frame) = self.waiting.pop_front() {
                self.frames.push((realtime_ns(), frame));
                match self.answers.get(self.frames.len() - 1) {
                    None | Some(0) => sent += 1,
                    Some(code) => {
                        let error = io::Error::from_raw_os_error(*code);
                        return Err(Refused { sent, error });
                    }
                }
            }
            Ok(sent)
        }
    }

    fn schedule(generator: &Generator<impl Sender>, start: u64, stop: u64) -> Vec<Due> {
        generator.sources.schedule(start, stop).unwrap().collect()
    }

    fn plan(rate: u64, pace: Pace) -> Generate {
        let flow = |flow, arrivals| FlowSpec {
            flow,
            source_mac: "02:00:00:00:00:01".into(),
            destination_mac: "02:00:00:00:00:02".into(),
            source: "198.18.0.1".parse().unwrap(),
            destination: "198.18.0.2".parse().unwrap(),
            size: Size::from_bytes(64).into(),
            arrivals,
            seed: 3,
        };
        let rate = Rate::per_sec(rate);
        let flows = vec![
            flow(1, Arrivals::Cbr { rate }),
            flow(2, Arrivals::Poisson { rate }),
        ];
        Generate {
            interface: "test".into(),
            pace,
            sender: SendBy::Auto,
            warmup_ns: 0,
            flows,
        }
    }

    fn window(start_ns: u64, run_ms: u64) -> Window {
        let stop_ns = start_ns + run_ms * 1_000_000;
        Window {
            start_ns,
            stop_ns,
            give_up_ns: stop_ns + 5_000_000_000,
        }
    }

    #[test]
    fn gives_up_when_it_has_fallen_behind() {
        struct Slow;
        impl Sender for Slow {
            fn capacity(&self) -> usize {
                1
            }
            fn push(&mut self, _: &[u8]) {}
            fn flush(&mut self) -> Result<usize, Refused> {
                std::thread::sleep(Duration::from_millis(5));
                Ok(1)
            }
        }
        let mut generator = Generator::with_sender(&plan(10_000, Pace::Sleep), Slow).unwrap();
        let start = realtime_ns();
        let times = Window {
            give_up_ns: start + 150_000_000,
            ..window(start, 100)
        };
        let all = schedule(&generator, start, times.stop_ns).len() as u64;
        let sent = generator.run(times, &Cancel::new().unwrap()).unwrap();
        assert!(realtime_ns() < start + 1_000_000_000);
        assert_eq!(sent.due, all);
        assert!((1..=30).contains(&sent.sent), "{sent:?}");
    }

    #[test]
    fn sends_what_is_due_when_it_is_due() {
        for pace in [Pace::Sleep, Pace::Spin] {
            let mut recorder = Recorder::default();
            let mut generator = Generator::with_sender(&plan(500, pace), &mut recorder).unwrap();
            let start = realtime_ns() + 10_000_000;
            let stop = start + 200_000_000;
            let due = schedule(&generator, start, stop);
            let sent = generator
                .run(window(start, 200), &Cancel::new().unwrap())
                .unwrap();
            assert_eq!(sent.due, due.len() as u64);
            assert_eq!(sent.sent, sent.due);
            assert_eq!(sent.flows.iter().map(|f| f.1).sum::<u64>(), sent.due);
            for (packet, (at, frame)) in due.iter().zip(&recorder.frames) {
                assert!(*at >= packet.at_ns);
                let Parsed::Test(stamp) = parse(frame) else {
                    panic!("not ours")
                };
                assert_eq!(
                    (stamp.flow, stamp.seq),
                    (packet.flow as u16 + 1, packet.seq)
                );
                // Stamped after it was due and before it was sent.
                assert!((packet.at_ns..=*at).contains(&stamp.sent_near(*at)));
            }
        }
    }

    #[test]
    fn who_can_hold_packets_back_gets_them_before_their_time_and_together() {
        const AHEAD_NS: u64 = 50_000_000;
        let mut recorder = Recorder {
            capacity: 8,
            ahead_ns: AHEAD_NS,
            ..Recorder::default()
        };
        let mut generator = Generator::with_sender(&plan(500, Pace::Sleep), &mut recorder).unwrap();
        let start = realtime_ns() + 500_000_000;
        let due = schedule(&generator, start, start + 200_000_000);
        let sent = generator
            .run(window(start, 200), &Cancel::new().unwrap())
            .unwrap();
        assert_eq!((sent.sent, sent.due), (due.len() as u64, due.len() as u64));
        for (packet, ((handed_over, frame), told)) in
            due.iter().zip(recorder.frames.iter().zip(&recorder.times))
        {
            assert!(*handed_over + AHEAD_NS >= packet.at_ns);
            // A machine that stood still for so long hands over what is late at once.
            assert!(*told >= packet.at_ns && (*told == packet.at_ns || *handed_over >= *told));
            let Parsed::Test(stamp) = parse(frame) else {
                panic!("not ours")
            };
            assert_eq!(stamp.sent_near(*told), *told);
        }
        // The first were due in half a second, and went together before that.
        assert!(recorder.frames[0].0 < start, "{:?}", recorder.frames[0].0);
        assert!(recorder.flushes.iter().any(|frames| *frames > 1));
        assert!(recorder.flushes.iter().all(|frames| *frames <= 8));
    }

    #[test]
    fn refusals_are_counted_and_do_not_end_it() {
        let mut recorder = Recorder {
            answers: vec![0, libc::ENOBUFS, 0, libc::EAGAIN],
            ..Recorder::default()
        };
        let mut generator = Generator::with_sender(&plan(500, Pace::Sleep), &mut recorder).unwrap();
        let start = realtime_ns();
        let sent = generator
            .run(window(start, 100), &Cancel::new().unwrap())
            .unwrap();
        assert_eq!(sent.refused, 2);
        assert_eq!(sent.sent + 2, sent.due);
    }

    #[test]
    fn an_interface_that_went_down_ends_it() {
        let mut recorder = Recorder {
            answers: vec![0, libc::ENETDOWN],
            ..Recorder::default()
        };
        let mut generator = Generator::with_sender(&plan(500, Pace::Sleep), &mut recorder).unwrap();
        let start = realtime_ns();
        let error = generator
            .run(window(start, 100), &Cancel::new().unwrap())
            .unwrap_err();
        assert!(
            matches!(error, GeneratorError::Gone { sent: 1, .. }),
            "{error}"
        );
    }

    #[test]
    fn stops_at_once_when_told() {
        let mut recorder = Recorder::default();
        let mut generator = Generator::with_sender(&plan(1, Pace::Sleep), &mut recorder).unwrap();
        let stop = Cancel::new().unwrap();
        let far = realtime_ns() + 3_600_000_000_000;
        let sent = std::thread::scope(|scope| {
            let worker = scope.spawn(|| generator.run(window(far, 1000), &stop).unwrap());
            stop.cancel().unwrap();
            worker.join().unwrap()
        });
        assert_eq!(sent.due, 0);
        assert!(recorder.frames.is_empty());
    }

    fn saturating(cap: Option<Rate>) -> Generate {
        let mut plan = plan(500, Pace::Sleep);
        plan.flows[1].arrivals = Arrivals::Saturate { cap };
        plan
    }

    #[test]
    fn what_saturates_leaves_the_others_their_times() {
        let mut recorder = Recorder {
            capacity: 16,
            ..Recorder::default()
        };
        let mut generator = Generator::with_sender(&saturating(None), &mut recorder).unwrap();
        let start = realtime_ns() + 1_000_000;
        let timed = schedule(&generator, start, start + 100_000_000).len() as u64;
        let sent = generator
            .run(window(start, 100), &Cancel::new().unwrap())
            .unwrap();
        assert_eq!(sent.flows[0], (1, timed));
        // Far more than the 50 of a flow at 500/s, whatever else the machine does.
        assert!(sent.flows[1].1 > 1000, "{sent:?}");
        assert_eq!(sent.sent, sent.due);
        assert_eq!(recorder.frames.len() as u64, sent.sent);
        assert!(recorder.flushes.iter().all(|n| *n <= 16));
        let seqs = recorder.frames.iter().filter_map(|(_, frame)| {
            let Parsed::Test(stamp) = parse(frame) else {
                panic!("not ours")
            };
            (stamp.flow == 2).then_some(stamp.seq)
        });
        assert!(seqs.eq(0..sent.flows[1].1 as u32));
    }

    #[test]
    fn a_cap_is_kept() {
        let mut recorder = Recorder::default();
        let capped = saturating(Some(Rate::per_sec(1000)));
        let mut generator = Generator::with_sender(&capped, &mut recorder).unwrap();
        let start = realtime_ns() + 1_000_000;
        let sent = generator
            .run(window(start, 200), &Cancel::new().unwrap())
            .unwrap();
        // One at the start, and what a wait of 1 ms may make good.
        assert!(sent.flows[1].1 <= 202, "{sent:?}");
        assert!(sent.flows[1].1 > 0);
    }

    #[test]
    fn a_refusal_in_a_batch_is_that_packets_own() {
        let mut recorder = Recorder {
            capacity: 8,
            answers: vec![0, 0, libc::ENOBUFS, 0, 0, libc::ENOBUFS],
            ..Recorder::default()
        };
        let mut plan = saturating(None);
        plan.flows.remove(0);
        let mut generator = Generator::with_sender(&plan, &mut recorder).unwrap();
        let start = realtime_ns();
        let sent = generator
            .run(window(start, 20), &Cancel::new().unwrap())
            .unwrap();
        assert_eq!(sent.refused, 2);
        assert_eq!(sent.sent + 2, sent.due);
        assert_eq!(recorder.frames.len() as u64, sent.due);
    }
}
