//! The instructions that a sealed trial executed, by function: QEMU's plugin counts them around the trial's packets, and the
//! machine's own symbols say to which function they belong.
//!
//! Symbols and owners of memory are queried after the trial's results are here. Until then a counted trial receives the same
//! requests as one that is not counted, and gives the same packets.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vifbench_instructions::attribution::{Domain, Machine as Known};
use vifbench_instructions::counts::{Counts, Record};
use vifbench_instructions::owners::Owners;
use vifbench_instructions::symbols::Symbols;
use vifbench_provisioning::host::HostExt as _;
use vifbench_scenarios::lab::{Lab, Role};
use vifbench_store::{FunctionCount, INSTRUCTIONS_FILE, INSTRUCTIONS_FORMAT, InstructionsRecord};

use super::trial_hosts::{TrialHost, TrialHosts};
use crate::error::Failure;

/// The time for a kernel's table of symbols: an emulated kernel is slow at unpacking two hundred thousand names.
const TABLE: Duration = Duration::from_secs(300);

/// The counts before a trial, read while the machine stands still.
#[derive(Debug)]
pub struct CountsBefore {
    counts: Counts,
    memory: u64,
    records: Vec<Record>,
}

/// What a trial executed.
#[derive(Debug)]
pub struct Executed {
    /// Where QEMU maps the machine's memory.
    memory: u64,
    records: Vec<Record>,
}

fn unread(source: std::io::Error) -> Failure {
    Failure::Io {
        doing: "read the instructions counted by QEMU's plugin in",
        path: PathBuf::from("counts"),
        source,
    }
}

impl CountsBefore {
    /// The trial begins. The simulated caches are empty, whatever ran before.
    pub fn read((counts, memory): (Counts, u64)) -> Result<Self, Failure> {
        counts.empty_caches().map_err(unread)?;
        let records = counts.read().map_err(unread)?;
        Ok(Self {
            counts,
            memory,
            records,
        })
    }

    /// The trial has ended.
    pub fn until_now(self) -> Result<Executed, Failure> {
        let mut records = self.counts.read().map_err(unread)?;
        // Records are only ever appended.
        for (record, before) in records.iter_mut().zip(&self.records) {
            *record = record.since(before);
        }
        Ok(Executed {
            memory: self.memory,
            records,
        })
    }
}

/// The plugin is built beside vifbench.
pub fn plugin() -> Result<PathBuf, Failure> {
    let here =
        std::env::current_exe().map_err(Failure::io("find the path of", Path::new("vifbench")))?;
    Ok(here.with_file_name("libvifbench_qemu_plugin.so"))
}

/// Where functions lie in memory, by saved state: a state that is loaded again has everything where it was, and to query an
/// emulated kernel for its symbols takes longer than a trial.
#[derive(Debug, Default)]
pub struct SymbolMaps {
    state: String,
    known: BTreeMap<String, Known>,
}

impl SymbolMaps {
    /// This state is in the machine from now on.
    pub fn loaded(&mut self, state: &str) {
        state.clone_into(&mut self.state);
    }

    /// Attributes the counts to functions and writes `instructions.json` of a trial in which so many packets were sent.
    pub fn write(
        &mut self,
        executed: &Executed,
        lab: &Lab,
        hosts: &mut TrialHosts,
        packets: u64,
        part: &Path,
    ) -> Result<(), Failure> {
        let map = self.map(lab, hosts)?;
        map.memory = executed.memory;
        let functions = map
            .spent(&executed.records)
            .into_iter()
            .map(|(function, spent)| FunctionCount {
                domain: function.domain,
                module: function.module,
                function: function.name,
                instructions: spent.instructions,
                entered: spent.entered,
                accesses: spent.accesses,
                missed_l1: spent.missed_l1,
                missed_ll: spent.missed_ll,
            })
            .collect();
        let record = InstructionsRecord {
            format: INSTRUCTIONS_FORMAT,
            packets,
            functions,
        };
        let path = part.join(INSTRUCTIONS_FILE);
        let text = serde_json::to_vec(&record)
            .map_err(std::io::Error::from)
            .map_err(Failure::io("write", &path))?;
        fs::write(&path, text).map_err(Failure::io("write", &path))
    }

    /// The map of the loaded state. It has the symbols of the hosts of the trial.
    fn map(&mut self, lab: &Lab, hosts: &mut TrialHosts) -> Result<&mut Known, Failure> {
        let names: Vec<String> = hosts.names().collect();
        let key = format!("{} {}", self.state, names.join(" "));
        Ok(match self.known.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(query(lab, hosts)?),
        })
    }
}

/// Queries the hosts for their symbols. The modules of a guest that takes no part in the trial stay unnamed.
fn query(lab: &Lab, hosts: &mut TrialHosts) -> Result<Known, Failure> {
    let guests: Vec<String> = lab
        .hosts
        .iter()
        .filter(|spec| spec.on.is_some())
        .map(|spec| spec.name.to_string())
        .collect();
    let mut modules = BTreeMap::new();
    let mut dom0 = None;
    for host in hosts.iter_mut() {
        if host.spec.role == Role::Dom0 {
            let kernel = symbols(host, "/proc/kallsyms")?;
            let xen = symbols(host, "/proc/xen/xensyms")?;
            dom0 = Some((host.name(), kernel, xen, owners(host, &guests)?));
        } else {
            let table = text(host, "grep -i ' [tw] .*\\[' /proc/kallsyms")?;
            modules.insert(host.name(), Symbols::parse(&table));
        }
    }
    let (name, kernel, xen, owners) =
        dom0.ok_or_else(|| Failure::Internal("a trial runs, but the lab has no dom0".to_owned()))?;
    let none = Symbols::default();
    let mut domains = vec![Domain {
        name,
        symbols: kernel.clone(),
    }];
    domains.extend(guests.into_iter().map(|guest| Domain {
        // All kernels of the lab are one image, and a PV kernel is not moved: what is built in lies where dom0 has it.
        symbols: kernel.with_modules_of(modules.get(&guest).unwrap_or(&none)),
        name: guest,
    }));
    Ok(Known {
        memory: 0,
        xen,
        domains,
        owners,
    })
}

fn text(host: &mut TrialHost, command: &str) -> Result<String, Failure> {
    Ok(host.host.check(command, TABLE)?.text())
}

/// Which pages of the machine's memory belong to which guest.
fn owners(dom0: &mut TrialHost, guests: &[String]) -> Result<Owners, Failure> {
    let mut owners = Owners::default();
    for (index, guest) in guests.iter().enumerate() {
        let command = format!("/usr/lib/xen-*/bin/xen-mfndump dump-p2m $(xl domid '{guest}')");
        let pages = text(dom0, &command)?;
        owners
            .add(index + 1, &pages)
            .map_err(|why| Failure::Answer {
                host: dom0.name(),
                command,
                why,
            })?;
    }
    Ok(owners)
}

/// The functions of a table, without data.
fn symbols(dom0: &mut TrialHost, table: &str) -> Result<Symbols, Failure> {
    let symbols = Symbols::parse(&text(dom0, &format!("grep -i ' [tw] ' {table}"))?);
    if symbols.is_empty() {
        return Err(Failure::Answer {
            host: dom0.name(),
            command: format!("cat {table}"),
            why: "its addresses are hidden; kernel.kptr_restrict must allow root to see them"
                .to_owned(),
        });
    }
    Ok(symbols)
}
