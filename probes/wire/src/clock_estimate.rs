//! Offset and skew of one host's clock against the reference, with a bound that holds.
//!
//! Every method yields *limits*: at some local time, the offset (local minus reference) lies above or below a
//! value, for certain. A request that left at local time `t1` and was seen by the reference at `t2` cannot have
//! travelled backwards in time: the offset is at least `t1 - t2`. The reply says that it is at most `t4 - t3`.
//! No assumption is made on how delay divides between the two ways.
//!
//! Both clocks run at nearly constant rates over a trial: the offset follows a straight line over local time, but for
//! wander, which is bounded. At any moment, all lines that respect every limit (loosened by what wander may add
//! since) form a convex polygon of (offset, skew): the linear program of Moon, Skelly and Towsley (INFOCOM 1999),
//! with limits from both sides; only the corners of the two convex hulls count (Zhang, Liu and Xia, INFOCOM 2002).
//! The offset lies between the lowest and the highest of these lines. The estimate is the line through the middle of
//! that range at both ends of the trial; its bound is the farthest that any moment's range reaches from it.
//!
//! Where no line fits, the clocks wander more than was assumed, and more is assumed; or one was set: see [`track`].

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

    /// The offset over the interval, under the assumptions or, where they do not hold, under as much more wander as it
    /// takes.
    fn estimate(
        mut self,
        interval: Interval,
        assumptions: &Assumptions,
        method: Method,
    ) -> Result<Estimate, EstimateError> {
        self.sort();
        let mut wander = assumptions.wander;
        loop {
            if let Some(estimate) = self.under(interval, assumptions.max_skew, wander, method) {
                return Ok(estimate);
            }
            if wander >= assumptions.max_skew {
                return Err(EstimateError::Contradiction);
            }
            wander = (wander * 2.0).clamp(LEAST_WANDER, assumptions.max_skew);
        }
    }

    fn sort(&mut self) {
        self.at_least
            .sort_by(|p, q| p.x.total_cmp(&q.x).then(q.y.total_cmp(&p.y)));
        self.at_most
            .sort_by(|p, q| p.x.total_cmp(&q.x).then(p.y.total_cmp(&q.y)));
    }

    /// Moments at which the range is looked at: evenly over the interval, and far from all limits.
    fn moments(&self, from: f64, to: f64) -> Vec<f64> {
        let step = (to - from) / MOMENTS;
        let mut moments: Vec<f64> = (0..=MOMENTS as u32)
            .map(|i| from + step * f64::from(i))
            .collect();
        let mut times: Vec<f64> = self
            .at_least
            .iter()
            .chain(&self.at_most)
            .map(|p| p.x)
            .collect();
        times.sort_by(f64::total_cmp);
        let gaps = times.windows(2).filter(|w| w[1] - w[0] > step);
        moments.extend(gaps.map(|w| w[0].midpoint(w[1]).clamp(from, to)));
        moments
    }

    fn under(
        &self,
        interval: Interval,
        max_skew: f64,
        wander: f64,
        method: Method,
    ) -> Option<Estimate> {
        let (from, to) = (
            difference(interval.from_ns, self.origin_ns),
            difference(interval.to_ns, self.origin_ns),
        );
        let middle = |range: (f64, f64)| range.0.midpoint(range.1);
        let (first, last) = (
            middle(self.range(from, max_skew, wander)?),
            middle(self.range(to, max_skew, wander)?),
        );
        let skew = if to > from {
            (last - first) / (to - from)
        } else {
            0.0
        };
        let mut bound_ns: f64 = 0.0;
        for moment in self.moments(from, to) {
            let (low, high) = self.range(moment, max_skew, wander)?;
            let line = first + skew * (moment - from);
            bound_ns = bound_ns.max(line - low).max(high - line);
        }
        let at_ns = interval.middle();
        Some(Estimate {
            offset_ns: self.rough_ns as f64
                + first
                + skew * (difference(at_ns, self.origin_ns) - from),
            skew,
            at_ns,
            bound_ns,
            method,
        })
    }

    /// The offsets that are possible at a moment; none where the limits contradict each other. The limits are sorted.
    fn range(&self, moment: f64, max_skew: f64, wander: f64) -> Option<(f64, f64)> {
        Self::range_of((&self.at_least, &self.at_most), moment, max_skew, wander)
    }

    /// How far from `estimate` the offset may lie if a step hides in the interval that is too small to contradict any
    /// limit: then at any moment only the limits on one side of it count.
    fn bound_with_hidden_step(
        &mut self,
        estimate: &Estimate,
        interval: Interval,
        max_skew: f64,
        wander: f64,
    ) -> f64 {
        self.sort();
        let (from, to) = (
            difference(interval.from_ns, self.origin_ns),
            difference(interval.to_ns, self.origin_ns),
        );
        let centre = estimate.offset_ns - self.rough_ns as f64;
        let mut bound_ns = estimate.bound_ns;
        let before = |points: &[Limit], x: f64| points.partition_point(|p| p.x <= x);
        let time = |part: f64| from + (to - from) * part;
        for moment in self.moments(from, to) {
            let line =
                centre + estimate.skew * (moment - difference(estimate.at_ns, self.origin_ns));
            let (past, future) = (moment.max(time(SIDE)), moment.min(time(1.0 - SIDE)));
            let sides = [
                (
                    &self.at_least[..before(&self.at_least, past)],
                    &self.at_most[..before(&self.at_most, past)],
                ),
                (
                    &self.at_least[before(&self.at_least, future)..],
                    &self.at_most[before(&self.at_most, future)..],
                ),
            ];
            for side in sides {
                if side.0.len() < SIDE_MIN || side.1.len() < SIDE_MIN {
                    continue;
                }
                if let Some((low, high)) = Self::range_of(side, moment, max_skew, wander) {
                    bound_ns = bound_ns.max(line - low).max(high - line);
                }
            }
        }
        bound_ns
    }

    fn range_of(
        (at_least, at_most): (&[Limit], &[Limit]),
        moment: f64,
        max_skew: f64,
        wander: f64,
    ) -> Option<(f64, f64)> {
        // With time counted from the moment, a line's value there is its height at zero.
        let loosened = |points: &[Limit], side: f64| -> Vec<Limit> {
            let moved = points.iter().map(|p| {
                let x = p.x - moment;
                Limit {
                    x,
                    y: p.y + side * wander * x.abs(),
                }
            });
            hull(moved, -side)
        };
        let (above, below) = (loosened(at_least, -1.0), loosened(at_most, 1.0));
        // Of all lines of slope b, those between `low` and `high` respect the limits.
        let low = |b: f64| {
            above
                .iter()
                .map(|p| p.y - b * p.x)
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let high = |b: f64| {
            below
                .iter()
                .map(|p| p.y - b * p.x)
                .fold(f64::INFINITY, f64::min)
        };
        let room = |b: f64| high(b) - low(b);
        // `room` is concave, as `high` and minus `low` are.
        let best = if above.is_empty() || below.is_empty() {
            0.0
        } else {
            highest(room, -max_skew, max_skew)
        };
        // Rounding must not make a line that touches a limit seem to cross it.
        let fits = |b: f64| room(b) >= -TOLERANCE_NS;
        if !fits(best) {
            return None;
        }
        let (left, right) = (edge(&fits, best, -max_skew), edge(&fits, best, max_skew));
        let top = high(highest(high, left, right));
        let bottom = low(highest(|b| -low(b), left, right));
        Some((bottom.min(top), top.max(bottom)))
    }
}

