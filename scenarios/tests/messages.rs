//! What a person reads when a file is wrong: every fault names file, line and column, what is wrong, and what to do.

use proptest::prelude::*;
use vifbench_scenarios::file::FileError;
use vifbench_scenarios::lab::{Identity, Lab};
use vifbench_scenarios::scenario::Scenario;

const GOOD: &str = "\
name: small-packets
about: 64-byte UDP to one guest
traffic:
  - {to: u1, protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
sweep: {rate: [200/s, 2000/s]}
variants:
  - {name: stock}
  - name: shadow
    patches: shadow
    hold: 1 ms
warmup: 1 s
duration: 10 s
blocks: 5
";

const GOOD_LAB: &str = "\
name: rack
hosts:
  - name: box
    role: dom0
    address: 198.18.0.1
    key: keys/rack
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZJ3bYp0w1Yk1t5o2QyYb9o0mC0Zt7n6J6cQ0bB1aA
    identity: {dmi-serial: ABC123}
    interface: eth0
    mac: 00:16:3e:00:00:01
    bridge: xenbr0
  - name: u1
    role: guest
    on: box
    address: 198.18.0.2
    key: keys/rack
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZJ3bYp0w1Yk1t5o2QyYb9o0mC0Zt7n6J6cQ0bB1aB
    identity: {mac: '00:16:3e:00:00:02'}
    interface: enX0
    mac: 00:16:3e:00:00:02
controller:
  interface: xtap0
  address: 198.18.0.254
  mac: 02:00:00:00:00:01
";

/// Without the test's own text, which the snapshot repeats anyway.
macro_rules! snapshot {
    ($value:expr) => {
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!($value) })
    };
}

/// The good text with one edit, which must change something.
fn edited(good: &str, from: &str, to: &str) -> String {
    assert!(good.contains(from), "`{from}` is not in the text");
    good.replacen(from, to, 1)
}

fn message<T>(result: Result<T, FileError>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(_) => panic!("this should have been refused"),
    }
}

