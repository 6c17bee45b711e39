//! One suite for every kind of host, then what only SSH can do wrong. Needs root (network namespaces) and the
//! package openssh-server.

mod support;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{ADDRESS, LONG, Netns, PORT, Sshd, must, new_key};
use vifbench_provisioning::host::{Host, HostError, HostExt as _};
use vifbench_provisioning::local::LocalHost;
use vifbench_provisioning::netns;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_scenarios::lab::HostName;
use vifbench_testing::{Need, needs};
use vifbench_wait::Cancel;

/// A deadline that is meant to pass, and what may lie between it and the return.
const SHORT: Duration = Duration::from_millis(500);
const SLACK: Duration = Duration::from_secs(10);

/// What every host must do. `folder` is one that both ends can see.
fn conformance(host: &mut dyn Host, folder: &Path) {
    // run
    let output = host
        .run("echo out; echo err >&2; exit 3", LONG)
        .expect("runs");
    assert_eq!(
        (output.status, output.text().as_str(), &output.stderr[..]),
        (3, "out", &b"err\n"[..])
    );
    assert_eq!(host.run("kill -9 $$", LONG).expect("runs").status, 128 + 9);
    assert_eq!(
        host.run("cat", LONG).expect("stdin is at its end").status,
        0
    );
    match host.check("echo no space >&2; exit 4", LONG) {
        Err(HostError::Failed {
            status: 4, stderr, ..
        }) => assert_eq!(stderr, "no space"),
        other => panic!("{other:?}"),
    }

    // Much output on both streams at once, of which neither may hold up the other.
    let big = "head -c 5000000 /dev/zero & head -c 4000000 /dev/zero >&2; wait";
    let output = host.run(big, LONG).expect("runs");
    assert_eq!(
        (output.stdout.len(), output.stderr.len()),
        (5_000_000, 4_000_000)
    );

    // deploy
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7 % 251) as u8).collect();
    let file = folder.join("it's a file");
    for (content, mode) in [
        (&content[..], 0o755),
        (&b"short"[..], 0o640),
        (&[][..], 0o600),
    ] {
        host.deploy(content, &file, mode, LONG)
            .expect("deploys, also over what is there");
        assert_eq!(std::fs::read(&file).expect("is there"), content);
        let got = std::fs::metadata(&file)
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(got & 0o7777, mode);
        assert_eq!(host.fetch(&file, LONG).expect("fetches"), content);
    }
    let folder_there = folder.join("folder");
    std::fs::create_dir(&folder_there).expect("mkdir");
    for path in [
        folder_there.as_path(),
        Path::new("/nowhere/at/all"),
        Path::new("/proc/no"),
    ] {
        match host.deploy(b"x", path, 0o600, LONG) {
            Err(HostError::NotWritten {
                path: named, why, ..
            }) => {
                assert_eq!(named, path);
                assert!(!why.is_empty());
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    let left: Vec<_> = std::fs::read_dir(folder)
        .expect("readable")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .filter(|n| n.contains(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // open: a conversation, two at once, and short commands beside them
    let mut one = host.open("cat", LONG).expect("opens");
    let mut two = host
        .open("while read x; do echo \"<$x>\"; done", LONG)
        .expect("opens");
    for i in 0..20 {
        one.send(&format!("line {i}"), LONG).expect("sends");
        two.send(&format!("line {i}"), LONG).expect("sends");
    }
    assert_eq!(
        host.run("echo beside", LONG).expect("runs").text(),
        "beside"
    );
    for i in 0..20 {
        assert_eq!(one.receive(LONG).expect("answers"), format!("line {i}"));
        assert_eq!(two.receive(LONG).expect("answers"), format!("<line {i}>"));
    }
    // Waiting in vain ends in time and loses nothing.
    let started = Instant::now();
    assert!(matches!(
        one.receive(SHORT),
        Err(HostError::Deadline { .. })
    ));
    assert!(started.elapsed() < SHORT + SLACK);
    let long_line = "x".repeat(2_000_000);
    one.send(&long_line, LONG).expect("sends while it answers");
    assert_eq!(one.receive(LONG).expect("answers").len(), long_line.len());
    one.close(LONG).expect("ends well");
    two.close(LONG).expect("ends well");

    // A program that ends by itself, with and without something to say.
    let mut short = host
        .open("echo last words; echo why >&2; exit 5", LONG)
        .expect("opens");
    assert_eq!(short.receive(LONG).expect("answers"), "last words");
    match short.receive(LONG) {
        Err(HostError::Ended {
            status: 5, stderr, ..
        }) => assert_eq!(stderr, "why"),
        other => panic!("{other:?}"),
    }
    match host.open("exit 6", LONG).expect("opens").close(LONG) {
        Err(HostError::Failed { status: 6, .. }) => {}
        other => panic!("{other:?}"),
    }
    // A program that reads nothing must not hold up its sender.
    let mut deaf = host.open("sleep 60", LONG).expect("opens");
    let started = Instant::now();
    let flooded = loop {
        match deaf.send(&long_line, SHORT) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(flooded, HostError::Deadline { .. }), "{flooded}");
    assert!(started.elapsed() < SHORT + 3 * SLACK);
    drop(deaf);

    // A deadline, and the host is of use afterwards.
    let started = Instant::now();
    match host.run("sleep 60", SHORT) {
        Err(HostError::Deadline {
            deadline, doing, ..
        }) => {
            assert_eq!(deadline, SHORT);
            assert!(doing.contains("sleep 60"));
        }
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < SHORT + SLACK, "{:?}", started.elapsed());
    // Output without end does not outrun it.
    let started = Instant::now();
    let endless = host.run("while :; do echo yes; done", SHORT);
    assert!(
        matches!(endless, Err(HostError::Deadline { .. })),
        "{endless:?}"
    );
    assert!(started.elapsed() < SHORT + SLACK, "{:?}", started.elapsed());
    assert_eq!(
        host.check("echo well", LONG).expect("still of use").text(),
        "well"
    );
    assert_eq!(host.boot_id(LONG).expect("has one").len(), 36);
}

#[test]
fn this_machine_is_a_host() {
    let folder = tempfile::tempdir().expect("folder");
    conformance(&mut LocalHost::new(HostName("here".into())), folder.path());
}

#[test]
fn this_machine_in_a_namespace_is_a_host() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let netns = Netns::new();
    let folder = tempfile::tempdir().expect("folder");
    let mut host = LocalHost::new(HostName("here".into())).in_netns(&netns.name);
    conformance(&mut host, folder.path());
    // The /sys of that namespace, not of this one.
    assert_eq!(
        host.check("ls /sys/class/net", LONG).expect("runs").text(),
        "lo"
    );
    assert!(
        host.check("ip -4 -o address", LONG)
            .expect("runs")
            .text()
            .contains("198.18.9.1/32")
    );
}

#[test]
fn a_machine_over_ssh_is_a_host() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let folder = tempfile::tempdir().expect("folder");
    conformance(&mut sshd.host(), folder.path());
}

#[test]
fn a_machine_without_sftp_is_a_host() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::with("Subsystem none /bin/false");
    let folder = tempfile::tempdir().expect("folder");
    conformance(&mut sshd.host(), folder.path());
}

#[test]
fn a_machine_whose_sftp_server_is_missing_is_a_host() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::with("Subsystem sftp /nowhere/sftp-server");
    let file = sshd.path("file");
    sshd.host()
        .deploy(b"there", &file, 0o600, LONG)
        .expect("goes through cat");
    assert_eq!(std::fs::read(&file).expect("is there"), b"there");
}

