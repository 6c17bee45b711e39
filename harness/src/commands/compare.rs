//! `vifbench compare A B`: two runs, or two variants of any runs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::json;
use vifbench_reports::analyze_run;
use vifbench_reports::compare::{Comparison, Meaning};
use vifbench_reports::cross::{Side, across, differences};
use vifbench_reports::summary::RunSummary;
use vifbench_reports::trial_summary::TrialSummary;
use vifbench_reports::verdict::Verdict;
use vifbench_scenarios::progress::Progress;
use vifbench_store::{RunReader, RunRecord};

use super::report;
use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::{OutputError, stdout};

/// A run that was named, and perhaps one of its variants.
struct Named {
    run: RunReader,
    summary: RunSummary,
    record: RunRecord,
    variant: Option<String>,
}

/// Carries out the command.
pub fn run(
    a: &OsStr,
    b: &OsStr,
    although_different: bool,
    format: Format,
    progress: &dyn Progress,
) -> Result<Exit, Failure> {
    let (a, b) = (read(a, progress)?, read(b, progress)?);
    let pairs = pairs(&a, &b)?;
    // The noise that the base was judged under.
    let noise = a.run.read_noise()?;
    let mut notes: Vec<String> = Vec::new();
    let mut comparisons: Vec<Comparison> = Vec::new();
    for (x, y) in &pairs {
        let (x, y) = (side(&a, x), side(&b, y));
        for note in differences(&x, &y) {
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        comparisons.extend(across(&x, &y, &noise).unwrap_or_default());
    }
    if !notes.is_empty() && !although_different {
        return Err(Failure::Usage(format!(
            "the two are not the same question: {}; what differs between them may come from that. Compare them all the \
             same with `--although-different`",
            notes.join("; ")
        )));
    }
    let failed: Vec<Failed> = [&a, &b].into_iter().filter_map(Failed::of).collect();
    let judged = || comparisons.iter().filter(|c| c.judged);
    let exit = if let Some(exit) = Failed::exit(&failed) {
        // What is left of a failed run shows, and decides nothing.
        exit
    } else if judged().any(|c| c.meaning == Meaning::Worse) {
        Exit::Regression
    } else if !notes.is_empty() || comparisons.is_empty() || judged().any(Comparison::is_open) {
        // A difference between two measurement setups shows, and decides nothing.
        Exit::Inconclusive
    } else {
        Exit::Pass
    };
    match format {
        Format::Json => stdout().json(&json!({
            "failed": failed.iter().map(|f| &f.sentence).collect::<Vec<_>>(),
            "differences": notes,
            "comparisons": comparisons,
            "exit_code": exit.code(),
        }))?,
        Format::Text => print(&failed, &notes, &comparisons)?,
    }
    Ok(exit)
}

/// A run that failed as a whole, whatever some of its trials measured.
struct Failed {
    verdict: Verdict,
    sentence: String,
}

impl Failed {
    /// None where the run was carried out.
    fn of(named: &Named) -> Option<Self> {
        let summary = &named.summary;
        let judgement = &summary.judgement;
        let failed = matches!(
            judgement.verdict,
            Verdict::Infra | Verdict::Setup | Verdict::DutCrash
        );
        failed.then(|| {
            let complete = |t: &&TrialSummary| t.state.is_complete();
            Self {
                verdict: judgement.verdict,
                sentence: format!(
                    "the run {} is {}: {} of its {} trials are complete; {}",
                    summary.run,
                    judgement.verdict,
                    summary.trials.iter().filter(complete).count(),
                    summary.trials.len(),
                    judgement.reason
                ),
            }
        })
    }

    /// The exit code of the gravest failure.
    fn exit(failed: &[Self]) -> Option<Exit> {
        Verdict::ALL
            .into_iter()
            .find(|verdict| failed.iter().any(|f| f.verdict == *verdict))
            .map(report::exit)
    }
}

/// The folder of `folder:variant`, which need not be UTF-8, and the variant.
fn split(named: &OsStr) -> Option<(&Path, &str)> {
    let bytes = named.as_bytes();
    let colon = bytes.iter().rposition(|byte| *byte == b':')?;
    let variant = std::str::from_utf8(&bytes[colon + 1..]).ok()?;
    Some((Path::new(OsStr::from_bytes(&bytes[..colon])), variant))
}

fn read(named: &OsStr, progress: &dyn Progress) -> Result<Named, Failure> {
    // A folder's own name may hold a colon.
    let (path, variant) = match split(named) {
        Some((path, variant)) if !Path::new(named).exists() => (path, Some(variant.to_owned())),
        _ => (Path::new(named), None),
    };
    let run = RunReader::new(path);
    let record = run.read_run()?;
    if let Some(variant) = &variant
        && !record.scenario.variants.iter().any(|v| v.name == *variant)
    {
        let known: Vec<&str> = record
            .scenario
            .variants
            .iter()
            .map(|v| v.name.as_str())
            .collect();
        return Err(Failure::Usage(format!(
            "the run {} has no variant `{variant}`; it has {}",
            record.run,
            known.join(", ")
        )));
    }
    Ok(Named {
        run,
        summary: analyze_run(path, progress)?,
        record,
        variant,
    })
}

/// Which variant is held against which.
fn pairs(a: &Named, b: &Named) -> Result<Vec<(String, String)>, Failure> {
    match (&a.variant, &b.variant) {
        (Some(x), Some(y)) => Ok(vec![(x.clone(), y.clone())]),
        (Some(x), None) | (None, Some(x)) => Ok(vec![(x.clone(), x.clone())]),
        (None, None) => {
            let names = |n: &Named| -> Vec<String> {
                n.record
                    .scenario
                    .variants
                    .iter()
                    .map(|v| v.name.clone())
                    .collect()
            };
            let theirs = names(b);
            let common: Vec<_> = names(a)
                .into_iter()
                .filter(|v| theirs.contains(v))
                .map(|v| (v.clone(), v))
                .collect();
            if common.is_empty() {
                return Err(Failure::Usage(format!(
                    "the runs {} and {} have no variant in common; name one of each, as in RUN:variant",
                    a.record.run, b.record.run
                )));
            }
            Ok(common)
        }
    }
}

fn side<'a>(named: &'a Named, variant: &'a str) -> Side<'a> {
    Side {
        record: &named.record,
        summary: &named.summary,
        variant,
    }
}

fn print(
    failed: &[Failed],
    notes: &[String],
    comparisons: &[Comparison],
) -> Result<(), OutputError> {
    for run in failed {
        writeln!(stdout(), "NOT A WHOLE RUN: {}", run.sentence)?;
    }
    for note in notes {
        writeln!(stdout(), "DIFFERENT RULERS OR QUESTIONS: {note}")?;
    }
    let judged = comparisons.iter().any(|c| c.judged);
    if !judged && !comparisons.is_empty() {
        writeln!(
            stdout(),
            "nothing is judged: the first run asks for completeness only (`judge: {{by: completeness}}`). The differences are:"
        )?;
    }
    let mut heading = None;
    for c in comparisons.iter().filter(|c| c.judged || !judged) {
        let this = (&c.base, &c.other, c.rate, &c.to);
        if heading != Some(this) {
            let rate = c.rate.map(|r| format!(" at {r}")).unwrap_or_default();
            writeln!(
                stdout(),
                "\n{} against {}{rate}, to {}:",
                c.other,
                c.base,
                c.to
            )?;
            heading = Some(this);
        }
        let mark = match c.meaning {
            Meaning::Worse => "!",
            Meaning::Better => "*",
            Meaning::Neither if c.is_open() => "?",
            Meaning::Neither => "=",
        };
        writeln!(stdout(), "  {mark} {}", c.sentence)?;
    }
    if comparisons.is_empty() {
        writeln!(
            stdout(),
            "nothing to compare: the two have no measured point in common"
        )?;
    }
    Ok(())
}
