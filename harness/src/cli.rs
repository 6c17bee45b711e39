//! The command line: what can be said. What it does is in `commands`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::run::repeat::Repeat;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand, ValueEnum};
use vifbench_provisioning::lab::{Combination, LabError};
use vifbench_scenarios::units::Span;

/// How results are printed on stdout. Progress goes to stderr either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Benchmarks Xen's network path with real hosts in the loop: what does a netback or netfront patch do to
/// delay, jitter, throughput and CPU, on which traffic, and how sure is that?
#[derive(Debug, Parser)]
#[command(name = "vifbench", version, after_help = crate::exit::TABLE, after_long_help = format!("{EXAMPLES}\n\n{}", crate::exit::TABLE))]
pub struct Cli {
    /// How results are printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// End as by Ctrl-C when this process, which started this one, is gone.
    #[arg(long, global = true, hide = true, value_name = "PID")]
    pub ends_with: Option<i32>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  vifbench doctor                         what is missing on this machine
  vifbench lab up                         boot (or restore) the virtual Xen lab
  vifbench lab ssh dom0                   a shell in it
  vifbench run quickstart                 stock against shadow accounting
  vifbench simulate paper-theory          what the model says of a scenario
  vifbench matrix quickstart              the same on other kernels and hypervisors
  vifbench report results/RUN             make the report again
  vifbench trust                          how often is a verdict wrong?
  vifbench compare results/A results/B    two nights against each other
  vifbench history                        all nights, and where something changed
  vifbench bench                          the ruler itself, beside public tools
  vifbench undo dom0                      restore a host after a killed run";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is missing here and on the hosts, each with the command that mends it.
    #[command(after_help = "Example: vifbench doctor --lab lab.yaml")]
    Doctor {
        /// Also check the hosts of this lab.
        #[arg(long, value_name = "LAB.yaml")]
        lab: Option<PathBuf>,
    },
    /// The virtual lab: a real Xen host with three guests under QEMU, in virtual time.
    #[command(
        after_help = "Examples:\n  vifbench lab up && vifbench lab ssh u1\n  vifbench lab --kernel 6.12 --xen 4.20 up"
    )]
    Lab {
        /// What it does.
        #[command(subcommand)]
        command: LabCommand,
        /// Which of the labs.
        #[command(flatten)]
        versions: VersionArgs,
    },
    /// Scenarios: list the library, show or check one.
    #[command(
        subcommand,
        after_help = "Example: vifbench scenario validate my.yaml --lab lab.yaml"
    )]
    Scenario(ScenarioCommand),
    /// Run a scenario and write its report.
    #[command(
        after_help = "Examples:\n  vifbench run quickstart\n  vifbench run my.yaml --lab lab.yaml --blocks 10 --seed 7\n  vifbench run quickstart --kernel 6.12 --xen 4.20"
    )]
    Run(RunArgs),
    /// A scenario over kernels and hypervisors: one table and one figure of all of them.
    #[command(
        after_help = "Examples:\n  vifbench matrix quickstart                              every kernel on every Xen\n  vifbench matrix aggregation --kernel 6.1 --kernel 6.12 --xen 4.17 --seeds 10 --jobs 2\nSee docs/matrix.md."
    )]
    Matrix(MatrixArgs),
    /// Ask the model instead of a lab: the same scenarios and reports, marked as simulated.
    #[command(
        after_help = "Examples:\n  vifbench simulate paper-theory\n  vifbench simulate bursts --pareto\n  vifbench simulate my.yaml --seed 7 --format json --no-report"
    )]
    Simulate(SimulateArgs),
    /// Go on with a run that was killed; finished trials are kept.
    #[command(after_help = "Example: vifbench resume results/20261123-101500-quickstart")]
    Resume {
        /// The run's folder.
        run: PathBuf,
    },
    /// Several runs by priority until a deadline, with a summary for mail or chat.
    #[command(
        after_help = "Example: vifbench nightly night.yaml --out /srv/vifbench\nA systemd service and timer: provisioning/systemd/"
    )]
    Nightly {
        /// The night file.
        night: PathBuf,
        /// Where runs are kept.
        #[arg(long, default_value = "results")]
        out: PathBuf,
    },
    /// Make a run's report again from its data.
    #[command(after_help = "Example: vifbench report results/20261123-101500-quickstart")]
    Report {
        /// The run's folder.
        run: PathBuf,
        /// Known regressions, with reasons and days of expiry; kept with the run.
        #[arg(long, value_name = "FILE.yaml")]
        acknowledged: Option<PathBuf>,
    },
    /// Hold two runs, or two variants of any runs, against each other.
    #[command(
        after_help = "Examples:\n  vifbench compare results/A results/B             every variant that both have\n  vifbench compare results/A:stock results/B:shadow"
    )]
    Compare {
        /// The base: a run's folder, or folder:variant.
        a: OsString,
        /// What is held against it.
        b: OsString,
        /// Compare although rulers, labs or traffic differ; every line then says so.
        #[arg(long)]
        although_different: bool,
    },
    /// Find the patch of a series, or the release of a kernel, that moved a number, by sealed trials: exact, so one a step is enough.
    #[command(
        after_help = "Examples:\n  vifbench bisect --metric dom0_cpu_per_packet\n  vifbench bisect my-patches --metric delay_p50 --scenario small.yaml --every\n  vifbench bisect my-patches --metric dom0_cpu_per_packet --draws 6             is it more than an accident of layout?\n  vifbench bisect --releases 6.1 --from 6.1.0-50 --metric dom0_cpu_per_packet    the packaged drivers of Debian's kernels"
    )]
    Bisect(BisectArgs),
    /// What all runs of a folder measured over time, and where it changed.
    #[command(
        after_help = "Example: vifbench history --out results --otava otava/ && cd otava && otava analyze --config otava.yaml"
    )]
    History {
        /// Where runs are kept.
        #[arg(long, default_value = "results")]
        out: PathBuf,
        /// Only series whose title contains this.
        #[arg(long)]
        only: Option<String>,
        /// Write CSV files and a configuration for Apache Otava into this folder.
        #[arg(long, value_name = "DIR")]
        otava: Option<PathBuf>,
        /// Write `history/index.html` beside the runs: all nights with sparklines and changes. A night does so by itself.
        #[arg(long)]
        page: bool,
    },
    /// How far verdicts can be trusted: false alarms over simulated nights, and the shifts that are found.
    #[command(
        after_help = "Examples:\n  vifbench trust\n  vifbench trust results/*-aa --learn results/noise.json"
    )]
    Trust(TrustArgs),
    /// Teach the model of what instructions cost by a hardware run: times of counted runs are then told with it.
    #[command(
        after_help = "Examples:\n  vifbench calibrate results/HARDWARE results/LAB                            what it would teach\n  vifbench calibrate results/HARDWARE results/LAB --keep results/cost-model.json\nBoth are runs of one scenario; the lab's with `vifbench run --instructions`. See docs/instructions.md."
    )]
    Calibrate {
        /// A run on hardware, with CPU times of its domains.
        hardware: PathBuf,
        /// A run in the virtual lab whose instructions were counted.
        lab: PathBuf,
        /// Keep the model in this file: runs that start beside it are told with it.
        #[arg(long, value_name = "FILE")]
        keep: Option<PathBuf>,
    },
    /// Delay, jitter, loss and more between any two captures, also of traffic that vifbench did not make.
    #[command(
        after_help = "Examples:\n  vifbench analyze --tx tx.pcap.zst --rx rx-u1.pcap.zst --format json\n  vifbench analyze --tx both.pcapng --rx both.pcapng --tx-interface eth0 --rx-interface vif1.0"
    )]
    Analyze {
        /// Capture at the sender: pcap or pcapng, plain, under gzip or under zstd; a file, a pipe, or `-` for standard input.
        #[arg(long)]
        tx: PathBuf,
        /// Capture at the receiver. The same file as --tx means one clock.
        #[arg(long)]
        rx: PathBuf,
        /// How far the two clocks may lie apart, as `2 us` (`0 ns` for one clock). Without it, and without traffic in
        /// both directions, no delay is claimed, only its variation.
        #[arg(long, value_name = "SPAN")]
        clock_bound: Option<Span>,
        /// Only this interface of the first capture: its name, or its number. That is the index that the capturing host
        /// gave it where packets carry one (`tcpdump -i any`), else it counts the interfaces of the file from 0.
        #[arg(long, value_name = "NAME")]
        tx_interface: Option<String>,
        /// Only this interface of the second capture.
        #[arg(long, value_name = "NAME")]
        rx_interface: Option<String>,
        /// Constant memory for captures of any size; quantiles are then within 1/2048.
        #[arg(long)]
        streaming: bool,
        /// A packet that takes longer counts as lost; with --streaming 1 s unless given, else there is no limit.
        #[arg(long, value_name = "SPAN")]
        longest: Option<Span>,
        /// Identify packets in tunnels (VXLAN, Geneve, GRE, IP in IP) by the packet they carry, also where the captures cut
        /// off many inner headers: those are then left out.
        #[arg(long)]
        decapsulate: bool,
    },
    /// Measure the ruler itself on this machine, beside public tools: how fast it is, and how true.
    ///
    /// Sends and captures in network namespaces that it makes and removes; needs root. Nothing else should run meanwhile.
    #[command(
        after_help = "Examples:\n  vifbench bench                             all parts, some minutes\n  vifbench bench clocks analysis --json\n  vifbench bench capture --quick"
    )]
    Bench(BenchArgs),
    /// The kernel patches: list, check, build.
    #[command(
        subcommand,
        after_help = "Example: vifbench patches check --kernel 6.1"
    )]
    Patches(PatchesCommand),
    /// Restore a host from its undo stack, also after the controller was killed.
    #[command(after_help = "Example: vifbench undo dom0")]
    Undo {
        /// The host's name in the lab file.
        host: String,
        /// The lab file; the running virtual lab without it.
        #[arg(long, value_name = "LAB.yaml")]
        lab: Option<PathBuf>,
    },
    /// Print the lab-file lines for a host: its key and identity, to be checked by you.
    #[command(after_help = "Example: vifbench enrol 198.18.0.2")]
    Enrol {
        /// Address, or address:port.
        address: String,
        /// Look for it inside this network namespace.
        #[arg(long)]
        netns: Option<String>,
    },
    /// Print the man page of vifbench, or of one of its commands; or write all of them to a folder.
    #[command(
        after_help = "Examples:\n  vifbench man | man -l -\n  vifbench man lab verify | man -l -\n  vifbench man --out man1/"
    )]
    Man {
        /// The command, as it is typed: `scenario`, `lab verify`. Without it, vifbench as a whole.
        command: Vec<String>,
        /// Write the page of every command to this folder instead, which is created.
        #[arg(long, conflicts_with = "command")]
        out: Option<PathBuf>,
    },
    /// Print completions for a shell.
    #[command(after_help = "Example: vifbench completions bash > /etc/bash_completion.d/vifbench")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// What `vifbench bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Captures under full load: losses and CPU time, beside tcpdump and dumpcap.
    Capture,
    /// How often the bound of a clock estimate holds, over random worlds.
    Clocks,
    /// Speed and memory of `analyze`, beside tshark.
    Analysis,
    /// The same packets counted by iperf3, tshark and capinfos.
    Agreement,
    /// Packets a second of each sender on one core, beside trafgen.
    Senders,
    /// How close to its time each packet of a constant rate leaves, beside trafgen and iperf3.
    Pacing,
}

