//! One trial of a run: looked up where its results are known, and else run, again where the lab failed.

use std::path::Path;

use vifbench_provisioning::host::HostError;
use vifbench_scenarios::plan::TrialPlan;
use vifbench_scenarios::progress::Progress;
use vifbench_store::{INSTRUCTIONS_FILE, RunWriter, TrialRecord};

use super::exactness;
use super::repeat::Repeat;
use super::result_cache::{Found, Name, ResultCache};
use super::rig::Rig;
use super::trial::Trial;
use super::variants::Variants;
use crate::error::Failure;

/// A trial that failed because of the lab runs at most this often.
const TRIES: u32 = 3;

/// A trial of a run.
pub struct Attempt<'a, 'v> {
    /// The run's folder.
    pub run: &'a mut RunWriter,
    /// What runs trials.
    pub rig: &'a mut Rig,
    /// The variants of the run.
    pub variants: &'a mut Variants<'v>,
    /// The trial.
    pub plan: &'a TrialPlan,
    /// The folder for its results.
    pub part: &'a Path,
    /// Where to report progress.
    pub progress: &'a dyn Progress,
}

/// A trial's results in the cache.
enum Known {
    /// There are none.
    No,
    /// They are the results of this trial, and in its folder.
    Answer(TrialRecord),
    /// They are beside the trial's folder, to compare the trial with.
    ToCompare(TrialRecord),
}

impl Attempt<'_, '_> {
    /// The record of the trial, whose results are then in its folder.
    pub fn record(mut self) -> Result<TrialRecord, Failure> {
        match self.rig.place().machine_id()? {
            None => Ok(self.until_it_works(self.part)?.0),
            Some(machine) => self.by_content(&machine),
        }
    }

    /// The record of a trial that the machine, the drivers and the plan decide.
    fn by_content(&mut self, machine: &str) -> Result<TrialRecord, Failure> {
        let cache = ResultCache::of_this_machine();
        let name = self.name(machine)?;
        let (stored, second) = (
            self.part.with_extension("stored"),
            self.part.with_extension("again"),
        );
        fresh(&stored)?;
        let known = match self.look_up(&cache, &name, &stored)? {
            Known::No => None,
            Known::ToCompare(known) => Some(known),
            Known::Answer(record) => {
                remove(&stored)?;
                return Ok(record);
            }
        };
        let part = self.part;
        let (record, tries) = self.until_it_works(part)?;
        if self.rig.repeat() == Repeat::Twice {
            fresh(&second)?;
            let (again, _) = self.until_it_works(&second)?;
            self.same((&record, part), (&again, &second), "its first run")?;
        }
        if let Some(known) = &known {
            let against = format!("the stored results {name}");
            self.same((known, &stored), (&record, part), &against)?;
        }
        // A second try leaves more time before the start, and so is another trial.
        if tries == 1 && (known.is_none() || self.counts()) {
            cache.store(&name, part, &record)?;
        }
        remove(&stored)?;
        remove(&second)?;
        Ok(record)
    }

    fn counts(&self) -> bool {
        self.rig.place().counts_instructions()
    }

    fn name(&mut self, machine: &str) -> Result<Name, Failure> {
        let cancel = self.rig.cancel().clone();
        let release = self.rig.place_mut().kernel()?;
        let drivers =
            self.variants
                .drivers(&self.plan.variant, &release, &cancel, self.progress)?;
        self.variants.name(machine, &drivers, self.plan)
    }

    /// Looks the trial up in the cache. Results to compare with go into `stored`.
    fn look_up(
        &mut self,
        cache: &ResultCache,
        name: &Name,
        stored: &Path,
    ) -> Result<Known, Failure> {
        let answers = self.rig.repeat() == Repeat::Never && cache.has(name, self.counts());
        match cache.find(name, if answers { self.part } else { stored })? {
            Found::Nothing => Ok(Known::No),
            Found::Damaged(why) => {
                self.progress.note(&why);
                self.run.event("damaged", Some(self.plan.number), &why)?;
                Ok(Known::No)
            }
            Found::Results(record) if answers => {
                if !self.counts() {
                    // Another run counted instructions. The trials of this run are to have the same files.
                    remove_file(&self.part.join(INSTRUCTIONS_FILE))?;
                }
                let text = format!("its results are known: {name}");
                self.run.event("looked-up", Some(self.plan.number), &text)?;
                Ok(Known::Answer(TrialRecord {
                    plan: self.plan.clone(),
                    ..*record
                }))
            }
            Found::Results(record) => Ok(Known::ToCompare(*record)),
        }
    }

    /// Fails if two results of the trial differ.
    fn same(
        &self,
        first: exactness::Results<'_>,
        second: exactness::Results<'_>,
        against: &str,
    ) -> Result<(), Failure> {
        match exactness::difference(first, second)? {
            None => Ok(()),
            Some(first) => Err(Failure::NotExact {
                what: format!("trial {}", self.plan.number),
                variant: self.plan.variant.name.clone(),
                against: against.to_owned(),
                first,
            }),
        }
    }

    /// Runs the trial, again from its first step where the lab failed. Returns also how many tries it took.
    fn until_it_works(&mut self, part: &Path) -> Result<(TrialRecord, u32), Failure> {
        let mut number = 0;
        loop {
            number += 1;
            let trial = Trial {
                rig: self.rig,
                variants: self.variants,
                plan: self.plan,
                run: self.run.path(),
                part,
                attempt: number,
                progress: self.progress,
            };
            match trial.run() {
                Err(failure) if number < TRIES && self.may_retry(&failure) => {
                    let trial = self.plan.number;
                    self.progress
                        .note(&format!("trial {trial}: {failure}; trying again"));
                    self.run.event("retry", Some(trial), &failure.to_string())?;
                    fresh(part)?;
                }
                other => return other.map(|record| (record, number)),
            }
        }
    }

    /// What the lab did wrong may go right from a fresh start; what the patch or the user did wrong will not.
    fn may_retry(&self, failure: &Failure) -> bool {
        let is_the_labs = match failure {
            // Most often a start time that passed before all probes were armed: the next attempt leaves more time.
            Failure::Probe { .. } => true,
            other => other.host_error().is_some_and(HostError::is_outage),
        };
        is_the_labs && self.rig.place().crash().is_none()
    }
}

/// Makes an empty folder, also where a run that was killed left one.
fn fresh(folder: &Path) -> Result<(), Failure> {
    remove(folder)?;
    std::fs::create_dir(folder).map_err(Failure::io("create the folder", folder))
}

fn remove_file(file: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", file)(error))
        }
        _ => Ok(()),
    }
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}
