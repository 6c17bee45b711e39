//! Tells the tests whether the patch series has the C core that the model is held against.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(c_core)");
    println!("cargo::rerun-if-env-changed=VIFBENCH_SERIES");
    let series = std::env::var("VIFBENCH_SERIES")
        .unwrap_or_else(|_| format!("{}/../linux-6.1", env!("CARGO_MANIFEST_DIR")));
    println!("cargo::rerun-if-changed={series}");
    println!("cargo::rustc-env=VIFBENCH_SERIES={series}");
    let names = std::fs::read_to_string(Path::new(&series).join("series")).unwrap_or_default();
    let made = names
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|name| std::fs::read_to_string(Path::new(&series).join(name.trim())).ok())
        .any(|patch| patch.contains("\n+++ b/include/xen/xen_netagg.h"));
    if made {
        println!("cargo::rustc-cfg=c_core");
    }
}