/// `edit => what is said`, for each edit.
fn messages(good: &str, parse: impl Fn(&str) -> String, edits: &[(&str, &str)]) -> String {
    edits
        .iter()
        .map(|(from, to)| {
            let from_short = if *from == good { "all" } else { from };
            format!(
                "{from_short:?} -> {to:?}\n{}\n",
                parse(&edited(good, from, to))
            )
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn scenario_messages(edits: &[(&str, &str)]) -> String {
    messages(GOOD, |text| message(Scenario::parse(text, "s.yaml")), edits)
}

fn lab_messages(edits: &[(&str, &str)]) -> String {
    messages(GOOD_LAB, |text| message(Lab::parse(text, "l.yaml")), edits)
}

#[test]
fn the_unedited_texts_are_good() {
    Scenario::parse(GOOD, "s.yaml").expect("a good scenario");
    Lab::parse(GOOD_LAB, "l.yaml").expect("a good lab");
}

#[test]
fn scenario_keys() {
    snapshot!(scenario_messages(&[
        ("protocol: udp", "protocl: udp"),
        ("blocks: 5", "block: 5"),
        ("duration: 10 s", "duratoin: 10 s"),
        ("duration: 10 s\n", ""),
        ("size: 64 B, ", ""),
        ("{poisson: {rate: 2000/s}}", "{poisson: {rat: 2000/s}}"),
        ("{poisson: {rate: 2000/s}}", "{poisson: {}}"),
        ("{poisson: {rate: 2000/s}}", "{poison: {rate: 2000/s}}"),
        ("{poisson: {rate: 2000/s}}", "poisson"),
        (
            "{poisson: {rate: 2000/s}}",
            "{poisson: {rate: 2000/s}, cbr: {rate: 1/s}}"
        ),
        ("protocol: udp", "protocol: udp4"),
        ("patches: shadow", "patches: shadw"),
        ("blocks: 5", "blocks: 5\nwarmup: 2 s"),
        ("protocol: udp", "protocol: udp, size: 65 B"),
        ("sweep:", "xyzzy: 1\nsweep:"),
    ]));
}

#[test]
fn scenario_tcp() {
    let poisson = "protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}";
    let good = "protocol: tcp, size: 1518 B, arrivals: {tcp_rr: {request: 1 B}}";
    snapshot!(scenario_messages(&[
        ("protocol: udp", "protocol: tcp"),
        (poisson, good),
        (poisson, "size: 1518 B, arrivals: {tcp_bulk: {}}"),
        (
            poisson,
            "protocol: tcp, size: 64 B, arrivals: {tcp_bulk: {}}"
        ),
        (
            poisson,
            "protocol: tcp6, size: 165 B, arrivals: {tcp_bulk: {}}"
        ),
        (
            poisson,
            "protocol: tcp, size: imix, arrivals: {tcp_bulk: {}}"
        ),
        (
            poisson,
            "protocol: tcp, size: 1518 B, arrivals: {tcp_rr: {request: 0 B, response: 2 MiB, outstanding: 0}}"
        ),
        (
            poisson,
            "protocol: tcp, size: 1518 B, arrivals: {tcp_rr: {requests: 1 B}}"
        ),
        (
            poisson,
            "protocol: tcp, size: 1518 B, arrivals: {tcp_bulk: {rate: 1/s}}"
        ),
    ]));
}

#[test]
fn scenario_aggregation() {
    let aggregation = "    patches: aggregation\n    regulator: static\n    hold: 1 ms\n";
    let variant = |text: &str| -> (&'static str, String) {
        ("    patches: shadow\n    hold: 1 ms\n", text.to_owned())
    };
    let edits = [
        variant("    patches: aggregation\n    hold: 1 ms\n"),
        variant("    patches: aggregation\n    regulator: static\n"),
        variant("    patches: aggregation\n    regulator: ramjee5\n    hold: 1 ms\n"),
        variant("    patches: aggregation\n    regulator: static\n    hold: 0 ms\n"),
        variant("    patches: aggregation\n    regulator: static\n    hold: 4 s\n"),
        variant("    patches: shadow\n    regulator: paper\n"),
        variant(&format!("{aggregation}    unit: 1 ms\n")),
        variant(&format!("{aggregation}    container: 0 B\n")),
        variant(&format!("{aggregation}    container: 2 MiB\n")),
        variant(&format!("{aggregation}    container: 4096\n")),
        variant(&format!("{aggregation}    framing: 2000 B\n")),
        variant(&format!("{aggregation}    fill: f3\n")),
        variant(&format!("{aggregation}    contaner: 4096 B\n")),
        ("{name: stock}", "{name: stock, framing: 8 B}".to_owned()),
        ("[200/s, 2000/s]", "[200/s], hold: [1 ms, 0 ms]".to_owned()),
        ("[200/s, 2000/s]", "[200/s], hold: [1 ms, 1 ms]".to_owned()),
        (
            "duration: 10 s",
            "duration: 10 s\nservice: {transfer: 8 us}".to_owned(),
        ),
    ];
    let edits: Vec<(&str, &str)> = edits
        .iter()
        .map(|(from, to)| (*from, to.as_str()))
        .collect();
    snapshot!(scenario_messages(&edits));
}

#[test]
fn scenario_arrivals() {
    let poisson = "{poisson: {rate: 2000/s}}";
    snapshot!(scenario_messages(&[
        (poisson, "{onoff: {rate: 2000/s}}"),
        (
            poisson,
            "{onoff: {rate: 2000/s, peak: 2000/s, burst: 11, shape: 1.5}}"
        ),
        (
            poisson,
            "{onoff: {rate: 200/s, peak: 100 k/s, burst: .nan, shape: .nan}}"
        ),
        (
            poisson,
            "{onoff: {rate: 200/s, peak: 100 k/s, burst: 0.5, shape: 1}}"
        ),
        (
            poisson,
            "{onoff: {rate: 0/s, peak: 100 k/s, burst: 11, shape: 1.5}}"
        ),
        (
            poisson,
            "{onoff: {rate: 200/s, peak: 100 k/s, burst: many, shape: 1.5}}"
        ),
        (poisson, "{closed_loop: {round_trip: 1 ms}}"),
        (
            poisson,
            "{closed_loop: {round_trip: 0 ms, outstanding: 0, samples: 0}}"
        ),
        (poisson, "{closed_loop: {rount_trip: 1 ms}}"),
        (poisson, "{closed_loop: {round_trip: 1 ns}}"),
        (poisson, "{trace: {file: ''}}"),
        (poisson, "{trace: {}}"),
        (poisson, "{trace: {file: x.pcap, speed: 0}}"),
        (poisson, "{bursts: {rate: 2000/s, burst: 0, peak: 2000/s}}"),
        (poisson, "{bursts: {rate: 2000/s, burst: 2.5}}"),
        (poisson, "{ramp: {from: 0/s, to: 0/s, over: 0 s}}"),
        (poisson, "{ramp: {from: 0/s, to: 9999 M/s, over: 1 s}}"),
        (poisson, "{saturate: {}}"),
        (poisson, "{saturate: {cap: 0/s}}"),
        (poisson, "saturate"),
        ("size: 64 B", "size: captured"),
        ("size: 64 B", "size: imx"),
        ("size: 64 B", "size: 7 x 60 B + 1 x 1600 B"),
        ("size: 64 B", "size: 0 x 64 B"),
    ]));
}

#[test]
fn what_only_a_lab_can_do_is_told() {
    let text = GOOD.replace(
        "    patches: shadow\n",
        "    patches: hold\n    regulator: dim\n",
    );
    let scenario = Scenario::parse(&text, "s.yaml").expect("a good scenario");
    assert_eq!(scenario.only_simulated(), Vec::<String>::new());
    assert_eq!(
        scenario.only_measured(),
        [
            "variant `shadow` has `patches: hold`",
            "variant `shadow` has `regulator: dim`"
        ]
    );
}

#[test]
fn what_only_the_model_can_do_is_told() {
    let scenario = Scenario::parse(GOOD, "s.yaml").expect("a good scenario");
    assert_eq!(scenario.only_simulated(), Vec::<String>::new());
    let text = GOOD
        .replace(
            "size: 64 B, arrivals: {poisson: {rate: 2000/s}}",
            "size: imix, arrivals: {closed_loop: {round_trip: 1 ms}}",
        )
        .replace(
            "sweep: {rate: [200/s, 2000/s]}",
            "sweep: {hold: [1 ms, 2 ms]}\nservice: {transfer: 8 us, packet: 1 us}",
        )
        .replace(
            "    patches: shadow\n",
            "    patches: aggregation\n    regulator: breakeven\n    framing: 0 B\n",
        );
    let scenario = Scenario::parse(&text, "s.yaml").expect("a good scenario");
    snapshot!(scenario.only_simulated().join("\n"));
    assert_eq!(scenario.only_measured(), Vec::<String>::new());
    let text = GOOD
        .replace("poisson: {rate: 2000/s}", "saturate: {cap: 1 M/s}")
        .replace("sweep: {rate: [200/s, 2000/s]}", "");
    let lab_only = Scenario::parse(&text, "s.yaml").expect("a good scenario");
    assert_eq!(lab_only.only_simulated(), Vec::<String>::new());
    assert_eq!(
        lab_only.only_measured(),
        ["`traffic[0].arrivals` is `saturate`"]
    );
    // What is written is read again.
    let again =
        Scenario::parse(&scenario.to_yaml().expect("YAML"), "again").expect("a good scenario");
    assert_eq!(again, scenario);
}

#[test]
fn scenario_quantities() {
    snapshot!(scenario_messages(&[
        ("rate: 2000/s", "rate: 2000"),
        ("rate: 2000/s", "rate: -2000/s"),
        ("rate: 2000/s", "rate: 0/s"),
        ("rate: 2000/s", "rate: fast"),
        ("rate: 2000/s", "rate: 2000 Hz"),
        ("rate: 2000/s", "rate: 0.01/s"),
        ("rate: 2000/s", "rate: [1/s]"),
        ("[200/s, 2000/s]", "[200/s, 0/s]"),
        ("[200/s, 2000/s]", "[200/s, -5/s]"),
        ("[200/s, 2000/s]", "[200/s, 200/s]"),
        ("[200/s, 2000/s]", "200/s"),
        ("[200/s, 2000/s]", "[200/s, 9999 M/s]"),
        ("size: 64 B", "size: 64"),
        ("size: 64 B", "size: 63 B"),
        ("size: 64 B", "size: 1519 B"),
        ("size: 64 B", "size: 64.5 B"),
        ("protocol: udp, size: 64 B", "protocol: udp6, size: 83 B"),
        ("hold: 1 ms", "hold: 0 ms"),
        ("hold: 1 ms", "hold: 1.5 us"),
        ("hold: 1 ms", "hold: 10 s"),
        ("hold: 1 ms", "hold: 1"),
        ("{name: stock}", "{name: stock, hold: 1 ms}"),
        ("duration: 10 s", "duration: 0 s"),
        ("duration: 10 s", "duration: 10 seconds"),
        ("blocks: 5", "blocks: 0"),
        ("blocks: 5", "blocks: -1"),
        ("blocks: 5", "blocks: many"),
    ]));
}

#[test]
fn scenario_shape() {
    snapshot!(scenario_messages(&[
        ("name: stock", "name: shadow"),
        ("name: stock", "name: a/b"),
        ("name: small-packets", "name: ../up"),
        (
            "traffic:\n  - {to: u1, protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}",
            "traffic: []"
        ),
        (
            "traffic:\n  - {to: u1, protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}",
            "traffic:"
        ),
        (
            "  - {name: stock}\n  - name: shadow\n    patches: shadow\n    hold: 1 ms\n",
            ""
        ),
        ("{name: stock}", "{name: stock"),
        ("  - name: shadow", " - name: shadow"),
        ("name: small-packets", "name: a: b"),
        ("blocks: 5\n", "blocks: 5\n---\nname: second\n"),
        (GOOD, ""),
        (GOOD, "- a list\n"),
        (GOOD, "just words\n"),
    ]));
}

#[test]
fn all_faults_are_told_at_once() {
    let text = GOOD
        .replace("64 B", "60 B")
        .replace("2000/s", "0/s")
        .replace("{name: stock}", "{name: shadow}");
    snapshot!(message(Scenario::parse(&text, "s.yaml")));
}

#[test]
fn lab_keys() {
    snapshot!(lab_messages(&[
        ("    key: keys/rack\n", ""),
        (
            "    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZJ3bYp0w1Yk1t5o2QyYb9o0mC0Zt7n6J6cQ0bB1aB\n",
            ""
        ),
        ("    identity: {dmi-serial: ABC123}\n", ""),
        ("    interface: eth0\n", ""),
        ("    mac: 00:16:3e:00:00:01\n", ""),
        ("    role: guest\n", ""),
        ("    address: 198.18.0.2\n", ""),
        ("  - name: u1\n    role: guest", "  - role: guest"),
        ("host_key:", "hostkey:"),
        ("role: guest", "role: domu"),
        (
            "identity: {dmi-serial: ABC123}",
            "identity: {serial: ABC123}"
        ),
        ("identity: {dmi-serial: ABC123}", "identity: ABC123"),
        ("name: rack\n", ""),
        ("  interface: xtap0\n", ""),
    ]));
}

#[test]
fn lab_values() {
    snapshot!(lab_messages(&[
        ("name: u1", "name: box"),
        ("name: u1", "name: controller"),
        ("name: u1", "name: u 1"),
        ("address: 198.18.0.2", "address: 198.18.0.1"),
        ("address: 198.18.0.2", "address: 198.18.0.254"),
        ("address: 198.18.0.2", "address: u1.example"),
        (
            "address: 198.18.0.2",
            "address: 198.18.0.2\n    address6: 198.18.0.3"
        ),
        ("mac: 02:00:00:00:00:01", "mac: 00:16:3e:00:00:01"),
        (
            "interface: enX0\n    mac: 00:16:3e:00:00:02",
            "interface: enX0\n    mac: 00:16:3E:00:00:0G"
        ),
        // Upper case is the same address, and so a double.
        ("mac: 02:00:00:00:00:01", "mac: 00-16-3E-00-00-01"),
        (
            "interface: enX0\n    mac: 00:16:3e:00:00:02",
            "interface: enX0\n    mac: 01:16:3e:00:00:02"
        ),
        (
            "identity: {mac: '00:16:3e:00:00:02'}",
            "identity: {mac: '00:16:3e'}"
        ),
        (
            "identity: {dmi-serial: ABC123}",
            "identity: {dmi-serial: ' '}"
        ),
        ("interface: enX0", "interface: a-name-of-16-chr"),
        ("on: box", "on: bax"),
        ("on: box", "on: u1"),
        ("    on: box\n", ""),
        ("role: dom0", "role: guest"),
        ("role: dom0", "role: dom0\n    on: box"),
        ("role: dom0", "role: dom0\n    port: 0"),
        ("role: dom0", "role: dom0\n    port: 70000"),
        ("role: dom0", "role: dom0\n    user: admin"),
        ("key: keys/rack", "key: ''"),
        (
            "host_key: ssh-ed25519 AAAA",
            "host_key: box ssh-ed25519 AAAA"
        ),
        ("host_key: ssh-ed25519 AAAA", "host_key: SHA256:AAAA"),
    ]));
}

#[test]
fn a_file_that_is_not_there() {
    let error = message(Scenario::load("/nowhere/s.yaml"));
    insta::assert_snapshot!(error, @"cannot read the scenario file /nowhere/s.yaml: No such file or directory (os error 2); give the path of a readable YAML file");
}

#[test]
fn keys_lie_beside_the_lab_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lab.yaml");
    std::fs::write(&file, GOOD_LAB).expect("written");
    let lab = Lab::load(&file).expect("a good lab");
    assert_eq!(lab.hosts[0].key, folder.path().join("keys/rack"));
}

#[test]
fn what_is_written_is_read_back() {
    let lab = Lab::parse(GOOD_LAB, "l.yaml").expect("a good lab");
    let text = lab.to_yaml().expect("UTF-8");
    assert_eq!(Lab::parse(&text, "again.yaml").expect("our own text"), lab);
    let scenario = Scenario::parse(GOOD, "s.yaml").expect("a good scenario");
    let text = scenario.to_yaml().expect("UTF-8");
    assert_eq!(
        Scenario::parse(&text, "again.yaml").expect("our own text"),
        scenario
    );
}

proptest! {
    /// Whatever is done to a file: it is read, or it is refused with its name and a word on what to do.
    #[test]
    fn a_mangled_file_is_never_a_panic(at in 0..900_usize, drop in 0..40_usize, insert in "[-a-z0-9:{}\\[\\]&*!'\" \\n/.]{0,6}") {
        for good in [GOOD, GOOD_LAB] {
            let (at, end) = (at.min(good.len()), (at + drop).min(good.len()));
            let text = format!("{}{insert}{}", &good[..at], &good[end..]);
            for result in [Scenario::parse(&text, "f.yaml").map(drop_value), Lab::parse(&text, "f.yaml").map(drop_value)] {
                if let Err(error) = result {
                    let message = error.to_string();
                    prop_assert!(!error.faults().is_empty());
                    prop_assert!(message.lines().next().is_some_and(|line| line.starts_with("f.yaml:") && line.contains("; ")), "{}", message);
                }
            }
        }
    }
}

fn drop_value<T>(_: T) {}

#[test]
fn mac_addresses_are_taken_in_any_case_and_kept_in_one() {
    let text = GOOD_LAB
        .replace("mac: 00:16:3e:00:00:02", "mac: 00:16:3E:AB:CD:02")
        .replace("{mac: '00:16:3e:00:00:02'}", "{mac: '00-16-3E-AB-CD-02'}")
        .replace("mac: 02:00:00:00:00:01", "mac: 02-0A-0b-00-00-01");
    let lab = Lab::parse(&text, "l.yaml").expect("a good lab");
    assert_eq!(lab.hosts[1].mac, "00:16:3e:ab:cd:02");
    assert_eq!(
        lab.hosts[1].identity,
        Identity::Mac("00:16:3e:ab:cd:02".to_owned())
    );
    let controller = lab.controller.expect("a controller");
    assert_eq!(controller.mac, "02:0a:0b:00:00:01");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let good = Scenario::parse(GOOD, "s.yaml").expect("a good scenario");
    let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(Scenario::parse(&windows, "s.yaml").expect("the same"), good);
    let lab = format!("\u{feff}{GOOD_LAB}");
    assert_eq!(
        Lab::parse(&lab, "l.yaml").expect("the same"),
        Lab::parse(GOOD_LAB, "l.yaml").expect("a good lab")
    );
    // Faults have the place that an editor shows.
    let marked = format!("\u{feff}{}", GOOD.replacen("name: small", "nmae: small", 1));
    assert!(message(Scenario::parse(&marked, "s.yaml")).starts_with("s.yaml:1:1: unknown key"));
}

/// Whole numbers written as other things.
#[test]
fn what_is_no_whole_number_is_said_in_words() {
    snapshot!(scenario_messages(&[
        ("blocks: 5", "blocks: 2.0"),
        ("blocks: 5", "blocks: 2.5"),
        ("blocks: 5", "blocks: 1e1"),
        ("blocks: 5", "blocks: .inf"),
        ("blocks: 5", "blocks: -1.0"),
        ("blocks: 5", "blocks: '5'"),
        ("blocks: 5", "blocks: 5 000"),
        ("blocks: 5", "blocks: 4294967296"),
        ("blocks: 5", "blocks: 99999999999999999999999"),
        ("blocks: 5", "blocks: true"),
        ("blocks: 5", "blocks:"),
        ("blocks: 5", "blocks: [5]"),
        ("blocks: 5", "blocks: {n: 5}"),
        ("{name: stock}", "{name: [stock]}"),
        ("{name: stock}", "stock"),
        ("protocol: udp", "protocol: [udp]"),
        ("protocol: udp", "protocol: {udp: 4}"),
        ("{poisson: {rate: 2000/s}}", "[poisson]"),
        ("{poisson: {rate: 2000/s}}", "{}"),
        ("{poisson: {rate: 2000/s}}", "{poisson: 2000/s}"),
        ("name: small-packets", "name: &n [*n]"),
        ("name: small-packets", "name: *unknown"),
    ]));
}
