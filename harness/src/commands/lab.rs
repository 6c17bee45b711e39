//! `vifbench lab up|down|status|ssh|console`.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use serde_json::json;
use vifbench_provisioning::lab::{Combination, UpOptions, VirtualLab};
use vifbench_provisioning::lease::LabLock;
use vifbench_provisioning::state;
use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_scenarios::progress::Progress;

use crate::cli::{Format, LabCommand};
use crate::error::Failure;
use crate::exit::Exit;
use crate::interrupt;
use crate::output::stdout;
use crate::run::awake::{Awake, stands_by};
use crate::run::deadlines::STEP;

/// Carries out the command.
pub fn run(
    command: &LabCommand,
    name: &str,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    match command {
        LabCommand::Up {
            cold,
            images,
            awake,
        } => {
            let options = UpOptions {
                fresh: *cold,
                images: images.clone(),
                awake: *awake,
                ..UpOptions::named(name)
            };
            up(&options, format, progress)
        }
        LabCommand::Down => {
            VirtualLab::take_down(name)?;
            match format {
                Format::Text => writeln!(stdout(), "{} is down", called(name))?,
                Format::Json => stdout().json(&json!({"lab": name, "machine": "gone"}))?,
            }
            Ok(Exit::Pass)
        }
        LabCommand::Status => status(name, format),
        // It needs Ctrl-C: main hands it to `verify`.
        LabCommand::Verify(_) => Err(Failure::Internal(
            "`lab verify` was taken for another command".to_owned(),
        )),
        LabCommand::Ssh { host, command } => ssh(name, host, command),
        LabCommand::Console { host, lines } => {
            let lab = attached(name)?;
            known(&lab, host)?;
            let tail = lab.console_tail(host, *lines)?;
            match format {
                Format::Text => {
                    for line in tail {
                        writeln!(stdout(), "{line}")?;
                    }
                }
                Format::Json => stdout().json(&tail)?,
            }
            Ok(Exit::Pass)
        }
    }
}

fn up(options: &UpOptions, format: Format, progress: &dyn Progress) -> Result<Exit, Failure> {
    let name = options.name.as_str();
    // Before the lock: its folder may be root's.
    VirtualLab::check_machine(name)?;
    let _lab = LabLock::take(&state::folder()?, name, "lab up")?;
    let lab = VirtualLab::up(options, progress)?;
    if options.awake {
        drop(lab.wake()?);
    }
    progress.note(&stands_by(name, lab.rest()?));
    let times = lab.times()?;
    match format {
        Format::Text => {
            let how = if times.cold {
                "booted from power-on"
            } else {
                "restored from its snapshot"
            };
            writeln!(
                stdout(),
                "the virtual lab is up: {how} in {:.1} s",
                times.total_s
            )?;
            writeln!(
                stdout(),
                "  dom0 answered on SSH after {:.1} s",
                times.dom0_s
            )?;
            for (guest, seconds) in &times.guests_s {
                writeln!(stdout(), "  {guest} answered on SSH after {seconds:.1} s")?;
            }
            writeln!(stdout(), "  lab file: {}", lab.lab_file().display())?;
        }
        Format::Json => {
            stdout().json(&json!({"lab": name, "lab_file": lab.lab_file().display().to_string(), "times": times}))?;
        }
    }
    Ok(Exit::Pass)
}

