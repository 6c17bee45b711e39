//! The project's task runner: `cargo xtask TASK`.
//!
//! Every task is a list of commands that could be typed by hand; it prints each before it starts, and how long it took.

mod check;
mod package;
mod step;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use step::Step;

/// Builds, checks and packages vifbench.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the Debian packages that building, the virtual lab and the tests need (as root).
    Setup,
    /// Build the images of the virtual lab (as root).
    Images,
    /// Format, lints, documentation, dependencies and every test but the nightly ones (as root).
    Check {
        /// Also run the nightly profile: the longest tests of the virtual lab.
        #[arg(long)]
        all: bool,
    },
    /// Run the tests of one nextest profile: default, lab, check or nightly.
    Test {
        /// The profile in .config/nextest.toml.
        #[arg(default_value = "default")]
        profile: String,
    },
    /// Build the Debian package, in target/debian/.
    Package,
    /// Clippy over all targets, with warnings as errors.
    Lint,
    /// The API documentation, with warnings as errors.
    Doc,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    step::end_children_on_signals()?;
    match task {
        Task::Setup => setup().run(),
        Task::Images => images().run(),
        Task::Check { all } => check::run(*all),
        Task::Test { profile } => {
            Step::cargo("tests", &["nextest", "run", "--workspace", "--locked"])
                .args(&["--profile", profile])
                .run()
        }
        Task::Package => package::run(),
        Task::Lint => lint().run(),
        Task::Doc => doc().run(),
    }
}

fn setup() -> Step {
    Step::new("packages", "provisioning/setup.sh")
}

fn images() -> Step {
    Step::new("images of the virtual lab", "provisioning/images/build.sh")
}

fn lint() -> Step {
    Step::cargo(
        "clippy",
        &["clippy", "--locked", "--workspace", "--all-targets"],
    )
    .args(&["--", "-D", "warnings"])
}

fn doc() -> Step {
    Step::cargo(
        "documentation",
        &["doc", "--locked", "--workspace", "--no-deps"],
    )
    .env("RUSTDOCFLAGS", "-D warnings")
}
