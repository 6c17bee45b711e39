//! The probe is sent to hosts, among them emulated ones with little memory: it carries no debug information in any profile.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bin=vifprobe=-Wl,--strip-debug");
}
