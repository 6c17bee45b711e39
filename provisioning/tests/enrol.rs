//! Enrolment against a real server: the key it shows, and what it says of itself.

mod support;

use std::net::SocketAddr;
use std::path::Path;

use support::{ADDRESS, LONG, PORT, Sshd};
use vifbench_provisioning::enrol::{Enrolment, Seen, fetch_host_key, identify, verify};
use vifbench_provisioning::host::HostError;
use vifbench_provisioning::keys::HostKey;
use vifbench_scenarios::lab::{Identity, Lab};
use vifbench_testing::{Need, needs};

#[test]
fn only_the_enrolled_machine_passes() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut host = sshd.host();
    // `lo` has this address everywhere.
    verify(&mut host, &sshd.spec, LONG).expect("the enrolled one");
    let mut spec = sshd.spec.clone();
    spec.identity = Identity::Mac("02:00:00:00:00:01".into());
    match verify(&mut host, &spec, LONG) {
        Err(error @ HostError::NotEnrolled { .. }) => {
            let text = error.to_string();
            assert!(
                text.contains("02:00:00:00:00:01") && text.contains("00:00:00:00:00:00"),
                "{text}"
            );
            assert!(text.contains("nothing was changed"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    spec.interface = "eth; touch /nowhere".into();
    match verify(&mut host, &spec, LONG) {
        Err(HostError::NotEnrolled { got, .. }) => assert!(got.contains("No such file"), "{got}"),
        other => panic!("{other:?}"),
    }
    let serial = std::fs::read_to_string("/sys/class/dmi/id/product_serial");
    let serial = serial.map_or_else(|_| "none".into(), |s| s.trim().to_owned());
    spec.identity = Identity::DmiSerial(serial);
    let there = Path::new("/sys/class/dmi/id/product_serial").exists();
    assert_eq!(verify(&mut host, &spec, LONG).is_ok(), there);
}

#[test]
fn the_shown_key_is_fetched_without_logging_in_and_the_lines_fit_a_lab_file() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let address = SocketAddr::new(ADDRESS.into(), PORT);
    let netns = Some(sshd.netns.name.as_str());
    let key = fetch_host_key(&sshd.spec.name, address, netns, LONG, None).expect("shown");
    assert_eq!(Ok(&key), sshd.spec.host_key.parse::<HostKey>().as_ref());
    assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());

    let seen = identify(&mut sshd.host(), "lo", LONG).expect("says");
    assert_eq!(seen.mac, "00:00:00:00:00:00");
    for seen in [
        Seen {
            serial: Some("it's: 0123".into()),
            mac: "02:00:00:00:00:01".into(),
        },
        Seen {
            serial: None,
            mac: "02:00:00:00:00:01".into(),
        },
    ] {
        let enrolment = Enrolment {
            host_key: key.clone(),
            seen,
        };
        let text = format!(
            "name: l\nhosts:\n  - name: h\n    role: dom0\n    address: 198.18.0.1\n    key: k\n    \
             interface: eth0\n    bridge: br0\n{enrolment}\n"
        );
        // Other rules of a lab file (a guest, a generator) are not this test's concern.
        let lab = match Lab::parse(&text, "enrolled") {
            Ok(lab) => lab,
            Err(error) => {
                let text = error.to_string();
                assert!(
                    !text.contains("host_key") && !text.contains("identity"),
                    "{text}"
                );
                continue;
            }
        };
        assert_eq!(lab.hosts[0].identity, enrolment.identity());
        assert_eq!(lab.hosts[0].host_key, key.to_string());
    }
}
