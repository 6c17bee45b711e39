//! Captures under full load: what is lost, where, and what each packet costs, beside tcpdump and dumpcap.
//!
//! The same load for each in turn, on a veth pair. The kernel's count of packets at the interface is the truth.

use std::path::Path;
use std::time::{Duration, Instant};

use vifbench_probes::capture::RunningCapture;
use vifbench_probes::counters::usage;
use vifbench_wire::packet::FILTER;
use vifbench_wire::pcap_file::{FileFormat, PcapFileError, Reader};
use vifbench_wire::protocol::{CaptureDone, CaptureOptions, CaptureSpec, Point};

use super::Bench;
use super::answer::Answer;
use super::error::BenchError;
use super::load::Load;
use super::namespaces::{self, End, JoinedNamespaces};
use super::tools::{Beside, Tool, text_of};

const PACKETS: u32 = 3_000_000;
/// Kernel ring of each, in MiB: what a fifth of a second at line rate takes, for all the same.
const RING_MIB: u32 = 64;
const SNAPLEN: u32 = 128;
/// A tool that does not begin, or end, within this is broken.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn measure(bench: &Bench<'_>) -> Result<Answer, BenchError> {
    let packets = bench.amount(PACKETS);
    let (load, trafgen) = Load::find()?;
    let mut answer = Answer {
        setting: format!(
            "{packets} frames of 64 B from {} over a veth pair; {RING_MIB} MiB of kernel ring, {SNAPLEN} bytes kept of each",
            load.name()
        ),
        ..Answer::default()
    };
    let joined = JoinedNamespaces::new(namespaces::Path::Straight)?;
    let wanted = [
        ("vifbench, one ring", 1, FileFormat::PcapZst),
        ("vifbench, one ring, pcapng", 1, FileFormat::PcapNg),
        ("vifbench, two rings", 2, FileFormat::PcapZst),
    ];
    for (name, rings, format) in wanted {
        bench.go_on()?;
        let options = CaptureOptions {
            rings,
            format,
            ..CaptureOptions::default()
        };
        let seen = ours(bench, &joined, load, packets, options)?;
        tell(&mut answer, name, &seen);
    }
    for (name, package) in [("tcpdump", "tcpdump"), ("dumpcap", "wireshark-common")] {
        bench.go_on()?;
        let tool = Tool::find(name, Some(package))?;
        if tool.is_there() {
            let seen = theirs(bench, &joined, load, packets, name)?;
            tell(&mut answer, name, &seen);
        }
        answer.tools.push(tool);
    }
    answer.tools.push(trafgen);
    answer.side_by_side();
    answer.notes.push(
        "CPU seconds are of the capturing process alone, from its start to its end, compression and merging included"
            .to_owned(),
    );
    Ok(answer)
}

/// What one capture gave.
struct Seen {
    /// At the interface, by the kernel.
    arrived: u64,
    written: u64,
    dropped_kernel: Option<u64>,
    dropped_interface: Option<u64>,
    dropped_application: Option<u64>,
    /// Packets a second while they were sent.
    rate: f64,
    cpu: Duration,
}

/// Packets that are in a file, and their rate by its stamps.
fn read(path: &Path) -> Result<(u64, f64), BenchError> {
    let wrong = |error: PcapFileError| BenchError::Wrong(error.to_string());
    let mut reader = Reader::open(path).map_err(wrong)?;
    let (mut n, mut first, mut last) = (0_u64, u64::MAX, 0);
    while let Some(record) = reader.read().map_err(wrong)? {
        n += 1;
        first = first.min(record.ts_ns);
        last = last.max(record.ts_ns);
    }
    let seconds = last.saturating_sub(first) as f64 / 1e9;
    Ok((n, if n > 1 { n as f64 / seconds } else { 0.0 }))
}

fn tell(answer: &mut Answer, by: &str, seen: &Seen) {
    answer.row(
        "packets at the interface (kernel's count)",
        by,
        seen.arrived as f64,
        "packets",
    );
    answer.row(
        "rate, by the stamps in the file",
        by,
        seen.rate / 1e6,
        "million packets/s",
    );
    answer.row("written", by, seen.written as f64, "packets");
    for (what, n) in [
        ("dropped by the kernel", seen.dropped_kernel),
        ("dropped by the interface", seen.dropped_interface),
        ("dropped by the application", seen.dropped_application),
    ] {
        if let Some(n) = n {
            answer.row(what, by, n as f64, "packets");
        }
    }
    let lost = seen.arrived.saturating_sub(seen.written) as f64 / seen.arrived.max(1) as f64;
    answer.row(
        "at the interface, but not in the file",
        by,
        lost * 100.0,
        "%",
    );
    let each = seen.cpu.as_secs_f64() / seen.written.max(1) as f64;
    answer.row("CPU time a packet", by, each * 1e9, "ns");
}

fn ours(
    bench: &Bench<'_>,
    joined: &JoinedNamespaces,
    load: Load,
    packets: u32,
    options: CaptureOptions,
) -> Result<Seen, BenchError> {
    let spec = CaptureSpec {
        point: Point::Rx,
        guest: None,
        interface: namespaces::interface(End::Rx).to_owned(),
        filter: FILTER.to_owned(),
        snaplen: SNAPLEN,
        buffer: (RING_MIB << 20) / u32::from(options.rings),
        options,
    };
    let before = joined.arrived()?;
    let cpu = usage::own_cpu();
    let capture = joined.inside(End::Rx, || RunningCapture::start(&spec, bench.folder))??;
    load.send(joined, packets)?;
    let (done, _warnings) = capture.finish()?;
    let cpu = usage::own_cpu().saturating_sub(cpu);
    let arrived = joined.arrived()? - before;
    let CaptureDone {
        file,
        dropped_kernel,
        dropped_interface,
        dropped_application,
        ..
    } = done;
    let path = bench.folder.join(file);
    let (written, rate) = read(&path)?;
    remove(&path)?;
    Ok(Seen {
        arrived,
        written,
        dropped_kernel: Some(dropped_kernel),
        dropped_interface: Some(dropped_interface),
        dropped_application: Some(dropped_application),
        rate,
        cpu,
    })
}

