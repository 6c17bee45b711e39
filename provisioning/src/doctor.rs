//! What is missing, here and on the hosts, each with the command that mends it.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use vifbench_scenarios::lab::{HostSpec, Role};

use crate::data::{DataDir, Part};
use crate::enrol;
use crate::host::{Host, HostError, HostExt as _};
use crate::lab::cache_root;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it must be.
    Good,
    /// Works, but a reader should know.
    Doubtful,
    /// Nothing that needs it can work.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is: `/dev/net/tun`, `dom0: libpcap`.
    pub what: String,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// The command (or deed) that mends it, where something is wrong.
    pub mend: Option<String>,
}

impl Check {
    fn good(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            health: Health::Good,
            found: found.into(),
            mend: None,
        }
    }
    fn bad(
        health: Health,
        what: impl Into<String>,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            health,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }
}

/// Free space that a lab's images and a long run need.
const SPACE: u64 = 6 << 30;
/// Free memory that the virtual lab needs: its machine, with every root in RAM.
const MEMORY: u64 = 4 << 30;

/// Looks at this machine. `folders` are those in which images and results will be kept.
pub fn this_machine(folders: &[&Path]) -> Vec<Check> {
    let mut checks = vec![root(), tun()];
    for (program, package, health) in [
        ("qemu-system-x86_64", "qemu-system-x86", Health::Missing),
        ("mmdebstrap", "mmdebstrap", Health::Missing),
        ("ip", "iproute2", Health::Missing),
        ("cpio", "cpio", Health::Missing),
        ("ssh-keygen", "openssh-client", Health::Missing),
        ("make", "build-essential", Health::Missing),
        ("gcc", "build-essential", Health::Missing),
        ("patch", "patch", Health::Missing),
        ("modinfo", "kmod", Health::Missing),
        ("socat", "socat", Health::Doubtful),
    ] {
        checks.push(match on_path(program) {
            Some(path) => Check::good(program, path),
            None => Check::bad(
                health,
                program,
                "not on the PATH",
                format!("apt-get install {package}"),
            ),
        });
    }
    checks.push(found_in(
        "kernel source",
        Path::new("/usr/src"),
        |name| name.starts_with("linux-source-") && name.contains(".tar"),
        Health::Missing,
        "apt-get install linux-source-6.1",
    ));
    checks.push(found_in(
        "kernel headers",
        Path::new("/usr/src"),
        |name| name.starts_with("linux-headers-") && !name.ends_with("-common"),
        Health::Missing,
        "apt-get install linux-headers-amd64",
    ));
    checks.push(found_in(
        "fonts for figures",
        Path::new("/usr/share/fonts/truetype/dejavu"),
        |name| name == "DejaVuSans.ttf",
        Health::Missing,
        "apt-get install fonts-dejavu-core",
    ));
    checks.push(memory());
    checks.extend(folders.iter().map(|folder| space(folder)));
    checks
}

/// Looks at the files that vifbench reads while it runs, at the probe that it sends to hosts, and whether the virtual lab's
/// images were built once. `vifprobe` is where the probe must be.
pub fn own_files(data: &DataDir, vifprobe: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    for part in Part::ALL {
        checks.push(match data.root(part) {
            Ok(folder) => Check::good(part.words(), folder.display().to_string()),
            Err(error) => Check::bad(Health::Missing, part.words(), error.problem(), error.mend()),
        });
    }
    checks.push(match std::fs::metadata(vifprobe) {
        Ok(file) if file.is_file() => Check::good("vifprobe", vifprobe.display().to_string()),
        Ok(_) | Err(_) => Check::bad(
            Health::Missing,
            "vifprobe",
            format!("not beside vifbench: {}", vifprobe.display()),
            "build both: cargo build --release; or copy vifprobe to the folder of vifbench",
        ),
    });
    checks.push(images());
    checks
}

/// Have images been built? Of which versions, only the recipe can tell, and it asks apt, which takes seconds.
fn images() -> Check {
    const WHAT: &str = "lab images";
    let folder = cache_root().join("images");
    let built = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("digest").is_file())
        .count();
    match built {
        0 => Check::bad(
            Health::Doubtful,
            WHAT,
            format!("none in {}", folder.display()),
            "the first run builds them, which takes minutes; or now: vifbench lab up",
        ),
        n => Check::good(WHAT, format!("{n} in {}", folder.display())),
    }
}

fn root() -> Check {
    if rustix::process::geteuid().is_root() {
        Check::good("root", "yes")
    } else {
        let mend = "run vifbench as root (sudo): it makes network namespaces and taps";
        Check::bad(Health::Missing, "root", "no", mend)
    }
}

fn tun() -> Check {
    const TUN: &str = "/dev/net/tun";
    match std::fs::File::options().read(true).write(true).open(TUN) {
        Ok(_) => Check::good(TUN, "can be opened"),
        Err(error) => Check::bad(
            Health::Missing,
            TUN,
            error.to_string(),
            "modprobe tun; in a container, start it with --device /dev/net/tun --cap-add NET_ADMIN",
        ),
    }
}

