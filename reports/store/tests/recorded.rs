//! Folders of runs as earlier versions wrote them: they are read for ever.

use std::path::{Path, PathBuf};

use vifbench_scenarios::scenario::Mode;
use vifbench_store::{
    COST_MODEL_FILE, FORMAT, Outcome, RunReader, RunWriter, StoreError, TrialRecord,
};
use vifbench_wire::protocol::Point;

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1")
}

/// A copy that may be changed.
fn copied() -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("folder");
        for entry in std::fs::read_dir(from).expect("listed") {
            let entry = entry.expect("entry");
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                std::fs::copy(&from, &to).expect("copied");
            }
        }
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    copy(&recorded(), folder.path());
    folder
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("read");
    assert!(text.contains(from), "{from} is not in {}", path.display());
    std::fs::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn every_file_of_a_recorded_run_is_read() {
    let run = RunReader::new(recorded());
    let record = run.read_run().expect("run.json");
    assert_eq!(record.format, 1);
    assert_eq!(record.scenario.name, "small-packets");
    assert_eq!(record.scenario.mode, Mode::Sealed);
    assert_eq!(record.lab.hosts.len(), 4);
    assert_eq!(record.plan.trials.len(), 3);

    let trial = run.read_trial(1).expect("trial.json").expect("it finished");
    assert_eq!(trial.outcome, Outcome::Complete);
    assert_eq!(trial.plan, record.plan.trials[0]);
    assert_eq!(trial.modules[0].module, "xen_netback");
    assert_eq!(trial.clocks[1].two_way, Some((-4_999_967.0, 2000.0)));
    let crashed = run.read_trial(2).expect("trial.json").expect("it finished");
    assert!(
        matches!(&crashed.outcome, Outcome::DutCrash { console, .. } if console.len() == 2),
        "{:?}",
        crashed.outcome
    );
    assert_eq!(run.read_trial(3).expect("no file is no error"), None);

    let (folder, result) = run.read_result(1, "u1").expect("result.json");
    assert_eq!(folder, recorded().join("trials/1/u1"));
    assert_eq!(result.captures[0].ready.spec.point, Point::Rx);
    let (_, generator) = run.read_result(1, "gen").expect("result.json");
    assert!(generator.sent.expect("it sent").sent > 0);
    assert!(run.read_result(1, "../1/u1").is_err());

    let counted = run.read_instructions(1).expect("read").expect("counted");
    assert_eq!(counted.functions[0].function, "xenvif_rx_action");
    assert_eq!(run.read_instructions(2).expect("no file is no error"), None);
    assert_eq!(run.read_events().expect("events").len(), 2);
    assert!(
        run.read_noise()
            .expect("noise")
            .metrics
            .contains_key("delay_p99")
    );
    let known = run.read_acknowledgements().expect("acknowledged");
    assert_eq!(known.acknowledged[0].metric, "dom0_cpu_per_packet");
    let costs = run.read_cost_model().expect("read").expect("calibrated");
    assert_eq!(costs.calibration.expect("by a run").points, 2);
}

#[test]
fn records_are_written_again_to_the_byte() {
    let run = RunReader::new(recorded());
    let scratch = tempfile::tempdir().expect("temporary folder");
    let path = scratch.path().join("x.json");
    let same = |original: PathBuf| {
        let new = std::fs::read_to_string(&path).expect("written");
        let old = std::fs::read_to_string(&original).expect("recorded");
        assert_eq!(new, old, "{}", original.display());
    };
    let write = |value: &dyn erased::Json| value.write(&path);
    write(&run.read_run().expect("run.json"));
    same(run.run_json());
    write(&run.read_trial(1).expect("read").expect("finished"));
    same(run.trial(1).join("trial.json"));
    write(&run.read_noise().expect("noise.json"));
    same(run.noise_json());
    write(&run.read_cost_model().expect("read").expect("calibrated"));
    same(run.cost_model_json());
}

/// Values of several types in one list.
mod erased {
    use std::path::Path;

    pub trait Json {
        fn write(&self, path: &Path);
    }

    impl<T: serde::Serialize> Json for T {
        fn write(&self, path: &Path) {
            vifbench_store::files::write_json(path, self).expect("written");
        }
    }
}

