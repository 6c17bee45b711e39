//! `vifbench trust`: false alarms and power, by simulation on recorded noise.

use std::collections::BTreeMap;

use serde::Serialize;
use vifbench_reports::analyze_run;
use vifbench_reports::compare::learn::{is_twin, learn as learn_noise, least_percent};
use vifbench_reports::stats::simulate::{
    ENOUGH, Needed, Nights, Number, Trust, assumed, needed, simulate,
};
use vifbench_scenarios::judge::{Extend, Judge};
use vifbench_scenarios::progress::Progress;
use vifbench_scenarios::units::Span;
use vifbench_store::files::write_json;
use vifbench_store::{Noise, RunReader};

use crate::cli::{Format, TrustArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stdout};

/// The noise of a lab whose trials are armed over SSH, as hardware's are, by metric: `docs/trust.md` says of which runs. A
/// sealed lab has none.
const RECORDED: &str = include_str!("../../noise-armed-over-ssh.json");
/// The numbers of that file that are judged when a scenario says nothing else.
const JUDGED: [&str; 5] = [
    "delay_p50",
    "delay_p99",
    "abs_ipdv_mean",
    "pdv_p99",
    "dom0_cpu_per_packet",
];
/// Rows of numbers of a usual run: two flows and all of them.
const ROWS: usize = 3;

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer {
    noise: String,
    looks: Vec<u32>,
    numbers: usize,
    learned: Option<Noise>,
    /// Length of the trials that the noise is of.
    recorded: Option<Span>,
    trust: Trust,
    needed: Vec<Needed>,
}

/// Carries out the command.
pub fn run(args: &TrustArgs, format: Format, progress: &dyn Progress) -> Result<Exit, Failure> {
    if args.nights == 0 || args.blocks == 0 {
        return Err(Failure::Usage(
            "at least one night and one block are needed to count anything".to_owned(),
        ));
    }
    let Source {
        numbers,
        noise,
        learned,
        recorded,
    } = if args.runs.is_empty() {
        recorded()?
    } else {
        learn(args, progress)?
    };
    let judge = Judge {
        extend: args.extend_to.map(|to| Extend {
            to,
            within: Span::from_secs(0),
        }),
        ..Judge::default()
    };
    let nights = Nights {
        nights: args.nights,
        numbers,
        looks: judge.looks(args.blocks),
        seed: 1,
    };
    let task = progress.start("nights", None);
    task.message(&format!("simulating {}", args.nights));
    let trust = simulate(&nights, args.shift);
    let needed = if args.needed {
        task.message("trying longer trials and more blocks");
        // Half a percent of the nights decides nothing here.
        let fewer = Nights {
            nights: nights.nights.min(NEEDED_NIGHTS),
            ..nights.clone()
        };
        needed(&fewer, args.shift, &NEEDED_BLOCKS)
    } else {
        Vec::new()
    };
    task.finish("simulated");
    if let (Some(path), Some(noise)) = (&args.learn, &learned) {
        write_json(path, noise)?;
    }
    let answer = Answer {
        noise,
        looks: nights.looks,
        numbers: nights.numbers.len(),
        learned,
        recorded,
        trust,
        needed,
    };
    match format {
        Format::Json => stdout().json(&answer)?,
        Format::Text => print(&answer)?,
    }
    Ok(Exit::Pass)
}

/// Noise to be simulated.
struct Source {
    numbers: Vec<Number>,
    /// Of what it is, for a person.
    noise: String,
    learned: Option<Noise>,
    recorded: Option<Span>,
}

/// Nights a length of trials.
const NEEDED_NIGHTS: u32 = 200;
/// Numbers of blocks for which lengths are told.
const NEEDED_BLOCKS: [u32; 5] = [6, 8, 12, 16, 24];

fn recorded() -> Result<Source, Failure> {
    let noise: Noise = serde_json::from_str(RECORDED)
        .map_err(|error| Failure::Internal(format!("the recorded noise is damaged: {error}")))?;
    let judged: Vec<_> = noise
        .metrics
        .iter()
        .filter(|(metric, _)| JUDGED.contains(&metric.as_str()))
        .flat_map(|of| [of; ROWS])
        .collect();
    let deviations: Vec<f64> = judged.iter().map(|(_, f)| f.deviation_percent).collect();
    let numbers = judged
        .iter()
        .zip(assumed(&deviations, 500, 1))
        .map(|((metric, floor), noise)| Number {
            metric: (*metric).clone(),
            noise,
            least_percent: floor.least_percent,
        })
        .collect();
    let source = "as wide as in a virtual lab that was armed over SSH (docs/trust.md)".to_owned();
    Ok(Source {
        numbers,
        recorded: noise.duration,
        noise: source,
        learned: None,
    })
}

