//! What QEMU calls. With `-icount` one thread translates and executes all, so nothing here is shared between threads.

#![expect(
    unsafe_code,
    reason = "QEMU speaks C, and the counts are memory that it shares with the controller"
)]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use memmap2::MmapRaw;
use vifbench_instructions::attribution::AGENT;
use vifbench_instructions::counts::{CAPACITY, Header, MAGIC, RECORDS, Record, SIZE};

use crate::cache::{Caches, LINE_BITS, Served};
use crate::qemu::{self, Block, Id, Info};

/// Lines of code are told by QEMU's own addresses, lines of data by the machine's: this bit keeps them apart in the cache
/// of the last level, which holds both.
const CODE: u64 = 1 << 63;

/// Asked for by QEMU before anything else.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = qemu::VERSION;

struct Plugin {
    shared: MmapRaw,
    /// Which record an instruction has, by its address and its place.
    known: HashMap<(u64, u64), usize>,
    caches: Caches,
    epoch: u64,
}

/// Only QEMU's one thread of translation and execution comes here.
struct Only(*mut Plugin);

// SAFETY: the pointer is used by that thread only; it is set before the thread starts.
unsafe impl Send for Only {}
// SAFETY: as above.
unsafe impl Sync for Only {}

static PLUGIN: OnceLock<Only> = OnceLock::new();

/// # Safety
/// To be called from QEMU's thread of translation and execution only, and no two results at once.
unsafe fn plugin<'a>() -> Option<&'a mut Plugin> {
    // SAFETY: it was leaked from a box, lives as long as QEMU, and this thread is the only one.
    PLUGIN.get().map(|only| unsafe { &mut *only.0 })
}

impl Plugin {
    fn new(path: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the file {path} for counts: {error}");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .map_err(failed)?;
        file.set_len(SIZE as u64).map_err(failed)?;
        let shared = MmapRaw::map_raw(&file).map_err(failed)?;
        let this = Self {
            shared,
            known: HashMap::new(),
            caches: Caches::default(),
            epoch: 0,
        };
        // SAFETY: the header lies within the mapping, which is aligned to a page.
        unsafe { (*this.header()).magic = MAGIC };
        Ok(this)
    }

    fn header(&self) -> *mut Header {
        self.shared.as_mut_ptr().cast()
    }

    /// The record of an instruction, a new one where it has none yet; none where there is no more room.
    fn record(&mut self, address: u64, host: u64) -> Option<*mut Record> {
        let header = self.header();
        let next = self.known.len();
        let index = *self.known.entry((address, host)).or_insert(next);
        if index >= CAPACITY {
            self.known.remove(&(address, host));
            // SAFETY: the header lies within the mapping.
            unsafe { (*header).lost += 1 };
            return None;
        }
        let place = RECORDS + index * size_of::<Record>();
        // SAFETY: `index` is below the capacity for which the mapping has room.
        let record: *mut c_void = unsafe { self.shared.as_mut_ptr().add(place).cast() };
        let record: *mut Record = record.cast();
        if index == next {
            // SAFETY: as above; the record is complete before it is counted.
            unsafe {
                (*record).address = address;
                (*record).host = host;
                (*header).used = index as u64 + 1;
            }
        }
        Some(record)
    }

    /// The controller may have asked for empty caches.
    fn keep_epoch(&mut self) {
        // SAFETY: the header lies within the mapping; the controller writes it only while the machine stands still.
        let epoch = unsafe { (*self.header()).epoch };
        if epoch != self.epoch {
            self.epoch = epoch;
            self.caches.empty();
        }
    }
}

/// Called by QEMU once, after it has loaded the plugin.
///
/// # Safety
/// QEMU gives pointers that are valid for the time of the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    info: *const Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's promise.
    let result = unsafe { install(id, &*info, count, arguments) };
    match result {
        Ok(()) => 0,
        Err(why) => {
            // QEMU's standard error, which the controller reads. The return value tells QEMU in any case.
            let _: io::Result<()> = writeln!(io::stderr(), "vifbench's plugin: {why}");
            -1
        }
    }
}

