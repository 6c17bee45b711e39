//! `vifbench man` and `vifbench completions`: both made from the command line's own definition.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::error::Failure;
use crate::exit::Exit;

/// Prints the man page, then one section a command.
pub fn man() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(Cli::command()).render(&mut page);
    written
        .and_then(|()| std::io::stdout().write_all(&page))
        .map_err(stdout)?;
    Ok(Exit::Pass)
}

/// Prints completions.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vifbench", &mut script);
    std::io::stdout().write_all(&script).map_err(stdout)?;
    Ok(Exit::Pass)
}

fn stdout(source: std::io::Error) -> Failure {
    Failure::Io {
        doing: "write to",
        path: PathBuf::from("standard output"),
        source,
    }
}
