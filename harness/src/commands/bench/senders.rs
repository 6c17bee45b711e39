//! Packets of 64 B a second from one core: every sender of vifbench, and trafgen, in turn on the same veth pair.
//!
//! All saturate for the same time, in several rounds, so that a noisy machine is noisy for all. The kernel's count of
//! packets at the far end is what counts, not what a sender says of itself.

use std::process::Command;
use std::time::{Duration, Instant};

use vifbench_probes::clock::reading::realtime_ns;
use vifbench_probes::generator::{Generator, GeneratorError, Window};
use vifbench_probes::senders::SenderError;
use vifbench_scenarios::scenario::{Arrivals, SendBy};
use vifbench_scenarios::units::Size;
use vifbench_wait::Cancel;
use vifbench_wire::packet::Template;
use vifbench_wire::protocol::{FlowSpec, Generate, Pace, Sent};

use super::Bench;
use super::answer::Answer;
use super::error::BenchError;
use super::namespaces::{End, JoinedNamespaces, Path, address, interface, mac};
use super::tools::{self, Tool};

/// Each sends this long in each round.
const SECONDS: u32 = 2;
const ROUNDS: usize = 5;
/// The size of every frame, with FCS.
const SIZE: u64 = 64;
/// Packets that the kernel itself may send in a round.
const CHATTER: u64 = 20;

const OURS: [SendBy; 6] = [
    SendBy::Raw,
    SendBy::Pnet,
    SendBy::Mmsg,
    SendBy::Ring,
    SendBy::Gso,
    SendBy::Xdp,
];

/// Rates of one sender, a round each.
struct Rates {
    name: String,
    per_s: Vec<f64>,
    /// Packets that it says it sent, and that arrived, over all rounds.
    counts: (u64, u64),
}

pub fn measure(bench: &Bench<'_>) -> Result<Answer, BenchError> {
    let millis = u64::from(SECONDS * bench.amount(1000));
    let joined = JoinedNamespaces::new(Path::Straight)?;
    // Super-packets are cut up, and their checksums computed, before the driver: packets are counted, and are whole.
    for end in [End::Tx, End::Rx] {
        let mut ethtool = joined.command(end, "ethtool");
        ethtool.args([
            "-K",
            interface(end),
            "tx-udp-segmentation",
            "off",
            "tx",
            "off",
            "gro",
            "off",
        ]);
        tools::run("turn off super-packets", &mut ethtool)?;
    }
    let mut answer = Answer {
        setting: format!(
            "one flow of {SIZE} B at full speed from one core over a veth pair, {ROUNDS} rounds of {millis} ms each, in turn"
        ),
        ..Answer::default()
    };
    let trafgen = Tool::find("trafgen", Some("netsniff-ng"))?;
    let mut all: Vec<Rates> = Vec::new();
    for round in 0..ROUNDS {
        for sender in OURS {
            bench.go_on()?;
            let name = format!("vifbench, {}", sender.word());
            match saturate(&joined, sender, millis)? {
                Ok(seen) => note(&mut all, &name, seen),
                Err(why) if round == 0 => answer.notes.push(why.to_string()),
                Err(_) => {}
            }
        }
        if trafgen.is_there() {
            bench.go_on()?;
            let seen = saturate_trafgen(&joined, millis)?;
            note(&mut all, "trafgen", seen);
        }
    }
    for rates in &mut all {
        rates.per_s.sort_by(f64::total_cmp);
        let middle = rates.per_s[rates.per_s.len() / 2];
        answer.row(
            "packets at the far end",
            &rates.name,
            middle,
            "packets/s, median",
        );
    }
    for rates in &all {
        if let (Some(least), Some(most)) = (rates.per_s.first(), rates.per_s.last()) {
            answer.row("lowest round", &rates.name, *least, "packets/s");
            answer.row("highest round", &rates.name, *most, "packets/s");
        }
        let (said, arrived) = rates.counts;
        if said > 0 {
            answer.row(
                "sent, by its own count",
                &rates.name,
                said as f64,
                "packets",
            );
            answer.row(
                "of them arrived, by the kernel",
                &rates.name,
                arrived as f64,
                "packets",
            );
        }
    }
    let median = |name: &str| {
        let found = all.iter().find(|rates| rates.name == name)?;
        Some(found.per_s[found.per_s.len() / 2])
    };
    for rates in &all {
        let own = rates.per_s[rates.per_s.len() / 2];
        for (what, other) in [
            ("times as fast as trafgen", "trafgen"),
            ("times as fast as pnet", "vifbench, pnet"),
        ] {
            if let Some(other) = median(other).filter(|other| *other > 0.0) {
                answer.row(what, &rates.name, own / other, "x");
            }
        }
    }
    answer.side_by_side();
    answer.tools.push(trafgen);
    answer.notes.push(
        "vifbench's packets each have a number, a send time and a checksum of their own; trafgen's are all the same".to_owned(),
    );
    answer.notes.push(
        "pktgen is not among them: its packets have no number, so that captures could not be matched"
            .to_owned(),
    );
    Ok(answer)
}

