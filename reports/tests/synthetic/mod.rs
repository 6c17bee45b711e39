//! Runs with known truth: everything that the harness would leave on disk, with real captures in it.

use std::path::Path;

use vifbench_scenarios::judge::{Judge, JudgeBy};
use vifbench_scenarios::lab::HostName;
use vifbench_scenarios::plan::{FlowPlan, Plan, TrialPlan};
use vifbench_scenarios::scenario::{
    Arrivals, Mode, Patches, Protocol, Scenario, SendBy, Sweep, Traffic, Variant,
};
use vifbench_scenarios::units::{Rate, Size, Span};
use vifbench_store::{ClockMap, FORMAT, ModuleProof, Outcome, RunRecord, TrialRecord};
use vifbench_wire::packet::Template;
use vifbench_wire::pcap_file::Writer;
use vifbench_wire::protocol::{
    CaptureDone, CaptureOptions, CaptureReady, CaptureSpec, Counters, DomainSample, FlowSpec,
    Point, ProbeResult, Ruler, Sent,
};
use vifbench_wire::schedule::Schedule;

/// Start of every trial on the reference clock.
pub const START: i64 = 1_795_305_600_000_000_000;
/// How far u1's clock is ahead of the reference.
pub const U1_OFFSET: i64 = 128_000_321;
/// How far the generator's clock is behind it.
pub const GEN_OFFSET: i64 = -5_000_007;
/// Clock bound of every guest.
pub const BOUND: f64 = 250.0;
/// From the payload's send time to the stamp at `tx`.
pub const SEND_TO_TX: i64 = 800;

/// What happens to one packet: time of each hop, and misfortunes.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// tx to nic, nic to vif, vif to rx.
    pub hops: [i64; 3],
    /// The last point that sees it.
    pub last: Point,
    /// Copies at rx.
    pub copies: u32,
    /// One byte of it is another at rx.
    pub corrupt: bool,
    /// The generator's capture misses it.
    pub unseen_at_tx: bool,
}

impl Fate {
    pub fn of(hops: [i64; 3]) -> Self {
        Self {
            hops,
            last: Point::Rx,
            copies: 1,
            corrupt: false,
            unseen_at_tx: false,
        }
    }
}

/// A run to be written.
pub struct World {
    pub name: String,
    pub about: String,
    pub rates: Vec<u64>,
    pub blocks: u32,
    pub judge: Judge,
    pub variants: Vec<(String, Patches)>,
    pub warmup: Span,
    pub duration: Span,
    pub bound: Option<f64>,
    pub is_virtual: bool,
    pub mode: Mode,
    /// Outcome of trials that do not complete, by number.
    pub outcomes: Vec<(u32, Outcome)>,
    /// Trials without any file, as after a kill.
    pub not_run: Vec<u32>,
    /// Fate of packet `seq` of `flow` in a trial of that variant and block.
    pub fate: fn(variant: &str, block: u32, flow: u16, seq: u32) -> Fate,
    /// Percent of a CPU that dom0 uses.
    pub dom0_percent: fn(variant: &str, block: u32) -> f64,
    /// No packet is sent at all.
    pub silent: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            name: "small-packets".into(),
            about: "what the accounting itself costs".into(),
            rates: vec![2000],
            blocks: 1,
            judge: Judge {
                by: JudgeBy::Completeness,
                ..Judge::default()
            },
            variants: vec![
                ("stock".into(), Patches::Stock),
                ("shadow".into(), Patches::Shadow),
            ],
            warmup: Span::from_millis(100),
            duration: Span::from_millis(500),
            bound: Some(BOUND),
            is_virtual: true,
            mode: Mode::Sealed,
            outcomes: vec![],
            not_run: vec![],
            fate: plain,
            dom0_percent: |variant, _| if variant == "shadow" { 31.0 } else { 30.0 },
            silent: false,
        }
    }
}

