//! What measures a trial: where packets are captured and counted, and what each probe prepares.

use std::path::PathBuf;

use vifbench_scenarios::lab::{HostName, HostSpec, Role};
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::scenario::SendBy;
use vifbench_wire::packet::FILTER;
use vifbench_wire::protocol::{
    CaptureOptions, CaptureSpec, ClockWatch, FlowSpec, Generate, Pace, Point, Prepare, RespondSpec,
};

use super::machine_kind::MachineKind;
use super::place::Place;
use super::ports::Ports;
use super::rings;
use super::schedule::length_ns;
use super::traffic;
use super::trial_hosts::TrialHosts;
use crate::error::Failure;

/// Bytes kept of each packet: Ethernet, VLAN, IPv6, UDP and vifbench's header, with room to spare.
const SNAPLEN: u32 = 128;
/// From this length on a trial's clocks are compared while it runs: a round of a few frames of 60 bytes each second, which
/// no load of a measurement notices.
const LONG_NS: u64 = 10_000_000_000;
const CLOCK_EVERY_NS: u64 = 1_000_000_000;
const CLOCK_ROUND: u32 = 3;
/// Samples of the counters in a trial, and the least time between two of them.
const SAMPLES: u64 = 10;
const LEAST_BETWEEN_SAMPLES_NS: u64 = 100_000_000;

/// What measures a trial.
pub struct Instruments {
    /// The interface of dom0 that answers clock exchanges.
    pub reference_interface: String,
    /// Its address.
    pub reference_mac: String,
    /// The interface by which packets enter dom0.
    nic: String,
    /// Each receiving guest and its vif in dom0.
    vifs: Vec<(HostName, String)>,
    /// What a patched netback shows of each queue of those vifs.
    queues: Vec<PathBuf>,
    /// What the generator sends.
    flows: Vec<FlowSpec>,
    /// What answers, and in which guest.
    responders: Vec<(HostName, RespondSpec)>,
    sender: SendBy,
    warmup_ns: u64,
    pace: Pace,
    /// Bytes of each kernel ring, and rings of each point.
    rings: (u32, u8),
    sample_every_ns: u64,
    /// The time between rounds of clock exchanges during the trial; none where it is short or the clocks are not real.
    clock_every_ns: Option<u64>,
}

impl Instruments {
    /// Chooses the instruments of a trial. dom0 is asked where packets pass.
    pub fn choose(
        place: &dyn Place,
        hosts: &mut TrialHosts,
        plan: &TrialPlan,
    ) -> Result<Self, Failure> {
        let generator = hosts.sender()?;
        let (traces, generator) = (generator.folder.clone(), generator.spec.clone());
        let mut guests: Vec<HostName> = Vec::new();
        let mut flows = Vec::new();
        for flow in &plan.flows {
            let guest = place.lab().host(&flow.to).ok_or_else(|| {
                Failure::Internal(format!(
                    "a trial began on a lab without the guest {}",
                    flow.to
                ))
            })?;
            flows.push(traffic::flow(flow, &generator, guest, &traces)?);
            if !guests.contains(&guest.name) {
                guests.push(guest.name.clone());
            }
        }
        let dom0 = hosts.dom0();
        let ports = place.ports(dom0, &guests)?;
        let nic = place.ingress(&ports, &generator, &dom0.spec)?;
        let vifs = vifs(&ports, guests)?;
        Ok(Self {
            reference_interface: dom0.spec.reference_interface().to_owned(),
            queues: ports.queues_of(&vifs),
            reference_mac: ports.reference_mac,
            nic,
            vifs,
            responders: traffic::responders(&flows, &plan.flows),
            flows,
            sender: plan.sender,
            warmup_ns: plan.warmup.nanos(),
            pace: place.kind().pace(),
            rings: rings::of(plan, SNAPLEN, place.kind()),
            sample_every_ns: (plan.duration.nanos() / SAMPLES).max(LEAST_BETWEEN_SAMPLES_NS),
            clock_every_ns: clock_every_ns(place.kind(), plan),
        })
    }

    /// The interfaces of a host that carry the trial's packets.
    pub fn interfaces(&self, host: &HostSpec) -> Vec<String> {
        if host.role != Role::Dom0 {
            return vec![host.interface.clone()];
        }
        let mut all = vec![self.nic.clone()];
        all.extend(self.vifs.iter().map(|(_, vif)| vif.clone()));
        all
    }

    /// What the probe of a host prepares.
    pub fn prepare(&self, host: &HostSpec, trial: u32) -> Prepare {
        let mut prepare = Prepare {
            trial,
            captures: self.captures(host),
            generate: None,
            respond: Vec::new(),
            counters: self.interfaces(host),
            files: Vec::new(),
            domains: false,
            sample_every_ns: self.sample_every_ns,
            clock: self.clock_every_ns.map(|every_ns| ClockWatch {
                interface: host.interface.clone(),
                peer_mac: self.reference_mac.clone(),
                every_ns,
                count: CLOCK_ROUND,
            }),
        };
        match host.role {
            Role::Generator => prepare.generate = Some(self.generate(&host.interface)),
            Role::Guest => {
                let own = self.responders.iter().filter(|(of, _)| *of == host.name);
                prepare.respond = own.map(|(_, spec)| spec.clone()).collect();
            }
            // The reference has nothing to compare its clock with.
            Role::Dom0 => {
                prepare.files.clone_from(&self.queues);
                prepare.domains = true;
                prepare.clock = None;
            }
        }
        prepare
    }

    fn generate(&self, interface: &str) -> Generate {
        Generate {
            interface: interface.to_owned(),
            pace: self.pace,
            sender: self.sender,
            warmup_ns: self.warmup_ns,
            flows: self.flows.clone(),
        }
    }

    fn captures(&self, host: &HostSpec) -> Vec<CaptureSpec> {
        match host.role {
            Role::Generator => vec![self.capture(Point::Tx, None, &host.interface)],
            Role::Guest => vec![self.capture(Point::Rx, Some(&host.name), &host.interface)],
            Role::Dom0 => {
                let vifs = self.vifs.iter();
                let vifs = vifs.map(|(guest, vif)| self.capture(Point::Vif, Some(guest), vif));
                std::iter::once(self.capture(Point::Nic, None, &self.nic))
                    .chain(vifs)
                    .collect()
            }
        }
    }

    fn capture(&self, point: Point, guest: Option<&HostName>, interface: &str) -> CaptureSpec {
        CaptureSpec {
            point,
            guest: guest.map(ToString::to_string),
            interface: interface.to_owned(),
            filter: FILTER.to_owned(),
            snaplen: SNAPLEN,
            buffer: self.rings.0,
            options: CaptureOptions {
                rings: self.rings.1,
                ..CaptureOptions::default()
            },
        }
    }
}

/// Each guest with its vif in dom0.
fn vifs(ports: &Ports, guests: Vec<HostName>) -> Result<Vec<(HostName, String)>, Failure> {
    guests
        .into_iter()
        .map(|name| ports.vif(&name).map(|vif| (name, vif)))
        .collect()
}

fn clock_every_ns(kind: MachineKind, plan: &TrialPlan) -> Option<u64> {
    match kind {
        MachineKind::Real => (length_ns(plan) >= LONG_NS).then_some(CLOCK_EVERY_NS),
        MachineKind::Emulated => None,
    }
}
