//! The simulator against every closed form, at four standard errors.
//!
//! A standard error is that of the mean over independent repetitions with seeds of their own, so nothing is assumed of
//! the correlation between packets. Seeds are fixed: a test that passes passes always.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vifbench_model::arrivals::{Captured, Cbr, Poisson, Source};
use vifbench_model::container::{Fill, Layout};
use vifbench_model::engine::{Flow, Setup};
use vifbench_model::measure::Measure;
use vifbench_model::regulator::Regulator as Rule;
use vifbench_model::service::Service;
use vifbench_model::simulate::{Handling, Model, run_rule};
use vifbench_model::theory::{self, Expected, Interrupted};
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::timing::Sizes;
use vifbench_scenarios::units::Rate;

const MS: u64 = 1_000_000;
const REPETITIONS: u64 = 24;
const PACKETS: u64 = 20_000;

fn layout(k: usize, fill: Fill) -> Layout {
    // Frames of 64 bytes.
    Layout {
        fill,
        ..Layout::bare(64 * k as u32, 0)
    }
}

fn model(k: usize, fill: Fill) -> Model {
    Model::new(Regulator::Static, MS, layout(k, fill))
}

fn flow(source: Source) -> Vec<Flow> {
    vec![Flow {
        queue: 0,
        source,
        sizes: Sizes::Fixed(64),
    }]
}

fn poisson(rate: u64, seed: u64) -> Vec<Flow> {
    flow(Source::Poisson(Box::new(Poisson::new(
        Rate::per_sec(rate),
        seed,
    ))))
}

/// A tenth of the time to warm up, and traffic goes on for a while behind the measured part, so that its last
/// container is as good as any.
fn window(rate: u64) -> (Range<u64>, u64) {
    let end = PACKETS * 1_000_000_000 / rate;
    (end / 10..end, end + end / 10)
}

/// Mean and its standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn agrees(what: &str, values: &[f64], expected: f64) {
    let (found, error) = mean(values);
    // Rounding to nanoseconds; and an event too rare to happen here leaves no trace in the error.
    let allowed = 4.0 * error + 1e-9 + 1e-5 * expected;
    assert!(
        (found - expected).abs() <= allowed,
        "{what}: {found} +- {error}, expected {expected}"
    );
    // A comparison that would pass anything is none: the error has to be small beside the value.
    assert!(
        error <= 0.05 * expected.abs().max(1e-2),
        "{what}: {error} is no precision for {expected}"
    );
}

fn each(measures: &[Measure], value: impl Fn(&Measure) -> f64) -> Vec<f64> {
    measures.iter().map(value).collect()
}

/// Everything that the closed form says of it.
fn hold_against(what: &str, measures: &[Measure], expected: &Expected) {
    let ns = |m: Option<f64>| m.expect("packets were measured") / 1e9;
    let share = |m: Option<f64>| m.expect("containers were measured");
    let of = |name: &str| format!("{what}, {name}");
    agrees(
        &of("frames a container"),
        &each(measures, |m| share(m.packets_per_transfer())),
        expected.frames,
    );
    agrees(
        &of("wait"),
        &each(measures, |m| ns(m.mean_wait())),
        expected.wait,
    );
    if let Some(square) = expected.square {
        let squares = each(measures, |m| {
            ns(m.sd_wait()).powi(2) + ns(m.mean_wait()).powi(2)
        });
        agrees(&of("square"), &squares, square);
    }
    let timeouts = each(measures, |m| share(m.timeout_fraction()));
    let (found, error) = mean(&timeouts);
    // Of the rarest, none may happen here: 24 repetitions have some 7000 containers of 64.
    assert!(
        (found - expected.timeouts).abs() <= 4.0 * error + 5e-5,
        "{what}, timeouts: {found} +- {error}, expected {}",
        expected.timeouts
    );
    if let Some(ipdv) = expected.abs_ipdv {
        agrees(
            &of("|IPDV|"),
            &each(measures, |m| ns(m.mean_abs_ipdv())),
            ipdv,
        );
    }
}

fn repeat(run: impl Fn(u64) -> Measure) -> Vec<Measure> {
    (1..=REPETITIONS).map(run).collect()
}

#[test]
fn poisson_under_both_fill_rules() {
    for (fill, k, rate) in [
        (Fill::Ahead, 64, 200),
        (Fill::Ahead, 64, 20_000),
        (Fill::Ahead, 64, 100_000),
        (Fill::Ahead, 8, 1000),
        (Fill::Ahead, 8, 5000),
        (Fill::Ahead, 8, 20_000),
        (Fill::Ahead, 2, 200),
        (Fill::Ahead, 2, 1000),
        (Fill::Ahead, 2, 5000),
        (Fill::Overflow, 2, 1000),
        (Fill::Overflow, 2, 5000),
        (Fill::Overflow, 8, 5000),
    ] {
        let measures =
            repeat(|seed| model(k, fill).run(1, poisson(rate, seed), window(rate), None));
        let expected = theory::poisson(rate as f64, 1e-3, k, fill);
        hold_against(&format!("{fill:?} {k} {rate}/s"), &measures, &expected);
    }
}

