//! `analyze` in random worlds of which everything is known: 1,000 of them, each read both ways, compared with a slow
//! oracle that has the truth and the definitions.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use vifbench_reports::analyze::{Options, PairAnalysis, analyze_pair};

const START: i64 = 1_795_305_600_000_000_000;
const WORLDS: u64 = 1_000;
const ETHERNET: u32 = 1;
const SLL2: u32 = 276;

struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from) as u64) as i64
    }
}

/// IPv4 with its identification, from one of two hosts to the other.
fn ip(protocol: u8, id: u16, transport: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + transport.len() as u16).to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend([0, 0, 64, protocol, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]);
    out.extend(transport);
    out
}

fn udp(id: u16, payload: &[u8]) -> Vec<u8> {
    let mut transport = vec![0x30, 0x39, 0x13, 0x89];
    transport.extend((8 + payload.len() as u16).to_be_bytes());
    transport.extend([0, 0]);
    transport.extend(payload);
    ip(17, id, &transport)
}

fn tcp(id: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let mut transport = vec![0x30, 0x39, 0x13, 0x89];
    transport.extend(seq.to_be_bytes());
    transport.extend([0, 0, 0, 1, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    transport.extend(payload);
    ip(6, id, &transport)
}

fn ethernet(ip: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], ip].concat()
}

fn cooked(ip: &[u8], index: u32, outgoing: bool) -> Vec<u8> {
    let mut out = vec![8, 0, 0, 0];
    out.extend(index.to_be_bytes());
    out.extend([0, 1, if outgoing { 4 } else { 0 }, 6]);
    out.extend([0; 8]);
    out.extend(ip);
    out
}

type Captured = (i64, Vec<u8>);

fn pcap(link: u32, packets: &[Captured]) -> Vec<u8> {
    let mut file = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
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

fn write(folder: &Path, name: &str, bytes: &[u8], packed: bool) -> PathBuf {
    let path = folder.join(name);
    if packed {
        let file = std::fs::File::create(&path).expect("a file");
        let mut encoder = zstd::Encoder::new(file, 1).expect("an encoder");
        encoder.write_all(bytes).expect("written");
        encoder.finish().expect("finished");
    } else {
        std::fs::write(&path, bytes).expect("written");
    }
    path
}

/// A packet's fate. Times are those of the stamps.
#[derive(Debug, Clone, Copy)]
struct Fate {
    sent: i64,
    arrived: Option<i64>,
    /// The network doubled it.
    again: Option<i64>,
}

/// How the captures present what happened.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mishap {
    None,
    /// Both ends hand over each packet twice.
    Doubled {
        tx: bool,
        rx: bool,
    },
    /// The sender's capture has each packet at two interfaces.
    Places,
    /// Receive queues are written out in turn.
    Queues,
    /// The second capture is cut off at this part of its bytes.
    Cut(f64),
}

#[derive(Debug)]
struct World {
    fates: Vec<Fate>,
    /// The content comes again after so many packets.
    period: usize,
    /// The clocks are known to agree.
    one_clock: bool,
    mishap: Mishap,
    packed: bool,
}

impl World {
    fn new(random: &mut Random) -> Self {
        let n = random.between(60, 300) as usize;
        let one_clock = random.one_in(2);
        let offset = if one_clock {
            0
        } else {
            random.between(-5_000_000_000, 5_000_000_000)
        };
        let jitter = random.between(1_000, 1_500_000);
        let (loss, doubles) = (
            random.between(5, 200) as u64,
            random.between(20, 100) as u64,
        );
        let lossless = random.one_in(5);
        let fates = (0..n as i64)
            .map(|i| {
                let sent = START + i * 1_000_000 + random.between(0, 1_000);
                // Most are about as fast as can be, and few are late.
                let late = random.between(0, jitter).min(random.between(0, jitter));
                let arrival = sent + offset + 200_000 + late;
                let arrived = (lossless || !random.one_in(loss)).then_some(arrival);
                let again = arrived.filter(|_| random.one_in(doubles));
                Fate {
                    sent,
                    arrived,
                    again: again.map(|at| at + random.between(1_000, 50_000)),
                }
            })
            .collect();
        Self {
            fates,
            // Content that never comes again, or always after some tens of milliseconds.
            period: if random.one_in(2) {
                usize::MAX
            } else {
                random.between(20, 50) as usize
            },
            one_clock,
            mishap: match random.below(6) {
                0 => Mishap::Doubled {
                    tx: true,
                    rx: random.one_in(2),
                },
                1 => Mishap::Doubled {
                    tx: false,
                    rx: true,
                },
                2 => Mishap::Places,
                3 => Mishap::Queues,
                4 => Mishap::Cut(random.between(20, 95) as f64 / 100.0),
                _ => Mishap::None,
            },
            packed: random.one_in(4),
        }
    }

