//! Puts the digests of the files that vifbench reads while it runs into the program (`src/data`).

#[path = "src/data/part.rs"]
mod part;

use std::path::Path;

use part::Part;

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/data/part.rs");
    let root = Path::new("..");
    for part in Part::ALL {
        let name = format!("{part:?}").to_uppercase();
        for path in part.paths() {
            println!("cargo::rerun-if-changed={}", root.join(path).display());
        }
        println!(
            "cargo::rustc-env=VIFBENCH_DIGEST_{name}={}",
            part.digest(root)?
        );
    }
    Ok(())
}