/// Delays of 50 to 50.9 us in steps of 0.1, the same for all; 1 us more on the last hop with `shadow`.
pub fn plain(variant: &str, _block: u32, _flow: u16, seq: u32) -> Fate {
    let more = if variant == "shadow" { 1000 } else { 0 };
    Fate::of([4000, 6000, 40_000 + i64::from(seq % 10) * 100 + more])
}

impl World {
    /// Writes the run into `root`.
    pub fn write(&self, root: &Path) {
        let plan = self.plan();
        let record = RunRecord {
            format: FORMAT,
            run: "20261123T000000-test".into(),
            vifbench: "0.1.0".into(),
            started: "2026-11-23T00:00:00Z".into(),
            scenario: self.scenario(),
            lab: self.lab(),
            plan: plan.clone(),
        };
        std::fs::create_dir_all(root).unwrap();
        json(&root.join("run.json"), &record);
        let mut events = String::new();
        for trial in &plan.trials {
            if self.not_run.contains(&trial.number) {
                continue;
            }
            let event = serde_json::json!({
                "at": "2026-11-23T00:00:00Z", "what": "trial-ended", "trial": trial.number,
                "text": trial.variant.name,
            });
            events.push_str(&event.to_string());
            events.push('\n');
            self.write_trial(root, trial);
        }
        std::fs::write(root.join("events.jsonl"), events).unwrap();
    }

    fn traffic(rate: u64) -> Vec<Traffic> {
        let rate = Rate::per_sec(rate);
        vec![
            Traffic {
                to: HostName("u1".into()),
                protocol: Protocol::Udp,
                size: Size::from_bytes(64).into(),
                arrivals: Arrivals::Cbr { rate },
            },
            Traffic {
                to: HostName("u2".into()),
                protocol: Protocol::Udp6,
                size: Size::from_bytes(128).into(),
                arrivals: Arrivals::Poisson { rate },
            },
        ]
    }

    fn scenario(&self) -> Scenario {
        Scenario {
            name: self.name.clone(),
            about: self.about.clone(),
            traffic: Self::traffic(self.rates[0]),
            sweep: Sweep {
                rate: self.rates.iter().map(|r| Rate::per_sec(*r)).collect(),
                hold: Vec::new(),
            },
            search: None,
            variants: self.variants(),
            service: None,
            mode: self.mode,
            sender: SendBy::Auto,
            warmup: self.warmup,
            duration: self.duration,
            blocks: self.blocks,
            layouts: 1,
            judge: self.judge.clone(),
        }
    }

    fn variants(&self) -> Vec<Variant> {
        self.variants
            .iter()
            .map(|(name, patches)| Variant::new(name.clone(), *patches))
            .collect()
    }

    fn lab(&self) -> vifbench_scenarios::lab::Lab {
        let host = |name: &str, role: &str, n: u32| {
            serde_json::json!({
                "name": name, "role": role, "address": format!("198.18.0.{n}"), "key": "key",
                "host_key": "ssh-ed25519 AAAA", "identity": {"dmi-serial": "x"}, "interface": "enX0",
                "mac": format!("00:16:3e:00:00:{n:02x}"),
            })
        };
        serde_json::from_value(serde_json::json!({
            "name": "bench", "virtual": self.is_virtual,
            "hosts": [
                host("gen", "generator", 5), host("dom0", "dom0", 2), host("u1", "guest", 3), host("u2", "guest", 4),
            ],
        }))
        .unwrap()
    }

