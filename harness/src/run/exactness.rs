//! Whether two results of a sealed trial are the same. The trial is a function of its requests: run again, it must give the
//! same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vifbench_provisioning::lab::Turn;
use vifbench_store::TrialRecord;

use crate::error::Failure;

/// The file, in a trial's folder, with the requests to the sealed machine and their times by its own clock, one on each line.
pub const RENDEZVOUS: &str = "rendezvous.jsonl";

/// The results of a trial: its record, and the folder that has a folder for each host.
pub type Results<'a> = (&'a TrialRecord, &'a Path);

/// Writes the requests of a trial.
pub fn write_requests(requests: &[Turn], part: &Path) -> Result<(), Failure> {
    let path = part.join(RENDEZVOUS);
    let lines: Result<Vec<String>, _> = requests.iter().map(serde_json::to_string).collect();
    let lines = lines
        .map_err(std::io::Error::from)
        .map_err(Failure::io("write", &path))?;
    fs::write(&path, lines.join("\n") + "\n").map_err(Failure::io("write", &path))
}

/// The first difference between two results of a trial: in requests and their times, in records, packets or counters, byte
/// for byte. The controller's own time and the trial's place in its run are no part of the results.
pub fn difference(
    (first, one): Results<'_>,
    (second, two): Results<'_>,
) -> Result<Option<String>, Failure> {
    if let Some(line) = line(&one.join(RENDEZVOUS), &two.join(RENDEZVOUS))? {
        return Ok(Some(format!("{RENDEZVOUS}, {line}")));
    }
    for host in &first.probes {
        let (one, two) = (one.join(host), two.join(host));
        for file in list(&one)? {
            let again = two.join(&file);
            if !again.exists() || read(&one.join(&file))? != read(&again)? {
                return Ok(Some(Path::new(host).join(&file).display().to_string()));
            }
        }
    }
    let same = TrialRecord {
        wall_s: first.wall_s,
        plan: first.plan.clone(),
        ..second.clone()
    };
    if same == *first {
        return Ok(None);
    }
    let fields = |record| match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (one, two) = (fields(first), fields(&same));
    let names: Vec<&str> = one
        .iter()
        .filter(|(name, value)| two.get(*name) != Some(value))
        .map(|(name, _)| name.as_str())
        .collect();
    Ok(Some(format!("trial.json, {}", names.join(", "))))
}

/// The first line in which two files differ, with both.
fn line(one: &Path, two: &Path) -> Result<Option<String>, Failure> {
    let text = |path| read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (one, two) = (text(one)?, text(two)?);
    if one == two {
        return Ok(None);
    }
    let (mut left, mut right) = (one.lines(), two.lines());
    for number in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let show = |line: Option<&str>| line.unwrap_or("no line").to_owned();
                return Ok(Some(format!("line {number}: {} and {}", show(a), show(b))));
            }
        }
    }
    Ok(Some("line ends".to_owned()))
}

fn list(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(Failure::io("list", path))? {
        names.push(PathBuf::from(
            entry.map_err(Failure::io("list", path))?.file_name(),
        ));
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(Failure::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let one = file("one", "a\nb\nc\n");
        assert_eq!(line(&one, &file("same", "a\nb\nc\n")).expect("read"), None);
        assert_eq!(
            line(&one, &file("two", "a\nx\nc\n"))
                .expect("read")
                .as_deref(),
            Some("line 2: b and x")
        );
        assert_eq!(
            line(&one, &file("short", "a\nb\n"))
                .expect("read")
                .as_deref(),
            Some("line 3: c and no line")
        );
    }

    /// Outside input shows in one of three places: requests and their times, packets, counters.
    #[test]
    fn the_first_difference_is_named() {
        let home = tempfile::tempdir().expect("a folder");
        let results = |name: &str, requests: &str, packets: &str| {
            let folder = home.path().join(name);
            fs::create_dir_all(folder.join("dom0")).expect("created");
            fs::write(folder.join(RENDEZVOUS), requests).expect("written");
            fs::write(folder.join("dom0/vif-u1.pcap.zst"), packets).expect("written");
            folder
        };
        let record = crate::run::result_cache::tests::a_record();
        let first = results("first", "{\"began_tsc\":1}\n", "packets");
        let against = |record: &TrialRecord, folder: &Path| {
            difference(
                (&crate::run::result_cache::tests::a_record(), &first),
                (record, folder),
            )
            .expect("read")
        };
        assert_eq!(
            against(&record, &results("same", "{\"began_tsc\":1}\n", "packets")),
            None
        );
        let requests = against(
            &record,
            &results("requests", "{\"began_tsc\":2}\n", "packets"),
        );
        assert_eq!(
            requests.as_deref(),
            Some("rendezvous.jsonl, line 1: {\"began_tsc\":1} and {\"began_tsc\":2}")
        );
        let packets = against(
            &record,
            &results("packets", "{\"began_tsc\":1}\n", "packetz"),
        );
        assert_eq!(packets.as_deref(), Some("dom0/vif-u1.pcap.zst"));
        let later = TrialRecord {
            stop_ns: record.stop_ns + 1,
            wall_s: record.wall_s + 1.0,
            ..record.clone()
        };
        let counted = against(
            &later,
            &results("counted", "{\"began_tsc\":1}\n", "packets"),
        );
        assert_eq!(counted.as_deref(), Some("trial.json, stop_ns"));
    }
}