unsafe fn install(
    id: Id,
    info: &Info,
    count: c_int,
    arguments: *const *const c_char,
) -> Result<(), String> {
    if !info.system || info.smp_vcpus != 1 {
        return Err("it counts a whole machine with one virtual CPU (-icount, -smp 1)".to_owned());
    }
    let mut file = None;
    for index in 0..count as usize {
        // SAFETY: QEMU gives `count` strings.
        let argument = unsafe { CStr::from_ptr(*arguments.add(index)) };
        let argument = argument.to_str().map_err(|error| error.to_string())?;
        match argument.split_once('=') {
            Some(("counts", path)) => file = Some(path),
            _ => {
                return Err(format!(
                    "the argument `{argument}` is unknown: give counts=PATH"
                ));
            }
        }
    }
    let plugin = Plugin::new(file.ok_or("say where to count: counts=PATH")?)?;
    let plugin = Box::into_raw(Box::new(plugin));
    if PLUGIN.set(Only(plugin)).is_err() {
        return Err("it is loaded already".to_owned());
    }
    // SAFETY: QEMU's own function, with the id that it gave.
    unsafe { qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    Ok(())
}

/// By what an instruction is told apart. Programs lie somewhere else each time they are started, and are not told apart by
/// function: theirs are told apart by line, and by address only where programs with a fixed place lie.
fn told_apart(address: u64, host: u64) -> (u64, u64) {
    const LINE: u64 = !((1 << LINE_BITS) - 1);
    if address >> 63 == 1 {
        (address, host)
    } else if AGENT.contains(&address) {
        (address & LINE, host & LINE)
    } else {
        (0, host & LINE)
    }
}

/// A block was translated: each of its instructions gets a counter, and a look at the caches.
extern "C" fn translated(_: Id, block: *mut Block) {
    // SAFETY: this is the thread of translation.
    let Some(plugin) = (unsafe { plugin() }) else {
        return;
    };
    let mut line = None;
    // SAFETY: QEMU gives a block that is valid during this call, and instructions of it by their index.
    for index in 0..unsafe { qemu::qemu_plugin_tb_n_insns(block) } {
        // SAFETY: as above.
        let (instruction, address, host) = unsafe {
            let instruction = qemu::qemu_plugin_tb_get_insn(block, index);
            let host = qemu::qemu_plugin_insn_haddr(instruction);
            (
                instruction,
                qemu::qemu_plugin_insn_vaddr(instruction),
                host as u64,
            )
        };
        let (address, host) = told_apart(address, host);
        let Some(record) = plugin.record(address, host) else {
            continue;
        };
        // SAFETY: the record lies in the mapping, which lives as long as QEMU.
        unsafe {
            let executed = &raw mut (*record).executed;
            qemu::qemu_plugin_register_vcpu_insn_exec_inline(instruction, qemu::ADD, executed, 1);
            qemu::qemu_plugin_register_vcpu_mem_cb(
                instruction,
                accessed,
                qemu::NO_REGISTERS,
                qemu::READS_AND_WRITES,
                record.cast(),
            );
        }
        // A line is fetched once for as many instructions of the block as it holds.
        if line.replace(host >> LINE_BITS) != Some(host >> LINE_BITS) {
            // SAFETY: as above.
            unsafe {
                qemu::qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    fetched,
                    qemu::NO_REGISTERS,
                    record.cast(),
                );
            }
        }
    }
}

/// The machine begins to execute from a line.
extern "C" fn fetched(_: c_uint, record: *mut c_void) {
    // SAFETY: this is the thread of execution; the record lies in the mapping.
    let (Some(plugin), record) = (unsafe { (plugin(), &mut *record.cast::<Record>()) }) else {
        return;
    };
    plugin.keep_epoch();
    match plugin.caches.fetch(CODE | (record.host >> LINE_BITS)) {
        Served::First => {}
        Served::Last => record.fetch_l1 += 1,
        Served::Memory => {
            record.fetch_l1 += 1;
            record.fetch_ll += 1;
        }
    }
}

/// The machine read or wrote memory.
extern "C" fn accessed(_: c_uint, what: u32, address: u64, record: *mut c_void) {
    // SAFETY: QEMU's own functions, called where it allows them; the place is valid during this call.
    let line = unsafe {
        let place = qemu::qemu_plugin_get_hwaddr(what, address);
        if place.is_null() || qemu::qemu_plugin_hwaddr_is_io(place) {
            return;
        }
        qemu::qemu_plugin_hwaddr_phys_addr(place) >> LINE_BITS
    };
    // SAFETY: this is the thread of execution; the record lies in the mapping.
    let (Some(plugin), record) = (unsafe { (plugin(), &mut *record.cast::<Record>()) }) else {
        return;
    };
    record.accesses += 1;
    match plugin.caches.access(line) {
        Served::First => {}
        Served::Last => record.data_l1 += 1,
        Served::Memory => {
            record.data_l1 += 1;
            record.data_ll += 1;
        }
    }
}
