//! How close to its time each packet of a constant rate leaves: vifbench's senders, trafgen and iperf3 in turn on one veth
//! pair, all seen by the same capture at the far end.
//!
//! The gap error is the gap between two packets less the gap that was asked for. A packet is late when it comes more than
//! a gap after its place in the best-fitting even series; none may be early but by the noise of the stamps.

use std::process::Command;

use vifbench_probes::capture::RunningCapture;
use vifbench_probes::clock::reading::realtime_ns;
use vifbench_probes::realtime;
use vifbench_scenarios::scenario::{Arrivals, SendBy};
use vifbench_scenarios::units::Rate;
use vifbench_wire::pcap_file::{PcapFileError, Reader};
use vifbench_wire::protocol::{CaptureOptions, CaptureSpec, Point};

use super::Bench;
use super::answer::Answer;
use super::error::BenchError;
use super::namespaces::{End, JoinedNamespaces, Path, address, interface};
use super::senders::{plan, send, trafgen};
use super::tools::{self, Beside, Tool};

const RATE: u64 = 100_000;
const GAP_NS: i64 = 1_000_000_000 / RATE as i64;
const SECONDS: u32 = 5;
/// What the machine itself leaves of evenness.
const FLOOR: &str = "the clock alone";
/// Payload of 64-byte frames.
const PAYLOAD: u64 = 18;

pub fn measure(bench: &Bench<'_>) -> Result<Answer, BenchError> {
    let millis = u64::from(SECONDS * bench.amount(1000));
    let packets = RATE * millis / 1000;
    let joined = JoinedNamespaces::new(Path::Straight)?;
    let mut answer = Answer {
        setting: format!(
            "64 B at {RATE} packets/s for {millis} ms over a veth pair, stamped by the kernel at the far end"
        ),
        ..Answer::default()
    };
    bench.go_on()?;
    tell(&mut answer, FLOOR, &looks_at_the_clock(packets)?);
    for sender in [SendBy::Pnet, SendBy::Mmsg] {
        bench.go_on()?;
        let cbr = Arrivals::Cbr {
            rate: Rate::per_sec(RATE),
        };
        let plan = plan(cbr, sender)?;
        let name = format!("vifbench, {}", sender.word());
        let mut said = None;
        let seen = captured(bench, &joined, "udp dst port 8191", || {
            said = Some(send(&joined, &plan, millis)?);
            Ok(())
        })?;
        tell(&mut answer, &name, &seen);
        match said {
            Some(Ok(sent)) => {
                let late = sent.late as f64 / sent.due.max(1) as f64 * 100.0;
                answer.row("sent over 100 µs late, by itself", &name, late, "%");
                answer.notes.push(format!("{name}: {}", sent.sender));
            }
            Some(Err(unable)) => answer.notes.push(unable.to_string()),
            None => {}
        }
    }
    let tool = Tool::find("trafgen", Some("netsniff-ng"))?;
    if tool.is_there() {
        bench.go_on()?;
        let seen = captured(bench, &joined, "udp dst port 8191", || {
            let (rate, number) = (format!("{RATE}pps"), packets.to_string());
            let mut command = trafgen(&joined, &["--rate", &rate, "--num", &number])?;
            tools::run("send at a rate", &mut command).map(drop)
        })?;
        tell(&mut answer, "trafgen", &seen);
    }
    answer.tools.push(tool);
    let tool = Tool::find("iperf3", Some("iperf3"))?;
    if tool.is_there() {
        bench.go_on()?;
        let seen = captured(bench, &joined, "udp dst port 5201", || {
            iperf3(bench, &joined, millis)
        })?;
        tell(&mut answer, "iperf3", &seen);
    }
    answer.tools.push(tool);
    answer.side_by_side();
    answer.notes.push(format!(
        "{FLOOR}: a thread that is set up as the senders are and only waits for each packet's time; what it misses, \
         this machine took away"
    ));
    answer.notes.push(
        "gap errors hold the time that the kernel takes to carry a packet over the pair and to stamp it".to_owned(),
    );
    Ok(answer)
}

/// When a thread that does nothing else sees each packet's time come: no sender on this machine can be nearer to it.
fn looks_at_the_clock(packets: u64) -> Result<Vec<i64>, BenchError> {
    let look = move || {
        realtime::prepare();
        let start = realtime_ns().cast_signed() + GAP_NS;
        let seen = |n: i64| {
            loop {
                let now = realtime_ns().cast_signed();
                if now >= start + n * GAP_NS {
                    return now;
                }
                std::hint::spin_loop();
            }
        };
        (0..packets.cast_signed()).map(seen).collect()
    };
    // A thread of its own: what it is pinned to must not hold for who comes after.
    std::thread::spawn(look)
        .join()
        .map_err(|_| BenchError::Wrong("the thread that looks at the clock panicked".to_owned()))
}

