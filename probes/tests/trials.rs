//! Real probes on a real wire: two namespaces joined by a veth pair. Needs root.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{
    INTERFACE, JoinedNamespaces, MAC, Pipes, RX, TX, capture, cbr, flow, generate, plan, poisson,
    run,
};
use vifbench_probes::client::{ClientError, ClockExchanges, ProbeClient, Refusal};
use vifbench_probes::clock::reading::realtime_ns;
use vifbench_testing::{Need, needs};
use vifbench_wire::clock_estimate::{Assumptions, Interval, Method, judge, track, two_way};
use vifbench_wire::packet::{Parsed, Stamp, UdpFrame, parse};
use vifbench_wire::pcap_file::{FileFormat, Reader};
use vifbench_wire::protocol::{
    Arm, CaptureOptions, CaptureSpec, ClockWatch, Exchange, Point, Prepare, ProbeResult,
    StampSource, State,
};
use vifbench_wire::schedule::Schedule;

const MS: u64 = 1_000_000;

fn arm(start_ns: u64, run_ms: u64) -> Arm {
    let stop_ns = start_ns + run_ms * MS;
    Arm {
        trial: 1,
        start_ns,
        stop_ns,
        drain_ns: stop_ns + 100 * MS,
        sealed_by: None,
        announce: None,
    }
}

