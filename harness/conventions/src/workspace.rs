//! The crates of the workspace, as cargo lists them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::Error;

/// One target of a crate: a library, a program, a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The crate's name.
    pub package: String,
    /// The target's name; a program and a library may have the same.
    pub name: String,
    /// `lib`, `bin`, `cdylib`, `test`, `bench` or `example`.
    pub kind: String,
    /// Its first source file.
    pub root: PathBuf,
}

/// Every target of every crate of the workspace, but build scripts.
///
/// # Errors
/// When cargo cannot be run, or does not understand the workspace.
pub fn targets() -> Result<Vec<Target>, Error> {
    let failed = |why: String| Error::Metadata { why };
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    let text = |value: &Value, key: &str| -> Result<String, Error> {
        value[key]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| failed(format!("no `{key}` in {value}")))
    };
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut targets = Vec::new();
    for package in list(&metadata, "packages") {
        for target in list(&package, "targets") {
            let kind = target["kind"][0].as_str().unwrap_or_default().to_owned();
            if kind != "custom-build" {
                targets.push(Target {
                    package: text(&package, "name")?,
                    name: text(&target, "name")?,
                    kind,
                    root: text(&target, "src_path")?.into(),
                });
            }
        }
    }
    Ok(targets)
}
