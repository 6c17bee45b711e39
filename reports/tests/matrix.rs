//! Runs of several kernels and hypervisors as one table, one figure and one page.

mod synthetic;

use std::fs;
use std::path::Path;

use synthetic::{Fate, World, json};
use vifbench_reports::matrix::{self, Cell, FILE, LeftOut, MatrixRecord};
use vifbench_reports::render;
use vifbench_scenarios::progress::Silent;
use vifbench_scenarios::scenario::Patches;
use vifbench_store::FORMAT;

fn cell(kernel: &str, run: Option<&str>, verdict: &str, reason: &str) -> Cell {
    Cell {
        kernel: kernel.to_owned(),
        xen: "4.17".to_owned(),
        verdict: verdict.to_owned(),
        reason: reason.to_owned(),
        run: run.map(str::to_owned),
        left_out: Vec::new(),
        minutes: 1.5,
    }
}

/// Delays of a kernel that takes 5 us longer.
fn slower(variant: &str, block: u32, flow: u16, seq: u32) -> Fate {
    let mut fate = synthetic::plain(variant, block, flow, seq);
    fate.hops[2] += 5000;
    fate
}

/// Three combinations: both variants, only stock and slower, none at all.
fn written(root: &Path) {
    World::default().write(&root.join("a"));
    World {
        variants: vec![("stock".into(), Patches::Stock)],
        fate: slower,
        ..World::default()
    }
    .write(&root.join("b"));
    for run in ["a", "b"] {
        render(&root.join(run), &Silent).expect("a report");
    }
    let mut second = cell("6.12", Some("b"), "PASS", "all trials are complete");
    second.left_out.push(LeftOut {
        variant: "shadow".to_owned(),
        reason: "there are no patches for Linux 6.12".to_owned(),
    });
    let record = MatrixRecord {
        format: FORMAT,
        matrix: "20261124-000000-matrix-small-packets".to_owned(),
        vifbench: "0.1.0".to_owned(),
        scenario: "small-packets".to_owned(),
        about: "what the accounting itself costs".to_owned(),
        began: "2026-11-24T00:00:00Z".to_owned(),
        cells: vec![
            cell("6.1", Some("a"), "PASS", "all trials are complete"),
            second,
            cell("7.3", None, "INFRA", "dom0 said <script>alert(1)</script>"),
        ],
    };
    json(&root.join(FILE), &record);
}

#[test]
fn runs_become_one_table() {
    let folder = tempfile::tempdir().expect("tempdir");
    written(folder.path());
    let rendered = matrix::render(folder.path(), &Silent).expect("a page");
    insta::assert_snapshot!(rendered.matrix.to_text());

    let csv = fs::read_to_string(folder.path().join("matrix.csv")).expect("CSV");
    insta::assert_snapshot!(csv);
}

#[test]
fn the_page_tells_all_and_is_made_again_to_the_byte() {
    let folder = tempfile::tempdir().expect("tempdir");
    let root = folder.path();
    written(root);
    let index = matrix::render(root, &Silent).expect("a page").index;
    let page = fs::read_to_string(&index).expect("the page");
    assert!(page.contains("Without shadow: there are no patches for Linux 6.12."));
    assert!(page.contains("a/report/index.html"));
    assert!(
        !page.contains("<script>alert"),
        "what a host said is escaped"
    );
    for ending in [".svg", ".png", ".csv", ".tex"] {
        let file = root.join(format!("figures/matrix{ending}"));
        assert!(file.is_file(), "{}", file.display());
    }
    matrix::render(root, &Silent).expect("again");
    assert_eq!(page, fs::read_to_string(&index).expect("the page"));
}

#[test]
fn what_is_damaged_is_named() {
    let folder = tempfile::tempdir().expect("tempdir");
    let root = folder.path();
    written(root);
    fs::write(root.join("b/report/summary.json"), "{").expect("written");
    let error = matrix::render(root, &Silent).expect_err("a summary is cut short");
    assert!(error.to_string().contains("summary.json"), "{error}");
    fs::remove_file(root.join("b/report/summary.json")).expect("removed");
    let error = matrix::render(root, &Silent).expect_err("a summary is missing");
    assert!(error.to_string().contains("summary.json"), "{error}");
    let record = fs::read_to_string(root.join(FILE)).expect("the record");
    let newer = record.replace("\"format\": 1", "\"format\": 9");
    fs::write(root.join(FILE), newer).expect("written");
    let error = matrix::render(root, &Silent).expect_err("of another version");
    assert!(error.to_string().contains("format 9"), "{error}");
}