/// Waits for a trial to be done, and reads its result.
fn result(probe: &mut ProbeClient<Pipes>, folder: &Path) -> ProbeResult {
    let deadline = Instant::now() + Duration::from_secs(60);
    while probe.status(1).unwrap() != State::Done {
        assert!(Instant::now() < deadline, "the trial does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    stored(folder)
}

fn stored(folder: &Path) -> ProbeResult {
    let text = fs::read(folder.join("trial-1/result.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// By flow and sequence number: stamp and content.
type Packets = BTreeMap<(u16, u32), (u64, Stamp)>;

/// Every packet of a capture by flow and sequence number: when it was seen and what it says.
fn packets(path: &Path) -> Packets {
    let mut reader = Reader::open(path).unwrap();
    assert!(reader.nanoseconds());
    let mut packets = BTreeMap::new();
    while let Some(record) = reader.read().unwrap() {
        let Parsed::Test(stamp) = parse(record.bytes) else {
            panic!("{:?}", parse(record.bytes))
        };
        let udp = UdpFrame::parse(record.bytes).unwrap();
        assert_ne!(udp.checksum_ok(), Some(false));
        let again = packets.insert((stamp.flow, stamp.seq), (record.ts_ns, stamp));
        assert!(again.is_none(), "{stamp:?} was captured twice");
    }
    packets
}

#[test]
fn every_packet_is_sent_captured_and_matched() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let (mut tx, mut rx) = (joined.probe(TX, temp.path()), joined.probe(RX, temp.path()));
    let (tx_folder, rx_folder) = (tx.hello().unwrap(), rx.hello().unwrap());
    assert_ne!(tx_folder, rx_folder);
    assert_eq!(
        fs::metadata(&tx_folder).unwrap().permissions().mode() & 0o777,
        0o700
    );

    let flows = vec![
        flow(1, false, 64, cbr(1000)),
        flow(2, false, 300, poisson(500)),
        flow(3, true, 84, poisson(500)),
    ];
    let mut sending = plan(vec![capture(Point::Tx, TX)], Some(generate(flows.clone())));
    sending.counters = vec![INTERFACE[TX].into()];
    let ready = tx.prepare(sending).unwrap();
    assert!(ready[0].nanoseconds);
    assert_eq!(
        (ready[0].link_type, ready[0].timestamp_source.as_str()),
        (1, "host")
    );
    // The same interface as two points: only packets on their way in count at `rx`, so `tx` sees none here.
    let ready = rx
        .prepare(plan(
            vec![capture(Point::Rx, RX), capture(Point::Tx, RX)],
            None,
        ))
        .unwrap();
    assert_eq!(ready.len(), 2);

    let arm = arm(realtime_ns() + 500 * MS, 1000);
    assert!(tx.arm(arm.clone()).unwrap() > 0);
    assert!(rx.arm(arm.clone()).unwrap() > 0);
    assert_eq!(tx.status(1).unwrap(), State::Armed);

    let sent = result(&mut tx, &tx_folder);
    let seen = result(&mut rx, &rx_folder);
    for result in [&sent, &seen] {
        assert_eq!(result.failed, None);
        assert_eq!(result.warnings, [""; 0]);
        for capture in &result.captures {
            assert_eq!((capture.dropped_kernel, capture.dropped_interface), (0, 0));
        }
    }
    let due: Vec<_> = Schedule::new(
        flows.iter().map(|f| (f.flow, &f.arrivals, f.seed)),
        arm.start_ns,
        arm.stop_ns,
    )
    .unwrap()
    .collect();
    let counts = sent.sent.clone().unwrap();
    assert_eq!(
        (counts.due, counts.sent, counts.refused),
        (due.len() as u64, due.len() as u64, 0)
    );
    assert_eq!(sent.captures[0].written, counts.sent);
    assert_eq!(seen.captures[0].written, counts.sent);
    assert_eq!(
        (seen.captures[1].file.as_str(), seen.captures[1].written),
        ("tx.pcap.zst", 0)
    );

    let at_tx = packets(&tx_folder.join("trial-1/tx.pcap.zst"));
    let at_rx = packets(&rx_folder.join("trial-1/rx-u1.pcap.zst"));
    assert_eq!(at_tx.len(), due.len());
    let mut fine = 0;
    for packet in &due {
        let key = (flows[packet.flow].flow, packet.seq);
        let ((sent_at, stamp), (seen_at, again)) = (at_tx[&key], at_rx[&key]);
        assert_eq!(stamp, again);
        // 300 B frames are cut at 128 B; what is there was checked.
        assert_eq!(stamp.whole, key.0 != 2);
        let stamped = stamp.sent_near(sent_at);
        assert!(packet.at_ns <= stamped && stamped <= sent_at && sent_at <= seen_at);
        fine += u64::from(!sent_at.is_multiple_of(1000));
    }
    assert!(
        fine * 10 > at_tx.len() as u64 * 9,
        "stamps are not in nanoseconds"
    );

    // What the interface counted is what was sent.
    let counted = |counters: &vifbench_wire::protocol::Counters, name: &str| {
        counters
            .interfaces
            .iter()
            .find(|(_, n, _)| n == name)
            .unwrap()
            .2
    };
    let packets =
        counted(&sent.after, "link_tx_packets") - counted(&sent.before, "link_tx_packets");
    assert!(packets >= counts.sent);

    assert!(tx.bye().unwrap().close().success());
    assert!(rx.bye().unwrap().close().success());
    assert_eq!(
        fs::read_dir(temp.path()).unwrap().count(),
        0,
        "the probes left something"
    );
}

/// Sends for a second to captures of these options; what was sent, and what the probe at the far end says.
fn captured_with(options: CaptureOptions, rate: u64) -> (u64, ProbeResult, Packets) {
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let (mut tx, mut rx) = (joined.probe(TX, temp.path()), joined.probe(RX, temp.path()));
    let (tx_folder, rx_folder) = (tx.hello().unwrap(), rx.hello().unwrap());
    let flows = vec![flow(1, false, 64, cbr(rate))];
    tx.prepare(plan(vec![], Some(generate(flows)))).unwrap();
    let spec = CaptureSpec {
        options,
        ..capture(Point::Rx, RX)
    };
    rx.prepare(plan(vec![spec], None)).unwrap();
    let arm = arm(realtime_ns() + 500 * MS, 1000);
    tx.arm(arm.clone()).unwrap();
    rx.arm(arm).unwrap();
    let sent = result(&mut tx, &tx_folder).sent.unwrap().sent;
    let seen = result(&mut rx, &rx_folder);
    assert_eq!(seen.failed, None);
    let folder = rx_folder.join("trial-1");
    let read = packets(&folder.join(&seen.captures[0].file));
    // The file, and the result: what single rings wrote is gone.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    (sent, seen, read)
}

#[test]
fn rings_that_share_a_point_lose_nothing_and_are_merged_by_stamp() {
    for format in [FileFormat::PcapZst, FileFormat::PcapNg] {
        let options = CaptureOptions {
            rings: 3,
            format,
            ..CaptureOptions::default()
        };
        // `packets` refuses what is there twice.
        let (sent, seen, read) = captured_with(options, 5000);
        let done = &seen.captures[0];
        assert_eq!((done.written, read.len() as u64), (sent, sent));
        assert_eq!(
            (
                done.dropped_kernel,
                done.dropped_interface,
                done.dropped_application
            ),
            (0, 0, 0)
        );
        assert!(done.file.ends_with(format.extension()), "{}", done.file);
        assert_eq!(seen.warnings, [""; 0]);
        // One flow's numbers rise with its stamps.
        let stamps: Vec<u64> = read.values().map(|(at, _)| *at).collect();
        assert!(stamps.is_sorted());
    }
}

#[test]
fn what_exceeds_a_captures_limit_is_counted_and_told() {
    let options = CaptureOptions {
        most_bytes: Some(10_000),
        immediate: true,
        ..CaptureOptions::default()
    };
    let (sent, seen, read) = captured_with(options, 2000);
    let done = &seen.captures[0];
    // 60 bytes a packet, and 16 of header.
    assert_eq!((done.written, read.len()), (132, 132));
    assert_eq!(done.written + done.dropped_application, sent);
    assert!(
        seen.warnings[0].contains("reached its limit of 10000 bytes"),
        "{:?}",
        seen.warnings
    );
}

#[test]
fn stamps_of_the_adapter_are_refused_where_there_are_none() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let mut rx = joined.probe(RX, temp.path());
    rx.hello().unwrap();
    let with = |point, options| CaptureSpec {
        options,
        ..capture(point, RX)
    };
    let by_adapter = CaptureOptions {
        stamps: StampSource::Adapter,
        ..CaptureOptions::default()
    };
    let mut refused = |spec| {
        let error = rx.prepare(plan(vec![spec], None)).unwrap_err();
        error.to_string()
    };
    let error = refused(with(Point::Rx, by_adapter.clone()));
    assert!(error.contains("does not stamp every packet"), "{error}");
    let error = refused(with(Point::Tx, by_adapter));
    assert!(error.contains("before the NIC stamps them"), "{error}");
    let none = CaptureOptions {
        rings: 0,
        ..CaptureOptions::default()
    };
    let error = refused(with(Point::Rx, none));
    assert!(error.contains("use 1 to 64"), "{error}");
}

#[test]
fn clocks_are_watched_while_a_trial_runs() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let (mut tx, mut rx) = (joined.probe(TX, temp.path()), joined.probe(RX, temp.path()));
    let folder = tx.hello().unwrap();
    rx.hello().unwrap();
    rx.serve_clock(INTERFACE[RX]).unwrap();
    let mut watched = plan(vec![], Some(generate(vec![flow(1, false, 64, cbr(1000))])));
    watched.clock = Some(ClockWatch {
        interface: INTERFACE[TX].into(),
        peer_mac: MAC[RX].into(),
        every_ns: 100 * MS,
        count: 3,
    });
    tx.prepare(watched).unwrap();
    let arm = arm(realtime_ns() + 500 * MS, 1000);
    let interval = Interval {
        from_ns: arm.start_ns,
        to_ns: arm.stop_ns,
    };
    tx.arm(arm).unwrap();
    let done = result(&mut tx, &folder);
    assert_eq!((done.failed, done.warnings.len()), (None, 0));
    // Ten rounds; a busy machine may leave some out.
    let n = done.exchanges.len();
    assert!((9..=30).contains(&n), "{n}");
    let inside = |e: &&Exchange| interval.from_ns <= e.t1 && e.t4 <= interval.to_ns + 100 * MS;
    assert_eq!(done.exchanges.iter().filter(inside).count(), n);
    let track = track(&done.exchanges, interval, &Assumptions::default()).unwrap();
    assert_eq!(track.pieces.len(), 1);
    let (offset, bound) = track.at(interval.from_ns + 500 * MS);
    assert!(offset.abs() <= bound, "{offset} {bound}");
}

#[test]
fn the_clock_of_one_machine_has_no_offset_to_itself() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let (mut asker, mut reference) = (joined.probe(TX, temp.path()), joined.probe(RX, temp.path()));
    reference.serve_clock(INTERFACE[RX]).unwrap();
    reference.serve_clock(INTERFACE[RX]).unwrap();
    let from = realtime_ns();
    let (mut local, mut remote) = (
        vec![asker.read_clock().unwrap()],
        vec![reference.read_clock().unwrap()],
    );
    let before = asker
        .exchange_clock(INTERFACE[TX], MAC[RX], 200, Duration::from_secs(5))
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let after = asker
        .exchange_clock(INTERFACE[TX], MAC[RX], 200, Duration::from_secs(5))
        .unwrap();
    local.push(asker.read_clock().unwrap());
    remote.push(reference.read_clock().unwrap());
    let interval = Interval {
        from_ns: from,
        to_ns: realtime_ns(),
    };
    assert_eq!(
        (before.lost, before.ignored, before.exchanges.len()),
        (0, 0, 200)
    );
    let exchanges: Vec<_> = before
        .exchanges
        .into_iter()
        .chain(after.exchanges)
        .collect();
    for e in &exchanges {
        assert!(e.t1 < e.t2 && e.t2 <= e.t3 && e.t3 < e.t4, "{e:?}");
    }

    let assumptions = Assumptions {
        wander: 0.0,
        ..Assumptions::default()
    };
    let estimate = two_way(&exchanges, interval, &assumptions).unwrap();
    assert!(
        estimate.offset_ns.abs() <= estimate.bound_ns,
        "{estimate:?}"
    );
    assert!(estimate.bound_ns < 1e6, "{estimate:?}");
    let judged = judge(&exchanges, &local, &remote, interval, &assumptions).unwrap();
    assert_eq!(judged.refused, None);
    assert!(
        judged.best.offset_ns.abs() <= judged.best.bound_ns,
        "{judged:?}"
    );
    assert!(
        judged.best.method == Method::SharedTsc || judged.best.bound_ns < 5e3,
        "{judged:?}"
    );
    println!("two-way {estimate:?}\nbest {:?}", judged.best);

    // Nobody answers any more: requests are lost, and the deadline is kept.
    assert!(reference.bye().unwrap().close().success());
    let began = Instant::now();
    let silence = asker
        .exchange_clock(INTERFACE[TX], MAC[RX], 5, Duration::from_millis(200))
        .unwrap();
    assert_eq!((silence.exchanges.len(), silence.lost), (0, 5));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn hostile_clock_frames_are_ignored_and_counted() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let (mut asker, mut reference) = (joined.probe(TX, temp.path()), joined.probe(RX, temp.path()));
    reference.serve_clock(INTERFACE[RX]).unwrap();
    // Frames of the right type with wrong content, to both ends, for as long as the exchange lasts.
    let flood = format!(
        "import socket\n\
         s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n\
         s.bind(('{}', 0))\n\
         to, frm = bytes.fromhex('{}'), bytes.fromhex('{}')\n\
         print('on', flush=True)\n\
         while True:\n    s.send(to + frm + b'\\x88\\xb5' + b'vbck\\x01\\x02' + bytes(46))\n",
        INTERFACE[RX],
        MAC[TX].replace(':', ""),
        MAC[RX].replace(':', "")
    );
    let mut attacker = joined
        .command(RX, "python3")
        .args(["-c", &flood])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut on = [0; 3];
    std::io::Read::read_exact(attacker.stdout.as_mut().unwrap(), &mut on).unwrap();
    // An exchange takes a few milliseconds, in which a busy machine may not let the attacker run at all.
    let end = Instant::now() + Duration::from_secs(60);
    let mut all = Vec::new();
    while all.iter().all(|e: &ClockExchanges| e.ignored == 0) && Instant::now() < end {
        let once = asker.exchange_clock(INTERFACE[TX], MAC[RX], 20, Duration::from_secs(20));
        all.push(once.unwrap());
    }
    attacker.kill().unwrap();
    attacker.wait().unwrap();
    assert!(all.iter().any(|e| e.ignored > 0), "{all:?}");
    for e in all.iter().flat_map(|e| &e.exchanges) {
        assert!(e.t1 < e.t2 && e.t2 <= e.t3 && e.t3 < e.t4, "{e:?}");
    }
    assert!(all.iter().all(|e| !e.exchanges.is_empty()), "{all:?}");
}

/// A file system that is full after 64 KiB.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                "size=64k",
                "tiny",
                dir.path().to_str().unwrap(),
            ],
        );
        Self(dir)
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.path().to_str().unwrap()]);
    }
}

