//! The packet table: every packet of a trial once, with its stamp at each probe point.
//!
//! Captures of the four points are joined by flow and sequence number, which each packet carries in its payload.
//! Nothing is dropped silently: whatever does not become a stamp in a row is counted, and shown in the report.

mod rows;

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vifbench_scenarios::scenario::Arrivals;
use vifbench_store::files::plain_name;
use vifbench_store::{RunReader, RunRecord, TrialRecord};
use vifbench_wire::protocol::{Point, ProbeResult};
use vifbench_wire::schedule::Schedule;

use self::rows::Rows;
use crate::capture_reader::{self, Content};
use crate::clock::{End, HostClock};
use crate::error::ReportError;

/// The four points in the order that a packet passes them.
pub const PATH: [Point; 4] = [Point::Tx, Point::Nic, Point::Vif, Point::Rx];

/// Where a point stands on the path.
pub(crate) fn index(point: Point) -> usize {
    match point {
        Point::Tx => 0,
        Point::Nic => 1,
        Point::Vif => 2,
        Point::Rx => 3,
    }
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Flow number, from the payload.
    pub flow: u16,
    /// Sequence number within the flow, from the payload.
    pub seq: u32,
    /// Bytes of the frame with its 4-byte FCS, at the first point that saw it.
    pub size: u32,
    /// Bytes of UDP payload.
    pub payload: u32,
    /// Send time of the payload, on the reference clock.
    pub send_ns: i64,
    /// When the schedule has it due, from the start of sending; none where the schedule does not have it.
    pub due_ns: Option<i64>,
    /// Stamps on the reference clock, in the order of [`PATH`]; none where it was not seen intact.
    pub at_ns: [Option<i64>; 4],
    /// Further intact copies at each point.
    pub copies: [u32; 4],
    /// How many packets of its capture came before it at `rx`.
    pub arrival: Option<u32>,
    /// Sent after the warm-up: counts in the metrics.
    pub measured: bool,
}

impl Packet {
    /// The stamp at a point.
    pub fn at(&self, point: Point) -> Option<i64> {
        self.at_ns[index(point)]
    }

    /// Time from one point to another; none unless both stamped it.
    pub fn between(&self, from: Point, to: Point) -> Option<i64> {
        Some(self.at(to)? - self.at(from)?)
    }
}

/// What one capture held, beside the packets that went into rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureCount {
    /// Host whose probe ran it.
    pub host: String,
    /// Point.
    pub point: Point,
    /// The guest whose packets pass there; none where all flows pass.
    pub guest: Option<String>,
    /// Path of the raw capture, from the run's folder.
    pub file: String,
    /// Where stamps come from.
    pub timestamp_source: String,
    /// Stamps resolve nanoseconds.
    pub nanoseconds: bool,
    /// Packets in the file.
    pub packets: u64,
    /// Not made by vifbench (no payload mark).
    pub foreign: u64,
    /// For vifbench's port, but with other bytes than were sent: no number in it can be trusted.
    pub corrupt: u64,
    /// For vifbench's port, but cut too short to be read.
    pub cut: u64,
    /// Intact, but of a flow that the plan does not have.
    pub unknown_flow: u64,
    /// Intact, but of a flow to another guest.
    pub stray: u64,
    /// Dropped by the kernel for want of ring space.
    pub dropped_kernel: u64,
    /// Dropped by the interface.
    pub dropped_interface: u64,
    /// Not written, because the file had reached its limit.
    #[serde(default)]
    pub dropped_application: u64,
}

/// Everything the captures of one trial say.
#[derive(Debug, Clone)]
pub struct TrialPackets {
    /// Every packet seen anywhere, by flow and sequence number.
    pub packets: Vec<Packet>,
    /// Per capture: what it held.
    pub captures: Vec<CaptureCount>,
    /// Per guest (none: all): the ends at which stamps were taken.
    pub ends: Vec<(Option<String>, End)>,
    /// When each packet of all flows is due, from the start of sending.
    pub due_ns: Vec<i64>,
    /// Packets due in the measured part, of flows whose schedule is known beforehand.
    pub due_measured: HashMap<u16, u64>,
    /// Guest and reference time of each damaged packet that arrived.
    pub corrupt_at_rx: Vec<(Option<String>, i64)>,
    /// Start of the measured part, on the reference clock.
    pub measure_from_ns: i64,
    /// When sending began, on the reference clock: due times count from here.
    pub start_ns: i64,
    /// Length of the measured part in nanoseconds.
    pub window_ns: i64,
    /// What each host's probe knows, in the order of the trial's `probes`.
    pub results: Vec<(String, ProbeResult)>,
    /// What a reader of the numbers must know.
    pub warnings: Vec<String>,
}