#[test]
fn the_distribution_of_waits() {
    let measures =
        repeat(|seed| model(8, Fill::Ahead).run(1, poisson(5000, seed), window(5000), None));
    for x in [0.1e-3, 0.5e-3, 0.9e-3] {
        let expected = theory::poisson_share_above(5000.0, 1e-3, 8, x);
        let found = each(&measures, |m| {
            m.share_above((x * 1e9) as u64)
                .expect("packets were measured")
        });
        // The histogram's classes are a thousandth wide.
        let (mean, error) = mean(&found);
        assert!(
            (mean - expected).abs() <= 4.0 * error + 1e-3 * expected,
            "{x}: {mean} +- {error}, expected {expected}"
        );
    }
}

#[test]
fn equal_gaps() {
    for (fill, k, rate) in [
        (Fill::Ahead, 64, 5300),
        (Fill::Ahead, 64, 21_000),
        (Fill::Ahead, 64, 100_000),
        (Fill::Ahead, 2, 5300),
        (Fill::Ahead, 64, 300),
        (Fill::Overflow, 2, 5300),
        (Fill::Overflow, 8, 21_000),
        (Fill::Overflow, 64, 5300),
    ] {
        let expected = theory::cbr(rate as f64, 1e-3, k, fill);
        // The window begins with a container and ends with one: then nothing is random.
        let frames = expected.frames as u64;
        let source = Source::Cbr(Cbr::with_phase(Rate::per_sec(rate), 0));
        let cycles = PACKETS / frames;
        let end = (frames * cycles) as f64 * 1e9 / rate as f64 - 0.5e9 / rate as f64;
        let measure = model(k, fill).run(1, flow(source), (0..end as u64, end as u64), None);
        let what = format!("{fill:?} {k} {rate}/s");
        let near = |name: &str, found: Option<f64>, expected: f64, allowed: f64| {
            let found = found.expect("packets were measured");
            assert!(
                (found - expected).abs() <= allowed,
                "{what}, {name}: {found}, expected {expected}"
            );
        };
        near(
            "frames",
            measure.packets_per_transfer(),
            expected.frames,
            0.0,
        );
        // Under F2 the last container has nothing behind it, and waits for its deadline.
        let last = if fill == Fill::Overflow {
            1.5 * MS as f64 / cycles as f64
        } else {
            0.0
        };
        near("wait", measure.mean_wait(), expected.wait * 1e9, 1.0 + last);
        let ipdv = expected.abs_ipdv.expect("a form") * 1e9;
        // One pair less than packets.
        near(
            "|IPDV|",
            measure.mean_abs_ipdv(),
            ipdv,
            2.0 + last + 2.0 * ipdv / PACKETS as f64 * frames as f64,
        );
    }
}

/// Bursts with silences of T0 or more, and their lengths.
fn bursts(gap: u64, seed: u64) -> (Vec<u64>, Vec<Captured>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut unit = || ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let (mut at, mut lengths, mut frames) = (0, Vec::new(), Vec::new());
    for _ in 0..2000 {
        let length = (4.0 * unit().powf(-1.0 / 1.5)).ceil().min(1e5) as u64;
        for i in 0..length {
            frames.push(Captured {
                at: at + i * gap,
                len: 64,
            });
        }
        at += (length - 1) * gap + MS + 1 + (unit() * 5e6) as u64;
        lengths.push(length);
    }
    (lengths, frames)
}

#[test]
fn bursts_between_silences() {
    // 41 us instead of 40: 1 ms is no multiple of it.
    for (k, gap) in [(8, 10_000), (64, 10_000), (64, 41_000), (2, 10_000)] {
        let (lengths, frames) = bursts(gap, 3);
        let source = Source::Replay(Box::new(frames.into_iter()));
        let measure = model(k, Fill::Ahead).run(1, flow(source), (0..u64::MAX, u64::MAX), None);
        // Evaluated on the bursts that there were, nothing is random.
        let expected = theory::bursts(&lengths, gap as f64 / 1e9, 1e-3, k as u64);
        let found = [
            measure.packets_per_transfer(),
            measure.timeout_fraction(),
            measure.mean_wait().map(|w| w / 1e9),
        ]
        .map(|v| v.expect("packets were measured"));
        for (found, expected) in
            found
                .into_iter()
                .zip([expected.frames, expected.timeouts, expected.wait])
        {
            assert!(
                (found / expected - 1.0).abs() < 1e-9,
                "{k} {gap}: {found}, expected {expected}"
            );
        }
    }
}

/// A fixed hold whose length is drawn for each container.
struct ExponentialHold {
    random: ChaCha8Rng,
    mean: f64,
    hold: u64,
}

