//! What touches packets: generators, captures, clocks and counters; and `vifprobe`, the one binary sent to hosts.
//!
//! The controller speaks [`vifbench_wire::protocol`] to a probe through [`client`]; the probe itself is [`service`].

pub mod capture;
pub mod client;
pub mod clock;
pub mod counters;
pub mod domains;
pub mod generator;
mod libpcap;
pub mod realtime;
pub mod responder;
pub mod senders;
pub mod service;
mod tcp_socket;
pub mod trial;