fn status(name: &str, format: Format) -> Result<Exit, Failure> {
    let holder = LabLock::holder(&state::folder()?, name)?;
    let changing = holder.is_some() || VirtualLab::is_changing(name)?;
    let Some(lab) = VirtualLab::attach(name)? else {
        let machine = if changing { "changing" } else { "gone" };
        match format {
            Format::Text if changing => {
                let by = holder.as_deref().unwrap_or("another process");
                writeln!(
                    stdout(),
                    "{} is being started or stopped by {by}",
                    called(name)
                )?;
            }
            Format::Text => writeln!(stdout(), "{}", down(name))?,
            Format::Json => {
                stdout().json(&json!({"name": name, "machine": machine, "used_by": holder}))?;
            }
        }
        return Ok(Exit::Pass);
    };
    let status = lab.status(holder)?;
    match format {
        Format::Json => stdout().json(&status)?,
        Format::Text => {
            let by = status.used_by.as_ref();
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            writeln!(
                stdout(),
                "{}: {}{by}, kernel {}",
                status.name,
                status.machine,
                status.kernel
            )?;
            writeln!(stdout(), "  network namespace {}", status.netns)?;
            writeln!(stdout(), "  saved states: {}", status.states.join(", "))?;
            for host in status.hosts {
                let ssh = match (host.ssh, status.machine) {
                    (Some(true), _) => "answers on SSH",
                    (Some(false), "paused") => "paused",
                    (Some(false), _) => "does not answer",
                    (None, _) => "not asked",
                };
                writeln!(
                    stdout(),
                    "  {:<6} {:<16} {ssh:<16} console {}",
                    host.name,
                    host.address,
                    host.console.display()
                )?;
            }
        }
    }
    Ok(Exit::Pass)
}

/// The lab that runs, or what to do about it.
pub fn attached(name: &str) -> Result<VirtualLab, Failure> {
    VirtualLab::attach(name)?.ok_or_else(|| Failure::Usage(down(name)))
}

/// The lab with what it is made of: several can stand side by side.
fn called(name: &str) -> String {
    format!("the virtual lab {name} ({})", Combination::of_lab(name).0)
}

/// That it is down, and how it comes up.
fn down(name: &str) -> String {
    let versions = Combination::of_lab(name).0.options();
    format!(
        "{} is down; `vifbench lab {versions}up` starts it",
        called(name)
    )
}

fn known<'a>(lab: &'a VirtualLab, host: &str) -> Result<&'a HostSpec, Failure> {
    lab.lab().host(&HostName(host.to_owned())).ok_or_else(|| {
        let names: Vec<_> = lab
            .lab()
            .hosts
            .iter()
            .map(|host| host.name.to_string())
            .collect();
        Failure::Usage(format!(
            "the lab has no host `{host}`; it has {}",
            names.join(", ")
        ))
    })
}

/// Writes the keys of all hosts, in one step: another `lab ssh` may be reading them.
fn known_hosts(lab: &VirtualLab) -> Result<PathBuf, Failure> {
    let lines: Vec<_> = lab
        .lab()
        .hosts
        .iter()
        .map(|host| format!("{} {}", host.address, host.host_key))
        .collect();
    let path = lab.folder().join("known_hosts");
    let new = lab
        .folder()
        .join(format!("known_hosts.{}", std::process::id()));
    std::fs::write(&new, lines.join("\n"))
        .and_then(|()| std::fs::rename(&new, &path))
        .map_err(Failure::io("write", &path))?;
    Ok(path)
}

/// Runs the system's `ssh`, inside the lab's namespace and with the lab's keys only, and ends with its exit code. The machine
/// runs until then.
fn ssh(name: &str, host: &str, command: &[String]) -> Result<Exit, Failure> {
    let lab = attached(name)?;
    let spec = known(&lab, host)?.clone();
    let known_hosts = known_hosts(&lab)?;
    let awake = Awake::new(lab, "lab ssh")?;
    awake.lab().await_ssh(host, STEP)?;
    let failed = |doing| {
        move |source| Failure::Io {
            doing,
            path: PathBuf::from("ip netns exec ... ssh"),
            source,
        }
    };
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", awake.lab().netns(), "ssh", "-i"])
        .arg(&spec.key)
        .args([
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
        ])
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .args(["-o", "LogLevel=ERROR", "-p", &spec.port.to_string()])
        .arg(format!("{}@{}", spec.user, spec.address))
        .args(command)
        .spawn()
        .map_err(failed("start"))?;
    interrupt::pass_on_to(&child)?;
    let status = child.wait().map_err(failed("wait for"))?;
    drop(awake);
    // Whatever the command ended with, as `ssh` itself would.
    let killed = status.signal().map(|signal| 128 + signal);
    std::process::exit(status.code().or(killed).unwrap_or(255));
}