    fn packet(&self, number: usize) -> Vec<u8> {
        let content = number % self.period;
        udp(content as u16, &[7; 40])
    }

    /// Writes both captures. What of the second was not captured is taken out of the truth; returned is what was.
    fn write(&mut self, folder: &Path, random: &mut Random) -> (PathBuf, PathBuf, i64) {
        let mut sent: Vec<Captured> = Vec::new();
        let mut seen: Vec<(i64, usize)> = Vec::new();
        for (number, fate) in self.fates.iter().enumerate() {
            let packet = self.packet(number);
            match self.mishap {
                Mishap::Places => {
                    sent.push((fate.sent, cooked(&packet, 2, false)));
                    if !random.one_in(10) {
                        let at = fate.sent + random.between(5_000, 60_000);
                        sent.push((at, cooked(&packet, 7, true)));
                    }
                }
                Mishap::Doubled { tx: true, .. } => {
                    sent.push((fate.sent, ethernet(&packet)));
                    sent.push((fate.sent + random.between(50, 20_000), ethernet(&packet)));
                }
                _ => sent.push((fate.sent, ethernet(&packet))),
            }
            let copies = [fate.arrived, fate.again];
            seen.extend(copies.into_iter().flatten().map(|at| (at, number)));
        }
        sent.sort();
        seen.sort_unstable();
        let mut second: Vec<Captured> = Vec::new();
        for (at, number) in &seen {
            second.push((*at, ethernet(&self.packet(*number))));
            if matches!(self.mishap, Mishap::Doubled { rx: true, .. }) {
                // The network's own copies come later than those of the capture.
                second.push((at + 200, ethernet(&self.packet(*number))));
            }
        }
        second.sort_by_key(|(at, _)| *at);
        if self.mishap == Mishap::Queues {
            second = second
                .chunks(8)
                .flat_map(|turn| {
                    let queue = |odd: usize| turn.iter().skip(odd).step_by(2).cloned();
                    queue(0).chain(queue(1)).collect::<Vec<_>>()
                })
                .collect();
        }
        let link = if self.mishap == Mishap::Places {
            SLL2
        } else {
            ETHERNET
        };
        let mut bytes = pcap(ETHERNET, &second);
        let mut until = i64::MAX;
        if let Mishap::Cut(part) = self.mishap {
            let each = 16 + second[0].1.len();
            let whole = ((second.len() as f64 * part) as usize).max(1);
            bytes.truncate(24 + whole * each + random.below(each as u64 - 1) as usize + 1);
            for fate in &mut self.fates {
                let before = |at: &i64| seen[..whole].iter().any(|(t, _)| t == at);
                fate.arrived = fate.arrived.filter(before);
                fate.again = fate.again.filter(before);
            }
            let found = self.fates.iter().filter(|f| f.arrived.is_some());
            until = found.map(|f| f.sent).max().unwrap_or(i64::MIN);
        }
        let tx = write(folder, "tx", &pcap(link, &sent), self.packed);
        // A file under zstd is damaged as a whole where it is cut.
        let cut = matches!(self.mishap, Mishap::Cut(_));
        (tx, write(folder, "rx", &bytes, self.packed && !cut), until)
    }
}

fn near(a: f64, b: f64, within: f64) -> bool {
    (a - b).abs() <= within
}

