//! The command line as a stranger meets it: no lab is needed for anything here.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use vifbench_testing::{Need, needs};

fn vifbench() -> Command {
    Command::cargo_bin("vifbench").expect("the binary is built with the tests")
}

const SCENARIO: &str = "\
name: mine
about: a test
traffic:
  - {to: u1, protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
variants:
  - {name: stock}
duration: 1 s
";

/// Writes `text` and validates it; gives what was printed on stderr after checking the exit code.
fn faults(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    fs::write(&file, text).expect("the file is written");
    let assert = vifbench()
        .args(["scenario", "validate"])
        .arg(&file)
        .assert()
        .code(2)
        .stdout(predicate::str::is_empty());
    String::from_utf8_lossy(&assert.get_output().stderr)
        .replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn a_good_scenario_passes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    fs::write(&file, SCENARIO).expect("the file is written");
    vifbench()
        .args(["scenario", "validate"])
        .arg(&file)
        .assert()
        .success()
        .stdout("mine: good\n");
}

#[test]
fn a_misspelt_key_names_the_nearest() {
    insta::assert_snapshot!(faults(&SCENARIO.replace("duration", "durration")));
}

#[test]
fn a_missing_unit_is_named() {
    insta::assert_snapshot!(faults(&SCENARIO.replace("64 B", "64")));
}

#[test]
fn a_negative_rate_is_named() {
    insta::assert_snapshot!(faults(&SCENARIO.replace("2000/s", "-2000/s")));
}

#[test]
fn an_unknown_library_name_offers_the_nearest() {
    vifbench()
        .args(["run", "quikstart"])
        .assert()
        .code(2)
        .stderr(contains("did you mean quickstart?"));
}

#[test]
fn a_kernel_that_no_suite_has_is_told_with_those_that_are_known() {
    for kernel in ["6.2", "6.1.0-50; reboot", "6.10.3-1"] {
        vifbench()
            .args(["run", "quickstart", "--kernel", kernel])
            .assert()
            .code(2)
            .stderr(contains("known are 6.1, 6.12, 7.3"));
    }
}

/// Asks apt, as building images does.
#[test]
fn a_release_that_debian_does_not_have_is_told_with_those_that_it_has() {
    vifbench()
        .args(["bisect", "--releases", "6.1", "--from", "6.1.0-1"])
        .args(["--metric", "delay_p50"])
        .assert()
        .code(2)
        .stderr(contains("Debian has no release 6.1.0-1; it has 6.1.0-"));
}

#[test]
fn a_missing_file_is_named() {
    vifbench()
        .args(["scenario", "validate", "no/such.yaml"])
        .assert()
        .code(2)
        .stderr(contains("no/such.yaml"));
}

const LAB: &str = "\
name: bench
hosts:
  - name: dom0
    role: dom0
    address: 198.18.0.2
    key: /nonexistent/key
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0PnVyN7m2zR9Dq0P5QmXc0y5mXJ3y8JrQK0d0bJm1Z
    identity: {mac: '52:54:00:00:00:02'}
    interface: eth0
    mac: '52:54:00:00:00:02'
    bridge: xenbr0
  - name: u1
    role: guest
    on: dom0
    address: 198.18.0.11
    key: /nonexistent/key
    host_key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0PnVyN7m2zR9Dq0P5QmXc0y5mXJ3y8JrQK0d0bJm1Z
    identity: {mac: '00:16:3e:00:00:11'}
    interface: eth0
    mac: '00:16:3e:00:00:11'
";

/// Validates the library's small-packets against a lab file.
fn lab_faults(lab: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("lab.yaml");
    fs::write(&file, lab).expect("the file is written");
    let assert = vifbench()
        .args(["scenario", "validate", "two-guests", "--lab"])
        .arg(&file)
        .assert()
        .code(2);
    String::from_utf8_lossy(&assert.get_output().stderr)
        .replace(&folder.path().display().to_string(), "DIR")
}

#[test]
fn a_guest_that_the_lab_lacks_is_named() {
    insta::assert_snapshot!(lab_faults(LAB));
}

#[test]
fn a_lab_file_without_key_is_refused() {
    insta::assert_snapshot!(lab_faults(&LAB.replacen(
        "    key: /nonexistent/key\n",
        "",
        1
    )));
}

#[test]
fn a_lab_file_without_host_key_is_refused() {
    let line = LAB
        .lines()
        .find(|line| line.contains("host_key"))
        .expect("there is one");
    insta::assert_snapshot!(lab_faults(&LAB.replacen(&format!("{line}\n"), "", 1)));
}

#[test]
fn a_scenario_that_an_editor_marked_is_good() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = format!("\u{feff}{}", SCENARIO.replace('\n', "\r\n"));
    let texts: [Vec<u8>; 2] = [marked.clone().into_bytes(), utf16(&marked)];
    for text in texts {
        fs::write(&file, text).expect("the file is written");
        vifbench()
            .args(["scenario", "validate"])
            .arg(&file)
            .assert()
            .success()
            .stdout("mine: good\n");
    }
}