impl Part {
    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Clocks => "clocks",
            Self::Analysis => "analysis",
            Self::Agreement => "agreement",
            Self::Senders => "senders",
            Self::Pacing => "pacing",
        }
    }
}

/// `vifbench bench ...`
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// What to measure; everything without any.
    #[arg(value_enum)]
    pub parts: Vec<Part>,
    /// A tenth of the packets and worlds: rougher numbers, sooner.
    #[arg(long)]
    pub quick: bool,
    /// The same as `--format json`.
    #[arg(long)]
    pub json: bool,
    /// Keep the captures that were made in this folder.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// A line of kernels, or a release of one; a shell completes the lines.
#[derive(Debug, Clone, Copy)]
struct Kernel;

impl TypedValueParser for Kernel {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let known = |asked: &str| -> Result<String, LabError> {
            Combination::new(Some(asked), None)?;
            Ok(asked.to_owned())
        };
        TypedValueParser::parse_ref(&known, command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(
            Combination::kernels().into_iter().map(PossibleValue::new),
        ))
    }
}

/// Of which Debian suites the virtual lab is made: another combination is another lab, which stands beside the usual one.
#[derive(Debug, Clone, clap::Args)]
pub struct VersionArgs {
    /// The virtual lab's kernel, in dom0 and all guests: a line (6.1, 6.12, 7.3; its newest release), or a release, as 6.1.0-50;
    /// 6.1 without it.
    #[arg(long, value_name = "LINE|RELEASE", global = true, value_parser = Kernel)]
    pub kernel: Option<String>,
    /// The virtual lab's hypervisor; 4.17 without it.
    #[arg(long, value_name = "VERSION", global = true, value_parser = PossibleValuesParser::new(Combination::xens()))]
    pub xen: Option<String>,
}