#[test]
fn a_killed_local_command_takes_its_children_along() {
    let folder = tempfile::tempdir().expect("folder");
    let pid_file = folder.path().join("pid");
    let command = format!("sh -c 'sleep 60 & echo $! > {}; wait'", pid_file.display());
    let mut host = LocalHost::new(HostName("here".into()));
    assert!(matches!(
        host.run(&command, SHORT),
        Err(HostError::Deadline { .. })
    ));
    let pid = std::fs::read_to_string(&pid_file).expect("it ran");
    let state = Path::new("/proc").join(pid.trim()).join("stat");
    let end = Instant::now() + LONG;
    // Gone, or a zombie that waits for whoever adopted it.
    while std::fs::read_to_string(&state).is_ok_and(|s| !s.contains(") Z")) {
        assert!(Instant::now() < end, "sleep is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_changed_host_key_stops_everything() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut spec = sshd.spec.clone();
    spec.host_key = new_key(&sshd.path("other"));
    let mut host = SshHost::new(&spec, sshd.options()).expect("host");
    let witness = sshd.path("witness");
    let result = host.run(&format!("touch {}", witness.display()), LONG);
    let fingerprint = |file: &str| {
        let line = must(
            std::process::Command::new("ssh-keygen")
                .arg("-lf")
                .arg(sshd.path(file)),
        );
        line.split(' ').nth(1).expect("fingerprint").to_owned()
    };
    match result {
        Err(HostError::HostKeyChanged { expected, got, .. }) => {
            assert_eq!(
                expected,
                format!("ssh-ed25519 {}", fingerprint("other.pub"))
            );
            assert_eq!(got, format!("ssh-ed25519 {}", fingerprint("host.pub")));
        }
        other => panic!("{other:?}"),
    }
    assert!(!witness.exists());
    assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());
    // Not even the user's name was sent.
    assert!(!sshd.log().contains("root"), "{}", sshd.log());
    assert!(matches!(
        host.await_up(LONG),
        Err(HostError::HostKeyChanged { .. })
    ));
}

#[test]
fn a_host_key_of_another_kind_is_a_changed_one() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut spec = sshd.spec.clone();
    let file = sshd.path("ecdsa");
    must(
        std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
            .arg(&file),
    );
    spec.host_key = std::fs::read_to_string(file.with_extension("pub")).expect("key");
    let mut host = SshHost::new(&spec, sshd.options()).expect("host");
    match host.run("true", LONG) {
        Err(HostError::HostKeyChanged { expected, got, .. }) => {
            assert!(
                expected.starts_with("ecdsa-sha2-nistp256 SHA256:"),
                "{expected}"
            );
            assert!(got.starts_with("ssh-ed25519 SHA256:"), "{got}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_or_missing_key_says_so() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut spec = sshd.spec.clone();
    spec.key = sshd.path("stranger");
    let mut host = SshHost::new(&spec, sshd.options()).expect("host");
    match host.run("true", LONG) {
        Err(HostError::NoKey { key, why, .. }) => {
            assert_eq!(key, sshd.path("stranger"));
            assert!(why.contains("No such file"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    new_key(&sshd.path("stranger"));
    match host.run("true", LONG) {
        Err(HostError::Refused { why, .. }) => assert!(why.contains("authorized_keys"), "{why}"),
        other => panic!("{other:?}"),
    }
    // What this machine cannot read is no refusal of the host's.
    std::fs::write(sshd.path("stranger"), "not a key").expect("write");
    let cut = std::fs::read_to_string(&sshd.spec.key).expect("a key");
    let cut = cut[..cut.len() / 2].to_owned();
    for text in ["not a key", cut.as_str(), ""] {
        std::fs::write(sshd.path("stranger"), text).expect("write");
        let said = host.run("true", LONG);
        assert!(matches!(said, Err(HostError::NoKey { .. })), "{said:?}");
    }
    std::fs::remove_file(sshd.path("stranger")).expect("remove");
    let locked = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "a passphrase", "-f"])
        .arg(sshd.path("stranger"))
        .status()
        .expect("ssh-keygen");
    assert!(locked.success());
    let said = host.run("true", LONG);
    assert!(matches!(said, Err(HostError::NoKey { .. })), "{said:?}");
    assert!(matches!(
        SshHost::new(
            &{
                let mut s = sshd.spec.clone();
                s.host_key = "what".into();
                s
            },
            sshd.options()
        ),
        Err(HostError::BadHostKey { .. })
    ));
}

#[test]
fn nobody_listens() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let mut sshd = Sshd::new();
    sshd.kill();
    let started = Instant::now();
    let error = sshd.host().run("true", LONG).expect_err("nobody is there");
    assert!(started.elapsed() < SLACK);
    match &error {
        HostError::Unreachable {
            source, address, ..
        } => {
            assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
            assert!(address.contains("198.18.9.1:2222"), "{address}");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.is_outage());
    // A namespace that is not there is another matter.
    let options = SshOptions {
        netns: Some("vb-prov-none".into()),
        ..SshOptions::default()
    };
    let mut host = SshHost::new(&sshd.spec, options).expect("host");
    assert!(matches!(
        host.run("true", LONG),
        Err(HostError::NoNamespace { .. })
    ));
}

#[test]
fn packets_that_go_nowhere_end_at_the_connect_timeout() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let netns = Netns::new();
    // An interface whose other end nobody answers on.
    must(
        netns
            .command("ip")
            .args(["link", "add", "v0", "type", "veth", "peer", "name", "v1"]),
    );
    for args in [
        "link set v0 up",
        "link set v1 up",
        "address add 198.18.8.1/24 dev v0",
    ] {
        must(netns.command("ip").args(args.split(' ')));
    }
    must(
        netns.command("ip").args(
            "neighbour add 198.18.8.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent".split(' '),
        ),
    );
    let sshd_spec = Sshd::new();
    let mut spec = sshd_spec.spec.clone();
    spec.address = "198.18.8.2".parse().expect("address");
    let options = SshOptions {
        netns: Some(netns.name.clone()),
        connect_timeout: SHORT,
        ..SshOptions::default()
    };
    let started = Instant::now();
    let error = SshHost::new(&spec, options)
        .expect("host")
        .run("true", LONG);
    assert!(
        matches!(error, Err(HostError::Deadline { .. })),
        "{error:?}"
    );
    assert!(started.elapsed() < SHORT + SLACK);
}

/// A server that takes connections and then does `then` with each.
fn listener(netns: &Netns, then: impl Fn(std::net::TcpStream) + Send + 'static) {
    let address = SocketAddr::new(ADDRESS.into(), PORT);
    let listener = netns::inside(&netns.name, || TcpListener::bind(address))
        .expect("inside")
        .expect("bind");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            then(stream.expect("accept"));
        }
    });
}

#[test]
fn a_server_that_never_speaks_ends_at_the_deadline() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let netns = Netns::new();
    let kept = std::sync::Mutex::new(Vec::new());
    listener(&netns, move |stream| {
        kept.lock().expect("lock").push(stream);
    });
    let options = SshOptions {
        netns: Some(netns.name.clone()),
        ..SshOptions::default()
    };
    let mut host = SshHost::new(&sshd.spec, options).expect("host");
    // On a busy machine the way into a new namespace alone takes a while.
    let deadline = Duration::from_secs(3);
    for _ in 0..2 {
        let started = Instant::now();
        let error = host.run("true", deadline).expect_err("it never speaks");
        assert!(matches!(error, HostError::Deadline { .. }), "{error}");
        assert!(error.to_string().contains("handshake"), "{error}");
        assert!(started.elapsed() < deadline + SLACK);
    }
    let started = Instant::now();
    assert!(host.open("cat", SHORT).is_err());
    assert!(host.await_up(SHORT).is_err());
    drop(host);
    assert!(
        started.elapsed() < 2 * SHORT + SLACK,
        "dropping it must not wait"
    );
}

