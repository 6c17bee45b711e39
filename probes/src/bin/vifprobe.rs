//! `vifprobe`: the one binary that is sent to hosts. It answers requests on stdin until that closes.

use std::io;
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
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::WARN)
        .init();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.iter().map(|a| a.to_str()).collect::<Vec<_>>()[..] {
        [] => serve(),
        [Some("--version" | "-V")] => {
            println!(
                "vifprobe {} (protocol {VERSION})",
                env!("CARGO_PKG_VERSION")
            );
            ExitCode::SUCCESS
        }
        [Some("--help" | "-h")] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("vifprobe takes no such arguments\n\n{HELP}");
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
            eprintln!("vifprobe: {error}");
            ExitCode::FAILURE
        }
    }
}
