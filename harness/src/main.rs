//! `vifbench`: the command line. Thin: it joins the rooms.
fn main() {}