/// `vifbench matrix ...`
#[derive(Debug, clap::Args)]
pub struct MatrixArgs {
    /// Library name or file of a sealed scenario.
    pub scenario: String,
    /// Only these kernels; all that there are without any.
    #[arg(long, value_name = "LINE", value_parser = PossibleValuesParser::new(Combination::kernels()))]
    pub kernel: Vec<String>,
    /// Only these hypervisors.
    #[arg(long, value_name = "VERSION", value_parser = PossibleValuesParser::new(Combination::xens()))]
    pub xen: Vec<String>,
    /// Only these variants of the scenario.
    #[arg(long, value_name = "NAME")]
    pub variant: Vec<String>,
    /// The matrix is kept in a folder of this one.
    #[arg(long, default_value = "results")]
    pub out: PathBuf,
    /// Orders the blocks and spaces the packets, the same for every combination.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// So many blocks, each with packets of its own, instead of the scenario's `blocks`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: Option<u32>,
    /// So many combinations at a time, each in a lab of its own, which keeps a processor busy and takes 3 GiB; at most as many
    /// as there are processors.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub jobs: u32,
}

/// `vifbench lab ...`
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Boot it, or restore its snapshot.
    Up {
        /// Ignore snapshots and boot from power-on.
        #[arg(long)]
        cold: bool,
        /// Boot these images, as `provisioning/images/build.sh` makes them, rather than this version's own.
        #[arg(long, value_name = "DIR")]
        images: Option<PathBuf>,
        /// Let the machine run while no command uses it, for programs other than vifbench. It keeps a processor busy.
        #[arg(long)]
        awake: bool,
    },
    /// Stop it and remove its network.
    Down,
    /// Is it up, and where?
    Status,
    /// A shell in one of its machines, or a command there.
    Ssh {
        /// dom0, u1, u2 or gen.
        host: String,
        /// A command instead of a shell.
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// What a machine wrote on its console.
    Console {
        /// dom0, u1, u2 or gen.
        host: String,
        /// Only the last lines.
        #[arg(long, default_value_t = 50)]
        lines: usize,
    },
    /// Prove on this machine that sealed trials are exact: run each again and again under different loads.
    Verify(VerifyArgs),
}

