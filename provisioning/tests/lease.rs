//! Leases: one at a time, expiring, taken over with a note.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use vifbench_provisioning::lease::{HostLease, LabLock, LeaseError, Terms};
use vifbench_provisioning::local::LocalHost;
use vifbench_scenarios::lab::HostName;

const LONG: Duration = Duration::from_secs(30);

fn host() -> LocalHost {
    LocalHost::new(HostName("here".into()))
}

fn file(folder: &Path) -> String {
    folder.join("it's a lease").display().to_string()
}

#[test]
fn a_held_host_says_by_whom_and_for_how_long() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, mut host) = (file(folder.path()), host());
    let hour = Terms::shared(Duration::from_secs(3600));
    let owner = r#"ann@ctl "run": $(touch /nowhere) `x` \ 100%s, "expires_s":5"#;
    let (lease, note) = HostLease::take_at(&mut host, &path, owner, hour, LONG).expect("taken");
    assert_eq!(note, None);
    match HostLease::take_at(&mut host, &path, "bob", hour, LONG) {
        Err(LeaseError::Held {
            owner: by,
            left: Some(left),
            ..
        }) => {
            assert_eq!(by, owner);
            assert!(left > Duration::from_secs(3500) && left <= Duration::from_secs(3600));
        }
        other => panic!("{other:?}"),
    }
    let text = HostLease::take_at(&mut host, &path, "bob", hour, LONG)
        .expect_err("held")
        .to_string();
    assert!(
        text.contains("here is leased to ann@ctl") && text.contains("for another"),
        "{text}"
    );
    lease.renew(&mut host, LONG).expect("renewed");
    lease.release(&mut host, LONG).expect("released");
    assert!(!Path::new(&path).exists());
    let (lease, note) = HostLease::take_at(&mut host, &path, "bob", hour, LONG).expect("free");
    assert_eq!(note, None);
    lease.release(&mut host, LONG).expect("released");
}

#[test]
fn an_expired_lease_is_taken_over_with_a_note_and_its_owner_learns_it() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, mut host) = (file(folder.path()), host());
    let second = Terms::shared(Duration::from_secs(1));
    let hour = Terms::shared(Duration::from_secs(3600));
    let (old, _) = HostLease::take_at(&mut host, &path, "ann", second, LONG).expect("taken");
    let end = Instant::now() + LONG;
    let (lease, note) = loop {
        match HostLease::take_at(&mut host, &path, "bob", hour, LONG) {
            Ok(taken) => break taken,
            Err(LeaseError::Held {
                left: Some(left), ..
            }) => {
                assert!(left <= Duration::from_secs(1));
                assert!(Instant::now() < end);
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("{error}"),
        }
    };
    let note = note.expect("a note").to_string();
    assert_eq!(note, "took over the lease of ann: it had expired");
    let error = old.renew(&mut host, LONG).expect_err("it is bob's");
    assert!(matches!(error, LeaseError::Taken { .. }), "{error}");
    assert!(error.to_string().contains("bob has it"), "{error}");
    // Releasing what is not ours any more leaves the new owner alone.
    old.release(&mut host, LONG).expect("nothing to do");
    lease.renew(&mut host, LONG).expect("still bob's");
    std::fs::remove_file(&path).expect("somebody removes it by hand");
    let error = lease
        .renew(&mut host, LONG)
        .expect_err("it is gone")
        .to_string();
    assert!(error.contains("nobody has it"), "{error}");
}

#[test]
fn a_lease_of_another_boot_is_void_and_one_without_expiry_stays() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, mut host) = (file(folder.path()), host());
    let never = Terms {
        expiry: None,
        take_over: false,
    };
    let (_left_behind, _) =
        HostLease::take_at(&mut host, &path, "ann", never, LONG).expect("taken");
    match HostLease::take_at(&mut host, &path, "bob", never, LONG) {
        Err(error @ LeaseError::Held { left: None, .. }) => {
            assert!(
                error.to_string().contains("until it is released"),
                "{error}"
            );
        }
        other => panic!("{other:?}"),
    }
    let (_mine, note) =
        HostLease::take_at(&mut host, &path, "bob", Terms::own(), LONG).expect("own");
    assert_eq!(note.expect("a note").owner, "ann");
    let text = std::fs::read_to_string(&path).expect("lease");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot id");
    std::fs::write(&path, text.replace(boot.trim(), "another-boot")).expect("write");
    let (_lease, note) = HostLease::take_at(&mut host, &path, "eve", never, LONG).expect("void");
    assert_eq!(note.expect("a note").why, "the host restarted since");
}

