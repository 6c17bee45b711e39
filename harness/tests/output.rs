//! What `vifbench` does when its output has nowhere to go, and with which code it ends when an input is missing.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::ffi::OsStrExt as _;
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
            (&["report", "nosuch"][..], 2),
            (&["scenario", "validate", "nosuch.yaml"], 2),
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

/// Every command that reads a file or a run which the user names.
const READ: [&[&str]; 20] = [
    &["report", "nosuch"],
    &["report", "nosuch", "--acknowledged", "nosuch.yaml"],
    &["resume", "nosuch"],
    &["compare", "nosuch", "nosuch"],
    &["compare", "nosuch:stock", "nosuch:shadow"],
    &["calibrate", "nosuch", "nosuch"],
    &["trust", "nosuch"],
    &["simulate", "nosuch.yaml"],
    &["simulate", "model.yaml", "--fit", "nosuch"],
    &["run", "nosuch.yaml"],
    &["run", "open-path", "--lab", "nosuch.yaml"],
    &["matrix", "nosuch.yaml"],
    &["nightly", "nosuch.yaml"],
    &["doctor", "--lab", "nosuch.yaml"],
    &["undo", "dom0", "--lab", "nosuch.yaml"],
    &["scenario", "show", "nosuch.yaml"],
    &["scenario", "validate", "nosuch.yaml"],
    &["scenario", "validate", "quickstart", "--lab", "nosuch.yaml"],
    &["analyze", "--tx", "nosuch.pcap", "--rx", "nosuch.pcap"],
    &["lab", "verify", "nosuch.yaml"],
];

fn is_refused(command: &mut Command, args: &[&str], names: &str) {
    let ended = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .expect("it starts");
    let said = stderr(&ended);
    assert_eq!(ended.status.code(), Some(2), "{args:?}: {said}");
    assert!(said.contains("error: "), "{args:?}: {said}");
    assert!(said.contains(names), "{args:?} does not name it: {said}");
    assert!(!said.contains("fault of vifbench"), "{args:?}: {said}");
    assert!(ended.stdout.is_empty(), "{args:?}");
}

#[test]
fn a_missing_input_is_the_users_mistake_and_is_named() {
    let folder = folder();
    for args in READ {
        is_refused(vifbench(args).current_dir(&folder), args, "nosuch");
    }
}

#[test]
fn an_input_of_the_wrong_kind_is_the_users_mistake_and_is_named() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    // A folder where a file is expected, a file where a folder is, and files that hold something else.
    for name in ["folder.yaml", "folder.pcap", "without"] {
        fs::create_dir(at(name)).expect("a folder");
    }
    for run in ["torn", "later", "closed"] {
        fs::create_dir(at(run)).expect("a folder");
    }
    fs::write(at("torn/run.json"), "{\"format\": 1, ").expect("a file");
    fs::write(at("later/run.json"), "{\"format\": 4000000000}").expect("a file");
    fs::create_dir(at("closed/run.json")).expect("a folder");
    fs::write(at("text.pcap"), "this is no capture").expect("a file");
    for (args, names) in [
        (&["scenario", "validate", "folder.yaml"][..], "folder.yaml"),
        (
            &["analyze", "--tx", "folder.pcap", "--rx", "folder.pcap"],
            "folder.pcap",
        ),
        (
            &["analyze", "--tx", "text.pcap", "--rx", "text.pcap"],
            "text.pcap",
        ),
        (&["report", "model.yaml"], "model.yaml"),
        (&["report", "without"], "without/run.json"),
        (&["report", "torn"], "torn/run.json"),
        (&["report", "later"], "later/run.json"),
        (&["report", "closed"], "closed/run.json"),
        (&["resume", "model.yaml"], "model.yaml"),
        (&["resume", "torn"], "torn/run.json"),
        (&["resume", "later"], "later/run.json"),
        (&["compare", "torn", "torn"], "torn/run.json"),
    ] {
        is_refused(vifbench(args).current_dir(&folder), args, names);
    }
}

#[test]
fn a_place_where_nothing_can_be_written_is_the_users_mistake_and_is_named() {
    let folder = folder();
    fs::create_dir(folder.path().join("history")).expect("a folder");
    for args in [
        &["simulate", "model.yaml", "--out", "/proc/nosuch"][..],
        &[
            "simulate",
            "model.yaml",
            "--no-report",
            "--trace",
            "/proc/nosuch",
        ],
        &["simulate", "model.yaml", "--out", "model.yaml/nosuch"],
        &["history", "--out", ".", "--otava", "/proc/nosuch"],
    ] {
        let ended = vifbench(args)
            .current_dir(&folder)
            .output()
            .expect("it starts");
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("nosuch"), "{args:?}: {said}");
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
fn an_ordinary_user_is_told_what_cannot_be_read_or_written() {
    let folder = folder();
    let closed = folder.path().join("closed.yaml");
    fs::write(&closed, SIMULATION).expect("a file");
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("closed");
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).expect("a folder");
    fs::set_permissions(&kept, Permissions::from_mode(0o555)).expect("closed");
    for (args, names) in [
        (&["scenario", "validate", "closed.yaml"][..], "closed.yaml"),
        (
            &["analyze", "--tx", "closed.yaml", "--rx", "closed.yaml"],
            "closed.yaml",
        ),
        (&["simulate", "model.yaml", "--out", "kept"], "kept/model"),
    ] {
        let ended = as_ordinary_user(folder.path(), args)
            .output()
            .expect("it starts");
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(names), "{args:?}: {said}");
    }
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

