//! The lab's network namespace: the controller's end of the cable, and nothing else. Nothing is routed out of it.

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::LabError;
use super::machines::Machine;

/// The tap: QEMU holds one end, the controller's address is on the other.
pub const TAP: &str = "vbtap0";

/// Makes the namespace, the tap and the permanent neighbours, so that neither ARP nor neighbour discovery runs.
pub fn create(netns: &str, controller: &Machine, others: &[Machine]) -> Result<(), LabError> {
    run(&["netns", "add", netns], "")?;
    // No router solicitation and no link-local address: the tap carries what is asked for and nothing else.
    let quiet = [
        "net.ipv6.conf.default.accept_dad=0",
        "net.ipv6.conf.default.accept_ra=0",
        "net.ipv6.conf.default.router_solicitations=0",
        "net.ipv6.conf.default.addr_gen_mode=1",
    ];
    let mut sysctl = vec!["netns", "exec", netns, "sysctl", "-q", "-w"];
    sysctl.extend(quiet);
    run(&sysctl, "")?;

    let mut batch = format!(
        "link set lo up\n\
         tuntap add {TAP} mode tap\n\
         link set {TAP} address {} up\n\
         addr add {}/24 dev {TAP}\n\
         addr add {}/64 dev {TAP} nodad\n",
        controller.mac, controller.address, controller.address6
    );
    for machine in others {
        for address in [machine.address.to_string(), machine.address6.to_string()] {
            // Writing to a String cannot fail.
            let _ok = writeln!(
                batch,
                "neigh replace {address} lladdr {} nud permanent dev {TAP}",
                machine.mac
            );
        }
    }
    run(&["-n", netns, "-batch", "-"], &batch)
}

/// Does the namespace exist?
pub fn exists(netns: &str) -> bool {
    Path::new("/run/netns").join(netns).exists()
}

/// Removes the namespace with all that is in it.
pub fn remove(netns: &str) -> Result<(), LabError> {
    if exists(netns) {
        run(&["netns", "del", netns], "")?;
    }
    Ok(())
}

fn run(arguments: &[&str], input: &str) -> Result<(), LabError> {
    let failed = |why: String| LabError::Command {
        doing: format!("set up the lab's network with `ip {}`", arguments.join(" ")),
        why,
    };
    let mut child = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .map_err(|error| failed(error.to_string()))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(failed(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vifbench_testing::{Need, needs};

    #[test]
    fn the_namespace_comes_and_goes() {
        needs!(Need::Root, Need::Program("ip"));
        let netns = format!("vb-lab-net-{}", std::process::id());
        let machine = |n: u16| Machine {
            name: format!("m{n}"),
            address: [198, 18, 0, n as u8].into(),
            address6: [0x2001, 2, 0, 0, 0, 0, 0, n].into(),
            mac: format!("02:00:5e:12:00:{n:02x}"),
        };
        create(&netns, &machine(1), &[machine(2)]).expect("created");
        let shown = Command::new("ip")
            .args(["-n", &netns, "-br", "addr", "show", "dev", TAP])
            .output()
            .expect("ip runs");
        let routes = Command::new("ip")
            .args(["-n", &netns, "route"])
            .output()
            .expect("ip runs");
        remove(&netns).expect("removed");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(shown.contains("198.18.0.1/24"), "{shown}");
        assert!(shown.contains("2001:2::1/64"), "{shown}");
        assert!(!shown.contains("fe80"), "{shown}");
        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
        assert!(!routes.contains("default"), "{routes}");
        assert!(!exists(&netns));
        remove(&netns).expect("removing what is gone is no error");
    }
}
