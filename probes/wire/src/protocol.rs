//! The language between the controller and `vifprobe`: one JSON message a line over the SSH channel's stdin
//! and stdout, versioned. Each request gets exactly one reply, in order.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use vifbench_scenarios::scenario::{Arrivals, FrameSize, Protocol};

use crate::pcap_file::FileFormat;

/// Raised whenever a message changes its meaning; both ends must agree exactly.
pub const VERSION: u32 = 5;

/// A UDP request without an answer for this many nanoseconds counts as lost, and makes room for another.
pub const ANSWER_TIMEOUT_NS: u64 = 1_000_000_000;

/// A place where packets are stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Point {
    /// The generator's NIC, on the way out.
    Tx,
    /// dom0's ingress: its NIC, or the generator guest's vif in a sealed trial.
    Nic,
    /// dom0's vif of the receiving guest, before netback's queue.
    Vif,
    /// The guest's interface, on the way in.
    Rx,
}

/// One capture a probe is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureSpec {
    /// Which point this is.
    pub point: Point,
    /// The guest whose packets are seen here (`vif`, `rx`), or none where all flows pass.
    pub guest: Option<String>,
    /// Interface name on the host.
    pub interface: String,
    /// Kernel filter in pcap syntax.
    pub filter: String,
    /// Bytes kept of each packet.
    pub snaplen: u32,
    /// Size in bytes of each kernel ring.
    pub buffer: u32,
    /// How it is done, where that is not as usual.
    #[serde(default)]
    pub options: CaptureOptions,
}

/// How a capture is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptureOptions {
    /// Kernel rings that share the packets (`PACKET_FANOUT`), each read by a thread of its own; merged by stamp.
    pub rings: u8,
    /// Packets are handed over one by one as they come, not by the block: for delays seen live, at a price in CPU time.
    pub immediate: bool,
    /// What is written.
    pub format: FileFormat,
    /// Who is to stamp the packets.
    pub stamps: StampSource,
    /// The most bytes of packets that are written (before compression): hosts may keep their files in memory. What comes
    /// beyond is counted as dropped by the application.
    pub most_bytes: Option<u64>,
}

impl Default for CaptureOptions {
    fn default() -> Self {
        Self {
            rings: 1,
            immediate: false,
            format: FileFormat::default(),
            stamps: StampSource::default(),
            most_bytes: None,
        }
    }
}

/// Who stamps packets. Stamps of different sources are of different clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StampSource {
    /// The kernel, by the host's clock.
    #[default]
    Host,
    /// The NIC, by its own clock; received packets only.
    Adapter,
}

impl StampSource {
    /// As it is told in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Adapter => "adapter",
        }
    }
}

/// One flow to send; addresses are resolved by the controller from the lab file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowSpec {
    /// Flow number.
    pub flow: u16,
    /// Source and destination MAC, lower case with colons.
    pub source_mac: String,
    /// Destination MAC.
    pub destination_mac: String,
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// Frame sizes with the 4-byte FCS; of TCP the largest that segments may make.
    pub size: FrameSize,
    /// Spacing. The file of a trace is one that `replay::write` wrote, by its path on the host.
    pub arrivals: Arrivals,
    /// Seed of gaps and payload.
    pub seed: u64,
}

impl FlowSpec {
    /// The largest TCP segment in bytes that fits into the flow's frames; none where their size is not fixed.
    pub fn max_segment(&self) -> Option<u32> {
        let protocol = if self.destination.is_ipv4() {
            Protocol::Tcp
        } else {
            Protocol::Tcp6
        };
        let size = self.size.fixed()?;
        u32::try_from(protocol.payload_of(size)).ok()
    }
}

/// How the generator waits for a send time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// `clock_nanosleep` to an absolute time: needed where CPUs are shared (the virtual lab).
    Sleep,
    /// Busy-wait for the last stretch: needed for precise gaps on hardware.
    Spin,
}

