//! How a host gets ready: SSH, enrolment, leases, undo, modules built, swapped and proved, and the virtual lab.

mod connection;
pub mod data;
pub mod doctor;
pub mod enrol;
pub mod host;
pub mod keys;
pub mod lab;
pub mod lease;
mod lines;
pub mod local;
mod lock;
pub mod modules;
pub mod netns;
pub mod shell;
pub mod ssh;
pub mod state;
pub mod undo;
mod worker;
