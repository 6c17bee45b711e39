//! A plugin of QEMU's: counts how often each instruction of the emulated machine is executed, and how often it misses
//! in simulated caches.
//!
//! QEMU is started with `-plugin libvifbench_qemu_plugin.so,counts=PATH`. The counts are memory that the plugin shares with
//! the controller (`vifbench_instructions::counts`): while the machine stands still the controller reads them, before a
//! trial and after it, and the difference is the trial's. Nothing in the emulated machine notices: the clock of virtual
//! time counts the machine's own instructions, not what is added to them, and a counted trial gives the same packets at
//! the same nanosecond.
//!
//! Instructions are told apart by the place that holds them, not only by their address: dom0 and every guest run the
//! same kernel at the same addresses, each from memory of its own.
//!
//! The interface is QEMU's plugin interface, version 1 (`include/qemu/qemu-plugin.h`), which Debian 12's QEMU 7.2 has.

mod cache;
mod plugin;
mod qemu;
