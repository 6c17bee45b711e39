//! `vifprobe`: the one binary sent to hosts.
fn main() {}
