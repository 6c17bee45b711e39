//! The flows of a plan on the hosts of a lab: what the generator sends, and what answers in which guest.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_scenarios::plan::FlowPlan;
use vifbench_scenarios::scenario::{Arrivals, Scenario};
use vifbench_scenarios::timing::Captured;
use vifbench_store::RunReader;
use vifbench_wire::packet::{UDP_PORT, source_port, tcp_port};
use vifbench_wire::protocol::{Answer, FlowSpec, RespondSpec};
use vifbench_wire::replay;

use super::deadlines::STEP;
use super::trial_hosts::TrialHost;
use crate::error::Failure;

/// A flow between two hosts of the lab. `traces` is the probe's folder on the generator.
pub fn flow(
    plan: &FlowPlan,
    generator: &HostSpec,
    guest: &HostSpec,
    traces: &Path,
) -> Result<FlowSpec, Failure> {
    let address = |host: &HostSpec| {
        host.address_for(plan.protocol).ok_or_else(|| {
            Failure::Internal(format!(
                "{} has no address for {}, although the lab was checked for it",
                host.name,
                plan.protocol.words()
            ))
        })
    };
    let arrivals = match &plan.arrivals {
        Arrivals::Trace { file, speed } => Arrivals::Trace {
            file: trace_on_host(traces, file),
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

/// What receives a flow in its guest, and answers where the sender waits for an answer.
fn responder(flow: &FlowSpec) -> RespondSpec {
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
        _ => (Answer::UdpSink, UDP_PORT),
    };
    RespondSpec {
        flow: flow.flow,
        answer,
        local: end(flow.destination, port),
        peer: end(flow.source, source_port(flow.flow)),
        max_segment: flow.arrivals.is_tcp().then(|| flow.max_segment()).flatten(),
    }
}

/// What receives each flow, with its guest.
pub fn responders(flows: &[FlowSpec], plans: &[FlowPlan]) -> Vec<(HostName, RespondSpec)> {
    flows
        .iter()
        .zip(plans)
        .map(|(flow, plan)| (plan.to.clone(), responder(flow)))
        .collect()
}

/// The captures that a scenario replays, by flow. They are read and checked before any host is touched.
#[derive(Debug, Default)]
pub struct Replays(BTreeMap<usize, (PathBuf, Vec<Captured>)>);

impl Replays {
    /// Reads the captures; their paths are relative to `folder`.
    pub fn read(scenario: &Scenario, folder: &Path) -> Result<Self, Failure> {
        let mut replays = Self::default();
        let length = scenario.warmup.nanos() + scenario.duration.nanos();
        for (index, traffic) in scenario.traffic.iter().enumerate() {
            if let Arrivals::Trace { file, speed } = &traffic.arrivals {
                let own_time = length as f64 * speed;
                let frames = replay::cut(&folder.join(file), own_time as u64)?;
                replays.0.insert(index, (name(file, &frames), frames));
            }
        }
        Ok(replays)
    }

    /// The scenario with the captures under the names that they have in the run's folder. These names depend on the content, so
    /// that a plan determines what is sent.
    pub fn named(&self, mut scenario: Scenario) -> Scenario {
        for (index, (name, _)) in &self.0 {
            if let Arrivals::Trace { file, .. } = &mut scenario.traffic[*index].arrivals {
                file.clone_from(name);
            }
        }
        scenario
    }

    /// Stores them in the run's folder. Its trials and its report are made from these.
    pub fn store(&self, run: &Path) -> Result<(), Failure> {
        let run = RunReader::new(run);
        for (name, frames) in self.0.values() {
            let path = run.trace(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(Failure::io("create the folder", folder))?;
            }
            replay::write(&path, frames)?;
        }
        Ok(())
    }
}

/// The name of a replayed capture: its own for people, and a hash of the content.
fn name(file: &Path, frames: &[Captured]) -> PathBuf {
    let mut hash = blake3::Hasher::new();
    for frame in frames {
        hash.update(&frame.at.to_le_bytes());
        hash.update(&frame.len.to_le_bytes());
    }
    let stem = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.split('.').next().unwrap_or_default();
    let plain: String = stem
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    PathBuf::from(format!(
        "{plain}-{}.pcap.zst",
        &hash.finalize().to_hex()[..16]
    ))
}

/// Brings the captures to the generator that replays them.
pub fn bring_traces(
    generator: &mut TrialHost,
    plans: &[FlowPlan],
    run: &Path,
) -> Result<(), Failure> {
    let run = RunReader::new(run);
    for plan in plans {
        if let Arrivals::Trace { file, .. } = &plan.arrivals {
            let path = run.trace(file);
            let content =
                std::fs::read(&path).map_err(Failure::io("read what is replayed from", &path))?;
            let there = trace_on_host(&generator.folder, file);
            generator.host.deploy(&content, &there, 0o600, STEP)?;
        }
    }
    Ok(())
}

fn trace_on_host(folder: &Path, file: &Path) -> PathBuf {
    folder.join(file.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_replayed_capture_depends_on_its_content() {
        let frame = |at| Captured { at, len: 60 };
        let first = name(Path::new("../up/my cap.v2.pcap"), &[frame(0), frame(7)]);
        assert!(first.to_string_lossy().starts_with("mycap-"), "{first:?}");
        assert_eq!(first.components().count(), 1);
        let other = name(Path::new("my cap.pcap"), &[frame(0), frame(8)]);
        assert_ne!(first, other);
        assert_eq!(
            other,
            name(Path::new("/x/mycap.pcapng"), &[frame(0), frame(8)])
        );
    }
}
