//! Where the instructions of counted trials went: what is made of the [`InstructionsRecord`] of each.
//!
//! Counts are of the whole machine, from shortly before the first packet until shortly after the last, and are given a packet that was sent, those of
//! the warm-up too. The agent, which counts for itself while the controller stops the machine, is left out.

pub mod calls;

use std::collections::BTreeMap;

use serde::Serialize;
use vifbench_scenarios::units::Rate;
use vifbench_store::{FunctionCount, InstructionsRecord};

use self::calls::{Call, MEMORY};
use crate::summary::RunSummary;
use crate::trial_summary::TrialSummary;

/// Which part of the system a function belongs to. The names of built-in functions decide where no module does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The backend's driver.
    Netback,
    /// The frontend's driver.
    Netfront,
    /// The bridge in dom0.
    Bridge,
    /// Packet sockets and their filters: captures, and the sender.
    Captures,
    /// The network stack.
    Stack,
    /// The rest of a kernel.
    Kernel,
    /// Programs: vifprobe, and what else runs.
    Programs,
    /// Xen.
    Hypervisor,
}

impl Part {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Netback,
        Self::Netfront,
        Self::Bridge,
        Self::Captures,
        Self::Stack,
        Self::Kernel,
        Self::Programs,
        Self::Hypervisor,
    ];

    /// Its name in tables and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Netback => "netback",
            Self::Netfront => "netfront",
            Self::Bridge => "bridge",
            Self::Captures => "captures",
            Self::Stack => "network stack",
            Self::Kernel => "rest of the kernel",
            Self::Programs => "programs",
            Self::Hypervisor => "hypervisor",
        }
    }

    /// The part of a function; none for the agent, which is no part of what is measured.
    pub fn of(function: &FunctionCount) -> Option<Self> {
        Some(match function.module.as_str() {
            "agent" => return None,
            "xen" => Self::Hypervisor,
            "programs" => Self::Programs,
            "xen_netback" => Self::Netback,
            "xen_netfront" => Self::Netfront,
            "bridge" | "stp" | "llc" => Self::Bridge,
            "af_packet" => Self::Captures,
            _ if is_capture(&function.function) => Self::Captures,
            _ if is_stack(&function.function) => Self::Stack,
            _ => Self::Kernel,
        })
    }
}

/// Beginnings of the names of functions below the kernel's `net/`.
const STACK: [&str; 37] = [
    "skb_",
    "skbuff_",
    "consume_skb",
    "kfree_skb",
    "napi_",
    "netif_",
    "net_",
    "netdev_",
    "dev_",
    "dst_",
    "neigh_",
    "arp_",
    "ip_",
    "ip6_",
    "ipv6_",
    "inet_",
    "inet6_",
    "udp_",
    "udpv6_",
    "tcp_",
    "sock_",
    "sk_",
    "sockfd_",
    "fib_",
    "fib6_",
    "rt_",
    "eth_",
    "qdisc_",
    "sch_",
    "pfifo_",
    "validate_xmit",
    "gro_",
    "flow_",
    "csum_",
    "icmp_",
    "raw_",
    "xdp_",
];

/// Packet sockets are built into Debian's kernels.
fn is_capture(name: &str) -> bool {
    let name = name.trim_start_matches('_');
    let beginnings = ["packet_", "tpacket_", "prb_", "run_filter", "bpf_prog_run"];
    beginnings
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

fn is_stack(name: &str) -> bool {
    // `__netif_receive_skb_core.constprop.0` and `netif_receive_skb` are one family.
    let name = name.trim_start_matches('_');
    let system_calls = ["sys_send", "sys_recv", "x64_sys_send", "x64_sys_recv"];
    let mut all = STACK.iter().chain(&system_calls);
    all.any(|beginning| name.starts_with(beginning)) || name == "alloc_skb" || name == "build_skb"
}

/// What was spent a packet.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct PerPacket {
    /// Instructions.
    pub instructions: f64,
    /// Calls.
    pub entered: f64,
    /// Reads and writes of memory.
    pub accesses: f64,
    /// Misses of the simulated first level.
    pub missed_l1: f64,
    /// Misses of the simulated last level.
    pub missed_ll: f64,
}

impl PerPacket {
    fn of(function: &FunctionCount, packets: f64) -> Self {
        Self {
            instructions: function.instructions as f64 / packets,
            entered: function.entered as f64 / packets,
            accesses: function.accesses as f64 / packets,
            missed_l1: function.missed_l1 as f64 / packets,
            missed_ll: function.missed_ll as f64 / packets,
        }
    }
}

impl std::ops::AddAssign for PerPacket {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.entered += other.entered;
        self.accesses += other.accesses;
        self.missed_l1 += other.missed_l1;
        self.missed_ll += other.missed_ll;
    }
}

/// A function of a domain, by name.
pub type Place = (String, Part, String);