/// `vifbench bisect ...`
#[derive(Debug, clap::Args)]
pub struct BisectArgs {
    /// A folder with `linux-VERSION/series` below it; vifbench's own patches without it.
    pub series: Option<PathBuf>,
    /// The number that moved, by its name in `judge: matters:`, as `dom0_cpu_per_packet` or `delay_p50`.
    #[arg(long)]
    pub metric: String,
    /// Rather than patches: Debian's releases of this line of kernels, each in a virtual lab of its own, which is made the first
    /// time (minutes). Takes the scenario's first variant without patches.
    #[arg(long, value_name = "LINE", conflicts_with = "series", value_parser = PossibleValuesParser::new(Combination::kernels()))]
    pub releases: Option<String>,
    /// The oldest of these releases, as 6.1.0-50; the oldest that Debian has without it.
    #[arg(long, value_name = "RELEASE", requires = "releases")]
    pub from: Option<String>,
    /// The newest of these releases.
    #[arg(long, value_name = "RELEASE", requires = "releases")]
    pub to: Option<String>,
    /// The hypervisor below these releases; 4.17 without it.
    #[arg(long, value_name = "VERSION", requires = "releases", value_parser = PossibleValuesParser::new(Combination::xens()))]
    pub xen: Option<String>,
    /// Library name or file of a sealed scenario without a sweep; its traffic is played.
    #[arg(long, default_value = "quickstart")]
    pub scenario: String,
    /// Measure every step instead of searching: also shows steps that cancel each other.
    #[arg(long)]
    pub every: bool,
    /// Measure the step that was found, and the one before it, in so many other draws, each with packets and a layout of the
    /// virtual lab's memory of its own (a minute or two each). Tells the difference, its interval and its chance: of less than 0.05
    /// from six draws on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..i64::from(vifbench_scenarios::scenario::LAYOUTS)))]
    pub draws: Option<u32>,
    /// Where the run is kept.
    #[arg(long, default_value = "results")]
    pub out: PathBuf,
    /// Spaces the packets.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl BisectArgs {
    /// Blocks of a step that is measured in every draw: the first one finds the step, the others are `draws`.
    pub fn blocks(&self) -> u32 {
        1 + self.draws.unwrap_or(0)
    }
}

