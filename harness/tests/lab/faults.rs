//! Things that are wrong with a lab or a patch: one clear sentence, the right exit code, nothing lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use std::process::Command;

use crate::support::{Lab, SMALL, await_some, events, open_path, stock_only};
use vifbench_testing::{Need, needs};

/// The lab file, changed.
fn with_lab(lab: &Lab, change: impl Fn(&str) -> String) -> String {
    let up = lab.json(0, &["lab", "up"]);
    let text = fs::read_to_string(up["lab_file"].as_str().expect("a path")).expect("the lab file");
    lab.write("lab.yaml", &change(&text)).display().to_string()
}

#[test]
fn machines_that_are_not_the_enrolled_ones_are_left_alone() {
    needs!(Need::Lab);
    let lab = Lab::new("enrol");
    let scenario = lab.write("open.yaml", &open_path()).display().to_string();
    let other_mac = |text: &str| {
        let mac = text
            .lines()
            .skip_while(|line| !line.contains("name: u1"))
            .find_map(|line| line.trim().strip_prefix("mac: "))
            .expect("u1 has a MAC");
        // The first is the identity's; that of the test interface stays.
        text.replacen(mac, "00:16:3e:ff:ff:ff", 1)
    };
    let file = with_lab(&lab, other_mac);
    let stock = lab.netback();
    let output = lab.expect(12, &["run", &scenario, "--lab", &file]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("u1 is not the enrolled machine"), "{text}");
    assert!(lab.netback() == stock, "nothing was swapped");

    // Another machine's key: u2's in place of u1's.
    let text = fs::read_to_string(
        lab.path("state")
            .join("labs")
            .join(&lab.name)
            .join("lab.yaml"),
    )
    .expect("the lab file");
    let keys: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("host_key: "))
        .collect();
    let swapped = text.replacen(keys[1], keys[2], 1);
    let file = lab.write("keys.yaml", &swapped).display().to_string();
    let output = lab.expect(12, &["run", &scenario, "--lab", &file]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("shows another SSH host key"), "{text}");
    assert!(lab.netback() == stock, "nothing was swapped");
}

