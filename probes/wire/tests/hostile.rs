//! Files and messages from a hostile hand: mutations of a kept corpus against every reader of foreign bytes.
//!
//! The mutations are blind and made from a seed that is printed when something fails, so that they need nothing but the
//! test. A run takes some seconds; `VIFBENCH_HOSTILE_SECONDS=7200` makes it hours. `probes/wire/fuzz/run` has libFuzzer look
//! for new paths through the same checks. What either finds goes into `tests/corpus/`, whose files are all read as they
//! are, too.

#[path = "hostile/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use checks::{look, message, read};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the corpus is there")
        .map(|entry| {
            let path = entry.expect("a file of the corpus").path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, fs::read(&path).expect("a file of the corpus is read"))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 8, "the corpus has lost files");
    files
}

fn duration() -> Duration {
    let seconds = std::env::var("VIFBENCH_HOSTILE_SECONDS").map_or(3, |text| {
        text.parse().expect("VIFBENCH_HOSTILE_SECONDS is a number")
    });
    Duration::from_secs(seconds)
}

/// Changes bytes, words and lengths, cuts, doubles and joins: what breaks parsers.
fn mutate(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..6) {
        if bytes.is_empty() {
            bytes.push(rng.random());
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..8) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(at),
            3 => {
                let edge = [
                    0u32,
                    1,
                    0x7f,
                    0xff,
                    0xffff,
                    0x7fff_ffff,
                    u32::MAX,
                    0x0a0d_0d0a,
                    12,
                    16,
                ];
                let word = edge.choose(rng).copied().unwrap_or(0);
                let word = if rng.random() {
                    word.to_le_bytes()
                } else {
                    word.to_be_bytes()
                };
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            4 => {
                let end = rng.random_range(at..=bytes.len().min(at + 64));
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let end = rng.random_range(at..=bytes.len().min(at + 64));
                bytes.drain(at..end);
            }
            6 if !other.is_empty() => {
                let from = rng.random_range(0..other.len());
                let to = (from + 64).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                let words = bytes.len() / 4;
                if words > 0 {
                    let at = rng.random_range(0..words) * 4;
                    bytes[at] = bytes[at].wrapping_add(rng.random_range(0..9));
                }
            }
        }
    }
}

fn memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = text
        .lines()
        .find(|l| l.starts_with("VmHWM:"))
        .expect("a peak");
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number")
}

#[test]
fn captures_are_read_or_refused() {
    let corpus = corpus();
    for (_, bytes) in &corpus {
        read(bytes.clone());
        for kind in [0, 1, 12, 101, 113, 228, 229, 276, 999] {
            look(kind, bytes, bytes.len() as u32);
        }
    }
    let before = memory_kib();
    let seed = rand::random();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    println!("seed {seed}");
    let (end, mut rounds) = (Instant::now() + duration(), 0u64);
    while Instant::now() < end {
        let mut bytes = corpus.choose(&mut rng).expect("a file").1.clone();
        let other = &corpus.choose(&mut rng).expect("a file").1;
        mutate(&mut rng, &mut bytes, other);
        let kind = [0, 1, 12, 101, 113, 228, 229, 276]
            .choose(&mut rng)
            .copied()
            .unwrap_or(1);
        look(kind, &bytes, rng.random());
        read(bytes);
        rounds += 1;
    }
    let grown = memory_kib().saturating_sub(before);
    println!("{rounds} mutations, {grown} KiB more memory");
    assert!(
        rounds > 0 && grown < 200_000,
        "{grown} KiB after {rounds} mutations"
    );
}

#[test]
fn messages_are_read_or_refused() {
    let messages = [
        r#"{"ask":"hello","version":1}"#,
        r#"{"ask":"exchange_clock","interface":"eth0","peer_mac":"02:00:00:00:00:01","count":5,"deadline_ns":9}"#,
        r#"{"ask":"arm","trial":1,"start_ns":1,"stop_ns":2,"drain_ns":3,"sealed_by":null,"announce":null}"#,
        r#"{"ask":"prepare","trial":1,"captures":[{"point":"tx","guest":null,"interface":"a","filter":"","snaplen":96,"buffer":4096}],"generate":{"interface":"a","pace":"sleep","flows":[{"flow":1,"source_mac":"","destination_mac":"","source":"198.18.0.1","destination":"::1","size":64,"arrivals":{"cbr":{"rate":"5/s"}},"seed":1}]},"counters":[],"files":[],"domains":false,"sample_every_ns":0}"#,
        r#"{"answer":"status","state":"armed"}"#,
        r#"{"answer":"failed","error":"x","hint":null}"#,
        r#"{"answer":"clock","tsc_before":1,"realtime_ns":2,"monotonic_ns":3,"tsc_after":4}"#,
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(rand::random());
    let end = Instant::now() + duration();
    while Instant::now() < end {
        let mut bytes = messages
            .choose(&mut rng)
            .expect("a message")
            .as_bytes()
            .to_vec();
        let other = messages.choose(&mut rng).expect("a message").as_bytes();
        mutate(&mut rng, &mut bytes, other);
        message(&bytes);
    }
}