impl TrialPackets {
    /// The end at which packets to `guest` were stamped at `point`; none where nothing captured them.
    pub fn end(&self, guest: &str, point: Point) -> Option<&End> {
        self.ends
            .iter()
            .find(|(of, end)| end.point == point && of.as_deref().is_none_or(|of| of == guest))
            .map(|(_, end)| end)
    }
}

/// Reads all captures of a finished trial and joins them.
///
/// # Errors
/// A missing or damaged result or capture is an error that names the file.
pub fn read_trial(
    run: &RunReader,
    of: &RunRecord,
    trial: &TrialRecord,
) -> Result<TrialPackets, ReportError> {
    let number = trial.plan.number;
    let mut results = Vec::new();
    let mut sources = Vec::new();
    for host in &trial.probes {
        let (folder, result) = run.read_result(number, host)?;
        for done in &result.captures {
            let file = plain_name(&folder.join("result.json"), &done.file)?;
            sources.push(Source {
                host: host.clone(),
                path: folder.join(file),
                shown: format!("trials/{number}/{host}/{file}"),
                done: done.clone(),
            });
        }
        results.push((host.clone(), result));
    }
    // The path's order: a packet's row begins at the first point that saw it.
    sources.sort_by_key(|s| index(s.done.ready.spec.point));

    let guest_of: Vec<(u16, &str)> = trial
        .plan
        .flows
        .iter()
        .map(|f| (f.flow, f.to.0.as_str()))
        .collect();
    let sender = sources
        .iter()
        .find(|s| s.done.ready.spec.point == Point::Tx);
    let send_clock = HostClock::of(&trial.clocks, sender.map_or("", |s| s.host.as_str()));

    let mut warnings = Vec::new();
    let mut joined = Joined::default();
    let mut captures = Vec::new();
    let mut ends = Vec::new();
    for source in &sources {
        let clock = HostClock::of(&trial.clocks, &source.host);
        if clock.method().is_none() {
            let line = format!(
                "{}: no clock map, its times stay on its own clock",
                source.host
            );
            if !warnings.contains(&line) {
                warnings.push(line);
            }
        }
        let (count, nanoseconds) = joined.add(source, &clock, &send_clock, &guest_of)?;
        ends.push((
            count.guest.clone(),
            End {
                point: count.point,
                host: source.host.clone(),
                source: count.timestamp_source.clone(),
                nanoseconds,
                bound_ns: clock.bound_ns(),
            },
        ));
        captures.push(count);
    }
    let mut packets = joined.packets;
    packets.sort_unstable_by_key(|p| (p.flow, p.seq));

    let due = schedule(run, trial, &mut warnings);
    for packet in &mut packets {
        packet.due_ns = due
            .get(&packet.flow)
            .and_then(|of_flow| of_flow.get(packet.seq as usize))
            .copied();
    }
    // Where the generator's clock is not tied to the reference (an open trial of a virtual lab, or too few
    // exchanges), the start of sending is taken from the packets themselves.
    let measure_from_ns = if of.times_count(&trial.plan) && send_clock.bound_ns().is_some() {
        i64::try_from(trial.measure_from_ns).unwrap_or(i64::MAX)
    } else {
        let starts = packets
            .iter()
            .map(|p| p.send_ns - p.due_ns.unwrap_or_default());
        starts
            .min()
            .unwrap_or_default()
            .saturating_add(trial.plan.warmup.nanos() as i64)
    };
    for packet in &mut packets {
        packet.measured = packet.send_ns >= measure_from_ns;
    }
    Ok(TrialPackets {
        packets,
        captures,
        ends,
        due_measured: due
            .iter()
            .map(|(flow, of_flow)| {
                let warmup = trial.plan.warmup.nanos() as i64;
                (
                    *flow,
                    of_flow.iter().filter(|at| **at >= warmup).count() as u64,
                )
            })
            .collect(),
        due_ns: due.into_values().flatten().collect(),
        corrupt_at_rx: joined.corrupt_at_rx,
        measure_from_ns,
        start_ns: measure_from_ns.saturating_sub(trial.plan.warmup.nanos() as i64),
        window_ns: trial.plan.duration.nanos() as i64,
        results,
        warnings,
    })
}