fn on_path(program: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find_map(|file| {
            let metadata = file.metadata().ok()?;
            let runs = metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
            runs.then(|| file.display().to_string())
        })
}

fn found_in(
    what: &str,
    folder: &Path,
    wanted: impl Fn(&str) -> bool,
    health: Health,
    mend: &str,
) -> Check {
    let names = match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|name| wanted(name))
            .max(),
        Err(error) => {
            return Check::bad(health, what, format!("{}: {error}", folder.display()), mend);
        }
    };
    match names {
        Some(name) => Check::good(what, folder.join(name).display().to_string()),
        None => Check::bad(health, what, format!("not in {}", folder.display()), mend),
    }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn memory() -> Check {
    const WHAT: &str = "free memory";
    let mend = format!("free some: the virtual lab needs {}", gib(MEMORY));
    let text = match std::fs::read_to_string("/proc/meminfo") {
        Ok(text) => text,
        Err(error) => return Check::bad(Health::Doubtful, WHAT, error.to_string(), mend),
    };
    let available = text.lines().find_map(|line| {
        let kib = line
            .strip_prefix("MemAvailable:")?
            .trim()
            .strip_suffix(" kB")?;
        kib.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    match available {
        Some(bytes) if bytes >= MEMORY => Check::good(WHAT, gib(bytes)),
        Some(bytes) => Check::bad(Health::Doubtful, WHAT, gib(bytes), mend),
        None => Check::bad(Health::Doubtful, WHAT, "the kernel does not tell", mend),
    }
}

fn space(folder: &Path) -> Check {
    let what = format!("space in {}", folder.display());
    // It may not be there yet: then what counts is where it will be made.
    let there = folder
        .ancestors()
        .find(|f| f.exists())
        .unwrap_or(Path::new("/"));
    let mend = format!(
        "free some space in {}: images and results need {}",
        there.display(),
        gib(SPACE)
    );
    match rustix::fs::statvfs(there) {
        Ok(fs) => {
            let free = fs.f_bavail.saturating_mul(fs.f_frsize);
            if free >= SPACE {
                Check::good(what, gib(free))
            } else {
                Check::bad(Health::Doubtful, what, gib(free), mend)
            }
        }
        Err(errno) => Check::bad(Health::Missing, what, errno.to_string(), mend),
    }
}

/// What a script on the host tells: `key=value` lines.
const PROBE: &str = r#"
say() { printf '%s=%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1 && echo yes; }
say uid "$(id -u)"
for f in /usr/lib/*/libpcap.so.* /usr/lib/libpcap.so.* /lib/*/libpcap.so.* /lib/libpcap.so.*; do
  [ -e "$f" ] && { say pcap "$f"; break; }
done
say xl "$(have xl)"
say flock "$(have flock)"
for t in insmod rmmod modprobe; do say "$t" "$(have "$t")"; done
say lockdown "$(cat /sys/kernel/security/lockdown 2>/dev/null)"
say sigenforce "$(cat /sys/module/module/parameters/sig_enforce 2>/dev/null)"
say hypervisor "$(cat /sys/hypervisor/type 2>/dev/null)"
"#;

/// Looks at a host of the lab: whether it can be reached, is the enrolled one, and has what a run needs.
pub fn host(host: &mut dyn Host, spec: &HostSpec, deadline: Duration) -> Vec<Check> {
    let name = &spec.name;
    let of = |what: &str| format!("{name}: {what}");
    let missing = |what: &str, found: String, mend: String| {
        Check::bad(Health::Missing, of(what), found, mend)
    };
    if let Err(error) = host.run("true", deadline) {
        let mend = match &error {
            HostError::HostKeyChanged { .. } => {
                "if the host was reinstalled, enrol it again: its new host_key goes into the lab file"
                    .to_owned()
            }
            HostError::NoKey { .. } => format!(
                "write as `key` of {name} in the lab file a private key without passphrase that you may read"
            ),
            HostError::Refused { key, .. } => format!(
                "ssh-copy-id -i {key} -p {} {}@{}",
                spec.port, spec.user, spec.address
            ),
            HostError::BadHostKey { .. } => {
                format!("ssh-keyscan -p {} {}", spec.port, spec.address)
            }
            _ => format!("start the host; then: ssh -p {} {}@{}", spec.port, spec.user, spec.address),
        };
        return vec![missing("SSH", error.to_string(), mend)];
    }
    let mut checks = vec![Check::good(
        of("SSH"),
        format!("{}:{}", spec.address, spec.port),
    )];
    match enrol::verify(host, spec, deadline) {
        Ok(()) => checks.push(Check::good(of("identity"), "the enrolled machine")),
        Err(error) => {
            let mend = "correct its address or its identity in the lab file".to_owned();
            checks.push(missing("identity", error.to_string(), mend));
            // Another machine: nothing else of it matters.
            return checks;
        }
    }
    let text = match host.check(PROBE, deadline) {
        Ok(output) => output.text(),
        Err(error) => {
            checks.push(missing(
                "shell",
                error.to_string(),
                "see what it says".to_owned(),
            ));
            return checks;
        }
    };
    checks.extend(judge(&text, spec));
    checks
}

/// What the script's answer means.
fn judge(text: &str, spec: &HostSpec) -> Vec<Check> {
    let name = &spec.name;
    let of = |what: &str| format!("{name}: {what}");
    let value = |key: &str| {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().trim()
    };
    let mut checks = Vec::new();
    let mut need = |what: &str, good: bool, found: &str, mend: &str| {
        checks.push(if good {
            Check::good(of(what), found)
        } else {
            let found = if found.is_empty() { "not there" } else { found };
            Check::bad(Health::Missing, of(what), found, mend)
        });
    };
    let uid = value("uid");
    need(
        "root",
        uid == "0",
        &format!("uid {uid}"),
        "set `user: root` for it in the lab file",
    );
    let pcap = value("pcap");
    need(
        "libpcap",
        !pcap.is_empty(),
        pcap,
        "apt-get install libpcap0.8",
    );
    need(
        "flock",
        value("flock") == "yes",
        value("flock"),
        "apt-get install util-linux",
    );
    if spec.role != Role::Generator {
        for tool in ["insmod", "rmmod", "modprobe"] {
            need(
                tool,
                value(tool) == "yes",
                value(tool),
                "apt-get install kmod",
            );
        }
        let (lockdown, enforced) = (value("lockdown"), value("sigenforce"));
        let locked = lockdown.contains("[integrity]")
            || lockdown.contains("[confidentiality]")
            || enforced == "Y";
        let found = if locked {
            format!(
                "the kernel takes signed modules only (lockdown {lockdown}, sig_enforce {enforced})"
            )
        } else {
            "off".to_owned()
        };
        need(
            "lockdown",
            !locked,
            &found,
            "switch Secure Boot off in its firmware (or boot without lockdown= and module.sig_enforce)",
        );
        need(
            "Xen",
            value("hypervisor") == "xen",
            value("hypervisor"),
            "boot it under Xen (dom0: apt-get install xen-system-amd64, then reboot)",
        );
    }
    if spec.role == Role::Dom0 {
        need(
            "xl",
            value("xl") == "yes",
            value("xl"),
            "apt-get install xen-utils",
        );
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::LocalHost;
    use vifbench_scenarios::lab::{HostName, Identity};
    use vifbench_testing::{Need, needs};

    fn spec(role: Role, identity: Identity) -> HostSpec {
        HostSpec {
            name: HostName("h".into()),
            role,
            on: None,
            address: "198.18.0.9".parse().expect("address"),
            address6: None,
            port: 22,
            user: "root".into(),
            key: "key".into(),
            host_key: String::new(),
            identity,
            interface: "lo".into(),
            mac: String::new(),
            bridge: None,
        }
    }

    fn wrong(checks: &[Check]) -> Vec<&str> {
        checks
            .iter()
            .filter(|c| c.health != Health::Good)
            .map(|c| c.what.as_str())
            .collect()
    }

    #[test]
    fn every_fault_has_its_mend_and_nothing_else_has() {
        let folder = tempfile::tempdir().expect("folder");
        let checks = this_machine(&[&folder.path().join("not/yet"), Path::new("/proc")]);
        for check in &checks {
            assert_eq!(
                check.mend.is_some(),
                check.health != Health::Good,
                "{check:?}"
            );
            assert!(!check.found.is_empty(), "{check:?}");
        }
        // A file system without any space.
        assert!(wrong(&checks).contains(&"space in /proc"));
        assert!(
            checks
                .iter()
                .any(|c| c.what == "root" && c.health == Health::Good)
        );
    }

    #[test]
    fn judges_a_dom0_by_what_it_says() {
        let spec = spec(Role::Dom0, Identity::Mac("00:00:00:00:00:00".into()));
        let good = "uid=0\npcap=/usr/lib/x/libpcap.so.1\nxl=yes\nflock=yes\ninsmod=yes\nrmmod=yes\n\
                    modprobe=yes\nlockdown=[none] integrity confidentiality\nsigenforce=N\n\
                    hypervisor=xen\n";
        assert_eq!(wrong(&judge(good, &spec)), Vec::<&str>::new());
        let locked = good
            .replace("[none] integrity", "none [integrity]")
            .replace("xl=yes", "xl=");
        assert_eq!(wrong(&judge(&locked, &spec)), ["h: lockdown", "h: xl"]);
        assert_eq!(wrong(&judge("", &spec)).len(), 8);
    }

    #[test]
    fn looks_at_a_real_host() {
        needs!(Need::Root);
        let deadline = Duration::from_secs(20);
        let mut here = LocalHost::new(HostName("h".into()));
        let mut spec = spec(Role::Generator, Identity::Mac("00:00:00:00:00:00".into()));
        let checks = super::host(&mut here, &spec, deadline);
        assert_eq!(wrong(&checks), Vec::<&str>::new(), "{checks:?}");
        spec.identity = Identity::Mac("02:00:00:00:00:01".into());
        let checks = super::host(&mut here, &spec, deadline);
        assert_eq!(wrong(&checks), ["h: identity"]);
    }
}
