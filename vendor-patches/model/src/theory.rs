//! Closed forms of the container stage with a fixed hold, for tests of the simulator and as lines in figures.
//!
//! `k` frames fill a container, `lambda` is the rate of arrivals a second, T0 the hold in seconds; times are seconds. F1
//! and F2 are the fill rules of [`crate::container::Fill`]. Derived for this project; E\[N\] is the mean number of frames
//! a container.

use crate::container::Fill;

/// What a closed form says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Frames a container.
    pub frames: f64,
    /// Mean wait in the container.
    pub wait: f64,
    /// Mean square of the wait, where there is a form.
    pub square: Option<f64>,
    /// Share of containers that the deadline releases.
    pub timeouts: f64,
    /// Mean |IPDV|, where there is a form.
    pub abs_ipdv: Option<f64>,
}

/// `P(X >= n)` for n = 0, 1, ..., `last`, where X is Poisson with this mean.
fn upper(mean: f64, last: usize) -> Vec<f64> {
    // P(X = 0), P(X = 1), ... in logarithms, so that large means do not underflow.
    let mut below = 0.0f64;
    (0..=last)
        .map(|n| {
            let at_least = (1.0 - below).max(0.0);
            below += mass(mean, n);
            at_least
        })
        .collect()
}

/// `P(X = n)`.
fn mass(mean: f64, n: usize) -> f64 {
    if mean <= 0.0 {
        return if n == 0 { 1.0 } else { 0.0 };
    }
    libm::exp(n as f64 * libm::log(mean) - mean - libm::lgamma(n as f64 + 1.0))
}

/// `P(X <= n)`; n may be below zero.
fn at_most(mean: f64, n: i64) -> f64 {
    if n < 0 {
        return 0.0;
    }
    (0..=n as usize)
        .map(|i| mass(mean, i))
        .sum::<f64>()
        .min(1.0)
}

/// Poisson arrivals, deterministic hold.
pub fn poisson(lambda: f64, hold: f64, k: usize, fill: Fill) -> Expected {
    let a = lambda * hold;
    let q = upper(a, k + 1);
    let frames = 1.0 + q[1..k].iter().sum::<f64>();
    let last = match fill {
        Fill::Ahead => k - 1,
        Fill::Overflow => k,
    };
    let wait = (1..=last).map(|n| n as f64 * q[n]).sum::<f64>() / (lambda * frames);
    let square = (1..=last)
        .map(|n| (n * (n + 1)) as f64 * q[n + 1])
        .sum::<f64>()
        / (lambda * lambda * frames);
    Expected {
        frames,
        wait,
        square: Some(square),
        timeouts: 1.0 - q[last],
        abs_ipdv: (fill == Fill::Ahead).then(|| poisson_abs_ipdv(lambda, hold, k, frames)),
    }
}

