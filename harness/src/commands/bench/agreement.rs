//! Do we count and compute what others do, on the same packets? iperf3's UDP through a narrow place, so that there is
//! loss and delay variation, captured at both ends.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use vifbench_probes::capture::RunningCapture;
use vifbench_reports::analyze::{Options, PairAnalysis, analyze_pair};
use vifbench_wire::pcap_file::FileFormat;
use vifbench_wire::protocol::{CaptureOptions, CaptureSpec, Point};

use super::Bench;
use super::answer::Answer;
use super::error::BenchError;
use super::namespaces::{self, End, JoinedNamespaces, address};
use super::tools::{self, Beside, Tool};

/// iperf3 sends 20 Mbit/s of payload, a part of which does not pass.
const OFFERED: &str = "20M";
const NARROW: namespaces::Path = namespaces::Path::Narrow {
    mbit: 20,
    bytes: 20_000,
};
const PAYLOAD: &str = "400";
const SECONDS: u32 = 10;
/// Its data; the one datagram each way that opens a test is shorter.
const DATA: &str = "udp and greater 200";
const PORT: &str = "5201";
const PATIENCE: Duration = Duration::from_secs(10);

pub fn measure(bench: &Bench<'_>) -> Result<Answer, BenchError> {
    let iperf3 = Tool::find("iperf3", Some("iperf3"))?;
    let tshark = Tool::find("tshark", Some("tshark"))?;
    let capinfos = Tool::find("capinfos", Some("wireshark-common"))?;
    let owping = Tool::find("owping", None)?;
    let mut answer = Answer {
        setting: format!(
            "iperf3 UDP, {OFFERED}bit/s of {PAYLOAD}-byte datagrams through a bridge that passes 20 Mbit/s of frames, \
             captured before and behind it"
        ),
        ..Answer::default()
    };
    if owping.is_there() {
        answer.notes.push(
            "owping is installed, but nothing is held against it here: it chooses its packets itself"
                .to_owned(),
        );
    }
    if iperf3.is_there() {
        let seen = pass(bench)?;
        against_iperf3(&mut answer, &seen)?;
        for (end, path, side) in [
            ("tx", &seen.tx, &seen.pair.tx),
            ("rx", &seen.rx, &seen.pair.rx),
        ] {
            bench.go_on()?;
            let seconds = match (side.first_ns, side.last_ns) {
                (Some(first), Some(last)) => (last - first) as f64 / 1e9,
                _ => 0.0,
            };
            let ours = [
                ("packets", side.packets as f64, "packets"),
                ("bytes", side.bytes as f64, "bytes"),
                ("first to last", seconds, "s"),
                ("rate", side.packets as f64 / seconds, "packets/s"),
            ];
            for (what, value, unit) in ours {
                answer.row(&format!("{end}: {what}"), "vifbench", value, unit);
            }
            if capinfos.is_there() {
                for (what, value, unit) in by_capinfos(path)? {
                    answer.row(&format!("{end}: {what}"), "capinfos", value, unit);
                }
            }
            if tshark.is_there() {
                for (what, value, unit) in by_tshark(path)? {
                    answer.row(&format!("{end}: {what}"), "tshark", value, unit);
                }
            }
        }
        answer.side_by_side();
    }
    answer.tools = vec![iperf3, tshark, capinfos, owping];
    Ok(answer)
}

/// What was captured and what iperf3 says.
struct Seen {
    tx: PathBuf,
    rx: PathBuf,
    pair: PairAnalysis,
    iperf3: Value,
    dropped_between: u64,
}

fn pass(bench: &Bench<'_>) -> Result<Seen, BenchError> {
    let joined = JoinedNamespaces::new(NARROW)?;
    let capture = |end, point, guest: Option<&str>| {
        let spec = CaptureSpec {
            point,
            guest: guest.map(str::to_owned),
            interface: namespaces::interface(end).to_owned(),
            filter: DATA.to_owned(),
            snaplen: 256,
            buffer: 16 << 20,
            options: CaptureOptions {
                format: FileFormat::PcapNg,
                ..CaptureOptions::default()
            },
        };
        joined
            .inside(end, || RunningCapture::start(&spec, bench.folder))?
            .map_err(BenchError::from)
    };
    let log = bench.folder.join("iperf3-server.log");
    let mut command = joined.command(End::Rx, "iperf3");
    command.args(["-s", "-1", "-p", PORT]);
    let mut server = Beside::start("serve", &mut command, &log)?;
    await_port(bench, &joined, &mut server)?;
    let (at_tx, at_rx) = (
        capture(End::Tx, Point::Tx, None)?,
        capture(End::Rx, Point::Rx, None)?,
    );
    let seconds = bench.amount(SECONDS).max(1).to_string();
    let mut command = joined.command(End::Tx, "iperf3");
    command.args(["-c", address(End::Rx), "-p", PORT, "-u", "-J"]);
    command.args(["-b", OFFERED, "-l", PAYLOAD, "-t", &seconds]);
    let output = tools::run("send", &mut command)?;
    for capture in [&at_tx, &at_rx] {
        capture.tell_to_stop()?;
    }
    let mut files = Vec::new();
    for capture in [at_tx, at_rx] {
        let (done, warnings) = capture.finish()?;
        if done.dropped_kernel + done.dropped_interface + done.dropped_application > 0 {
            return Err(BenchError::Wrong(format!(
                "the capture on {} lost packets: {warnings:?}",
                done.ready.spec.interface
            )));
        }
        files.push(bench.folder.join(done.file));
    }
    let dropped_between = joined.dropped_between()?;
    let options = Options {
        // Both namespaces are on this machine.
        clock_bound_ns: Some(0),
        ..Options::default()
    };
    let (tx, rx) = (files.remove(0), files.remove(0));
    let pair = analyze_pair(&tx, &rx, &options)?;
    let iperf3 = serde_json::from_slice(&output.stdout)
        .map_err(|error| BenchError::Wrong(format!("iperf3 printed no JSON: {error}")))?;
    Ok(Seen {
        tx,
        rx,
        pair,
        iperf3,
        dropped_between,
    })
}

