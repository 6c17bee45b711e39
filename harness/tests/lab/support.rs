//! A lab of its own for each test, and what tests ask of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A scenario small enough for an emulated machine.
pub const SMALL: &str = "\
name: small
about: a small load on both guests
traffic:
  - {to: u1, protocol: udp, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
  - {to: u2, protocol: udp, size: 512 B, arrivals: {cbr: {rate: 500/s}}}
variants:
  - {name: stock}
  - {name: shadow, patches: shadow, hold: 1 ms}
warmup: 50 ms
duration: 200 ms
blocks: 1
judge: {by: completeness}
";

/// The same through tap, NIC and bridge.
pub fn open_path() -> String {
    SMALL
        .replace("name: small", "name: open")
        .replace("warmup:", "mode: open\nwarmup:")
}

/// A scenario without its patched variant, where the patch does not matter: a swap takes half a minute.
pub fn stock_only(scenario: &str) -> String {
    let shadow = "  - {name: shadow, patches: shadow, hold: 1 ms}\n";
    assert!(scenario.contains(shadow));
    scenario.replace(shadow, "")
}

/// A lab, taken down at the end.
pub struct Lab {
    pub name: String,
    folder: TempDir,
}

impl Lab {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self {
            name: format!("test-{name}-{}", std::process::id()),
            folder,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("the file is written");
        path
    }

    /// `vifbench`, with this lab and a state folder of its own.
    pub fn vifbench(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vifbench"));
        command
            .env("VIFBENCH_LAB_NAME", &self.name)
            .env("VIFBENCH_STATE", self.path("state"))
            .current_dir(self.folder.path());
        command
    }

    /// Runs it and checks its exit code.
    pub fn expect(&self, code: i32, args: &[&str]) -> Output {
        let output = self
            .vifbench()
            .args(args)
            .output()
            .expect("vifbench starts");
        assert_eq!(
            output.status.code(),
            Some(code),
            "vifbench {args:?}\nstdout:\n{}\nstderr:\n{}\nconsole:\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.console(),
        );
        output
    }

    /// The same, with its JSON answer.
    pub fn json(&self, code: i32, args: &[&str]) -> Value {
        let mut all = vec!["--format", "json"];
        all.extend(args);
        let output = self.expect(code, &all);
        serde_json::from_slice(&output.stdout).expect("JSON on stdout")
    }

    /// The end of dom0's console, for a test that fails.
    pub fn console(&self) -> String {
        let path = self
            .path("state")
            .join("labs")
            .join(&self.name)
            .join("console-dom0.log");
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().rev().take(25).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A command in one of the lab's machines. A session under which the machine is restored never ends by itself.
    pub fn ssh(&self, host: &str, command: &str) -> Output {
        let vifbench = self.vifbench();
        let mut bounded = Command::new("timeout");
        bounded.arg("15").arg(vifbench.get_program());
        for (key, value) in vifbench.get_envs() {
            if let Some(value) = value {
                bounded.env(key, value);
            }
        }
        bounded
            .args(["lab", "ssh", host, command])
            .current_dir(self.folder.path())
            .output()
            .expect("timeout starts")
    }

    /// The build-id of the netback that dom0 runs.
    pub fn netback(&self) -> Vec<u8> {
        let output = self.ssh(
            "dom0",
            "cat /sys/module/xen_netback/notes/.note.gnu.build-id",
        );
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// Stops the machine's clock, as a host that hangs would; a restore makes it go on.
    pub fn hang(&self) {
        let path = self.path("state").join("labs").join(&self.name).join("qmp");
        let mut socket = UnixStream::connect(&path).expect("QEMU's control socket");
        let mut lines = BufReader::new(socket.try_clone().expect("a second handle")).lines();
        let mut answer = |wanted: &str| {
            lines
                .by_ref()
                .map(|line| line.expect("QEMU answers"))
                .find(|line| line.contains(wanted))
                .expect("the answer comes")
        };
        answer("QMP");
        for command in ["qmp_capabilities", "stop"] {
            writeln!(socket, "{{\"execute\": \"{command}\"}}").expect("QEMU listens");
            answer("return");
        }
    }

    /// Starts it and leaves it running.
    pub fn start(&self, args: &[&str]) -> Child {
        self.vifbench()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("vifbench starts")
    }

    /// The only run's folder, once it is there.
    pub fn run(&self) -> PathBuf {
        await_some("a run folder", || {
            fs::read_dir(self.path("results"))
                .ok()?
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .find(|path| path.join("events.jsonl").exists())
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let output = self.vifbench().args(["lab", "down"]).output();
        if let Ok(output) = output
            && !output.status.success()
        {
            eprintln!("lab down: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Waits for something to be there.
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(240);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How often an event happened in a run so far.
pub fn events(run: &Path, what: &str) -> usize {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["what"] == what)
        .count()
}

/// Every file below a folder, with its bytes, in order.
pub fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("the folder is read") {
            let path = entry.expect("the entry is read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("the file is read");
                files.push((path, bytes));
            }
        }
    }
    files.sort();
    files
}