/// What one variant spent a packet, at one point of the sweep: the mean of its counted trials.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantInstructions {
    /// The variant.
    pub variant: String,
    /// The rate of every flow, where it is swept.
    pub rate: Option<Rate>,
    /// How many trials were counted.
    pub trials: usize,
    /// The mean size of the frames that arrived, with their FCS; none where none did.
    pub frame_bytes: Option<f64>,
    /// By domain, part and function.
    pub by: BTreeMap<Place, PerPacket>,
}

impl VariantInstructions {
    /// The sum over what is picked.
    pub fn sum(&self, pick: impl Fn(&Place) -> bool) -> PerPacket {
        let mut all = PerPacket::default();
        for (_, spent) in self.by.iter().filter(|(place, _)| pick(place)) {
            all += *spent;
        }
        all
    }

    /// How often a packet something was called; none where no counted function has that name.
    pub fn calls(&self, call: &Call) -> Option<f64> {
        let mut entered: BTreeMap<&str, f64> = BTreeMap::new();
        for ((_, part, name), spent) in &self.by {
            if call.lies_in(*part) {
                *entered.entry(name).or_default() += spent.entered;
            }
        }
        call.entries(&entered)
    }

    /// [`MEMORY`] for each thousand bytes of frames with their FCS; none where one of them is unknown, or nothing arrived.
    pub fn memory_calls_a_kilobyte(&self) -> Option<f64> {
        let calls: Option<f64> = MEMORY.iter().map(|call| self.calls(call)).sum();
        Some(calls? * 1000.0 / self.frame_bytes?)
    }

    /// The domains, the hypervisor last.
    pub fn domains(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by.keys().map(|(domain, ..)| domain.as_str()).collect();
        names.dedup();
        names.sort_by_key(|name| *name == "xen");
        names
    }
}

/// Every variant at every point of the sweep that was counted, in the scenario's order. `records` has one entry per trial
/// of the summary, in its order; none where the trial was not counted.
pub fn of(
    summary: &RunSummary,
    records: &[Option<&InstructionsRecord>],
) -> Vec<VariantInstructions> {
    let mut all = Vec::new();
    for rate in summary.rates() {
        for variant in summary.variant_names() {
            let (trials, counted): (Vec<&TrialSummary>, Vec<&InstructionsRecord>) = summary
                .trials
                .iter()
                .zip(records)
                .filter(|(trial, _)| trial.rate == rate && trial.variant == variant)
                .filter_map(|(trial, record)| Some((trial, (*record)?)))
                .filter(|(_, record)| record.packets > 0)
                .unzip();
            if counted.is_empty() {
                continue;
            }
            let mut by: BTreeMap<Place, PerPacket> = BTreeMap::new();
            for record in &counted {
                let packets = record.packets as f64 * counted.len() as f64;
                for function in &record.functions {
                    if let Some(part) = Part::of(function) {
                        let place = (function.domain.clone(), part, function.function.clone());
                        *by.entry(place).or_default() += PerPacket::of(function, packets);
                    }
                }
            }
            all.push(VariantInstructions {
                variant: variant.to_owned(),
                rate,
                trials: counted.len(),
                frame_bytes: frame_bytes(&trials),
                by,
            });
        }
    }
    all
}

/// The mean size of the frames that arrived in these trials.
fn frame_bytes(trials: &[&TrialSummary]) -> Option<f64> {
    let rates = || {
        trials
            .iter()
            .filter_map(|trial| Some(trial.total.as_ref()?.rates))
    };
    let bytes: f64 = rates().map(|rates| rates.throughput_bps / 8.0).sum();
    let frames: f64 = rates().map(|rates| rates.received_pps).sum();
    (bytes > 0.0 && frames > 0.0).then(|| bytes / frames)
}

/// A function's share in two variants.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference<'a> {
    /// Where.
    pub place: &'a Place,
    /// In the first.
    pub one: PerPacket,
    /// In the second.
    pub other: PerPacket,
}

impl Difference<'_> {
    /// Instructions a packet that the second spends more.
    pub fn more(&self) -> f64 {
        self.other.instructions - self.one.instructions
    }
}

