//! The C core, taken out of the patch series itself and built with sanitizers, against the model: every answer must be
//! the same text, for random and for mutated input.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vifbench_model::arithmetic::Fixed;
use vifbench_model::container::Layout;
use vifbench_model::packing::{Frame, Head, Packer, unpack};
use vifbench_model::playout::Playout;
use vifbench_model::regulator::{
    BreakEven, Gated, Literal, NoWait, Paper, Ramjee1, Ramjee2, Ramjee3, Ramjee4, Regulator,
    StaticHold,
};
use vifbench_model::stage::{Reason, Release, Stage};

const HEADER: &str = "include/xen/xen_netagg.h";

/// The header as the whole series leaves it.
fn header(work: &Path) -> PathBuf {
    let series = Path::new(env!("VIFBENCH_SERIES"))
        .canonicalize()
        .expect("the series' folder");
    let names = std::fs::read_to_string(series.join("series")).expect("the series");
    for name in names
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let status = Command::new("git")
            .args(["apply", &format!("--include={HEADER}")])
            .arg(series.join(name))
            .current_dir(work)
            .env("GIT_CEILING_DIRECTORIES", work.parent().unwrap_or(work))
            .status()
            .expect("git is installed");
        assert!(status.success(), "{name} does not apply");
    }
    let header = work.join(HEADER);
    assert!(header.exists(), "no patch makes {HEADER}");
    header
}

fn build(work: &Path) -> PathBuf {
    let header = header(work);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c_core");
    let program = work.join("driver");
    let status = Command::new("cc")
        .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .arg("-I")
        .arg(here.join("compat"))
        .arg("-I")
        .arg(header.parent().expect("a folder"))
        .arg(here.join("driver.c"))
        .arg("-o")
        .arg(&program)
        .status()
        .expect("a C compiler is installed");
    assert!(status.success(), "the driver does not compile");
    program
}

/// Asks the C core everything, and compares with what the model said.
fn compare(program: &Path, questions: &[String], expected: &[String]) {
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the driver starts");
    let mut stdin = child.stdin.take().expect("stdin");
    let input = questions.join("\n") + "\n";
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let out = child.wait_with_output().expect("the driver ends");
    writer
        .join()
        .expect("the writer")
        .expect("the driver reads all");
    assert!(out.status.success(), "the C core failed: {:?}", out.status);
    let answers = String::from_utf8(out.stdout).expect("text");
    let answers: Vec<&str> = answers.lines().collect();
    for (n, ((question, answer), expected)) in
        questions.iter().zip(&answers).zip(expected).enumerate()
    {
        assert_eq!(
            answer,
            expected,
            "line {n}, asked: {}",
            &question[..question.len().min(200)]
        );
    }
    assert_eq!(answers.len(), questions.len());
}

/// A number with few or many bits.
fn wide(random: &mut ChaCha8Rng) -> u64 {
    random.next_u64() >> (random.next_u64() % 64)
}

fn below(random: &mut ChaCha8Rng, end: u64) -> u64 {
    random.next_u64() % end
}

fn text(release: Option<Release>) -> String {
    release.map_or_else(
        || "-".to_owned(),
        |r| {
            format!(
                "{}/{}/{}/{}/{}",
                r.at, r.opened, r.frames, r.used, r.reason as u8
            )
        },
    )
}

/// A regulator's life, asked and answered.
fn life<R: Regulator>(
    name: &str,
    (t0, unit): (u64, u64),
    regulator: R,
    random: &mut ChaCha8Rng,
    (questions, expected): (&mut Vec<String>, &mut Vec<String>),
) {
    questions.push(format!("init {name} {t0} {unit}"));
    expected.push("ok".to_owned());
    let mut stage = Stage::new(regulator, Layout::WIRE, t0);
    let mut now = if below(random, 4) == 0 {
        wide(random)
    } else {
        0
    };
    // Styles: steady, scattered around T0, anything.
    let style = below(random, 4);
    let step = 1 + wide(random) % t0.max(2);
    for _ in 0..60 + below(random, 400) {
        let gap = match style {
            0 => step,
            1 => below(random, t0.max(1) * 2 + 1),
            2 => step / 8 + below(random, step),
            _ => wide(random),
        };
        now = now.saturating_add(gap);
        match below(random, 12) {
            0 => {
                questions.push(format!("expire {now}"));
                expected.push(text(stage.expire(now)));
            }
            1 if name == "nowait" || below(random, 8) == 0 => {
                questions.push(format!("drain {now}"));
                expected.push(text(stage.drain(now)));
            }
            2 if name == "breakeven" && below(random, 3) == 0 => {
                let busy = below(random, 2) == 0;
                questions.push(format!("busy {}", u8::from(busy)));
                expected.push("ok".to_owned());
                stage.consumer_is_busy(busy);
            }
            kind => {
                let len = match kind {
                    2 => below(random, 5000) as u32,
                    3 => 0,
                    4 => 1514,
                    _ => 60,
                };
                // A clock that goes back a little.
                let then = if below(random, 50) == 0 {
                    now.saturating_sub(wide(random))
                } else {
                    now
                };
                questions.push(format!("arrive {then} {len}"));
                let out = stage.arrive(then, len, true);
                let before = text(out.expired.or(out.displaced));
                expected.push(format!(
                    "{before} {} {}",
                    text(out.completed),
                    u8::from(!out.alone)
                ));
            }
        }
    }
}

