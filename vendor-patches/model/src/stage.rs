//! The container stage of one queue: what happens, in which order, when a frame arrives.
//!
//! 1. An open container whose deadline lies before the arrival was released at its deadline.
//! 2. If there was an arrival before, the gap is a sample.
//! 3. A frame that cannot be packed releases the open container and travels alone. One that does not fit releases it as
//!    full. Then it is put into the container, a new one if none is open.
//! 4. The deadline is reckoned anew, at most T0 after the container was opened. A container that is full, or due by
//!    now, is released at once.

use crate::container::{Fill, Layout};
use crate::regulator::{NEVER, Regulator};

/// Why a container left; the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// No more fits.
    Full = 0,
    /// Its deadline came.
    Timeout = 1,
    /// A frame came that cannot be packed, and order is kept.
    Bypass = 2,
    /// The consumer was free and took what there was.
    Backlog = 3,
}

/// A container that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// When.
    pub at: u64,
    /// When its first frame came.
    pub opened: u64,
    /// Frames in it.
    pub frames: u32,
    /// Bytes in it, header and padding included.
    pub used: u32,
    /// Why.
    pub reason: Reason,
}

/// What an arrival set off, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Step 1.
    pub expired: Option<Release>,
    /// Step 3: the container that made room.
    pub displaced: Option<Release>,
    /// Step 3: the frame travels alone.
    pub alone: bool,
    /// Step 4: the container with the new frame.
    pub completed: Option<Release>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Open {
    frames: u32,
    used: u32,
    since: u64,
    deadline: u64,
}

/// The container stage of one queue.
#[derive(Debug, Clone)]
pub struct Stage<R> {
    regulator: R,
    layout: Layout,
    hold: u64,
    last: Option<u64>,
    open: Open,
    waits: bool,
}

impl<R: Regulator> Stage<R> {
    /// `hold` is T0 in nanoseconds. A hold of 0 releases every frame at once.
    pub fn new(regulator: R, layout: Layout, hold: u64) -> Self {
        Self {
            regulator,
            layout,
            hold,
            last: None,
            open: Open::default(),
            waits: false,
        }
    }

    /// When the open container is due, if one is open.
    #[inline]
    pub fn due(&self) -> Option<u64> {
        (self.open.frames > 0).then_some(self.open.deadline)
    }

    /// When a timer has to go off: [`NEVER`] if no deadline counts.
    #[inline]
    pub fn alarm(&self) -> u64 {
        if self.open.frames > 0 && !self.waits {
            self.open.deadline
        } else {
            NEVER
        }
    }

    /// When the open container's first frame came.
    #[inline]
    pub fn opened(&self) -> u64 {
        self.open.since
    }

    /// What a timer does: releases the open container if it is due by `now`, at its deadline. One that was waiting for
    /// its consumer then may have got frames since; it was released after the last of them.
    #[inline]
    pub fn expire(&mut self, now: u64) -> Option<Release> {
        (self.open.frames > 0 && self.open.deadline <= now && !self.waits).then(|| {
            let at = self.open.deadline.max(self.last.unwrap_or_default());
            self.release(at, Reason::Timeout, true)
        })
    }

    /// The consumer takes what there is.
    #[inline]
    pub fn drain(&mut self, now: u64) -> Option<Release> {
        // Only a container that was due is one that waited in vain.
        let overdue = self.open.deadline <= now;
        (self.open.frames > 0).then(|| self.release(now, Reason::Backlog, overdue))
    }

    /// Tells whether the consumer is busy, for regulators that [wait for it](Regulator::WAITS_FOR_CONSUMER): while it
    /// is, no deadline releases their containers.
    #[inline]
    pub fn consumer_is_busy(&mut self, busy: bool) {
        self.waits = R::WAITS_FOR_CONSUMER && busy;
    }

    /// A frame of `len` bytes arrives at `now`; a time before the last arrival counts as that. `packable`: whether it
    /// may share a container at all.
    #[inline]
    pub fn arrive(&mut self, now: u64, len: u32, packable: bool) -> Outcome {
        let now = self.last.map_or(now, |last| now.max(last));
        let mut outcome = Outcome::default();
        if self.open.deadline < now {
            outcome.expired = self.expire(now);
        }
        self.regulator.arrive(self.last.map(|last| now - last));
        self.last = Some(now);
        let Some(cost) = self.layout.cost(len).filter(|_| packable) else {
            if self.open.frames > 0 {
                outcome.displaced = Some(self.release(now, Reason::Bypass, false));
            }
            outcome.alone = true;
            return outcome;
        };
        if self.open.frames > 0 && self.free() < cost {
            outcome.displaced = Some(self.release(now, Reason::Full, false));
        }
        if self.open.frames == 0 {
            self.open.since = now;
            self.open.used = self.layout.header;
            self.regulator.open();
        }
        self.open.frames += 1;
        self.open.used += cost;
        let deadline = self
            .regulator
            .deadline(now, self.open.since, self.open.frames);
        self.open.deadline = if deadline == NEVER {
            NEVER
        } else {
            deadline.min(self.open.since.saturating_add(self.hold))
        };
        if self.layout.fill == Fill::Ahead && self.free() < cost {
            outcome.completed = Some(self.release(now, Reason::Full, false));
        } else if self.open.deadline <= now && !self.waits {
            outcome.completed = Some(self.release(now, Reason::Timeout, true));
        }
        outcome
    }

