//! How fast captures are read, matched and measured, beside tshark reading one of them; and what memory that takes.
//!
//! The captures are made up, so that the right answer is known and is checked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use vifbench_probes::counters::usage::{self, Usage};
use vifbench_reports::analyze::PairAnalysis;
use vifbench_scenarios::scenario::Arrivals;
use vifbench_scenarios::units::{Rate, Size};
use vifbench_wire::packet::Template;
use vifbench_wire::pcap_file::{About, FileFormat, Writer};
use vifbench_wire::protocol::FlowSpec;

use super::Bench;
use super::answer::Answer;
use super::error::BenchError;
use super::tools::{Tool, shown, text_of};

const PACKETS: u32 = 3_000_000;
/// 2026-11-22, in nanoseconds since 1970.
const START_NS: u64 = 1_795_305_600_000_000_000;
/// What tshark prints of each packet: the least that tells one from another.
const FIELDS: [&str; 5] = [
    "frame.time_epoch",
    "ip.src",
    "ip.dst",
    "ip.id",
    "udp.length",
];

pub fn measure(bench: &Bench<'_>) -> Result<Answer, BenchError> {
    let packets = bench.amount(PACKETS);
    let mut answer = Answer {
        setting: format!(
            "a pair of captures of {packets} frames of 64 B (1 % lost, 0.1 % doubled, a part reordered), in one thread"
        ),
        ..Answer::default()
    };
    let mut best = 0.0_f64;
    let mut foreign = None;
    for kind in [Kind::Own, Kind::Foreign] {
        let pair = Pair::make(bench.folder, kind, packets)?;
        bench.go_on()?;
        let mut ways = vec![(kind.name().to_owned(), false)];
        if kind == Kind::Foreign {
            ways.push((format!("{}, --streaming", kind.name()), true));
        }
        for (name, streaming) in ways {
            let taken = pair.analyze(streaming)?;
            bench.go_on()?;
            let seconds = taken.usage.cpu.as_secs_f64();
            let rate = pair.records as f64 / seconds / 1e6;
            answer.row(
                &format!("{name}: read, matched, measured"),
                "vifbench",
                rate,
                "million packets a CPU second",
            );
            answer.row(&format!("{name}: time"), "vifbench", taken.wall_s, "s");
            answer.row(
                &format!("{name}: peak memory of the process"),
                "vifbench",
                taken.usage.peak_bytes as f64 / f64::from(packets),
                "bytes a packet sent",
            );
            if !streaming {
                best = if best == 0.0 { rate } else { best.min(rate) };
            }
        }
        if kind == Kind::Foreign {
            foreign = Some(pair);
        }
    }
    let tshark = Tool::find("tshark", Some("tshark"))?;
    if let (Some(pair), true) = (&foreign, tshark.is_there()) {
        let taken = pair.tshark()?;
        let rate = f64::from(packets) / taken.usage.cpu.as_secs_f64() / 1e6;
        answer.row(
            "one of the captures: five fields printed",
            "tshark",
            rate,
            "million packets a CPU second",
        );
        answer.row("one of the captures: time", "tshark", taken.wall_s, "s");
        answer.row(
            "the slower of ours by tshark's",
            "vifbench",
            best / rate,
            "x",
        );
    }
    answer.tools.push(tshark);
    answer.notes.push(
        "every count of `vifbench analyze` was held against what was put into the captures: all are the same"
            .to_owned(),
    );
    Ok(answer)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Own,
    Foreign,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Own => "vifbench's packets",
            Self::Foreign => "foreign packets",
        }
    }
}

/// Two captures, and what is in them.
struct Pair {
    tx: PathBuf,
    rx: PathBuf,
    sent: u64,
    lost: u64,
    copies: u64,
    /// In both files.
    records: u64,
}

/// What a program took.
struct Taken {
    usage: Usage,
    wall_s: f64,
}

/// Random numbers that are the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