#[test]
fn what_a_killed_run_of_the_same_owner_left_is_taken_over() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, mut host) = (file(folder.path()), host());
    let hour = Terms::shared(Duration::from_secs(3600));
    let (old, _) = HostLease::take_at(&mut host, &path, "ann's lab", hour, LONG).expect("taken");
    let (_new, note) =
        HostLease::take_at(&mut host, &path, "ann's lab", hour, LONG).expect("taken again");
    assert_eq!(note.expect("a note").why, "its controller is gone");
    let error = old.renew(&mut host, LONG).expect_err("not the old one's");
    assert!(matches!(error, LeaseError::Taken { .. }), "{error}");
}

#[test]
fn a_file_that_is_no_lease_is_not_run_over() {
    let folder = tempfile::tempdir().expect("folder");
    let (path, mut host) = (file(folder.path()), host());
    std::fs::write(&path, "hello\n").expect("write");
    let error = HostLease::take_at(&mut host, &path, "bob", Terms::shared(LONG), LONG);
    match error {
        Err(error @ LeaseError::Broken { .. }) => assert!(error.to_string().contains("hello")),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(&path).expect("file"), "hello\n");
    let error = HostLease::take_at(
        &mut host,
        "/nowhere/lease",
        "bob",
        Terms::shared(LONG),
        LONG,
    );
    assert!(matches!(error, Err(LeaseError::Broken { .. })), "{error:?}");
}

#[test]
fn of_many_at_once_one_gets_it() {
    let folder = tempfile::tempdir().expect("folder");
    let path = file(folder.path());
    for round in 0..3 {
        // The second round begins with an expired lease, over which all fall at once.
        if round > 0 {
            let text = std::fs::read_to_string(&path).expect("lease");
            let (head, _) = text.split_once("\"expires_s\"").expect("field");
            std::fs::write(&path, format!("{head}\"expires_s\":1}}\n")).expect("write");
        }
        let barrier = Barrier::new(8);
        let winners: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let (path, barrier) = (&path, &barrier);
                    scope.spawn(move || {
                        let owner = format!("owner {n}");
                        barrier.wait();
                        let terms = Terms::shared(Duration::from_secs(3600));
                        match HostLease::take_at(&mut host(), path, &owner, terms, LONG) {
                            Ok(_) => Some(owner),
                            Err(LeaseError::Held { .. }) => None,
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|t| t.join().expect("no panic"))
                .collect()
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        let text = std::fs::read_to_string(&path).expect("lease");
        assert!(text.contains(&winners[0]), "{text}");
    }
}

#[test]
fn a_lab_is_used_by_one_process_here() {
    let state = tempfile::tempdir().expect("folder");
    let mut lock = LabLock::take(state.path(), "lab", "ann runs small-packets").expect("free");
    let error = LabLock::take(state.path(), "lab", "bob")
        .expect_err("in use")
        .to_string();
    assert!(
        error.contains("ann runs small-packets (process "),
        "{error}"
    );
    LabLock::take(state.path(), "other", "bob").expect("another lab");
    let holder = |lab| LabLock::holder(state.path(), lab).expect("a lock file");
    let me = std::process::id();
    assert_eq!(
        holder("lab"),
        Some(format!("ann runs small-packets (process {me})"))
    );
    lock.show("ann").expect("written");
    assert_eq!(holder("lab"), Some(format!("ann (process {me})")));
    assert_eq!((holder("other"), holder("never")), (None, None));
    drop(lock);
    LabLock::take(state.path(), "lab", "bob").expect("free again");
    assert!(LabLock::take(state.path(), "a/b", "bob").is_err());
}
