//! Things that are wrong with a lab or a patch: one clear sentence, the right exit code, nothing lost.

use std::fs;

use crate::support::{Lab, open_path};

/// The lab file, changed.
fn with_lab(lab: &Lab, change: impl Fn(&str) -> String) -> String {
    let up = lab.json(0, &["lab", "up"]);
    let text = fs::read_to_string(up["lab_file"].as_str().expect("a path")).expect("the lab file");
    lab.write("lab.yaml", &change(&text)).display().to_string()
}

#[test]
fn machines_that_are_not_the_enrolled_ones_are_left_alone() {
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
    let lab = Lab::new("noload");
    // The series, with one more patch that makes netback refuse to start.
    let root = lab.path("patches");
    fs::create_dir(&root).expect("a folder");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../vendor-patches/linux-6.1");
    let copied = std::process::Command::new("cp")
        .args(["-r", source])
        .arg(&root)
        .status();
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
        .write(
            "shadow.yaml",
            &crate::support::SMALL.replace("  - {name: stock}\n", ""),
        )
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
