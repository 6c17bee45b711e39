//! Whether a scenario can run on a lab.

use thiserror::Error;

use crate::file::nearest;
use crate::lab::{HostName, Lab, Role, Sender};
use crate::scenario::{Mode, Protocol, Scenario};

/// Why a scenario cannot run on a lab. All of these are bad input (exit code 2).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// A flow goes to a machine that the lab does not have.
    #[error(
        "flow {flow} goes to `{to}`, which the lab `{lab}` does not have; {}",
        guests_hint(to, guests)
    )]
    UnknownGuest {
        /// The lab's name.
        lab: String,
        /// The flow's number in the plan, from 0.
        flow: usize,
        /// Where it should go.
        to: HostName,
        /// The lab's guests.
        guests: Vec<HostName>,
    },
    /// A flow goes to a machine that is no guest.
    #[error(
        "flow {flow} goes to `{to}`, which is no guest of the lab `{lab}`; {}",
        guests_hint(to, guests)
    )]
    NotAGuest {
        /// The lab's name.
        lab: String,
        /// The flow's number in the plan, from 0.
        flow: usize,
        /// Where it should go.
        to: HostName,
        /// The lab's guests.
        guests: Vec<HostName>,
    },
    /// The flows go to guests of several dom0s; only one is under test at a time.
    #[error(
        "the flows go to guests of several dom0s ({}); use guests of one dom0",
        list(dom0s)
    )]
    SeveralDom0s {
        /// The dom0s.
        dom0s: Vec<HostName>,
    },
    /// There is no host to test.
    #[error("the lab `{lab}` has no dom0; add a host with `role: dom0` to the lab file")]
    NoDom0 {
        /// The lab's name.
        lab: String,
    },
    /// A machine lacks the address that a flow's protocol needs.
    #[error("flow {flow} is {}, but `{host}` has no such address; add `{}` to it in the lab file", protocol.words(), key(*protocol))]
    NoAddress {
        /// The flow's number in the plan, from 0.
        flow: usize,
        /// Receiver or sender.
        host: String,
        /// The flow's protocol.
        protocol: Protocol,
    },
    /// Sealed trials need virtual time.
    #[error(
        "the scenario is sealed, but the lab `{lab}` does not run in virtual time; use `mode: open`, or a virtual lab (`vifbench lab up`)"
    )]
    SealedNeedsVirtual {
        /// The lab's name.
        lab: String,
    },
    /// Sealed trials need a generator inside.
    #[error(
        "the scenario is sealed, but no generator of the lab `{lab}` is a domU; add a host with `role: generator` and `on: DOM0`, or use `mode: open`"
    )]
    SealedNeedsGenerator {
        /// The lab's name.
        lab: String,
    },
    /// Open trials need a generator outside.
    #[error(
        "the scenario is open, but nothing outside the lab `{lab}` can send; add `controller:` or a host with `role: generator` without `on`"
    )]
    OpenNeedsGenerator {
        /// The lab's name.
        lab: String,
    },
    /// The sender runs on another dom0 than the receivers.
    #[error(
        "the generator `{generator}` runs on `{on}`, not on `{dom0}` as the guests do; use a generator on `{dom0}`"
    )]
    GeneratorElsewhere {
        /// The sender.
        generator: HostName,
        /// Its dom0.
        on: HostName,
        /// The dom0 under test.
        dom0: HostName,
    },
}

fn list(names: &[HostName]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn guests_hint(to: &HostName, guests: &[HostName]) -> String {
    if guests.is_empty() {
        return "it has no guests: add one with `role: guest` to the lab file".to_owned();
    }
    match nearest(&to.0, guests.iter().map(|guest| guest.0.as_str())) {
        Some(near) => format!("did you mean `{near}`? Its guests are {}", list(guests)),
        None => format!("its guests are {}", list(guests)),
    }
}

fn key(protocol: Protocol) -> &'static str {
    if protocol.is_v6() {
        "address6"
    } else {
        "address"
    }
}

impl Scenario {
    /// Whether it can run on that lab.
    ///
    /// # Errors
    /// All problems found.
    pub fn check(&self, lab: &Lab) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        if lab.of_role(Role::Dom0).next().is_none() {
            problems.push(Problem::NoDom0 {
                lab: lab.name.clone(),
            });
        }
        let dom0s = self.receivers(lab, &mut problems);
        self.sender(lab, &dom0s, &mut problems);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// Checks where the flows go; gives the dom0s of their guests.
    fn receivers(&self, lab: &Lab, problems: &mut Vec<Problem>) -> Vec<HostName> {
        let guests = || {
            lab.of_role(Role::Guest)
                .map(|guest| guest.name.clone())
                .collect()
        };
        let mut dom0s: Vec<HostName> = Vec::new();
        for (index, traffic) in self.traffic.iter().enumerate() {
            let (flow, to, lab_name) = (index, traffic.to.clone(), lab.name.clone());
            match lab.host(&traffic.to) {
                None => problems.push(Problem::UnknownGuest {
                    lab: lab_name,
                    flow,
                    to,
                    guests: guests(),
                }),
                Some(host) if host.role != Role::Guest => {
                    problems.push(Problem::NotAGuest {
                        lab: lab_name,
                        flow,
                        to,
                        guests: guests(),
                    });
                }
                Some(host) => {
                    if host.address_for(traffic.protocol).is_none() {
                        problems.push(Problem::NoAddress {
                            flow,
                            host: to.0,
                            protocol: traffic.protocol,
                        });
                    }
                    dom0s.extend(host.on.clone().filter(|on| !dom0s.contains(on)));
                }
            }
        }
        if dom0s.len() > 1 {
            problems.push(Problem::SeveralDom0s {
                dom0s: dom0s.clone(),
            });
        }
        dom0s
    }

    fn sender(&self, lab: &Lab, dom0s: &[HostName], problems: &mut Vec<Problem>) {
        let name = || lab.name.clone();
        if self.mode == Mode::Sealed && !lab.is_virtual {
            problems.push(Problem::SealedNeedsVirtual { lab: name() });
            return;
        }
        let Some(sender) = lab.sender(self.mode) else {
            problems.push(match self.mode {
                Mode::Sealed => Problem::SealedNeedsGenerator { lab: name() },
                Mode::Open => Problem::OpenNeedsGenerator { lab: name() },
            });
            return;
        };
        if let (Sender::Host(host), [dom0]) = (sender, dom0s)
            && let Some(on) = host.on.as_ref().filter(|on| *on != dom0)
        {
            problems.push(Problem::GeneratorElsewhere {
                generator: host.name.clone(),
                on: on.clone(),
                dom0: dom0.clone(),
            });
        }
        for protocol in Protocol::ALL {
            let first = self
                .traffic
                .iter()
                .position(|traffic| traffic.protocol == protocol);
            if let Some(index) = first.filter(|_| sender.address_for(protocol).is_none()) {
                problems.push(Problem::NoAddress {
                    flow: index,
                    host: sender.name().to_owned(),
                    protocol,
                });
            }
        }
    }
}