/// Nothing listens at that port: a key that can be read leads there, one that cannot leads nowhere.
#[test]
fn a_key_lies_in_the_home_folder_or_is_named_as_missing_here() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lab = folder.path().join("lab.yaml");
    let text = LAB
        .replace("198.18.0.2\n", "127.0.0.1\n    port: 1\n")
        .replace("198.18.0.11\n", "127.0.0.1\n    port: 1\n")
        .replace("/nonexistent/key", "~/.ssh/rack");
    // Two machines at one address are refused: only dom0 is looked at.
    let text = &text[..text.find("  - name: u1").expect("a guest")];
    fs::write(&lab, text).expect("the file is written");
    let doctor = || {
        let mut command = vifbench();
        command
            .args(["doctor", "--lab"])
            .arg(&lab)
            .env("HOME", folder.path())
            .env("VIFBENCH_STATE", folder.path());
        command
    };
    let missing = format!(
        "the private key {} of dom0 cannot be read here",
        folder.path().join(".ssh/rack").display()
    );
    doctor()
        .assert()
        .stdout(contains(missing).and(contains("ssh-copy-id").not()));
    fs::create_dir(folder.path().join(".ssh")).expect("a folder");
    fs::write(folder.path().join(".ssh/rack"), "a key").expect("the key is written");
    doctor()
        .assert()
        .stdout(contains("cannot reach dom0 at 127.0.0.1:1"));
    fs::write(&lab, text.replace("~/", "~root/")).expect("the file is written");
    doctor().assert().code(2).stderr(contains(
        "lab.yaml:7:10: `~root/.ssh/rack` lies in the home folder of another user",
    ));
    fs::write(&lab, text).expect("the file is written");
    doctor()
        .env_remove("HOME")
        .assert()
        .code(2)
        .stderr(contains("HOME is not set"));
}

#[test]
fn help_has_examples_and_exit_codes() {
    vifbench()
        .arg("--help")
        .assert()
        .success()
        .stdout(contains("Examples:").and(contains("DUT-CRASH")));
    for command in [
        "doctor", "lab", "scenario", "run", "resume", "report", "analyze", "bench", "patches",
        "undo", "enrol",
    ] {
        vifbench()
            .args([command, "--help"])
            .assert()
            .success()
            .stdout(contains("Example"));
    }
}

#[test]
fn man_page_and_completions_are_made() {
    vifbench()
        .arg("man")
        .assert()
        .success()
        .stdout(contains(".TH vifbench"));
    for shell in ["bash", "zsh", "fish"] {
        vifbench()
            .args(["completions", shell])
            .assert()
            .success()
            .stdout(contains("vifbench"));
    }
}

#[test]
fn the_library_is_listed() {
    vifbench()
        .args(["scenario", "list"])
        .assert()
        .success()
        .stdout(contains("quickstart"));
    vifbench()
        .args(["scenario", "list", "--format", "json"])
        .assert()
        .success()
        .stdout(predicate::function(|out: &str| {
            serde_json::from_str::<serde_json::Value>(out).is_ok()
        }));
}

#[test]
fn a_report_of_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    vifbench()
        .arg("report")
        .arg(folder.path())
        .assert()
        .failure()
        .stderr(contains("run.json"));
    assert!(!Path::new(folder.path()).join("report").exists());
}

/// `vifbench` under another program that takes something away from it.
fn under(program: &str, arguments: &[&str]) -> Command {
    // Other users cannot look into the folder that the tests were built in.
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let mut command = Command::new(program);
    let binary = folder.join("vifbench");
    fs::copy(env!("CARGO_BIN_EXE_vifbench"), &binary).expect("a copy of the binary");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&folder, mode).expect("a folder for all");
    command
        .args(arguments)
        .arg(binary)
        .env("VIFBENCH_STATE", folder.join("state"))
        .current_dir(&folder);
    command
}

#[test]
fn without_root_the_lab_says_so() {
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    for command in [&["lab", "up"][..], &["run", "quickstart"]] {
        under("setpriv", &nobody)
            .args(command)
            .assert()
            .code(12)
            .stderr(contains("needs root").and(contains("sudo")));
    }
}

