//! `vifbench undo`: a host restored from its undo stack, also after the controller was killed.

use std::path::Path;

use vifbench_provisioning::host::Host;
use vifbench_provisioning::lab::VirtualLab;
use vifbench_provisioning::lease::LabLock;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_provisioning::state;
use vifbench_scenarios::lab::{HostName, Lab};
use vifbench_scenarios::progress::Progress;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;
use crate::run::crew::Crew;
use crate::run::machines::STEP;

/// Carries out the command. A module pair has two ends, so dom0 and all its guests are restored together.
pub fn run(
    host: &str,
    lab: Option<&Path>,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let lab = if let Some(path) = lab {
        Lab::load(path)?
    } else {
        let lab = super::lab::attached(&super::run::virtual_lab())?;
        reopen(&lab)?;
        lab.lab().clone()
    };
    let _lab = LabLock::take(&state::folder()?, &lab.name, &format!("undo {host}"))?;
    let netns = lab
        .controller
        .as_ref()
        .and_then(|controller| controller.netns.clone());
    let mut crew = Crew::open(&lab, |spec| {
        let options = SshOptions {
            netns: netns.clone(),
            ..SshOptions::default()
        };
        Ok(Box::new(SshHost::new(spec, options)?) as Box<dyn Host>)
    })?;
    let names = crew.names();
    if !names.contains(&HostName(host.to_owned())) {
        let known: Vec<_> = names.iter().map(ToString::to_string).collect();
        return Err(Failure::Usage(format!(
            "nothing can be undone on `{host}`: the lab {} has {}",
            lab.name,
            known.join(", ")
        )));
    }
    let reports = crew.undo(progress)?;
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

/// A trial that was cut short may have left the virtual lab sealed or paused.
fn reopen(lab: &VirtualLab) -> Result<(), Failure> {
    lab.unseal()?;
    for host in &lab.lab().hosts {
        lab.await_ssh(&host.name.0, STEP)?;
    }
    Ok(())
}
