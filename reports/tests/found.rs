//! `analyze` on files as they are found: other link types, pipes, tunnels, damage, late interfaces. The right answers are
//! those of public bug reports on such files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use vifbench_reports::analyze::{Options, PairAnalysis, analyze_pair};

const START: u64 = 1_795_305_600_000_000_000;
const N: u16 = 400;
const WAY_NS: u64 = 300_000;

type Captured = (u64, Vec<u8>);

fn ip(protocol: u8, id: u16, place: u16, transport: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + transport.len() as u16).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend(place.to_be_bytes());
    out.extend([64, protocol, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]);
    out.extend(transport);
    out
}

fn udp(port: u16, len: u16, checksum: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x9c, 0x40];
    for half in [port, len, checksum] {
        out.extend(half.to_be_bytes());
    }
    out.extend(payload);
    out
}

/// A datagram of 100 bytes that is like no other.
fn plain(i: u16) -> Vec<u8> {
    let mut payload = vec![5; 100];
    payload[..2].copy_from_slice(&i.to_be_bytes());
    ip(17, i, 0, &udp(5201, 108, 0, &payload))
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    out.extend(kind.to_be_bytes());
    out.extend(payload);
    out
}

fn sll2(index: u32, outgoing: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![8, 0, 0, 0];
    out.extend(index.to_be_bytes());
    out.extend([
        0,
        1,
        if outgoing { 4 } else { 0 },
        6,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ]);
    out.extend(payload);
    out
}

fn sll(payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    out.extend(payload);
    out
}

fn pcap(link: u32, snaplen: u32, packets: &[Captured]) -> Vec<u8> {
    let mut file = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(snaplen.to_le_bytes());
    file.extend(link.to_le_bytes());
    for (at, frame) in packets {
        let len = frame.len() as u32;
        for word in [
            (at / 1_000_000_000) as u32,
            (at % 1_000_000_000) as u32,
            len,
            len,
        ] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// A block of pcapng, little-endian.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (12 + body.len().next_multiple_of(4)) as u32;
    let mut out = kind.to_le_bytes().to_vec();
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.resize(length as usize - 4, 0);
    out.extend(length.to_le_bytes());
    out
}

fn section() -> Vec<u8> {
    let mut body = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    block(0x0a0d_0d0a, &body)
}

/// An interface with stamps of 10 to the power of minus so many seconds, and an FCS of so many bytes.
fn interface(name: &str, resolution: u8, fcs: u8) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, name.len() as u8, 0];
    body.extend(name.as_bytes());
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([
        9, 0, 1, 0, resolution, 0, 0, 0, 13, 0, 1, 0, fcs, 0, 0, 0, 0, 0, 0, 0,
    ]);
    block(1, &body)
}

fn enhanced(interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
    let mut body = interface.to_le_bytes().to_vec();
    let len = frame.len() as u32;
    for word in [(ticks >> 32) as u32, ticks as u32, len, len] {
        body.extend(word.to_le_bytes());
    }
    body.extend(frame);
    block(6, &body)
}