/// Everything that keeps a run from working is told before the lab boots, which takes a while and a core.
#[test]
fn what_is_missing_is_told_before_anything_boots() {
    needs!(
        Need::Root,
        Need::Path("/dev/net/tun"),
        Need::Program("qemu-system-x86_64"),
        Need::Program("mmdebstrap"),
    );
    let under_env = |arguments: &[&str]| under("env", arguments);
    under_env(&[])
        .args(["run", "quickstart"])
        .assert()
        .code(12)
        .stderr(contains("vifprobe").and(contains("must be beside vifbench")))
        .stderr(contains("boot").not().and(contains("lab images").not()));
    under_env(&["VIFBENCH_DATA=/nonexistent"])
        .args(["run", "quickstart"])
        .assert()
        .code(12)
        .stderr(contains(
            "VIFBENCH_DATA names /nonexistent, which does not have the image recipes",
        ));
    under_env(&["VIFBENCH_DATA=/nonexistent"])
        .arg("doctor")
        .assert()
        .code(12)
        .stdout(contains("MISSING   vifprobe: not beside vifbench"))
        .stdout(contains(
            "MISSING   image recipes and scripts: VIFBENCH_DATA",
        ))
        .stdout(contains("MISSING   patch series: VIFBENCH_DATA"));
    for count in ["--blocks", "--seeds"] {
        vifbench()
            .args(["run", "quickstart", count, "0"])
            .assert()
            .code(2)
            .stderr(contains("0 is not in 1.."));
    }
}

