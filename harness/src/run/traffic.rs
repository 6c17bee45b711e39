//! What a plan's flows come to on the machines of a lab: who sends what to whom, and who answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use vifbench_probes::loops::max_segment;
use vifbench_probes::packet::{UDP_PORT, source_port, tcp_port};
use vifbench_probes::protocol::{Answer, FlowSpec, RespondSpec};
use vifbench_probes::replay;
use vifbench_reports::rundir;
use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_scenarios::plan::FlowPlan;
use vifbench_scenarios::scenario::{Arrivals, Scenario};
use vifbench_scenarios::timing::Captured;

use super::machines::{Machine, STEP};
use crate::error::Failure;

/// A flow between two machines of the lab. `traces` is the probe's folder on the generator.
pub fn flow(
    plan: &FlowPlan,
    generator: &HostSpec,
    guest: &HostSpec,
    traces: &Path,
) -> Result<FlowSpec, Failure> {
    let address = |host: &HostSpec| {
        host.address_for(plan.protocol).ok_or_else(|| {
            Failure::Usage(format!(
                "{} has no address for {} in the lab file",
                host.name,
                plan.protocol.words()
            ))
        })
    };
    let arrivals = match &plan.arrivals {
        Arrivals::Trace { speed, .. } => Arrivals::Trace {
            file: trace_on_host(traces, plan.flow),
            speed: *speed,
        },
        other => other.clone(),
    };
    Ok(FlowSpec {
        flow: plan.flow,
        source_mac: generator.mac.clone(),
        destination_mac: guest.mac.clone(),
        source: address(generator)?,
        destination: address(guest)?,
        size: plan.size.clone(),
        arrivals,
        seed: plan.seed,
    })
}

/// Who answers a flow in its guest; nobody where nothing waits for answers.
pub fn responder(flow: &FlowSpec) -> Option<RespondSpec> {
    let end = |address: IpAddr, port| SocketAddr::new(address, port);
    let bytes = |size: vifbench_scenarios::units::Size| size.bytes() as u32;
    let (answer, port) = match &flow.arrivals {
        Arrivals::ClosedLoop { .. } => (Answer::UdpEcho, UDP_PORT),
        Arrivals::TcpRr {
            request, response, ..
        } => {
            let answer = Answer::TcpRr {
                request: bytes(*request),
                response: bytes(*response),
            };
            (answer, tcp_port(flow.flow))
        }
        Arrivals::TcpBulk {} => (Answer::TcpSink, tcp_port(flow.flow)),
        _ => return None,
    };
    Some(RespondSpec {
        flow: flow.flow,
        answer,
        local: end(flow.destination, port),
        peer: end(flow.source, source_port(flow.flow)),
        max_segment: flow.arrivals.is_tcp().then(|| max_segment(flow)).flatten(),
    })
}

/// The responders of one guest.
pub fn responders(flows: &[FlowSpec], plans: &[FlowPlan], guest: &HostName) -> Vec<RespondSpec> {
    flows
        .iter()
        .zip(plans)
        .filter(|(_, plan)| plan.to == *guest)
        .filter_map(|(flow, _)| responder(flow))
        .collect()
}

/// What is replayed of the captures that a scenario names, by flow: read, and checked, before any machine is touched.
#[derive(Debug, Default)]
pub struct Replays(BTreeMap<u16, Vec<Captured>>);

impl Replays {
    /// Reads the captures; their paths are relative to `folder`.
    pub fn read(scenario: &Scenario, folder: &Path) -> Result<Self, Failure> {
        let mut replays = Self::default();
        let length = scenario.warmup.nanos() + scenario.duration.nanos();
        for (flow, traffic) in (0..).zip(&scenario.traffic) {
            if let Arrivals::Trace { file, speed } = &traffic.arrivals {
                let own_time = length as f64 * speed;
                let frames = replay::cut(&folder.join(file), own_time as u64)?;
                replays.0.insert(flow, frames);
            }
        }
        Ok(replays)
    }

    /// Keeps them in the run's folder: its trials and its report are made from these.
    pub fn store(&self, run: &Path) -> Result<(), Failure> {
        let run = rundir::RunDir::new(run);
        for (flow, frames) in &self.0 {
            let path = run.trace(*flow);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(|source| Failure::Io {
                    doing: "create the folder",
                    path: folder.to_owned(),
                    source,
                })?;
            }
            replay::write(&path, frames)?;
        }
        Ok(())
    }
}

/// Sends the generator what it replays.
pub fn bring_traces(
    machine: &mut Machine,
    plans: &[FlowPlan],
    run: &Path,
    folder: &Path,
) -> Result<(), Failure> {
    let run = rundir::RunDir::new(run);
    for plan in plans {
        if let Arrivals::Trace { .. } = plan.arrivals {
            let path = run.trace(plan.flow);
            let content = std::fs::read(&path).map_err(|source| Failure::Io {
                doing: "read what is replayed from",
                path: path.clone(),
                source,
            })?;
            let there = trace_on_host(folder, plan.flow);
            machine.host.deploy(&content, &there, 0o600, STEP)?;
        }
    }
    Ok(())
}

fn trace_on_host(folder: &Path, flow: u16) -> PathBuf {
    folder.join(format!("flow-{flow}.pcap.zst"))
}
