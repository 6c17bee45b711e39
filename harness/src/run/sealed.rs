//! Results by content: a sealed trial is a function of the machine, the modules and the plan, so each is run once and
//! then looked up.
//!
//! An entry is a folder `sealed/<name>/` of the cache: `trial.json`, what was said, a folder a host, and `sum`, which names the
//! content of all of it; where instructions were counted, also `instructions.json`. The name hashes everything that decides the outcome, this program among it, because what it
//! says to the machine is a part of the trial.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use vifbench_provisioning::lab::cache_root;
use vifbench_scenarios::plan::TrialPlan;
use vifbench_store::files::{read_json, write_json};
use vifbench_store::{INSTRUCTIONS_FILE, TrialRecord};

use super::again::RENDEZVOUS;
use crate::error::Failure;

/// Entries that nothing has asked for in so long go.
const UNUSED: Duration = Duration::from_secs(30 * 86_400);
/// All entries together take no more than this many bytes; the ones unused for longest go first.
const ROOM: u64 = 4 << 30;

/// The entries of this machine's cache.
#[derive(Debug, Clone)]
pub struct Results {
    folder: PathBuf,
}

/// What names a trial by content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// `machine` names hypervisor, kernels, images and QEMU; `pair` the live modules and the probe; `program` the
    /// controller's side of the conversation.
    pub fn new(
        machine: &str,
        pair: &str,
        program: &str,
        plan: &TrialPlan,
    ) -> Result<Self, serde_json::Error> {
        let mut asked = plan.clone();
        // Where it stands in a run, and what people call the variant, decide nothing.
        (asked.number, asked.block) = (0, 0);
        asked.variant.name = String::new();
        let mut hash = blake3::Hasher::new();
        for part in [machine, pair, program, &serde_json::to_string(&asked)?] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Ok(Self(hash.finalize().to_hex()[..32].to_owned()))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the store knows of a trial.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The results, now in the folder that was given.
    Results(Box<TrialRecord>),
    /// An entry that is not what was put there; it has been removed, and this says why.
    Damaged(String),
}

impl Results {
    /// Beside the images and the saved machines.
    pub fn of_this_machine() -> Self {
        Self::at(cache_root().join("sealed"))
    }

    /// The store in a folder.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Does the store have what is asked for: results, and instructions where they are to be counted?
    pub fn answers(&self, name: &Name, counted: bool) -> bool {
        let entry = self.folder.join(&name.0);
        entry.exists() && (!counted || entry.join(INSTRUCTIONS_FILE).exists())
    }

    /// Copies the results of a trial into `part`, if there are any and they are whole.
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
        // Its time tells when it was last of use.
        let sum = entry.join("sum");
        fs::File::options()
            .append(true)
            .open(&sum)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(Failure::io("touch", &sum))?;
        Ok(Found::Results(Box::new(record)))
    }

    /// Keeps the results of a trial, whole or not at all. An entry of that name is replaced.
    pub fn keep(&self, name: &Name, part: &Path, record: &TrialRecord) -> Result<(), Failure> {
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
        let said = part.join(RENDEZVOUS);
        fs::copy(&said, new.join(RENDEZVOUS)).map_err(Failure::io("copy", &said))?;
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
        self.forget()
    }

    /// Removes what is unused for too long, and the oldest of what takes too much room.
    fn forget(&self) -> Result<(), Failure> {
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

/// Names the content of a trial's folder: every file but `sum`, with its path.
pub fn digest(folder: &Path) -> Result<String, Failure> {
    let mut hash = blake3::Hasher::new();
    for file in files(folder)? {
        if file == Path::new("sum") {
            continue;
        }
        let path = folder.join(&file);
        let bytes = fs::read(&path).map_err(Failure::io("read", &path))?;
        let name = file.to_string_lossy();
        for part in [name.as_bytes(), &bytes] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
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
    fn results_are_kept_found_and_never_served_damaged() {
        let folder = tempfile::tempdir().expect("tempdir");
        let results = Results::at(folder.path().join("sealed"));
        let plan = plan("a", 1).remove(0);
        let name = Name::new("m", "p", "v", &plan).expect("a name");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("dom0")).expect("create");
        fs::write(from.join("dom0/rx.pcap.zst"), "packets").expect("write");
        fs::write(from.join(RENDEZVOUS), "{}\n").expect("write");
        fs::create_dir(&to).expect("create");
        assert!(matches!(results.find(&name, &to), Ok(Found::Nothing)));
        let record = record(plan);
        results.keep(&name, &from, &record).expect("kept");
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