#[test]
fn a_scenario_that_the_virtual_lab_cannot_run_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("mine.yaml");
    fs::write(&file, SCENARIO.replace("to: u1", "to: u9")).expect("the file is written");
    for command in ["run", "matrix"] {
        vifbench()
            .arg(command)
            .arg(&file)
            .current_dir(&folder)
            .assert()
            .code(2)
            .stderr(contains("did you mean `u1`? Its guests are `u1`, `u2`"))
            .stderr(contains("boot").not());
    }
    let left: Vec<_> = fs::read_dir(folder.path()).expect("listed").collect();
    assert_eq!(left.len(), 1, "no folder of results: {left:?}");
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(
            std::time::Instant::now() < end,
            "waited in vain until {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// A matrix whose lab's images are built by a script that never ends, in a folder of its own.
struct Building {
    folder: tempfile::TempDir,
    matrix: std::process::Child,
}

impl Building {
    /// Started, and in the middle of the build.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let recipes = folder.path().join("data/provisioning");
        fs::create_dir_all(recipes.join("images")).expect("a folder");
        for name in ["build-root.sh", "deb-lines.sh"] {
            fs::write(recipes.join(name), "").expect("the file is written");
        }
        let build = recipes.join("images/build.sh");
        let text = "#!/bin/bash\ntrap 'rm building' EXIT\ntrap 'trap \"\" TERM; exit 143' TERM\necho > building\nsleep 600\n";
        fs::write(&build, text).expect("the file is written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&build, mode).expect("its mode");
        // The probe must be there, and is not used.
        let binary = folder.path().join("vifbench");
        fs::copy(env!("CARGO_BIN_EXE_vifbench"), &binary).expect("a copy of the binary");
        fs::write(folder.path().join("vifprobe"), "").expect("the file is written");
        fs::write(folder.path().join("mine.yaml"), SCENARIO).expect("the file is written");
        let series = concat!(env!("CARGO_MANIFEST_DIR"), "/../vendor-patches");
        let matrix = std::process::Command::new(binary)
            .args(["matrix", "mine.yaml", "--kernel", "6.1", "--xen", "4.17"])
            .env("VIFBENCH_DATA", folder.path().join("data"))
            .env("VIFBENCH_PATCHES", series)
            .env("VIFBENCH_STATE", folder.path().join("state"))
            .env("VIFBENCH_CACHE", folder.path().join("cache"))
            .current_dir(&folder)
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("vifbench starts");
        let this = Self { folder, matrix };
        wait_until("the build begins", || this.builds());
        this
    }

    fn builds(&self) -> bool {
        self.folder.path().join("building").exists()
    }

    fn signal(&self, name: &str) {
        let child = self.matrix.id().to_string();
        let sent = std::process::Command::new("kill")
            .args([name, &child])
            .status();
        assert!(sent.expect("kill starts").success());
    }

    /// The build is over, has cleaned up, and nothing of the whole is left.
    fn expect_all_gone(mut self) {
        self.matrix.wait().expect("it ends");
        wait_until("the build ends", || !self.builds());
        wait_until("every process is gone", || {
            let folder = self.folder.path().to_string_lossy().into_owned();
            let found = std::process::Command::new("pgrep")
                .args(["-f", &folder])
                .output();
            found.expect("pgrep starts").stdout.is_empty()
        });
    }
}

#[test]
fn a_killed_matrix_leaves_no_build_of_images() {
    needs!(
        Need::Root,
        Need::Path("/dev/net/tun"),
        Need::Program("qemu-system-x86_64"),
        Need::Program("mmdebstrap"),
    );
    let building = Building::new();
    building.signal("-KILL");
    building.expect_all_gone();
}

#[test]
fn a_matrix_that_is_interrupted_twice_leaves_no_build_of_images() {
    needs!(
        Need::Root,
        Need::Path("/dev/net/tun"),
        Need::Program("qemu-system-x86_64"),
        Need::Program("mmdebstrap"),
    );
    let building = Building::new();
    building.signal("-INT");
    building.signal("-INT");
    building.expect_all_gone();
}

#[test]
fn without_tun_the_lab_says_so() {
    let hidden = [
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs none /dev/net && exec \"$@\"",
        "sh",
    ];
    under("unshare", &hidden)
        .args(["lab", "up"])
        .assert()
        .code(12)
        .stderr(contains("/dev/net/tun is missing").and(contains("load the kernel module `tun`")));
}

const SIMULATION: &str = "\
name: model
about: a test
traffic:
  - {to: u1, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
sweep: {rate: [2000/s, 20 k/s]}
variants:
  - {name: stock}
  - {name: static, patches: aggregation, regulator: static, hold: 1 ms, framing: 0 B}
duration: 10 s
blocks: 2
";

/// Runs `simulate` on a scenario in a folder of its own.
fn simulate(folder: &Path, text: &str, args: &[&str]) -> assert_cmd::assert::Assert {
    let file = folder.join("model.yaml");
    fs::write(&file, text).expect("the file is written");
    vifbench()
        .current_dir(folder)
        .arg("simulate")
        .arg(&file)
        .args(args)
        .assert()
}

#[test]
fn a_simulation_prints_one_object_a_variant_and_point() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let assert = simulate(
        folder.path(),
        SIMULATION,
        &["--format", "json", "--no-report"],
    )
    .success();
    let rows: serde_json::Value =
        serde_json::from_slice(&assert.get_output().stdout).expect("JSON and nothing else");
    let rows = rows.as_array().expect("an array");
    assert_eq!(rows.len(), 4);
    for key in [
        "variant",
        "rate",
        "packets",
        "mean_wait_us",
        "p50_wait_us",
        "p99_wait_us",
        "mean_abs_ipdv_us",
        "packets_per_container",
        "timeout_fraction",
        "samples_per_s",
    ] {
        assert!(
            rows.iter().all(|row| row.get(key).is_some()),
            "{key} is missing"
        );
    }
    assert_eq!(rows[3]["variant"], "static");
    assert_eq!(rows[3]["rate"], "20000/s");
    // The closed form says 523.8; four standard errors of 400 000 packets are below 5.
    let wait = rows[3]["mean_wait_us"].as_f64().expect("a number");
    assert!((wait - 523.8).abs() < 5.0, "{wait}");
    assert!(!folder.path().join("results").exists());
    let again = simulate(
        folder.path(),
        SIMULATION,
        &["--format", "json", "--no-report"],
    )
    .success();
    assert_eq!(assert.get_output().stdout, again.get_output().stdout);
    let other = simulate(
        folder.path(),
        SIMULATION,
        &["--format", "json", "--no-report", "--seed", "2"],
    );
    assert_ne!(assert.get_output().stdout, other.get_output().stdout);
}

#[test]
fn a_simulation_makes_a_report_that_says_what_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = SIMULATION.replace("duration: 10 s", "duration: 1 s");
    simulate(folder.path(), &text, &["--pareto", "--trace", "trace.csv"])
        .success()
        .stdout(contains(
            "simulated: what the model says, nothing was measured",
        ))
        .stdout(contains("what nothing beats"));
    let report = folder.path().join("results/model-simulated-1");
    let page = fs::read_to_string(report.join("index.html")).expect("the page");
    assert!(page.contains("▲ simulated: what the model says, nothing was measured"));
    for file in [
        "figures/waits.png",
        "figures/against-rate.svg",
        "figures/front.png",
        "simulated.csv",
        "pareto.csv",
        "summary.json",
    ] {
        assert!(report.join(file).exists(), "{file} is missing");
    }
    let svg = fs::read_to_string(report.join("figures/front.svg")).expect("the figure");
    assert!(svg.contains("simulated"), "the figure is not marked");
    let trace = fs::read_to_string(folder.path().join("trace.csv")).expect("the trace");
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(report.join("summary.json")).expect("the summary"))
            .expect("JSON");
    let packets: u64 = summary["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["packets"].as_u64().expect("a number"))
        .sum();
    assert_eq!(trace.lines().count() as u64, packets + 1);
    // The same scenario, seed and version: the same page.
    simulate(folder.path(), &text, &["--pareto"]).success();
    assert_eq!(
        fs::read_to_string(report.join("index.html")).expect("the page"),
        page
    );
}

