//! How a host gets ready: SSH, enrolment, leases, undo, modules built, swapped and proved, and the virtual lab.

mod connection;
pub mod host;
pub mod keys;
pub mod lab;
mod lines;
pub mod local;
pub mod modules;
pub mod netns;
pub mod shell;
pub mod ssh;
pub mod wait;
mod worker;
