//! How the clock of the second capture runs against that of the first, from the packets themselves.
//!
//! With traffic in both directions offset and skew follow with a bound: no packet arrives before it was sent
//! ([`vifbench_wire::clock_estimate`]). With traffic in one direction only the skew can be told: the line below
//! all transit times that lies closest to them (Moon, Skelly and Towsley, INFOCOM 1999: the linear program; its
//! solution is the edge of the lower convex hull over the mean sending time, Zhang, Liu and Xia, INFOCOM 2002).
//! Where a clock was set, no such line exists: see [`super::steps`].

use super::steps::{Levels, Step};
use vifbench_wire::clock_estimate::{Assumptions, Estimate, Interval, from_limits};

/// Corners that are kept of a hull. Real transit times have some dozen; more come only of made-up ones.
const MAX_CORNERS: usize = 4096;
/// Traffic in both directions tells the clocks only where so many packets came back, over half of the time at least:
/// a handshake at the beginning says nothing of the rates.
const BACK_MIN: u64 = 16;
/// Stretches of time in each of which some packet should have come through unhindered.
const CELLS: usize = 16;

/// The lower (or upper) convex hull of points that come by increasing x.
#[derive(Debug, Clone)]
pub(super) struct Hull {
    lower: bool,
    corners: Vec<(i64, i64)>,
}

impl Hull {
    fn new(lower: bool) -> Self {
        Self {
            lower,
            corners: Vec::new(),
        }
    }

    /// Adds a point; one that comes too late to be in order is left out, which never makes a bound too tight.
    fn add(&mut self, x: i64, y: i64) {
        let tighter = |a: i64, b: i64| if self.lower { a < b } else { a > b };
        if let Some(last) = self.corners.last() {
            if x < last.0 || (x == last.0 && !tighter(y, last.1)) {
                return;
            }
            if x == last.0 {
                self.corners.pop();
            }
        }
        while let [.., a, b] = self.corners[..] {
            let (run, rise) = (i128::from(b.0 - a.0), i128::from(b.1) - i128::from(a.1));
            let turn = run * (i128::from(y) - i128::from(a.1)) - rise * i128::from(x - a.0);
            if (self.lower && turn > 0) || (!self.lower && turn < 0) {
                break;
            }
            self.corners.pop();
        }
        self.corners.push((x, y));
        if self.corners.len() > MAX_CORNERS {
            // Fewer limits: wider, but right.
            let mut keep = false;
            self.corners.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}

/// Transit times of all packets, boiled down.
#[derive(Debug)]
pub(super) struct Survey {
    forward: Hull,
    back: Hull,
    n: u64,
    sum_x: i128,
    back_n: u64,
    back_from_ns: i64,
    back_to_ns: i64,
    from_ns: Option<i64>,
    to_ns: i64,
    levels: Levels,
    back_levels: Levels,
}

/// Why nothing is known of the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// Too few packets.
    Nothing,
    /// Traffic came back, but no straight line fits both directions.
    NoLine,
    /// A clock was set, or the path became another one.
    Step,
}

/// What the packets say of the clocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clocks {
    /// Nothing, for this reason.
    Unknown(Silence),
    /// Their rates: the transit time grows by `skew` for each unit of time, for no other reason than the clocks.
    Rate { skew: f64, at_ns: i64, base_ns: f64 },
    /// Offset and rate, with a bound.
    TwoWay(Estimate),
}

impl Survey {
    pub fn new() -> Self {
        Self {
            forward: Hull::new(true),
            back: Hull::new(false),
            n: 0,
            sum_x: 0,
            back_n: 0,
            back_from_ns: i64::MAX,
            back_to_ns: i64::MIN,
            from_ns: None,
            to_ns: i64::MIN,
            levels: Levels::new(true),
            back_levels: Levels::new(false),
        }
    }

    /// Packets that came back.
    pub fn came_back(&self) -> u64 {
        self.back_n
    }

    /// Adds a packet that was seen in both captures, in sending order.
    pub fn add(&mut self, forward: bool, tx_ns: i64, transit_ns: i64) {
        self.from_ns = Some(self.from_ns.map_or(tx_ns, |from| from.min(tx_ns)));
        self.to_ns = self.to_ns.max(tx_ns);
        if forward {
            self.n += 1;
            self.sum_x += i128::from(tx_ns);
            self.forward.add(tx_ns, transit_ns);
            self.levels.add(tx_ns, transit_ns);
        } else {
            self.back_n += 1;
            self.back_from_ns = self.back_from_ns.min(tx_ns);
            self.back_to_ns = self.back_to_ns.max(tx_ns);
            self.back.add(tx_ns, transit_ns);
            self.back_levels.add(tx_ns, transit_ns);
        }
    }

    /// First and last sending time.
    pub fn span(&self) -> Option<(i64, i64)> {
        Some((self.from_ns?, self.to_ns))
    }