/// What the definitions make of the truth; true where everything was measured, and not withheld.
fn check(world: &World, until: i64, pair: &PairAnalysis, about: &str) -> bool {
    let fates = &world.fates;
    let n = |of: &dyn Fn(&&Fate) -> bool| fates.iter().filter(of).count() as u64;
    let matched = n(&|f| f.arrived.is_some());
    let lost = n(&|f| f.arrived.is_none() && f.sent <= until);
    assert_eq!(pair.tx_packets, fates.len() as u64, "{about} {pair:?}");
    if pair.ambiguous == 0 {
        assert_eq!(
            (pair.matched, pair.lost),
            (matched, lost),
            "{about} {pair:?}"
        );
    } else {
        // Copies cannot be told from look-alikes either; nothing is counted twice.
        let again = n(&|f| f.again.is_some());
        assert!(
            pair.matched.abs_diff(matched) <= pair.ambiguous,
            "{about} {pair:?}"
        );
        assert!(
            pair.matched + pair.duplicated + pair.unmatched_rx == matched + again,
            "{about} {pair:?}"
        );
    }
    let delays: Vec<i64> = fates
        .iter()
        .filter_map(|f| Some(f.arrived? - f.sent))
        .collect();
    let mut sorted = delays.clone();
    sorted.sort_unstable();
    let least = sorted.first().copied().unwrap_or(0);
    if let Some(delay) = pair.delay_us {
        let within = |us: f64| {
            let ns = (us * 1e3).round() as i64;
            sorted[0] <= ns && ns <= sorted[sorted.len() - 1]
        };
        assert!(within(delay.min) && within(delay.max), "{about} {delay:?}");
    }
    if let Some(pdv) = pair.pdv_us {
        let most = sorted[sorted.len() - 1] - least;
        assert!(
            pdv.max <= most as f64 / 1e3 + 1e-6,
            "{about} {pdv:?} {most}"
        );
    }
    if pair.ambiguous > 0 {
        assert!(world.period < usize::MAX, "{about}");
        return false;
    }
    let again = n(&|f| f.again.is_some());
    assert_eq!(pair.duplicated, again, "{about} {pair:?}");
    let mut arrivals: Vec<(i64, usize)> = (0..)
        .zip(fates)
        .filter_map(|(i, f)| Some((f.arrived?, i)))
        .collect();
    arrivals.sort_unstable();
    let (mut expected, mut reordered) = (0, 0);
    for (_, number) in arrivals {
        if number < expected {
            reordered += 1;
        } else {
            expected = number + 1;
        }
    }
    let within = if pair.streaming { 1.0 } else { 1e-3 };
    let median = sorted[(sorted.len() - 1) / 2] as f64 / 1e3;
    let mean = delays.iter().map(|d| *d as f64).sum::<f64>() / delays.len() as f64 / 1e3;
    let pdv = pair.pdv_us.expect("packets");
    assert_eq!(pair.reordered, Some(reordered), "{about} {pair:?}");
    assert!(
        near(pdv.mean, mean - least as f64 / 1e3, within),
        "{about} {pdv:?}"
    );
    assert!(
        near(pdv.p50, median - least as f64 / 1e3, within),
        "{about} {pdv:?}"
    );
    assert_eq!(pair.delay_us.is_some(), world.one_clock, "{about}");
    if let Some(delay) = pair.delay_us {
        assert!(
            near(delay.mean, mean, within) && near(delay.p50, median, within),
            "{about} {delay:?}"
        );
    }
    true
}

#[test]
fn a_thousand_worlds_are_measured_as_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut exact = 0;
    for seed in 0..WORLDS {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let mut world = World::new(&mut random);
        let (tx, rx, until) = world.write(folder.path(), &mut random);
        let mut both = Vec::new();
        for streaming in [false, true] {
            let options = Options {
                clock_bound_ns: world.one_clock.then_some(0),
                streaming,
                // As long as the streaming default.
                longest_ns: Some(1_000_000_000),
                ..Options::default()
            };
            let about = format!("world {seed}, streaming {streaming}, {:?}", world.mishap);
            let pair = analyze_pair(&tx, &rx, &options).unwrap_or_else(|e| panic!("{about}: {e}"));
            let all = check(&world, until, &pair, &about);
            exact += u64::from(all && !streaming);
            assert_eq!(
                pair.rx.damage.is_some(),
                matches!(world.mishap, Mishap::Cut(_)),
                "{about}"
            );
            both.push((
                pair.matched,
                pair.ambiguous,
                pair.reordered,
                pair.look_alikes,
                pair.copies,
            ));
        }
        assert_eq!(both[0], both[1], "world {seed}");
    }
    // Little is withheld: only where content comes again and times do not tell.
    assert!(exact * 100 >= WORLDS * 90, "{exact} of {WORLDS}");
}