#[test]
fn a_server_that_speaks_something_else_is_told_apart() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let netns = Netns::new();
    listener(&netns, |mut stream| {
        stream.write_all(b"SSH-2.0-x\r\n\0\0\0\x0c").expect("write");
    });
    let options = SshOptions {
        netns: Some(netns.name.clone()),
        ..SshOptions::default()
    };
    let error = SshHost::new(&sshd.spec, options)
        .expect("host")
        .run("true", LONG);
    assert!(matches!(error, Err(HostError::Lost { .. })), "{error:?}");
}

#[test]
fn a_connection_dropped_in_the_middle_is_lost_and_the_next_step_makes_a_new_one() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut host = sshd.host();
    host.check("true", LONG).expect("runs");
    let session = sshd.only_session();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        must(std::process::Command::new("kill").args(["-9", &session]));
    });
    let started = Instant::now();
    let error = host.run("sleep 60", LONG).expect_err("it was cut");
    assert!(matches!(error, HostError::Lost { .. }), "{error}");
    assert!(error.is_outage());
    assert!(started.elapsed() < SLACK);
    killer.join().expect("killed");
    host.check("true", LONG)
        .expect("the next step connects anew");

    // In the middle of a conversation, and of a big file.
    let first = sshd.only_session();
    let mut channel = host.open("cat", LONG).expect("opens");
    let sessions = sshd.sessions();
    let second = sessions
        .iter()
        .map(u32::to_string)
        .find(|s| *s != first)
        .expect("a second");
    must(std::process::Command::new("kill").args(["-9", &second]));
    assert!(matches!(channel.receive(LONG), Err(HostError::Lost { .. })));
    assert!(matches!(
        channel.send("x", LONG),
        Err(HostError::Lost { .. })
    ));
    let started = Instant::now();
    drop(channel);
    let folder = sshd.folder.path().to_owned();
    let killer = std::thread::spawn(move || {
        let pid = rustix::process::Pid::from_raw(first.parse().expect("number")).expect("pid");
        let is_part = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().ends_with(".part");
        let begun = || {
            let mut entries = std::fs::read_dir(&folder)
                .expect("readable")
                .map(|e| e.expect("entry"));
            entries.any(|e| is_part(&e) && e.metadata().is_ok_and(|m| m.len() > 1_000_000))
        };
        while !begun() {
            std::thread::yield_now();
        }
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    });
    let big = vec![1; 200_000_000];
    let file = sshd.path("big");
    let error = host
        .deploy(&big, &file, 0o600, LONG)
        .expect_err("it was cut");
    assert!(matches!(error, HostError::Lost { .. }), "{error}");
    assert!(!file.exists(), "a file is there whole or not at all");
    killer.join().expect("killed");
    assert!(started.elapsed() < 2 * SLACK);
}