#[test]
#[cfg_attr(
    not(c_core),
    ignore = "no patch of the series makes include/xen/xen_netagg.h: nothing was compared"
)]
fn the_c_core_equals_the_model() {
    let work = tempfile::tempdir().expect("a temporary folder");
    let program = build(work.path());
    let mut random = ChaCha8Rng::seed_from_u64(20);
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    for _ in 0..100 {
        let t0 = match below(&mut random, 4) {
            0 => 1_000_000,
            1 => below(&mut random, 20_000_001),
            _ => wide(&mut random) >> 32,
        };
        let unit = wide(&mut random) >> 20;
        macro_rules! lives {
            ($($name:literal: $regulator:expr),* $(,)?) => {$(
                life($name, (t0, unit), $regulator, &mut random, (&mut questions, &mut expected));
            )*};
        }
        lives!(
            "nowait": NoWait,
            "static": StaticHold::new(t0),
            "literal": Literal::<Fixed>::new(unit),
            "paper": Paper::<Fixed>::new(t0),
            "gated": Gated::<Fixed>::new(t0),
            "ramjee1": Ramjee1::<Fixed>::new(t0),
            "ramjee2": Ramjee2::<Fixed>::new(t0),
            "ramjee3": Ramjee3::<Fixed>::new(t0),
            "ramjee4": Ramjee4::<Fixed>::new(t0),
            "playout": StaticHold::new(t0),
            "breakeven": BreakEven::new(t0),
        );
        receiver(t0, &mut random, &mut questions, &mut expected);
    }
    for _ in 0..800 {
        containers(&mut random, &mut questions, &mut expected);
    }
    compare(&program, &questions, &expected);
}

fn receiver(
    t0: u64,
    random: &mut ChaCha8Rng,
    questions: &mut Vec<String>,
    expected: &mut Vec<String>,
) {
    questions.push(format!("playout {t0}"));
    expected.push("ok".to_owned());
    let mut playout = Playout::<Fixed>::new(t0);
    let mut now = 0u64;
    for _ in 0..200 {
        now = now.saturating_add(wide(random) >> 30);
        let age = if below(random, 10) == 0 {
            wide(random) as u32
        } else {
            below(random, t0 + 1) as u32
        };
        let before = playout.late();
        let at = playout.deliver(now, age);
        questions.push(format!("deliver {now} {age}"));
        expected.push(format!("{at} {}", playout.late() - before));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// A random container: packed by both, then damaged and unpacked by both.
fn containers(random: &mut ChaCha8Rng, questions: &mut Vec<String>, expected: &mut Vec<String>) {
    let reason = [
        Reason::Full,
        Reason::Timeout,
        Reason::Bypass,
        Reason::Backlog,
    ][below(random, 4) as usize];
    let head = Head {
        reason,
        seq: wide(random) as u32,
        hold: wide(random) as u32,
    };
    let mut question = format!("pack {} {} {}", reason as u8, head.seq, head.hold);
    let mut packer = Packer::default();
    let most = 1 + below(random, 200);
    let small = below(random, 2) == 0;
    for n in 0..most {
        // One that can be packed comes first: an empty container is none.
        let len = match below(random, 20) {
            0 if n > 0 => below(random, 5000),
            1 if !small => 1514,
            _ if small => 14 + below(random, 10),
            _ => 14 + below(random, 600),
        };
        let mut bytes = vec![0; len as usize];
        random.fill_bytes(&mut bytes);
        if bytes.is_empty() {
            continue;
        }
        let (flags, age) = (below(random, 4) as u16, wide(random) as u32);
        write!(question, " {flags} {age} {}", hex(&bytes)).expect("a string takes all");
        // Both leave out what does not fit.
        let _ = packer.push(Frame {
            flags,
            age,
            bytes: &bytes,
        });
    }
    let mut bytes = packer.finish(head);
    questions.push(question);
    expected.push(hex(&bytes));
    for damage in 0..4 {
        if damage > 0 {
            for _ in 0..=below(random, 3) {
                // Headers matter most; lengths and padding lie anywhere.
                let end = if below(random, 2) == 0 {
                    bytes.len().min(48)
                } else {
                    bytes.len()
                };
                let place = below(random, end as u64) as usize;
                bytes[place] = match below(random, 3) {
                    0 => 0,
                    1 => random.next_u64() as u8,
                    _ => bytes[place] ^ (1 << below(random, 8)),
                };
            }
            match below(random, 12) {
                0 => bytes.truncate(1 + below(random, bytes.len() as u64) as usize),
                1 => bytes.resize((bytes.len() + below(random, 40) as usize).max(1), 0),
                _ => {}
            }
        }
        questions.push(format!("unpack {}", hex(&bytes)));
        expected.push(match unpack(&bytes) {
            Err(_) => "bad".to_owned(),
            Ok((head, frames)) => frames.iter().fold(
                format!("{} {} {}", head.reason as u8, head.seq, head.hold),
                |mut text, frame| {
                    write!(text, " {}/{}/{}", frame.flags, frame.age, hex(frame.bytes))
                        .expect("a string takes all");
                    text
                },
            ),
        });
    }
}
