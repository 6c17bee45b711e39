//! What can be asked of vifbench: units, labs, scenarios, and the plan that a run makes of them.
//!
//! This room has no I/O beyond reading the text it is given, and depends on no other room.

pub mod lab;
pub mod plan;
pub mod progress;
pub mod scenario;
pub mod units;
