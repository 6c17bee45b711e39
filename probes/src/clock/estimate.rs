//! Offset and skew of one host's clock against the reference, with a bound that holds.
//!
//! Every method yields *limits*: at some local time, the offset (local minus reference) lies above or below a
//! value, for certain. A request that left at local time `t1` and was seen by the reference at `t2` cannot have
//! travelled backwards in time: the offset is at least `t1 - t2`. The reply says that it is at most `t4 - t3`.
//! No assumption is made on how delay divides between the two ways.
//!
//! Both clocks are taken to run at constant rates over a trial, so the offset is a straight line over local
//! time. All lines that respect every limit form a convex polygon of (offset, skew); at any time the offset lies
//! between the lowest and the highest of them. This is the linear program of Moon, Skelly and Towsley
//! (INFOCOM 1999), with limits from both sides. The estimate is the line through the middle of that range at
//! both ends of the trial; its error is largest at one of the ends and is at most half the range there. What
//! the clocks may wander from constant rates between the exchanges is added on top.

use thiserror::Error;

use crate::protocol::{ClockReading, Exchange};

/// What is assumed of the clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assumptions {
    /// The rates of the two clocks differ by less than this (1e-6 is 1 ppm).
    pub max_skew: f64,
    /// How far the rate difference may itself wander during a trial.
    pub wander: f64,
    /// Coarseness of the readings, in nanoseconds: each limit is loosened by so much.
    pub resolution_ns: f64,
}

impl Default for Assumptions {
    /// NTP slews by 500 ppm at most; quartz wanders by less than 0.05 ppm in the minutes of a trial.
    fn default() -> Self {
        Self {
            max_skew: 500e-6,
            wander: 0.05e-6,
            resolution_ns: 1.0,
        }
    }
}

/// Where an estimate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The host's clock is the reference.
    Reference,
    /// Both hosts read one time-stamp counter.
    SharedTsc,
    /// Frames went to and fro.
    TwoWay,
}

impl Method {
    /// As it is written in the run store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::SharedTsc => "shared-tsc",
            Self::TwoWay => "two-way",
        }
    }
}

/// A clock map: `reference = local - offset_ns - skew * (local - at_ns)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Local minus reference at `at_ns`.
    pub offset_ns: f64,
    /// Change of the offset per unit of local time.
    pub skew: f64,
    /// Local time at which `offset_ns` holds: the middle of the trial.
    pub at_ns: u64,
    /// The truth lies within this many nanoseconds, anywhere in the trial.
    pub bound_ns: f64,
    /// How it was found.
    pub method: Method,
}

impl Estimate {
    /// The reference clock itself.
    pub fn reference(at_ns: u64) -> Self {
        Self {
            offset_ns: 0.0,
            skew: 0.0,
            at_ns,
            bound_ns: 0.0,
            method: Method::Reference,
        }
    }

    /// Local minus reference at a local time.
    pub fn offset_at(&self, local_ns: u64) -> f64 {
        self.offset_ns + self.skew * difference(local_ns, self.at_ns)
    }
}

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EstimateError {
    /// Nothing to estimate from.
    #[error("no {what} to estimate the clock from: check that the reference host answers")]
    Nothing {
        /// `clock exchanges` or `clock readings`.
        what: &'static str,
    },
    /// Limits contradict each other.
    #[error(
        "the clock exchanges contradict each other: no constant offset and rate fits them all; was a clock \
         set, or slewed by NTP, during the trial?"
    )]
    Contradiction,
    /// The counters are not the same one.
    #[error(
        "the two hosts do not share a time-stamp counter: it puts the offset {by_ns:.0} ns outside of what \
         two-way exchange allows"
    )]
    NotShared {
        /// How far out.
        by_ns: f64,
    },
    /// The counters tell no time.
    #[error("the time-stamp counter cannot be used: {why}")]
    NoCounter {
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The part of local time for which an estimate must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// First local nanosecond.
    pub from_ns: u64,
    /// Last local nanosecond.
    pub to_ns: u64,
}

impl Interval {
    fn middle(self) -> u64 {
        self.from_ns + self.to_ns.saturating_sub(self.from_ns) / 2
    }
}