#[test]
fn a_full_disk_voids_the_trial_and_says_so() {
    needs!(Need::Root, Need::Program("ip"));
    let disk = TinyDisk::new();
    let joined = JoinedNamespaces::new();
    let mut probe = joined.probe(TX, disk.0.path());
    let folder = probe.hello().unwrap();
    let mut whole = capture(Point::Tx, TX);
    whole.snaplen = 1600;
    // 2000 packets a second of 1 kB that do not compress.
    let flows = vec![flow(1, false, 1000, cbr(2000))];
    probe
        .prepare(plan(vec![whole], Some(generate(flows))))
        .unwrap();
    probe.arm(arm(realtime_ns() + 300 * MS, 300)).unwrap();
    let result = result(&mut probe, &folder);
    let failed = result.failed.unwrap();
    assert!(
        failed.contains("no space left on the disk while writing the capture"),
        "{failed}"
    );
    assert!(failed.contains("tx.pcap.zst"), "{failed}");
    assert_eq!(result.captures, []);
    let left: Vec<_> = fs::read_dir(folder.join("trial-1"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["result.json"], "a truncated capture lies about");
    // The probe lives on.
    probe.read_clock().unwrap();
}

#[test]
fn an_interface_that_is_taken_away_voids_the_trial() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let mut probe = joined.probe(TX, temp.path());
    let folder = probe.hello().unwrap();
    let flows = vec![flow(1, false, 64, cbr(1000))];
    probe
        .prepare(plan(vec![capture(Point::Tx, TX)], Some(generate(flows))))
        .unwrap();
    // Long enough to be in its middle on a busy machine; it goes on to its end, so the generator meets the loss.
    probe.arm(arm(realtime_ns() + 300 * MS, 5_000)).unwrap();
    while probe.status(1).unwrap() != State::Running {
        std::thread::sleep(Duration::from_millis(10));
    }
    run(
        "ip",
        &[
            "-n",
            &joined.namespaces[TX],
            "link",
            "set",
            INTERFACE[TX],
            "down",
        ],
    );
    while probe.status(1).unwrap() != State::Done {
        std::thread::sleep(Duration::from_millis(10));
    }
    let failed = stored(&folder).failed.unwrap();
    assert!(
        failed.contains("tx0 took no more packets") || failed.contains("capture on tx0 broke off"),
        "{failed}"
    );
}

