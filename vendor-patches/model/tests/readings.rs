//! The regulators beside each other on the same traffic: what was found by another program, with other random numbers,
//! before this one was written (algorithms.md, 1.4). Compared within what two such simulations differ by.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vifbench_model::arrivals::{Captured, Cbr, Poisson, Source};
use vifbench_model::container::Layout;
use vifbench_model::engine::{Flow, Setup};
use vifbench_model::measure::Measure;
use vifbench_model::regulator::StaticHold;
use vifbench_model::service::Service;
use vifbench_model::simulate::{Model, run_rule};
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::timing::Sizes;
use vifbench_scenarios::units::Rate;

const MS: u64 = 1_000_000;
const LAYOUT: Layout = Layout::bare(4096, 0);
const PACKETS: u64 = 400_000;

fn flow(source: Source) -> Vec<Flow> {
    vec![Flow {
        queue: 0,
        source,
        sizes: Sizes::Fixed(64),
    }]
}

fn cbr(rate: u64) -> Source {
    Source::Cbr(Cbr::new(Rate::per_sec(rate), 1))
}

fn poisson(rate: u64) -> Source {
    Source::Poisson(Box::new(Poisson::new(Rate::per_sec(rate), 1)))
}

/// Bursts with a Pareto shape of 1.5, 10 us gaps and about 11 packets, silences of 1 ms and more, 6 ms in the mean.
fn bursts() -> Source {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut unit = move || ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let (mut at, mut left) = (0u64, 0u64);
    Source::Replay(Box::new(std::iter::from_fn(move || {
        if left == 0 {
            left = (3.5 * unit().powf(-1.0 / 1.5)).ceil().min(1e6) as u64;
            at += MS + (-unit().ln() * 5e6) as u64;
        } else {
            at += 10_000;
        }
        left -= 1;
        Some(Captured { at, len: 64 })
    })))
}

fn run(regulator: Regulator, source: Source, rate: u64) -> Measure {
    let end = PACKETS * 1_000_000_000 / rate;
    Model::new(regulator, MS, LAYOUT).run(1, flow(source), (0..end, end), None)
}

/// Mean wait, p99, mean |IPDV| in microseconds, packets a container; `within` is a share.
fn printed(what: &str, measure: &Measure, expected: [f64; 4], within: f64) {
    let us = |m: Option<f64>| m.expect("packets") / 1000.0;
    let found = [
        us(measure.mean_wait()),
        us(measure.quantile(990).map(|q| q as f64)),
        us(measure.mean_abs_ipdv()),
        measure.packets_per_transfer().expect("containers"),
    ];
    for (found, expected) in found.into_iter().zip(expected) {
        // Half of the last printed digit, or the share.
        let allowed = (within * expected).max(if expected < 20.0 { 0.06 } else { 0.6 });
        assert!(
            (found - expected).abs() <= allowed,
            "{what}: {found}, printed {expected}"
        );
    }
}

#[test]
fn open_loops() {
    use Regulator::{Gated, Paper, Static};
    for (regulator, source, rate, expected) in [
        (Static, cbr(200), 200, [1000.0, 1000.0, 0.0, 1.0]),
        (Static, poisson(200), 200, [917.0, 1000.0, 156.0, 1.2]),
        (Static, poisson(2000), 2000, [667.0, 1000.0, 378.0, 3.0]),
        (Static, poisson(20_000), 20_000, [524.0, 1000.0, 90.0, 21.0]),
        (Paper, cbr(200), 200, [1000.0, 1000.0, 0.0, 1.0]),
        (Paper, poisson(200), 200, [917.0, 1000.0, 156.0, 1.2]),
        (Paper, poisson(2000), 2000, [667.0, 1000.0, 378.0, 3.0]),
        (Paper, poisson(20_000), 20_000, [196.0, 427.0, 66.0, 7.4]),
        (Gated, cbr(200), 200, [15.7, 1000.0, 31.0, 1.0]),
        (Gated, poisson(200), 200, [21.6, 1000.0, 33.0, 1.0]),
        (Gated, poisson(2000), 2000, [667.0, 1000.0, 378.0, 3.0]),
        (Gated, poisson(20_000), 20_000, [196.0, 428.0, 66.0, 7.4]),
    ] {
        let measure = run(regulator, source, rate);
        printed(
            &format!("{} at {rate}/s", regulator.name()),
            &measure,
            expected,
            0.015,
        );
    }
}

