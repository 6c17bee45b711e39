//! `vifbench undo`: a host restored from its undo stack, also after the controller was killed.

use std::path::Path;

use vifbench_provisioning::host::Host;
use vifbench_provisioning::lab::VirtualLab;
use vifbench_provisioning::lease::LabLock;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_provisioning::state;
use vifbench_scenarios::lab::{HostName, Lab, Role};
use vifbench_scenarios::progress::Progress;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;
use crate::run::awake;
use crate::run::deadlines::STEP;
use crate::run::hosts::Hosts;

/// Carries out the command. A module pair has two ends, so dom0 and all its guests are restored together.
pub fn run(
    host: &str,
    lab: Option<&Path>,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let given = lab.map(Lab::load).transpose()?;
    let outline = match &given {
        Some(lab) => lab.clone(),
        None => VirtualLab::outline(&super::run::virtual_lab())?,
    };
    known(&outline, host)?;
    let doing = format!("undo {host}");
    // Only its own run may touch a lab: to reopen one that is sealed would spoil a trial.
    let _lab = LabLock::take(&state::folder()?, &outline.name, &doing)?;
    let standing = match &given {
        Some(lab) => awake::standing(lab)?,
        None => Some(super::lab::attached(&outline.name)?),
    };
    if let Some(standing) = &standing {
        reopen(standing)?;
    }
    let lab = match (given, &standing) {
        (None, Some(standing)) => standing.lab().clone(),
        (given, _) => given.unwrap_or(outline),
    };
    let netns = lab
        .controller
        .as_ref()
        .and_then(|controller| controller.netns.clone());
    let mut hosts = Hosts::open(&lab, |spec| {
        let options = SshOptions {
            netns: netns.clone(),
            ..SshOptions::default()
        };
        Ok(Box::new(SshHost::new(spec, options)?) as Box<dyn Host>)
    })?;
    let reports = hosts.undo(progress);
    if let Some(standing) = standing {
        progress.note(&awake::stands_by(&lab.name, standing.rest()?));
    }
    let reports = reports?;
    match format {
        Format::Json => stdout().json(&reports)?,
        Format::Text => {
            for report in reports
                .iter()
                .filter(|report| !report.undone.is_empty() || !report.void.is_empty())
            {
                writeln!(stdout(), "{report}")?;
            }
            writeln!(stdout(), "{}: restored", lab.name)?;
        }
    }
    Ok(Exit::Pass)
}

/// Checks that something can be undone on a host of that name: on dom0, or on one of its guests.
fn known(lab: &Lab, host: &str) -> Result<(), Failure> {
    let dom0 = lab.of_role(Role::Dom0).next().map(|dom0| &dom0.name);
    let hosts: Vec<&HostName> = lab
        .hosts
        .iter()
        .filter(|spec| Some(&spec.name) == dom0 || (dom0.is_some() && spec.on.as_ref() == dom0))
        .map(|spec| &spec.name)
        .collect();
    if hosts.iter().any(|name| name.0 == host) {
        return Ok(());
    }
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    Err(Failure::Usage(format!(
        "nothing can be undone on `{host}`: the lab {} has {}",
        lab.name,
        hosts.join(", ")
    )))
}

/// A trial that was cut short may have left the virtual lab sealed or paused.
fn reopen(lab: &VirtualLab) -> Result<(), Failure> {
    lab.unseal()?;
    for host in &lab.lab().hosts {
        lab.await_ssh(&host.name.0, STEP)?;
    }
    Ok(())
}
