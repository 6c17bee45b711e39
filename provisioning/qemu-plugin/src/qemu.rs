//! What is used of QEMU's plugin interface, version 1, declared by its documentation. QEMU itself defines these functions:
//! they are found when it loads the plugin.

#![expect(unsafe_code, reason = "functions of QEMU's, which is written in C")]

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The version of the interface that is asked for.
pub const VERSION: c_int = 1;
/// `QEMU_PLUGIN_CB_NO_REGS`: a callback reads and writes no register of the machine.
pub const NO_REGISTERS: c_int = 0;
/// `QEMU_PLUGIN_MEM_RW`: reads and writes.
pub const READS_AND_WRITES: c_int = 3;
/// `QEMU_PLUGIN_INLINE_ADD_U64`.
pub const ADD: c_int = 0;

/// Names a loaded plugin.
pub type Id = u64;

/// `qemu_info_t`: what is emulated.
#[derive(Debug)]
#[repr(C)]
pub struct Info {
    pub target: *const c_char,
    pub version_min: c_int,
    pub version_cur: c_int,
    pub system: bool,
    pub smp_vcpus: c_int,
    pub max_vcpus: c_int,
}

/// `struct qemu_plugin_tb`: a block of instructions, as it is translated.
#[repr(C)]
pub struct Block {
    private: [u8; 0],
}

/// `struct qemu_plugin_insn`: an instruction of a block.
#[repr(C)]
pub struct Instruction {
    private: [u8; 0],
}

/// `struct qemu_plugin_hwaddr`: where an access went.
#[repr(C)]
pub struct Place {
    private: [u8; 0],
}

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, done: extern "C" fn(Id, *mut Block));
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    pub fn qemu_plugin_insn_haddr(instruction: *const Instruction) -> *mut c_void;
    pub fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut Instruction,
        operation: c_int,
        word: *mut u64,
        by: u64,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        begun: extern "C" fn(c_uint, *mut c_void),
        registers: c_int,
        given: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Instruction,
        accessed: extern "C" fn(c_uint, u32, u64, *mut c_void),
        registers: c_int,
        which: c_int,
        given: *mut c_void,
    );
    pub fn qemu_plugin_get_hwaddr(what: u32, address: u64) -> *mut Place;
    pub fn qemu_plugin_hwaddr_phys_addr(place: *const Place) -> u64;
    pub fn qemu_plugin_hwaddr_is_io(place: *const Place) -> bool;
}
