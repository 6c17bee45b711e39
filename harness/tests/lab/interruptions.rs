//! Runs that are cut short: Ctrl-C, SIGKILL, a crash of dom0. Nothing that was finished is lost.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use vifbench_testing::{Need, needs};

use crate::support::{Lab, SMALL, await_some, events, open_path, stock_only, tree};

/// Sends a signal to a child of ours.
fn signal(child: &std::process::Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .expect("kill starts");
    assert!(status.success());
}

#[test]
fn ctrl_c_restores_and_resume_goes_on() {
    needs!(Need::Lab);
    // A seed that no other test has: what they left in the cache is not what this one is about.
    let lab = Lab::new("ctrlc");
    let scenario = lab.write(
        "small.yaml",
        &stock_only(SMALL).replace("blocks: 1", "blocks: 3"),
    );
    let child = lab.start(&[
        "run",
        "--force",
        "--seed",
        "101",
        scenario.to_str().expect("UTF-8"),
    ]);
    let run = lab.run();
    await_some("a finished trial and the next one begun", || {
        (events(&run, "trial-ended") >= 1 && events(&run, "trial-started") >= 2).then_some(())
    });
    let began = std::time::Instant::now();
    signal(&child, "-INT");
    let output = child.wait_with_output().expect("it ends");
    // The promise is 5 s; a loaded machine gets some more, a hanging one does not pass.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "took {:?}",
        began.elapsed()
    );
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let status = lab.json(0, &["lab", "status"]);
    assert_eq!(
        status["machine"], "gone",
        "a lab that the run brought up is down again"
    );

    let first = tree(&run.join("trials").join("1"));
    lab.expect(0, &["resume", run.to_str().expect("UTF-8")]);
    assert_eq!(events(&run, "trial-ended"), 3);
    assert!(
        first == tree(&run.join("trials").join("1")),
        "the finished trial is as it was"
    );
}

/// Ctrl-C in a terminal goes to every process of the group, and a matrix tells its runs too: they must not hear it twice.
#[test]
fn ctrl_c_in_a_terminal_ends_a_matrix_and_its_lab() {
    needs!(Need::Lab);
    let lab = Lab::new("mxc");
    let scenario = lab.write("small.yaml", &stock_only(SMALL));
    let scenario = scenario.to_str().expect("UTF-8");
    let child = lab
        .vifbench()
        .args(["matrix", scenario, "--kernel", "6.1", "--xen", "4.17"])
        .args(["--seed", "103", "--seeds", "50"])
        .process_group(0)
        .stderr(Stdio::piped())
        .spawn()
        .expect("vifbench starts");
    let run = await_some("a run in the matrix", || {
        let matrix = fs::read_dir(lab.path("results")).ok()?.next()?.ok()?.path();
        folders(&matrix).find(|path| path.join("events.jsonl").exists())
    });
    await_some("a trial", || {
        (events(&run, "trial-started") >= 1).then_some(())
    });
    let group = format!("-{}", child.id());
    let told = Command::new("kill").args(["-INT", "--", &group]).status();
    assert!(told.expect("kill starts").success());
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("makes the page"), "{text}");
    assert_eq!(lab.json(0, &["lab", "status"])["machine"], "gone");

    let matrix = run.parent().expect("its matrix");
    lab.expect(0, &["report", matrix.to_str().expect("UTF-8")]);
    let page = fs::read_to_string(matrix.join("index.html")).expect("the page");
    assert!(page.contains("interrupted"), "{page}");
}

/// The folders in a folder.
fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is read");
    entries.map(|entry| entry.expect("the entry is read").path())
}

/// Deadlines count virtual time, which stands still with QEMU.
#[test]
fn a_machine_that_is_stuck_ends_the_run_and_resume_goes_on() {
    needs!(Need::Lab);
    let lab = Lab::new("stuck");
    let scenario = lab.write(
        "small.yaml",
        &stock_only(SMALL).replace("blocks: 1", "blocks: 2"),
    );
    let child = lab
        .vifbench()
        .env("VIFBENCH_PATIENCE", "20")
        .args(["run", "--force", "--seed", "104"])
        .arg(&scenario)
        .stderr(Stdio::piped())
        .spawn()
        .expect("vifbench starts");
    let run = lab.run();
    await_some("a finished trial and the next one begun", || {
        (events(&run, "trial-ended") >= 1 && events(&run, "trial-started") >= 2).then_some(())
    });
    let status = lab.json(0, &["lab", "status"]);
    assert_eq!(status["machine"], "in use");
    let qemu = status["pid"].to_string();
    let stopped = Command::new("kill").args(["-STOP", &qemu]).status();
    assert!(stopped.expect("kill starts").success());
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{text}");
    assert!(text.contains("by the clock on the wall"), "{text}");
    assert!(
        text.contains("go on with `vifbench resume results/"),
        "{text}"
    );
    assert_eq!(events(&run, "stuck"), 1, "{text}");
    assert_eq!(
        events(&run, "trial-ended"),
        1,
        "it is not tried again: {text}"
    );
    assert_eq!(lab.json(0, &["lab", "status"])["machine"], "gone");

    lab.expect(0, &["resume", run.to_str().expect("UTF-8")]);
    assert_eq!(events(&run, "trial-ended"), 2);
}