/// Fields that the first version did not have yet. (Trial 2 of the recorded run has one that today's version has no more.)
#[test]
fn a_folder_of_the_first_version_is_read() {
    let folder = copied();
    let trial = folder.path().join("trials/1/trial.json");
    let text = std::fs::read_to_string(&trial).expect("read");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fields = value.as_object_mut().expect("an object");
    assert!(fields.remove("warnings").is_some());
    std::fs::write(&trial, value.to_string()).expect("written");
    std::fs::remove_file(folder.path().join("noise.json")).expect("removed");
    std::fs::remove_file(folder.path().join("acknowledged.yaml")).expect("removed");
    std::fs::remove_file(folder.path().join(COST_MODEL_FILE)).expect("removed");

    let run = RunReader::new(folder.path());
    let read: TrialRecord = run.read_trial(1).expect("read").expect("finished");
    assert!(read.warnings.is_empty());
    assert!(run.read_noise().expect("nothing learned").runs.is_empty());
    let known = run.read_acknowledgements().expect("nothing known");
    assert!(known.acknowledged.is_empty());
    assert_eq!(run.read_cost_model().expect("not calibrated"), None);
}

#[test]
fn a_later_version_is_refused_with_one_sentence_even_if_its_fields_differ() {
    let folder = copied();
    let run = RunReader::new(folder.path());
    let path = run.run_json();
    replace(&path, "\"scenario\": {", "\"question\": {");
    let error = run.read_run().expect_err("a field is missing");
    assert!(matches!(error, StoreError::Json { .. }), "{error}");
    replace(&path, "\"format\": 1", "\"format\": 9");
    let error = run.read_run().expect_err("it is of a later version");
    let text = error.to_string();
    assert!(
        text.ends_with(
            "run.json has format 9, but this vifbench reads only formats up to 1: use the later vifbench that wrote it"
        ),
        "{text}"
    );
    assert!(matches!(
        RunWriter::open(folder.path()),
        Err(StoreError::Newer {
            found: 9,
            known: FORMAT,
            ..
        })
    ));
    replace(
        &run.trial(1).join("trial.json"),
        "\"format\": 1",
        "\"format\": 2",
    );
    assert!(matches!(
        run.read_trial(1),
        Err(StoreError::Newer { found: 2, .. })
    ));
}

#[test]
fn a_run_is_continued_by_one_process_at_a_time_and_read_by_any() {
    let folder = copied();
    let mut writer = RunWriter::open(folder.path()).expect("opened");
    assert!(matches!(
        RunWriter::open(folder.path()),
        Err(StoreError::Busy { .. })
    ));
    writer.event("retry", Some(3), "again").expect("appended");
    let reader = writer.reader();
    let last = reader.read_events().expect("events").pop().expect("one");
    assert_eq!((last.what.as_str(), last.trial), ("retry", Some(3)));
    assert_eq!(Vec::from_iter(writer.finished().expect("listed")), [1, 2]);

    let part = writer.begin_trial(3).expect("begun");
    std::fs::write(part.join("left-over"), "").expect("written");
    let part = writer.begin_trial(3).expect("begun again");
    assert_eq!(std::fs::read_dir(&part).expect("listed").count(), 0);
    let mut record = reader.read_trial(1).expect("read").expect("finished");
    record.plan.number = 3;
    writer.finish_trial(&part, &record).expect("finished");
    assert_eq!(reader.read_trial(3).expect("read"), Some(record));
    drop(writer);
    RunWriter::open(folder.path()).expect("free again");
}

#[test]
fn a_new_run_freezes_what_it_is_judged_under() {
    let out = tempfile::tempdir().expect("temporary folder");
    let old = RunReader::new(recorded());
    std::fs::copy(old.noise_json(), out.path().join("noise.json")).expect("copied");
    let from = old.read_run().expect("run.json");
    let create = || {
        RunWriter::create(
            out.path(),
            from.scenario.clone(),
            from.lab.clone(),
            from.plan.clone(),
        )
        .expect("created")
    };
    let run = create();
    std::fs::write(out.path().join("noise.json"), "{}").expect("changed later");
    let reader = run.reader();
    assert_eq!(
        reader.read_noise().expect("frozen"),
        old.read_noise().expect("recorded")
    );
    assert!(!reader.acknowledged_yaml().exists());
    assert!(run.finished().expect("listed").is_empty());
    std::fs::remove_file(out.path().join("noise.json")).expect("removed");
    assert_ne!(create().path(), run.path(), "never two runs in one folder");
}
