//! Clocks: reading them, exchanging readings with another host, and estimating offset and skew with a bound.

pub mod discipline;
pub mod estimate;
pub mod exchange;
pub mod reading;
pub mod synthetic;