#[test]
fn a_stopped_server_ends_at_the_deadline_also_in_sftp() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut host = sshd.host();
    host.check("true", LONG).expect("runs");
    let session = sshd.only_session();
    must(std::process::Command::new("kill").args(["-STOP", &session]));
    let started = Instant::now();
    let error = host.deploy(&vec![0; 10_000_000], &sshd.path("f"), 0o600, SHORT);
    assert!(
        matches!(error, Err(HostError::Deadline { .. })),
        "{error:?}"
    );
    assert!(started.elapsed() < SHORT + SLACK, "{:?}", started.elapsed());
    host.check("true", LONG).expect("a new connection");
    let second = sshd.sessions();
    let second = second
        .iter()
        .find(|s| s.to_string() != session)
        .expect("another")
        .to_string();
    must(std::process::Command::new("kill").args(["-STOP", &second]));
    let started = Instant::now();
    drop(host);
    assert!(started.elapsed() < SLACK, "dropping it must not wait");
    must(std::process::Command::new("kill").args(["-CONT", &session, &second]));
}

#[test]
fn an_idle_connection_that_the_server_ended_is_made_anew() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let mut host = sshd.host();
    host.check("true", LONG).expect("runs");
    // Asked again until it has ended: sshd looks whether a SIGTERM came and then waits for input, and one that
    // comes between the two is not seen before the next input (serverloop.c of OpenSSH 9.2).
    let session = sshd.only_session();
    let end = Instant::now() + LONG;
    while !sshd.sessions().is_empty() {
        assert!(Instant::now() < end, "{}", sshd.log());
        std::process::Command::new("kill")
            .arg(&session)
            .output()
            .expect("kill runs");
        std::thread::sleep(Duration::from_millis(10));
    }
    host.check("true", LONG).expect("same boot: goes on");
}

