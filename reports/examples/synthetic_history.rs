//! Writes the history of many nights of a made-up run, to look at `vifbench history` and to time it:
//! `cargo run --release -p vifbench-reports --example synthetic_history -- FOLDER [NIGHTS]`

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::path::PathBuf;

use synthetic::World;
use vifbench_reports::{analyze_run, history};
use vifbench_scenarios::progress::Silent;
use vifbench_scenarios::units::Span;

fn main() {
    let mut arguments = std::env::args().skip(1);
    // A word that begins with a dash is nobody's folder: it asks for help.
    let folder = arguments
        .next()
        .filter(|word| !word.starts_with('-'))
        .map(PathBuf::from)
        .expect("usage: synthetic_history FOLDER");
    let nights: u32 = arguments
        .next()
        .map_or(1000, |n| n.parse().expect("a number of nights"));
    let world = World {
        rates: vec![200, 2000],
        blocks: 2,
        warmup: Span::from_millis(10),
        duration: Span::from_millis(50),
        ..World::default()
    };
    let run = folder.join("one");
    world.write(&run);
    let one = analyze_run(&run, &Silent).expect("a summary");
    std::fs::create_dir_all(vifbench_store::history_folder(&folder)).expect("a folder");
    for night in 0..nights {
        let mut summary = one.clone();
        let (month, day) = (night / 28 % 12 + 1, night % 28 + 1);
        summary.started = format!("{}-{month:02}-{day:02}T01:00:00Z", 2020 + night / 336);
        summary.run = format!("night-{night:05}");
        // Noise of 1 %, and a change of 4 % of everything after two thirds.
        let noise = f64::from(night.wrapping_mul(2_654_435_761) >> 16) / 65_536.0 - 0.5;
        let factor = (1.0 + 0.02 * noise) * if night * 3 > nights * 2 { 1.04 } else { 1.0 };
        let scaled = |ns: i64| (ns as f64 * factor) as i64;
        for trial in &mut summary.trials {
            for row in trial.flows.iter_mut().chain(&mut trial.total) {
                for stats in [&mut row.delay, &mut row.abs_ipdv, &mut row.pdv]
                    .into_iter()
                    .flatten()
                {
                    stats.mean = scaled(stats.mean);
                    stats.p50 = scaled(stats.p50);
                    stats.p99 = scaled(stats.p99);
                }
            }
        }
        history::record(&folder, &summary).expect("a night's file");
    }
    println!("{}", folder.display());
}
