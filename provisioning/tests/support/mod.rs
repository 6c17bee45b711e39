//! A real `sshd` in a network namespace of its own, for tests of everything that speaks SSH.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vifbench_provisioning::ssh::{SshHost, SshOptions};
use vifbench_scenarios::lab::{HostName, HostSpec, Identity, Role};

/// The address of every test server; it exists only inside the namespaces.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 9, 1);
/// Its port.
pub const PORT: u16 = 2222;
/// Enough for anything that is to succeed, on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// Runs a program that must succeed.
pub fn must(command: &mut Command) -> String {
    let output = command.output().expect("starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// A namespace that is removed at the end.
pub struct Netns {
    pub name: String,
}

impl Netns {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vb-prov-{}-{count}", std::process::id());
        must(Command::new("ip").args(["netns", "add", &name]));
        let netns = Self { name };
        must(netns.command("ip").args(["link", "set", "lo", "up"]));
        must(
            netns
                .command("ip")
                .args(["address", "add", &format!("{ADDRESS}/32"), "dev", "lo"]),
        );
        netns
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        must(Command::new("ip").args(["netns", "delete", &self.name]));
    }
}

/// A host key or user key made for one test.
pub fn new_key(file: &Path) -> String {
    must(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(file),
    );
    std::fs::read_to_string(file.with_extension("pub"))
        .expect("public key")
        .trim()
        .to_owned()
}

/// An SSH server with one user key.
pub struct Sshd {
    pub netns: Netns,
    pub folder: TempDir,
    pub spec: HostSpec,
    child: Option<Child>,
}

impl Sshd {
    /// Starts one with these further lines in its configuration.
    pub fn with(config: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vb-prov-")
            .tempdir()
            .expect("folder");
        let host_key = new_key(&folder.path().join("host"));
        let user_key = new_key(&folder.path().join("user"));
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("authorized"), user_key).expect("authorized keys");
        let sftp = if config.contains("Subsystem") {
            ""
        } else {
            "Subsystem sftp internal-sftp"
        };
        // SHLVL: else bash reads the .bashrc of whoever runs the tests, and what that does is not known.
        std::fs::write(
            path("config"),
            format!(
                "ListenAddress {ADDRESS}\nPort {PORT}\nHostKey {}\nAuthorizedKeysFile {}\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n\
                 PermitRootLogin prohibit-password\nSetEnv SHLVL=1\n{sftp}\n{config}\n",
                path("host").display(),
                path("authorized").display(),
            ),
        )
        .expect("config");
        let spec = HostSpec {
            name: HostName("testhost".into()),
            role: Role::Dom0,
            on: None,
            address: IpAddr::V4(ADDRESS),
            address6: None,
            port: PORT,
            user: "root".into(),
            key: path("user"),
            host_key,
            identity: Identity::Mac("00:00:00:00:00:00".into()),
            interface: "lo".into(),
            mac: "00:00:00:00:00:00".into(),
            bridge: None,
        };
        let mut sshd = Self {
            netns: Netns::new(),
            folder,
            spec,
            child: None,
        };
        sshd.start();
        sshd
    }

    pub fn new() -> Self {
        Self::with("")
    }

    /// Starts the server and waits until it listens.
    pub fn start(&mut self) {
        let sshd = self.netns.command("/usr/sbin/sshd");
        self.start_by(sshd);
    }

    /// As [`Sshd::start`], with that file in the place of the kernel's boot id.
    pub fn start_with_boot_id(&mut self, file: &Path) {
        let mut sshd = self.netns.command("unshare");
        sshd.args(["--mount", "sh", "-c"])
            .arg(format!(
                "mount --bind {} /proc/sys/kernel/random/boot_id && exec /usr/sbin/sshd \"$@\"",
                file.display()
            ))
            .arg("sh");
        self.start_by(sshd);
    }

    /// The listener's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Waits until the listener was ended by somebody.
    pub fn await_end(&mut self) {
        self.child.take().expect("running").wait().expect("wait");
    }

    fn start_by(&mut self, mut sshd: Command) {
        // Debian's sshd wants this folder for its unprivileged half.
        std::fs::create_dir_all("/run/sshd").expect("/run/sshd");
        let log = std::fs::File::create(self.folder.path().join("log")).expect("log");
        let child = sshd
            .arg("-D")
            .arg("-e")
            .arg("-f")
            .arg(self.folder.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("sshd starts (package openssh-server)");
        self.child = Some(child);
        let end = Instant::now() + LONG;
        while !self.log().contains("Server listening") {
            assert!(Instant::now() < end, "sshd: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends the listener and every session of it, without a goodbye.
    pub fn kill(&mut self) {
        let sessions = self.sessions();
        if let Some(mut child) = self.child.take() {
            for pid in sessions {
                // One may have ended meanwhile.
                Command::new("kill")
                    .args(["-9", &pid.to_string()])
                    .output()
                    .expect("kill runs");
            }
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// The server's living processes, one a connection.
    pub fn sessions(&self) -> Vec<u32> {
        let Some(child) = &self.child else {
            return Vec::new();
        };
        let file = format!("/proc/{0}/task/{0}/children", child.id());
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lives = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
        };
        text.split_whitespace()
            .map(|w| w.parse().expect("pid"))
            .filter(lives)
            .collect()
    }

    /// The one session there is, awaited where others are about to end.
    pub fn only_session(&self) -> String {
        let end = Instant::now() + LONG;
        loop {
            let sessions = self.sessions();
            if let [one] = sessions[..] {
                return one.to_string();
            }
            assert!(Instant::now() < end, "{sessions:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("log")
    }

    pub fn options(&self) -> SshOptions {
        SshOptions {
            netns: Some(self.netns.name.clone()),
            ..SshOptions::default()
        }
    }

    pub fn host(&self) -> SshHost {
        SshHost::new(&self.spec, self.options()).expect("host")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}