/// How requests are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Each UDP packet goes back as it came.
    UdpEcho,
    /// Nothing: UDP packets have somewhere to go, and nobody reads them.
    UdpSink,
    /// For every request so many bytes of response, over TCP.
    TcpRr {
        /// Bytes of a request.
        request: u32,
        /// Bytes of a response.
        response: u32,
    },
    /// Everything is read, over TCP.
    TcpSink,
}

/// Who answers one flow's requests, on the guest, for the length of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RespondSpec {
    /// The flow's number.
    pub flow: u16,
    /// What is done.
    pub answer: Answer,
    /// The guest's address and port: nothing else is bound.
    pub local: SocketAddr,
    /// The generator's address and port: nothing else is served.
    pub peer: SocketAddr,
    /// The largest TCP segment, in bytes of payload without options.
    pub max_segment: Option<u32>,
}

/// What the probe is to do in one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepare {
    /// Trial number; names the results folder.
    pub trial: u32,
    /// Captures to start at once; they run until the stop time.
    pub captures: Vec<CaptureSpec>,
    /// Interface and flows to send, on the generator.
    pub generate: Option<Generate>,
    /// Requests to answer, on a guest.
    #[serde(default)]
    pub respond: Vec<RespondSpec>,
    /// Interfaces whose `ethtool -S` and link counters are read before and after.
    pub counters: Vec<String>,
    /// Files (debugfs, sysfs) whose text is kept before and after; absent files are recorded as absent.
    pub files: Vec<PathBuf>,
    /// Sample the CPU time of every domain (dom0 only).
    pub domains: bool,
    /// Time between samples of domain CPU time, in nanoseconds.
    pub sample_every_ns: u64,
    /// Exchange clocks during the trial too.
    #[serde(default)]
    pub clock: Option<ClockWatch>,
}

/// Two-way exchanges while a trial runs: a few small frames, so that a clock that is set or wanders is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockWatch {
    /// Interface to use.
    pub interface: String,
    /// The reference's MAC address.
    pub peer_mac: String,
    /// Time between two rounds, in nanoseconds of the host's clock.
    pub every_ns: u64,
    /// Exchanges of a round.
    pub count: u32,
}

/// The generator's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// Interface to send on.
    pub interface: String,
    /// How to wait.
    pub pace: Pace,
    /// Which way frames take to the wire.
    #[serde(default)]
    pub sender: vifbench_scenarios::scenario::SendBy,
    /// After the start for this long nothing of what is measured here counts (round trips, bytes), in nanoseconds.
    #[serde(default)]
    pub warmup_ns: u64,
    /// All flows, merged by send time.
    pub flows: Vec<FlowSpec>,
}

/// When the trial runs, in the host's own `CLOCK_REALTIME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arm {
    /// The trial that was prepared.
    pub trial: u32,
    /// First packet is due here.
    pub start_ns: u64,
    /// No packet is due at or after this.
    pub stop_ns: u64,
    /// Captures and counters end here.
    pub drain_ns: u64,
    /// In a sealed trial: this interface must have no carrier at `start_ns`, or the trial is refused.
    pub sealed_by: Option<String>,
    /// Write `vifbench: trial N is armed` to this file at once, and that it ended when all is stored (`/dev/kmsg` in a sealed
    /// trial).
    pub announce: Option<PathBuf>,
}

