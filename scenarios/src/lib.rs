//! What can be asked of vifbench: units, labs, scenarios, and the plan that a run makes of them.
//!
//! This room has no I/O beyond reading the files it is given, and depends on no other room.

pub mod acknowledged;
pub mod arrivals;
pub mod file;
pub mod fit;
mod frame_size;
mod holds;
mod host_name;
pub mod judge;
pub mod lab;
pub mod library;
pub mod night;
pub mod plan;
pub mod progress;
mod rules;
pub mod scenario;
pub mod search;
mod send_by;
mod simulated;
pub mod timing;
pub mod units;
mod yaml;