/// A packet a millisecond; every fortieth is lost.
fn world(before: impl Fn(u16) -> Vec<u8>, behind: impl Fn(u16) -> Vec<u8>) -> [Vec<Captured>; 2] {
    let at = |i: u16| START + u64::from(i) * 1_000_000 + 123;
    let tx = (0..N).map(|i| (at(i), before(i))).collect();
    let rx = (0..N)
        .filter(|i| i % 40 != 7)
        .map(|i| (at(i) + WAY_NS, behind(i)))
        .collect();
    [tx, rx]
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

fn analyze(tx: &Path, rx: &Path, options: &Options) -> PairAnalysis {
    analyze_pair(tx, rx, options).expect("two captures")
}

fn one_clock() -> Options {
    Options {
        clock_bound_ns: Some(0),
        ..Options::default()
    }
}

/// What is right of every [`world`].
fn is_right(pair: &PairAnalysis, about: &str) {
    let counts = (
        pair.tx_packets,
        pair.matched,
        pair.lost,
        pair.reordered,
        pair.unmatched_rx,
    );
    assert_eq!(counts, (400, 390, 10, Some(0), 0), "{about} {pair:?}");
    let delay = pair.delay_us.expect("one clock");
    assert_eq!((delay.min, delay.max), (300.0, 300.0), "{about}");
    assert_eq!((pair.ambiguous, pair.duplicated), (0, 0), "{about}");
}

fn both(packets: [Vec<Captured>; 2], about: &str) -> PairAnalysis {
    let files = Files::new();
    let [tx, rx] = packets;
    let tx = files.write("tx", &pcap(1, 65_535, &tx));
    let rx = files.write("rx", &pcap(1, 65_535, &rx));
    let mut pair = None;
    for streaming in [false, true] {
        let options = Options {
            streaming,
            ..one_clock()
        };
        let found = analyze(&tx, &rx, &options);
        is_right(&found, about);
        pair = Some(found);
    }
    pair.expect("two ways")
}

#[test]
fn what_changes_on_the_way_is_no_part_of_a_packet() {
    let frame = |packet: &[u8]| ethernet(0x0800, packet);
    let chunk = |i: u16, sum: u8| {
        let mut sctp = vec![1, 2, 3, 4, 5, 6, 7, 8, sum, sum, sum, sum, 0, 3, 0, 20];
        sctp.extend(i.to_be_bytes());
        frame(&ip(132, 0, 0, &sctp))
    };
    both(world(|i| chunk(i, 0), |i| chunk(i, 9)), "SCTP");
    let echo = |i: u16, sum: u8| frame(&ip(1, i, 0, &[8, 0, sum, sum, 1, 1, 2, 2]));
    both(world(|i| echo(i, 0), |i| echo(i, 9)), "ICMP");
    // Fragments, the first of which has the length of the whole datagram in its UDP header.
    let fragment = |i: u16| {
        let (id, part) = (i / 4, i % 4);
        let transport = if part == 0 {
            udp(5201, 8_200, 0, &[5; 1472])
        } else {
            vec![5; 1480]
        };
        let more = if part == 3 { 0 } else { 0x2000 };
        frame(&ip(17, id, more | (part * 185), &transport))
    };
    both(world(fragment, fragment), "fragments");
}

#[test]
fn a_packet_in_a_tunnel_is_the_packet_that_it_carries() {
    let bare = |i: u16| ethernet(0x0800, &plain(i));
    let vxlan = |i: u16| {
        let payload = [&[8, 0, 0, 0, 0, 0, 9, 0][..], &bare(i)].concat();
        let len = payload.len() as u16 + 8;
        ethernet(0x0800, &ip(17, !i, 0, &udp(4789, len, 0, &payload)))
    };
    let gre = |i: u16| {
        ethernet(
            0x0800,
            &ip(47, !i, 0, &[&[0, 0, 8, 0][..], &plain(i)].concat()),
        )
    };
    let mpls =
        |label: u8, i: u16| ethernet(0x8847, &[&[0, label, 0x41, 63][..], &plain(i)].concat());
    let within = |i: u16| ethernet(0x0800, &ip(4, i, 0, &plain(i)));
    both(world(bare, vxlan), "into VXLAN");
    both(world(gre, bare), "out of GRE");
    both(world(bare, within), "into IP");
    both(world(vxlan, vxlan), "VXLAN on both sides");
    both(world(|i| mpls(1, i), |i| mpls(2, i)), "a label swapped");
}

/// A frame that carries the packet of this number.
type Frame<'a> = &'a dyn Fn(u16) -> Vec<u8>;

#[test]
fn throughput_is_that_of_the_wire_for_every_link_type() {
    let files = Files::new();
    let with_fcs = |i: u16| [ethernet(0x0800, &plain(i)), vec![1, 2, 3, 4]].concat();
    // 14 + 128 + 4 bytes a frame, and so of 390 from the first to the last stamp.
    let wire = 390.0 * 146.0 * 8.0 / 399e-3 / 1e6;
    let kinds: [(u32, Frame<'_>); 5] = [
        (1, &|i| ethernet(0x0800, &plain(i))),
        (0x2400_0001, &with_fcs),
        (113, &|i| sll(&plain(i))),
        (276, &|i| sll2(3, false, &plain(i))),
        (101, &plain),
    ];
    for (link, frame) in kinds {
        let [tx, rx] = world(frame, frame);
        let tx = files.write("tx", &pcap(link, 0, &tx));
        let rx = files.write("rx", &pcap(link, 0, &rx));
        let pair = analyze(&tx, &rx, &one_clock());
        is_right(&pair, &format!("link type {link:#x}"));
        let found = pair.throughput_mbps.expect("packets");
        assert!((found - wire).abs() < 1e-6, "{link:#x}: {found} {wire}");
    }
    // pcapng names the FCS too, and where no header does, a frame that ends with its own is one.
    let real = |i: u16| {
        let frame = ethernet(0x0800, &plain(i));
        let sum = crc32fast::hash(&frame).to_le_bytes();
        [frame, sum.to_vec()].concat()
    };
    for (fcs, frame) in [(4, &with_fcs as &dyn Fn(u16) -> Vec<u8>), (0, &real)] {
        let paths = world(frame, frame).map(|packets| {
            let blocks = packets.iter().map(|(at, f)| enhanced(0, *at, f));
            let file = [
                section(),
                interface("eth0", 9, fcs),
                blocks.collect::<Vec<_>>().concat(),
            ];
            files.write(&format!("{}", packets.len()), &file.concat())
        });
        let pair = analyze(&paths[0], &paths[1], &one_clock());
        is_right(&pair, "pcapng");
        let found = pair.throughput_mbps.expect("packets");
        assert!((found - wire).abs() < 1e-6, "{fcs}: {found} {wire}");
    }
}

#[test]
fn an_interface_is_chosen_by_the_number_that_its_host_gave_it() {
    let files = Files::new();
    let [tx, rx] = world(|i| sll2(2, false, &plain(i)), |i| sll2(7, true, &plain(i)));
    let mut all = [tx, rx].concat();
    all.sort();
    let any = files.write("any", &pcap(276, 262_144, &all));
    let options = |tx: &str, rx: &str| Options {
        tx_interface: Some(tx.to_owned()),
        rx_interface: Some(rx.to_owned()),
        ..Options::default()
    };
    is_right(&analyze(&any, &any, &options("2", "7")), "SLL2");
    let error = analyze_pair(&any, &any, &options("2", "3"))
        .expect_err("no such interface")
        .to_string();
    assert!(
        error.contains("it has no interface `3`; it has 2, 7"),
        "{error}"
    );
    // Without a choice each packet was sent once, and seen at two places.
    let behind: Vec<Captured> = world(plain, |i| ethernet(0x0800, &plain(i)))[1].clone();
    let guest = files.write("guest", &pcap(1, 262_144, &behind));
    let pair = analyze(&any, &guest, &one_clock());
    is_right(&pair, "any");
    assert_eq!((pair.copies, pair.tx.copies), (390, 390));
}

#[test]
fn interfaces_that_come_late_are_found_and_others_do_not_matter() {
    let files = Files::new();
    let [tx, rx] = world(
        |i| ethernet(0x0800, &plain(i)),
        |i| ethernet(0x0800, &plain(i)),
    );
    let blocks = |number: u32, unit: u64, packets: &[Captured]| -> Vec<u8> {
        packets
            .iter()
            .flat_map(|(at, frame)| enhanced(number, at / unit, frame))
            .collect()
    };
    let chatter: Vec<Captured> = (0..6_000u16)
        .map(|i| {
            (
                START + u64::from(i),
                ethernet(0x0800, &ip(17, i, 0, &udp(9, 12, 0, &[1; 4]))),
            )
        })
        .collect();
    let late = [
        section(),
        interface("eth0", 9, 0),
        interface("slow0", 6, 0),
        blocks(1, 1000, &chatter),
        blocks(0, 1, &tx),
        interface("vif1.0", 9, 0),
        blocks(2, 1, &rx),
    ];
    let sections = [
        section(),
        interface("eth0", 9, 0),
        blocks(0, 1, &tx),
        section(),
        interface("vif1.0", 9, 0),
        blocks(0, 1, &rx),
    ];
    for file in [late.concat(), sections.concat()] {
        let path = files.write("both", &file);
        let options = Options {
            tx_interface: Some("eth0".to_owned()),
            rx_interface: Some("vif1.0".to_owned()),
            ..Options::default()
        };
        let pair = analyze(&path, &path, &options);
        is_right(&pair, "late");
        // Nobody chose the interface with microseconds.
        assert_eq!(
            (pair.delay_bound_us, pair.tx.nanoseconds),
            (Some(0.0), true)
        );
    }
}

#[test]
fn pipes_are_read_like_files() {
    let files = Files::new();
    let [tx, rx] = world(
        |i| ethernet(0x0800, &plain(i)),
        |i| ethernet(0x0800, &plain(i)),
    );
    let path = |name: &str| files.0.path().join(name);
    let made = std::process::Command::new("mkfifo")
        .args([path("tx"), path("rx")])
        .status()
        .expect("mkfifo is of coreutils");
    assert!(made.success());
    let pair = std::thread::scope(|scope| {
        for (name, packets) in [("tx", &tx), ("rx", &rx)] {
            let (path, bytes) = (path(name), pcap(1, 65_535, packets));
            scope.spawn(move || {
                let mut pipe = std::fs::OpenOptions::new()
                    .write(true)
                    .open(path)
                    .expect("a pipe");
                pipe.write_all(&bytes).expect("somebody reads");
            });
        }
        analyze(&path("tx"), &path("rx"), &one_clock())
    });
    is_right(&pair, "pipes");
}

#[test]
fn what_precedes_the_damage_is_measured() {
    let files = Files::new();
    let [tx, rx] = world(
        |i| ethernet(0x0800, &plain(i)),
        |i| ethernet(0x0800, &plain(i)),
    );
    let tx = files.write("tx", &pcap(1, 65_535, &tx));
    let whole = pcap(1, 65_535, &rx);
    let rx = files.write("rx", &whole[..24 + 200 * 158 + 50]);
    let pair = analyze(&tx, &rx, &one_clock());
    let counts = (
        pair.tx_packets,
        pair.matched,
        pair.lost,
        pair.loss.after_last,
    );
    assert_eq!(counts, (400, 200, 5, 195), "{pair:?}");
    assert!(pair.rx.damage.is_some() && pair.rx.part_read < 1.0);
    assert!(
        pair.warnings
            .iter()
            .any(|w| w.contains("200 packets before the damage")),
        "{:?}",
        pair.warnings
    );
    // Nothing precedes it.
    let rx = files.write("rx", &whole[..50]);
    assert!(analyze_pair(&tx, &rx, &one_clock()).is_err());
}

#[test]
fn captures_without_a_common_packet_say_so() {
    let files = Files::new();
    let [tx, rx] = world(
        |i| ethernet(0x0800, &plain(i)),
        |i| ethernet(0x0800, &plain(i + 1000)),
    );
    let (a, b) = (
        files.write("tx", &pcap(1, 65_535, &tx)),
        files.write("rx", &pcap(1, 65_535, &rx)),
    );
    let why = analyze(&a, &b, &one_clock())
        .unmeasured
        .expect("nothing in common");
    assert!(
        why.contains("no packet of") && !why.contains("times"),
        "{why}"
    );
    let none = files.write("none", &pcap(1, 65_535, &[]));
    let why = analyze(&a, &none, &one_clock())
        .unmeasured
        .expect("nothing there");
    assert!(why.contains("none holds no packet"), "{why}");
}
