//! Tells the tests whether the patch series has the C core that the model is held against.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(c_core)");
    println!("cargo::rerun-if-env-changed=VIFBENCH_SERIES");
    let series = std::env::var("VIFBENCH_SERIES").unwrap_or_else(|_| {
        // Asked when it runs, not when it is compiled: a build folder may be used from another clone.
        let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
        format!("{here}/../linux-6.1")
    });
    println!("cargo::rerun-if-changed={series}");
    println!("cargo::rustc-env=VIFBENCH_SERIES={series}");
    let read = |name: &str| {
        let path = Path::new(&series).join(name);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    };
    let made = read("series")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .any(|name| read(name).contains("\n+++ b/include/xen/xen_netagg.h"));
    if made {
        println!("cargo::rustc-cfg=c_core");
    }
}