/// Waits until the server listens: an end that does not answer yet would fail the test.
fn await_port(
    bench: &Bench<'_>,
    joined: &JoinedNamespaces,
    server: &mut Beside,
) -> Result<(), BenchError> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut command: Command = joined.command(End::Rx, "cat");
        command
            .arg("/proc/net/tcp")
            .arg("/proc/net/tcp6")
            .stderr(Stdio::null());
        let table = command
            .output()
            .map_err(|error| server.error(error.to_string()))?;
        // Port 5201, state 0A: listening.
        let listens = String::from_utf8_lossy(&table.stdout)
            .lines()
            .any(|line| line.contains(":1451 ") && line.contains(" 0A "));
        if listens {
            return Ok(());
        }
        if !server.is_running() || Instant::now() > end {
            return Err(server.error("it does not listen".to_owned()));
        }
        bench.pause(Duration::from_millis(20))?;
    }
}

fn against_iperf3(answer: &mut Answer, seen: &Seen) -> Result<(), BenchError> {
    let sum = &seen.iperf3["end"]["sum"];
    let theirs = |key: &str| {
        sum[key]
            .as_f64()
            .ok_or_else(|| BenchError::Wrong(format!("iperf3 tells no {key}")))
    };
    answer.row("sent", "vifbench", seen.pair.tx_packets as f64, "packets");
    answer.row("sent", "iperf3", theirs("packets")?, "packets");
    answer.row("lost", "vifbench", seen.pair.lost as f64, "packets");
    answer.row("lost", "iperf3", theirs("lost_packets")?, "packets");
    answer.row(
        "lost",
        "kernel's queue",
        seen.dropped_between as f64,
        "packets",
    );
    if let Some(jitter) = seen.pair.rfc3550_jitter_last_us {
        answer.row("RFC 3550 jitter, last state", "vifbench", jitter, "us");
        answer.row(
            "RFC 3550 jitter, last state",
            "iperf3",
            theirs("jitter_ms")? * 1e3,
            "us",
        );
    }
    answer.notes.push(
        "iperf3 stamps in its own process, before the socket and behind it; vifbench at the interfaces: their jitter \
         differs by what the hosts add. iperf3 counts what it sent up to the last datagram that arrived"
            .to_owned(),
    );
    Ok(())
}

type Number = (&'static str, f64, &'static str);

fn by_capinfos(path: &std::path::Path) -> Result<Vec<Number>, BenchError> {
    let mut command = Command::new("capinfos");
    command.args(["-M", "-c", "-d", "-u", "-x"]).arg(path);
    let output = tools::run("read a capture", &mut command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let value = line.split_once(':')?.1.split_whitespace().next()?;
        value.parse::<f64>().ok()
    };
    let wanted = [
        ("packets", "Number of packets", "packets"),
        ("bytes", "Data size", "bytes"),
        ("first to last", "Capture duration", "s"),
        ("rate", "Average packet rate", "packets/s"),
    ];
    wanted
        .into_iter()
        .map(|(what, name, unit)| {
            let value = of(name)
                .ok_or_else(|| BenchError::Wrong(format!("capinfos tells no {name}: {text}")))?;
            Ok((what, value, unit))
        })
        .collect()
}

fn by_tshark(path: &std::path::Path) -> Result<Vec<Number>, BenchError> {
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(path);
    command.args(["-T", "fields", "-e", "frame.len"]);
    let output = tools::run("read a capture", &mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lengths: Result<Vec<u64>, _> = text.lines().map(|line| line.trim().parse()).collect();
    let lengths = lengths.map_err(|error| BenchError::Wrong(format!("tshark: {error}")))?;
    Ok(vec![
        ("packets", lengths.len() as f64, "packets"),
        ("bytes", lengths.iter().sum::<u64>() as f64, "bytes"),
    ])
}
