//! `analyze` on captures of foreign traffic with known truth, in every format that is read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use vifbench_reports::analyze::{Options, PairAnalysis, analyze_pair};

const START: u64 = 1_795_305_600_000_000_000;

/// One UDP packet as some application sends it.
#[derive(Debug, Clone)]
struct Udp {
    source: IpAddr,
    destination: IpAddr,
    id: u16,
    payload: Vec<u8>,
}

impl Udp {
    fn v4(id: u16) -> Self {
        Self {
            source: Ipv4Addr::new(198, 18, 0, 1).into(),
            destination: Ipv4Addr::new(198, 18, 0, 2).into(),
            id,
            payload: vec![7; 40],
        }
    }

    fn back(mut self) -> Self {
        std::mem::swap(&mut self.source, &mut self.destination);
        self
    }

    /// The frame, with what a path may change.
    fn frame(&self, ttl: u8, vlan: Option<u16>) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, ttl, 2, 0, 0, 0, 0, 9];
        if let Some(vlan) = vlan {
            frame.extend([0x81, 0]);
            frame.extend(vlan.to_be_bytes());
        }
        let udp_len = 8 + self.payload.len() as u16;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend([8, 0, 0x45, 0]);
                frame.extend((20 + udp_len).to_be_bytes());
                frame.extend(self.id.to_be_bytes());
                frame.extend([0, 0, ttl, 17, ttl, ttl]); // any checksum will do
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend(udp_len.to_be_bytes());
                frame.extend([17, ttl]);
                frame.extend(source.octets());
                frame.extend(destination.octets());
            }
            _ => unreachable!("both ends are of one family"),
        }
        frame.extend([0x30, 0x39, 0x13, 0x89]);
        frame.extend(udp_len.to_be_bytes());
        frame.extend([ttl, 0]);
        frame.extend(&self.payload);
        frame
    }
}

type Captured = (u64, Vec<u8>);