/// What one round of one sender came to.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Packets that the kernel counted at the far end.
    arrived: u64,
    /// Packets that the sender says it sent.
    said: u64,
    /// How long it sent.
    time: Duration,
}

fn note(all: &mut Vec<Rates>, name: &str, seen: Seen) {
    let per_s = seen.arrived as f64 / seen.time.as_secs_f64();
    if let Some(rates) = all.iter_mut().find(|rates| rates.name == name) {
        rates.per_s.push(per_s);
        rates.counts.0 += seen.said;
        rates.counts.1 += seen.arrived;
    } else {
        all.push(Rates {
            name: name.to_owned(),
            per_s: vec![per_s],
            counts: (seen.said, seen.arrived),
        });
    }
}

/// What vifbench sends over the wire.
pub fn plan(arrivals: Arrivals, sender: SendBy) -> Result<Generate, BenchError> {
    let ip = |end| {
        address(end)
            .parse()
            .map_err(|error| BenchError::Wrong(format!("{}: {error}", address(end))))
    };
    Ok(Generate {
        interface: interface(End::Tx).to_owned(),
        pace: Pace::Spin,
        sender,
        warmup_ns: 0,
        flows: vec![FlowSpec {
            flow: 1,
            source_mac: mac(End::Tx).to_owned(),
            destination_mac: mac(End::Rx).to_owned(),
            source: ip(End::Tx)?,
            destination: ip(End::Rx)?,
            size: Size::from_bytes(SIZE).into(),
            arrivals,
            seed: 1,
        }],
    })
}

/// Sends a plan for so long.
pub fn send(
    joined: &JoinedNamespaces,
    plan: &Generate,
    millis: u64,
) -> Result<Result<Sent, SenderError>, BenchError> {
    let sent = joined.inside(End::Tx, || -> Result<Sent, GeneratorError> {
        let mut generator = Generator::open(plan)?;
        let start_ns = realtime_ns() + 20_000_000;
        let stop_ns = start_ns + millis * 1_000_000;
        let window = Window {
            start_ns,
            stop_ns,
            give_up_ns: stop_ns,
        };
        let stop = Cancel::new().map_err(GeneratorError::Timer)?;
        // In a thread that ends with it: it is pinned and goes before others.
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| generator.run(window, &stop));
            sending
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    match sent {
        Ok(sent) => Ok(Ok(sent)),
        Err(GeneratorError::Sender(error @ SenderError::Unable { .. })) => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

fn saturate(
    joined: &JoinedNamespaces,
    sender: SendBy,
    millis: u64,
) -> Result<Result<Seen, SenderError>, BenchError> {
    let plan = plan(Arrivals::Saturate { cap: None }, sender)?;
    let before = joined.arrived()?;
    let sent = match send(joined, &plan, millis)? {
        Ok(sent) => sent,
        Err(unable) => return Ok(Err(unable)),
    };
    let arrived = joined.arrived()? - before;
    if arrived > sent.sent + CHATTER {
        return Err(BenchError::Wrong(format!(
            "{arrived} packets arrived of {} that {} says it sent",
            sent.sent,
            sender.word()
        )));
    }
    Ok(Ok(Seen {
        arrived,
        said: sent.sent,
        time: Duration::from_millis(millis),
    }))
}

/// What trafgen makes of it. It tells no times: what a short call takes is taken off a long one.
fn saturate_trafgen(joined: &JoinedNamespaces, millis: u64) -> Result<Seen, BenchError> {
    /// Packets of the short call, and of the long one for each millisecond: about what it does.
    const FEW: u64 = 10_000;
    const A_MILLI: u64 = 600;
    let run = |packets: u64| -> Result<(Duration, u64), BenchError> {
        let before = joined.arrived()?;
        let mut command = trafgen(joined, &["--num", &packets.to_string()])?;
        let began = Instant::now();
        tools::run("send at full speed", &mut command)?;
        Ok((began.elapsed(), joined.arrived()? - before))
    };
    let (short, few) = run(FEW)?;
    let (long, many) = run(FEW + A_MILLI * millis)?;
    Ok(Seen {
        arrived: many.saturating_sub(few),
        said: A_MILLI * millis,
        time: long.saturating_sub(short).max(Duration::from_millis(1)),
    })
}

/// A call of trafgen that sends the same frame as vifbench does.
pub fn trafgen(joined: &JoinedNamespaces, arguments: &[&str]) -> Result<Command, BenchError> {
    let plan = plan(Arrivals::Saturate { cap: None }, SendBy::Pnet)?;
    let mut template = Template::new(&plan.flows[0], SIZE as u32)
        .map_err(|error| BenchError::Generator(error.into()))?;
    template.number(0);
    let frame: Vec<String> = template
        .stamp(0)
        .iter()
        .map(|byte| format!("{byte:#04x}"))
        .collect();
    let mut command = joined.command(End::Tx, "trafgen");
    command
        .args(["--dev", interface(End::Tx), "--cpus", "1"])
        .args(arguments)
        .arg(format!("{{ {} }}", frame.join(", ")));
    Ok(command)
}