/// What others ask of a lab must neither wait for its run nor disturb it.
#[test]
fn a_lab_that_a_run_has_says_by_whom_and_is_paused_afterwards() {
    needs!(Need::Lab);
    let lab = Lab::new("beside");
    lab.expect(0, &["lab", "up"]);
    assert_eq!(lab.json(0, &["lab", "status"])["machine"], "paused");
    assert!(lab.ssh("u1", "true").status.success(), "it is woken");
    assert_eq!(lab.ssh("dom0", "exit 7").status.code(), Some(7));
    let status = lab.json(0, &["lab", "status"]);
    assert_eq!(status["machine"], "paused");

    let scenario = lab.write(
        "small.yaml",
        &stock_only(SMALL).replace("blocks: 1", "blocks: 3"),
    );
    let twice = ["run", "--twice", "--seed", "105"];
    let child = lab
        .vifbench()
        .args(twice)
        .arg(&scenario)
        .stderr(Stdio::piped())
        .spawn()
        .expect("vifbench starts");
    let run = lab.run();
    await_some("a trial", || {
        (events(&run, "trial-started") >= 1).then_some(())
    });
    let began = std::time::Instant::now();
    let status = lab.json(0, &["lab", "status"]);
    assert_eq!(status["machine"], "in use");
    let by = status["used_by"].as_str().expect("who has it");
    let process = format!("(process {})", child.id());
    assert!(by.starts_with("run ") && by.ends_with(&process), "{by}");
    for (code, args, says) in [
        (12, &["undo", "dom0"][..], process.as_str()),
        (12, &["run", scenario.to_str().expect("UTF-8")], &process),
        (12, &["lab", "ssh", "dom0", "true"], &process),
        (2, &["undo", "nosuch"], "nothing can be undone on `nosuch`"),
    ] {
        let output = lab.expect(code, args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(says), "{args:?}: {text}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "they did not wait"
    );

    // Each trial was run twice, and the packets are the same.
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("stays up, paused"), "{text}");
    assert_eq!(lab.json(0, &["lab", "status"])["machine"], "paused");
}

#[test]
fn undo_restores_a_host_after_sigkill() {
    needs!(Need::Lab);
    let lab = Lab::new("kill");
    lab.expect(0, &["lab", "up"]);
    let stock = lab.netback();
    let scenario = lab.write("shadow.yaml", &SMALL.replace("  - {name: stock}\n", ""));
    let mut child = lab.start(&[
        "run",
        "--force",
        "--seed",
        "102",
        scenario.to_str().expect("UTF-8"),
    ]);
    let run = lab.run();
    let console = lab
        .path("state")
        .join("labs")
        .join(&lab.name)
        .join("console-dom0.log");
    // In the middle of the trial: armed, before its end is announced.
    await_some("the arming", || {
        let text = std::fs::read(&console).unwrap_or_default();
        String::from_utf8_lossy(&text)
            .contains("vifbench: trial 1 is armed")
            .then_some(())
    });
    signal(&child, "-KILL");
    child.wait().expect("it is gone");
    assert_eq!(events(&run, "run-ended"), 0);

    lab.expect(0, &["undo", "dom0"]);
    assert!(lab.netback() == stock, "the packaged netback is back");
    for guest in ["u1", "u2"] {
        let answer = lab.ssh(guest, "true");
        assert!(answer.status.success(), "{guest} answers");
    }
    let again = lab.expect(0, &["undo", "dom0"]);
    assert!(
        !String::from_utf8_lossy(&again.stdout).contains("undone:"),
        "nothing is left to undo"
    );
    lab.expect(0, &["resume", run.to_str().expect("UTF-8")]);
}

#[test]
fn a_crash_of_dom0_is_told_and_the_next_trial_runs() {
    needs!(Need::Lab);
    let lab = Lab::new("crash");
    lab.expect(0, &["lab", "up"]);
    let scenario = lab.write(
        "open.yaml",
        &stock_only(&open_path())
            .replace("blocks: 1", "blocks: 2")
            .replace("duration: 200 ms", "duration: 15 s"),
    );
    let child = lab.start(&["run", scenario.to_str().expect("UTF-8")]);
    let run = lab.run();
    await_some("the probes", || {
        let probes = lab.ssh("dom0", "ls -d /tmp/vifbench-lab/trial-1");
        probes.status.success().then_some(())
    });
    lab.ssh("dom0", "echo c > /proc/sysrq-trigger");
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(14), "{text}");
    let record = std::fs::read_to_string(run.join("trials/1/trial.json")).expect("trial.json");
    assert!(
        record.contains("dut-crash") && record.contains("sysrq"),
        "{record}"
    );
    let next = std::fs::read_to_string(run.join("trials/2/trial.json")).expect("trial.json");
    assert!(next.contains("\"complete\""), "{next}");
    let page = std::fs::read_to_string(run.join("report/index.html")).expect("the page");
    assert!(page.contains("DUT-CRASH") && page.contains("sysrq"));
}
