//! dom0 and all its domains with a vif: what a module swap concerns. Every swap goes onto the undo stacks first.

use std::path::Path;
use std::time::Duration;

use vifbench_provisioning::enrol;
use vifbench_provisioning::host::{Host, HostExt as _};
use vifbench_provisioning::modules::ModuleError;
use vifbench_provisioning::modules::swap::{Deadlines, Guest, ModuleSwap, Pair};
use vifbench_provisioning::state;
use vifbench_provisioning::undo::{Lasting, UndoReport, UndoStack, folder_inverse, undo_host};
use vifbench_scenarios::lab::{HostSpec, Lab, Role};
use vifbench_scenarios::progress::Progress;
use vifbench_store::ModuleProof;

use super::layout;
use super::machines::STEP;
use super::settings::Settings;
use crate::error::Failure;

/// One inverse may take so long: the swap back waits for every vif.
const UNDO: Duration = Duration::from_secs(180);

/// A member: its way, its stack, and whether its netfront is swapped.
struct Member {
    spec: HostSpec,
    host: Box<dyn Host>,
    stack: UndoStack,
}

/// dom0 and its domains.
pub struct Crew {
    dom0: Member,
    guests: Vec<Member>,
}

impl Crew {
    /// Opens the undo stacks; the machines are connected when first used.
    pub fn open(
        lab: &Lab,
        connect: impl Fn(&HostSpec) -> Result<Box<dyn Host>, Failure>,
    ) -> Result<Self, Failure> {
        let spec = lab
            .of_role(Role::Dom0)
            .next()
            .ok_or_else(|| Failure::Usage(format!("the lab {} has no dom0", lab.name)))?;
        let state = state::folder()?;
        let member = |spec: &HostSpec| -> Result<Member, Failure> {
            Ok(Member {
                spec: spec.clone(),
                host: connect(spec)?,
                stack: UndoStack::open(&state, &lab.name, &spec.name)?,
            })
        };
        let dom0 = member(spec)?;
        let mut guests = Vec::new();
        for spec in lab
            .hosts
            .iter()
            .filter(|other| other.on.as_ref() == Some(&spec.name))
        {
            guests.push(member(spec)?);
        }
        Ok(Self { dom0, guests })
    }

    fn members(&mut self) -> impl Iterator<Item = &mut Member> {
        std::iter::once(&mut self.dom0).chain(&mut self.guests)
    }

    /// The way to dom0.
    pub fn dom0(&mut self) -> &mut dyn Host {
        self.dom0.host.as_mut()
    }

    /// Checks that every machine is the enrolled one. Nothing is changed on any before.
    pub fn verify(&mut self) -> Result<(), Failure> {
        for member in self.members() {
            enrol::verify(&mut member.host, &member.spec, STEP)?;
        }
        Ok(())
    }

    fn swap_of(&mut self) -> ModuleSwap<'_> {
        let guests = self
            .guests
            .iter_mut()
            .map(|member| Guest {
                domain: member.spec.name.to_string(),
                host: &mut member.host,
                // The generator's frontend is a part of the ruler, not of what is measured: it stays stock.
                swap: member.spec.role == Role::Guest,
            })
            .collect();
        ModuleSwap::new(&mut self.dom0.host, guests, Deadlines::default())
    }

    /// Puts the ways back on the undo stacks, unless they are there: nothing on the machines changes here.
    pub fn record(&mut self, probe_folder: &Path) -> Result<(), Failure> {
        let boots = self.boots()?;
        self.push(boots, probe_folder)
    }

    /// Moves what comes next in the machines' memory and time: see [`layout`].
    pub fn lay_out(&mut self, layout: u32) -> Result<(), Failure> {
        for member in self.members() {
            if let Some(command) = layout::command(layout, member.spec.role, &member.spec.name) {
                member.host.check(&command, STEP)?;
            }
        }
        Ok(())
    }

    /// Which boot each machine's is, in the order in which [`Self::record_kept`] takes them.
    pub fn boots(&mut self) -> Result<Vec<String>, Failure> {
        let mut boots = Vec::new();
        for member in self.members() {
            boots.push(member.host.boot_id(STEP)?);
        }
        Ok(boots)
    }

    /// As [`Self::record`], in a state that tells the boots itself.
    pub fn record_kept(&mut self, boots: Vec<String>, probe_folder: &Path) -> Result<(), Failure> {
        if boots.len() != 1 + self.guests.len() {
            return Err(Failure::Internal(format!(
                "the saved machine names {} boots for {} machines",
                boots.len(),
                1 + self.guests.len()
            )));
        }
        self.push(boots, probe_folder)
    }

    fn push(&mut self, boots: Vec<String>, probe_folder: &Path) -> Result<(), Failure> {
        let steps = self.swap_of().undo_steps();
        let wipe = folder_inverse(probe_folder);
        for (member, boot) in self.members().zip(boots) {
            let boot = Lasting::Boot(boot);
            if !member.stack.entries().is_empty() {
                continue;
            }
            // The last step of a host goes to the bottom of its stack.
            for step in steps
                .iter()
                .rev()
                .filter(|step| step.host == member.spec.name)
            {
                member
                    .stack
                    .push(&step.description, &step.inverse, boot.clone())?;
            }
            if let Some(wipe) = &wipe {
                member
                    .stack
                    .push("remove vifprobe and its folder", wipe, boot)?;
            }
        }
        Ok(())
    }

    /// Swaps to the pair. The ways back are recorded before the first change.
    pub fn swap(
        &mut self,
        pair: &Pair,
        probe_folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        self.record(probe_folder)?;
        let mut swap = self.swap_of();
        swap.prepare(pair).map_err(ModuleError::from)?;
        let task = progress.start(&format!("swapping to {}", pair.series()), None);
        swap.run(pair, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        task.finish("live");
        Ok(())
    }

    /// Sets the live modules' parameters. The swap, which is on the undo stacks, takes them away with the modules.
    pub fn set(&mut self, settings: &Settings) -> Result<(), Failure> {
        if let Some(command) = settings.for_dom0() {
            self.dom0.host.check(&command, STEP)?;
        }
        for guest in &mut self.guests {
            // The generator keeps the packaged frontend, which knows nothing of this.
            if guest.spec.role != Role::Guest {
                continue;
            }
            if let Some(command) = settings.for_guest(&guest.spec.interface) {
                guest.host.check(&command, STEP)?;
            }
        }
        Ok(())
    }

    /// Proves on every machine which module is live.
    pub fn prove(&mut self, pair: &Pair) -> Result<Vec<ModuleProof>, Failure> {
        Ok(self.swap_of().prove(pair).map_err(ModuleError::from)?)
    }

    /// Undoes everything on every stack. Any order does; a guest's network is whole again when dom0's vifs are.
    pub fn undo(&mut self, progress: &dyn Progress) -> Result<Vec<UndoReport>, Failure> {
        let mut reports = Vec::new();
        for member in self.members() {
            if member.stack.entries().is_empty() {
                continue;
            }
            // The vifs went and came with dom0's swap: what was connected before may be dead.
            member.host.reconnect(UNDO)?;
            reports.push(undo_host(
                &mut member.host,
                &mut member.stack,
                UNDO,
                progress,
            )?);
        }
        Ok(reports)
    }

    /// Empties the stacks without running them: the machines are in the state from before, by a restore.
    pub fn forget(&mut self) -> Result<(), Failure> {
        for member in self.members() {
            member.stack.forget()?;
        }
        Ok(())
    }
}