/// Due times of every flow by sequence number: the generator's own schedule, made again from its seeds.
fn schedule(
    run: &RunReader,
    trial: &TrialRecord,
    warnings: &mut Vec<String>,
) -> HashMap<u16, Vec<i64>> {
    let plan = &trial.plan;
    let length = plan.warmup.nanos().saturating_add(plan.duration.nanos());
    let flows: Vec<(u16, Arrivals, u64)> = plan
        .flows
        .iter()
        .map(|f| {
            let arrivals = match &f.arrivals {
                // What the generator was given, whatever has become of the capture.
                Arrivals::Trace { file, speed } => Arrivals::Trace {
                    file: run.trace(file),
                    speed: *speed,
                },
                other => other.clone(),
            };
            (f.flow, arrivals, f.seed)
        })
        .collect();
    let flows = flows.iter().map(|(flow, a, seed)| (*flow, a, *seed));
    let mut due: HashMap<u16, Vec<i64>> = HashMap::new();
    match Schedule::new(flows, 0, length) {
        Ok(schedule) => {
            for packet in schedule {
                let of_flow = due.entry(plan.flows[packet.flow].flow).or_default();
                of_flow.push(i64::try_from(packet.at_ns).unwrap_or(i64::MAX));
            }
        }
        Err(error) => warnings.push(format!("due times are not known: {error}")),
    }
    due
}

/// One capture file and what its probe said of it.
struct Source {
    host: String,
    path: PathBuf,
    shown: String,
    done: vifbench_wire::protocol::CaptureDone,
}

/// Rows so far, and where each flow and sequence number lies.
#[derive(Default)]
struct Joined {
    packets: Vec<Packet>,
    rows: Rows,
    corrupt_at_rx: Vec<(Option<String>, i64)>,
}

impl Joined {
    fn add(
        &mut self,
        source: &Source,
        clock: &HostClock,
        send_clock: &HostClock,
        guest_of: &[(u16, &str)],
    ) -> Result<(CaptureCount, bool), ReportError> {
        let spec = &source.done.ready.spec;
        let at = index(spec.point);
        let mut count = CaptureCount {
            host: source.host.clone(),
            point: spec.point,
            guest: spec.guest.clone(),
            file: source.shown.clone(),
            timestamp_source: source.done.ready.timestamp_source.clone(),
            nanoseconds: source.done.ready.nanoseconds,
            packets: 0,
            foreign: 0,
            corrupt: 0,
            cut: 0,
            unknown_flow: 0,
            stray: 0,
            dropped_kernel: source.done.dropped_kernel,
            dropped_interface: source.done.dropped_interface,
            dropped_application: source.done.dropped_application,
        };
        let nanoseconds = capture_reader::read(&source.path, |seen| {
            count.packets += 1;
            let at_ns = clock.to_reference(seen.at_ns);
            let mark = match seen.content {
                Content::Ours(mark) => mark,
                Content::Foreign => {
                    count.foreign += 1;
                    return;
                }
                Content::Cut => {
                    count.cut += 1;
                    return;
                }
                Content::Corrupt => {
                    count.corrupt += 1;
                    if spec.point == Point::Rx {
                        self.corrupt_at_rx.push((spec.guest.clone(), at_ns));
                    }
                    return;
                }
            };
            let Some((_, to)) = guest_of.iter().find(|(flow, _)| *flow == mark.flow) else {
                count.unknown_flow += 1;
                return;
            };
            if spec.guest.as_deref().is_some_and(|guest| guest != *to) {
                count.stray += 1;
                return;
            }
            let row = self.rows.find_or(mark.flow, mark.seq, || {
                self.packets.push(Packet {
                    flow: mark.flow,
                    seq: mark.seq,
                    size: seen.size,
                    payload: mark.payload,
                    send_ns: send_clock.to_reference(mark.send_ns),
                    due_ns: None,
                    at_ns: [None; 4],
                    copies: [0; 4],
                    arrival: None,
                    measured: false,
                });
                self.packets.len() - 1
            });
            let packet = &mut self.packets[row];
            if packet.at_ns[at].is_some() {
                packet.copies[at] += 1;
            } else {
                packet.at_ns[at] = Some(at_ns);
                if spec.point == Point::Rx {
                    packet.arrival = Some(u32::try_from(count.packets - 1).unwrap_or(u32::MAX));
                }
            }
        })?;
        count.nanoseconds = nanoseconds;
        Ok((count, nanoseconds))
    }
}
