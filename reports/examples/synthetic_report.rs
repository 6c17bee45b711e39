//! Writes a run with made-up packets and renders its report, to look at figures and page without a lab:
//! `cargo run --release -p vifbench-reports --example synthetic_report -- FOLDER [BLOCKS] [RATE...]`

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::path::PathBuf;

use synthetic::{Fate, World};
use vifbench_scenarios::progress::Silent;
use vifbench_scenarios::units::Span;
use vifbench_store::Outcome;
use vifbench_wire::protocol::Point;

/// A number in 0..1 that looks random but is the same every time.
fn noise(a: u64, b: u64, c: u64) -> f64 {
    let mut x = a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b.rotate_left(24) ^ c.rotate_left(48);
    for _ in 0..2 {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Delays with a long tail; a little more with `shadow`, and a few losses.
fn lifelike(variant: &str, block: u32, flow: u16, seq: u32) -> Fate {
    let draw = |hop: u64| {
        let u = noise(
            u64::from(seq),
            u64::from(flow) * 100 + u64::from(block),
            hop,
        );
        -(1.0 - u).ln()
    };
    let more = if variant == "shadow" { 900.0 } else { 0.0 };
    let mut fate = Fate::of([
        (4000.0 + 900.0 * draw(1)) as i64,
        (7000.0 + 1500.0 * draw(2) * f64::from(flow)) as i64,
        (32_000.0 + more + 6000.0 * draw(3).powi(2)) as i64,
    ]);
    if seq % 997 == 996 {
        fate.last = Point::Vif;
    }
    fate
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    // A word that begins with a dash is nobody's folder: it asks for help.
    let folder = arguments
        .next()
        .filter(|word| !word.starts_with('-'))
        .map(PathBuf::from)
        .expect("usage: synthetic_report FOLDER");
    let blocks = arguments
        .next()
        .map_or(2, |b| b.parse().expect("a number of blocks"));
    let rates: Vec<u64> = arguments.map(|r| r.parse().expect("a rate")).collect();
    let world = World {
        blocks,
        rates: if rates.is_empty() { vec![2000] } else { rates },
        warmup: Span::from_millis(200),
        duration: Span::from_secs(1),
        fate: lifelike,
        dom0_percent: |variant, block| {
            f64::from(block) * 0.4 + if variant == "shadow" { 33.2 } else { 31.9 }
        },
        outcomes: vec![(
            3,
            Outcome::DutCrash {
                reason: "dom0 stopped answering 2.1 s into the trial".into(),
                console: vec![
                    "[   42.000000] BUG: unable to handle page fault for address: ffffc90000000000"
                        .into(),
                    "[   42.000100] RIP: e030:xenvif_agg_release+0x1f/0x90 [xen_netback]".into(),
                    "(XEN) Hardware Dom0 crashed: rebooting machine in 5 seconds.".into(),
                ],
            },
        )],
        ..World::default()
    };
    world.write(&folder);
    let rendered = vifbench_reports::render(&folder, &Silent).expect("a report");
    print!("{}", rendered.summary.to_text());
    println!("\n{}", rendered.index.display());
}
