//! Another kernel on another hypervisor.

use std::fs;
use std::path::PathBuf;

use crate::support::{Lab, SMALL};
use vifbench_testing::{Need, needs};

/// From images of other suites to the page: what ran is the kernel and the hypervisor that were asked for, in virtual time,
/// with drivers that were built by that suite's compiler.
#[test]
fn a_matrix_runs_the_kernel_and_the_hypervisor_that_it_names() {
    needs!(Need::Lab);
    let lab = Lab::new("mx");
    let scenario = lab.write("small.yaml", SMALL);
    let scenario = scenario.to_str().expect("UTF-8");
    let answer = lab.json(0, &["matrix", scenario, "--kernel", "7.3", "--xen", "4.20"]);
    let cell = &answer["matrix"]["cells"][0];
    let log = || {
        let folder = lab
            .path("results")
            .join(answer["matrix"]["matrix"].as_str().unwrap_or("?"));
        fs::read_to_string(folder.join("log-linux-7-3-xen-4-20.txt")).unwrap_or_default()
    };
    assert_eq!(cell["verdict"], "PASS", "{answer}\n{}", log());
    assert_eq!(cell["left_out"], serde_json::json!([]), "{answer}");

    let index = lab.path(answer["report"].as_str().expect("a page"));
    let folder = PathBuf::from(index.parent().expect("its folder"));
    let csv = fs::read_to_string(folder.join("matrix.csv")).expect("the table");
    let lost = csv
        .lines()
        .find(|line| line.contains(",lost,"))
        .expect("a row");
    let fields: Vec<&str> = lost.split(',').collect();
    assert!(
        fields.iter().any(|field| field.starts_with("7.3.")),
        "{lost}"
    );
    assert!(
        fields.iter().any(|field| field.starts_with("4.20.")),
        "{lost}"
    );
    assert!(
        lost.contains(",packets,0.0,0.0,0.0,1,"),
        "nothing is lost: {lost}"
    );

    // CPU times come from this Xen's own library: `xl` would know tenths of a second, and keep dom0 from its packets.
    let run = folder.join(cell["run"].as_str().expect("a run"));
    let dom0 = fs::read_to_string(run.join("trials/1/dom0/result.json")).expect("a result");
    assert!(dom0.contains("\"libxl 4.20\""), "{dom0}");

    // The lab is gone, and its results are known: a second matrix looks them up, and its page can be made again.
    let again = lab.json(
        0,
        &[
            "matrix", scenario, "--kernel", "7.3", "--xen", "4.20", "--out", "b",
        ],
    );
    let run = again["matrix"]["cells"][0]["run"].as_str().expect("a run");
    let second = lab.path(again["report"].as_str().expect("a page"));
    let second = second.parent().expect("its folder");
    let events = fs::read_to_string(second.join(run).join("events.jsonl")).expect("events");
    assert!(events.contains("looked-up"), "{events}");
    let page = fs::read(&index).expect("the page");
    lab.expect(0, &["report", folder.to_str().expect("UTF-8")]);
    assert_eq!(page, fs::read(&index).expect("the page"));
}
