//! Clocks: reading them, and exchanging readings with another host.

pub mod exchange;
pub mod reading;
