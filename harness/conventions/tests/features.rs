//! Selecting one crate must not build third-party crates a second time, with other features than the whole workspace has.

use std::collections::BTreeSet;
use std::process::Command;

/// Every third-party crate of the selection, with its features: a line each.
fn features(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{f}"])
        .args(selection)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("cargo prints UTF-8")
        .lines()
        .map(|line| line.replace(" (*)", "").replace(" (proc-macro)", ""))
        .collect()
}

#[test]
fn a_selected_crate_builds_with_the_features_of_the_workspace() {
    let whole = features(&["--workspace"]);
    for package in [
        "vifbench",
        "vifbench-model",
        "vifbench-probes",
        "vifbench-provisioning",
        "vifbench-reports",
        "vifbench-scenarios",
        "vifbench-wait",
        "vifbench-wire",
    ] {
        let own = features(&["--package", package]);
        let other: Vec<&String> = own.difference(&whole).collect();
        assert!(
            other.is_empty(),
            "{package} builds these with other features than the workspace: add the missing ones to \
             harness/workspace-hack/Cargo.toml: {other:?}"
        );
    }
}