#[test]
fn bursts_with_a_heavy_tail() {
    // Sample means converge slowly, and what the silences were like is not printed.
    for (regulator, expected, within) in [
        (Regulator::Static, [796.0, 1000.0, 19.0, 10.9], 0.1),
        (Regulator::Paper, [783.0, 1000.0, 19.0, 9.7], 0.15),
    ] {
        let measure = run(regulator, bursts(), 1600);
        printed(regulator.name(), &measure, expected, within);
    }
    // Far below T0 either way: the gate that leaves silences out is what brings it there.
    let gated = run(Regulator::Gated, bursts(), 1600);
    let wait = gated.mean_wait().expect("packets") / 1000.0;
    let frames = gated.packets_per_transfer().expect("containers");
    assert!((20.0..60.0).contains(&wait), "{wait}");
    assert!((4.0..8.0).contains(&frames), "{frames}");
}

/// The extractor's playout removes the jitter, at up to three times the delay. The printed values are those without a
/// cap on P.
#[test]
fn playout_evens_delays_out() {
    for (source, rate, [wait, p99, ipdv, frames]) in [
        (cbr(200), 200, [1001.0, 1000.0, 0.0, 1.0]),
        (poisson(200), 200, [1472.0, 1595.0, 2.6, 1.2]),
        (poisson(2000), 2000, [1843.0, 1928.0, 5.0, 3.0]),
        (poisson(20_000), 20_000, [1562.0, 1673.0, 5.5, 21.0]),
    ] {
        let setup = Setup {
            layout: LAYOUT,
            hold: MS,
            service: Service::default(),
            playout: Some(u64::MAX),
            shadow: false,
        };
        // The estimate needs some hundred frames to settle.
        let end = PACKETS * 1_000_000_000 / rate;
        let measure = run_rule(
            setup,
            1,
            || StaticHold::new(MS),
            flow(source),
            (end / 100..end, end),
        );
        printed(
            &format!("playout at {rate}/s"),
            &measure,
            [wait, p99, ipdv, frames],
            0.02,
        );
    }
    // No age exceeds T0: with that cap delays are as even, at T0.
    let measure = run(Regulator::Playout, poisson(20_000), 20_000);
    printed(
        "playout with its cap",
        &measure,
        [1000.0, 1000.0, 0.0, 21.0],
        0.01,
    );
}

fn closed_loop(regulator: Regulator, hold: u64, samples: u64) -> f64 {
    let source = Source::ClosedLoop {
        round_trip: MS / 2,
        start: vec![0],
        samples: Some(samples - 1),
    };
    let measure =
        Model::new(regulator, hold, LAYOUT).run(1, flow(source), (0..u64::MAX, u64::MAX), None);
    assert_eq!(measure.samples, samples);
    1000.0 / measure.samples_per_s().expect("samples")
}

#[test]
fn a_closed_loop() {
    // Milliseconds a sample: after 500 samples, after 20 000. X = 1 / (r + h), h the hold of a sample.
    for (regulator, few, many) in [
        (Regulator::Static, 10.5, 10.5),
        (Regulator::Paper, 9.62, 10.48),
        (Regulator::Gated, 0.79, 0.52),
        (Regulator::Literal, 3.71, 4.48),
    ] {
        for (samples, printed) in [(500, few), (20_000, many)] {
            let found = closed_loop(regulator, 10 * MS, samples);
            assert!(
                (found - printed).abs() <= 0.0051,
                "{} {samples}: {found}",
                regulator.name()
            );
        }
    }
    // Read literally, with u = 1 ms and a hold that is nowhere given, the paper's Table 1 comes out.
    let ratio = closed_loop(Regulator::Static, 11_340_000, 500)
        / closed_loop(Regulator::Literal, 11_340_000, 500);
    assert!((ratio - 3.17).abs() < 0.03, "{ratio}");
    let ratio = closed_loop(Regulator::Static, 10 * MS, 500)
        / closed_loop(Regulator::Literal, 10 * MS, 500);
    assert!((ratio - 2.83).abs() < 0.01, "{ratio}");
}
