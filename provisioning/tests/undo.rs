//! Undo stacks: what survives a killed controller, a full disk, a restarted host.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use vifbench_provisioning::host::{Host as _, HostError, HostExt as _};
use vifbench_provisioning::local::LocalHost;
use vifbench_provisioning::undo::{
    Change, Lasting, UndoError, UndoStack, folder_inverse, undo_host,
};
use vifbench_scenarios::lab::HostName;
use vifbench_scenarios::progress::Silent;
use vifbench_testing::{Need, needs};

const LONG: Duration = Duration::from_secs(30);
const CHILD: &str = "VIFBENCH_TEST_UNDO_CHILD";

fn name() -> HostName {
    HostName("here".into())
}

fn open(state: &Path) -> UndoStack {
    UndoStack::open(state, "lab", &name()).expect("opens")
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("readable");
    let mut names: Vec<String> = entries
        .map(|e| e.expect("entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

/// Makes change after change: each adds a file, whose way back removes it.
fn change(stack: &mut UndoStack, host: &mut LocalHost, folder: &Path, number: u32) {
    let file = folder.join(number.to_string());
    let inverse = format!("rm -f {}", file.display());
    Change::new(stack, format!("file {number}"), inverse, Lasting::Disk)
        .apply(|| -> Result<(), UndoError> {
            host.check(&format!("touch {}", file.display()), LONG)
                .expect("touches");
            Ok(())
        })
        .expect("recorded");
}

/// Alone: three changes. As the child of the next test: changes without end, until it is killed.
#[test]
fn changes_and_their_way_back() {
    let mut host = LocalHost::new(name());
    if let Some(root) = std::env::var_os(CHILD) {
        let root = Path::new(&root);
        let mut stack = open(&root.join("state"));
        for number in 0.. {
            change(&mut stack, &mut host, &root.join("changes"), number);
        }
    }
    let state = tempfile::tempdir().expect("folder");
    let changes = tempfile::tempdir().expect("folder");
    let mut stack = open(state.path());
    for number in 0..3 {
        change(&mut stack, &mut host, changes.path(), number);
    }
    assert_eq!(files(changes.path()), ["0", "1", "2"]);
    let report = undo_host(&mut host, &mut stack, LONG, &Silent).expect("undone");
    assert_eq!(report.undone, ["file 2", "file 1", "file 0"]);
    assert_eq!(report.to_string().lines().next(), Some("here: 3 undone"));
    assert_eq!(files(changes.path()), Vec::<String>::new());
    let report = undo_host(&mut host, &mut stack, LONG, &Silent).expect("again");
    assert_eq!(report.to_string(), "here: nothing to undo");
}

#[test]
fn a_killed_controller_leaves_everything_undoable() {
    for round in 0..12_u64 {
        let root = tempfile::tempdir().expect("folder");
        let changes = root.path().join("changes");
        std::fs::create_dir(&changes).expect("mkdir");
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "changes_and_their_way_back"])
            .env(CHILD, root.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let end = Instant::now() + LONG;
        while files(&changes).len() < 3 {
            assert!(Instant::now() < end, "the child makes no changes");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Somewhere within a push or a change, elsewhere in every round.
        std::thread::sleep(Duration::from_micros(round * 1700));
        if round == 0 {
            let second = UndoStack::open(&root.path().join("state"), "lab", &name());
            assert!(matches!(second, Err(UndoError::Busy { .. })));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("ended");

        let made = files(&changes).len();
        let mut stack = open(&root.path().join("state"));
        // Never a change without its way back; at most one way back without its change.
        assert!(
            stack.entries().len() >= made,
            "{} < {made}",
            stack.entries().len()
        );
        assert!(stack.entries().len() <= made + 1);
        let mut host = LocalHost::new(name());
        // The last touch may still have been under way, in its own process group.
        let touching = format!("pgrep -fx 'sh -c touch {}/.*'", changes.display());
        while host.run(&touching, LONG).expect("runs").status == 0 {
            assert!(Instant::now() < end);
        }
        undo_host(&mut host, &mut stack, LONG, &Silent).expect("undone");
        assert_eq!(files(&changes), Vec::<String>::new());
        assert!(stack.entries().is_empty());
        drop(stack);
        assert!(open(&root.path().join("state")).entries().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Whatever was on its way to the disk when the power went: all whole records are there, and the stack can
    /// be used on.
    #[test]
    fn any_torn_end_is_survived(texts in prop::collection::vec("\\PC{0,20}", 1..5), cut in 0.0..1.0_f64) {
        let state = tempfile::tempdir().expect("folder");
        let path = UndoStack::path(state.path(), "lab", &name()).expect("path");
        let mut stack = open(state.path());
        let mut ends = vec![0];
        for text in &texts {
            stack.push(text, "true", Lasting::Disk).expect("pushed");
            ends.push(std::fs::metadata(&path).expect("file").len());
        }
        drop(stack);
        let keep = (cut * ends[texts.len()] as f64) as u64;
        std::fs::File::options().write(true).open(&path).expect("open").set_len(keep).expect("cut");
        let whole = ends.iter().filter(|e| **e <= keep).count() - 1;

        let mut stack = open(state.path());
        prop_assert_eq!(stack.torn().is_some(), !ends.contains(&keep));
        let kept: Vec<&str> = stack.entries().iter().map(|e| e.description.as_str()).collect();
        prop_assert_eq!(kept, &texts[..whole]);
        stack.push("one more", "true", Lasting::Disk).expect("pushed");
        drop(stack);
        let stack = open(state.path());
        prop_assert_eq!(stack.entries().len(), whole + 1);
        prop_assert!(stack.torn().is_none());
    }
}

#[test]
fn the_first_failure_stops_and_nothing_below_it_is_lost() {
    let state = tempfile::tempdir().expect("folder");
    let mut host = LocalHost::new(name());
    let mut stack = open(state.path());
    let flag = state.path().join("mended");
    stack.push("bottom", "true", Lasting::Disk).expect("pushed");
    let inverse = format!(
        "[ -e {} ] || {{ echo not yet >&2; exit 1; }}",
        flag.display()
    );
    stack
        .push("middle", &inverse, Lasting::Disk)
        .expect("pushed");
    stack.push("top", "true", Lasting::Disk).expect("pushed");
    let error = undo_host(&mut host, &mut stack, LONG, &Silent).expect_err("middle fails");
    let text = error.to_string();
    assert!(
        text.contains("could not undo `middle`") && text.contains("not yet"),
        "{text}"
    );
    assert!(text.contains("still to undo: middle; bottom;"), "{text}");
    assert!(text.contains("vifbench undo here"), "{text}");
    // A step that hangs is given up too, and stays.
    drop(stack);
    let mut stack = open(state.path());
    stack
        .push("hangs", "sleep 60", Lasting::Disk)
        .expect("pushed");
    let error = undo_host(&mut host, &mut stack, Duration::from_millis(300), &Silent);
    match error {
        Err(UndoError::Step {
            description,
            source,
            ..
        }) => {
            assert_eq!(description, "hangs");
            assert!(matches!(*source, HostError::Deadline { .. }));
        }
        other => panic!("{other:?}"),
    }
    let hanging = stack.entries().last().expect("there").id;
    stack.done(hanging).expect("taken off");
    std::fs::write(&flag, "").expect("mended");
    let report = undo_host(&mut host, &mut stack, LONG, &Silent).expect("now it works");
    assert_eq!(report.undone, ["middle", "bottom"]);
}

#[test]
fn what_a_restart_has_undone_is_void() {
    let state = tempfile::tempdir().expect("folder");
    let mut host = LocalHost::new(name());
    let boot = host.boot_id(LONG).expect("boot id");
    let mut stack = open(state.path());
    stack
        .push("on disk", "true", Lasting::Disk)
        .expect("pushed");
    stack
        .push("old module", "exit 1", Lasting::Boot("another boot".into()))
        .expect("pushed");
    stack
        .push("module", "true", Lasting::Boot(boot))
        .expect("pushed");
    let report = undo_host(&mut host, &mut stack, LONG, &Silent).expect("undone");
    assert_eq!(report.undone, ["module", "on disk"]);
    assert_eq!(report.void, ["old module"]);
    assert!(
        report
            .to_string()
            .contains("1 void because the host restarted since")
    );
}

#[test]
fn what_is_forgotten_is_not_undone() {
    let state = tempfile::tempdir().expect("folder");
    let mut stack = open(state.path());
    stack
        .push("for the run", "false", Lasting::Disk)
        .expect("pushed");
    assert_eq!(stack.forget().expect("forgotten").len(), 1);
    drop(stack);
    assert!(open(state.path()).entries().is_empty());
}

#[test]
fn a_damaged_record_is_not_guessed_at() {
    let state = tempfile::tempdir().expect("folder");
    let mut stack = open(state.path());
    stack.push("one", "true", Lasting::Disk).expect("pushed");
    drop(stack);
    let path = UndoStack::path(state.path(), "lab", &name()).expect("path");
    let good = std::fs::read_to_string(&path).expect("file");
    std::fs::write(&path, format!("{good}garbage\n{good}")).expect("write");
    match UndoStack::open(state.path(), "lab", &name()) {
        Err(UndoError::Damaged { line: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    std::fs::write(&path, good.replace("\"version\":1", "\"version\":99")).expect("write");
    let error = UndoStack::open(state.path(), "lab", &name())
        .expect_err("too new")
        .to_string();
    assert!(error.contains("format 99"), "{error}");
    assert!(UndoStack::open(state.path(), "../lab", &name()).is_err());
}

/// A file system of 16 KiB, gone at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16k", "vb-prov-test"])
            .arg(folder.path())
            .status()
            .expect("mount runs");
        assert!(mounted.success());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount")
            .arg(self.0.path())
            .status()
            .expect("umount runs");
        assert!(done.success());
    }
}

#[test]
fn on_a_full_disk_no_change_is_made_and_nothing_is_lost() {
    needs!(Need::Root);
    let disk = SmallDisk::new();
    let mut stack = open(disk.0.path());
    let long = "x".repeat(300);
    let mut pushed = 0;
    let error = loop {
        let mut made = false;
        let result = Change::new(&mut stack, &long, "true", Lasting::Disk).apply(|| {
            made = true;
            Ok::<_, UndoError>(())
        });
        assert_eq!(made, result.is_ok());
        match result {
            Ok(()) => pushed += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(pushed > 5);
    drop(stack);
    let mut stack = open(disk.0.path());
    assert_eq!((stack.entries().len(), stack.torn()), (pushed, None));
    // Taking entries off needs room too; the last one gives all of it back.
    let mut host = LocalHost::new(name());
    let all = stack.forget().expect("empties");
    assert_eq!(all.len(), pushed);
    stack
        .push("there is room again", "true", Lasting::Disk)
        .expect("pushed");
    undo_host(&mut host, &mut stack, LONG, &Silent).expect("undone");
}

#[test]
fn a_left_over_folder_goes_with_its_processes() {
    let folder = tempfile::tempdir().expect("folder");
    let private = folder.path().join("it's private");
    std::fs::create_dir(&private).expect("mkdir");
    let program = private.join("probe");
    std::fs::copy("/bin/sleep", &program).expect("copies");
    let mut left = Command::new(&program).arg("60").spawn().expect("starts");
    let mut other = Command::new("/bin/sleep")
        .arg("60")
        .spawn()
        .expect("starts");
    let inverse = folder_inverse(&private).expect("private enough");
    let mut host = LocalHost::new(name());
    host.check(&inverse, LONG).expect("cleans up");
    assert!(!left.wait().expect("ended").success());
    assert!(!private.exists());
    assert!(other.try_wait().expect("asked").is_none(), "others live on");
    other.kill().expect("kill");
    other.wait().expect("ended");
    host.check(&inverse, LONG).expect("twice does no harm");
    for path in ["/", "/tmp", "relative/path", "/tmp/../etc", "/tmp/./x/.."] {
        assert_eq!(folder_inverse(Path::new(path)), None, "{path}");
    }
}