#[test]
fn garbage_is_answered_and_survived() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vifprobe"))
        .env("TMPDIR", temp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"garbage\n\xff\xfe\x00\n{\"ask\":\"arm\"}\n{\"ask\":\"read_clock\"}\n")
        .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = answers
        .iter()
        .map(|a| a["answer"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["failed", "failed", "failed", "clock"]);
    assert!(
        answers[0]["hint"]
            .as_str()
            .unwrap()
            .contains("one JSON request a line")
    );
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

fn lonely_plan() -> Prepare {
    plan(vec![], None)
}

fn deployed(temp: &Path) -> (PathBuf, ProbeClient<Pipes>) {
    let folder = temp.join("vifbench-deployed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let program = folder.join("vifprobe");
    fs::copy(env!("CARGO_BIN_EXE_vifprobe"), &program).unwrap();
    let probe = ProbeClient::new(
        Pipes::start(&mut Command::new(&program)),
        Duration::from_secs(60),
    );
    (folder, probe)
}

#[test]
fn at_the_end_of_input_a_deployed_probe_removes_itself() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, mut probe) = deployed(temp.path());
    assert_eq!(probe.hello().unwrap(), folder);
    probe.prepare(lonely_plan()).unwrap();
    assert!(probe.into_channel().close().success());
    assert!(!folder.exists());
}