/// Within a container waits fall by a gap; between two containers they jump from the last frame's wait to the next
/// one's hold. Simpson's rule with 2000 steps over the product of their distributions.
fn poisson_abs_ipdv(lambda: f64, hold: f64, k: usize, frames: f64) -> f64 {
    const STEPS: usize = 2000;
    let k = k as i64;
    let a = lambda * hold;
    let mean_hold = (frames - 1.0) / lambda;
    let last_wait = (at_most(a, k - 1) - libm::exp(-a)) / lambda;
    let both = |x: f64| {
        let held = at_most(lambda * x, k - 2);
        let waits = libm::exp(-lambda * x) * at_most(lambda * (hold - x), k - 2);
        held * (1.0 - waits) + (1.0 - held) * waits
    };
    let step = hold / STEPS as f64;
    let sum: f64 = (0..=STEPS)
        .map(|i| {
            let weight = match i {
                0 | STEPS => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * both(i as f64 * step)
        })
        .sum();
    (mean_hold - last_wait + sum * step / 3.0) / frames
}

/// `P(W > x)` for Poisson arrivals under F1, `0 <= x < hold`.
pub fn poisson_share_above(lambda: f64, hold: f64, k: usize, x: f64) -> f64 {
    let frames = poisson(lambda, hold, k, Fill::Ahead).frames;
    let k = k as i64;
    let sum: f64 = (1..k)
        .map(|i| (1.0 - at_most(lambda * (hold - x), i - 2)) * at_most(lambda * x, k - 1 - i))
        .sum();
    sum / frames
}

/// Equal gaps. Exact ties (`hold` a multiple of the gap) are decided by an order of events and left to the caller.
pub fn cbr(lambda: f64, hold: f64, k: usize, fill: Fill) -> Expected {
    let gap = 1.0 / lambda;
    let reach = libm::floor(hold / gap) as usize + 1;
    // F2 needs the frame that does not fit any more within the hold.
    let gaps_to_full = match fill {
        Fill::Ahead => k - 1,
        Fill::Overflow => k,
    };
    let full = gaps_to_full as f64 * gap <= hold;
    let frames = if full { k } else { k.min(reach) };
    let within = (frames as f64 - 1.0) * gap / 2.0;
    let wait = match (full, fill) {
        (true, Fill::Ahead) => within,
        (true, Fill::Overflow) => (k as f64 + 1.0) * gap / 2.0,
        (false, _) => hold - within,
    };
    let frames = frames as f64;
    Expected {
        frames,
        wait,
        square: None,
        timeouts: if full { 0.0 } else { 1.0 },
        abs_ipdv: Some(2.0 * (frames - 1.0) * gap / frames),
    }
}

/// Bursts of the given lengths with equal gaps, silences of at least `hold`, under F1.
pub fn bursts(lengths: &[u64], gap: f64, hold: f64, k: u64) -> Expected {
    let reach = libm::floor(hold / gap) as u64 + 1;
    let fills = (k - 1) as f64 * gap < hold;
    let m = if fills { k } else { reach };
    let full_sum = if fills {
        (k * (k - 1)) as f64 * gap / 2.0
    } else {
        m as f64 * hold - (m * (m - 1)) as f64 * gap / 2.0
    };
    let (mut packets, mut containers, mut waits, mut timeouts) = (0u64, 0u64, 0.0, 0u64);
    for &length in lengths {
        let (whole, rest) = (length / m, length % m);
        packets += length;
        containers += whole + u64::from(rest > 0);
        timeouts += if fills {
            u64::from(rest > 0)
        } else {
            whole + u64::from(rest > 0)
        };
        waits += whole as f64 * full_sum;
        if rest > 0 {
            waits += rest as f64 * hold - (rest * (rest - 1)) as f64 * gap / 2.0;
        }
    }
    Expected {
        frames: packets as f64 / containers as f64,
        wait: waits / packets as f64,
        square: None,
        timeouts: timeouts as f64 / containers as f64,
        abs_ipdv: None,
    }
}

/// Poisson arrivals and an exponential hold of rate `theta`, under F1.
pub fn exponential_hold(lambda: f64, theta: f64, k: usize) -> Expected {
    let p = lambda / (lambda + theta);
    let frames = (1.0 - libm::pow(p, k as f64)) / (1.0 - p);
    let wait = (1..k)
        .map(|n| n as f64 * libm::pow(p, (n - 1) as f64))
        .sum::<f64>()
        / ((lambda + theta) * frames);
    Expected {
        frames,
        wait,
        square: None,
        timeouts: 1.0 - libm::pow(p, (k - 1) as f64),
        abs_ipdv: None,
    }
}

/// An interrupted Poisson process: `rate` while on, nothing while off, both for exponential times with these means;
/// deterministic hold, F1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interrupted {
    /// Arrivals a second while on.
    pub rate: f64,
    /// Mean time on, in seconds.
    pub on: f64,
    /// Mean time off, in seconds.
    pub off: f64,
}

