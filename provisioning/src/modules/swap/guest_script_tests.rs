//! The part of `swap-guest.sh` that brings a network back, on an interface that really goes and comes.

use super::*;
use crate::local::LocalHost;
use vifbench_testing::{Need, needs};

const DEADLINE: Duration = Duration::from_secs(30);

/// A namespace of this test's own.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Self {
        let name = format!("vb-modules-{name}-{}", std::process::id());
        here()
            .check(&format!("ip netns add {name}"), DEADLINE)
            .expect("root, and iproute2");
        Self(name)
    }
    fn run(&self, command: &str) -> String {
        let mut host = LocalHost::new(HostName("the namespace".to_owned())).in_netns(&self.0);
        let output = host
            .run(&format!("set -e; {command}"), DEADLINE)
            .expect("runs");
        assert_eq!(
            output.status,
            0,
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.text()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = here().check(&format!("ip netns del {}", self.0), DEADLINE) {
            eprintln!("the namespace {} is left: {error}", self.0);
        }
    }
}

fn here() -> LocalHost {
    LocalHost::new(HostName("this machine".to_owned()))
}

/// Makes the interface as a driver would: a MAC, and nothing else.
const MAKE: &str =
    "ip link add dev v0 address 02:00:5e:00:53:01 type veth peer name p0 && ip link set p0 up";

/// What a person has set on it.
const SET_UP: &str = "
    ip link set v0 mtu 1400 txqueuelen 77
    echo 1 > /proc/sys/net/ipv4/conf/v0/rp_filter
    echo 16 > /proc/sys/net/ipv4/conf/v0/force_igmp_version 2>/dev/null || true
    echo 0 > /proc/sys/net/ipv6/conf/v0/accept_ra
    ip link set v0 up
    ip addr add 198.18.5.1/24 brd + dev v0
    ip addr add 198.18.5.7/24 dev v0 label v0:seven
    ip addr add 198.18.7.1 peer 198.18.7.2/32 dev v0
    ip -6 addr add 2001:2:0:5::1/64 dev v0 nodad
    ip route add 198.18.6.0/24 via 198.18.5.9 dev v0 metric 50
    ip route add default via 198.18.5.254 dev v0
    ip route add 198.18.8.0/24 dev v0 table 77
    ip -6 route add 2001:2:0:6::/64 via 2001:2:0:5::9 dev v0
    ip neigh add 198.18.5.9 lladdr 02:00:5e:00:53:09 nud permanent dev v0
    ip -6 neigh add 2001:2:0:5::9 lladdr 02:00:5e:00:53:09 nud permanent dev v0
    ethtool -K v0 tx-checksum-ip-generic off 2>/dev/null || true";

/// All of it, without what is new with the interface: its number, and the link-local address.
const SHOW: &str = "
    ip -o link show dev v0 | sed 's/^[0-9]*: //; s/@if[0-9]*//; s/@p0//'
    ip -o addr show dev v0 | grep -v 'scope link' | sed 's/^[0-9]*: //'
    ip -4 route show table all dev v0 | sort
    ip -6 route show table all dev v0 | grep -v fe80 | sort
    ip neigh show dev v0 nud permanent | sort
    grep -H . /proc/sys/net/ipv4/conf/v0/* /proc/sys/net/ipv6/conf/v0/* 2>/dev/null | grep -v 'tempaddr\\|stable_secret'
    ethtool -k v0 | grep tx-checksum";

#[test]
fn a_network_comes_back_as_it_was() {
    needs!(Need::Root, Need::Program("ip"));
    let namespace = Namespace::new("net");
    let folder = tempfile::tempdir().expect("temporary folder");
    let script = folder.path().join(GUEST.0);
    std::fs::write(&script, GUEST.1.replace(SOURCE_COMMON, COMMON)).expect("write");
    let script = script.display();
    let kept = folder.path().join("kept");
    let kept = kept.display();

    namespace.run(MAKE);
    let bare = namespace.run(SHOW);
    namespace.run(SET_UP);
    let before = namespace.run(SHOW);
    for part in [
        "mtu 1400",
        "v0:seven",
        "table 77",
        "2001:2:0:6::/64",
        "02:00:5e:00:53:09 PERMANENT",
        "rp_filter:1",
    ] {
        assert!(
            before.contains(part) && !bare.contains(part),
            "{part} was not set:\n{before}"
        );
    }
    namespace.run(&format!("sh {script} record v0 {kept}; ip link del v0"));
    namespace.run(MAKE);
    let said = namespace.run(&format!("sh {script} restore v0 {kept}"));
    assert_eq!(said, "", "the script complains");
    let after = namespace.run(SHOW);
    assert_eq!(
        before.lines().collect::<Vec<_>>(),
        after.lines().collect::<Vec<_>>()
    );

    // A second time, over what is there: nothing changes, nothing complains.
    let said = namespace.run(&format!("sh {script} restore v0 {kept}"));
    assert_eq!((said.as_str(), namespace.run(SHOW)), ("", after));
}

#[test]
fn both_scripts_are_posix() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, text) in [DOM0, GUEST] {
        assert!(
            text.contains(SOURCE_COMMON),
            "{name} takes in the common part"
        );
        let path = folder.path().join(name);
        std::fs::write(&path, text.replace(SOURCE_COMMON, COMMON)).expect("write");
        here()
            .check(&format!("dash -n {}", path.display()), DEADLINE)
            .expect("dash reads it");
    }
}
