//! What a patched netback (`vendor-patches`) says of packets to guests: the containers that were sent, or that aggregation
//! would have formed (shadow accounting), and what the packets cost. All names of its counters are in this file.

use serde::{Deserialize, Serialize};
use vifbench_wire::protocol::{Counters, Point, ProbeResult};

/// `ethtool -S`: containers; the sum of the next four.
const CONTAINERS: &str = "rx_agg_containers";
/// `ethtool -S`: of them released because they were full.
const FULL: &str = "rx_agg_full";
/// `ethtool -S`: of them released when the hold time was over.
const TIMEOUT: &str = "rx_agg_timeout";
/// `ethtool -S`: of them released by a frame that bypassed them.
const BYPASS: &str = "rx_agg_bypass";
/// `ethtool -S`: of them not held: what had queued up.
const BACKLOG: &str = "rx_agg_backlog";
/// `ethtool -S`: frames in those containers.
const FRAMES: &str = "rx_agg_frames";
/// `ethtool -S`: frames that no container took.
const BYPASS_FRAMES: &str = "rx_agg_bypass_frames";
/// `ethtool -S`: ring slots that packets to the guest took, in containers or not.
const SLOTS: &str = "rx_slots";
/// `ethtool -S`: grant copies of these packets.
const COPIES: &str = "rx_copy_ops";
/// `ethtool -S`: hypercalls that these copies were made by.
const HYPERCALLS: &str = "rx_copy_calls";
/// `ethtool -S`: events sent to the guest for them.
const EVENTS: &str = "rx_notify";
/// `/sys/class/net/vifX.Y/statistics`: packets that the vif was given for the guest.
const PACKETS: &str = "link_tx_packets";
/// debugfs `xen-netback/vifX.Y/agg_qN`: the time that frames waited, summed up.
const WAIT_NS: &str = "wait_ns";
/// debugfs `xen-netback/vifX.Y/agg_qN`: what is done with frames.
const MODE: &str = "mode";

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

/// Whether the containers were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Formed {
    /// They were sent.
    Sent,
    /// Packets were held as for containers, and sent one by one.
    Held,
    /// They would have formed: shadow accounting.
    WouldBe,
    /// There were none: the vif does as the packaged drivers do.
    No,
}

/// What one vif did, over the whole trial with its warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Containers {
    /// The vif.
    pub interface: String,
    /// The guest behind it; none where no capture names it.
    pub guest: Option<String>,
    /// Whether the containers were there.
    pub formed: Formed,
    /// Frames in containers.
    pub frames: u64,
    /// Containers.
    pub containers: u64,
    /// Of them full.
    pub full: u64,
    /// Of them at the end of the hold time.
    pub timeout: u64,
    /// Of them because another frame bypassed them.
    pub bypass: u64,
    /// Of them not held: what had queued up.
    pub backlog: u64,
    /// Frames that went past the containers.
    pub bypass_frames: u64,
    /// Frames in a container; none without a container.
    pub per_container: Option<f64>,
    /// Mean time that a frame waited in its container; none where debugfs was not read.
    pub mean_wait_ns: Option<f64>,
    /// What a packet cost; none where the patches do not count it.
    pub costs: Option<Costs>,
}

/// What the packets to a guest took, by packet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Packets that the vif was given.
    pub packets: u64,
    /// Ring slots a packet; the packaged drivers take one at least.
    pub slots: f64,
    /// Grant copies a packet; the packaged drivers make one at least.
    pub copies: f64,
    /// Hypercalls for grant copies a packet.
    pub hypercalls: f64,
    /// Events to the guest a packet.
    pub events: f64,
}

impl Costs {
    /// Of several vifs or trials together; none of none.
    pub fn of_all(all: &[Self]) -> Option<Self> {
        let packets: u64 = all.iter().map(|c| c.packets).sum();
        let mean = |each: fn(&Self) -> f64| {
            all.iter().map(|c| each(c) * c.packets as f64).sum::<f64>() / packets as f64
        };
        (packets > 0).then(|| Self {
            packets,
            slots: mean(|c| c.slots),
            copies: mean(|c| c.copies),
            hypercalls: mean(|c| c.hypercalls),
            events: mean(|c| c.events),
        })
    }
}

