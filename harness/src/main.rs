//! `vifbench`: benchmarks Xen's network path with real hosts in the loop.
//!
//! Thin: it reads the command line, joins the rooms, and ends with one of the documented exit codes. Results go to
//! stdout, progress and errors to stderr, both through `output` alone.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod error;
mod exit;
mod interrupt;
mod output;
mod progress;
mod run;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command, LabCommand};
use error::Failure;
use exit::Exit;
use output::{print_help, stderr};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::units::Span;

fn main() -> ExitCode {
    // A panic has printed where it happened, but would end with a code that no table names.
    let exit = std::panic::catch_unwind(run).unwrap_or_else(|_| ended(&Err(Failure::panicked())));
    exit.into()
}

fn run() -> Exit {
    match Cli::try_parse() {
        Ok(cli) => {
            log();
            ended(&dispatch(&cli))
        }
        Err(said) if said.use_stderr() => {
            // Nobody is left to hear of a failure.
            let _: io::Result<()> = said.print();
            Exit::Usage
        }
        // `--help` and `--version`.
        Err(said) => ended(
            &print_help(&said)
                .map(|()| Exit::Pass)
                .map_err(Failure::from),
        ),
    }
}

/// The exit code, after an error was told.
fn ended(result: &Result<Exit, Failure>) -> Exit {
    match result {
        Ok(exit) => *exit,
        Err(failure) => {
            writeln!(stderr(), "error: {failure}");
            commands::child::pass_on(failure);
            let exit = failure.exit();
            if exit == Exit::Internal {
                writeln!(
                    stderr(),
                    "This is a fault of vifbench: please report it, with the command and all that it printed."
                );
            }
            exit
        }
    }
}

fn log() {
    tracing_subscriber::fmt()
        .with_writer(stderr)
        .with_env_filter(
            EnvFilter::try_from_env("VIFBENCH_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        )
        .without_time()
        .init();
}

fn dispatch(cli: &Cli) -> Result<Exit, Failure> {
    if let Some(parent) = cli.ends_with
        && !interrupt::end_with(parent)?
    {
        return Err(Failure::Interrupted);
    }
    let format = cli.format;
    // For as long as the process: a boot that Ctrl-C left behind may still talk.
    let progress: &'static dyn Progress = Box::leak(progress::for_stderr());
    vifbench_provisioning::lab::tell_waits(|line| progress.note(line));
    match &cli.command {
        Command::Lab { command, versions } => {
            let name = commands::run::lab_name(versions)?;
            match command {
                LabCommand::Verify(args) => {
                    let cancel = interrupt::install()?;
                    commands::verify::run(args, &name, format, progress, &cancel)
                }
                command => commands::lab::run(command, &name, format, progress),
            }
        }
        Command::Matrix(args) => {
            let cancel = interrupt::install()?;
            commands::matrix::run(args, format, progress, &cancel)
        }
        Command::Scenario(command) => commands::scenario::run(command, format),
        Command::Run(args) => {
            let cancel = interrupt::install()?;
            commands::run::run(args, format, progress, &cancel)
        }
        Command::Simulate(args) => commands::simulate::run(args, format, progress),
        Command::Bisect(args) => {
            let cancel = interrupt::install()?;
            commands::bisect::run(args, format, progress, &cancel)
        }
        Command::Resume { run } => {
            let cancel = interrupt::install()?;
            commands::run::resume(run, format, progress, &cancel)
        }
        Command::Nightly { night, out } => {
            let cancel = interrupt::install()?;
            commands::nightly::run(night, out, format, progress, &cancel)
        }
        Command::Report { run, acknowledged } => {
            commands::report::run(run, acknowledged.as_deref(), format, progress)
        }
        Command::Compare {
            a,
            b,
            although_different,
        } => commands::compare::run(a, b, *although_different, format, progress),
        Command::History {
            out,
            only,
            otava,
            page,
        } => commands::history::run(
            out,
            only.as_deref(),
            otava.as_deref(),
            *page,
            format,
            progress,
        ),
        Command::Calibrate {
            hardware,
            lab,
            keep,
        } => commands::calibrate::run(hardware, lab, keep.as_deref(), format, progress),
        Command::Trust(args) => commands::trust::run(args, format, progress),
        Command::Patches(command) => {
            let cancel = interrupt::install()?;
            commands::patches::run(command, format, progress, &cancel)
        }
        Command::Doctor { lab } => commands::doctor::run(lab.as_deref(), format),
        Command::Analyze {
            tx,
            rx,
            clock_bound,
            tx_interface,
            rx_interface,
            streaming,
            longest,
            decapsulate,
        } => {
            let options = vifbench_reports::analyze::Options {
                clock_bound_ns: clock_bound.map(Span::nanos),
                tx_interface: tx_interface.clone(),
                rx_interface: rx_interface.clone(),
                streaming: *streaming,
                longest_ns: longest.map(Span::nanos),
                decapsulate: *decapsulate,
            };
            commands::analyze::run(tx, rx, &options, format)
        }
        Command::Bench(args) => {
            let cancel = interrupt::install()?;
            commands::bench::run(args, format, progress, &cancel)
        }
        Command::Undo { host, lab } => commands::undo::run(host, lab.as_deref(), format, progress),
        Command::Enrol { address, netns } => {
            commands::enrol::run(address, netns.as_deref(), format)
        }
        Command::Man { command, out } => commands::shell_help::man(command, out.as_deref()),
        Command::Completions { shell } => commands::shell_help::completions(*shell),
    }
}
