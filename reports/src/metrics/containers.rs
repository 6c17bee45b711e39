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

/// debugfs: histograms, one line a bucket that is not empty: name, lowest and highest value, count.
const FILL: &str = "hist_used";
const IN_EACH: &str = "hist_frames";
const HOLD: &str = "hist_hold_ns";

/// How full containers were and how long they were held, all vifs and queues of a host together, over the whole trial
/// with its warm-up. Of would-be containers under shadow accounting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histograms {
    /// Bytes in a container.
    pub fill_bytes: Vec<Bucket>,
    /// Frames in a container.
    pub frames: Vec<Bucket>,
    /// From the opening of a container to its release, in nanoseconds.
    pub hold_ns: Vec<Bucket>,
}

/// How many values lay between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Lowest value.
    pub from: u64,
    /// Highest value.
    pub to: u64,
    /// How many.
    pub count: u64,
}

/// From the counters of all hosts; empty where no vif has them.
pub fn histograms(results: &[(String, ProbeResult)]) -> Histograms {
    let of = |name: &str| {
        let mut buckets: Vec<Bucket> = Vec::new();
        for (_, result) in results {
            let before = buckets_of(&result.before, name);
            for (path, bucket) in buckets_of(&result.after, name) {
                let was = before
                    .iter()
                    .find(|(p, b)| *p == path && (b.from, b.to) == (bucket.from, bucket.to))
                    .map_or(0, |(_, b)| b.count);
                add(
                    &mut buckets,
                    Bucket {
                        count: bucket.count.saturating_sub(was),
                        ..bucket
                    },
                );
            }
        }
        buckets.retain(|b| b.count > 0);
        buckets
    };
    Histograms {
        fill_bytes: of(FILL),
        frames: of(IN_EACH),
        hold_ns: of(HOLD),
    }
}

/// Adds a bucket's count to the bucket of the same values.
pub fn add(buckets: &mut Vec<Bucket>, more: Bucket) {
    match buckets.binary_search_by_key(&more.from, |b| b.from) {
        Ok(place) => buckets[place].count = buckets[place].count.saturating_add(more.count),
        Err(place) => buckets.insert(place, more),
    }
}

/// A histogram's lines in all files of queues; lines that are none are left out, as they are not ours.
fn buckets_of<'c>(counters: &'c Counters, name: &str) -> Vec<(&'c std::path::Path, Bucket)> {
    let mut found = Vec::new();
    for (path, text) in &counters.files {
        for line in text.iter().flat_map(|text| text.lines()) {
            let mut words = line.split_ascii_whitespace();
            if words.next() != Some(name) {
                continue;
            }
            let numbers: Vec<u64> = words.filter_map(|w| w.parse().ok()).collect();
            if let [from, to, count] = numbers[..] {
                found.push((path.as_path(), Bucket { from, to, count }));
            }
        }
    }
    found
}

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
    fn histograms_grow_by_bucket() {
        let result = |after: &str| ProbeResult {
            before: counters(0, 0, "1\nhist_used 64 127 7\nhist_hold_ns 0 1 2"),
            after: counters(0, 0, after),
            ..ProbeResult::default()
        };
        let text = "1\nhist_used 64 127 10\nhist_used 32 63 1\nhist_used 1 2\nhist_hold_ns 0 1 2";
        let found = histograms(&[("dom0".into(), result(text)), ("d2".into(), result(text))]);
        let bucket = |from, to, count| Bucket { from, to, count };
        assert_eq!(found.fill_bytes, [bucket(32, 63, 2), bucket(64, 127, 6)]);
        assert!(found.hold_ns.is_empty(), "nothing was held in the trial");
        // The helper's own line of every file: `hist_used 0 1 2`, the same before and after.
        assert!(found.frames.is_empty());
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