/// a - b, exact before it is rounded.
fn difference(a: u64, b: u64) -> f64 {
    (i128::from(a) - i128::from(b)) as f64
}

/// At local time `x` the offset is at least (or at most) `y`; both relative to the middle of the trial and to a
/// rough offset, so that f64 keeps them to far below a nanosecond.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limit {
    x: f64,
    y: f64,
}

/// A straight line: offset `a` at x = 0, slope `b`.
#[derive(Debug, Clone, Copy)]
struct Line {
    a: f64,
    b: f64,
}

impl Line {
    fn at(self, x: f64) -> f64 {
        self.a + self.b * x
    }
    fn through(p: Limit, q: Limit) -> Self {
        let b = (q.y - p.y) / (q.x - p.x);
        Self {
            a: p.y - b * p.x,
            b,
        }
    }
}

/// Limits on the offset from both sides, relative to `origin_ns` (time) and `rough_ns` (offset).
#[derive(Debug)]
struct Limits {
    origin_ns: u64,
    rough_ns: i128,
    at_least: Vec<Limit>,
    at_most: Vec<Limit>,
}

impl Limits {
    fn new(origin_ns: u64, rough_ns: i128) -> Self {
        Self {
            origin_ns,
            rough_ns,
            at_least: Vec::new(),
            at_most: Vec::new(),
        }
    }
    fn at_least(&mut self, local_ns: u64, offset_ns: i128, slack_ns: f64) {
        let y = (offset_ns - self.rough_ns) as f64 - slack_ns;
        self.at_least.push(Limit {
            x: difference(local_ns, self.origin_ns),
            y,
        });
    }
    fn at_most(&mut self, local_ns: u64, offset_ns: i128, slack_ns: f64) {
        let y = (offset_ns - self.rough_ns) as f64 + slack_ns;
        self.at_most.push(Limit {
            x: difference(local_ns, self.origin_ns),
            y,
        });
    }

    /// The range of the offset at each end of the interval over all lines that respect every limit.
    fn ranges(mut self, interval: Interval, max_skew: f64) -> Result<Ranges, EstimateError> {
        // Only the corners of the two hulls can be tight.
        let upper = hull(&mut self.at_most, -1.0);
        let lower = hull(&mut self.at_least, 1.0);
        let (from, to) = (
            difference(interval.from_ns, self.origin_ns),
            difference(interval.to_ns, self.origin_ns),
        );
        // Rounding must not make a line that touches a limit seem to cross it.
        let tolerance = 1e-4;
        let allowed = |line: &Line| {
            line.b.abs() <= max_skew * (1.0 + 1e-9)
                && lower.iter().all(|p| line.at(p.x) >= p.y - tolerance)
                && upper.iter().all(|p| line.at(p.x) <= p.y + tolerance)
        };
        // Corners of the polygon: lines that touch two limits, or one at the greatest skew.
        let points: Vec<Limit> = lower.iter().chain(&upper).copied().collect();
        let mut ranges: Option<Ranges> = None;
        let mut consider = |line: Line| {
            if allowed(&line) {
                let (first, last) = (line.at(from), line.at(to));
                ranges
                    .get_or_insert(Ranges {
                        from: (first, first),
                        to: (last, last),
                    })
                    .add(first, last);
            }
        };
        for (i, p) in points.iter().enumerate() {
            for b in [-max_skew, max_skew] {
                consider(Line {
                    a: p.y - b * p.x,
                    b,
                });
            }
            for q in &points[i + 1..] {
                if (p.x - q.x).abs() > 0.5 {
                    consider(Line::through(*p, *q));
                }
            }
        }
        ranges.ok_or(EstimateError::Contradiction)
    }

