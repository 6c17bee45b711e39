//! Packets a second of the simulator, arrivals and statistics included, on one core.
//!
//! How this compares with a general simulator is in `peer`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vifbench_model::arrivals::{Cbr, Poisson, Source};
use vifbench_model::container::Layout;
use vifbench_model::engine::Flow;
use vifbench_model::simulate::Model;
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::timing::Sizes;
use vifbench_scenarios::units::Rate;

const PACKETS: u64 = 1_000_000;
const RATE: u64 = 20_000;

fn run(regulator: Regulator, source: Source) -> u64 {
    let model = Model::new(regulator, 1_000_000, Layout::WIRE);
    let end = PACKETS * 1_000_000_000 / RATE;
    let flow = Flow {
        queue: 0,
        source,
        sizes: Sizes::Fixed(60),
    };
    model.run(1, vec![flow], (0..end, end), None).packets()
}

fn speed(c: &mut Criterion) {
    let rate = Rate::per_sec(RATE);
    for (shape, source) in [
        (
            "cbr",
            (|rate| Source::Cbr(Cbr::new(rate, 1))) as fn(Rate) -> Source,
        ),
        ("poisson", |rate| {
            Source::Poisson(Box::new(Poisson::new(rate, 1)))
        }),
    ] {
        let mut group = c.benchmark_group(shape);
        group.throughput(Throughput::Elements(PACKETS));
        group.sample_size(10);
        for regulator in Regulator::ALL {
            let id = BenchmarkId::from_parameter(regulator.name());
            group.bench_function(id, |b| b.iter(|| run(regulator, source(rate))));
        }
        group.finish();
    }
}

criterion_group!(benches, speed);
criterion_main!(benches);
