//! One short name for all that a run was measured with.

use serde::Serialize;
use vifbench_store::{RunRecord, TrialRecord};

/// What makes a ruler. The modules under test are no part of it, nor is what differs between boots.
#[derive(Serialize)]
struct Facts<'a> {
    vifbench: &'a str,
    is_virtual: bool,
    hosts: Vec<(&'a str, HostFacts<'a>)>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct HostFacts<'a> {
    kernel: &'a str,
    clocksource: &'a str,
    xen: Option<&'a str>,
    cpu: &'a str,
    libpcap: &'a str,
    interfaces: Vec<(String, &'a str, &'a str)>,
}

/// The ruler of a run: ten hex digits, the same for the same versions, CPUs, NICs and settings. Of a run without a
/// finished trial `unknown`; of one whose trials differ, the names of all of them.
pub fn of(run: &RunRecord, trials: &[&TrialRecord]) -> String {
    let mut names: Vec<String> = Vec::new();
    for trial in trials.iter().filter(|t| !t.rulers.is_empty()) {
        let mut hosts: Vec<(&str, HostFacts<'_>)> = trial
            .rulers
            .iter()
            .map(|(host, ruler)| {
                let mut interfaces: Vec<_> = ruler
                    .interfaces
                    .iter()
                    .map(|(i, p, v)| (without_domid(i), p.as_str(), v.as_str()))
                    .collect();
                interfaces.sort();
                interfaces.dedup();
                let facts = HostFacts {
                    kernel: &ruler.kernel,
                    clocksource: &ruler.clocksource,
                    xen: ruler.xen.as_deref(),
                    cpu: &ruler.cpu,
                    libpcap: &ruler.libpcap,
                    interfaces,
                };
                (host.as_str(), facts)
            })
            .collect();
        hosts.sort();
        let facts = Facts {
            vifbench: &run.vifbench,
            is_virtual: run.lab.is_virtual,
            hosts,
        };
        // Strings and lists of them always have a form as JSON.
        let Ok(text) = serde_json::to_vec(&facts) else {
            continue;
        };
        let name = blake3::hash(&text).to_hex()[..10].to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        "unknown".to_owned()
    } else {
        names.sort();
        names.join("+")
    }
}

/// `vif7.0` is `vif.0` after the next boot of the guest.
fn without_domid(interface: &str) -> String {
    match interface.strip_prefix("vif") {
        Some(rest) => format!(
            "vif{}",
            rest.trim_start_matches(|c: char| c.is_ascii_digit())
        ),
        None => interface.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domid_is_no_part_of_the_ruler() {
        assert_eq!(without_domid("vif12.0"), "vif.0");
        assert_eq!(without_domid("enp0s2"), "enp0s2");
    }
}