/// A file system holds names that are no text.
#[test]
fn a_folder_whose_name_is_not_utf_8_is_a_folder_like_others() {
    let folder = folder();
    let odd = folder.path().join(OsStr::from_bytes(b"x\xff"));
    let matrix = odd.join("m");
    fs::create_dir_all(&matrix).expect("a folder");
    fs::write(
        matrix.join("matrix.json"),
        r#"{"format": 1, "matrix": "m", "vifbench": "0", "scenario": "s", "about": "a", "began": "2027-01-01T00:00:00Z",
            "cells": [{"kernel": "6.1", "xen": "4.17", "verdict": "INFRA", "reason": "r", "run": null, "left_out": [],
            "minutes": 1}]}"#,
    )
    .expect("a file");
    let json = |args: &[&OsStr]| {
        let ended = vifbench(&["--format", "json"])
            .args(args)
            .current_dir(&folder)
            .output()
            .expect("it starts");
        let code = ended.status.code();
        assert_eq!(code, Some(0), "{args:?}: {}", stderr(&ended));
        let said: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
        said
    };
    let said = json(&["report".as_ref(), matrix.as_ref()]);
    let report = said["report"].as_str().expect("a path");
    assert!(report.ends_with("x\u{fffd}/m/index.html"), "{report}");
    assert!(matrix.join("index.html").exists());
    json(&[
        "simulate".as_ref(),
        "model.yaml".as_ref(),
        "--out".as_ref(),
        odd.as_ref(),
    ]);
    assert!(odd.join("model-simulated-1/index.html").exists());
    fs::create_dir(odd.join("history")).expect("a folder");
    json(&["history".as_ref(), "--out".as_ref(), odd.as_ref()]);
    // Inputs that are missing there are named as well as can be.
    let missing = odd.join("nosuch");
    let mut variant = missing.clone().into_os_string();
    variant.push(":stock");
    for args in [
        &["report".as_ref(), missing.as_os_str()][..],
        &["compare".as_ref(), missing.as_os_str(), variant.as_os_str()],
        &["trust".as_ref(), missing.as_os_str()],
        &["resume".as_ref(), missing.as_os_str()],
        &[
            "analyze".as_ref(),
            "--tx".as_ref(),
            missing.as_os_str(),
            "--rx".as_ref(),
            missing.as_os_str(),
        ],
        &["doctor".as_ref(), "--lab".as_ref(), missing.as_os_str()],
    ] {
        let mut command = vifbench(&[]);
        command.args(args).current_dir(&folder);
        is_refused(&mut command, &["..."], "x\u{fffd}/nosuch");
    }
}

const LAB: &str = "\
name: rack
controller: {interface: eth1, address: 198.18.0.254, mac: '02:00:00:00:00:01'}
hosts:
  - name: box
    role: dom0
    address: 127.0.0.1
    port: 1
    key: nosuch-key
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZJ3bYp0w1Yk1t5o2QyYb9o0mC0Zt7n6J6cQ0bB1aA
    identity: {dmi-serial: ABC123}
    interface: eth0
    mac: '00:16:3e:00:00:01'
    bridge: xenbr0
  - name: u1
    role: guest
    on: box
    address: 127.0.0.2
    port: 1
    key: nosuch-key
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHqZJ3bYp0w1Yk1t5o2QyYb9o0mC0Zt7n6J6cQ0bB1aB
    identity: {mac: '00:16:3e:00:00:02'}
    interface: eth0
    mac: '00:16:3e:00:00:02'
";

/// A night runs each scenario in a process of its own: the reason comes from there as a value, not from what was printed.
#[test]
fn a_night_tells_why_its_run_failed() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file");
    };
    write("lab.yaml", LAB);
    write("open.yaml", &format!("{SIMULATION}mode: open\n"));
    write(
        "night.yaml",
        "night: n\ndeadline: 1 h\nruns:\n  - {scenario: open.yaml, lab: lab.yaml, at_most: 5 min, retries: 0}\n",
    );
    let ended = |args: &[&str]| {
        vifbench(args)
            .current_dir(&folder)
            .env("VIFBENCH_STATE", folder.path().join("state"))
            .output()
            .expect("it starts")
    };
    let night = ended(&["nightly", "night.yaml", "--out", "out", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_slice(&night.stdout).expect("JSON");
    let reason = told["runs"][0]["reason"].as_str().expect("a reason");
    let alone = ended(&["run", "open.yaml", "--lab", "lab.yaml", "--out", "alone"]);
    assert_ne!(alone.status.code(), Some(0));
    assert_eq!(night.status.code(), alone.status.code());
    assert!(
        stderr(&alone).contains(&format!("error: {reason}\n")),
        "{reason}\n{}",
        stderr(&alone)
    );
    let parts = fs::read_dir(folder.path().join("out"))
        .expect("a folder")
        .filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().ends_with(".part")
        });
    assert_eq!(parts.count(), 0, "nothing is left over");
}
