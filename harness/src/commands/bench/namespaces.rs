//! Two network namespaces joined by a veth pair or a bridge, made by the run and removed with it. Nothing is routed out of them.

use std::process::Command;

use vifbench_provisioning::netns;

use super::error::BenchError;
use super::tools;

/// The two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Who sends.
    Tx,
    /// Who receives.
    Rx,
}

/// The benchmark range (RFC 2544, appendix C.2.2).
const ADDRESS: [&str; 2] = ["198.18.9.1", "198.18.9.2"];
const MAC: [&str; 2] = ["02:76:62:09:00:01", "02:76:62:09:00:02"];
const INTERFACE: [&str; 2] = ["tx0", "rx0"];

/// What lies between the ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// A veth pair.
    Straight,
    /// A bridge, behind which packets queue for so many Mbit/s in a buffer of so many bytes, and are lost where it
    /// is full.
    Narrow {
        /// Rate.
        mbit: u32,
        /// Buffer.
        bytes: u32,
    },
}

/// The namespaces; removed on drop.
#[derive(Debug)]
pub struct JoinedNamespaces {
    names: Vec<String>,
}

impl JoinedNamespaces {
    /// Makes the namespaces and what joins them.
    pub fn new(path: Path) -> Result<Self, BenchError> {
        let name = |end: &str| format!("vifbench-bench-{}-{end}", std::process::id());
        let mut joined = Self { names: Vec::new() };
        let ends: &[&str] = match path {
            Path::Straight => &["tx", "rx"],
            Path::Narrow { .. } => &["tx", "rx", "between"],
        };
        for end in ends {
            let name = name(end);
            ip(&format!("netns add {name}"))?;
            joined.names.push(name);
        }
        let [tx, rx] = [0, 1].map(|i| joined.names[i].clone());
        match path {
            Path::Straight => ip(&format!(
                "link add tx0 netns {tx} address {} type veth peer name rx0 netns {rx} address {}",
                MAC[0], MAC[1]
            ))?,
            Path::Narrow { mbit, bytes } => {
                let between = joined.names[2].clone();
                for i in [0, 1] {
                    ip(&format!(
                        "link add {} netns {} address {} type veth peer name port{i} netns {between}",
                        INTERFACE[i], joined.names[i], MAC[i]
                    ))?;
                }
                ip(&format!("-n {between} link add br0 type bridge"))?;
                for port in ["port0", "port1"] {
                    ip(&format!("-n {between} link set {port} master br0 up"))?;
                }
                ip(&format!("-n {between} link set br0 up"))?;
                let queue = format!(
                    "qdisc add dev port1 root tbf rate {mbit}mbit burst 2000 limit {bytes}"
                );
                let mut command = Command::new("tc");
                command.args(["-n", &between]).args(queue.split(' '));
                tools::run("narrow the way", &mut command)?;
            }
        }
        for i in [0, 1] {
            let (name, interface) = (&joined.names[i], INTERFACE[i]);
            // No chatter of IPv6 between them, and no search for neighbours in mid-trial.
            ip(&format!(
                "netns exec {name} sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1"
            ))?;
            ip(&format!(
                "-n {name} addr add {}/30 dev {interface}",
                ADDRESS[i]
            ))?;
            ip(&format!("-n {name} link set {interface} up"))?;
            ip(&format!(
                "-n {name} neigh add {} lladdr {} dev {interface} nud permanent",
                ADDRESS[1 - i],
                MAC[1 - i]
            ))?;
        }
        Ok(joined)
    }

    fn name(&self, end: End) -> &str {
        &self.names[end as usize]
    }

    /// A program that runs at one end.
    pub fn command(&self, end: End, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(end), program]);
        command
    }

    /// Does something at one end; sockets and threads that it makes stay there.
    pub fn inside<T: Send>(
        &self,
        end: End,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, BenchError> {
        netns::inside(self.name(end), work).map_err(|source| BenchError::Namespace {
            name: self.name(end).to_owned(),
            source,
        })
    }

    /// Packets that came in at the receiver's interface since it is there, as the kernel counts them.
    pub fn arrived(&self) -> Result<u64, BenchError> {
        let mut command = Command::new("ip");
        command.args(["-n", self.name(End::Rx), "-s", "-j", "link", "show", "rx0"]);
        let output = tools::run("read the interface's counters", &mut command)?;
        let read = || {
            let all: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            all[0]["stats64"]["rx"]["packets"].as_u64()
        };
        read().ok_or_else(|| BenchError::Wrong("`ip -s -j link` shows no counters".to_owned()))
    }

    /// Packets that the narrow place dropped, as the kernel counts them.
    pub fn dropped_between(&self) -> Result<u64, BenchError> {
        let mut command = Command::new("tc");
        let name = self.names.get(2).map_or("", String::as_str);
        command.args(["-n", name, "-s", "-j", "qdisc", "show", "dev", "port1"]);
        let output = tools::run("read the queue's counters", &mut command)?;
        let read = || {
            let all: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            all[0]["drops"].as_u64()
        };
        read().ok_or_else(|| BenchError::Wrong("`tc -s -j qdisc` shows no drops".to_owned()))
    }
}

/// The address of one end.
pub fn address(end: End) -> &'static str {
    ADDRESS[end as usize]
}

/// The MAC address of one end.
pub fn mac(end: End) -> &'static str {
    MAC[end as usize]
}

/// The interface of one end.
pub fn interface(end: End) -> &'static str {
    INTERFACE[end as usize]
}

fn ip(arguments: &str) -> Result<(), BenchError> {
    let mut command = Command::new("ip");
    command.args(arguments.split(' '));
    tools::run("make a network namespace (as root)", &mut command).map(drop)
}

impl Drop for JoinedNamespaces {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = ip(&format!("netns del {name}")) {
                tracing::warn!("{error}");
            }
        }
    }
}
