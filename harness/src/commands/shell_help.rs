//! `vifbench man` and `vifbench completions`: both made from the command line's own definition.

use std::path::Path;

use clap::{Command, CommandFactory as _};

use crate::cli::Cli;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Prints the man page of a command; or writes those of all commands to the folder `out`.
pub fn man(command: &[String], out: Option<&Path>) -> Result<Exit, Failure> {
    if let Some(out) = out {
        std::fs::create_dir_all(out).map_err(Failure::named("create the folder", out))?;
        clap_mangen::generate_to(Cli::command(), out)
            .map_err(Failure::named("write the man pages to", out))?;
        return Ok(Exit::Pass);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(find(command)?)
        .render(&mut page)
        .map_err(|error| Failure::Internal(format!("the man page cannot be made: {error}")))?;
    stdout().write_all(&page)?;
    Ok(Exit::Pass)
}

/// A command by its names. The page takes its title from the display name, as in `vifbench-lab-verify`.
fn find(names: &[String]) -> Result<Command, Failure> {
    let mut found = Cli::command();
    found.build();
    for name in names {
        let known: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
        let Some(next) = found.find_subcommand(name) else {
            return Err(Failure::Usage(format!(
                "`{}` has no command `{name}`; it has {}",
                found.get_bin_name().unwrap_or("vifbench"),
                known.join(", ")
            )));
        };
        found = next.clone();
    }
    Ok(found)
}

/// Prints completions.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "vifbench", &mut script);
    stdout().write_all(&script)?;
    Ok(Exit::Pass)
}
