//! dom0 and its guests, whose drivers are swapped. Every swap goes onto the hosts' undo stacks first.

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

use super::deadlines::STEP;
use super::layout;
use super::settings::Settings;
use crate::error::Failure;

/// One inverse may take so long: the swap back waits for every vif.
const UNDO: Duration = Duration::from_secs(180);

/// A host with its connection and its undo stack.
struct SwapHost {
    spec: HostSpec,
    host: Box<dyn Host>,
    stack: UndoStack,
}

/// dom0 and its guests. While this lives, no other process can open their undo stacks.
pub struct Hosts {
    dom0: SwapHost,
    guests: Vec<SwapHost>,
}

impl Hosts {
    /// Opens the undo stacks. The hosts are connected when they are first used.
    pub fn open(
        lab: &Lab,
        connect: impl Fn(&HostSpec) -> Result<Box<dyn Host>, Failure>,
    ) -> Result<Self, Failure> {
        let spec = lab
            .of_role(Role::Dom0)
            .next()
            .ok_or_else(|| Failure::Usage(format!("the lab {} has no dom0", lab.name)))?;
        let state = state::folder()?;
        let open = |spec: &HostSpec| -> Result<SwapHost, Failure> {
            Ok(SwapHost {
                spec: spec.clone(),
                host: connect(spec)?,
                stack: UndoStack::open(&state, &lab.name, &spec.name)?,
            })
        };
        let dom0 = open(spec)?;
        let mut guests = Vec::new();
        for spec in lab
            .hosts
            .iter()
            .filter(|other| other.on.as_ref() == Some(&spec.name))
        {
            guests.push(open(spec)?);
        }
        Ok(Self { dom0, guests })
    }

    fn all(&mut self) -> impl Iterator<Item = &mut SwapHost> {
        std::iter::once(&mut self.dom0).chain(&mut self.guests)
    }

    /// The connection to dom0.
    pub fn dom0(&mut self) -> &mut dyn Host {
        self.dom0.host.as_mut()
    }

    /// Checks that every host is the enrolled one. Until then nothing is changed on any.
    pub fn verify(&mut self) -> Result<(), Failure> {
        for host in self.all() {
            enrol::verify(&mut host.host, &host.spec, STEP)?;
        }
        Ok(())
    }

    fn swap_of(&mut self) -> ModuleSwap<'_> {
        let guests = self
            .guests
            .iter_mut()
            .map(|guest| Guest {
                domain: guest.spec.name.to_string(),
                host: &mut guest.host,
                // The generator's frontend belongs to the measurement setup, not to what is measured: it stays stock.
                swap: guest.spec.role == Role::Guest,
            })
            .collect();
        ModuleSwap::new(&mut self.dom0.host, guests, Deadlines::default())
    }

    /// Moves what is loaded next in the hosts' memory and time: see [`layout`].
    pub fn lay_out(&mut self, layout: u32) -> Result<(), Failure> {
        for host in self.all() {
            if let Some(command) = layout::command(layout, host.spec.role, &host.spec.name) {
                host.host.check(&command, STEP)?;
            }
        }
        Ok(())
    }

    /// The boot id of each host, in the order in which [`Self::record_undo`] takes them.
    pub fn boots(&mut self) -> Result<Vec<String>, Failure> {
        let mut boots = Vec::new();
        for host in self.all() {
            boots.push(host.host.boot_id(STEP)?);
        }
        Ok(boots)
    }

    /// Puts the way back of a swap on each host's undo stack, unless it is there already. Nothing on the hosts changes.
    /// `boots` are the boot ids of the hosts.
    pub fn record_undo(&mut self, boots: Vec<String>, probe_folder: &Path) -> Result<(), Failure> {
        if boots.len() != 1 + self.guests.len() {
            return Err(Failure::Internal(format!(
                "the saved state names {} boots for {} hosts",
                boots.len(),
                1 + self.guests.len()
            )));
        }
        let steps = self.swap_of().undo_steps();
        let wipe = folder_inverse(probe_folder);
        for (host, boot) in self.all().zip(boots) {
            let boot = Lasting::Boot(boot);
            if !host.stack.entries().is_empty() {
                continue;
            }
            // The last step of a host goes to the bottom of its stack.
            for step in steps
                .iter()
                .rev()
                .filter(|step| step.host == host.spec.name)
            {
                host.stack
                    .push(&step.description, &step.inverse, boot.clone())?;
            }
            if let Some(wipe) = &wipe {
                host.stack
                    .push("remove vifprobe and its folder", wipe, boot)?;
            }
        }
        Ok(())
    }

    /// Swaps to the pair. The way back is recorded before the first change.
    pub fn swap(
        &mut self,
        pair: &Pair,
        probe_folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let boots = self.boots()?;
        self.record_undo(boots, probe_folder)?;
        let mut swap = self.swap_of();
        swap.prepare(pair).map_err(ModuleError::from)?;
        let task = progress.start(&format!("swapping to {}", pair.series()), None);
        swap.run(pair, &|text| task.message(text))
            .map_err(ModuleError::from)?;
        task.finish("live");
        Ok(())
    }

    /// Sets the live modules' parameters. They go with the modules when the swap is undone.
    pub fn set(&mut self, settings: &Settings) -> Result<(), Failure> {
        if let Some(command) = settings.for_dom0() {
            self.dom0.host.check(&command, STEP)?;
        }
        for guest in &mut self.guests {
            // The generator has the packaged frontend, which has no such parameter.
            if guest.spec.role != Role::Guest {
                continue;
            }
            if let Some(command) = settings.for_guest(&guest.spec.interface) {
                guest.host.check(&command, STEP)?;
            }
        }
        Ok(())
    }

    /// Proves on every host which module is live.
    pub fn prove(&mut self, pair: &Pair) -> Result<Vec<ModuleProof>, Failure> {
        Ok(self.swap_of().prove(pair).map_err(ModuleError::from)?)
    }

    /// Undoes everything on every stack. Any order is right: a guest's network works again when dom0's vifs do.
    pub fn undo(&mut self, progress: &dyn Progress) -> Result<Vec<UndoReport>, Failure> {
        let mut reports = Vec::new();
        for host in self.all() {
            if host.stack.entries().is_empty() {
                continue;
            }
            // The vifs were removed and made again with dom0's swap: an earlier connection may be dead.
            host.host.reconnect(UNDO)?;
            reports.push(undo_host(&mut host.host, &mut host.stack, UNDO, progress)?);
        }
        Ok(reports)
    }

    /// Empties the stacks without running them, because a restored state has undone everything.
    pub fn forget(&mut self) -> Result<(), Failure> {
        for host in self.all() {
            host.stack.forget()?;
        }
        Ok(())
    }
}