/// What the controller asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// First message.
    Hello {
        /// The controller's protocol version.
        version: u32,
    },
    /// The ruler: kernel, clocksource, Xen, interfaces, offloads.
    Describe {
        /// Interfaces whose offloads and driver are wanted.
        interfaces: Vec<String>,
    },
    /// This host's clocks, read back to back.
    ReadClock,
    /// Answer clock exchanges on this interface until the probe ends (the reference host, dom0).
    ServeClock {
        /// Interface to listen on: raw frames of Ethernet type 0x88b5, no port is opened.
        interface: String,
    },
    /// Exchange with the reference host.
    ExchangeClock {
        /// Interface to use.
        interface: String,
        /// The reference's MAC address.
        peer_mac: String,
        /// How many exchanges.
        count: u32,
        /// Give up after this long, in nanoseconds of the host's clock.
        deadline_ns: u64,
    },
    /// Start captures and get ready.
    Prepare(Prepare),
    /// Set the times and go.
    Arm(Arm),
    /// Answer when the host's `CLOCK_REALTIME` has come to this, and nothing before. For a sealed machine, in which the
    /// controller cannot wait by its own clock, and to start a program that waits would be felt.
    Wait {
        /// Nanoseconds since the epoch; at most an hour from now.
        until_ns: u64,
    },
    /// Answer when an armed trial has ended by itself and its results are stored. For a sealed machine: elsewhere its
    /// status is asked, so that other requests are heard meanwhile.
    Await {
        /// Which trial.
        trial: u32,
    },
    /// How far is it?
    Status {
        /// Which trial.
        trial: u32,
    },
    /// End a running trial now instead of at its stop and drain times: captures end, counters are read, results
    /// are stored, the trial is `Done`. For open trials in a virtual lab, whose clock races ahead of the
    /// generator's, so that no stop time can be named beforehand.
    Finish {
        /// Which trial.
        trial: u32,
    },
    /// The content of a file in the probe's folder. For a sealed machine, where starting `cat` by a login takes longer than
    /// reading; elsewhere files are fetched beside the channel.
    Read {
        /// Its path, from the folder on.
        file: PathBuf,
    },
    /// Remove everything and end.
    Bye,
}

/// One reading of the host's clocks. `tsc_before` and `tsc_after` bracket the read of `realtime_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Time-stamp counter before.
    pub tsc_before: u64,
    /// `CLOCK_REALTIME`.
    pub realtime_ns: u64,
    /// `CLOCK_MONOTONIC`, read next to it.
    pub monotonic_ns: u64,
    /// Time-stamp counter after.
    pub tsc_after: u64,
}

/// One two-way exchange, all in nanoseconds: t1, t4 on the asking host, t2, t3 on the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Asked.
    pub t1: u64,
    /// Request seen by the reference.
    pub t2: u64,
    /// Reply sent by the reference.
    pub t3: u64,
    /// Reply seen.
    pub t4: u64,
}

/// A capture that runs, with what was verified of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureReady {
    /// As asked.
    pub spec: CaptureSpec,
    /// The pcap link type.
    pub link_type: i32,
    /// Time stamps resolved to nanoseconds (verified), or to microseconds.
    pub nanoseconds: bool,
    /// Who stamps, by which clock: `host`, or `adapter` and the number of the NIC's clock.
    pub timestamp_source: String,
}

/// A capture that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureDone {
    /// As it ran.
    pub ready: CaptureReady,
    /// File name in the results folder (`tx.pcap.zst`, `vif-u1.pcap.zst`).
    pub file: String,
    /// Packets written.
    pub written: u64,
    /// Packets the kernel saw match, as libpcap counts them.
    pub received: u64,
    /// Dropped for want of ring space.
    pub dropped_kernel: u64,
    /// Dropped by the interface.
    pub dropped_interface: u64,
    /// Handed over by the kernel, but not written: beyond [`CaptureOptions::most_bytes`].
    #[serde(default)]
    pub dropped_application: u64,
}

/// A packet that leaves later than this after it was due counts as late, in nanoseconds.
pub const LATE_NS: u64 = 100_000;

/// What the generator did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sent {
    /// Which sender was used, and why; what was done so that it is in time.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sender: String,
    /// Packets due by the schedule.
    pub due: u64,
    /// Packets the kernel took.
    pub sent: u64,
    /// Packets the kernel refused (`ENOBUFS` and the like).
    pub refused: u64,
    /// Packets handed to the kernel more than 100 us after they were due.
    pub late: u64,
    /// The greatest lateness, in nanoseconds.
    pub latest_ns: u64,
    /// Per flow: flow number and packets sent; requests of TCP, and nothing of a bulk transfer.
    pub flows: Vec<(u16, u64)>,
    /// What flows that wait for answers have measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loops: Vec<LoopDone>,
}

