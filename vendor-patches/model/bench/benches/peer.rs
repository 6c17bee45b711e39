//! The simulator of the model beside NeXosim, a general discrete-event simulator that is alive and meant to be fast.
//!
//! Both do the least that a packet needs: NeXosim an arrival that schedules the next one and hands a packet to a second
//! model, the model a whole container stage with statistics. Compare within one run only.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nexosim::model::{Context, Model, schedulable};
use nexosim::ports::Output;
use nexosim::simulation::{Mailbox, SimInit};
use nexosim::time::MonotonicTime;
use serde::{Deserialize, Serialize};
use vifbench_model::arrivals::{Cbr, Source};
use vifbench_model::container::Layout;
use vifbench_model::engine::Flow;
use vifbench_model::simulate::Model as Stage;
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::timing::Sizes;
use vifbench_scenarios::units::Rate;

const PACKETS: u64 = 200_000;
const RATE: u64 = 20_000;
const GAP: Duration = Duration::from_nanos(1_000_000_000 / RATE);

#[derive(Serialize, Deserialize)]
struct Sender {
    packet: Output<u64>,
    sent: u64,
}

#[Model]
impl Sender {
    #[nexosim(schedulable)]
    async fn send(&mut self, _: (), context: &Context<Self>) {
        self.sent += 1;
        self.packet.send(self.sent).await;
        if self.sent < PACKETS {
            context.schedule_event(GAP, schedulable!(Self::send), ()).expect("it lies ahead");
        }
    }

    #[nexosim(init)]
    async fn init(&mut self, context: &Context<Self>) {
        context.schedule_event(GAP, schedulable!(Self::send), ()).expect("it lies ahead");
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Receiver {
    sum: u64,
}

#[Model]
impl Receiver {
    fn packet(&mut self, packet: u64) {
        self.sum = black_box(self.sum.wrapping_add(packet));
    }
}

fn general() {
    let mut sender = Sender { packet: Output::default(), sent: 0 };
    let (from, to) = (Mailbox::new(), Mailbox::new());
    sender.packet.connect(Receiver::packet, &to);
    let mut simulation = SimInit::with_num_threads(1)
        .add_model(sender, from, "sender")
        .add_model(Receiver::default(), to, "receiver")
        .init(MonotonicTime::EPOCH)
        .expect("it begins");
    let end = GAP * (PACKETS as u32 + 2);
    simulation.step_until(end).expect("it ends");
}

fn ours() -> u64 {
    let flow = Flow {
        queue: 0,
        source: Source::Cbr(Cbr::new(Rate::per_sec(RATE), 1)),
        sizes: Sizes::Fixed(60),
    };
    let end = PACKETS * 1_000_000_000 / RATE;
    let stage = Stage::new(Regulator::Static, 1_000_000, Layout::WIRE);
    stage.run(1, vec![flow], (0..end, end), None).packets()
}

fn peer(c: &mut Criterion) {
    let mut group = c.benchmark_group("packets");
    group.throughput(Throughput::Elements(PACKETS));
    group.sample_size(10);
    group.bench_function("vifbench-model, static", |b| b.iter(|| black_box(ours())));
    group.bench_function("nexosim, sender and receiver", |b| b.iter(general));
    group.finish();
}

criterion_group!(benches, peer);
criterion_main!(benches);