#[test]
fn a_sealed_trial_outlives_its_connection() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    // With its peer down, the veth has no carrier.
    run(
        "ip",
        &[
            "-n",
            &joined.namespaces[RX],
            "link",
            "set",
            INTERFACE[RX],
            "down",
        ],
    );
    let mut probe = joined.probe(TX, temp.path());
    let folder = probe.hello().unwrap();
    let told = temp.path().join("kmsg");
    let sealed = Arm {
        sealed_by: Some(INTERFACE[TX].into()),
        announce: Some(told.clone()),
        ..arm(realtime_ns() + 500 * MS, 100)
    };
    probe.prepare(lonely_plan()).unwrap();
    probe.arm(sealed.clone()).unwrap();
    // The connection dies before the trial has begun.
    assert!(probe.into_channel().close().success());
    assert!(realtime_ns() >= sealed.drain_ns);
    assert_eq!(stored(&folder).failed, None);
    assert_eq!(
        fs::read_to_string(told).unwrap(),
        "vifbench: trial 1 is armed\nvifbench: trial 1 ended\n"
    );
}

#[test]
fn results_outlive_a_lost_connection() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, mut probe) = deployed(temp.path());
    probe.prepare(lonely_plan()).unwrap();
    let arm = arm(realtime_ns() + 300 * MS, 100);
    probe.arm(arm.clone()).unwrap();
    assert!(probe.into_channel().close().success());
    assert!(realtime_ns() >= arm.drain_ns);
    assert_eq!(stored(&folder).failed, None);
}

