//! `vifbench doctor`: what is missing, here and on the hosts, each with the command that mends it.

use std::path::Path;

use vifbench_provisioning::data::DataDir;
use vifbench_provisioning::doctor::{self, Health};
use vifbench_provisioning::modules::builder::default_cache_dir;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_provisioning::state;
use vifbench_scenarios::lab::Lab;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;
use crate::run::awake::Awake;
use crate::run::deadlines::STEP;
use crate::run::vifprobe_path;

/// Carries out the command. Something missing is exit code 12.
pub fn run(lab: Option<&Path>, format: Format) -> Result<Exit, Failure> {
    let mut checks =
        doctor::this_machine(&[&default_cache_dir(), &state::folder()?, Path::new(".")]);
    checks.extend(doctor::own_files(&DataDir::from_env(), &vifprobe_path()?));
    if let Some(path) = lab {
        let lab = Lab::load(path)?;
        let _awake = Awake::of_file(&lab, "doctor")?;
        let netns = lab
            .controller
            .as_ref()
            .and_then(|controller| controller.netns.clone());
        for spec in &lab.hosts {
            let options = SshOptions {
                netns: netns.clone(),
                ..SshOptions::default()
            };
            let mut host = SshHost::new(spec, options)?;
            checks.extend(doctor::host(&mut host, spec, STEP));
        }
    }
    let missing = checks.iter().any(|check| check.health == Health::Missing);
    match format {
        Format::Json => stdout().json(&checks)?,
        Format::Text => {
            for check in &checks {
                let mark = match check.health {
                    Health::Good => "good",
                    Health::Doubtful => "doubtful",
                    Health::Missing => "MISSING",
                };
                writeln!(stdout(), "{mark:<9} {}: {}", check.what, check.found)?;
                if let Some(mend) = &check.mend {
                    writeln!(stdout(), "          {mend}")?;
                }
            }
        }
    }
    Ok(if missing { Exit::Infra } else { Exit::Pass })
}