#[test]
fn a_module_that_does_not_load_is_told_and_the_packaged_one_runs() {
    needs!(Need::Lab);
    let lab = Lab::new("noload");
    // The series, with one more patch that makes netback refuse to start.
    let root = lab.path("patches");
    fs::create_dir(&root).expect("a folder");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../vendor-patches/linux-6.1");
    let copied = Command::new("cp").args(["-r", source]).arg(&root).status();
    assert!(copied.expect("cp starts").success());
    let series = root.join("linux-6.1/series");
    let text = fs::read_to_string(&series).expect("the series");
    fs::write(
        &series,
        text.replace("# variant: shadow", "9999-refuse.patch\n# variant: shadow"),
    )
    .expect("the series is written");
    fs::write(root.join("linux-6.1/9999-refuse.patch"), REFUSE).expect("the patch is written");

    let scenario = lab
        .write("shadow.yaml", &SMALL.replace("  - {name: stock}\n", ""))
        .display()
        .to_string();
    let output = lab
        .vifbench()
        .env("VIFBENCH_PATCHES", &root)
        .args(["run", &scenario, "--keep-lab"])
        .output()
        .expect("vifbench starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(13), "{text}");
    assert!(
        text.contains("xen_netback") && text.contains("Operation not permitted"),
        "{text}"
    );
    for host in ["u1", "u2", "gen"] {
        assert!(lab.ssh(host, "true").status.success(), "{host} answers");
    }
}

#[test]
fn ssh_that_drops_or_hangs_costs_an_attempt_and_no_trial() {
    needs!(Need::Lab);
    let lab = Lab::new("ssh");
    lab.expect(0, &["lab", "up"]);
    let text = stock_only(&open_path())
        .replace("blocks: 1", "blocks: 2")
        .replace("duration: 200 ms", "duration: 8 s");
    let scenario = lab.write("open.yaml", &text);
    let child = lab.start(&["run", scenario.to_str().expect("UTF-8")]);
    let run = lab.run();
    let prepared = |trial: u32| {
        await_some("a trial's probes", || {
            let folder = format!("test -d /tmp/vifbench-lab/trial-{trial}");
            lab.ssh("dom0", &folder).status.success().then_some(())
        });
    };

    // The first trial: every session with u1 drops.
    prepared(1);
    let killed = lab.ssh("u1", "killall sshd");
    assert_ne!(killed.status.code(), Some(127), "{killed:?}");
    // The second one: the whole machine stands still.
    await_some("the first trial's end", || {
        (events(&run, "trial-ended") >= 1).then_some(())
    });
    prepared(2);
    lab.hang();

    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(events(&run, "retry") >= 2, "{told}");
    for trial in ["trials/1/trial.json", "trials/2/trial.json"] {
        let record = fs::read_to_string(run.join(trial)).expect("trial.json");
        assert!(record.contains("\"complete\""), "{record}");
    }
}

#[test]
fn a_lab_that_another_qemu_started_is_refused() {
    needs!(Need::Lab);
    let lab = Lab::new("qemu");
    lab.expect(0, &["lab", "up"]);
    let scenario = lab.write("small.yaml", &stock_only(SMALL));
    // As after an upgrade: the machine runs on, and what would be started is another program.
    let bin = lab.path("bin");
    fs::create_dir(&bin).expect("a folder");
    let newer = bin.join("qemu-system-x86_64");
    fs::write(&newer, "#!/bin/sh\necho 'QEMU emulator version 99.0.0'\n").expect("written");
    fs::set_permissions(&newer, fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = std::env::var("PATH").expect("a PATH");
    let output = lab
        .vifbench()
        .env("PATH", format!("{}:{path}", bin.display()))
        .args(["run", scenario.to_str().expect("UTF-8")])
        .output()
        .expect("vifbench starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(12), "{text}");
    assert!(
        text.contains("was started by another QEMU") && text.contains("vifbench lab down"),
        "{text}"
    );
    assert!(!lab.path("results").exists(), "nothing was begun");
}

#[test]
fn a_full_disk_on_the_controller_stops_the_run_and_resume_goes_on() {
    needs!(Need::Lab);
    let lab = Lab::new("full");
    lab.expect(0, &["lab", "up"]);
    let scenario = lab.write("small.yaml", &stock_only(SMALL));
    // One trial fits, three do not. Everything in one mount namespace, which goes with its last process.
    let text = fs::read_to_string(&scenario).expect("the scenario");
    fs::write(&scenario, text.replace("blocks: 1", "blocks: 3")).expect("the scenario");
    let script = "\
        mkdir results && mount -t tmpfs -o size=300k none results || exit 99\n\
        \"$1\" run --force --seed 103 small.yaml; echo \"run: $?\"\n\
        ls results/2*/trials | grep -v part | sort -n | xargs echo kept:\n\
        mount -o remount,size=64m results || exit 99\n\
        \"$1\" resume results/2*; echo \"resume: $?\"\n\
        ls results/2*/trials | sort -n | xargs echo all:\n\
        grep -c trial-ended results/2*/events.jsonl\n";
    let vifbench = lab.vifbench();
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(vifbench.get_program());
    for (key, value) in vifbench.get_envs() {
        if let Some(value) = value {
            command.env(key, value);
        }
    }
    let output = command
        .current_dir(lab.path("."))
        .output()
        .expect("unshare starts");
    let (out, told) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        out.contains("run: 12") && out.contains("resume: 0"),
        "{out}\n{told}"
    );
    assert!(
        told.contains("No space left") && told.contains("vifbench resume"),
        "{told}"
    );
    let kept = out
        .lines()
        .find_map(|line| line.strip_prefix("kept:"))
        .expect("the trials");
    assert!(kept.contains('1') && !kept.contains('3'), "{out}\n{told}");
    assert!(out.contains("all: 1 2 3\n3\n"), "{out}\n{told}");
}

/// The lab's images with another configuration of the guests.
fn images_with_guests(lab: &Lab, change: &str) -> String {
    let script = "\
        set -e\n\
        images=$(\"$1/images/build.sh\" 2>/dev/null | tail -n 1)\n\
        cp -a \"$images\" images && rm images/dom0.cpio\n\
        mkdir -p overlay/etc/xen\n\
        sed \"$2\" \"$1/images/dom0/etc/xen/guest.cfg\" > overlay/etc/xen/guest.cfg\n\
        ! cmp -s \"$1/images/dom0/etc/xen/guest.cfg\" overlay/etc/xen/guest.cfg\n\
        (cat \"$images/dom0.cpio\"; cd overlay; echo etc/xen/guest.cfg | cpio -o -H newc --quiet) > images/dom0.cpio\n\
        echo changed > images/digest\n";
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/../provisioning");
    let output = Command::new("sh")
        .args(["-c", script, "sh", recipe, change])
        .current_dir(lab.path("."))
        .output()
        .expect("sh starts");
    assert!(output.status.success(), "{output:?}");
    lab.path("images").display().to_string()
}

#[test]
fn a_guest_that_does_not_come_up_is_named_with_its_console() {
    needs!(Need::Lab);
    for (name, change, says) in [
        ("memory", "s/^memory = .*/memory = 100000/", "u1 of the lab"),
        (
            "init",
            "s/vifbench.name/rdinit=\\/nothing vifbench.name/",
            "Kernel panic",
        ),
    ] {
        let lab = Lab::new(name);
        let images = images_with_guests(&lab, change);
        let output = lab.expect(12, &["lab", "up", "--images", &images]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("u1") && text.contains(says), "{text}");
        let status = lab.json(0, &["lab", "status"]);
        assert_eq!(status["machine"], "gone", "nothing is left running: {text}");
    }
}

const REFUSE: &str = "\
Subject: [PATCH] xen-netback: refuse to start

---
--- a/drivers/net/xen-netback/netback.c
+++ b/drivers/net/xen-netback/netback.c
@@ -1755,6 +1755,8 @@
 
 	if (!xen_domain())
 		return -ENODEV;
+	if (xen_domain())
+		return -EPERM;
 
 	/* Allow as many queues as there are CPUs but max. 8 if user has not
 	 * specified a value.
";
