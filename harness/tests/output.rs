//! What `vifbench` does when its output has nowhere to go, and with which code it ends then.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn vifbench(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vifbench"));
    command.args(args).stdin(Stdio::null());
    command
}

/// The end of a pipe whose reader is gone.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A disk without room.
fn full() -> Stdio {
    let open = OpenOptions::new().write(true).open("/dev/full");
    open.expect("/dev/full is there").into()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const SIMULATION: &str = "\
name: model
about: a test
traffic:
  - {to: u1, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
variants:
  - {name: stock}
duration: 1 s
";

/// Commands that print without a lab, and end with PASS.
const PRINT: [&[&str]; 12] = [
    &["--help"],
    &["--version"],
    &["help", "run"],
    &["scenario", "--help"],
    &["man"],
    &["completions", "bash"],
    &["completions", "zsh"],
    &["scenario", "list"],
    &["scenario", "list", "--format", "json"],
    &["scenario", "show", "two-guests"],
    &["patches", "list"],
    &["simulate", "model.yaml", "--no-report", "--format", "json"],
];

/// A folder that has all that these commands need.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("model.yaml"), SIMULATION).expect("the scenario");
    folder
}

#[test]
fn a_reader_that_closes_its_pipe_ends_the_printing_quietly() {
    let folder = folder();
    for args in PRINT {
        let ended = vifbench(args)
            .current_dir(&folder)
            .stdout(unread())
            .stderr(Stdio::piped())
            .output()
            .expect("it starts");
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", stderr(&ended));
        assert!(
            !stderr(&ended).contains("error"),
            "{args:?}: {}",
            stderr(&ended)
        );
    }
}

#[test]
fn a_full_disk_at_standard_output_is_an_error_with_a_documented_code() {
    let folder = folder();
    for args in PRINT {
        let ended = vifbench(args)
            .current_dir(&folder)
            .stdout(full())
            .stderr(Stdio::piped())
            .output()
            .expect("it starts");
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(3), "{args:?}: {said}");
        assert!(
            said.contains("error: cannot write to standard output: "),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn progress_and_errors_that_nobody_reads_end_nothing() {
    let folder = folder();
    let simulate = ["simulate", "model.yaml", "--no-report", "--format", "json"];
    for end in [unread as fn() -> Stdio, full] {
        let ended = vifbench(&simulate)
            .current_dir(&folder)
            .env("VIFBENCH_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(end())
            .output()
            .expect("it starts");
        assert_eq!(ended.status.code(), Some(0));
        let rows: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
        assert_eq!(rows.as_array().map(Vec::len), Some(1));
        for (args, code) in [
            (&["scenario", "validate", "nosuch.yaml"][..], 2),
            (&["no-such-command"], 2),
            (&["simulate"], 2),
        ] {
            let ended = vifbench(args).stderr(end()).status().expect("it starts");
            assert_eq!(ended.code(), Some(code), "{args:?}");
        }
        // An error about standard output that cannot be told either.
        let ended = vifbench(&["man"])
            .stdout(full())
            .stderr(end())
            .status()
            .expect("it starts");
        assert_eq!(ended.code(), Some(3));
    }
}

#[test]
fn closed_descriptors_end_nothing() {
    for (closed, args) in [
        ("2>&-", &["scenario", "list"][..]),
        (">&-", &["scenario", "list"]),
        ("<&- >&- 2>&-", &["scenario", "list"]),
    ] {
        let ended = Command::new("sh")
            .arg("-c")
            .arg(format!("exec \"$0\" \"$@\" {closed}"))
            .arg(env!("CARGO_BIN_EXE_vifbench"))
            .args(args)
            .output()
            .expect("it starts");
        assert_eq!(ended.status.code(), Some(0), "{closed}: {}", stderr(&ended));
    }
}

/// `vifbench` without the rights of root, who may read and write everything.
fn as_ordinary_user(folder: &Path, args: &[&str]) -> Command {
    if !rustix::process::geteuid().is_root() {
        let mut command = vifbench(args);
        command.current_dir(folder);
        return command;
    }
    // Others cannot look into the folder that the tests were built in.
    let binary = folder.join("vifbench");
    if !binary.exists() {
        fs::copy(env!("CARGO_BIN_EXE_vifbench"), &binary).expect("a copy of the binary");
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755)).expect("a folder for all");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(binary)
        .args(args)
        .env("HOME", "/nonexistent")
        .current_dir(folder);
    command
}

#[test]
fn an_ordinary_user_meets_no_panic_either() {
    let folder = folder();
    for (args, stdout, code) in [
        (&["scenario", "list"][..], unread as fn() -> Stdio, 0),
        (&["man"], unread, 0),
        (&["scenario", "list"], full, 3),
    ] {
        let ended = as_ordinary_user(folder.path(), args)
            .stdout(stdout())
            .output()
            .expect("it starts");
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(code), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}