    /// The farthest that any moment of the interval is from the nearest limit.
    fn farthest(&self, interval: Interval) -> f64 {
        let (from, to) = (
            difference(interval.from_ns, self.origin_ns),
            difference(interval.to_ns, self.origin_ns),
        );
        let mut times: Vec<f64> = self
            .at_least
            .iter()
            .chain(&self.at_most)
            .map(|p| p.x)
            .collect();
        times.sort_by(f64::total_cmp);
        let nearest = |x: f64| {
            times
                .iter()
                .map(|t| (t - x).abs())
                .fold(f64::INFINITY, f64::min)
        };
        let gaps = times.windows(2).map(|w| {
            // The middle of a gap, as far as it lies within the interval.
            nearest(w[0].midpoint(w[1]).clamp(from, to))
        });
        gaps.fold(nearest(from).max(nearest(to)), f64::max)
    }

    fn estimate(
        self,
        interval: Interval,
        assumptions: &Assumptions,
        method: Method,
    ) -> Result<Estimate, EstimateError> {
        let wander = assumptions.wander * self.farthest(interval);
        let rough = self.rough_ns as f64;
        let origin = self.origin_ns;
        let ranges = self.ranges(interval, assumptions.max_skew)?;
        let middle = |range: (f64, f64)| range.0.midpoint(range.1);
        let half = |range: (f64, f64)| (range.1 - range.0) / 2.0;
        let length = difference(interval.to_ns, interval.from_ns);
        let (first, last) = (middle(ranges.from), middle(ranges.to));
        let skew = if length > 0.0 {
            (last - first) / length
        } else {
            0.0
        };
        let at_ns = interval.middle();
        let offset = first + skew * difference(at_ns, interval.from_ns);
        debug_assert_eq!(origin, at_ns);
        Ok(Estimate {
            offset_ns: rough + offset,
            skew,
            at_ns,
            bound_ns: half(ranges.from).max(half(ranges.to)) + wander,
            method,
        })
    }
}

/// Range of the offset at both ends of an interval.
#[derive(Debug, Clone, Copy)]
struct Ranges {
    from: (f64, f64),
    to: (f64, f64),
}

impl Ranges {
    fn add(&mut self, first: f64, last: f64) {
        self.from = (self.from.0.min(first), self.from.1.max(first));
        self.to = (self.to.0.min(last), self.to.1.max(last));
    }
}

/// The upper hull (`side` 1) or lower hull (`side` -1) of the points, by increasing x.
fn hull(points: &mut [Limit], side: f64) -> Vec<Limit> {
    points.sort_by(|p, q| {
        p.x.total_cmp(&q.x)
            .then((side * q.y).total_cmp(&(side * p.y)))
    });
    let mut hull: Vec<Limit> = Vec::new();
    for p in points.iter() {
        if hull
            .last()
            .is_some_and(|last| last.x.total_cmp(&p.x).is_eq())
        {
            continue; // of points at one time only the tightest counts, and it came first
        }
        while let [.., a, b] = hull[..] {
            let turn = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
            if side * turn < 0.0 {
                break;
            }
            hull.pop();
        }
        hull.push(*p);
    }
    hull
}