/// Rounding of offsets.
const TOLERANCE_NS: f64 = 1e-4;
/// Where limits contradict each other under no wander at all, this much is tried first.
const LEAST_WANDER: f64 = 1e-9;
/// Stretches of the interval at whose ends the range is looked at.
const MOMENTS: f64 = 32.0;
/// A side of a hidden step is at least this part of the interval, and has at least so many exchanges.
const SIDE: f64 = 0.125;
const SIDE_MIN: usize = 4;
/// Halvings of a search: enough to tell slopes of 500 ppm apart to less than a nanosecond a year.
const HALVINGS: u32 = 60;

/// Where a concave function is highest.
fn highest(of: impl Fn(f64) -> f64, mut from: f64, mut to: f64) -> f64 {
    // The golden section: each step keeps 0.618 of the range and needs one more value.
    const PART: f64 = 0.618_033_988_749_894_9;
    let (mut left, mut right) = (to - PART * (to - from), from + PART * (to - from));
    let (mut at_left, mut at_right) = (of(left), of(right));
    for _ in 0..HALVINGS {
        if at_left < at_right {
            (from, left, at_left) = (left, right, at_right);
            right = from + PART * (to - from);
            at_right = of(right);
        } else {
            (to, right, at_right) = (right, left, at_left);
            left = to - PART * (to - from);
            at_left = of(left);
        }
    }
    let middle = from.midpoint(to);
    let best = |a: f64, b: f64| if of(a) >= of(b) { a } else { b };
    best(middle, best(from, to))
}

