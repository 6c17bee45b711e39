//! What a run needs of this machine, checked before anything is built or booted.

use vifbench_provisioning::data::{DataDir, Part};
use vifbench_provisioning::lab::VirtualLab;
use vifbench_scenarios::lab::Lab;
use vifbench_scenarios::scenario::{Mode, Scenario};

use super::read_vifprobe;
use crate::commands::scenario;
use crate::error::Failure;

/// Checks that the scenarios fit the lab, which is the one that a file describes, or else the virtual lab of that name; that
/// this machine can run the virtual lab, whose recipes and patches are those of this program; and that the probe is there.
///
/// # Errors
/// One sentence for the first thing that is missing or does not fit.
pub fn check<'a>(
    given: Option<&Lab>,
    name: &str,
    scenarios: impl IntoIterator<Item = &'a Scenario>,
) -> Result<(), Failure> {
    let outline;
    let lab = if let Some(lab) = given {
        lab
    } else {
        outline = VirtualLab::outline(name)?;
        &outline
    };
    let mut patched = false;
    for asked in scenarios {
        scenario::fits(asked, lab)?;
        if given.is_some() && asked.mode == Mode::Sealed {
            return Err(Failure::Usage(format!(
                "{} is sealed, and sealed trials run only in the virtual lab that vifbench starts: leave the lab file out, or choose a scenario with `mode: open`",
                asked.name
            )));
        }
        patched |= asked.variants.iter().any(|v| v.patches.series().is_some());
    }
    let data = DataDir::from_env();
    if given.is_none() {
        VirtualLab::check_machine(name)?;
        data.root(Part::Recipes)?;
    }
    if patched {
        data.series()?;
    }
    read_vifprobe().map(drop)
}