fn theirs(
    bench: &Bench<'_>,
    joined: &JoinedNamespaces,
    load: Load,
    packets: u32,
    name: &'static str,
) -> Result<Seen, BenchError> {
    let path = bench.folder.join(format!("{name}.pcap"));
    let log = bench.folder.join(format!("{name}.log"));
    let mut command = joined.command(End::Rx, name);
    command
        .args(["-i", namespaces::interface(End::Rx), "-s"])
        .arg(SNAPLEN.to_string());
    match name {
        "tcpdump" => command
            .args(["-n", "-Z", "root", "--time-stamp-precision=nano", "-B"])
            .arg((RING_MIB << 10).to_string()),
        _ => command.args(["-P", "-q", "-B"]).arg(RING_MIB.to_string()),
    };
    command.arg("-w").arg(&path);
    match name {
        "tcpdump" => command.arg(FILTER),
        _ => command.args(["-f", FILTER]),
    };
    let before = joined.arrived()?;
    let mut tool = Beside::start("capture", &mut command, &log)?;
    // Both say so once packets are seen.
    await_text(bench, &mut tool, &log, &["listening on", "File: "])?;
    load.send(joined, packets)?;
    let arrived = joined.arrived()? - before;
    await_file(bench, &path)?;
    let pid = tool
        .pid()
        .ok_or_else(|| tool.error("it is gone".to_owned()))?;
    let broken = tool.error("it cannot be waited for".to_owned());
    super::tools::run(
        "end a capture",
        std::process::Command::new("kill").args(["-INT", &pid.to_string()]),
    )?;
    let child = tool.into_child().ok_or(broken)?;
    let (_status, usage) = usage::wait(&child).map_err(|source| BenchError::File {
        doing: "wait for the program that writes",
        path: path.clone(),
        source,
    })?;
    let said = text_of(&log)?;
    let counted = dropped(&said)
        .ok_or_else(|| BenchError::Wrong(format!("{name} tells no drops at its end: {said}")))?;
    let (written, rate) = read(&path)?;
    remove(&path)?;
    Ok(Seen {
        arrived,
        written,
        dropped_kernel: Some(counted),
        dropped_interface: None,
        dropped_application: None,
        rate,
        cpu: usage.cpu,
    })
}

/// Packets dropped by the kernel, from what tcpdump and dumpcap say at their end.
fn dropped(said: &str) -> Option<u64> {
    // `12 packets dropped by kernel`
    if let Some(line) = said.lines().find(|l| l.contains("dropped by kernel")) {
        return line.split_whitespace().next()?.parse().ok();
    }
    // `Packets received/dropped on interface 'rx0': 3000000/12 (pcap:12/dumpcap:0/flushed:0/ps_ifdrop:0) (100.0%)`
    let line = said
        .lines()
        .find(|l| l.contains("received/dropped on interface"))?;
    let both = line.rsplit_once("': ")?.1.split_whitespace().next()?;
    both.split_once('/')?.1.parse().ok()
}

/// Waits until a tool has said one of these.
fn await_text(
    bench: &Bench<'_>,
    tool: &mut Beside,
    log: &Path,
    wanted: &[&str],
) -> Result<(), BenchError> {
    let end = Instant::now() + PATIENCE;
    loop {
        let said = text_of(log)?;
        if wanted.iter().any(|word| said.contains(word)) {
            return Ok(());
        }
        if !tool.is_running() {
            return Err(tool.error(said.trim().to_owned()));
        }
        if Instant::now() > end {
            return Err(tool.error(format!("it said nothing for {PATIENCE:?}")));
        }
        bench.pause(Duration::from_millis(20))?;
    }
}

/// Waits until a file grows no more: its writer has caught up with what was sent.
fn await_file(bench: &Bench<'_>, path: &Path) -> Result<(), BenchError> {
    let end = Instant::now() + PATIENCE;
    let mut last = u64::MAX;
    loop {
        // The kernel hands over a block that is not full within a second at the latest.
        bench.pause(Duration::from_millis(1200))?;
        let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
        if size == last || Instant::now() > end {
            return Ok(());
        }
        last = size;
    }
}

fn remove(path: &Path) -> Result<(), BenchError> {
    std::fs::remove_file(path).map_err(|source| BenchError::File {
        doing: "remove",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::dropped;

    #[test]
    fn drops_are_read_from_both_tools() {
        let tcpdump = "tcpdump: listening on rx0, link-type EN10MB (Ethernet), snapshot length 128 bytes\n\
                       2997513 packets captured\n2997600 packets received by filter\n87 packets dropped by kernel\n";
        assert_eq!(dropped(tcpdump), Some(87));
        let dumpcap = "Capturing on 'rx0'\nFile: x.pcap\nPackets captured: 5\nPackets received/dropped on interface \
                       'rx0': 2997000/12 (pcap:12/dumpcap:0/flushed:0/ps_ifdrop:0) (100.0%)\n";
        assert_eq!(dropped(dumpcap), Some(12));
        assert_eq!(dropped("nothing"), None);
    }
}
