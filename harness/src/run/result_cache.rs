//! The results of sealed trials, by content: a sealed trial is a function of the machine, the modules and the plan, so each is
//! run once and then looked up.
//!
//! An entry is a folder `sealed/<name>/` of the cache: `trial.json`, the requests, a folder for each host, and `sum`, a hash of
//! all of it; where instructions were counted, also `instructions.json`. The name is a hash of everything that decides the
//! outcome. This program belongs to that, because its requests to the machine are part of the trial.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vifbench_provisioning::lab::cache_root;
use vifbench_scenarios::plan::TrialPlan;
use vifbench_store::files::{read_json, write_json};
use vifbench_store::{INSTRUCTIONS_FILE, TrialRecord};

use super::exactness::RENDEZVOUS;
use crate::error::Failure;

/// Entries that were not used for this long are removed.
const UNUSED: Duration = Duration::from_secs(30 * 86_400);
/// All entries together take no more than this many bytes; the ones unused for longest are removed first.
const ROOM: u64 = 4 << 30;

/// A cache of results.
#[derive(Debug, Clone)]
pub struct ResultCache {
    folder: PathBuf,
}

/// The name of a trial, by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// `machine` names hypervisor, kernels, images and QEMU; `pair` names the live modules and the probe; `program` names the
    /// controller's program.
    pub fn new(
        machine: &str,
        pair: &str,
        program: &str,
        plan: &TrialPlan,
    ) -> Result<Self, serde_json::Error> {
        let mut plan = plan.clone();
        // Its place in the run and the name of its variant decide nothing.
        (plan.number, plan.block) = (0, 0);
        plan.variant.name = String::new();
        let mut hash = blake3::Hasher::new();
        for input in [machine, pair, program, &serde_json::to_string(&plan)?] {
            hash.update(&(input.len() as u64).to_le_bytes());
            hash.update(input.as_bytes());
        }
        Ok(Self(hash.finalize().to_hex()[..32].to_owned()))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the cache has of a trial.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The results, which are now in the folder that was given.
    Results(Box<TrialRecord>),
    /// A damaged entry, which was removed. The message says what was wrong.
    Damaged(String),
}

impl ResultCache {
    /// The cache of this machine, beside the images and the saved states.
    pub fn of_this_machine() -> Self {
        Self::at(cache_root().join("sealed"))
    }

    /// The cache in a folder.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether the cache has the results, with counted instructions if `counted`.
    pub fn has(&self, name: &Name, counted: bool) -> bool {
        let entry = self.folder.join(&name.0);
        entry.exists() && (!counted || entry.join(INSTRUCTIONS_FILE).exists())
    }

    /// Copies the results of a trial into `part` if the cache has them.
    pub fn find(&self, name: &Name, part: &Path) -> Result<Found, Failure> {
        let entry = self.folder.join(&name.0);
        let sum = match fs::read_to_string(entry.join("sum")) {
            Ok(sum) => sum,
            Err(error) if error.kind() == ErrorKind::NotFound && !entry.exists() => {
                return Ok(Found::Nothing);
            }
            Err(error) => return remove_damaged(&entry, &error.to_string()),
        };
        let found = digest(&entry)?;
        if found != sum {
            return remove_damaged(&entry, &format!("its content is {found}, not {sum}"));
        }
        for file in files(&entry)? {
            let to = part.join(&file);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder).map_err(Failure::io("create the folder", folder))?;
            }
            fs::copy(entry.join(&file), &to).map_err(Failure::io("write", &to))?;
        }
        let record = read_json(&part.join("trial.json"))?;
        for file in ["sum", "trial.json"] {
            let file = part.join(file);
            fs::remove_file(&file).map_err(Failure::io("remove", &file))?;
        }
        // Its time is when the entry was last used.
        let sum = entry.join("sum");
        fs::File::options()
            .append(true)
            .open(&sum)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(Failure::io("touch", &sum))?;
        Ok(Found::Results(Box::new(record)))
    }

    /// Stores the results of a trial, whole or not at all. An entry of that name is replaced.
    pub fn store(&self, name: &Name, part: &Path, record: &TrialRecord) -> Result<(), Failure> {
        fs::create_dir_all(&self.folder).map_err(Failure::io("create the folder", &self.folder))?;
        let new = self
            .folder
            .join(format!(".{}.{}", name.0, std::process::id()));
        for host in &record.probes {
            let (from, to) = (part.join(host), new.join(host));
            fs::create_dir_all(&to).map_err(Failure::io("create the folder", &to))?;
            for file in files(&from)? {
                let (from, to) = (from.join(&file), to.join(&file));
                fs::copy(&from, &to).map_err(Failure::io("write", &to))?;
            }
        }
        let requests = part.join(RENDEZVOUS);
        fs::copy(&requests, new.join(RENDEZVOUS)).map_err(Failure::io("copy", &requests))?;
        let counted = part.join(INSTRUCTIONS_FILE);
        if counted.exists() {
            fs::copy(&counted, new.join(INSTRUCTIONS_FILE))
                .map_err(Failure::io("copy", &counted))?;
        }
        write_json(&new.join("trial.json"), record)?;
        let sum = new.join("sum");
        fs::write(&sum, digest(&new)?).map_err(Failure::io("write", &sum))?;
        let entry = self.folder.join(&name.0);
        match fs::remove_dir_all(&entry) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::io("remove", &entry)(error)),
        }
        fs::rename(&new, &entry).map_err(Failure::io("rename into place", &entry))?;
        self.clean_up()
    }

    /// Removes entries that are unused for too long, and the oldest while all take too much room.
    fn clean_up(&self) -> Result<(), Failure> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(Failure::io("list", &self.folder))? {
            let path = entry.map_err(Failure::io("list", &self.folder))?.path();
            // One without a sum is being made by another process.
            let Ok(used) = fs::metadata(path.join("sum")).and_then(|data| data.modified()) else {
                continue;
            };
            let mut size = 0;
            for file in files(&path)? {
                let file = path.join(file);
                size += fs::metadata(&file)
                    .map_err(Failure::io("read", &file))?
                    .len();
            }
            entries.push((used, size, path));
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        for (used, size, path) in entries {
            if total <= ROOM && used.elapsed().is_ok_and(|age| age < UNUSED) {
                break;
            }
            fs::remove_dir_all(&path).map_err(Failure::io("remove", &path))?;
            total -= size;
        }
        Ok(())
    }
}

