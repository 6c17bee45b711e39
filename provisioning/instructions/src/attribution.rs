//! Puts counted instructions to functions, and functions to domains.

use std::collections::BTreeMap;

use crate::counts::Record;
use crate::owners::{FRAME_BITS, Owners};
use crate::symbols::Symbols;

/// What a PV kernel leaves to Xen of every address space (`xen/include/public/arch-x86/xen-x86_64.h`,
/// `HYPERVISOR_VIRT_START` and `_END`).
const XEN: std::ops::Range<u64> = 0xffff_8000_0000_0000..0xffff_8800_0000_0000;
/// From here on an address is a kernel's.
const KERNEL: u64 = 0xffff_8800_0000_0000;
/// dom0's agent is the only program there that is linked to a fixed place (`images/build.sh`).
pub const AGENT: std::ops::Range<u64> = 0x40_0000..0x80_0000;

/// The domain that stands for the hypervisor itself.
pub const HYPERVISOR: &str = "xen";
/// What is built into a kernel, instead of a module's name.
pub const BUILT_IN: &str = "vmlinux";
/// Programs, which are not told apart.
pub const PROGRAMS: &str = "programs";
/// The agent through which the controller speaks to a sealed machine: it counts while the machine is stopped.
pub const AGENT_MODULE: &str = "agent";
/// Code that no table has: made at run time, or of a domain that was not asked.
pub const UNNAMED: &str = "(unnamed)";

/// A domain of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name in the lab.
    pub name: String,
    /// Its kernel's functions.
    pub symbols: Symbols,
}

/// What is known of a machine whose instructions were counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Where QEMU maps the machine's memory.
    pub memory: u64,
    /// The hypervisor's functions.
    pub xen: Symbols,
    /// dom0 first, which owns whatever no other domain was told to own.
    pub domains: Vec<Domain>,
    /// Who owns which frame, by index into `domains`.
    pub owners: Owners,
}

/// A function of a domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    /// A domain's name, or [`HYPERVISOR`].
    pub domain: String,
    /// A module's name, [`BUILT_IN`], [`PROGRAMS`], [`AGENT_MODULE`] or [`HYPERVISOR`].
    pub module: String,
    /// Its name; [`UNNAMED`] where none is known.
    pub name: String,
}

/// What a function did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Instructions.
    pub instructions: u64,
    /// How often its first instruction was begun: calls, as long as it does not loop to there.
    pub entered: u64,
    /// Its reads and writes.
    pub accesses: u64,
    /// Lines of code and data that the first level of caches did not have.
    pub missed_l1: u64,
    /// Of these, what the last level did not have either.
    pub missed_ll: u64,
}

impl Machine {
    /// What every function did, those that did nothing left out.
    pub fn spent(&self, counted: &[Record]) -> BTreeMap<Function, Spent> {
        let mut all: BTreeMap<Function, Spent> = BTreeMap::new();
        for record in counted.iter().filter(|record| record.executed > 0) {
            let (function, first) = self.function(record);
            let spent = all.entry(function).or_default();
            spent.instructions += record.executed;
            if first {
                spent.entered += record.executed;
            }
            spent.accesses += record.accesses;
            spent.missed_l1 += record.fetch_l1 + record.data_l1;
            spent.missed_ll += record.fetch_ll + record.data_ll;
        }
        all
    }

    /// Whose an instruction is, and whether it is the function's first.
    fn function(&self, record: &Record) -> (Function, bool) {
        let address = record.address;
        let of = |domain: &str, module: &str, name: &str| Function {
            domain: domain.to_owned(),
            module: module.to_owned(),
            name: name.to_owned(),
        };
        if XEN.contains(&address) {
            return match self.xen.find(address) {
                Some(symbol) => (
                    of(HYPERVISOR, HYPERVISOR, &symbol.name),
                    symbol.address == address,
                ),
                None => (of(HYPERVISOR, HYPERVISOR, UNNAMED), false),
            };
        }
        let frame = record.host.wrapping_sub(self.memory) >> FRAME_BITS;
        let index = self.owners.of(frame).unwrap_or(0);
        let Some(domain) = self.domains.get(index) else {
            return (of(UNNAMED, UNNAMED, UNNAMED), false);
        };
        if address < KERNEL {
            let agent = index == 0 && AGENT.contains(&address);
            let module = if agent { AGENT_MODULE } else { PROGRAMS };
            return (of(&domain.name, module, UNNAMED), false);
        }
        match domain.symbols.find(address) {
            Some(symbol) => {
                let module = symbol.module.as_deref().unwrap_or(BUILT_IN);
                (
                    of(&domain.name, module, &symbol.name),
                    symbol.address == address,
                )
            }
            None => (of(&domain.name, BUILT_IN, UNNAMED), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: u64 = 0x7f00_0000_0000;

    fn machine() -> Machine {
        let mut owners = Owners::default();
        owners.add(1, "mfn=0x200").expect("a frame");
        let symbols = |text| Symbols::parse(text);
        Machine {
            memory: MEMORY,
            xen: symbols("ffff82d040200000 T do_grant_table_op\n"),
            domains: vec![
                Domain {
                    name: "dom0".to_owned(),
                    symbols: symbols(
                        "ffffffff81000000 T netif_rx\nffffffffc0000000 t xenvif_poll [xen_netback]\n",
                    ),
                },
                Domain {
                    name: "u1".to_owned(),
                    symbols: symbols("ffffffff81000000 T netif_rx\n"),
                },
            ],
            owners,
        }
    }

    fn at(address: u64, frame: u64, executed: u64) -> Record {
        Record {
            address,
            host: MEMORY + (frame << FRAME_BITS) + (address & 0xfff),
            executed,
            accesses: 2 * executed,
            data_l1: 3,
            fetch_ll: 1,
            ..Record::default()
        }
    }

    #[test]
    fn the_same_kernel_in_two_domains_is_told_apart_by_its_memory() {
        let spent = machine().spent(&[
            at(0xffff_ffff_8100_0000, 0x100, 5),
            at(0xffff_ffff_8100_0004, 0x100, 5),
            at(0xffff_ffff_8100_0000, 0x200, 7),
            at(0xffff_ffff_c000_0010, 0x101, 1),
            at(0xffff_82d0_4020_0000, 0x300, 2),
            at(0x40_1000, 0x100, 9),
            at(0x40_1000, 0x200, 9),
            at(0xffff_ffff_9000_0000, 0x100, 4),
            at(0xffff_ffff_8100_0000, 0x100, 0),
        ]);
        let lines: Vec<String> = spent
            .iter()
            .map(|(of, spent)| {
                format!(
                    "{} {} {}: {} in {}",
                    of.domain, of.module, of.name, spent.instructions, spent.entered
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                "dom0 agent (unnamed): 9 in 0",
                "dom0 vmlinux (unnamed): 4 in 0",
                "dom0 vmlinux netif_rx: 10 in 5",
                "dom0 xen_netback xenvif_poll: 1 in 0",
                "u1 programs (unnamed): 9 in 0",
                "u1 vmlinux netif_rx: 7 in 7",
                "xen xen do_grant_table_op: 2 in 2",
            ]
        );
    }

    #[test]
    fn misses_of_code_and_data_are_added() {
        let spent = machine().spent(&[at(0xffff_ffff_8100_0000, 0x100, 5)]);
        let one = spent.values().next().expect("one function");
        assert_eq!((one.accesses, one.missed_l1, one.missed_ll), (10, 3, 1));
    }
}
