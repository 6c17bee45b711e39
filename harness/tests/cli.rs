//! The command line as a stranger meets it: no lab is needed for anything here.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

fn vifbench() -> Command {
    Command::cargo_bin("vifbench").expect("the binary is built with the tests")
}

const SCENARIO: &str = "\
name: mine
about: a test
traffic:
  - {to: u1, protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
variants:
  - {name: stock}
duration: 1 s
";

/// Writes `text` and validates it; gives what was printed on stderr after checking the exit code.
fn faults(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    fs::write(&file, text).expect("the file is written");
    let assert = vifbench()
        .args(["scenario", "validate"])
        .arg(&file)
        .assert()
        .code(2)
        .stdout(predicate::str::is_empty());
    String::from_utf8_lossy(&assert.get_output().stderr)
        .replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn a_good_scenario_passes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    fs::write(&file, SCENARIO).expect("the file is written");
    vifbench()
        .args(["scenario", "validate"])
        .arg(&file)
        .assert()
        .success()
        .stdout("mine: good\n");
}

#[test]
fn a_misspelt_key_names_the_nearest() {
    insta::assert_snapshot!(faults(&SCENARIO.replace("duration", "durration")));
}

#[test]
fn a_missing_unit_is_named() {
    insta::assert_snapshot!(faults(&SCENARIO.replace("64 B", "64")));
}

#[test]
fn a_negative_rate_is_named() {
    insta::assert_snapshot!(faults(&SCENARIO.replace("2000/s", "-2000/s")));
}

#[test]
fn an_unknown_library_name_offers_the_nearest() {
    vifbench()
        .args(["run", "quikstart"])
        .assert()
        .code(2)
        .stderr(contains("did you mean quickstart?"));
}

#[test]
fn a_missing_file_is_named() {
    vifbench()
        .args(["scenario", "validate", "no/such.yaml"])
        .assert()
        .code(2)
        .stderr(contains("no/such.yaml"));
}

const LAB: &str = "\
name: bench
hosts:
  - name: dom0
    role: dom0
    address: 198.18.0.2
    key: /nonexistent/key
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0PnVyN7m2zR9Dq0P5QmXc0y5mXJ3y8JrQK0d0bJm1Z
    identity: {mac: '52:54:00:00:00:02'}
    interface: eth0
    mac: '52:54:00:00:00:02'
    bridge: xenbr0
  - name: u1
    role: guest
    on: dom0
    address: 198.18.0.11
    key: /nonexistent/key
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0PnVyN7m2zR9Dq0P5QmXc0y5mXJ3y8JrQK0d0bJm1Z
    identity: {mac: '00:16:3e:00:00:11'}
    interface: eth0
    mac: '00:16:3e:00:00:11'
";

/// Validates the library's small-packets against a lab file.
fn lab_faults(lab: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("lab.yaml");
    fs::write(&file, lab).expect("the file is written");
    let assert = vifbench()
        .args(["scenario", "validate", "two-guests", "--lab"])
        .arg(&file)
        .assert()
        .code(2);
    String::from_utf8_lossy(&assert.get_output().stderr)
        .replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn a_guest_that_the_lab_lacks_is_named() {
    insta::assert_snapshot!(lab_faults(LAB));
}

#[test]
fn a_lab_file_without_key_is_refused() {
    insta::assert_snapshot!(lab_faults(&LAB.replacen(
        "    key: /nonexistent/key\n",
        "",
        1
    )));
}

#[test]
fn a_lab_file_without_host_key_is_refused() {
    let line = LAB
        .lines()
        .find(|line| line.contains("host_key"))
        .expect("there is one");
    insta::assert_snapshot!(lab_faults(&LAB.replacen(&format!("{line}\n"), "", 1)));
}

#[test]
fn help_has_examples_and_exit_codes() {
    vifbench()
        .arg("--help")
        .assert()
        .success()
        .stdout(contains("Examples:").and(contains("DUT-CRASH")));
    for command in [
        "doctor", "lab", "scenario", "run", "resume", "report", "analyze", "patches", "undo",
        "enrol",
    ] {
        vifbench()
            .args([command, "--help"])
            .assert()
            .success()
            .stdout(contains("Example"));
    }
}

#[test]
fn man_page_and_completions_are_made() {
    vifbench()
        .arg("man")
        .assert()
        .success()
        .stdout(contains(".TH vifbench"));
    for shell in ["bash", "zsh", "fish"] {
        vifbench()
            .args(["completions", shell])
            .assert()
            .success()
            .stdout(contains("vifbench"));
    }
}

#[test]
fn the_library_is_listed() {
    vifbench()
        .args(["scenario", "list"])
        .assert()
        .success()
        .stdout(contains("quickstart"));
    vifbench()
        .args(["scenario", "list", "--format", "json"])
        .assert()
        .success()
        .stdout(predicate::function(|out: &str| {
            serde_json::from_str::<serde_json::Value>(out).is_ok()
        }));
}

#[test]
fn a_report_of_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    vifbench()
        .arg("report")
        .arg(folder.path())
        .assert()
        .failure()
        .stderr(contains("run.json"));
    assert!(!Path::new(folder.path()).join("report").exists());
}

/// `vifbench` under another program that takes something away from it.
fn under(program: &str, arguments: &[&str]) -> Command {
    // Other users cannot look into the folder that the tests were built in.
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let mut command = Command::new(program);
    let binary = folder.join("vifbench");
    fs::copy(env!("CARGO_BIN_EXE_vifbench"), &binary).expect("a copy of the binary");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&folder, mode).expect("a folder for all");
    command
        .args(arguments)
        .arg(binary)
        .env("VIFBENCH_STATE", folder.join("state"))
        .current_dir(&folder);
    command
}

#[test]
fn without_root_the_lab_says_so() {
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    for command in [&["lab", "up"][..], &["run", "quickstart"]] {
        under("setpriv", &nobody)
            .args(command)
            .assert()
            .code(12)
            .stderr(contains("needs root").and(contains("sudo")));
    }
}

#[test]
fn without_tun_the_lab_says_so() {
    let hidden = [
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs none /dev/net && exec \"$@\"",
        "sh",
    ];
    under("unshare", &hidden)
        .args(["lab", "up"])
        .assert()
        .code(12)
        .stderr(contains("/dev/net/tun is missing").and(contains("load the kernel module `tun`")));
}
