//! The formats that probes, harness and reports share.
//!
//! The crate holds vifbench's packet format, the messages between controller and probe, capture files, send schedules,
//! replays of captures, and the estimation of clock offsets. It opens no socket, needs no privilege and links neither
//! Xen nor libpcap, so a program that only reads results can use it.

pub mod clock_estimate;
pub mod dissect;
pub mod flow_frames;
pub mod packet;
pub mod pcap_file;
pub mod protocol;
pub mod replay;
pub mod schedule;
pub mod synthetic_clocks;
