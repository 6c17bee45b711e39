//! What the packets of one trial amount to; one file a definition (texts and sources: [`crate::definitions`]).

pub mod containers;
pub mod counts;
pub mod cpu;
pub mod delay;
pub mod flow;
pub mod jitter;
pub mod rate;
pub mod reordering;
pub mod transactions;
