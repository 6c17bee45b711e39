//! What touches packets: generators, captures, clocks and counters; and `vifprobe`, the one binary sent to hosts.
pub mod protocol;
