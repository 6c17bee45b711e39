//! A night in which something goes wrong: the rest goes on, and the summary says what happened.

use std::fs;

use crate::support::{Lab, SMALL, open_path, stock_only};
use vifbench_testing::{Need, needs};

#[test]
fn a_night_goes_on_past_a_lab_that_does_not_answer() {
    needs!(Need::Lab);
    let lab = Lab::new("night");
    let up = lab.json(0, &["lab", "up"]);
    let file = up["lab_file"].as_str().expect("a path");
    let text = fs::read_to_string(file).expect("the lab file");
    // Nobody has this address of the lab's own network.
    let silent = text.replace("address: 198.18.0.2\n", "address: 198.18.0.77\n");
    assert_ne!(silent, text);
    lab.write("silent.yaml", &silent);
    lab.write("open.yaml", &stock_only(&open_path()));
    lab.write("small.yaml", &stock_only(SMALL));
    lab.write(
        "night.yaml",
        "night: test\ndeadline: 2 h\nruns:\n  \
         - {scenario: small.yaml, priority: 3, at_most: 20 min}\n  \
         - {scenario: open.yaml, lab: silent.yaml, priority: 2, at_most: 20 min, retries: 1}\n  \
         - {scenario: small.yaml, priority: 1, at_most: 20 min, seed: 7}\n  \
         - {scenario: small.yaml, priority: 4, at_most: 2 h}\n",
    );

    let told = lab.json(12, &["nightly", "night.yaml", "--out", "results"]);
    let runs = told["runs"].as_array().expect("runs");
    let verdicts: Vec<&str> = runs
        .iter()
        .map(|run| run["verdict"].as_str().expect("a verdict"))
        .collect();
    assert_eq!(verdicts, ["PASS", "INFRA", "PASS", "NOT BEGUN"], "{told:#}");
    let reason = runs[1]["reason"].as_str().expect("a reason");
    assert!(reason.contains("dom0"), "{reason}");
    assert_eq!(
        runs[1]["attempts"], 2,
        "what the lab did wrong is tried again"
    );
    assert_eq!(
        (&runs[0]["attempts"], &runs[2]["attempts"]),
        (&1.into(), &1.into())
    );
    let why = runs[3]["reason"].as_str().expect("a reason");
    assert!(why.contains("7200 s"), "{why}");

    // For mail and chat, and the index of all nights.
    let summary = fs::read_dir(lab.path("results/nights"))
        .expect("the night's folder")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|e| e == "txt"))
        .expect("a summary");
    let text = fs::read_to_string(summary).expect("the summary");
    let first = text.lines().next().expect("a first line");
    assert!(first.contains("2 PASS, 1 INFRA, 1 NOT BEGUN"), "{first}");
    let index = fs::read_to_string(lab.path("results/history/index.html")).expect("the index");
    assert_eq!(
        index.matches("/report/index.html\"").count(),
        2,
        "two runs with a report"
    );
}