/// Differences of twins, block by block, with what the numbers of a block have in common.
fn learn(args: &TrustArgs, progress: &dyn Progress) -> Result<Source, Failure> {
    let mut runs = Vec::new();
    for path in &args.runs {
        let summary = analyze_run(path, progress)?;
        let record = RunReader::new(path).read_run()?;
        runs.push((summary, record));
    }
    let all: Vec<_> = runs
        .iter()
        .map(|(s, r)| (s.run.clone(), &r.scenario, s.comparisons.as_slice()))
        .collect();
    let learned = learn_noise(&all);
    let mut numbers: BTreeMap<String, Number> = BTreeMap::new();
    for (summary, record) in &runs {
        let twins = summary
            .comparisons
            .iter()
            .filter(|c| c.judged && is_twin(&record.scenario, &c.other));
        // What is zero on both sides, such as losses where nothing is lost, cannot raise an alarm.
        for c in twins.filter(|c| c.pairs.iter().all(|p| p.base != 0.0)) {
            let key = format!("{} {:?} {:?}", c.metric, c.rate, c.flow);
            let number = numbers.entry(key).or_insert_with(|| Number {
                metric: c.metric.clone(),
                noise: Vec::new(),
                least_percent: 0.0,
            });
            let percents = c.pairs.iter().map(|p| p.difference / p.base * 100.0);
            number.noise.extend(percents);
            let least = least_percent(c).unwrap_or_default();
            number.least_percent = number.least_percent.max(least);
        }
    }
    let differs = |number: &Number| number.noise.iter().any(|v| *v != 0.0);
    let exact = !numbers.values().any(differs);
    if !exact {
        // What never differs, such as the throughput of a constant rate, cannot raise an alarm.
        numbers.retain(|_, number| differs(number));
    }
    if numbers.is_empty() {
        return Err(Failure::Usage(
            "none of the runs has two variants that are the same but for their name; `vifbench run aa` makes one"
                .to_owned(),
        ));
    }
    let source = format!(
        "{} of {} runs",
        if exact {
            "none: twins were equal in all blocks"
        } else {
            "blocks"
        },
        learned.runs.len()
    );
    Ok(Source {
        numbers: numbers.into_values().collect(),
        noise: source,
        recorded: learned.duration,
        learned: Some(learned),
    })
}

fn print(answer: &Answer) -> Result<(), OutputError> {
    let t = &answer.trust;
    let share = |n: u32| f64::from(n) / f64::from(t.nights) * 100.0;
    let looks: Vec<String> = answer.looks.iter().map(u32::to_string).collect();
    writeln!(stdout(), "noise: {}", answer.noise)?;
    writeln!(
        stdout(),
        "{} nights of {} judged numbers, looked at after {} blocks",
        t.nights,
        answer.numbers,
        looks.join(", ")
    )?;
    writeln!(
        stdout(),
        "false alarms: {} of {} nights ({:.1} %), {} ({:.1} %) by significance alone",
        t.false_alarms,
        t.nights,
        share(t.false_alarms),
        t.false_alarms_by_significance,
        share(t.false_alarms_by_significance)
    )?;
    writeln!(stdout(), "a true shift of {} % is found:", t.shift_percent)?;
    for power in &t.power {
        writeln!(
            stdout(),
            "  {:<22}in {:>5.1} % of nights, after {:.1} blocks (noise of a block {:.2} %, counts above {:.2} %)",
            power.metric,
            share(power.found),
            power.mean_blocks,
            power.deviation_percent,
            power.least_percent
        )?;
    }
    writeln!(
        stdout(),
        "95 % intervals hold the truth in {:.1} %",
        t.coverage * 100.0
    )?;
    print_needed(answer)?;
    if let Some(noise) = &answer.learned {
        for (metric, floor) in &noise.metrics {
            writeln!(
                stdout(),
                "  {metric}: a block differs by {:.3} % (root mean square), 95 % of the means by at most {:.3} %",
                floor.deviation_percent,
                floor.percent
            )?;
        }
    }
    Ok(())
}

/// A line a metric, a column a number of blocks.
fn print_needed(answer: &Answer) -> Result<(), OutputError> {
    if answer.needed.is_empty() {
        return Ok(());
    }
    writeln!(
        stdout(),
        "trials must be so long to find it in {:.0} % of nights, if noise falls with the square root of the length:",
        ENOUGH * 100.0
    )?;
    let blocks: Vec<String> = NEEDED_BLOCKS.iter().map(|b| format!("{b:>8}")).collect();
    writeln!(stdout(), "  {:<22}{}  blocks", "", blocks.join(" "))?;
    for of_metric in answer
        .needed
        .iter()
        .filter(|n| n.blocks == NEEDED_BLOCKS[0])
    {
        let cells: Vec<String> = answer
            .needed
            .iter()
            .filter(|n| n.metric == of_metric.metric)
            .map(|n| {
                let text = match (n.times, answer.recorded) {
                    (None, _) => "more".to_owned(),
                    (Some(times), Some(length)) => {
                        Span::from_nanos(length.nanos() * u64::from(times)).to_string()
                    }
                    (Some(times), None) => format!("x{times}"),
                };
                format!("{text:>8}")
            })
            .collect();
        writeln!(stdout(), "  {:<22}{}", of_metric.metric, cells.join(" "))?;
    }
    Ok(())
}