    /// The line under the transit times, or through the middle of what both directions allow, if they are to be asked.
    /// And where the least transit time jumped and stayed: a clock was set there, or the path became another one.
    pub fn clocks(&self, resolution_ns: f64, two_way: bool) -> (Clocks, Vec<Step>) {
        let Some((from, to)) = self.span().filter(|(from, to)| from < to) else {
            return (Clocks::Unknown(Silence::Nothing), Vec::new());
        };
        let back_covers =
            self.back_n >= BACK_MIN && (self.back_to_ns - self.back_from_ns) >= (to - from) / 2;
        if two_way && back_covers && !self.forward.corners.is_empty() {
            let limits = |hull: &Hull| -> Vec<(u64, i128)> {
                let corner = |c: &(i64, i64)| (c.0 as u64, i128::from(c.1));
                hull.corners.iter().map(corner).collect()
            };
            let interval = Interval {
                from_ns: from as u64,
                to_ns: to as u64,
            };
            let assumptions = Assumptions {
                resolution_ns,
                ..Assumptions::default()
            };
            let estimate = from_limits(
                &limits(&self.back),
                &limits(&self.forward),
                interval,
                &assumptions,
            );
            if let Ok(estimate) = estimate {
                return (Clocks::TwoWay(estimate), Vec::new());
            }
            // No straight line fits where a clock was set: then nothing is claimed.
            let back = |step: &Step| self.back_levels.jump(step);
            let agrees = |step: &Step| {
                back(step).is_some_and(|by| (by - step.by_ns).abs() * 2 <= step.by_ns.abs())
            };
            let steps = self.levels.steps().into_iter().filter(agrees).collect();
            return (Clocks::Unknown(Silence::NoLine), steps);
        }
        let steps = self.levels.steps();
        if !steps.is_empty() {
            return (Clocks::Unknown(Silence::Step), steps);
        }
        let mean_x = (self.sum_x / i128::from(self.n.max(1))) as i64;
        let over = self
            .forward
            .corners
            .windows(2)
            .find(|edge| edge[1].0 >= mean_x);
        let clocks = over.map_or(Clocks::Unknown(Silence::Nothing), |edge| {
            let (a, b) = (edge[0], edge[1]);
            Clocks::Rate {
                skew: (b.1 - a.1) as f64 / (b.0 - a.0) as f64,
                at_ns: a.0,
                base_ns: a.1 as f64,
            }
        });
        (clocks, steps)
    }
}

/// How sure a skew from one direction is: by how much the fastest packet of each stretch of time lies above the line.
#[derive(Debug)]
pub(super) struct Residue {
    from_ns: i64,
    cell_ns: i64,
    least: [Option<i64>; CELLS],
}

impl Residue {
    pub fn new((from_ns, to_ns): (i64, i64)) -> Self {
        Self {
            from_ns,
            cell_ns: ((to_ns - from_ns) / CELLS as i64).max(1),
            least: [None; CELLS],
        }
    }

    pub fn add(&mut self, tx_ns: i64, above_ns: i64) {
        let cell = ((tx_ns - self.from_ns) / self.cell_ns).clamp(0, CELLS as i64 - 1) as usize;
        let least = &mut self.least[cell];
        *least = Some(least.map_or(above_ns, |l| l.min(above_ns)));
    }

    /// The error that the skew may have, as a part; none where too few stretches saw a packet.
    pub fn error(&self, resolution_ns: f64) -> Option<f64> {
        let seen = self.least.iter().flatten().count();
        let worst = *self.least.iter().flatten().max()? as f64;
        (seen * 2 >= CELLS)
            .then(|| 2.0 * (worst + resolution_ns) / (self.cell_ns as f64 * CELLS as f64))
    }
}

impl Clocks {
    /// What the clocks add to the transit time of a packet sent at `tx_ns`, in nanoseconds.
    pub fn shift(&self, tx_ns: i64) -> f64 {
        match self {
            Self::Unknown(_) => 0.0,
            Self::Rate {
                skew,
                at_ns,
                base_ns,
            } => base_ns + skew * (tx_ns - at_ns) as f64,
            Self::TwoWay(estimate) => estimate.offset_at(tx_ns.max(0) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every point lies on or above the lower hull, and every corner is a point.
        #[test]
        fn the_hull_is_below_all(points in prop::collection::vec((0i64..1000, -1000i64..1000), 1..200)) {
            let mut sorted = points.clone();
            sorted.sort_unstable();
            let mut hull = Hull::new(true);
            for (x, y) in &sorted {
                hull.add(*x, *y);
            }
            prop_assert!(hull.corners.iter().all(|c| points.contains(c)));
            for (x, y) in &points {
                for edge in hull.corners.windows(2) {
                    let (a, b) = (edge[0], edge[1]);
                    if (a.0..=b.0).contains(x) {
                        prop_assert!((y - a.1) * (b.0 - a.0) >= (b.1 - a.1) * (x - a.0));
                    }
                }
            }
        }

        #[test]
        fn skew_is_found_under_queueing(ppm in -200.0..200.0f64, seed: u64) {
            let mut survey = Survey::new();
            let mut noise = seed | 1;
            for i in 0..6000i64 {
                noise ^= noise << 13; noise ^= noise >> 7; noise ^= noise << 17;
                let queue = (noise % 1000) as f64 / 10.0;
                let x = 1_700_000_000_000_000_000 + i * 10_000_000;
                let y = 5e8 + queue * queue + ppm * 1e-6 * (i * 10_000_000) as f64;
                survey.add(true, x, y as i64);
            }
            let (Clocks::Rate { skew, .. }, _) = survey.clocks(1.0, true) else { panic!("no rate") };
            prop_assert!((skew * 1e6 - ppm).abs() < 0.1, "{} {ppm}", skew * 1e6);
        }
    }
}
