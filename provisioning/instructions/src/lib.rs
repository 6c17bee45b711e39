//! Where the instructions of the virtual lab go.
//!
//! QEMU's plugin counts every instruction of the machine ([`counts`]). Which function of which domain an instruction
//! belongs to is told by the machine's own symbols ([`symbols`]) and by Xen, who knows which domain owns which memory
//! ([`owners`]); [`attribution`] joins them.

pub mod attribution;
pub mod counts;
pub mod owners;
pub mod symbols;
