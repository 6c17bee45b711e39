//! `vifprobe`: the one binary that is sent to hosts. It answers requests on stdin until that closes.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::io::{self, Write};
use std::process::ExitCode;

use vifbench_probes::service::{Folder, Service};
use vifbench_wire::protocol::VERSION;

const HELP: &str = "\
vifprobe: vifbench's hand on a host

vifprobe is sent to a host by vifbench and driven over its stdin and stdout, one
JSON message a line. It captures, sends test packets, reads clocks and counters.
It opens no port, installs nothing, and removes its folder when stdin closes,
unless results lie there that were not fetched.

usage: vifprobe             answer requests on stdin
       vifprobe --version   print the version and that of the protocol
       vifprobe --help      print this
";

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(|| Log)
        .with_max_level(tracing::Level::WARN)
        .init();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.iter().map(|a| a.to_str()).collect::<Vec<_>>()[..] {
        [] => serve(),
        [Some("--version" | "-V")] => {
            let version = env!("CARGO_PKG_VERSION");
            told(&format!("vifprobe {version} (protocol {VERSION})\n"))
        }
        [Some("--help" | "-h")] => told(HELP),
        _ => {
            complain(&format!("vifprobe takes no such arguments\n\n{HELP}"));
            ExitCode::from(2)
        }
    }
}

fn serve() -> ExitCode {
    let served =
        Folder::own().and_then(|folder| Service::new(folder).run(io::stdin(), io::stdout()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("vifprobe: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Prints what a person asked for. A reader that closes its pipe early has read enough.
fn told(text: &str) -> ExitCode {
    let mut to = io::stdout();
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!(
                "vifprobe: cannot write to standard output: {error}\n"
            ));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints to standard error. If that is closed, nobody is left to hear of it.
fn complain(text: &str) {
    let _: io::Result<()> = io::stderr().write_all(text.as_bytes());
}

/// Standard error for the log, which a closed one must not end.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _: io::Result<()> = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