    #[inline]
    fn free(&self) -> u32 {
        self.layout.capacity - self.open.used
    }

    #[inline]
    fn release(&mut self, at: u64, reason: Reason, overdue: bool) -> Release {
        let open = std::mem::take(&mut self.open);
        self.regulator.release(open.frames, overdue);
        Release {
            at,
            opened: open.since,
            frames: open.frames,
            used: open.used,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::{Fixed, Float};
    use crate::regulator::{
        BreakEven, Gated, Literal, NoWait, Paper, Ramjee1, Ramjee2, Ramjee3, Ramjee4, StaticHold,
    };

    /// Every frame by number, released in which container.
    fn drive<R: Regulator>(
        mut stage: Stage<R>,
        hold: u64,
        frames: &[(u64, u32, bool)],
    ) -> Result<(), TestCaseError> {
        let layout = stage.layout;
        // `nowait` has no deadline: its consumer drains it.
        let never = R::WAITS_FOR_CONSUMER;
        let mut now = 0u64;
        let mut waiting: Vec<(u64, u32)> = Vec::new();
        let mut out = 0;
        let mut alone = 0;
        let mut before = 0;
        let mut check = |release: Release, waiting: &mut Vec<(u64, u32)>| {
            // Conservation and order: exactly the frames that wait, all of them.
            prop_assert_eq!(release.frames as usize, waiting.len());
            prop_assert!(release.frames > 0);
            prop_assert!(release.used <= layout.capacity);
            let bytes: u32 = waiting.iter().map(|(_, cost)| cost).sum();
            prop_assert_eq!(release.used, layout.header + bytes);
            prop_assert_eq!(release.opened, waiting[0].0);
            // Nothing is held beyond T0, and nothing leaves before it came.
            prop_assert!(never || release.at <= release.opened.saturating_add(hold));
            prop_assert!(release.at >= waiting[waiting.len() - 1].0);
            prop_assert!(release.at >= before);
            before = release.at;
            out += waiting.len();
            waiting.clear();
            Ok(())
        };
        for &(gap, len, packable) in frames {
            now = now.saturating_add(gap);
            let outcome = stage.arrive(now, len, packable);
            if let Some(expired) = outcome.expired {
                prop_assert!(expired.at < now);
                check(expired, &mut waiting)?;
            }
            if let Some(displaced) = outcome.displaced {
                prop_assert_eq!(displaced.at, now);
                check(displaced, &mut waiting)?;
            }
            if outcome.alone {
                // A frame that travels alone overtakes nothing.
                prop_assert!(waiting.is_empty());
                alone += 1;
            } else {
                waiting.push((now, layout.cost(len).unwrap_or(0)));
            }
            if let Some(completed) = outcome.completed {
                check(completed, &mut waiting)?;
            }
            prop_assert_eq!(stage.due().is_some(), !waiting.is_empty());
        }
        if now < u64::MAX
            && let Some(due) = stage.due()
            && let Some(last) = stage.expire(u64::MAX)
        {
            prop_assert_eq!(last.at, due.max(now));
            check(last, &mut waiting)?;
        }
        if now < u64::MAX && stage.due().is_none() {
            prop_assert_eq!(out + alone, frames.len());
        }
        Ok(())
    }

    fn any_gap() -> impl Strategy<Value = u64> {
        prop_oneof![
            4 => 0u64..2_000_000,
            2 => 0u64..50_000,
            1 => Just(0),
            1 => prop_oneof![Just(999_999), Just(1_000_000), Just(1_000_001)],
            1 => any::<u64>().prop_map(|gap| gap >> 8),
        ]
    }

    fn any_frames() -> impl Strategy<Value = Vec<(u64, u32, bool)>> {
        let len =
            prop_oneof![3 => Just(60u32), 2 => 14u32..1600, 1 => 4000u32..4200, 1 => any::<u32>()];
        prop::collection::vec((any_gap(), len, prop::bool::weighted(0.95)), 0..400)
    }

    proptest! {
        #[test]
        fn every_regulator_keeps_order_frames_and_t0(
            frames in any_frames(),
            hold in prop_oneof![1u64..20_000_000, Just(1_000_000), Just(0), any::<u64>()],
            fill in prop_oneof![Just(Fill::Ahead), Just(Fill::Overflow)],
        ) {
            let layout = Layout { fill, ..Layout::WIRE };
            macro_rules! each {
                ($($regulator:expr),* $(,)?) => {$(
                    drive(Stage::new($regulator, layout, hold), hold, &frames)?;
                )*};
            }
            each!(
                NoWait,
                StaticHold::new(hold),
                Literal::<Fixed>::new(1_000_000),
                Literal::<Fixed>::new(u64::MAX),
                Paper::<Fixed>::new(hold),
                Gated::<Fixed>::new(hold),
                Ramjee1::<Fixed>::new(hold),
                Ramjee2::<Fixed>::new(hold),
                Ramjee3::<Fixed>::new(hold),
                Ramjee4::<Fixed>::new(hold),
                Paper::<Float>::new(hold),
                Gated::<Float>::new(hold),
                Ramjee4::<Float>::new(hold),
                BreakEven::new(hold),
            );
        }
    }

    #[test]
    fn a_hold_of_zero_holds_nothing() {
        let mut stage = Stage::new(StaticHold::new(0), Layout::WIRE, 0);
        let out = stage.arrive(5, 60, true).completed;
        assert_eq!(
            out,
            Some(Release {
                at: 5,
                opened: 5,
                frames: 1,
                used: 16 + 68,
                reason: Reason::Timeout
            })
        );
    }

    #[test]
    fn a_tie_of_arrival_and_deadline_goes_to_the_arrival() {
        let mut stage = Stage::new(StaticHold::new(100), Layout::WIRE, 100);
        assert_eq!(stage.arrive(0, 60, true), Outcome::default());
        let outcome = stage.arrive(100, 60, true);
        assert_eq!(outcome.expired, None);
        assert_eq!(
            outcome.completed.map(|c| (c.frames, c.reason)),
            Some((2, Reason::Timeout))
        );
    }

    #[test]
    fn the_two_fill_rules() {
        // 1514-byte frames: two fit.
        let overflow = Layout {
            fill: Fill::Overflow,
            ..Layout::WIRE
        };
        let mut stage = Stage::new(StaticHold::new(1000), overflow, 1000);
        assert_eq!(stage.arrive(0, 1514, true), Outcome::default());
        assert_eq!(stage.arrive(1, 1514, true), Outcome::default());
        let outcome = stage.arrive(2, 1514, true);
        assert_eq!(
            outcome.displaced.map(|d| (d.frames, d.reason)),
            Some((2, Reason::Full))
        );
        assert_eq!(stage.due(), Some(1002));
        let mut stage = Stage::new(StaticHold::new(1000), Layout::WIRE, 1000);
        stage.arrive(0, 1514, true);
        let outcome = stage.arrive(1, 1514, true);
        assert_eq!(
            outcome.completed.map(|d| (d.frames, d.reason)),
            Some((2, Reason::Full))
        );
    }

    #[test]
    fn the_paper_waits_t0_for_its_first_frame() {
        let mut stage = Stage::new(Paper::<Fixed>::new(1_000_000), Layout::WIRE, 1_000_000);
        stage.arrive(10, 60, true);
        assert_eq!(stage.due(), Some(1_000_010));
        // D = 1 us, V = 0.99 us: 4.96 us for the second; the mean of 1 ms and 100 us + 4.96 us.
        stage.arrive(100_010, 60, true);
        assert_eq!(stage.due(), Some(10 + (1_000_000 + 100_000 + 4_960) / 2));
    }

    #[test]
    fn literal_ramps_whatever_comes() {
        // 4 (1 - 0.99^k) units: 0.04 after one frame, 2 after 69, 3.96 after 458.
        let mut literal = Literal::<Fixed>::new(1_000_000);
        let mut hold = 0;
        for k in 1..=458 {
            literal.arrive(None);
            hold = literal.deadline(0, 0, k);
            match k {
                1 => assert_eq!(hold, 40_000),
                69 => assert!((1_990_000..2_010_000).contains(&hold), "{hold}"),
                _ => {}
            }
        }
        assert!((3_950_000..3_970_000).contains(&hold), "{hold}");
    }

    #[test]
    fn the_gate_closes_and_probes() {
        // One frame every 5 ms with T0 = 1 ms: holding never pays.
        let mut stage = Stage::new(Gated::<Fixed>::new(1_000_000), Layout::WIRE, 1_000_000);
        let mut held = Vec::new();
        for i in 0..400u64 {
            stage.arrive(i * 5_000_000, 60, true);
            held.push(stage.due().is_some());
            stage.expire(i * 5_000_000 + 4_999_999);
        }
        let closed = held.iter().position(|h| !h).unwrap();
        assert!((10..20).contains(&closed), "{closed}");
        let probes: Vec<usize> = (closed..400).filter(|i| held[*i]).collect();
        assert_eq!(probes[0], closed + 63);
        assert_eq!(probes[1] - probes[0], 64);
    }
}
