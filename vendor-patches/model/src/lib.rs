//! The reference of what the patches do to packets: regulators, containers, and a simulator of them.
//!
//! The kernel's C core must equal [`regulator`], [`stage`], [`packing`] and [`playout`] bit for bit. Everything here is a
//! pure function of its inputs and the same on every machine: times are whole nanoseconds, randomness is `ChaCha8`, and
//! logarithms are `libm`'s own.

pub mod arithmetic;
pub mod arrivals;
pub mod bound;
pub mod container;
pub mod engine;
pub mod estimator;
pub mod experiment;
pub mod measure;
pub mod packing;
pub mod pareto;
pub mod playout;
pub mod regulator;
pub mod service;
pub mod simulate;
pub mod stage;
pub mod theory;