/// All alike, and closer together than delays differ: what was lost is counted, and no delay is invented.
#[test]
fn crowds_of_look_alikes_are_counted_and_their_delays_are_withheld() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 0..100 {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let (n, gap) = (random.between(100, 400), random.between(1_000, 20_000));
        let lossless = random.one_in(3);
        let frame = ethernet(&udp(0, &[7; 40]));
        let mut last = 0;
        let (mut sent, mut seen, mut delays) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..n {
            let at = START + i * gap;
            sent.push((at, frame.clone()));
            // The first and the last arrive, so that there is no doubt of the edges.
            let edge = i == 0 || i == n - 1;
            if edge || lossless || !random.one_in(20) {
                // A queue: none overtakes another.
                last = (at + 200_000 + random.between(0, 200_000)).max(last + 1);
                seen.push((last, frame.clone()));
                delays.push(last - at);
            }
        }
        let tx = write(folder.path(), "tx", &pcap(ETHERNET, &sent), false);
        let rx = write(folder.path(), "rx", &pcap(ETHERNET, &seen), false);
        for streaming in [false, true] {
            let options = Options {
                clock_bound_ns: Some(0),
                streaming,
                ..Options::default()
            };
            let pair = analyze_pair(&tx, &rx, &options).expect("two captures");
            let about = format!("crowd {seed} {streaming} {pair:?}");
            assert_eq!(
                (pair.matched, pair.lost),
                (seen.len() as u64, (sent.len() - seen.len()) as u64),
                "{about}"
            );
            let most = delays.iter().max().copied().unwrap_or(0) as f64 / 1e3;
            match pair.delay_us {
                Some(delay) => assert!(delay.max <= most + 1e-6, "{about}"),
                None => assert_eq!((pair.reordered, pair.pdv_us), (None, None), "{about}"),
            }
            if sent.len() == seen.len() {
                let mean = delays.iter().sum::<i64>() as f64 / delays.len() as f64 / 1e3;
                let delay = pair.delay_us.expect("all arrived, in order");
                assert!(near(delay.mean, mean, 0.01), "{about} {mean}");
            }
        }
    }
}

/// A segment that was lost is sent again with the same content: its arrival is that of the second.
#[test]
fn a_packet_sent_again_is_not_the_one_that_was_lost() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 0..100 {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let timeout = random.between(5_000_000, 200_000_000);
        let (mut sent, mut seen, mut most, mut lost) = (Vec::new(), Vec::new(), 0, 0);
        for i in 0..200i64 {
            let at = START + i * 300_000;
            let frame = ethernet(&tcp(0, i as u32 * 100, &[i as u8; 100]));
            sent.push((at, frame.clone()));
            let delay = 100_000 + random.between(0, 300_000);
            most = most.max(delay);
            if random.one_in(15) {
                lost += 1;
                sent.push((at + timeout, frame.clone()));
                seen.push((at + timeout + delay, frame));
            } else {
                seen.push((at + delay, frame));
            }
        }
        sent.sort();
        seen.sort();
        let tx = write(folder.path(), "tx", &pcap(ETHERNET, &sent), false);
        let rx = write(folder.path(), "rx", &pcap(ETHERNET, &seen), false);
        for streaming in [false, true] {
            let options = Options {
                clock_bound_ns: Some(0),
                streaming,
                ..Options::default()
            };
            let pair = analyze_pair(&tx, &rx, &options).expect("two captures");
            assert_eq!((pair.matched, pair.lost), (200, lost), "{seed} {pair:?}");
            let delay = pair.delay_us.expect("most are sure");
            assert!(
                delay.max <= most as f64 / 1e3,
                "{seed} {streaming} {delay:?}"
            );
            assert!(pair.ambiguous <= lost, "{seed} {}", pair.ambiguous);
        }
    }
}