/// The last slope from `inside` towards `limit` that still fits.
fn edge(fits: &impl Fn(f64) -> bool, mut inside: f64, limit: f64) -> f64 {
    if fits(limit) {
        return limit;
    }
    let mut outside = limit;
    for _ in 0..HALVINGS {
        let middle = inside.midpoint(outside);
        if fits(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

/// The upper hull (`side` 1) or lower hull (`side` -1) of points that come by increasing x, at one x the tightest first.
fn hull(points: impl Iterator<Item = Limit>, side: f64) -> Vec<Limit> {
    let mut hull: Vec<Limit> = Vec::new();
    for p in points {
        if hull
            .last()
            .is_some_and(|last| last.x.total_cmp(&p.x).is_eq())
        {
            continue;
        }
        while let [.., a, b] = hull[..] {
            let turn = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
            if side * turn < 0.0 {
                break;
            }
            hull.pop();
        }
        hull.push(p);
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

/// The offset over a trial in which a clock may have been set.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Stretches without a step, in order.
    pub pieces: Vec<Piece>,
}

/// A stretch of local time in which the clocks ran on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// For which part of the interval it may hold; those of neighbours overlap where the step may lie, and where a
    /// clock that was set back showed the same times twice.
    pub interval: Interval,
    /// The offset there.
    pub estimate: Estimate,
}

impl Track {
    /// The offset at a local time and its bound. Where a step may lie, both sides of it are within the bound.
    pub fn at(&self, local_ns: u64) -> (f64, f64) {
        let away = |piece: &Piece| {
            let Interval { from_ns, to_ns } = piece.interval;
            from_ns.saturating_sub(local_ns) + local_ns.saturating_sub(to_ns)
        };
        // A time that no piece reaches is one that the clock never showed: it leapt over it.
        let nearest = self.pieces.iter().map(away).min().unwrap_or(0);
        let sides = self
            .pieces
            .iter()
            .filter(|p| away(p) == nearest)
            .map(|piece| {
                let (offset, bound) = (piece.estimate.offset_at(local_ns), piece.estimate.bound_ns);
                (offset - bound, offset + bound)
            });
        let (low, high) = sides.fold((f64::INFINITY, f64::NEG_INFINITY), |all, side| {
            (all.0.min(side.0), all.1.max(side.1))
        });
        (low.midpoint(high), (high - low) / 2.0)
    }

    /// The steps: between which local times, and by how much the offset changed.
    pub fn steps(&self) -> impl Iterator<Item = (Interval, f64)> {
        self.pieces.windows(2).map(|pair| {
            let (before, after) = (pair[0].interval.to_ns, pair[1].interval.from_ns);
            let gap = Interval {
                from_ns: before.min(after),
                to_ns: before.max(after),
            };
            let by = pair[1].estimate.offset_at(after) - pair[0].estimate.offset_at(before);
            (gap, by)
        })
    }
}

/// Most steps that are believed: beyond, the clock is taken to wander.
const MAX_STEPS: usize = 3;

/// Offset and skew from two-way exchanges made all along the interval, in the order they were made; in pieces where a
/// clock was set.
///
/// A step is where no line fits the exchanges on both sides of it. Reading forward tells the last moment it can have
/// happened, reading backward the first; exchanges between the two belong to neither side.
///
/// # Errors
/// When there is no exchange, or so many contradictions that neither steps nor wander explain them.
pub fn track(
    exchanges: &[Exchange],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Track, EstimateError> {
    let mut assumptions = *assumptions;
    // One whose reply came sooner than was possible had a step in its middle: it tells of no side.
    let whole = |e: &&Exchange| {
        difference(e.t4, e.t1) - difference(e.t3, e.t2) >= -2.0 * assumptions.resolution_ns
    };
    let exchanges: Vec<Exchange> = exchanges.iter().filter(whole).copied().collect();
    loop {
        if let Some(track) = track_under(&exchanges, interval, &assumptions)? {
            return Ok(track);
        }
        if assumptions.wander >= assumptions.max_skew {
            return Err(EstimateError::Contradiction);
        }
        assumptions.wander = (assumptions.wander * 2.0).clamp(LEAST_WANDER, assumptions.max_skew);
    }
}

/// None where neither one line nor some few with steps between them fit.
fn track_under(
    exchanges: &[Exchange],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Option<Track>, EstimateError> {
    let fit = |part: &[Exchange]| {
        let span = Interval {
            from_ns: part.first().map_or(interval.from_ns, |e| e.t1),
            to_ns: part.last().map_or(interval.to_ns, |e| e.t4),
        };
        two_way_limits(part, span, assumptions).is_ok_and(|mut limits| {
            limits.sort();
            let ends = [span.from_ns, span.middle(), span.to_ns];
            ends.iter().all(|at| {
                let moment = difference(*at, limits.origin_ns);
                limits
                    .range(moment, assumptions.max_skew, assumptions.wander)
                    .is_some()
            })
        })
    };
    let n = exchanges.len();
    if n == 0 || fit(exchanges) {
        let piece = piece(exchanges, interval, assumptions)?;
        return Ok(Some(Track {
            pieces: vec![piece],
        }));
    }
    // In the order they were made: a clock that was set back makes local times come twice.
    let forward = breaks(n, |from, to| fit(&exchanges[from..to]));
    let mut backward: Vec<usize> = breaks(n, |from, to| fit(&exchanges[n - to..n - from]))
        .into_iter()
        .map(|at| n - at)
        .collect();
    backward.reverse();
    if forward.len() > MAX_STEPS || forward.len() != backward.len() {
        return Ok(None);
    }
    // The step before piece i lies between exchanges `backward[i] - 1` and `forward[i]`.
    let mut pieces = Vec::new();
    let mut begin = 0;
    for i in 0..=forward.len() {
        let end = backward.get(i).copied().unwrap_or(n);
        if begin >= end {
            return Ok(None);
        }
        let part = &exchanges[begin..end];
        let mut span = Interval {
            from_ns: if i == 0 { interval.from_ns } else { part[0].t1 },
            to_ns: if end == n {
                interval.to_ns
            } else {
                part[part.len() - 1].t4
            },
        };
        let mut piece = piece(part, span, assumptions)?;
        // The clock ran on beyond the exchanges, for as long as the reference says until the other side's.
        if i > 0 {
            let before = &exchanges[backward[i - 1] - 1];
            span.from_ns = span.from_ns.saturating_sub(beyond(before, &part[0]));
        }
        if end < n {
            let after = &exchanges[forward[i]];
            span.to_ns = span
                .to_ns
                .saturating_add(beyond(&part[part.len() - 1], after));
        }
        piece.interval = span;
        pieces.push(piece);
        begin = forward.get(i).copied().unwrap_or(n);
    }
    Ok(Some(Track { pieces }))
}

/// The time from one exchange to a later one by the reference, and what the local clock may show more.
fn beyond(first: &Exchange, second: &Exchange) -> u64 {
    let ns = second.t3.saturating_sub(first.t2);
    ns + ns / 1000
}

fn piece(
    exchanges: &[Exchange],
    interval: Interval,
    assumptions: &Assumptions,
) -> Result<Piece, EstimateError> {
    let mut estimate = two_way(exchanges, interval, assumptions)?;
    let mut limits = two_way_limits(exchanges, interval, assumptions)?;
    estimate.bound_ns = limits.bound_with_hidden_step(
        &estimate,
        interval,
        assumptions.max_skew,
        assumptions.wander,
    );
    Ok(Piece { interval, estimate })
}

/// Where a sequence must be cut so that each part, made as long as it will go, fits.
fn breaks(n: usize, fits: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut from = 0;
    while !fits(from, n) {
        // The longest part that fits: one exchange always does.
        let (mut good, mut bad) = (from + 1, n);
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            if fits(from, middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        cuts.push(good);
        from = good;
        if cuts.len() > MAX_STEPS {
            break;
        }
    }
    cuts
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
