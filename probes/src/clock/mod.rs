//! Clocks: reading them, and exchanging readings with another host.

pub mod discipline;
pub mod exchange;
pub mod reading;