fn remove_damaged(entry: &Path, why: &str) -> Result<Found, Failure> {
    fs::remove_dir_all(entry).map_err(Failure::io("remove", entry))?;
    Ok(Found::Damaged(format!(
        "the stored results {} are damaged and the trial is run again: {why}",
        entry.display()
    )))
}

/// A hash of a trial's folder: of every file but `sum`, with its path.
pub fn digest(folder: &Path) -> Result<String, Failure> {
    let mut hash = blake3::Hasher::new();
    for file in files(folder)? {
        if file == Path::new("sum") {
            continue;
        }
        let path = folder.join(&file);
        let bytes = fs::read(&path).map_err(Failure::io("read", &path))?;
        let name = file.to_string_lossy();
        for input in [name.as_bytes(), &bytes] {
            hash.update(&(input.len() as u64).to_le_bytes());
            hash.update(input);
        }
    }
    Ok(hash.finalize().to_hex().to_string())
}

/// Every file below a folder, by its path from there, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(next) = folders.pop() {
        let path = folder.join(&next);
        for entry in fs::read_dir(&path).map_err(Failure::io("list", &path))? {
            let entry = entry.map_err(Failure::io("list", &path))?;
            let name = next.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(name);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
pub(super) mod tests {
    use vifbench_scenarios::plan::Plan;
    use vifbench_scenarios::scenario::Scenario;
    use vifbench_store::{FORMAT, Outcome};

    use super::*;

    fn plan(variant: &str, seed: u64) -> Vec<TrialPlan> {
        let scenario = Scenario::parse(
            &format!(
                "name: x\nabout: y\n\
                 traffic: [{{to: u1, size: 64 B, arrivals: {{cbr: {{rate: 10/s}}}}}}]\n\
                 variants: [{{name: {variant}}}]\nduration: 1 s\nblocks: 2\n"
            ),
            "test",
        )
        .expect("a good scenario");
        Plan::new(&scenario, seed, None).trials
    }

    /// Of some trial.
    pub fn a_record() -> TrialRecord {
        record(plan("a", 1).remove(0))
    }

    fn record(plan: TrialPlan) -> TrialRecord {
        TrialRecord {
            format: FORMAT,
            plan,
            outcome: Outcome::Complete,
            modules: Vec::new(),
            clocks: Vec::new(),
            rulers: Vec::new(),
            probes: vec!["dom0".to_owned()],
            warnings: Vec::new(),
            start_ns: 1,
            measure_from_ns: 2,
            stop_ns: 3,
            wall_s: 4.0,
        }
    }

    #[test]
    fn only_what_decides_a_trial_names_it() {
        let name = |machine: &str, plan: &TrialPlan| {
            Name::new(machine, "pair", "program", plan).expect("a name")
        };
        let plans = plan("a", 1);
        let first = name("m", &plans[0]);
        assert_eq!(first, name("m", &plan("b", 1)[0]), "what it is called");
        let mut moved = plans[0].clone();
        (moved.number, moved.block) = (7, 3);
        assert_eq!(first, name("m", &moved), "where it stands");
        assert_ne!(first, name("n", &plans[0]), "another machine");
        assert_ne!(
            first,
            name("m", &plans[1]),
            "another block has other packets"
        );
        assert_ne!(first, name("m", &plan("a", 2)[0]), "another seed");
        // Parts are told apart by their lengths.
        let ab = Name::new("a", "bc", "d", &plans[0]).expect("a name");
        assert_ne!(ab, Name::new("ab", "c", "d", &plans[0]).expect("a name"));
    }

    #[test]
    fn results_are_stored_found_and_never_returned_damaged() {
        let folder = tempfile::tempdir().expect("tempdir");
        let results = ResultCache::at(folder.path().join("sealed"));
        let plan = plan("a", 1).remove(0);
        let name = Name::new("m", "p", "v", &plan).expect("a name");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("dom0")).expect("create");
        fs::write(from.join("dom0/rx.pcap.zst"), "packets").expect("write");
        fs::write(from.join(RENDEZVOUS), "{}\n").expect("write");
        fs::create_dir(&to).expect("create");
        assert!(matches!(results.find(&name, &to), Ok(Found::Nothing)));
        let record = record(plan);
        results.store(&name, &from, &record).expect("stored");
        match results.find(&name, &to).expect("found") {
            Found::Results(found) => assert_eq!(*found, record),
            other => panic!("{other:?}"),
        }
        let packets = fs::read_to_string(to.join("dom0/rx.pcap.zst")).expect("read");
        assert_eq!(packets, "packets");
        assert!(!to.join("sum").exists() && !to.join("trial.json").exists());

        let stored = folder.path().join("sealed").join(name.to_string());
        fs::write(stored.join("dom0/rx.pcap.zst"), "packetz").expect("write");
        match results.find(&name, &to).expect("looked") {
            Found::Damaged(why) => assert!(why.contains("damaged"), "{why}"),
            other => panic!("{other:?}"),
        }
        assert!(!stored.exists(), "it is gone");
    }
}
