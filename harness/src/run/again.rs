//! `--twice`: a sealed trial is a function of what was asked, so a second run must give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use vifbench_reports::store::TrialRecord;
use vifbench_scenarios::plan::TrialPlan;

use crate::error::Failure;

/// Runs the trial once more beside its results and compares records, packets and counters, byte for byte.
pub fn compare(
    plan: &TrialPlan,
    part: &Path,
    first: &TrialRecord,
    run: &mut impl FnMut(&Path) -> Result<TrialRecord, Failure>,
) -> Result<TrialRecord, Failure> {
    let again = part.join("again");
    let mut second = run(&again)?;
    // The controller's time is not the machine's.
    second.wall_s = first.wall_s;
    for host in &first.probes {
        let (one, two) = (part.join(host), again.join(host));
        for file in list(&one)? {
            if read(&one.join(&file))? != read(&two.join(&file))? {
                return Err(Failure::NotExact {
                    trial: plan.number,
                    file: Path::new(host).join(&file),
                });
            }
        }
    }
    if second != *first {
        return Err(Failure::NotExact {
            trial: plan.number,
            file: PathBuf::from("trial.json"),
        });
    }
    fs::remove_dir_all(&again).map_err(io("remove", &again))?;
    Ok(second)
}

fn list(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(io("list", path))? {
        names.push(PathBuf::from(entry.map_err(io("list", path))?.file_name()));
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(io("read", path))
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Failure + use<> {
    let path = path.to_owned();
    move |source| Failure::Io {
        doing,
        path,
        source,
    }
}
