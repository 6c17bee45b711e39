//! Counters of a host at one moment, and the ruler: what the host is.

pub mod ethtool;
pub mod ruler;
pub mod snapshot;
pub mod usage;