fn iperf3(bench: &Bench<'_>, joined: &JoinedNamespaces, millis: u64) -> Result<(), BenchError> {
    let log = bench.folder.join("iperf3-server.log");
    let mut server: Command = joined.command(End::Rx, "iperf3");
    server.args(["-s", "-1", "--bind", address(End::Rx)]);
    let server = Beside::start("serve iperf3", &mut server, &log)?;
    // It listens soon; a client that comes too early is told so at once, and tries again.
    let bits = (RATE * PAYLOAD * 8).to_string();
    let seconds = millis.div_ceil(1000).to_string();
    let payload = PAYLOAD.to_string();
    let mut tries = 0;
    loop {
        let mut client = joined.command(End::Tx, "iperf3");
        client.args(["-u", "-c", address(End::Rx), "-b", &bits, "-l", &payload]);
        client.args(["-t", &seconds]);
        match tools::run("send at a rate", &mut client) {
            Ok(_) => break,
            Err(error) if tries == 20 => return Err(error),
            Err(_) => {
                tries += 1;
                bench.pause(std::time::Duration::from_millis(100))?;
            }
        }
    }
    drop(server);
    Ok(())
}

/// Stamps of what came while something was sent.
fn captured(
    bench: &Bench<'_>,
    joined: &JoinedNamespaces,
    filter: &str,
    work: impl FnOnce() -> Result<(), BenchError>,
) -> Result<Vec<i64>, BenchError> {
    let spec = CaptureSpec {
        point: Point::Rx,
        guest: Some("pacing".to_owned()),
        interface: interface(End::Rx).to_owned(),
        filter: filter.to_owned(),
        snaplen: 64,
        buffer: 64 << 20,
        options: CaptureOptions::default(),
    };
    let running = joined.inside(End::Rx, || RunningCapture::start(&spec, bench.folder))??;
    work()?;
    let (done, _) = running.finish()?;
    let path = bench.folder.join(&done.file);
    let failed = |error: PcapFileError| BenchError::Wrong(error.to_string());
    let mut reader = Reader::open(&path).map_err(failed)?;
    let mut stamps = Vec::new();
    while let Some(record) = reader.read().map_err(failed)? {
        // iperf3 begins with larger packets of its own.
        if record.len == 60 {
            stamps.push(record.ts_ns as i64);
        }
    }
    std::fs::remove_file(&path).map_err(|source| BenchError::File {
        doing: "remove",
        path: path.clone(),
        source,
    })?;
    if done.dropped_kernel > 0 || stamps.len() < 2 {
        return Err(BenchError::Wrong(format!(
            "{} packets were captured and {} dropped: nothing can be said of their gaps",
            stamps.len(),
            done.dropped_kernel
        )));
    }
    Ok(stamps)
}

fn tell(answer: &mut Answer, by: &str, stamps: &[i64]) {
    let gaps: Vec<i64> = stamps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let whole = stamps.last().zip(stamps.first()).map_or(1, |(l, f)| l - f);
    let rate = gaps.len() as f64 / (whole.max(1) as f64 / 1e9);
    answer.row("packets", by, stamps.len() as f64, "packets");
    answer.row("rate", by, rate, "packets/s");
    answer.row("rate error", by, (rate / RATE as f64 - 1.0) * 100.0, "%");
    let mut errors: Vec<i64> = gaps.iter().map(|gap| (gap - GAP_NS).abs()).collect();
    errors.sort_unstable();
    for (what, per_mille) in [
        ("gap error p50", 500),
        ("gap error p90", 900),
        ("gap error p99", 990),
        ("gap error p99.9", 999),
        ("gap error largest", 1000),
    ] {
        answer.row(what, by, rank(&errors, per_mille) as f64 / 1e3, "µs");
    }
    // Packets that came on each other's heels: the mark of a sender that makes good in a bunch what it missed.
    let bunched = gaps.iter().filter(|gap| **gap < GAP_NS / 2).count();
    answer.row(
        "closer than half a gap",
        by,
        percent(bunched, gaps.len()),
        "%",
    );
    // Against an even series at the rate asked for, placed where most packets lie.
    let mut places: Vec<i64> = (0..).zip(stamps).map(|(n, at)| at - n * GAP_NS).collect();
    let mut sorted = places.clone();
    sorted.sort_unstable();
    let on_time = rank(&sorted, 500);
    places.retain(|place| *place > on_time + GAP_NS);
    answer.row(
        "later than a gap",
        by,
        percent(places.len(), stamps.len()),
        "%",
    );
}

fn rank(sorted: &[i64], per_mille: usize) -> i64 {
    let n = sorted.len();
    let rank = (n * per_mille).div_ceil(1000).clamp(1, n.max(1)) - 1;
    sorted.get(rank).copied().unwrap_or(0)
}

fn percent(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_series_has_no_error() {
        let mut answer = Answer::default();
        let mut stamps: Vec<i64> = (0..1000).map(|n| 7 + n * GAP_NS).collect();
        // One packet 25 us late, and the next on its heels.
        stamps[500] += 25_000;
        stamps[501] = stamps[500];
        tell(&mut answer, "x", &stamps);
        let value = |what: &str| answer.rows.iter().find(|r| r.what == what).map(|r| r.value);
        assert_eq!(value("gap error p99"), Some(0.0));
        assert_eq!(value("gap error largest"), Some(25.0));
        assert_eq!(value("later than a gap"), Some(0.2));
        assert_eq!(value("rate error").map(|e| e.abs() < 1e-9), Some(true));
    }
}