/// The functions in which two variants differ most, the largest difference first.
pub fn differences<'a>(
    one: &'a VariantInstructions,
    other: &'a VariantInstructions,
    at_most: usize,
) -> Vec<Difference<'a>> {
    let missing = other.by.keys().filter(|place| !one.by.contains_key(*place));
    let mut all: Vec<Difference<'a>> = one
        .by
        .keys()
        .chain(missing)
        .map(|place| Difference {
            place,
            one: one.by.get(place).copied().unwrap_or_default(),
            other: other.by.get(place).copied().unwrap_or_default(),
        })
        .filter(|difference| difference.more() != 0.0)
        .collect();
    all.sort_by(|a, b| {
        let size = b.more().abs().total_cmp(&a.more().abs());
        size.then_with(|| a.place.cmp(b.place))
    });
    all.truncate(at_most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(domain: &str, module: &str, name: &str, instructions: u64) -> FunctionCount {
        FunctionCount {
            domain: domain.to_owned(),
            module: module.to_owned(),
            function: name.to_owned(),
            instructions,
            entered: 1,
            accesses: 0,
            missed_l1: 0,
            missed_ll: 0,
        }
    }

    #[test]
    fn functions_are_put_to_parts_by_module_and_name() {
        let part = |module: &str, name: &str| Part::of(&function("dom0", module, name, 1));
        assert_eq!(part("xen_netback", "xenvif_rx_action"), Some(Part::Netback));
        assert_eq!(
            part("vmlinux", "__netif_receive_skb_core.constprop.0"),
            Some(Part::Stack)
        );
        assert_eq!(part("vmlinux", "__x64_sys_sendto"), Some(Part::Stack));
        assert_eq!(part("vmlinux", "tpacket_rcv"), Some(Part::Captures));
        assert_eq!(part("vmlinux", "schedule"), Some(Part::Kernel));
        assert_eq!(part("vmlinux", "(unnamed)"), Some(Part::Kernel));
        assert_eq!(part("agent", "(unnamed)"), None);
    }

    fn variant(name: &str, functions: &[(&str, Part, &str, f64)]) -> VariantInstructions {
        let by = functions
            .iter()
            .map(|(domain, part, function, instructions)| {
                let spent = PerPacket {
                    instructions: *instructions,
                    entered: 2.0,
                    ..PerPacket::default()
                };
                (((*domain).to_owned(), *part, (*function).to_owned()), spent)
            });
        VariantInstructions {
            variant: name.to_owned(),
            rate: None,
            trials: 1,
            frame_bytes: Some(80.0),
            by: by.collect(),
        }
    }

    #[test]
    fn the_largest_difference_stands_first_whatever_its_sign() {
        let one = variant(
            "stock",
            &[
                ("dom0", Part::Netback, "a", 10.0),
                ("dom0", Part::Netback, "b", 50.0),
                ("u1", Part::Kernel, "same", 7.0),
            ],
        );
        let other = variant(
            "patched",
            &[
                ("dom0", Part::Netback, "a", 15.0),
                ("u1", Part::Kernel, "same", 7.0),
                ("u1", Part::Netfront, "new", 20.0),
            ],
        );
        let found: Vec<(&str, f64)> = differences(&one, &other, 10)
            .iter()
            .map(|d| (d.place.2.as_str(), d.more()))
            .collect();
        assert_eq!(found, [("b", -50.0), ("new", 20.0), ("a", 5.0)]);
        assert_eq!(differences(&one, &other, 1).len(), 1);
        let dom0 = one.sum(|(domain, ..)| domain == "dom0");
        assert!((dom0.instructions - 60.0).abs() < 1e-9);
    }

    #[test]
    fn calls_are_entries_of_functions_in_the_right_place() {
        let one = variant(
            "stock",
            &[
                ("xen", Part::Hypervisor, "do_grant_table_op", 10.0),
                ("u1", Part::Kernel, "__switch_to", 10.0),
                ("dom0", Part::Kernel, "__switch_to", 10.0),
                ("dom0", Part::Kernel, "do_event_channel_op", 10.0),
            ],
        );
        assert_eq!(one.calls(&calls::GRANTS), Some(2.0));
        assert_eq!(one.calls(&calls::THREADS), Some(4.0));
        assert_eq!(one.calls(&calls::EVENTS), None);
        assert_eq!(one.domains(), ["dom0", "u1", "xen"]);
    }

    #[test]
    fn what_only_calls_another_that_counts_does_not_count() {
        let newer = variant(
            "7.3",
            &[
                ("u1", Part::Kernel, "__alloc_pages_noprof", 10.0),
                ("u1", Part::Kernel, "__alloc_frozen_pages_noprof", 10.0),
                ("u1", Part::Kernel, "alloc_pages_bulk_noprof", 10.0),
            ],
        );
        assert_eq!(newer.calls(&calls::PAGES), Some(4.0));
    }

    #[test]
    fn memory_calls_are_told_only_where_each_of_them_is_known() {
        let mut functions = vec![
            ("xen", Part::Hypervisor, "do_grant_table_op", 1.0),
            ("u1", Part::Kernel, "kmem_cache_alloc_node", 1.0),
            ("dom0", Part::Kernel, "__kmalloc", 1.0),
        ];
        assert_eq!(variant("stock", &functions).memory_calls_a_kilobyte(), None);
        functions.push(("u1", Part::Kernel, "__alloc_pages", 1.0));
        // Four functions, two calls a packet each, 80 bytes a packet.
        let mut whole = variant("stock", &functions);
        assert_eq!(whole.memory_calls_a_kilobyte(), Some(100.0));
        whole.frame_bytes = None;
        assert_eq!(whole.memory_calls_a_kilobyte(), None);
    }
}