/// Values in nanoseconds, sorted: their ranks are the nearest above, as in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many.
    pub count: u64,
    /// The least.
    pub min: u64,
    /// Their mean.
    pub mean: u64,
    /// 50 % are not above.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

/// What the kernel counted of one TCP connection on the sending side, over the measured part (`TCP_INFO`, RFC 4898).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TcpDone {
    /// Payload that the other end acknowledged.
    pub bytes_acked: u64,
    /// Payload sent, repeats included.
    pub bytes_sent: u64,
    /// Of it sent again.
    pub bytes_retransmitted: u64,
    /// Segments sent again.
    pub segments_retransmitted: u64,
    /// Segments with payload sent, repeats included.
    pub data_segments: u64,
    /// Payload of a full segment at the end.
    pub segment: u32,
    /// The least round trip that the kernel saw since the connection began, in microseconds.
    pub min_rtt_us: u32,
    /// The smoothed round trip at the end, in microseconds.
    pub smoothed_rtt_us: u32,
    /// Congestion control.
    pub congestion: String,
}

/// What one flow that waits for answers has measured, over the part of the trial after the warm-up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoopDone {
    /// Flow number.
    pub flow: u16,
    /// Length of the measured part, in nanoseconds.
    pub measured_ns: u64,
    /// Requests that were answered in it.
    pub transactions: u64,
    /// From before the request was sent until its answer was read whole, of those.
    pub round_trip: Option<Quantiles>,
    /// Requests without an answer, of the whole trial: UDP within [`ANSWER_TIMEOUT_NS`].
    pub unanswered: u64,
    /// Answers to nothing that was under way (too late, or twice), of the whole trial.
    pub unexpected: u64,
    /// Answers, or bytes of answers, that are not what was asked for, of the whole trial.
    pub corrupt: u64,
    /// Of TCP.
    pub tcp: Option<TcpDone>,
}

/// What one responder did, over the whole trial.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Responded {
    /// Flow number.
    pub flow: u16,
    /// Requests that came whole.
    pub requests: u64,
    /// Payload bytes that came.
    pub bytes: u64,
    /// Answers that the kernel refused.
    pub refused: u64,
    /// Requests, or bytes of a bulk transfer, that are not what is sent.
    pub corrupt: u64,
    /// Connections from elsewhere, closed at once.
    pub foreign: u64,
}

/// CPU time of one domain at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainSample {
    /// When, in the host's `CLOCK_REALTIME`.
    pub at_ns: u64,
    /// Domain id.
    pub domid: u32,
    /// Its name.
    pub name: String,
    /// CPU time used since creation.
    pub cpu_ns: u64,
}

/// Counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// When, in the host's `CLOCK_REALTIME`.
    pub at_ns: u64,
    /// Interface, counter, value: `ethtool -S` names, and `link_*` for `/sys/class/net/*/statistics`.
    pub interfaces: Vec<(String, String, u64)>,
    /// `/proc/stat`'s first line in clock ticks: user, nice, system, idle, iowait, irq, softirq, steal.
    pub cpu_ticks: Vec<u64>,
    /// Interrupts since boot, by name, for Xen event channels (`/proc/interrupts`, summed over CPUs).
    pub interrupts: Vec<(String, u64)>,
    /// Kept files: path and text, or none where absent.
    pub files: Vec<(PathBuf, Option<String>)>,
}

