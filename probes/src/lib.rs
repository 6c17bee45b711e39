//! What touches packets: generators, captures, clocks and counters; and `vifprobe`, the one binary sent to hosts.
//!
//! The controller speaks [`protocol`] to a probe through [`client`]; the probe itself is [`service`]. `reports`
//! reads packets with [`pcap_file`] and [`packet`], and maps clocks with [`clock::estimate`].

pub mod capture;
pub mod client;
pub mod clock;
pub mod counters;
pub mod domains;
pub mod frame;
pub mod frames;
pub mod generator;
mod libpcap;
pub mod loops;
pub mod packet;
pub mod pcap_file;
pub mod protocol;
pub mod realtime;
pub mod replay;
pub mod responder;
pub mod schedule;
pub mod senders;
pub mod service;
mod tcp_socket;
pub mod trial;
pub mod wait;