    pub fn plan(&self) -> Plan {
        let mut trials = Vec::new();
        for block in 1..=self.blocks {
            for rate in &self.rates {
                for variant in self.variants() {
                    let flows =
                        Self::traffic(*rate)
                            .into_iter()
                            .zip(1..)
                            .map(|(t, flow)| FlowPlan {
                                flow,
                                to: t.to,
                                protocol: t.protocol,
                                size: t.size.clone(),
                                arrivals: t.arrivals,
                                seed: u64::from(block) * 100 + u64::from(flow),
                            });
                    trials.push(TrialPlan {
                        number: trials.len() as u32 + 1,
                        block,
                        layout: 0,
                        variant,
                        rate: Some(Rate::per_sec(*rate)),
                        mode: self.mode,
                        sender: SendBy::Auto,
                        flows: flows.collect(),
                        warmup: self.warmup,
                        duration: self.duration,
                    });
                }
            }
        }
        Plan {
            scenario: self.name.clone(),
            seed: 7,
            trials,
        }
    }

    fn write_trial(&self, root: &Path, plan: &TrialPlan) {
        let folder = root.join("trials").join(plan.number.to_string());
        let outcome = self
            .outcomes
            .iter()
            .find(|(n, _)| *n == plan.number)
            .map_or(Outcome::Complete, |(_, o)| o.clone());
        let complete = outcome == Outcome::Complete;
        if complete {
            self.write_results(&folder, plan);
        }
        std::fs::create_dir_all(&folder).unwrap();
        let total = plan.warmup.nanos() + plan.duration.nanos();
        let clock = |host: &str, offset: i64, method: &str, bound| ClockMap {
            host: host.into(),
            offset_ns: offset as f64,
            skew: 0.0,
            at_ns: (START + offset) as u64,
            bound_ns: bound,
            method: method.into(),
            two_way: (method != "reference").then_some((offset as f64 + 40.0, 2000.0)),
        };
        let proof = |host: &str, module: &str| ModuleProof {
            host: host.into(),
            module: module.into(),
            series: format!("{:?}", plan.variant.patches).to_lowercase(),
            srcversion: "0123456789ABCDEF0123456".into(),
            build_id: "00112233445566778899aabbccddeeff00112233".into(),
            features: vec![("feature-rx-copy".into(), "1".into())],
        };
        let ruler = |host: &str| {
            let ruler = Ruler {
                kernel: "6.1.0-56-amd64 #1 SMP".into(),
                clocksource: "tsc".into(),
                xen: (host == "dom0").then(|| "4.17".into()),
                cmdline: "console=hvc0 <script>alert(1)</script>".into(),
                cpu: "QEMU x 1".into(),
                libpcap: "libpcap version 1.10.3".into(),
                interfaces: vec![("enX0".into(), "mtu".into(), "1500".into())],
                modules: vec![],
            };
            (host.to_owned(), ruler)
        };
        let hosts = ["gen", "dom0", "u1", "u2"];
        json(
            &folder.join("trial.json"),
            &TrialRecord {
                format: FORMAT,
                plan: plan.clone(),
                outcome,
                modules: vec![
                    proof("dom0", "xen_netback"),
                    proof("u1", "xen_netfront"),
                    proof("u2", "xen_netfront"),
                ],
                clocks: if complete {
                    vec![
                        clock("dom0", 0, "reference", Some(0.0)),
                        clock("gen", GEN_OFFSET, "shared-tsc", self.bound),
                        clock("u1", U1_OFFSET, "shared-tsc", self.bound),
                        clock("u2", 0, "shared-tsc", self.bound),
                    ]
                } else {
                    vec![]
                },
                rulers: hosts.map(ruler).into(),
                probes: if complete {
                    hosts.map(str::to_owned).into()
                } else {
                    vec![]
                },
                start_ns: START as u64,
                measure_from_ns: START as u64 + plan.warmup.nanos(),
                stop_ns: START as u64 + total,
                warnings: Vec::new(),
                wall_s: 12.5,
            },
        );
    }