/// Everything a probe knows after a trial; stored as `result.json` in the results folder.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Protocol version that wrote it.
    pub version: u32,
    /// Trial number.
    pub trial: u32,
    /// Ended captures.
    pub captures: Vec<CaptureDone>,
    /// On the generator.
    pub sent: Option<Sent>,
    /// On a guest that answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub responded: Vec<Responded>,
    /// Counters at the start time and after the drain.
    pub before: Counters,
    /// After the drain.
    pub after: Counters,
    /// Domain CPU time at start, at every sample and after the drain.
    pub domains: Vec<DomainSample>,
    /// `libxl 4.17` or `xl (libxl would not load: ...)`.
    pub domains_by: Option<String>,
    /// Clock readings at prepare, start, stop and drain.
    pub clock: Vec<ClockReading>,
    /// Exchanges with the reference between start and stop, where they were asked for.
    #[serde(default)]
    pub exchanges: Vec<Exchange>,
    /// Anything a reader of the numbers must know.
    pub warnings: Vec<String>,
    /// Why the trial did not run, where it did not.
    pub failed: Option<String>,
}

/// How far a trial is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing prepared.
    Idle,
    /// Captures run.
    Prepared,
    /// Waiting for the start time.
    Armed,
    /// Between start and drain.
    Running,
    /// `result.json` is stored.
    Done,
}

/// The ruler of one host (design: rules of measurement, 7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ruler {
    /// `uname -r` and `-v`.
    pub kernel: String,
    /// From `/sys/devices/system/clocksource`.
    pub clocksource: String,
    /// Xen version and flags, where `/sys/hypervisor` tells.
    pub xen: Option<String>,
    /// `/proc/cmdline`.
    pub cmdline: String,
    /// CPU model and count.
    pub cpu: String,
    /// libpcap's version string.
    pub libpcap: String,
    /// Interface, property, value: driver, firmware, mtu, speed, offloads.
    pub interfaces: Vec<(String, String, String)>,
    /// Loaded Xen modules: name, srcversion, build-id; empty where the module has none.
    pub modules: Vec<(String, String, String)>,
}

/// What the probe answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello {
        /// The probe's protocol version.
        version: u32,
        /// Host name.
        hostname: String,
        /// The private folder, where `trial-N/` results will lie.
        folder: PathBuf,
        /// This boot's id (`/proc/sys/kernel/random/boot_id`).
        boot_id: String,
    },
    /// To `Describe`.
    Ruler(Ruler),
    /// To `ReadClock`.
    Clock(ClockReading),
    /// To `ExchangeClock`.
    Exchanges {
        /// Those that came back.
        exchanges: Vec<Exchange>,
        /// Requests without a reply.
        lost: u32,
        /// Frames of the exchange's type that were no reply to what was asked.
        #[serde(default)]
        ignored: u32,
        /// A reading taken right after.
        reading: ClockReading,
    },
    /// To `Prepare`.
    Prepared {
        /// Captures that run now.
        captures: Vec<CaptureReady>,
    },
    /// To `Arm`.
    Armed {
        /// How long until the start, by the host's clock; negative when it has passed.
        lead_ns: i64,
    },
    /// To `Status`.
    Status {
        /// State of that trial.
        state: State,
    },
    /// To `Read`.
    Content {
        /// All of it, in base64.
        base64: String,
    },
    /// To requests without a result of their own.
    Done,
    /// The request could not be carried out.
    Failed {
        /// What was attempted, on what, and why it failed.
        error: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ruler_of_an_earlier_version_is_read() {
        // Until 0.1.0 a host's time daemon was asked for its state, which stands in the runs of that time.
        let text = r#"{"kernel": "6.1", "clocksource": "tsc", "xen": null, "cmdline": "", "cpu": "1 x A CPU",
            "libpcap": "libpcap version 1.10.3", "interfaces": [], "modules": [],
            "clock": [{"daemon": "chrony", "state": {"silent": {"why": "506 Cannot talk to daemon"}}}]}"#;
        let ruler: Ruler = serde_json::from_str(text).expect("a ruler");
        assert_eq!(
            (ruler.kernel.as_str(), ruler.cpu.as_str()),
            ("6.1", "1 x A CPU")
        );
    }
}