/// From the counters of all hosts; empty where no vif has them (packaged modules).
pub fn containers(results: &[(String, ProbeResult)]) -> Vec<Containers> {
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
            // The guest's end counts what it was sent by the same names, but not by reason.
            let (Some(containers), Some(frames), Some(timeout)) =
                (grown(CONTAINERS), grown(FRAMES), grown(TIMEOUT))
            else {
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
            let costs = grown(PACKETS)
                .filter(|packets| *packets > 0)
                .and_then(|packets| {
                    let each = |counter| Some(grown(counter)? as f64 / packets as f64);
                    Some(Costs {
                        packets,
                        slots: each(SLOTS)?,
                        copies: each(COPIES)?,
                        hypercalls: each(HYPERCALLS)?,
                        events: each(EVENTS)?,
                    })
                });
            found.push(Containers {
                interface: interface.clone(),
                guest,
                formed: formed(&result.after, interface),
                frames,
                containers,
                full: grown(FULL).unwrap_or_default(),
                timeout,
                bypass: grown(BYPASS).unwrap_or_default(),
                backlog: grown(BACKLOG).unwrap_or_default(),
                bypass_frames: grown(BYPASS_FRAMES).unwrap_or_default(),
                per_container: (containers > 0).then(|| frames as f64 / containers as f64),
                mean_wait_ns: wait
                    .filter(|_| frames > 0)
                    .map(|w| w as f64 / frames as f64),
                costs,
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

/// A line of each debugfs file of a vif's queues.
fn lines<'c>(counters: &'c Counters, interface: &str, name: &str) -> Vec<&'c str> {
    counters
        .files
        .iter()
        .filter(|(path, _)| {
            let of_vif = path
                .parent()
                .and_then(|p| p.file_name())
                .is_some_and(|n| n == interface);
            let of_queue = path
                .file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.starts_with("agg_q"));
            of_vif && of_queue
        })
        .filter_map(|(_, text)| {
            text.as_deref()?.lines().find_map(|line| {
                let (found, value) = line.split_once(' ')?;
                (found == name).then(|| value.trim())
            })
        })
        .collect()
}

/// What is done with frames. The patch that only accounts has no word for it.
fn formed(counters: &Counters, interface: &str) -> Formed {
    match lines(counters, interface, MODE).first() {
        Some(&"containers") => Formed::Sent,
        Some(&"hold") => Formed::Held,
        Some(&"plain") => Formed::No,
        _ => Formed::WouldBe,
    }
}

/// Sum over the queues of a vif; none where no queue's file was kept.
fn waited(counters: &Counters, interface: &str) -> Option<u64> {
    lines(counters, interface, WAIT_NS)
        .into_iter()
        .filter_map(|value| value.parse::<u64>().ok())
        .reduce(u64::saturating_add)
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
                ("vif1.0".into(), TIMEOUT.into(), 0),
                ("eth0".into(), FRAMES.into(), frames),
                ("eth0".into(), CONTAINERS.into(), containers),
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
        let found = containers(&[("dom0".into(), result)]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].frames, found[0].containers), (1000, 50));
        assert_eq!(found[0].per_container, Some(20.0));
        assert_eq!(found[0].mean_wait_ns, Some(500.0));
        assert_eq!(found[0].formed, Formed::WouldBe);
        assert_eq!(found[0].costs, None, "the first patch counts no slots");
    }

    #[test]
    fn costs_are_by_packet_of_the_vif() {
        let with = |grown: u64| {
            let mut all = counters(grown * 56, grown, "7");
            let each = [
                (PACKETS, grown * 60),
                (SLOTS, grown * 5),
                (COPIES, grown * 6),
                (HYPERCALLS, grown * 3),
                (EVENTS, grown),
            ];
            for (name, value) in each {
                all.interfaces.push(("vif1.0".into(), name.into(), value));
            }
            all.files[0].1 = Some("mode containers\nwait_ns 7\n".into());
            all
        };
        let result = ProbeResult {
            before: with(10),
            after: with(110),
            ..ProbeResult::default()
        };
        let found = containers(&[("dom0".into(), result)]);
        assert_eq!(found[0].formed, Formed::Sent);
        let costs = found[0].costs.expect("all counters are there");
        assert_eq!(costs.packets, 6000);
        assert!((costs.slots - 5.0 / 60.0).abs() < 1e-12);
        assert!((costs.copies - 0.1).abs() < 1e-12);
        assert!((costs.hypercalls - 0.05).abs() < 1e-12);
        assert!((costs.events - 1.0 / 60.0).abs() < 1e-12);
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
        assert!(containers(&[("dom0".into(), ProbeResult::default())]).is_empty());
        let mut after = counters(5, 0, "not a number");
        after.files.truncate(1);
        let result = ProbeResult {
            before: after.clone(),
            after,
            ..ProbeResult::default()
        };
        let found = containers(&[("dom0".into(), result)]);
        assert_eq!(found[0].per_container, None);
        assert_eq!(found[0].mean_wait_ns, None);
    }
}