#[test]
fn a_clock_that_was_set_is_named_and_not_taken_for_delay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 0..100 {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let n = random.between(500, 1_500);
        let set_at = START + n * 1_000_000 * random.between(30, 70) / 100;
        let by = random.between(20_000_000, 80_000_000) * if random.one_in(2) { -1 } else { 1 };
        let both_ways = random.one_in(2);
        let clock = |t: i64| if t >= set_at { t + by } else { t };
        let (mut tx, mut rx, mut delays) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..n {
            let at = START + i * 1_000_000;
            let delay = random.between(100_000, 300_000);
            delays.push(delay);
            let packet = udp(i as u16, &[1; 40]);
            tx.push((at, at, ethernet(&packet)));
            rx.push((at + delay, clock(at + delay), ethernet(&packet)));
            if both_ways {
                let mut packet = udp(i as u16, &[2; 40]);
                let (source, destination) = ([198, 18, 0, 2], [198, 18, 0, 1]);
                packet[12..16].copy_from_slice(&source);
                packet[16..20].copy_from_slice(&destination);
                let at = at + 500_000;
                rx.push((at, clock(at), ethernet(&packet)));
                let there = at + random.between(100_000, 300_000);
                tx.push((there, there, ethernet(&packet)));
            }
        }
        let filed = |mut packets: Vec<(i64, i64, Vec<u8>)>| {
            packets.sort();
            packets
                .into_iter()
                .map(|(_, stamp, frame)| (stamp, frame))
                .collect::<Vec<_>>()
        };
        let tx = write(folder.path(), "tx", &pcap(ETHERNET, &filed(tx)), false);
        let rx = write(folder.path(), "rx", &pcap(ETHERNET, &filed(rx)), false);
        for streaming in [false, true] {
            let options = Options {
                streaming,
                ..Options::default()
            };
            let pair = analyze_pair(&tx, &rx, &options).expect("two captures");
            let about = format!("clock {seed} {streaming} {by} {both_ways} {pair:?}");
            assert_eq!(
                (pair.matched, pair.lost, pair.reordered),
                (n as u64, 0, Some(0)),
                "{about}"
            );
            assert_eq!((pair.delay_us, pair.jumps.len()), (None, 1), "{about}");
            assert!(near(pair.jumps[0].by_us, by as f64 / 1e3, 250.0), "{about}");
            assert!((pair.jumps[0].at_ns - set_at).abs() < 50_000_000, "{about}");
            assert!(pair.pdv_us.expect("packets").max < 450.0, "{about}");
            assert!(
                pair.warnings.iter().any(|w| w.contains("a clock was set")),
                "{about}"
            );
            assert!(
                !pair
                    .warnings
                    .iter()
                    .any(|w| w.contains("no traffic came back") && both_ways),
                "{about}"
            );
        }
    }
}

#[test]
fn super_packets_and_segments_are_compared_in_bytes() {
    const SEGMENT: usize = 100;
    let folder = tempfile::tempdir().expect("a temporary folder");
    for seed in 0..100 {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let origin = random.0.next_u32();
        let (mut joined, mut cut) = (Vec::new(), Vec::new());
        let (mut seq, mut bytes, mut lost, mut torn) = (origin, 0, 0, 0);
        for i in 0..100i64 {
            let segments = random.between(2, 20) as usize;
            let at = START + i * 1_000_000;
            joined.push((
                at,
                ethernet(&tcp(i as u16, seq, &vec![i as u8; segments * SEGMENT])),
            ));
            let mut all = true;
            for segment in 0..segments {
                let from = seq.wrapping_add((segment * SEGMENT) as u32);
                if random.one_in(200) {
                    lost += SEGMENT as u64;
                    all = false;
                } else {
                    let id = (i * 32 + segment as i64) as u16;
                    let later = at + 300_000 + segment as i64 * 1_000;
                    cut.push((later, ethernet(&tcp(id, from, &[i as u8; SEGMENT]))));
                }
            }
            torn += u64::from(!all);
            bytes += (segments * SEGMENT) as u64;
            seq = seq.wrapping_add((segments * SEGMENT) as u32);
        }
        let joined_file = write(folder.path(), "joined", &pcap(ETHERNET, &joined), false);
        let cut_file = write(folder.path(), "cut", &pcap(ETHERNET, &cut), false);
        for streaming in [false, true] {
            let options = Options {
                clock_bound_ns: Some(0),
                streaming,
                ..Options::default()
            };
            let pair = analyze_pair(&joined_file, &cut_file, &options).expect("two captures");
            let in_bytes = pair.in_bytes.expect("in bytes");
            assert_eq!(
                (in_bytes.sent, in_bytes.lost),
                (bytes, lost),
                "{seed} {pair:?}"
            );
            assert_eq!(
                (pair.lost, pair.resegmented, pair.unmatched_rx),
                (torn, 100 - torn, 0),
                "{seed}"
            );
            assert_eq!(pair.unmeasured, None);
            // The other way: what was joined behind the first capture.
            let options = Options {
                clock_bound_ns: Some(10_000_000),
                ..options
            };
            let pair = analyze_pair(&cut_file, &joined_file, &options).expect("two captures");
            assert_eq!((pair.lost, pair.loss.ratio), (0, 0.0), "{seed} {pair:?}");
        }
    }
}