    fn write_results(&self, folder: &Path, plan: &TrialPlan) {
        let total = plan.warmup.nanos() + plan.duration.nanos();
        let variant = plan.variant.name.as_str();
        let mut tx = Vec::new();
        let mut nic = Vec::new();
        let mut vif: [Vec<Stamped>; 2] = [vec![], vec![]];
        let mut rx: [Vec<Stamped>; 2] = [vec![], vec![]];
        let mut templates: Vec<Template> = plan
            .flows
            .iter()
            .map(|f| Template::new(&spec(f), f.size.largest().bytes() as u32).unwrap())
            .collect();
        let flows = plan.flows.iter().map(|f| (f.flow, &f.arrivals, f.seed));
        let schedule = Schedule::new(flows, 0, total).unwrap();
        let mut sent = Sent::default();
        for due in schedule {
            sent.due += 1;
            if self.silent {
                continue;
            }
            sent.sent += 1;
            let fate = (self.fate)(variant, plan.block, plan.flows[due.flow].flow, due.seq);
            let at = START + due.at_ns as i64 + 2000;
            let template = &mut templates[due.flow];
            template.number(due.seq);
            let frame = template
                .stamp((at - SEND_TO_TX + GEN_OFFSET) as u64)
                .to_vec();
            if !fate.unseen_at_tx {
                tx.push((at, frame.clone()));
            }
            let mut seen = at;
            for (hop, point) in [Point::Nic, Point::Vif, Point::Rx].into_iter().enumerate() {
                seen += fate.hops[hop];
                if point > fate.last {
                    break;
                }
                match point {
                    Point::Nic => nic.push((seen, frame.clone())),
                    Point::Vif => vif[due.flow].push((seen, frame.clone())),
                    Point::Rx | Point::Tx => {
                        let mut frame = frame.clone();
                        if fate.corrupt {
                            let last = frame.len() - 1;
                            frame[last] ^= 0xff;
                        }
                        for copy in 0..fate.copies {
                            rx[due.flow].push((seen + i64::from(copy) * 700, frame.clone()));
                        }
                    }
                }
            }
        }
        // Something that is not ours, everywhere.
        let foreign = vec![0xffu8; 60];
        for capture in [&mut tx, &mut nic]
            .into_iter()
            .chain(&mut vif)
            .chain(&mut rx)
        {
            capture.push((START + 1000, foreign.clone()));
        }
        let [vif1, vif2] = vif;
        let [rx1, rx2] = rx;
        let u2_offset = 0;
        host(
            folder,
            "gen",
            plan.number,
            vec![(Point::Tx, None, tx)],
            GEN_OFFSET,
            ProbeResult {
                sent: Some(sent),
                ..ProbeResult::default()
            },
        );
        host(
            folder,
            "dom0",
            plan.number,
            vec![
                (Point::Nic, None, nic),
                (Point::Vif, Some("u1"), vif1),
                (Point::Vif, Some("u2"), vif2),
            ],
            0,
            self.dom0_result(plan, total),
        );
        host(
            folder,
            "u1",
            plan.number,
            vec![(Point::Rx, Some("u1"), rx1)],
            U1_OFFSET,
            ProbeResult::default(),
        );
        host(
            folder,
            "u2",
            plan.number,
            vec![(Point::Rx, Some("u2"), rx2)],
            u2_offset,
            ProbeResult::default(),
        );
    }

