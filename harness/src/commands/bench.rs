//! `vifbench bench`: the ruler itself on the machine at hand, beside public tools: how fast it is, and how true.
//!
//! One file a part. A part measures, and hands back rows ([`answer`]); it prints nothing. To add one: a file here, its
//! name in [`Part`], and an arm in [`measure`]. Traffic runs in network namespaces that the part makes ([`namespaces`]).

mod agreement;
mod analysis_speed;
mod answer;
mod capture_loss;
mod clocks;
mod error;
mod load;
mod namespaces;
mod pacing;
mod senders;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum as _;
use serde_json::json;
use vifbench_probes::counters::ruler;
use vifbench_scenarios::progress::Progress;
use vifbench_wait::Cancel;

use crate::cli::{BenchArgs, Format, Part};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stdout};
use answer::Answer;
pub use error::BenchError;

/// What every part is given.
struct Bench<'a> {
    /// A tenth of everything.
    quick: bool,
    /// For captures; there as long as the command runs.
    folder: &'a Path,
    /// Ctrl-C.
    cancel: &'a Cancel,
}

impl Bench<'_> {
    /// So many packets, worlds or seconds; a tenth where it is to be quick.
    fn amount(&self, full: u32) -> u32 {
        if self.quick { full / 10 } else { full }
    }

    /// Between two steps of a part: has the user had enough?
    fn go_on(&self) -> Result<(), BenchError> {
        if self.cancel.is_cancelled() {
            Err(BenchError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Between two looks at something that is awaited.
    fn pause(&self, time: Duration) -> Result<(), BenchError> {
        self.cancel.wait(time);
        self.go_on()
    }
}

fn measure(part: Part, bench: &Bench<'_>) -> Result<Answer, BenchError> {
    match part {
        Part::Capture => capture_loss::measure(bench),
        Part::Clocks => clocks::measure(bench),
        Part::Analysis => analysis_speed::measure(bench),
        Part::Agreement => agreement::measure(bench),
        Part::Senders => senders::measure(bench),
        Part::Pacing => pacing::measure(bench),
    }
}

/// Carries out the command. A part that fails is told, and the others run.
pub fn run(
    args: &BenchArgs,
    format: Format,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let format = if args.json { Format::Json } else { format };
    let parts = if args.parts.is_empty() {
        Part::value_variants().to_vec()
    } else {
        args.parts.clone()
    };
    let folder = Folder::new(args.keep.as_deref())?;
    let bench = Bench {
        quick: args.quick,
        folder: folder.path(),
        cancel,
    };
    let machine = Machine::read()?;
    if format == Format::Text {
        machine.print()?;
    }
    let mut answers = Vec::new();
    for part in parts {
        let task = progress.start(part.name(), None);
        let answer = match measure(part, &bench) {
            Ok(answer) => answer,
            Err(_) if cancel.is_cancelled() => return Err(Failure::Interrupted),
            Err(error) => Answer::failed(error.to_string()),
        };
        task.finish(if answer.failed.is_some() {
            "failed"
        } else {
            "measured"
        });
        if format == Format::Text {
            answer.print(part)?;
        }
        answers.push((part, answer));
    }
    let failed = answers.iter().any(|(_, answer)| answer.failed.is_some());
    if format == Format::Json {
        let parts: serde_json::Map<String, serde_json::Value> = answers
            .iter()
            .map(|(part, answer)| (part.name().to_owned(), json!(answer)))
            .collect();
        stdout().json(&json!({"machine": machine, "quick": args.quick, "parts": parts}))?;
    }
    Ok(if failed { Exit::Infra } else { Exit::Pass })
}

/// What the numbers were taken on.
#[derive(Debug, serde::Serialize)]
struct Machine {
    vifbench: &'static str,
    cpu: String,
    kernel: String,
    clocksource: String,
    libpcap: String,
    /// Runnable processes over the last minute, before the first part: numbers of a busy machine are worse.
    load: String,
}

impl Machine {
    fn read() -> Result<Self, BenchError> {
        let ruler = ruler::describe(&[])?;
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            vifbench: env!("CARGO_PKG_VERSION"),
            cpu: ruler.cpu,
            kernel: ruler.kernel,
            clocksource: ruler.clocksource,
            libpcap: ruler.libpcap,
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }

    fn print(&self) -> Result<(), OutputError> {
        writeln!(stdout(), "vifbench {} on {}", self.vifbench, self.cpu)?;
        writeln!(
            stdout(),
            "{}, clocksource {}, {}, load {}",
            self.kernel,
            self.clocksource,
            self.libpcap,
            self.load
        )
    }
}

/// Where captures lie: the user's folder, or one that goes with the command.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn new(keep: Option<&Path>) -> Result<Self, Failure> {
        match keep {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(Failure::named("create the folder", path))?;
                Ok(Self::Kept(path.to_owned()))
            }
            None => tempfile::Builder::new()
                .prefix("vifbench-bench-")
                .tempdir()
                .map(Self::Temporary)
                .map_err(Failure::io("create a folder in", &std::env::temp_dir())),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}
