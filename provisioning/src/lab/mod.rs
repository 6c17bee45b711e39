//! The virtual lab: a real Xen host under QEMU in virtual time.