impl Pair {
    /// Writes both: a packet every microsecond or so, delays of 20 to 23 us.
    fn make(folder: &Path, kind: Kind, packets: u32) -> Result<Self, BenchError> {
        let name = match kind {
            Kind::Own => "own",
            Kind::Foreign => "foreign",
        };
        let [tx, rx] = ["tx", "rx"].map(|end| folder.join(format!("{name}-{end}.pcap")));
        let about = About {
            link_type: 1,
            snaplen: 65_535,
            interface: "",
        };
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| BenchError::File {
                doing,
                path,
                source,
            }
        };
        let create = |path: &Path| {
            Writer::create_as(path, FileFormat::Pcap, about).map_err(failed("create", path))
        };
        let (mut at_tx, mut at_rx) = (create(&tx)?, create(&rx)?);
        let mut frames = Frames::new(kind)?;
        let mut random = Random(7);
        let mut under_way: BinaryHeap<Reverse<(u64, u32, Vec<u8>)>> = BinaryHeap::new();
        let mut pair = Self {
            tx,
            rx,
            sent: u64::from(packets),
            lost: 0,
            copies: 0,
            records: 0,
        };
        let mut now = START_NS;
        let mut deliver = |under_way: &mut BinaryHeap<Reverse<(u64, u32, Vec<u8>)>>, until: u64| {
            while let Some(Reverse((at, _, _))) = under_way.peek()
                && *at <= until
                && let Some(Reverse((at, _, frame))) = under_way.pop()
            {
                at_rx.record(at, frame.len() as u32, &frame)?;
            }
            io::Result::Ok(())
        };
        for seq in 0..packets {
            now += 900 + random.below(200);
            let frame = frames.frame(seq, now, &mut random);
            at_tx
                .record(now, frame.len() as u32, frame)
                .map_err(failed("write", &pair.tx))?;
            let fate = random.below(1000);
            if fate < 10 {
                pair.lost += 1;
            } else {
                let copies = u64::from(fate == 10);
                pair.copies += copies;
                for _ in 0..=copies {
                    let at = now + 20_000 + random.below(3_000);
                    under_way.push(Reverse((at, seq, frame.to_vec())));
                }
            }
            deliver(&mut under_way, now).map_err(failed("write", &pair.rx))?;
        }
        deliver(&mut under_way, u64::MAX).map_err(failed("write", &pair.rx))?;
        pair.records = at_tx.written() + at_rx.written();
        at_tx.finish().map_err(failed("write", &pair.tx))?;
        at_rx.finish().map_err(failed("write", &pair.rx))?;
        Ok(pair)
    }

    /// `vifbench analyze`, as a user would run it, and whether its counts are right.
    fn analyze(&self, streaming: bool) -> Result<Taken, BenchError> {
        let program = std::env::current_exe().map_err(|source| BenchError::File {
            doing: "find the path of",
            path: PathBuf::from("vifbench"),
            source,
        })?;
        let mut command = Command::new(program);
        command
            .args(["analyze", "--format", "json", "--clock-bound", "0 ns"])
            .arg("--tx")
            .arg(&self.tx)
            .arg("--rx")
            .arg(&self.rx);
        if streaming {
            command.arg("--streaming");
        }
        let out = self.tx.with_extension("json");
        let taken = take("analyze a pair of captures", &mut command, Some(&out))?;
        let text = text_of(&out)?;
        let seen: PairAnalysis = serde_json::from_str(&text).map_err(|error| {
            BenchError::Wrong(format!("`vifbench analyze` printed no JSON: {error}"))
        })?;
        let (found, made) = (
            [seen.tx_packets, seen.lost, seen.duplicated],
            [self.sent, self.lost, self.copies],
        );
        if found != made {
            return Err(BenchError::Wrong(format!(
                "`vifbench analyze` counted {found:?} packets sent, lost and doubled, where {made:?} are in the captures"
            )));
        }
        Ok(taken)
    }

    fn tshark(&self) -> Result<Taken, BenchError> {
        let mut command = Command::new("tshark");
        command
            .arg("-n")
            .arg("-r")
            .arg(&self.tx)
            .args(["-T", "fields"]);
        for field in FIELDS {
            command.args(["-e", field]);
        }
        take("read a capture", &mut command, None)
    }
}

/// Runs a program to its end; what it prints goes into a file, or nowhere.
fn take(
    doing: &'static str,
    command: &mut Command,
    out: Option<&Path>,
) -> Result<Taken, BenchError> {
    let output = match out {
        None => Stdio::null(),
        Some(path) => {
            Stdio::from(
                std::fs::File::create(path).map_err(|source| BenchError::File {
                    doing: "create",
                    path: path.to_owned(),
                    source,
                })?,
            )
        }
    };
    let began = Instant::now();
    let failed = |why: String| BenchError::Program {
        doing,
        command: shown(command),
        why,
    };
    let mut program = Command::new(command.get_program());
    let child = program
        .args(command.get_args())
        .stdin(Stdio::null())
        .stdout(output)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let (status, usage) = usage::wait(&child).map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    Ok(Taken {
        usage,
        wall_s: began.elapsed().as_secs_f64(),
    })
}

/// Frames of one flow.
struct Frames {
    kind: Kind,
    template: Template,
    frame: Vec<u8>,
}

impl Frames {
    fn new(kind: Kind) -> Result<Self, BenchError> {
        let spec = FlowSpec {
            flow: 1,
            source_mac: "02:76:62:09:00:01".to_owned(),
            destination_mac: "02:76:62:09:00:02".to_owned(),
            source: [198, 18, 9, 1].into(),
            destination: [198, 18, 9, 2].into(),
            size: Size::from_bytes(64).into(),
            arrivals: Arrivals::Cbr {
                rate: Rate::per_sec(1_000_000),
            },
            seed: 1,
        };
        let template =
            Template::new(&spec, 64).map_err(|error| BenchError::Generator(error.into()))?;
        Ok(Self {
            kind,
            template,
            frame: Vec::new(),
        })
    }

    /// The frame of this number, sent at this time.
    fn frame(&mut self, seq: u32, now: u64, random: &mut Random) -> &[u8] {
        /// Where IPv4 keeps its identification, UDP its destination port and its payload, behind Ethernet.
        const ID: usize = 14 + 4;
        const PORT: usize = 14 + 20 + 2;
        const PAYLOAD: usize = 14 + 20 + 8;
        self.template.number(seq);
        let frame = self.template.stamp(now);
        if self.kind == Kind::Own {
            return frame;
        }
        // What some other program would send: numbered by IP's identification, with a payload of its own.
        self.frame.clear();
        self.frame.extend_from_slice(frame);
        self.frame[ID..ID + 2].copy_from_slice(&(seq as u16).to_be_bytes());
        self.frame[PORT..PORT + 2].copy_from_slice(&5201_u16.to_be_bytes());
        for chunk in self.frame[PAYLOAD..].chunks_mut(8) {
            let noise = random.next().to_be_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
        &self.frame
    }
}