#[test]
fn interruption_ends_a_step_at_once() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let cancel = Cancel::new().expect("eventfd");
    let options = SshOptions {
        cancel: Some(cancel.clone()),
        ..sshd.options()
    };
    let mut host = SshHost::new(&sshd.spec, options).expect("host");
    let mut local = LocalHost::new(HostName("here".into())).with_cancel(cancel.clone());
    let mut channel = host.open("cat", LONG).expect("opens");
    let started = Instant::now();
    let waiting = [
        std::thread::spawn(move || host.run("sleep 60", LONG).map(drop)),
        std::thread::spawn(move || local.run("sleep 60", LONG).map(drop)),
        std::thread::spawn(move || channel.receive(LONG).map(drop)),
    ];
    std::thread::sleep(Duration::from_millis(300));
    cancel.cancel().expect("wakes");
    for thread in waiting {
        let error = thread.join().expect("no panic");
        assert!(
            matches!(error, Err(HostError::Interrupted { .. })),
            "{error:?}"
        );
    }
    assert!(started.elapsed() < SLACK);
    // Restoring goes by a host without the token.
    sshd.host().check("true", LONG).expect("runs");
}

#[test]
fn a_host_that_comes_back_is_awaited() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let mut sshd = Sshd::new();
    let mut host = sshd.host();
    host.check("true", LONG).expect("runs");
    sshd.kill();
    assert!(host.await_up(SHORT).is_err());
    let starter = std::thread::spawn(move || {
        std::thread::sleep(SHORT);
        sshd.start();
        sshd
    });
    host.await_up(LONG).expect("comes back");
    let sshd = starter.join().expect("started");
    host.reconnect(LONG).expect("again");
    drop(sshd);
}

