//! `vifbench man` and `vifbench completions`: both made from the command line's own definition.

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Prints the man page, then one section a command.
pub fn man() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|error| Failure::Internal(format!("the man page cannot be made: {error}")))?;
    stdout().write_all(&page)?;
    Ok(Exit::Pass)
}

/// Prints completions.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vifbench", &mut script);
    stdout().write_all(&script)?;
    Ok(Exit::Pass)
}