/// The MAP form (D0, D1) of the container stage for an interrupted Poisson process: a Markov chain of the number of
/// frames that came since the container was opened and the phase, solved for one hold.
pub fn interrupted_poisson(source: Interrupted, hold: f64, k: usize) -> Expected {
    // Phases: on, off. A container opens with an arrival, so always in `on`: only there arrivals happen.
    let (to_off, to_on) = (1.0 / source.on, 1.0 / source.off);
    let states = 2 * (k - 1);
    let fastest = source.rate + to_off + to_on;
    // Uniformisation: probabilities after each jump of a Poisson clock, and the integrals over the hold.
    let mean = fastest * hold;
    let jumps = (mean + 12.0 * libm::sqrt(mean) + 40.0) as usize;
    let mut now = vec![0.0; states];
    now[0] = 1.0;
    let mut at_end = vec![0.0; states];
    let mut spent = vec![0.0; states];
    let at_least = upper(mean, jumps + 1);
    let mut filled = 0.0;
    for jump in 0..=jumps {
        let weight = mass(mean, jump);
        for state in 0..states {
            at_end[state] += weight * now[state];
            // The integral of the Poisson weight up to the hold is P(X > jump) / fastest.
            spent[state] += at_least[jump + 1] / fastest * now[state];
        }
        let mut next = vec![0.0; states];
        for frames in 0..k - 1 {
            let (on, off) = (2 * frames, 2 * frames + 1);
            let arrives = now[on] * source.rate / fastest;
            if frames + 1 < k - 1 {
                next[on + 2] += arrives;
            } else {
                filled += arrives * at_least[jump + 1];
            }
            let leaves = now[on] * to_off / fastest;
            let returns = now[off] * to_on / fastest;
            next[on] += now[on] - arrives - leaves + returns;
            next[off] += now[off] - returns + leaves;
        }
        now = next;
    }
    let mut frames = k as f64 * filled;
    let mut wait = 0.0;
    for state in 0..states {
        let held = (state / 2 + 1) as f64;
        frames += held * at_end[state];
        wait += held * spent[state];
    }
    Expected {
        frames,
        wait: wait / frames,
        square: None,
        timeouts: 1.0 - filled,
        abs_ipdv: None,
    }
}

/// The share of time that the consumer is busy: containers with E\[N\] frames cost `c0 + c1 N`. Above 1 it cannot keep
/// up.
pub fn utilisation(lambda: f64, frames: f64, c0: f64, c1: f64) -> f64 {
    lambda * (c0 / frames + c1)
}