#[test]
fn at_bye_results_are_removed() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, mut probe) = deployed(temp.path());
    probe.prepare(lonely_plan()).unwrap();
    probe.arm(arm(realtime_ns() + 300 * MS, 100)).unwrap();
    result(&mut probe, &folder);
    assert!(probe.bye().unwrap().close().success());
    assert!(!folder.exists());
}

#[test]
fn a_signal_ends_it_at_once_and_cleanly() {
    let temp = tempfile::tempdir().unwrap();
    let (folder, mut probe) = deployed(temp.path());
    probe.prepare(lonely_plan()).unwrap();
    probe.arm(arm(realtime_ns() + 60_000 * MS, 100)).unwrap();
    let mut pipes = probe.into_channel();
    let began = Instant::now();
    run("kill", &["-TERM", &pipes.child.id().to_string()]);
    assert!(pipes.child.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(!folder.exists());
}

#[test]
fn what_cannot_be_prepared_is_told_and_leaves_nothing() {
    needs!(Need::Root, Need::Program("ip"));
    let temp = tempfile::tempdir().unwrap();
    let joined = JoinedNamespaces::new();
    let mut probe = joined.probe(TX, temp.path());
    let folder = probe.hello().unwrap();
    let mut wrong = capture(Point::Tx, TX);
    wrong.filter = "udp dst prot 5".into();
    let captures = vec![capture(Point::Nic, TX), wrong];
    let refused = probe.prepare(plan(captures, None));
    let Err(ClientError::Probe {
        why: Refusal::Failed { error, .. },
        ..
    }) = refused
    else {
        panic!("a wrong filter was taken: {refused:?}")
    };
    assert!(
        error.contains("udp dst prot 5") && error.contains("tx0"),
        "{error}"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    let too_small = vec![flow(1, true, 64, cbr(10))];
    let error = probe
        .prepare(plan(vec![], Some(generate(too_small))))
        .unwrap_err()
        .to_string();
    assert!(error.contains("84 B to 1518 B"), "{error}");
}