fn pcap(packets: &[Captured], nano: bool, snaplen: usize) -> Vec<u8> {
    let magic: u32 = if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = magic.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend((snaplen as u32).to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for (at, frame) in packets {
        let kept = &frame[..frame.len().min(snaplen)];
        let unit = if nano { 1 } else { 1000 };
        for word in [
            (at / 1_000_000_000) as u32,
            (at % 1_000_000_000 / unit) as u32,
            kept.len() as u32,
            frame.len() as u32,
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend(kept);
    }
    file
}

/// pcapng with one interface for each list, big-endian, blocks that are to be passed over in between.
fn pcapng(interfaces: &[(&str, u8, &[Captured])]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = (12 + body.len().next_multiple_of(4)) as u32;
        let mut out = kind.to_be_bytes().to_vec();
        out.extend(length.to_be_bytes());
        out.extend(body);
        out.resize(length as usize - 4, 0);
        out.extend(length.to_be_bytes());
        out
    };
    let mut section = 0x1a2b_3c4d_u32.to_be_bytes().to_vec();
    section.extend([0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    let mut file = block(0x0a0d_0d0a, &section);
    for (name, resolution, _) in interfaces {
        let mut body = vec![0, 1, 0, 0, 0, 0, 0, 0];
        body.extend([0, 2]);
        body.extend((name.len() as u16).to_be_bytes());
        body.extend(name.as_bytes());
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([0, 9, 0, 1, *resolution, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(block(1, &body));
    }
    file.extend(block(5, &[0; 12])); // interface statistics
    let mut packets: Vec<_> = interfaces
        .iter()
        .enumerate()
        .flat_map(|(i, (_, resolution, packets))| {
            packets.iter().map(move |p| (p.0, i, *resolution, &p.1))
        })
        .collect();
    packets.sort();
    for (at, interface, resolution, frame) in packets {
        let ticks = match resolution {
            9 => at,
            6 => at / 1000,
            12 => at
                .checked_mul(1000)
                .expect("picoseconds do not reach our time"),
            _ => ((u128::from(at) << (resolution & 0x7f)) / 1_000_000_000) as u64,
        };
        let mut body = (interface as u32).to_be_bytes().to_vec();
        body.extend(((ticks >> 32) as u32).to_be_bytes());
        body.extend((ticks as u32).to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend((frame.len() as u32).to_be_bytes());
        body.extend(frame);
        file.extend(block(6, &body));
    }
    file
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("the capture is written");
        path
    }
}

fn analyze(tx: &Path, rx: &Path) -> PairAnalysis {
    analyze_pair(tx, rx, &Options::default()).expect("two captures")
}

/// A packet a millisecond, 50 us on the way and up to 20 us more.
fn stream(n: u16, v6: bool) -> Vec<(u64, u64, Udp)> {
    (0..n)
        .map(|i| {
            let mut udp = Udp::v4(i);
            if v6 {
                udp.source = Ipv6Addr::from([1; 16]).into();
                udp.destination = Ipv6Addr::from([2; 16]).into();
                udp.payload[..2].copy_from_slice(&i.to_be_bytes());
            }
            let sent = START + u64::from(i) * 1_000_000 + 123;
            (sent, sent + 50_000 + u64::from(i) * 7919 % 20_000, udp)
        })
        .collect()
}

#[test]
fn ttl_vlan_and_checksums_may_change_on_the_way() {
    for v6 in [false, true] {
        let files = Files::new();
        let packets = stream(500, v6);
        let sent: Vec<Captured> = packets.iter().map(|p| (p.0, p.2.frame(64, None))).collect();
        let seen: Vec<Captured> = packets
            .iter()
            .map(|p| (p.1, p.2.frame(61, Some(9))))
            .collect();
        for (name, tx, rx) in [
            (
                "whole",
                pcap(&sent, true, 65_535),
                pcap(&seen, true, 65_535),
            ),
            ("cut", pcap(&sent, true, 96), pcap(&seen, true, 65_535)),
            ("cut both", pcap(&sent, true, 80), pcap(&seen, true, 90)),
            (
                "pcapng",
                pcap(&sent, true, 65_535),
                pcapng(&[("eth0", 9, &seen)]),
            ),
            (
                "binary",
                pcap(&sent, true, 65_535),
                pcapng(&[("eth0", 0x9e, &seen)]),
            ),
        ] {
            let (tx, rx) = (files.write("tx", &tx), files.write("rx", &rx));
            let pair = analyze(&tx, &rx);
            assert_eq!(
                (pair.matched, pair.lost, pair.unmatched_rx),
                (500, 0, 0),
                "{name} {v6} {pair:?}"
            );
            let pdv = pair.pdv_us.expect("packets");
            assert!((pdv.max - 19.9).abs() < 0.2, "{name} {pdv:?}");
            assert_eq!(pair.delay_us, None, "{name}");
        }
    }
}

#[test]
fn microseconds_are_told() {
    let files = Files::new();
    let packets = stream(500, false);
    let sent: Vec<Captured> = packets.iter().map(|p| (p.0, p.2.frame(64, None))).collect();
    let seen: Vec<Captured> = packets
        .iter()
        .map(|p| (p.1 / 1000 * 1000, p.2.frame(64, None)))
        .collect();
    let tx = files.write("tx", &pcap(&sent, false, 65_535));
    // Nanoseconds by the file, microseconds by the stamps.
    let rx = files.write("rx", &pcap(&seen, true, 65_535));
    let pair = analyze(&tx, &rx);
    assert!(!pair.tx.nanoseconds && !pair.rx.nanoseconds);
    assert_eq!(
        pair.timestamp_source,
        "not told by the files; tx in microseconds, rx in microseconds"
    );
}

#[test]
fn one_file_without_interfaces_is_warned_of() {
    let files = Files::new();
    let sent: Vec<Captured> = stream(50, false)
        .iter()
        .map(|p| (p.0, p.2.frame(64, None)))
        .collect();
    let both = files.write("both.pcapng", &pcapng(&[("in0", 9, &sent)]));
    let pair = analyze(&both, &both);
    assert!(
        pair.warnings[0].contains("each is its own twin"),
        "{:?}",
        pair.warnings
    );
}

#[test]
fn one_capture_of_two_ports_has_one_clock() {
    let files = Files::new();
    let packets = stream(300, false);
    let sent: Vec<Captured> = packets.iter().map(|p| (p.0, p.2.frame(64, None))).collect();
    let seen: Vec<Captured> = packets.iter().map(|p| (p.1, p.2.frame(63, None))).collect();
    let both = files.write(
        "both.pcapng",
        &pcapng(&[("in0", 9, &sent), ("out0", 6, &seen)]),
    );
    let options = Options {
        tx_interface: Some("in0".to_owned()),
        rx_interface: Some("out0".to_owned()),
        ..Options::default()
    };
    let pair = analyze_pair(&both, &both, &options).expect("two ports");
    assert_eq!(
        (pair.tx_packets, pair.rx_packets, pair.matched),
        (300, 300, 300)
    );
    assert_eq!(pair.delay_bound_us, Some(1.0));
    assert!((pair.delay_us.expect("one clock").min - 50.0).abs() <= 1.0);
    let wrong = Options {
        tx_interface: Some("eth7".to_owned()),
        ..options
    };
    let error = analyze_pair(&both, &both, &wrong)
        .expect_err("no such port")
        .to_string();
    assert!(error.contains("it has in0, out0"), "{error}");
}

#[test]
fn traffic_in_both_directions_tells_the_clocks() {
    // The second clock is 0.4 s ahead and 30 ppm fast; 60 us there, 90 us back, queues on both ways.
    let clock = |t: u64| t + 400_000_000 + (t - START) * 30 / 1_000_000;
    let (mut tx, mut rx) = (Vec::new(), Vec::new());
    for i in 0..4000u16 {
        let at = START + u64::from(i) * 2_500_000;
        let queue = u64::from(i) * 7919 % 40_000;
        let there = Udp::v4(i);
        tx.push((at, there.frame(64, None)));
        rx.push((clock(at + 60_000 + queue), there.frame(63, None)));
        let back = Udp::v4(i).back();
        rx.push((clock(at + 1_000_000), back.frame(64, None)));
        if i % 100 != 7 {
            tx.push((at + 1_000_000 + 90_000 + queue, back.frame(63, None)));
        }
    }
    tx.sort();
    rx.sort();
    let files = Files::new();
    let (tx, rx) = (
        files.write("tx", &pcap(&tx, true, 65_535)),
        files.write("rx", &pcap(&rx, true, 65_535)),
    );
    for streaming in [false, true] {
        let options = Options {
            streaming,
            ..Options::default()
        };
        let pair = analyze_pair(&tx, &rx, &options).expect("both directions");
        assert_eq!(
            (pair.tx_packets, pair.matched, pair.unmatched_rx),
            (4000, 4000, 0),
            "{pair:?}"
        );
        let back = pair.back.expect("packets come back");
        assert_eq!((back.matched, back.lost), (3960, 40));
        let bound = pair.delay_bound_us.expect("a bound from both ways");
        assert!((70.0..100.0).contains(&bound), "{bound}");
        let delay = pair.delay_us.expect("a bound was told");
        assert!((delay.min - 60.0).abs() <= bound, "{delay:?} {bound}");
        assert!((back.delay_us.expect("as there").min - 90.0).abs() <= bound);
        assert_eq!(pair.skew_method.as_deref(), Some("two-way"));
        assert!(
            (pair.skew_ppm.expect("a rate") - 30.0).abs() < 1.0,
            "{:?}",
            pair.skew_ppm
        );
        // Not blurred by 300 us of drift.
        assert!(
            pair.pdv_us.expect("packets").max < 45.0,
            "{:?}",
            pair.pdv_us
        );
    }
}

#[test]
fn skew_is_told_from_one_direction_with_its_error() {
    let files = Files::new();
    let packets = stream(20_000, false);
    let clock = |t: u64| t + (t - START) * 20 / 1_000_000;
    let sent: Vec<Captured> = packets.iter().map(|p| (p.0, p.2.frame(64, None))).collect();
    let seen: Vec<Captured> = packets
        .iter()
        .map(|p| (clock(p.1), p.2.frame(64, None)))
        .collect();
    let pair = analyze(
        &files.write("tx", &pcap(&sent, true, 65_535)),
        &files.write("rx", &pcap(&seen, true, 65_535)),
    );
    let (skew, bound) = (
        pair.skew_ppm.expect("a rate"),
        pair.skew_bound_ppm.expect("an error"),
    );
    assert!(
        (skew - 20.0).abs() <= bound && bound < 0.1,
        "{skew} {bound}"
    );
    assert!(pair.pdv_us.expect("packets").max > 390.0);
    assert!(pair.pdv_without_skew_us.expect("packets").max < 21.0);
}

#[test]
fn super_packets_are_told() {
    let files = Files::new();
    let mut large = Udp::v4(1);
    large.payload = vec![0; 30_000];
    let small = Udp::v4(2);
    let tx = vec![
        (START, large.frame(64, None)),
        (START + 1, small.frame(64, None)),
    ];
    let rx = vec![(START + 9, small.frame(64, None))];
    let pair = analyze(
        &files.write("tx", &pcap(&tx, true, 65_535)),
        &files.write("rx", &pcap(&rx, true, 65_535)),
    );
    assert_eq!((pair.tx.super_packets, pair.tx.longest), (1, 30_028));
    assert!(
        pair.warnings.iter().any(|w| w.contains("GSO")),
        "{:?}",
        pair.warnings
    );
}

#[test]
fn look_alikes_are_matched_in_order_and_told() {
    let files = Files::new();
    let same = Udp::v4(0).frame(64, None);
    let tx: Vec<Captured> = (0..10).map(|i| (START + i * 1000, same.clone())).collect();
    let rx: Vec<Captured> = (0..10)
        .map(|i| (START + i * 1000 + 500, same.clone()))
        .collect();
    let pair = analyze(
        &files.write("tx", &pcap(&tx, true, 65_535)),
        &files.write("rx", &pcap(&rx, true, 65_535)),
    );
    assert_eq!(
        (pair.matched, pair.duplicated, pair.look_alikes),
        (10, 0, 9)
    );
    assert!((pair.pdv_us.expect("packets").max).abs() < 1e-9);
    assert!(
        pair.warnings.iter().any(|w| w.contains("look like")),
        "{:?}",
        pair.warnings
    );
}

/// What may become of a packet.
#[derive(Debug, Clone, Copy)]
struct Fate {
    delay_ns: u64,
    lost: bool,
    copied: bool,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (
        0u64..400_000,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(delay_ns, lost, copied)| Fate {
            delay_ns,
            lost,
            copied,
        });
    prop::collection::vec(fate, 2..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against the definitions, word for word; in memory and streaming.
    #[test]
    fn counts_and_values_are_those_of_the_definitions(fates in fates(), offset in 0u64..3_000_000_000) {
        let (mut tx, mut rx, mut arrivals) = (Vec::new(), Vec::new(), Vec::new());
        for (i, fate) in fates.iter().enumerate() {
            let sent = START + i as u64 * 100_000;
            let udp = Udp::v4(i as u16);
            tx.push((sent, udp.frame(64, None)));
            if fate.lost {
                continue;
            }
            let at = sent + offset + fate.delay_ns;
            arrivals.push((at, i));
            rx.push((at, udp.frame(63, None)));
            if fate.copied {
                rx.push((at + 1_000_000, udp.frame(63, None)));
            }
        }
        rx.sort();
        arrivals.sort_unstable();
        let files = Files::new();
        let (tx, rx) = (
            files.write("tx", &pcap(&tx, true, 65_535)),
            files.write("rx", &pcap(&rx, true, 65_535)),
        );
        let lost = fates.iter().filter(|f| f.lost).count() as u64;
        let copied = fates.iter().filter(|f| f.copied && !f.lost).count() as u64;
        let (mut expected, mut reordered) = (0, 0);
        for (_, i) in &arrivals {
            if *i < expected { reordered += 1 } else { expected = i + 1 }
        }
        let delays: Vec<Option<i64>> =
            fates.iter().map(|f| (!f.lost).then_some((offset + f.delay_ns) as i64)).collect();
        let mut ipdv: Vec<i64> = delays.windows(2).filter_map(|w| Some(w[1]? - w[0]?)).collect();
        ipdv.sort_unstable();
        let mut sorted: Vec<i64> = delays.iter().flatten().copied().collect();
        sorted.sort_unstable();
        for streaming in [false, true] {
            let options = Options { streaming, clock_bound_ns: Some(0), ..Options::default() };
            let near = if streaming { 0.3 } else { 1e-6 };
            let pair = analyze_pair(&tx, &rx, &options).expect("two captures");
            prop_assert_eq!(
                (pair.tx_packets, pair.lost, pair.duplicated, pair.reordered, pair.unmatched_rx),
                (fates.len() as u64, lost, copied, Some(reordered), 0)
            );
            if let (Some(delay), Some(least)) = (pair.delay_us, sorted.first()) {
                prop_assert!((delay.min - *least as f64 / 1e3).abs() < 1e-6);
                let median = sorted[(sorted.len() - 1) / 2] as f64 / 1e3;
                prop_assert!((delay.p50 - median).abs() <= near);
                let pdv = pair.pdv_us.expect("as many as delays");
                prop_assert!((pdv.p50 - (median - delay.min)).abs() <= near);
            }
            let greatest = ipdv.last().map(|v| *v as f64 / 1e3);
            prop_assert_eq!(pair.ipdv_us.is_some(), greatest.is_some());
            if let (Some(found), Some(greatest)) = (pair.ipdv_us, greatest) {
                prop_assert!((found.max - greatest).abs() < 1e-6);
            }
        }
    }
}
