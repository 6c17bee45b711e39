//! Counted instructions, from a trial's file to the page, and the costs that a hardware run teaches.

mod synthetic;

use std::fs;
use std::path::Path;

use synthetic::World;
use vifbench_reports::calibration::{CalibrationError, points};
use vifbench_reports::cost_model::CostModel;
use vifbench_reports::render;
use vifbench_reports::run_analysis::{Analysis, analyze};
use vifbench_scenarios::progress::Silent;
use vifbench_store::{
    COST_MODEL_FILE, Calibration, FunctionCount, INSTRUCTIONS_FILE, INSTRUCTIONS_FORMAT,
    InstructionsRecord, RunReader,
};

/// A function that spends so many instructions on each of a thousand packets.
fn function(domain: &str, module: &str, name: &str, each: u64) -> FunctionCount {
    FunctionCount {
        domain: domain.to_owned(),
        module: module.to_owned(),
        function: name.to_owned(),
        instructions: each * 1000,
        entered: 1000,
        accesses: each * 500,
        missed_l1: each * 20,
        missed_ll: each,
    }
}

/// A run in the lab in which `shadow` spends 150 instructions a packet more in netback, each trial's counts on disk.
fn counted(root: &Path) {
    World::default().write(root);
    for number in 1..=2 {
        let trial = root.join("trials").join(number.to_string());
        let text = fs::read_to_string(trial.join("trial.json")).unwrap();
        let more = if text.contains("\"shadow\"") { 150 } else { 0 };
        let record = InstructionsRecord {
            format: INSTRUCTIONS_FORMAT,
            packets: 1000,
            functions: vec![
                function("dom0", "xen_netback", "xenvif_rx_action", 400 + more),
                function("dom0", "bridge", "br_handle_frame", 200),
                function("dom0", "agent", "(unnamed)", 1_000_000),
                function("gen", "vmlinux", "tpacket_rcv", 300),
                function("u1", "vmlinux", "udp_rcv", 100),
                function("xen", "xen", "do_event_channel_op", 50),
                function("xen", "xen", "pv_hypercall", 5000),
            ],
        };
        let text = serde_json::to_vec(&record).unwrap();
        fs::write(trial.join(INSTRUCTIONS_FILE), text).unwrap();
    }
}

fn read(root: &Path) -> Analysis {
    analyze(&RunReader::new(root), &Silent).unwrap()
}

#[test]
fn counts_become_tables_and_figures_without_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    counted(root);
    let found = read(root).instructions();
    let totals: Vec<(&str, f64)> = found
        .iter()
        .map(|one| (one.variant.as_str(), one.sum(|_| true).instructions))
        .collect();
    assert_eq!(totals, [("stock", 6050.0), ("shadow", 6200.0)]);

    let rendered = render(root, &Silent).unwrap();
    let page = fs::read_to_string(&rendered.index).unwrap();
    assert!(page.contains("Where the instructions go"));
    assert!(
        page.contains("xenvif_rx_action"),
        "the function that differs"
    );
    assert!(page.contains("no hardware run has calibrated yet"));
    let csv = root.join("report/figures/instruction-differences.csv");
    let csv = fs::read_to_string(csv).unwrap();
    assert!(csv.contains("150"), "{csv}");
    let flames = fs::read_to_string(root.join("report/figures/instructions.csv")).unwrap();
    assert!(
        flames.contains("dom0: xenvif_rx_action") && !flames.contains("agent"),
        "{flames}"
    );
}

#[test]
fn a_damaged_count_is_told_and_takes_no_other_trial_with_it() {
    let folder = tempfile::tempdir().unwrap();
    counted(folder.path());
    fs::write(folder.path().join("trials/1/instructions.json"), "{").unwrap();
    let analysis = read(folder.path());
    let states: Vec<&str> = analysis
        .summary
        .trials
        .iter()
        .map(|t| t.state.word())
        .collect();
    assert_eq!(
        states.iter().filter(|word| **word == "complete").count(),
        1,
        "{states:?}"
    );
    let reason = analysis.summary.trials[0]
        .state
        .reason()
        .unwrap_or_default()
        .to_owned();
    assert!(reason.contains("instructions.json"), "{reason}");
}

#[test]
fn hardware_teaches_what_instructions_cost() {
    let (lab, hardware, plain) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    counted(lab.path());
    let world = World {
        is_virtual: false,
        ..World::default()
    };
    world.write(hardware.path());
    World::default().write(plain.path());
    let (lab_run, hardware_run) = (read(lab.path()), read(hardware.path()));
    assert!(matches!(
        points(&lab_run, &lab_run),
        Err(CalibrationError::Virtual { .. })
    ));
    assert!(matches!(
        points(&hardware_run, &read(plain.path())),
        Err(CalibrationError::NotCounted { .. })
    ));
    let points = points(&hardware_run, &lab_run).unwrap();
    assert_eq!(points.len(), 2, "both variants");
    let model = CostModel::default().calibrated(
        &points,
        Calibration {
            hardware: hardware_run.summary.run,
            lab: lab_run.summary.run,
            points: points.len(),
        },
    );
    for point in &points {
        let (before, after) = (
            CostModel::default().time(&point.amounts),
            model.time(&point.amounts),
        );
        let off = |ns: f64| (ns - point.ns).abs();
        assert!(
            off(after.ns) < off(before.ns) && after.sd > 0.0,
            "{point:?} {before:?} {after:?}"
        );
    }

    // A run beside which the model lies is told with it.
    let text = serde_json::to_vec(model.record()).unwrap();
    fs::write(lab.path().join(COST_MODEL_FILE), text).unwrap();
    let rendered = render(lab.path(), &Silent).unwrap();
    let page = fs::read_to_string(&rendered.index).unwrap();
    assert!(page.contains("a model calibrated with the hardware run"));
}
