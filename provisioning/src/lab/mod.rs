//! The virtual lab: a real Xen host with three guests under QEMU in virtual time.
//!
//! [`VirtualLab::up`] makes images (cached by content), a network namespace with a tap in it, and the machine;
//! the first start of a machine boots it and keeps its state, every later one loads that state. A lab outlives
//! the process that started it: [`VirtualLab::attach`] finds it again.

mod combination;
mod console;
mod error;
mod files;
mod images;
mod machine;
mod machines;
mod network;
mod patience;
mod qmp;
mod rendezvous;
mod starts;
mod turns;
mod virtual_lab;
mod watch;

pub use combination::Combination;
pub use error::LabError;
pub use files::cache_root;
pub use images::{Images, build as build_images, releases as kernel_releases};
pub use patience::{Step, step, tell_waits};
pub use rendezvous::{Rendezvous, SealedHost, Shared, Turn};
pub use virtual_lab::{HostStatus, InUse, LabStatus, UpOptions, UpTimes, VirtualLab};
pub use watch::{CrashWatch, Sighting};