/// Mean time in the system of a queue with Poisson arrivals and equal service times of `service` seconds (M/D/1).
pub fn m_d_1(lambda: f64, service: f64) -> f64 {
    let rho = lambda * service;
    service + rho * service / (2.0 * (1.0 - rho))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: f64 = 1e-3;

    fn near(found: f64, printed: f64, digits: f64) {
        assert!(
            (found - printed).abs() <= 0.5001 * digits,
            "{found} is not {printed}"
        );
    }

    #[test]
    fn the_printed_table_of_poisson() {
        // (fill, k, rate, E[N], wait us, sd us, P(timeout))
        let table = [
            (Fill::Ahead, 64, 200.0, 1.2, 916.667, 220.479, 1.0),
            (Fill::Ahead, 64, 20_000.0, 21.0, 523.810, 301.169, 1.0),
            (Fill::Ahead, 64, 100_000.0, 63.9999, 315.0, 193.066, 0.0),
            (Fill::Ahead, 8, 5000.0, 5.7445, 530.761, 330.665, 0.7622),
            (Fill::Ahead, 2, 1000.0, 1.6321, 387.300, 416.893, 0.3679),
            (Fill::Ahead, 2, 5000.0, 1.9933, 99.662, 169.057, 0.0067),
            (Fill::Overflow, 2, 1000.0, 1.6321, 711.101, 336.660, 0.7358),
            (Fill::Overflow, 2, 5000.0, 1.9933, 292.225, 241.897, 0.0404),
        ];
        for (fill, k, rate, frames, wait, sd, timeouts) in table {
            let e = poisson(rate, MS, k, fill);
            near(e.frames, frames, 1e-4);
            near(e.wait * 1e6, wait, 1e-3);
            let square = e.square.unwrap();
            near(libm::sqrt(square - e.wait * e.wait) * 1e6, sd, 1e-3);
            near(e.timeouts, timeouts, 1e-4);
        }
        for (k, rate, ipdv) in [
            (2, 200.0, 278.163),
            (2, 1000.0, 489.641),
            (2, 5000.0, 197.981),
            (8, 1000.0, 367.885),
            (8, 5000.0, 270.852),
            (8, 20_000.0, 87.491),
            (64, 20_000.0, 90.476),
            (64, 100_000.0, 19.687),
        ] {
            near(
                poisson(rate, MS, k, Fill::Ahead).abs_ipdv.unwrap() * 1e6,
                ipdv,
                1e-3,
            );
        }
        for (x, share) in [(0.1, 0.8716), (0.5, 0.5244), (0.9, 0.2021)] {
            near(poisson_share_above(5000.0, MS, 8, x * MS), share, 1e-4);
        }
    }

    #[test]
    fn the_printed_values_of_cbr() {
        for (fill, k, rate, frames, wait, ipdv) in [
            (Fill::Ahead, 64, 5300.0, 6.0, 528.302, Some(314.465)),
            (Fill::Ahead, 64, 21_000.0, 22.0, 500.0, Some(90.909)),
            (Fill::Ahead, 64, 100_000.0, 64.0, 315.0, Some(19.688)),
            (Fill::Ahead, 2, 5300.0, 2.0, 94.340, Some(188.679)),
            (Fill::Overflow, 2, 5300.0, 2.0, 283.019, None),
            (Fill::Overflow, 8, 21_000.0, 8.0, 214.286, None),
        ] {
            let e = cbr(rate, MS, k, fill);
            near(e.frames, frames, 1e-9);
            near(e.wait * 1e6, wait, 1e-3);
            if let Some(ipdv) = ipdv {
                near(e.abs_ipdv.unwrap() * 1e6, ipdv, 1e-3);
            }
        }
    }

    #[test]
    fn the_printed_values_of_the_rest() {
        for (k, rate, frames, wait) in [
            (2, 1000.0, 1.5, 333.333),
            (8, 5000.0, 4.6046, 515.125),
            (64, 20_000.0, 20.0751, 852.566),
        ] {
            let e = exponential_hold(rate, 1000.0, k);
            near(e.frames, frames, 1e-4);
            near(e.wait * 1e6, wait, 1e-3);
        }
        let source = Interrupted {
            rate: 50_000.0,
            on: 2.0 * MS,
            off: 10.0 * MS,
        };
        for (k, frames, wait) in [(2, 1.9910, 14.600), (64, 40.5953, 549.186)] {
            let e = interrupted_poisson(source, MS, k);
            near(e.frames, frames, 1e-4);
            near(e.wait * 1e6, wait, 1e-3);
        }
        near(utilisation(500_000.0, 64.0, 8e-6, 1e-6), 0.5625, 1e-4);
        for (rate, sojourn) in [(20_000.0, 9.99), (80_000.0, 20.57), (100_000.0, 49.50)] {
            near(m_d_1(rate, 9e-6) * 1e6, sojourn, 1e-2);
        }
    }

    #[test]
    fn limits_are_reached() {
        let e = poisson(1000.0, 1.0, 8, Fill::Ahead);
        near(e.wait, 7.0 / 2000.0, 1e-9);
        near(e.abs_ipdv.unwrap(), 2.0 * 7.0 / (8.0 * 1000.0), 1e-6);
        let e = poisson(1000.0, MS, 400, Fill::Ahead);
        near(e.wait, MS * 1.5 / 2.0, 1e-12);
    }
}
