//! Where the instructions of a sealed trial went: counted by QEMU's plugin around its packets, and
//! put to functions by the machine's own symbols.
//!
//! What lies where, and who owns which memory, is asked after the trial's results are here: a counted trial is asked the
//! same questions as one that is not, and gives the same packets.

use std::collections::BTreeMap;
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

use super::machines::Machine;
use crate::error::Failure;

/// A kernel makes its table of two hundred thousand names from compressed ones: an emulated one takes its time.
const TABLE: Duration = Duration::from_secs(300);

/// A look at the counts while the machine stands still, before a trial.
#[derive(Debug)]
pub struct Before {
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

impl Before {
    /// The trial begins. The simulated caches are empty, whatever ran before.
    pub fn look((counts, memory): (Counts, u64)) -> Result<Self, Failure> {
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

/// Puts the counts to functions and writes `instructions.json` of a trial in which so many packets were sent.
pub fn write(
    executed: &Executed,
    maps: &mut Maps,
    lab: &Lab,
    machines: &mut [Machine],
    packets: u64,
    part: &Path,
) -> Result<(), Failure> {
    let key = maps.key(machines);
    if !maps.known.contains_key(&key) {
        let map = ask(lab, machines)?;
        maps.known.insert(key.clone(), map);
    }
    let map = maps.known.get_mut(&key).ok_or_else(no_dom0)?;
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

/// What lies where, by state: a state that is loaded again has everything where it was, and to ask an emulated kernel for its
/// table takes longer than a trial.
#[derive(Debug, Default)]
pub struct Maps {
    state: String,
    known: BTreeMap<String, Known>,
}

impl Maps {
    /// This state is in the machine from now on.
    pub fn loaded(&mut self, state: &str) {
        state.clone_into(&mut self.state);
    }

    /// The state, and who can be asked in the trial.
    fn key(&self, machines: &[Machine]) -> String {
        let names: Vec<String> = machines.iter().map(Machine::name).collect();
        format!("{} {}", self.state, names.join(" "))
    }
}

fn no_dom0() -> Failure {
    Failure::Internal("a trial runs, but the lab has no dom0".to_owned())
}

/// Asks the machines what lies where. A guest that takes no part in the trial has modules that nobody asked for: they stay
/// unnamed.
fn ask(lab: &Lab, machines: &mut [Machine]) -> Result<Known, Failure> {
    let guests: Vec<String> = lab
        .hosts
        .iter()
        .filter(|spec| spec.on.is_some())
        .map(|spec| spec.name.to_string())
        .collect();
    let mut owners = Owners::default();
    let mut modules = Vec::new();
    let mut dom0 = None;
    for machine in machines.iter_mut() {
        if machine.spec.role == Role::Dom0 {
            let mut text = |command: &str| Ok(machine.host.check(command, TABLE)?.text());
            let kernel = Symbols::parse(&read("/proc/kallsyms", &mut text)?);
            let xen = Symbols::parse(&read("/proc/xen/xensyms", &mut text)?);
            for (index, guest) in guests.iter().enumerate() {
                let command =
                    format!("/usr/lib/xen-*/bin/xen-mfndump dump-p2m $(xl domid '{guest}')");
                let told: Result<String, Failure> = text(&command);
                owners
                    .add(index + 1, &told?)
                    .map_err(|why| Failure::Answer {
                        host: "dom0".to_owned(),
                        command,
                        why,
                    })?;
            }
            dom0 = Some((machine.name(), kernel, xen));
        } else {
            let mut text = |command: &str| Ok(machine.host.check(command, TABLE)?.text());
            let table: Result<String, Failure> = text("grep -i ' [tw] .*\\[' /proc/kallsyms");
            modules.push((machine.name(), Symbols::parse(&table?)));
        }
    }
    let Some((name, kernel, xen)) = dom0 else {
        return Err(no_dom0());
    };
    let mut domains = vec![Domain {
        name,
        symbols: kernel.clone(),
    }];
    for guest in guests {
        let own = modules.iter().find(|(of, _)| *of == guest);
        let none = Symbols::default();
        // All kernels of the lab are one image, and a PV kernel is not moved: what is built in lies where dom0 has it.
        let symbols = kernel.with_modules_of(own.map_or(&none, |(_, symbols)| symbols));
        domains.push(Domain {
            name: guest,
            symbols,
        });
    }
    Ok(Known {
        memory: 0,
        xen,
        domains,
        owners,
    })
}

/// The functions of a table, without data.
fn read(
    table: &str,
    text: &mut dyn FnMut(&str) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let told = text(&format!("grep -i ' [tw] ' {table}"))?;
    if Symbols::parse(&told).is_empty() {
        return Err(Failure::Answer {
            host: "dom0".to_owned(),
            command: format!("cat {table}"),
            why: "its addresses are hidden; kernel.kptr_restrict must allow root to see them"
                .to_owned(),
        });
    }
    Ok(told)
}