/// The counterparts of the paper's Table 1 and of its figures 5 and 6.
#[test]
fn closed_loops_have_a_table_and_a_figure_over_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    Command::cargo_bin("vifbench")
        .expect("the binary")
        .current_dir(folder.path())
        .args(["simulate", "paper-table1", "--blocks", "1"])
        .assert()
        .success();
    let report = folder.path().join("results/paper-table1-simulated-1");
    let csv = fs::read_to_string(report.join("figures/over-time.csv")).expect("the figure");
    // With T0 = 10 ms each sample of the static time-out takes 10.5 ms in each of two loops.
    let last = csv
        .lines()
        .rfind(|line| line.starts_with("T0 = 10 ms,") && line.contains(",static,line,"))
        .expect("a point");
    let (_, place) = last.split_once(",static,line,").expect("x and y");
    let so_far: f64 = place
        .split(',')
        .nth(1)
        .expect("y")
        .parse()
        .expect("a number");
    assert!((so_far - 2.0 / 0.0105).abs() < 3.0, "{last}");
    let tex = fs::read_to_string(report.join("tables/simulated.tex")).expect("the table");
    assert!(
        tex.contains("\\toprule") && tex.contains("of static"),
        "{tex}"
    );
    let row = tex
        .lines()
        .find(|line| line.contains("10.0 ms & literal"))
        .expect("the formulas as printed");
    assert!(row.contains("$\\times$"), "{row}");
    for ending in [".pdf", ".svg"] {
        let file = format!("figures/over-time-ieee-1col{ending}");
        assert!(report.join(&file).exists(), "{file} is missing");
    }
}

#[test]
fn a_simulation_refuses_what_cannot_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |from: &str, to: &str, says: &str| {
        let text = SIMULATION.replace(from, to);
        assert_ne!(text, SIMULATION);
        simulate(folder.path(), &text, &["--no-report"])
            .code(2)
            .stderr(contains(says.to_owned()));
    };
    refused("[2000/s, 20 k/s]", "[0/s]", "a rate of zero sends nothing");
    refused("hold: 1 ms", "hold: 0 ms", "cannot hold for 0 ns");
    // 10^12 packets.
    refused(
        "duration: 10 s",
        "duration: 50000000 s",
        "more packets than a flow can number",
    );
    refused("blocks: 2", "blocks: 1000000", "that would take about");
    let trace = "size: captured, arrivals: {trace: {file: none.pcap}}";
    let text = SIMULATION
        .replace("size: 64 B, arrivals: {poisson: {rate: 2000/s}}", trace)
        .replace("sweep: {rate: [2000/s, 20 k/s]}\n", "");
    simulate(folder.path(), &text, &["--no-report"])
        .code(2)
        .stderr(contains("cannot replay none.pcap"));
    // A pcap file's header, and no packet.
    let mut empty = 0xa1b2_c3d4u32.to_le_bytes().to_vec();
    empty.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
    fs::write(folder.path().join("none.pcap"), empty).expect("the file is written");
    simulate(folder.path(), &text, &["--no-report"])
        .code(2)
        .stderr(contains("it holds no packet"));
}

#[test]
fn a_lab_refuses_what_only_the_model_can() {
    vifbench()
        .args(["run", "paper-theory"])
        .assert()
        .code(2)
        .stderr(contains("variant `breakeven` has `framing`"))
        .stderr(contains("vifbench simulate paper-theory"));
}

/// The parts that need nothing but this program: no root, no network, no other tool.
#[test]
fn bench_tells_what_it_measured() {
    let output = vifbench()
        .args(["bench", "clocks", "--quick", "--json"])
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let told: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert!(told["machine"]["kernel"].is_string());
    let rows = told["parts"]["clocks"]["rows"].as_array().unwrap();
    let held = rows
        .iter()
        .find(|row| row["what"] == "truth within the bound all along" && row["by"] == "vifbench");
    assert!(held.unwrap()["value"].as_f64().unwrap() >= 99.0);
    vifbench().args(["bench", "clock"]).assert().code(2);
}