/// `vifbench lab verify ...`
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// Library name or file of a sealed scenario; its first block is run.
    #[arg(default_value = "quickstart")]
    pub scenario: String,
    /// Every sealed scenario of the library instead; the others are named, with the reason.
    #[arg(long, conflicts_with = "scenario")]
    pub library: bool,
    /// At most so many trials of each scenario, spread over its first block.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub trials: Option<u32>,
    /// How often each trial is run: while this machine is idle, has one core busy, all cores busy, and so on in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    pub times: u32,
    /// Spaces the packets.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `vifbench scenario ...`
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// The library.
    List,
    /// One scenario's text.
    Show {
        /// Library name or file.
        scenario: String,
    },
    /// Check a scenario, and a lab with it.
    Validate {
        /// Library name or file.
        scenario: String,
        /// Check that the lab has what the scenario names.
        #[arg(long, value_name = "LAB.yaml")]
        lab: Option<PathBuf>,
    },
}

/// `vifbench run ...`
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Library name or file.
    pub scenario: String,
    /// The lab file; the virtual lab without it.
    #[arg(long, value_name = "LAB.yaml")]
    pub lab: Option<PathBuf>,
    /// Which virtual lab, where it is one.
    #[command(flatten)]
    pub versions: VersionArgs,
    /// Only these variants of the scenario.
    #[arg(long, value_name = "NAME")]
    pub variant: Vec<String>,
    /// Where runs are kept.
    #[arg(long, default_value = "results")]
    pub out: PathBuf,
    /// Repeat every variant this often instead of the scenario's `blocks`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: Option<u32>,
    /// Orders the blocks and spaces the packets.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// So many blocks, each with packets, payloads and an arrival phase of its own, the same for every variant of the
    /// block: the spread that one exact answer does not show.
    #[arg(long, conflicts_with = "blocks", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: Option<u32>,
    /// Run the blocks in so many layouts of the virtual lab's memory in turn, instead of the scenario's `layouts`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(vifbench_scenarios::scenario::LAYOUTS)))]
    pub layouts: Option<u32>,
    /// Run sealed trials although their results are known, and compare with these, byte for byte.
    #[arg(long)]
    pub force: bool,
    /// Run every sealed trial twice and compare all packets and counters, byte for byte.
    #[arg(long)]
    pub twice: bool,
    /// Count every instruction of sealed trials, by domain and function, and simulated cache misses. The packets stay the
    /// same to the nanosecond; it takes several times as long.
    #[arg(long)]
    pub instructions: bool,
    /// Leave the virtual lab up, so that the next run need not restore it.
    #[arg(long)]
    pub keep_lab: bool,
}