impl Rule for ExponentialHold {
    fn arrive(&mut self, _gap: Option<u64>) {}
    fn open(&mut self) {
        let unit = ((self.random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        self.hold = (-unit.ln() * self.mean).round() as u64;
    }
    fn deadline(&mut self, _now: u64, opened: u64, _frames: u32) -> u64 {
        opened + self.hold
    }
}

#[test]
fn an_exponential_hold() {
    for (k, rate) in [(2, 1000), (8, 5000), (64, 20_000)] {
        let measures = repeat(|seed| {
            let setup = Setup {
                layout: layout(k, Fill::Ahead),
                hold: u64::MAX,
                service: Service::default(),
                playout: None,
                shadow: false,
            };
            let rule = || ExponentialHold {
                random: ChaCha8Rng::seed_from_u64(seed + 1000),
                mean: MS as f64,
                hold: 0,
            };
            run_rule(setup, 1, rule, poisson(rate, seed), window(rate))
        });
        let expected = theory::exponential_hold(rate as f64, 1000.0, k);
        hold_against(
            &format!("exponential hold, {k} {rate}/s"),
            &measures,
            &expected,
        );
    }
}

#[test]
fn an_interrupted_poisson_process() {
    let process = Interrupted {
        rate: 50_000.0,
        on: 2e-3,
        off: 10e-3,
    };
    for k in [2, 64] {
        let measures = repeat(|seed| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut exponential = move |mean: f64| {
                let unit = ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                -unit.ln() * mean
            };
            let mut at = 0.0;
            let mut left = exponential(process.on);
            let source = std::iter::from_fn(move || {
                let mut gap = exponential(1.0 / process.rate);
                while gap > left {
                    // Memoryless: what is left of the gap is drawn anew in the next phase on.
                    at += left + exponential(process.off);
                    left = exponential(process.on);
                    gap = exponential(1.0 / process.rate);
                }
                left -= gap;
                at += gap;
                Some(Captured {
                    at: (at * 1e9).round() as u64,
                    len: 64,
                })
            });
            // 8333 packets a second in the mean.
            let source = Source::Replay(Box::new(source));
            model(k, Fill::Ahead).run(1, flow(source), window(8333), None)
        });
        let expected = theory::interrupted_poisson(process, 1e-3, k);
        hold_against(&format!("interrupted Poisson, {k}"), &measures, &expected);
    }
}

#[test]
fn the_server() {
    let service = Service::from_nanos(8000, 1000);
    // Without aggregation: M/D/1.
    for rate in [20_000, 80_000, 100_000] {
        let stock = Model {
            handling: Handling::Stock,
            service,
            ..model(64, Fill::Ahead)
        };
        let measures = repeat(|seed| stock.run(1, poisson(rate, seed), window(rate), None));
        agrees(
            &format!("M/D/1 at {rate}/s"),
            &each(&measures, |m| m.mean_wait().expect("packets") / 1e9),
            theory::m_d_1(rate as f64, 9e-6),
        );
    }
    // With containers: the share of time that it works.
    let held = Model {
        service,
        ..model(64, Fill::Ahead)
    };
    for rate in [20_000, 500_000] {
        let measures = repeat(|seed| held.run(1, poisson(rate, seed), window(rate), None));
        let busy = each(&measures, |m| {
            let frames = m.packets_per_transfer().expect("containers");
            theory::utilisation(rate as f64, frames, 8e-6, 1e-6)
        });
        let expected = theory::poisson(rate as f64, 1e-3, 64, Fill::Ahead).frames;
        agrees(
            &format!("utilisation at {rate}/s"),
            &busy,
            theory::utilisation(rate as f64, expected, 8e-6, 1e-6),
        );
    }
    // Overload is told, not measured.
    let stock = Model {
        handling: Handling::Stock,
        service,
        ..model(64, Fill::Ahead)
    };
    assert!(
        stock
            .run(1, poisson(500_000, 1), (0..1, 20_000_000_000), None)
            .overloaded
    );
}

/// Mean total delay with the server, the values printed beside the closed forms: aggregation is slower at low rates,
/// and still there where a transfer for each packet would be too much.
#[test]
fn delay_against_rate_with_a_server() {
    let service = Service::from_nanos(8000, 1000);
    let held = Model {
        service,
        ..model(64, Fill::Ahead)
    };
    for (rate, printed) in [
        (20_000, 554.0),
        (80_000, 465.0),
        (100_000, 386.0),
        (500_000, 135.0),
        (800_000, 114.0),
    ] {
        let measures = repeat(|seed| held.run(1, poisson(rate, seed), window(rate), None));
        let (found, error) = mean(&each(&measures, |m| {
            m.mean_wait().expect("packets") / 1000.0
        }));
        assert!(
            (found - printed).abs() <= 0.5 + 4.0 * error.max(1.0),
            "{rate}: {found} +- {error}, printed {printed}"
        );
    }
}