/// Offset and skew from two-way exchanges, made before, after or during the interval. Its bound is half of the least
/// round trip's time where all exchanges lie together, and takes in what skew and wander may add.
///
/// # Errors
/// When there is no exchange, or no constant offset and rate fits them all.
pub fn two_way(
    exchanges: &[Exchange],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Estimate, EstimateError> {
    two_way_limits(exchanges, interval, assumptions)?.estimate(
        interval,
        assumptions,
        Method::TwoWay,
    )
}

/// Offset and skew from limits as such: at a local time the offset is at least, or at most, so many nanoseconds.
///
/// # Errors
/// When there are no limits from both sides, or no constant offset and rate fits them all.
pub fn from_limits(
    at_least: &[(u64, i128)],
    at_most: &[(u64, i128)],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Estimate, EstimateError> {
    let (Some(first), false) = (at_least.first(), at_most.is_empty()) else {
        return Err(EstimateError::Nothing {
            what: "packets in both directions",
        });
    };
    let mut limits = Limits::new(interval.middle(), first.1);
    for (local_ns, offset_ns) in at_least {
        limits.at_least(*local_ns, *offset_ns, assumptions.resolution_ns);
    }
    for (local_ns, offset_ns) in at_most {
        limits.at_most(*local_ns, *offset_ns, assumptions.resolution_ns);
    }
    limits.estimate(interval, assumptions, Method::TwoWay)
}

fn two_way_limits(
    exchanges: &[Exchange],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Limits, EstimateError> {
    let first = exchanges.first().ok_or(EstimateError::Nothing {
        what: "clock exchanges",
    })?;
    let mut limits = Limits::new(
        interval.middle(),
        i128::from(first.t1) - i128::from(first.t2),
    );
    for e in exchanges {
        let slack = assumptions.resolution_ns;
        limits.at_least(e.t1, i128::from(e.t1) - i128::from(e.t2), slack);
        limits.at_most(e.t4, i128::from(e.t4) - i128::from(e.t3), slack);
    }
    Ok(limits)
}

/// Offset and skew from readings of both hosts' clocks, each bracketed by readings of one time-stamp counter that
/// both hosts share (a Xen host and its guests whose counter is neither emulated nor offset).
///
/// Whether it *is* shared cannot be seen from these readings: see [`judge`].
///
/// # Errors
/// When a host has no readings, the counter does not advance, or no constant offset and rate fits.
pub fn shared_tsc(
    local: &[ClockReading],
    reference: &[ClockReading],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Estimate, EstimateError> {
    shared_limits(local, reference, interval, assumptions)?.estimate(
        interval,
        assumptions,
        Method::SharedTsc,
    )
}

fn shared_limits(
    local: &[ClockReading],
    reference: &[ClockReading],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Limits, EstimateError> {
    let nothing = EstimateError::Nothing {
        what: "clock readings",
    };
    let by_counter = |r: &&ClockReading| r.tsc_before;
    let (Some(first_local), Some(first), Some(last)) = (
        local.first(),
        reference.iter().min_by_key(by_counter),
        reference.iter().max_by_key(by_counter),
    ) else {
        return Err(nothing);
    };
    let ordered = |r: &ClockReading| r.tsc_before > 0 && r.tsc_after >= r.tsc_before;
    if !local.iter().chain(reference).all(ordered) {
        return Err(EstimateError::NoCounter {
            why: "its readings are zero or go backwards",
        });
    }
    // Nanoseconds of the reference clock per tick, from its two readings that lie farthest apart.
    let ticks = difference(last.tsc_before, first.tsc_before);
    let elapsed = difference(last.realtime_ns, first.realtime_ns);
    if ticks <= 0.0 || elapsed <= 0.0 {
        return Err(EstimateError::NoCounter {
            why: "the reference needs two readings, made before and after the trial",
        });
    }
    let bracket = |r: &ClockReading| difference(r.tsc_after, r.tsc_before);
    let ns_per_tick = elapsed / ticks;
    // Either end of the baseline is known to within its bracket and the clock's resolution.
    let rate_error =
        (bracket(first) + bracket(last)) / ticks + 2.0 * assumptions.resolution_ns / elapsed;
    let rough = i128::from(first_local.realtime_ns) - i128::from(first.realtime_ns);
    let mut limits = Limits::new(interval.middle(), rough);
    for l in local {
        // The reference reading next to it in ticks: rate errors add least.
        let apart = |r: &&ClockReading| l.tsc_before.abs_diff(r.tsc_before);
        let Some(r) = reference.iter().min_by_key(apart) else {
            return Err(nothing);
        };
        // From the reference's reading to the local one pass at least `least` and at most `most` ticks.
        let least = difference(l.tsc_before, r.tsc_after);
        let most = difference(l.tsc_after, r.tsc_before);
        let plain = i128::from(l.realtime_ns) - i128::from(r.realtime_ns);
        let slack = |ticks: f64| ticks.abs() * ns_per_tick * rate_error + assumptions.resolution_ns;
        limits.at_least(l.realtime_ns, plain, most * ns_per_tick + slack(most));
        limits.at_most(l.realtime_ns, plain, -least * ns_per_tick + slack(least));
    }
    Ok(limits)
}

/// An estimate with what it was checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The better of the methods that hold.
    pub best: Estimate,
    /// The two-way estimate, kept beside for checking.
    pub two_way: Estimate,
    /// Why the shared counter was not used, where it was not.
    pub refused: Option<EstimateError>,
}

/// Takes the shared time-stamp counter's estimate where it lies within what two-way exchange allows at both ends
/// of the interval and is the tighter one; otherwise the two-way estimate, and says why.
///
/// A counter that is offset by less than the two-way bound cannot be told from a shared one: where hosts may have
/// such counters, use [`two_way`] alone.
///
/// # Errors
/// When there is no two-way estimate to check against.
pub fn judge(
    exchanges: &[Exchange],
    local: &[ClockReading],
    reference: &[ClockReading],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Judged, EstimateError> {
    let two_way = two_way(exchanges, interval, assumptions)?;
    let shared = shared_tsc(local, reference, interval, assumptions).and_then(|shared| {
        let apart = |at: u64| (shared.offset_at(at) - two_way.offset_at(at)).abs();
        let worst = apart(interval.from_ns).max(apart(interval.to_ns));
        let by_ns = worst - two_way.bound_ns - shared.bound_ns;
        if by_ns > 0.0 {
            Err(EstimateError::NotShared { by_ns })
        } else {
            Ok(shared)
        }
    });
    Ok(match shared {
        Ok(shared) if shared.bound_ns < two_way.bound_ns => Judged {
            best: shared,
            two_way,
            refused: None,
        },
        Ok(_) => Judged {
            best: two_way,
            two_way,
            refused: None,
        },
        Err(why) => Judged {
            best: two_way,
            two_way,
            refused: Some(why),
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const START: u64 = 1_795_305_600 * SECOND;
    const TRIAL: Interval = Interval {
        from_ns: START,
        to_ns: START + 10 * SECOND,
    };

    /// Known truth: the local clock reads `local(t)` at reference time `t`.
    #[derive(Debug, Clone, Copy)]
    struct Truth {
        offset_ns: f64,
        skew: f64,
    }

    impl Truth {
        fn offset_at(self, local_ns: u64) -> f64 {
            self.offset_ns + self.skew * difference(local_ns, START)
        }
        fn exchange(self, at_s: f64, there_us: f64, stay_us: f64, back_us: f64) -> Exchange {
            // f64 holds times since START exactly enough; times since 1970 it does not.
            let local = |r: f64| {
                let x = (r + self.offset_ns) / (1.0 - self.skew);
                (i128::from(START) + x.floor() as i128) as u64
            };
            let reference = |r: f64| (i128::from(START) + r.floor() as i128) as u64;
            let t1 = at_s * 1e9;
            let t2 = t1 + there_us * 1e3;
            let t3 = t2 + stay_us * 1e3;
            let t4 = t3 + back_us * 1e3;
            Exchange {
                t1: local(t1),
                t2: reference(t2),
                t3: reference(t3),
                t4: local(t4),
            }
        }
    }

    fn truths() -> impl Strategy<Value = Truth> {
        (-1e9..1e9f64, -200e-6..200e-6f64).prop_map(|(offset_ns, skew)| Truth { offset_ns, skew })
    }

    /// Where in the trial the estimate is farthest from the truth.
    fn worst(estimate: &Estimate, truth: Truth) -> f64 {
        (0..=100)
            .map(|i| TRIAL.from_ns + i * (TRIAL.to_ns - TRIAL.from_ns) / 100)
            .map(|at| (estimate.offset_at(at) - truth.offset_at(at)).abs())
            .fold(0.0, f64::max)
    }

    /// Trial time as the local clock shows it: the exchanges lie around that.
    fn around(truth: Truth) -> f64 {
        -truth.offset_ns / 1e9
    }

    proptest! {
        #[test]
        fn the_truth_lies_within_the_two_way_bound(
            truth in truths(),
            before in prop::collection::vec((-2.0..-0.1f64, 1.0..5000.0f64, 0.0..100.0f64, 1.0..5000.0f64), 1..30),
            after in prop::collection::vec((10.1..12.0f64, 1.0..5000.0f64, 0.0..100.0f64, 1.0..5000.0f64), 0..30),
        ) {
            let exchanges: Vec<_> = before.iter().chain(&after)
                .map(|(at, there, stay, back)| truth.exchange(at + around(truth), *there, *stay, *back))
                .collect();
            let assumptions = Assumptions { wander: 0.0, ..Assumptions::default() };
            let estimate = two_way(&exchanges, TRIAL, &assumptions).unwrap();
            let worst = worst(&estimate, truth);
            prop_assert!(worst <= estimate.bound_ns + 0.01, "{worst} > {}", estimate.bound_ns);
            if !after.is_empty() {
                // Honest, but not lazy: with exchanges on both sides it is no wider than the worst that two
                // single exchanges, stretched over the trial, could say.
                let least = |side: &[(f64, f64, f64, f64)]|
                    side.iter().map(|e| (e.1 + e.3) * 500.0).fold(f64::INFINITY, f64::min);
                let limit = least(&before).max(least(&after)) * 2.0 + 2.0;
                prop_assert!(estimate.bound_ns <= limit, "{} > {limit}", estimate.bound_ns);
            }
        }

        #[test]
        fn the_truth_lies_within_the_shared_counter_bound(
            truth in truths(), hz in 1e9..4e9f64,
            brackets in prop::collection::vec((20.0..3000.0f64, 0.0..1.0f64, 0.0..0.3f64), 4),
            base in 0u64..(1 << 60),
        ) {
            // A counter on reference time that both hosts read; the clock is read somewhere in the bracket.
            let reading = |at_s: f64, (width_ns, part, late_s): (f64, f64, f64), local: bool| {
                let before = (at_s + late_s) * 1e9;
                let at = before + width_ns * part;
                let ticks = |ns: f64| (i128::from(base) + ((ns / 1e9 + 10.0) * hz).floor() as i128) as u64;
                let shown = if local { (at + truth.offset_ns) / (1.0 - truth.skew) } else { at };
                ClockReading {
                    tsc_before: ticks(before),
                    realtime_ns: (i128::from(START) + shown.floor() as i128) as u64,
                    monotonic_ns: 0,
                    tsc_after: ticks(before + width_ns),
                }
            };
            let s = around(truth);
            let local = [reading(s - 0.5, brackets[0], true), reading(s + 10.5, brackets[1], true)];
            let reference = [reading(s - 0.5, brackets[2], false), reading(s + 10.5, brackets[3], false)];
            let assumptions = Assumptions { wander: 0.0, ..Assumptions::default() };
            let estimate = shared_tsc(&local, &reference, TRIAL, &assumptions).unwrap();
            let worst = worst(&estimate, truth);
            prop_assert!(worst <= estimate.bound_ns + 0.01, "{worst} > {}", estimate.bound_ns);
            // Half brackets add up to 3 us at most; the rest is rate error over 0.3 s.
            prop_assert!(estimate.bound_ns < 5_000.0, "{}", estimate.bound_ns);
        }
    }

    #[test]
    fn one_exchange_is_bounded_by_half_its_round_trip() {
        let truth = Truth {
            offset_ns: 5_000_000.0,
            skew: 0.0,
        };
        let at = Interval {
            from_ns: START + 5 * SECOND,
            to_ns: START + 5 * SECOND,
        };
        let exchange = truth.exchange(4.995, 100.0, 10.0, 300.0);
        let assumptions = Assumptions {
            max_skew: 0.0,
            wander: 0.0,
            resolution_ns: 0.0,
        };
        let estimate = two_way(&[exchange], at, &assumptions).unwrap();
        assert!((estimate.bound_ns - 200_000.0).abs() < 2.0, "{estimate:?}");
        // The asymmetry of 200 us shows as an error of 100 us, well within.
        assert!(
            (estimate.offset_ns - 5_000_000.0).abs() < 100_002.0,
            "{estimate:?}"
        );
    }

    #[test]
    fn skew_is_found_from_exchanges_before_and_after() {
        let truth = Truth {
            offset_ns: 1e6,
            skew: 40e-6,
        };
        let exchanges: Vec<_> = (0..20)
            .map(|i| f64::from(i) * 0.05)
            .flat_map(|t| [t - 1.0, t + 10.0])
            .map(|at| truth.exchange(at, 50.0, 5.0, 50.0))
            .collect();
        let estimate = two_way(&exchanges, TRIAL, &Assumptions::default()).unwrap();
        assert!((estimate.skew - 40e-6).abs() < 1e-6, "{estimate:?}");
        assert!(estimate.bound_ns < 53_000.0, "{estimate:?}");
    }

    #[test]
    fn wander_is_allowed_for_by_distance() {
        let truth = Truth {
            offset_ns: 0.0,
            skew: 0.0,
        };
        let exchanges = [
            truth.exchange(-1.0, 1.0, 0.0, 1.0),
            truth.exchange(11.0, 1.0, 0.0, 1.0),
        ];
        let bound = |wander| {
            let assumptions = Assumptions {
                wander,
                ..Assumptions::default()
            };
            two_way(&exchanges, TRIAL, &assumptions).unwrap().bound_ns
        };
        // The middle of the trial is 6 s away from either.
        assert!(
            (bound(1e-6) - bound(0.0) - 6_000.0).abs() < 10.0,
            "{}",
            bound(1e-6)
        );
    }

    #[test]
    fn a_clock_that_was_set_is_noticed() {
        let truth = Truth {
            offset_ns: 0.0,
            skew: 0.0,
        };
        let stepped = Truth {
            offset_ns: 50e6,
            skew: 0.0,
        };
        let exchanges = [
            truth.exchange(-1.0, 100.0, 1.0, 100.0),
            stepped.exchange(11.0, 100.0, 1.0, 100.0),
        ];
        assert_eq!(
            two_way(&exchanges, TRIAL, &Assumptions::default()),
            Err(EstimateError::Contradiction)
        );
    }

    fn readings(offset_ns: i64, counter_offset: u64) -> [ClockReading; 2] {
        [0, 11].map(|s| ClockReading {
            tsc_before: 10 * SECOND + s * SECOND + counter_offset,
            realtime_ns: (START - SECOND / 2 + s * SECOND).saturating_add_signed(offset_ns) + 50,
            monotonic_ns: 0,
            tsc_after: 10 * SECOND + s * SECOND + counter_offset + 100,
        })
    }

    fn exchanges(offset_ns: f64) -> Vec<Exchange> {
        let truth = Truth {
            offset_ns,
            skew: 0.0,
        };
        [-1.0, 11.0]
            .iter()
            .map(|at| truth.exchange(*at, 100.0, 5.0, 120.0))
            .collect()
    }

    #[test]
    fn a_shared_counter_is_taken_when_two_way_allows_it() {
        let judged = judge(
            &exchanges(3e6),
            &readings(3_000_000, 0),
            &readings(0, 0),
            TRIAL,
            &Assumptions::default(),
        )
        .unwrap();
        assert_eq!(judged.best.method, Method::SharedTsc);
        assert!((judged.best.offset_ns - 3e6).abs() <= judged.best.bound_ns);
        assert!(judged.best.bound_ns < 1000.0, "{judged:?}");
        assert!(judged.two_way.bound_ns > 100_000.0);
    }

    #[test]
    fn a_counter_that_is_not_shared_is_refused() {
        let judged = judge(
            &exchanges(3e6),
            &readings(3_000_000, 5_000_000),
            &readings(0, 0),
            TRIAL,
            &Assumptions::default(),
        )
        .unwrap();
        assert_eq!(judged.best.method, Method::TwoWay);
        assert!(matches!(judged.refused, Some(EstimateError::NotShared { by_ns }) if by_ns > 4e6));
    }

    #[test]
    fn nothing_gives_nothing() {
        let assumptions = Assumptions::default();
        assert!(matches!(
            two_way(&[], TRIAL, &assumptions),
            Err(EstimateError::Nothing { .. })
        ));
        assert!(matches!(
            shared_tsc(&[], &readings(0, 0), TRIAL, &assumptions),
            Err(EstimateError::Nothing { .. })
        ));
        let one = &readings(0, 0)[..1];
        assert!(matches!(
            shared_tsc(one, one, TRIAL, &assumptions),
            Err(EstimateError::NoCounter { .. })
        ));
    }
}
