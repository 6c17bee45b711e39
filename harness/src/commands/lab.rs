//! `vifbench lab up|down|status|ssh|console`.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use serde_json::json;
use vifbench_provisioning::lab::{Combination, UpOptions, VirtualLab};
use vifbench_scenarios::lab::{HostName, HostSpec};
use vifbench_scenarios::progress::Progress;

use crate::cli::{Format, LabCommand};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;

/// Carries out the command.
pub fn run(
    command: &LabCommand,
    name: &str,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    match command {
        LabCommand::Up { cold, images } => up(*cold, images.clone(), name, format, progress),
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

fn up(
    cold: bool,
    images: Option<PathBuf>,
    name: &str,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let options = UpOptions {
        fresh: cold,
        images,
        ..UpOptions::named(name)
    };
    let lab = VirtualLab::up(&options, progress)?;
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
    let status = VirtualLab::attach(name)?
        .map(|lab| lab.status())
        .transpose()?;
    match (format, status) {
        (Format::Text, None) => writeln!(stdout(), "{}", down(name))?,
        (Format::Json, None) => stdout().json(&json!({"name": name, "machine": "gone"}))?,
        (Format::Json, Some(status)) => stdout().json(&status)?,
        (Format::Text, Some(status)) => {
            writeln!(
                stdout(),
                "{}: {}, kernel {}",
                status.name,
                status.machine,
                status.kernel
            )?;
            writeln!(stdout(), "  network namespace {}", status.netns)?;
            writeln!(stdout(), "  saved states: {}", status.states.join(", "))?;
            for host in status.hosts {
                let ssh = if host.ssh {
                    "answers on SSH"
                } else {
                    "does not answer"
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

/// Becomes the system's `ssh`, inside the lab's namespace and with the lab's keys only.
fn ssh(name: &str, host: &str, command: &[String]) -> Result<Exit, Failure> {
    let lab = attached(name)?;
    let spec = known(&lab, host)?;
    let known_hosts = known_hosts(&lab)?;
    let error = std::process::Command::new("ip")
        .args(["netns", "exec", lab.netns(), "ssh", "-i"])
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
        .exec();
    Err(Failure::Io {
        doing: "start",
        path: PathBuf::from("ip netns exec ... ssh"),
        source: error,
    })
}
