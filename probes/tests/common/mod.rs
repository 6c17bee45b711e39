//! Two network namespaces joined by a veth pair, and probes that run in them.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vifbench_probes::client::{LineChannel, ProbeClient};
use vifbench_scenarios::scenario::{Arrivals, SendBy};
use vifbench_scenarios::units::{Rate, Size};
use vifbench_wire::packet::FILTER;
use vifbench_wire::protocol::{
    CaptureOptions, CaptureSpec, FlowSpec, Generate, Pace, Point, Prepare,
};

pub const TX: usize = 0;
pub const RX: usize = 1;
pub const MAC: [&str; 2] = ["02:76:62:00:00:01", "02:76:62:00:00:02"];
pub const ADDRESS: [&str; 2] = ["198.18.7.1", "198.18.7.2"];
pub const ADDRESS6: [&str; 2] = ["2001:2::7:1", "2001:2::7:2"];
pub const INTERFACE: [&str; 2] = ["tx0", "rx0"];

/// Runs a command that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Namespaces `vb-probes-<pid>-<n>`, removed on drop.
pub struct JoinedNamespaces {
    pub namespaces: [String; 2],
}

impl JoinedNamespaces {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = || {
            format!(
                "vb-probes-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            )
        };
        let joined = Self {
            namespaces: [name(), name()],
        };
        for namespace in &joined.namespaces {
            run("ip", &["netns", "add", namespace]);
            // No chatter of IPv6 on the wire.
            Self::sysctl(namespace, "net.ipv6.conf.default.autoconf=0");
            Self::sysctl(namespace, "net.ipv6.conf.default.accept_dad=0");
        }
        let [tx, rx] = &joined.namespaces;
        run(
            "ip",
            &[
                "link",
                "add",
                INTERFACE[TX],
                "netns",
                tx,
                "address",
                MAC[TX],
                "type",
                "veth",
                "peer",
                "name",
                INTERFACE[RX],
                "netns",
                rx,
                "address",
                MAC[RX],
            ],
        );
        for side in [TX, RX] {
            let namespace = &joined.namespaces[side];
            run(
                "ip",
                &[
                    "-n",
                    namespace,
                    "addr",
                    "add",
                    &format!("{}/30", ADDRESS[side]),
                    "dev",
                    INTERFACE[side],
                ],
            );
            run(
                "ip",
                &[
                    "-n",
                    namespace,
                    "addr",
                    "add",
                    &format!("{}/64", ADDRESS6[side]),
                    "dev",
                    INTERFACE[side],
                    "nodad",
                ],
            );
            run(
                "ip",
                &["-n", namespace, "link", "set", INTERFACE[side], "up"],
            );
        }
        joined
    }

    fn sysctl(namespace: &str, setting: &str) {
        run(
            "ip",
            &["netns", "exec", namespace, "sysctl", "-qw", setting],
        );
    }

    /// A command that runs in one of the namespaces.
    pub fn command(&self, side: usize, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespaces[side], program]);
        command
    }

    /// Starts a probe in one of the namespaces, with its folder under `temp`.
    pub fn probe(&self, side: usize, temp: &Path) -> ProbeClient<Pipes> {
        let mut command = self.command(side, env!("CARGO_BIN_EXE_vifprobe"));
        ProbeClient::new(
            Pipes::start(command.env("TMPDIR", temp)),
            Duration::from_secs(60),
        )
    }
}

impl Drop for JoinedNamespaces {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // Best effort: in a failing test the namespace may not have been made.
            let removed = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
            if !removed.is_ok_and(|status| status.success()) {
                eprintln!("cannot remove the namespace {namespace}");
            }
        }
    }
}

/// A local process as a line channel.
pub struct Pipes {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pipes {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the probe starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self {
            child,
            input,
            output,
        }
    }

    /// Closes the probe's stdin and waits for its end.
    pub fn close(mut self) -> std::process::ExitStatus {
        self.input = None;
        self.child.wait().expect("the probe ends")
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().expect("the probe ends");
    }
}

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.child.id())
    }
}

impl LineChannel for Pipes {
    type Error = std::io::Error;
    fn send(&mut self, line: &str, _: Duration) -> std::io::Result<()> {
        let input = self.input.as_mut().expect("stdin is open");
        writeln!(input, "{line}")
    }
    fn receive(&mut self, _: Duration) -> std::io::Result<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err(std::io::Error::other("the probe closed its stdout")),
            _ => Ok(line),
        }
    }
}

pub fn capture(point: Point, side: usize) -> CaptureSpec {
    CaptureSpec {
        point,
        guest: (point == Point::Rx).then(|| "u1".to_owned()),
        interface: INTERFACE[side].to_owned(),
        filter: FILTER.to_owned(),
        snaplen: 128,
        buffer: 4 << 20,
        options: CaptureOptions::default(),
    }
}

pub fn flow(flow: u16, v6: bool, size: u32, arrivals: Arrivals) -> FlowSpec {
    let addresses = if v6 { ADDRESS6 } else { ADDRESS };
    FlowSpec {
        flow,
        source_mac: MAC[TX].into(),
        destination_mac: MAC[RX].into(),
        source: addresses[TX].parse().expect("an address"),
        destination: addresses[RX].parse().expect("an address"),
        size: Size::from_bytes(u64::from(size)).into(),
        arrivals,
        seed: 11,
    }
}

pub fn cbr(rate: u64) -> Arrivals {
    Arrivals::Cbr {
        rate: Rate::per_sec(rate),
    }
}

pub fn poisson(rate: u64) -> Arrivals {
    Arrivals::Poisson {
        rate: Rate::per_sec(rate),
    }
}

pub fn generate(flows: Vec<FlowSpec>) -> Generate {
    Generate {
        interface: INTERFACE[TX].into(),
        pace: Pace::Sleep,
        sender: SendBy::Auto,
        warmup_ns: 0,
        flows,
    }
}

/// A plan of trial 1 with nothing in it but captures and generator.
pub fn plan(captures: Vec<CaptureSpec>, generate: Option<Generate>) -> Prepare {
    Prepare {
        trial: 1,
        captures,
        generate,
        respond: vec![],
        counters: vec![],
        files: vec![],
        domains: false,
        sample_every_ns: 0,
        clock: None,
    }
}