/// A machine's restart, as SSH sees it: the connection ends, nobody listens for a while, and then another boot
/// id is read. The file with the boot id is covered by a mount that only this sshd sees.
#[test]
fn a_reboot_is_awaited() {
    needs!(
        Need::Root,
        Need::Program("ip"),
        Need::Path("/usr/sbin/sshd")
    );
    let sshd = Sshd::new();
    let boot = sshd.path("boot");
    let script = sshd.path("reboot");
    std::fs::write(&boot, "before\n").expect("write");
    // `unshare -m` is done on the server's side of this one server.
    let mut sshd = sshd;
    sshd.kill();
    sshd.start_with_boot_id(&boot);
    std::fs::write(
        &script,
        format!(
            "echo after > {}; kill -9 $(cat {})\n",
            boot.display(),
            sshd.path("pids").display()
        ),
    )
    .expect("write");
    let mut host = sshd.host();
    assert_eq!(host.boot_id(LONG).expect("has one"), "before");
    let mut pids = sshd.sessions();
    pids.push(sshd.pid());
    std::fs::write(
        sshd.path("pids"),
        pids.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
    )
    .expect("write");
    let boot_again = boot.clone();
    let restart = std::thread::spawn(move || {
        sshd.await_end();
        std::thread::sleep(SHORT);
        sshd.start_with_boot_id(&boot_again);
        sshd
    });
    let result = host.reboot_by(&format!("sh {}", script.display()), LONG);
    drop(restart.join().expect("restarted"));
    assert_eq!(result.expect("comes back"), "after");
}
