//! What each number means. Every number of a report links to its entry here.

/// One definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// Anchor in the page.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few sentences.
    pub text: &'static str,
    /// The formula, where there is one.
    pub formula: Option<&'static str>,
    /// Where it comes from.
    pub source: &'static str,
}

/// All definitions, in the order of the page.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        id: "points",
        name: "Probe points tx, nic, vif, rx",
        text: "Places where every packet is stamped: tx the generator's NIC on the way out; nic where it enters \
               dom0 (its NIC, or the generator guest's vif in a sealed trial); vif dom0's interface to the \
               receiving guest, before netback's queue; rx the guest's interface on the way in.",
        formula: None,
        source: "vifbench",
    },
    Definition {
        id: "measured",
        name: "Measured packets",
        text: "Packets whose send time lies after the warm-up. All numbers are of these; warm-up packets are \
               captured and kept, but not counted. The limit is a time on the reference clock; where the \
               generator's clock is not tied to it (open trials), the limit is one warm-up after the start that \
               the packets themselves show.",
        formula: None,
        source: "vifbench",
    },
    Definition {
        id: "delay",
        name: "One-way delay",
        text: "Receive stamp at rx less send stamp at tx, both on the reference clock, of packets that arrived \
               intact. It is shown only with its error bound; where no bound can be claimed there is no delay.",
        formula: Some("D(i) = rx(i) - tx(i)"),
        source: "RFC 7679",
    },
    Definition {
        id: "bound",
        name: "Error bound",
        text: "The truth lies within this much of the printed value: the clock bounds of both hosts together, \
               and a microsecond where stamps are cut to microseconds. Two stamps of one host share their \
               clock, so that its error cancels. The bound of a difference between two trials is the sum of \
               both, because their errors may point opposite ways.",
        formula: Some(
            "bound(a to b) = bound(host of a) + bound(host of b); 0 when both are one host",
        ),
        source: "vifbench",
    },
    Definition {
        id: "hop",
        name: "Time between two points",
        text: "Stamp at the later point less stamp at the earlier one, of packets seen at both.",
        formula: Some("H(i) = t_b(i) - t_a(i)"),
        source: "vifbench",
    },
    Definition {
        id: "ipdv",
        name: "IPDV, inter-packet delay variation",
        text: "Delay of a packet less delay of the packet sent just before it in the same flow; not defined where \
               either was lost. Signed, so that its mean is near zero: the mean of |IPDV| tells its size. A \
               constant clock offset cancels.",
        formula: Some("IPDV(i) = D(i) - D(i-1)"),
        source: "RFC 3393, RFC 5481 section 4.1",
    },
    Definition {
        id: "pdv",
        name: "PDV, packet delay variation",
        text: "Delay of a packet less the smallest delay of its flow in the trial. Tells how large a playout \
               buffer would have to be. A constant clock offset cancels.",
        formula: Some("PDV(i) = D(i) - min D"),
        source: "RFC 5481 section 4.2",
    },
    Definition {
        id: "rfc3550",
        name: "RFC 3550 jitter",
        text: "A filter over |IPDV| in order of arrival, starting at zero. Two numbers: the mean of J over all \
               packets that moved it, and its last state, which is what iperf3 prints and which remembers \
               little more than the last 50 packets.",
        formula: Some("J += (|D(i) - D(i-1)| - J) / 16"),
        source: "RFC 3550 section 6.4.1 and appendix A.8",
    },
    Definition {
        id: "loss",
        name: "Lost",
        text: "Seen at tx and not intact at rx until the captures ended. A packet that arrived damaged counts as \
               lost, and is also counted as corrupt. A hop's losses are packets seen at its start and at no \
               later point.",
        formula: None,
        source: "RFC 7680",
    },
    Definition {
        id: "ndr",
        name: "Non-drop rate, partial drop rate",
        text: "The highest rate that passed below the lowest that did not: a rate passes when no trial of it (or no more \
               than the scenario lets exceed) lost more than the goal allows, which is nothing for the non-drop rate and \
               `loss` for the partial one. Rates are tried from the highest by halving the range between both until it \
               is as narrow as the scenario asks. Packets that the generator did not send count as lost: a load that \
               was not offered was not borne. Counted over the whole trial, warm-up included.",
        formula: Some("NDR = max { rate that passes, below every rate that does not }"),
        source: "RFC 2544 section 26.1; RFC 9971",
    },
    Definition {
        id: "duplicated",
        name: "Duplicated",
        text: "Further intact copies at rx of a packet that had arrived.",
        formula: None,
        source: "RFC 5560",
    },
    Definition {
        id: "reordering",
        name: "Reordered",
        text: "Arrived with a sequence number below the next one expected. The extent is how many packets earlier \
               the first packet with a larger number had come.",
        formula: Some("reordered if s < NextExp, else NextExp = s + 1"),
        source: "RFC 4737 section 4",
    },
    Definition {
        id: "unmatched",
        name: "Unmatched, unstamped, corrupt, negative",
        text: "Unmatched: seen at rx, never at tx. Unstamped: missed at a point though seen after it. Corrupt: \
               other bytes than were sent, so that nothing in the packet can be trusted. Negative: the \
               difference of two stamps is below zero. All are counted, none is dropped.",
        formula: None,
        source: "vifbench",
    },
    Definition {
        id: "rate",
        name: "Offered and achieved rate",
        text: "Offered: the mean rate that the scenario asks; of a ramp or a replayed capture the packets due in the \
               measured part. Achieved: packets in the capture at tx over the measured part. Send times come from the \
               schedule, never from replies (open loop). Where packets wait for answers, or go as fast as the sender \
               can, nothing else was offered than what was sent.",
        formula: None,
        source: "RFC 2544, vifbench",
    },
    Definition {
        id: "sender",
        name: "Sender",
        text: "How the generator hands frames to the kernel, and what was done so that it is in time. raw: one packet a \
               call. pnet: the same, after a call that asks for room. txtime: up to 64 a call, before their time; the \
               kernel sends each when it is due. mmsg: up to 64 a call, past the queueing discipline. ring: from a ring \
               shared with the kernel. gso: up to 64 packets of one flow as one, which the kernel cuts up. xdp: from \
               memory shared with the driver. Every packet has its own number, send time and checksum with each of them; the send time is written when a \
               packet is put into its batch (txtime: it is when the packet is to leave).",
        formula: None,
        source: "vifbench; packet(7), Linux Documentation/networking",
    },
    Definition {
        id: "transaction",
        name: "Transactions",
        text: "Requests whose answer was read whole within the measured part, over its length. closed_loop: a UDP packet \
               that the guest sends back as it came. tcp_rr: a request and its response on one TCP connection. So many \
               as the scenario says are under way at any time, so the rate follows from the round trip (closed loop): \
               transactions a second times mean round trip is the number under way. Unanswered: no answer within a \
               second (UDP), or when the trial ended. Unexpected: an answer to nothing that was under way. Corrupt: \
               other bytes than were sent.",
        formula: Some("X = answered / measured time"),
        source: "vifbench; as netperf's UDP_RR and TCP_RR",
    },
    Definition {
        id: "round-trip",
        name: "Round trip",
        text: "From right before the request was handed to the kernel until its answer was read whole, both by the \
               generator's clock, so no clock bound is needed; it holds the time that both programs take to wake up. A \
               request that waits for room in TCP's send buffer waits within its round trip.",
        formula: Some("R(i) = read(i) - written(i)"),
        source: "RFC 2681 (round-trip delay), measured by the program",
    },
    Definition {
        id: "tcp-goodput",
        name: "Goodput of TCP",
        text: "Payload that the other end acknowledged in the measured part, over its length, by the kernel's counter on \
               the sending side (tcpi_bytes_acked). Repeats and headers do not count.",
        formula: Some("G = 8 * acknowledged bytes / measured time"),
        source: "RFC 6349 section 4, RFC 4898 (tcpEStatsAppHCThruOctetsAcked)",
    },
    Definition {
        id: "tcp-repeats",
        name: "TCP segments sent again, efficiency",
        text: "Segments that TCP sent once more in the measured part (tcpi_total_retrans), whether they had been lost or \
               only late. Efficiency: of the payload bytes sent, the share that was not a repeat.",
        formula: Some("E = (sent bytes - repeated bytes) / sent bytes"),
        source: "RFC 6349 section 4.1, RFC 4898 (tcpEStatsPerfSegsRetrans)",
    },
    Definition {
        id: "tcp-rtt",
        name: "TCP's own round trip",
        text: "What the kernel estimates from acknowledgements: the least of the connection, and the smoothed value at \
               the end. It ends in the guest's kernel and not in a program.",
        formula: Some("SRTT = 7/8 SRTT + 1/8 R"),
        source: "RFC 6298 section 2",
    },
    Definition {
        id: "gap",
        name: "Gap error and time to tx",
        text: "Gap error: the gap between two neighbours of a flow at tx minus the gap that the schedule has between \
               them. It is signed and free of any clock offset. Time to tx: the stamp at tx minus the send time in the \
               payload, both by the generator's clock. The sender txtime writes the time at which the packet is due; the \
               other senders write the time at which they put the packet into its batch.",
        formula: Some("E(i) = (tx(i) - tx(i-1)) - (due(i) - due(i-1))"),
        source: "vifbench",
    },
    Definition {
        id: "late",
        name: "Late packets",
        text: "Left tx late: packets of the measured part whose stamp at tx is more than 100 us after the time at which the \
               schedule wanted them to leave. What keeps them waiting may be the generator, its queueing discipline, or a \
               CPU that the generator shares with the drivers under test, as in the virtual lab. The one-way delay begins \
               at tx and does not contain this wait. Handed over late, and latest: what the generator itself saw when it \
               passed packets to its kernel, over the whole trial; a packet may still wait after that.",
        formula: Some("late(i) if tx(i) - (start + due(i)) > 100 us"),
        source: "vifbench",
    },
    Definition {
        id: "throughput",
        name: "Throughput and goodput",
        text: "Throughput: bits of the frames that arrived, with the 4-byte FCS, without preamble and gap, over \
               the measured part. Goodput: bits of the UDP payload of intact first copies.",
        formula: None,
        source: "RFC 1242, RFC 2647",
    },
    Definition {
        id: "cpu",
        name: "CPU by domain",
        text: "CPU time that Xen accounts to a domain between the first and the last sample in the measured part, \
               in percent of one CPU; and the same by packets seen at tx in that stretch, all flows together.",
        formula: None,
        source: "libxl, xl",
    },
    Definition {
        id: "instructions",
        name: "Instructions a packet",
        text: "Every instruction that the emulated machine begins, from 100 ms before the first packet is due to 200 ms after the \
               last one was, by the function that it lies in, divided by the packets that were sent, warm-up included. Functions are told by the \
               running kernels' and the hypervisor's own tables; domains by the memory that Xen says they own. Programs are not \
               told apart, and the agent that stops the machine for the controller is left out. The network stack is what its \
               functions' names say. Calls are how often a function's first instruction was begun.",
        formula: None,
        source: "QEMU's plugin interface",
    },
    Definition {
        id: "memory-calls",
        name: "Memory calls",
        text: "Grant table operations, page allocations and slab allocations, in all domains and by how often their functions                were entered, for each thousand bytes of frames with their FCS. That containers need fewer of them for a byte is                what their authors claim. One grant table operation may copy for many packets; how many copies there were stands                with the containers.",
        formula: Some("(grants + pages + slabs) a packet / mean frame size x 1000 B"),
        source: "Thakur and Goudar 2014; mm/page_alloc.c, mm/slub.c",
    },
    Definition {
        id: "simulated-caches",
        name: "Simulated caches",
        text: "32 KiB of instructions and 32 KiB of data in 8 ways each, and 1 MiB of both in 16 ways, lines of 64 B, the line used \
               longest ago goes first; empty at the beginning. No prefetch, no TLB, one processor.",
        formula: None,
        source: "provisioning/qemu-plugin",
    },
    Definition {
        id: "cost-model",
        name: "Modelled time",
        text: "A sum of five costs, each with its uncertainty: instructions, lines from the last level of caches, lines from \
               memory, event channel operations, switches of virtual CPUs. Before calibration they are orders of magnitude of \
               servers of the last ten years; vifbench calibrate narrows them by a hardware run of the same scenario. What two \
               variants have in common falls out of their difference, with its uncertainty.",
        formula: Some(
            "t = a instructions + b (L1 misses - LL misses) + c LL misses + d events + e switches",
        ),
        source: "Bayesian linear regression (Bishop 2006, 3.3)",
    },
    Definition {
        id: "container",
        name: "Packets per container",
        text: "From the counters of a patched netback: frames by containers, over the whole trial with its warm-up, the \
               mean time that a frame waited in its container, and the ring slots, grant copies and events that the \
               packets to the guest took, by packet (the packaged drivers, which do not count them, take one slot and \
               one copy for each at least). With shadow accounting these are the containers that aggregation would \
               have formed: nothing is changed on the wire. Where packets are only held, they are those that were \
               held together.",
        formula: None,
        source: "vendor-patches",
    },
    Definition {
        id: "quantile",
        name: "Quantiles (p50, p90, p99, p99.9)",
        text: "Nearest rank: the smallest measured value that at least that share of all values does not exceed. \
               Never an interpolation. Times are whole nanoseconds.",
        formula: Some("p = x(ceil(q n)) of sorted x(1) to x(n)"),
        source: "Hyndman and Fan 1996, type 1",
    },
    Definition {
        id: "pair",
        name: "Comparison by pairs",
        text: "Trials of one block differ in the variant only. A difference is the other variant's value minus the base's, in \
               the same block; the mean over the blocks is shown. Its 95 % interval is a studentised bootstrap over the \
               blocks. Its p-value is the share of all sign assignments of the blocks that give a difference at least as \
               clear in any judged metric of the variant (step-down maxT), times the number of variants and of planned \
               looks. Equal: every pair is exactly equal. Too small to matter: the interval, widened on both sides by the \
               error bound, lies within the smallest difference that matters. Not worse: no difference is shown, and the worse end \
               of the interval, widened by the error bound, is smaller than what matters. Higher or lower: p is at most 0.05, the \
               interval excludes zero, and the mean exceeds the smallest difference that matters, the error bound and the \
               noise learned from runs of a variant against itself. Cannot tell: none of these. Noise and bounds thus \
               never make two variants equal. The unit of replication is the block. All blocks that ran in one \
               layout of memory share that layout's accident: for a claim beyond it, use as many layouts as blocks.",
        formula: None,
        source: "Westfall and Young 1993 (maxT); Efron and Tibshirani 1993 (bootstrap-t)",
    },
    Definition {
        id: "median",
        name: "Values by variant",
        text: "The median over the trials of the trial's own value; counts are sums over the trials.",
        formula: None,
        source: "vifbench",
    },
    Definition {
        id: "verdict",
        name: "Verdict",
        text: "The first of these that applies. DUT-CRASH: the device under test died in a trial. SETUP: a variant could not \
               be built, loaded or brought up. INFRA: the lab failed, or trials or their data are missing. REGRESSION: a \
               variant is worse than the base in at least one judged metric, by a difference that is called higher or \
               lower. INCONCLUSIVE: a trial is doubtful (captures dropped packets, the generator fell short, nothing \
               arrived, or a delay has no error bound), or at least one judged metric cannot tell. IMPROVEMENT: a variant \
               is better in at least one judged metric, and every other judged metric is equal, too small to matter or not \
               worse. PASS: every judged metric is equal, too small to matter or not worse. Where the scenario judges \
               completeness only, differences are shown and not judged, and PASS means that the trials are complete. \
               Known regressions that were acknowledged do not count until their acknowledgement expires.",
        formula: None,
        source: "vifbench",
    },
];

/// The definition of that id.
pub fn definition(id: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| d.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Finding;
    use crate::verdict::Verdict;

    #[test]
    fn every_verdict_is_defined() {
        let text = definition("verdict").unwrap().text;
        for verdict in Verdict::ALL {
            assert!(text.contains(&format!("{verdict}: ")), "{verdict}");
        }
    }

    #[test]
    fn every_finding_is_defined() {
        let text = definition("pair").unwrap().text;
        for finding in Finding::ALL {
            // Without a wildcard: a new finding does not compile before it has a name here.
            let name = match finding {
                Finding::Equal => "Equal: ",
                Finding::Small => "Too small to matter: ",
                Finding::NotWorse => "Not worse: ",
                Finding::CannotTell => "Cannot tell: ",
                Finding::Higher | Finding::Lower => "Higher or lower: ",
            };
            assert!(text.contains(name), "{finding:?}");
        }
    }

    #[test]
    fn ids_are_used_once() {
        for d in DEFINITIONS {
            assert_eq!(DEFINITIONS.iter().filter(|o| o.id == d.id).count(), 1);
        }
    }
}
