//! Containers that aggregation would have formed, from the shadow accounting of a patched netback
//! (`vendor-patches/linux-6.1`). All names of its counters are in this file.

use serde::{Deserialize, Serialize};
use vifbench_probes::protocol::{Counters, Point, ProbeResult};

/// `ethtool -S`: containers that would have been sent; the sum of the next three.
const CONTAINERS: &str = "rx_agg_containers";
/// `ethtool -S`: of them released because they were full.
const FULL: &str = "rx_agg_full";
/// `ethtool -S`: of them released when the hold time was over.
const TIMEOUT: &str = "rx_agg_timeout";
/// `ethtool -S`: of them released by a frame that bypassed them.
const BYPASS: &str = "rx_agg_bypass";
/// `ethtool -S`: frames in those containers.
const FRAMES: &str = "rx_agg_frames";
/// `ethtool -S`: frames that no container would have taken.
const BYPASS_FRAMES: &str = "rx_agg_bypass_frames";
/// debugfs `xen-netback/vifX.Y/agg_qN`: the time that frames would have waited, summed up.
const WAIT_NS: &str = "wait_ns";

/// What one vif would have sent, over the whole trial with its warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WouldBe {
    /// The vif.
    pub interface: String,
    /// The guest behind it; none where no capture names it.
    pub guest: Option<String>,
    /// Frames in containers.
    pub frames: u64,
    /// Containers that would have been sent.
    pub containers: u64,
    /// Of them full.
    pub full: u64,
    /// Of them at the end of the hold time.
    pub timeout: u64,
    /// Of them because another frame bypassed them.
    pub bypass: u64,
    /// Frames that would have gone past the containers.
    pub bypass_frames: u64,
    /// Frames in a container; none without a container.
    pub per_container: Option<f64>,
    /// Mean time that a frame would have waited in its container; none where debugfs was not read.
    pub mean_wait_ns: Option<f64>,
}

/// From the counters of all hosts; empty where no vif has them (stock modules).
pub fn would_be(results: &[(String, ProbeResult)]) -> Vec<WouldBe> {
    let mut found = Vec::new();
    for (_, result) in results {
        for (interface, counter, _) in &result.after.interfaces {
            if counter != CONTAINERS {
                continue;
            }
            let grown = |counter: &str| {
                let after = read(&result.after, interface, counter)?;
                Some(after.saturating_sub(read(&result.before, interface, counter)?))
            };
            let (Some(containers), Some(frames)) = (grown(CONTAINERS), grown(FRAMES)) else {
                continue;
            };
            let wait = waited(&result.after, interface)
                .zip(waited(&result.before, interface))
                .map(|(after, before)| after.saturating_sub(before));
            let guest = result
                .captures
                .iter()
                .map(|c| &c.ready.spec)
                .find(|spec| spec.point == Point::Vif && spec.interface == *interface)
                .and_then(|spec| spec.guest.clone());
            found.push(WouldBe {
                interface: interface.clone(),
                guest,
                frames,
                containers,
                full: grown(FULL).unwrap_or_default(),
                timeout: grown(TIMEOUT).unwrap_or_default(),
                bypass: grown(BYPASS).unwrap_or_default(),
                bypass_frames: grown(BYPASS_FRAMES).unwrap_or_default(),
                per_container: (containers > 0).then(|| frames as f64 / containers as f64),
                mean_wait_ns: wait
                    .filter(|_| frames > 0)
                    .map(|w| w as f64 / frames as f64),
            });
        }
    }
    found
}

fn read(counters: &Counters, interface: &str, counter: &str) -> Option<u64> {
    counters
        .interfaces
        .iter()
        .find(|(i, c, _)| i == interface && c == counter)
        .map(|(_, _, value)| *value)
}

/// Sum over the queues of a vif; none where no queue's file was kept.
fn waited(counters: &Counters, interface: &str) -> Option<u64> {
    let mut sum = None;
    for (path, text) in &counters.files {
        let of_vif = path
            .parent()
            .and_then(|p| p.file_name())
            .is_some_and(|n| n == interface);
        let of_queue = path
            .file_name()
            .and_then(|n| n.to_str())
            .is_some_and(|n| n.starts_with("agg_q"));
        let Some(text) = text.as_deref().filter(|_| of_vif && of_queue) else {
            continue;
        };
        let value = text.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            if name == WAIT_NS {
                value.trim().parse::<u64>().ok()
            } else {
                None
            }
        });
        sum = value.map(|v| v.saturating_add(sum.unwrap_or(0))).or(sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn counters(frames: u64, containers: u64, wait: &str) -> Counters {
        let path = |q: u32| PathBuf::from(format!("/sys/kernel/debug/xen-netback/vif1.0/agg_q{q}"));
        Counters {
            interfaces: vec![
                ("vif1.0".into(), FRAMES.into(), frames),
                ("vif1.0".into(), CONTAINERS.into(), containers),
                ("vif1.0".into(), "rx_gso_checksum_fixup".into(), 9),
            ],
            files: vec![
                (
                    path(0),
                    Some(format!("shadow 1\nwait_ns {wait}\nhist_used 0 1 2\n")),
                ),
                (path(1), Some("wait_ns 5\n".into())),
                (path(2), None),
            ],
            ..Counters::default()
        }
    }

    #[test]
    fn the_growth_of_the_counters_is_what_counts() {
        let result = ProbeResult {
            before: counters(100, 10, "1000"),
            after: counters(1100, 60, "501000"),
            ..ProbeResult::default()
        };
        let found = would_be(&[("dom0".into(), result)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].frames, found[0].containers), (1000, 50));
        assert_eq!(found[0].per_container, Some(20.0));
        assert_eq!(found[0].mean_wait_ns, Some(500.0));
    }

    #[test]
    fn nothing_is_made_up_where_the_counters_are_not() {
        assert!(would_be(&[("dom0".into(), ProbeResult::default())]).is_empty());
        let mut after = counters(5, 0, "not a number");
        after.files.truncate(1);
        let result = ProbeResult {
            before: after.clone(),
            after,
            ..ProbeResult::default()
        };
        let found = would_be(&[("dom0".into(), result)]);
        assert_eq!(found[0].per_container, None);
        assert_eq!(found[0].mean_wait_ns, None);
    }
}
