//! `cargo xtask package`: the Debian package, in target/debian/.
//!
//! The release programs are built, man pages and completions are printed by the program itself, and the files that it reads
//! while it runs are laid out as they will be installed. `cargo deb` packs them (harness/Cargo.toml lists what goes where).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::step::Step;

/// What the program reads while it runs, from the root of the source tree (`vifbench_provisioning::data::Part`).
const DATA: [&str; 6] = [
    "provisioning/images",
    "provisioning/build-root.sh",
    "provisioning/deb-lines.sh",
    "vendor-patches/linux-6.1",
    "vendor-patches/linux-6.12",
    "vendor-patches/linux-7.3",
];

/// Builds the package.
pub fn run() -> Result<()> {
    if Step::cargo("cargo-deb", &["deb", "--version"])
        .output()
        .is_err()
    {
        Step::cargo(
            "installing cargo-deb (some minutes)",
            &["install", "--locked", "cargo-deb"],
        )
        .run()?;
    }
    Step::cargo("release programs", &["build", "--release", "--locked"])
        .args(&[
            "-p",
            "vifbench",
            "-p",
            "vifbench-probes",
            "-p",
            "vifbench-qemu-plugin",
        ])
        .run()?;

    let stage = Path::new("target/package");
    if stage.exists() {
        fs::remove_dir_all(stage).with_context(|| format!("cannot empty {}", stage.display()))?;
    }
    let made = |folder: &str| -> Result<std::path::PathBuf> {
        let folder = stage.join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    };
    let link = made("bin")?.join("vifbench");
    symlink("../lib/vifbench/vifbench", &link)
        .with_context(|| format!("cannot create {}", link.display()))?;
    let vifbench = "target/release/vifbench";
    let man = made("man")?;
    Step::new("man pages", vifbench)
        .args(&["man", "--out", &man.to_string_lossy()])
        .run()?;
    let completions = made("completions")?;
    for (shell, file) in [
        ("bash", "vifbench.bash"),
        ("zsh", "_vifbench"),
        ("fish", "vifbench.fish"),
    ] {
        let script = Step::new("completions", vifbench)
            .args(&["completions", shell])
            .output()?;
        let file = completions.join(file);
        fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let (plain, executable) = (made("data")?, made("executable")?);
    for path in DATA {
        lay_out(Path::new(path), &plain, &executable)?;
    }
    Step::cargo(
        "the package",
        &["deb", "--no-build", "--locked", "-p", "vifbench"],
    )
    .run()
}

/// Copies a file, or a folder with all that is in it, to the place of its kind: packages give one mode to all files of a pattern.
fn lay_out(path: &Path, plain: &Path, executable: &Path) -> Result<()> {
    let about = || format!("cannot copy {}", path.display());
    let meta = fs::metadata(path).with_context(about)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path).with_context(about)? {
            lay_out(&entry.with_context(about)?.path(), plain, executable)?;
        }
        return Ok(());
    }
    let kind = if meta.permissions().mode() & 0o111 == 0 {
        plain
    } else {
        executable
    };
    let to = kind.join(path);
    let folder = to.parent().unwrap_or(kind);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::copy(path, &to).with_context(about)?;
    Ok(())
}