impl VersionArgs {
    /// What they ask for.
    pub fn combination(&self) -> Result<Combination, LabError> {
        Combination::new(self.kernel.as_deref(), self.xen.as_deref())
    }
}

impl RunArgs {
    /// How often sealed trials are run.
    pub fn repeat(&self) -> Repeat {
        match (self.twice, self.force) {
            (true, _) => Repeat::Twice,
            (false, true) => Repeat::Stored,
            (false, false) => Repeat::Never,
        }
    }
}

/// `vifbench trust ...`
#[derive(Debug, clap::Args)]
pub struct TrustArgs {
    /// Runs in which a variant stands beside itself under another name: their noise is what is simulated. Without any,
    /// the noise that was recorded in the virtual lab.
    pub runs: Vec<PathBuf>,
    /// Keep the noise learned from the runs in this file: runs that start beside it are judged under it.
    #[arg(long, value_name = "noise.json", requires = "runs")]
    pub learn: Option<PathBuf>,
    /// Simulated nights.
    #[arg(long, default_value_t = 1000)]
    pub nights: u32,
    /// Blocks of a night.
    #[arg(long, default_value_t = 8)]
    pub blocks: u32,
    /// Go on up to so many blocks while nothing is decided.
    #[arg(long)]
    pub extend_to: Option<u32>,
    /// The true shift to be found, in percent.
    #[arg(long, default_value_t = 5.0)]
    pub shift: f64,
    /// Say how long trials must be, by number of blocks, to find the shift in 90 % of nights. Takes minutes.
    #[arg(long)]
    pub needed: bool,
}

/// `vifbench simulate ...`
#[derive(Debug, clap::Args)]
pub struct SimulateArgs {
    /// Library name or file.
    pub scenario: String,
    /// Spaces the packets: the same seed sends the same packets as a run in a lab.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Simulate every variant this often, each with other packets, instead of the scenario's `blocks`.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub blocks: Option<u32>,
    /// Also try every regulator with holds from 20 us to 20 ms on this traffic, and show which nothing beats.
    #[arg(long)]
    pub pareto: bool,
    /// Take dom0's work from a run in a lab, instead of the scenario's `service`: fits a cost a transfer and a cost a
    /// packet to the CPU time of its trials.
    #[arg(long, value_name = "RUN")]
    pub fit: Option<PathBuf>,
    /// Write every delivery into this file, as CSV. On one core.
    #[arg(long, value_name = "OUT.csv")]
    pub trace: Option<PathBuf>,
    /// The report goes into a folder of this one.
    #[arg(long, default_value = "results")]
    pub out: PathBuf,
    /// Print the results, and write no report.
    #[arg(long)]
    pub no_report: bool,
}

/// `vifbench patches ...`
#[derive(Debug, Subcommand)]
pub enum PatchesCommand {
    /// The series and their subjects.
    List {
        /// Kernel line.
        #[arg(long, default_value = "6.1")]
        kernel: String,
    },
    /// Apply, check style, and build every step of the series.
    Check {
        /// Kernel line.
        #[arg(long, default_value = "6.1")]
        kernel: String,
    },
    /// Build the modules and print where they lie.
    Build {
        /// Kernel line.
        #[arg(long, default_value = "6.1")]
        kernel: String,
        /// Kernel release; the installed headers' without it.
        #[arg(long)]
        release: Option<String>,
    },
}