    fn dom0_result(&self, plan: &TrialPlan, total: u64) -> ProbeResult {
        let variant = plan.variant.name.as_str();
        let percent = (self.dom0_percent)(variant, plan.block);
        let every = 50_000_000;
        let mut domains = Vec::new();
        for n in 0..=total / every {
            for (domid, name, percent) in [
                (0, "Domain-0", percent),
                (1, "u1", 12.0),
                (2, "u2", 11.0),
                (3, "gen", 20.0),
            ] {
                domains.push(DomainSample {
                    at_ns: START as u64 + n * every,
                    domid,
                    name: name.into(),
                    cpu_ns: 1_000_000 + (n as f64 * every as f64 * percent / 100.0).round() as u64,
                });
            }
        }
        let counters = |frames: u64, containers: u64| Counters {
            interfaces: if plan.variant.patches == Patches::Shadow {
                ["vif1.0", "vif2.0"]
                    .iter()
                    .flat_map(|vif| {
                        [
                            ("rx_agg_frames", frames),
                            ("rx_agg_containers", containers),
                            ("rx_agg_timeout", containers),
                        ]
                        .map(|(counter, value)| ((*vif).to_owned(), counter.to_owned(), value))
                    })
                    .collect()
            } else {
                vec![]
            },
            files: if plan.variant.patches == Patches::Shadow {
                ["vif1.0", "vif2.0"]
                    .map(|vif| {
                        let path = format!("/sys/kernel/debug/xen-netback/{vif}/agg_q0");
                        (
                            path.into(),
                            Some(format!("shadow 1\nwait_ns {}\n", frames * 600_000)),
                        )
                    })
                    .into()
            } else {
                vec![]
            },
            ..Counters::default()
        };
        ProbeResult {
            domains,
            domains_by: Some("libxl 4.17".into()),
            before: counters(10, 5),
            after: counters(1210, 405),
            ..ProbeResult::default()
        }
    }
}

type Stamped = (i64, Vec<u8>);

/// Writes one host's captures, in order of time, and its `result.json`.
fn host(
    folder: &Path,
    name: &str,
    trial: u32,
    captures: Vec<(Point, Option<&str>, Vec<Stamped>)>,
    offset: i64,
    mut result: ProbeResult,
) {
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    for (point, guest, mut packets) in captures {
        packets.sort_by_key(|p| p.0);
        let kind = format!("{point:?}").to_lowercase();
        let file = match guest {
            Some(guest) => format!("{kind}-{guest}.pcap.zst"),
            None => format!("{kind}.pcap.zst"),
        };
        let mut writer = Writer::create(&folder.join(&file), 1, 128).unwrap();
        for (at, frame) in &packets {
            writer
                .record((at + offset) as u64, frame.len() as u32, frame)
                .unwrap();
        }
        writer.finish().unwrap();
        let interface = match (point, guest) {
            (Point::Vif, Some("u1")) => "vif1.0",
            (Point::Vif, Some("u2")) => "vif2.0",
            _ => "enX0",
        };
        result.captures.push(CaptureDone {
            ready: CaptureReady {
                spec: CaptureSpec {
                    point,
                    guest: guest.map(str::to_owned),
                    interface: interface.into(),
                    filter: String::new(),
                    snaplen: 128,
                    buffer: 1 << 20,
                    options: CaptureOptions::default(),
                },
                link_type: 1,
                nanoseconds: true,
                timestamp_source: "host".into(),
            },
            file,
            written: packets.len() as u64,
            received: packets.len() as u64,
            dropped_kernel: 0,
            dropped_interface: 0,
            dropped_application: 0,
        });
    }
    result.version = vifbench_wire::protocol::VERSION;
    result.trial = trial;
    json(&folder.join("result.json"), &result);
}

fn spec(flow: &FlowPlan) -> FlowSpec {
    let (source, destination) = match flow.protocol {
        Protocol::Udp | Protocol::Tcp => {
            ("198.18.0.5".parse().unwrap(), "198.18.0.3".parse().unwrap())
        }
        Protocol::Udp6 | Protocol::Tcp6 => {
            ("2001:2::5".parse().unwrap(), "2001:2::4".parse().unwrap())
        }
    };
    FlowSpec {
        flow: flow.flow,
        source_mac: "00:16:3e:00:00:05".into(),
        destination_mac: "00:16:3e:00:00:03".into(),
        source,
        destination,
        size: flow.size.clone(),
        arrivals: flow.arrivals.clone(),
        seed: flow.seed,
    }
}

pub fn json(path: &Path, value: &impl serde::Serialize) {
    std::fs::write(path, serde_json::to_vec_pretty(value).unwrap()).unwrap();
}
