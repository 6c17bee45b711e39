//! How a host gets ready: SSH, enrolment, leases, undo, modules built, swapped and proved, and the virtual lab.

pub mod host;
pub mod lab;
pub mod modules;
