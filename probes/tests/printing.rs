//! What `vifprobe` prints to a person, where that has nowhere to go.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

fn vifprobe(argument: &str, stdout: Stdio, stderr: Stdio) -> (Option<i32>, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_vifprobe"))
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.code(), said)
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

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_an_error() {
    for argument in ["--help", "--version"] {
        assert_eq!(
            vifprobe(argument, unread(), Stdio::piped()),
            (Some(0), String::new())
        );
        let (code, said) = vifprobe(argument, full(), Stdio::piped());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[test]
fn a_closed_standard_error_changes_no_exit_code() {
    for end in [unread as fn() -> Stdio, full] {
        assert_eq!(vifprobe("--version", full(), end()).0, Some(1));
        assert_eq!(vifprobe("--what", Stdio::null(), end()).0, Some(2));
    }
}
