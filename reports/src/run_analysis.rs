//! From a run on disk to its summary: every trial is read, joined, measured and written down.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use vifbench_scenarios::plan::{FlowPlan, TrialPlan};
use vifbench_scenarios::progress::{Progress, Task};
use vifbench_store::{
    AnalysisWriter, Event, InstructionsRecord, Outcome, RunReader, RunRecord, TrialRecord,
};

use crate::compare::{self, Question};
use crate::cost_model::CostModel;
use crate::error::ReportError;
use crate::instructions::{self, VariantInstructions};
use crate::metrics::containers::Histograms;
use crate::metrics::flow::{self, FlowValues};
use crate::metrics::rate::Series;
use crate::metrics::{containers, cpu, transactions};
use crate::packets::{self, CaptureCount};
use crate::ruler;
use crate::search_results::{self, VariantSearch};
use crate::stored_numbers::StoredNumbers;
use crate::summary::{RunSummary, marks};
use crate::tables;
use crate::trial_summary::{TrialState, TrialSummary};
use crate::verdict;

/// A run with everything that a report shows.
#[derive(Debug)]
pub struct Analysis {
    /// `run.json`.
    pub run: RunRecord,
    /// `events.jsonl`.
    pub events: Vec<Event>,
    /// Every planned trial, in the plan's order.
    pub trials: Vec<TrialAnalysis>,
    /// The numbers.
    pub summary: RunSummary,
    /// What instructions cost on a real processor: as hardware taught, or as it is known before that.
    pub cost_model: CostModel,
    /// What a throughput search found; empty where there was none.
    pub search: Vec<VariantSearch>,
}

impl Analysis {
    /// What every variant executed, at every point of the sweep that was counted.
    pub fn instructions(&self) -> Vec<VariantInstructions> {
        let records: Vec<_> = self
            .trials
            .iter()
            .map(|trial| trial.instructions.as_ref())
            .collect();
        instructions::of(&self.summary, &records)
    }
}

/// One planned trial.
#[derive(Debug)]
pub struct TrialAnalysis {
    /// `trial.json`; none when the trial has not finished.
    pub record: Option<TrialRecord>,
    /// Values behind the figures; none unless the trial was measured.
    pub values: Option<TrialValues>,
    /// What every function executed; none unless that was counted.
    pub instructions: Option<InstructionsRecord>,
}

/// Values of one measured trial, for figures.
#[derive(Debug, Clone)]
pub struct TrialValues {
    /// In the order of the plan's flows.
    pub flows: Vec<FlowValues>,
    /// Rates over time.
    pub series: Series,
    /// How full containers were, and how long they were held.
    pub containers: Histograms,
}

/// Reads a run and summarises it. Nothing is written.
///
/// A trial whose files are missing or damaged does not take the others with it: its state in the summary carries
/// the error, and the verdict is `INFRA`.
///
/// # Errors
/// `run.json` cannot be read.
pub fn analyze_run(run_dir: &Path, progress: &dyn Progress) -> Result<RunSummary, ReportError> {
    Ok(analyze(&RunReader::new(run_dir), progress)?.summary)
}

/// [`analyze_run`], with everything that figures and pages need.
///
/// # Errors
/// As [`analyze_run`].
pub fn analyze(run: &RunReader, progress: &dyn Progress) -> Result<Analysis, ReportError> {
    analyze_with(run, None, progress)
}

/// [`analyze`], which also writes `packets/<n>.parquet` and `trials.parquet`.
///
/// # Errors
/// As [`analyze_run`], or a table cannot be written.
pub fn analyze_into(
    run: &RunReader,
    tables: &AnalysisWriter,
    progress: &dyn Progress,
) -> Result<Analysis, ReportError> {
    analyze_with(run, Some(tables), progress)
}

fn analyze_with(
    run: &RunReader,
    tables: Option<&AnalysisWriter>,
    progress: &dyn Progress,
) -> Result<Analysis, ReportError> {
    let record = run.read_run()?;
    let events = run.read_events()?;
    let planned = record.plan.trials.len();
    let task = progress.start("analysis", Some(planned as u64));
    let (trials, summaries) = all_trials(run, &record, tables, task.as_ref())?;
    task.finish(&format!("{planned} trials analysed"));

    let question = Question {
        scenario: &record.scenario,
        noise: &run.read_noise()?,
    };
    let comparisons = compare::compare(question, &summaries);
    let known = run.read_acknowledgements()?;
    let search = search_results::read(run, &record)?;
    let judgement = verdict::judge(&record, &summaries, &comparisons, &search, &known);
    let records: Vec<&TrialRecord> = trials.iter().filter_map(|t| t.record.as_ref()).collect();
    let ruler = ruler::of(&record, &records);
    let mut summary = RunSummary::new(&record, ruler, summaries, comparisons, judgement);
    summary.search.clone_from(&search);
    if let Some(tables) = tables {
        tables::write_trials(tables.trials()?, &summary)?;
    }
    Ok(Analysis {
        run: record,
        events,
        trials,
        summary,
        cost_model: run
            .read_cost_model()?
            .map_or_else(CostModel::default, CostModel::from),
        search,
    })
}

/// Reads and measures all trials of the plan, several at once: each by itself says the same, in whatever order.
fn all_trials(
    run: &RunReader,
    record: &RunRecord,
    tables: Option<&AnalysisWriter>,
    task: &dyn Task,
) -> Result<(Vec<TrialAnalysis>, Vec<TrialSummary>), ReportError> {
    let plans = &record.plan.trials;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let stored = StoredNumbers::of(run);
    let mut found: Vec<Option<(TrialAnalysis, TrialSummary)>> = Vec::new();
    found.resize_with(plans.len(), || None);
    std::thread::scope(|scope| {
        let (send, receive) = channel();
        for _ in 0..workers.min(plans.len()) {
            let (send, next, stored) = (send.clone(), &next, &stored);
            scope.spawn(move || {
                while let Some((index, plan)) = take(plans, next) {
                    // Nobody listens any more after an error.
                    if send
                        .send((index, one_trial(run, record, tables, stored, plan)))
                        .is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(send);
        for (done, (index, trial)) in receive.iter().enumerate() {
            let plan = &plans[index];
            task.message(&format!("trial {} ({})", plan.number, plan.variant.name));
            found[index] = Some(trial?);
            task.set(done as u64 + 1);
        }
        Ok::<(), ReportError>(())
    })?;
    Ok(found.into_iter().flatten().unzip())
}

/// The next of the plans that nobody has taken.
fn take<'p>(plans: &'p [TrialPlan], next: &AtomicUsize) -> Option<(usize, &'p TrialPlan)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, plans.get(index)?))
}

fn one_trial(
    run: &RunReader,
    of: &RunRecord,
    tables: Option<&AnalysisWriter>,
    stored: &StoredNumbers<'_>,
    plan: &TrialPlan,
) -> Result<(TrialAnalysis, TrialSummary), ReportError> {
    let mut summary = TrialSummary::planned(of, plan);
    let record = match run.read_trial(plan.number) {
        Ok(Some(record)) => record,
        Ok(None) => {
            return Ok((
                TrialAnalysis {
                    record: None,
                    values: None,
                    instructions: None,
                },
                summary,
            ));
        }
        Err(error) => {
            summary.state = TrialState::Unreadable {
                reason: error.to_string(),
            };
            return Ok((
                TrialAnalysis {
                    record: None,
                    values: None,
                    instructions: None,
                },
                summary,
            ));
        }
    };
    summary.wall_s = Some(record.wall_s);
    summary.state = TrialState::Done(record.outcome.clone());
    let (mut values, mut instructions) = (None, None);
    if summary.state.is_complete() {
        match run.read_instructions(plan.number) {
            Ok(read) => instructions = read,
            Err(error) => {
                summary.state = TrialState::Unreadable {
                    reason: error.to_string(),
                }
            }
        }
        match packets::read_trial(run, of, &record) {
            Ok(read) => {
                if let Some(tables) = tables {
                    let about = tables::about(&of.run, &marks(of));
                    tables::write_packets(tables.packets(plan.number)?, &read.packets, about)?;
                }
                values = Some(measure(&record, read, &mut summary));
            }
            Err(error) => match stored.trial(&record) {
                Ok(Some(known)) => summary = known,
                _ => {
                    summary.state = TrialState::Unreadable {
                        reason: error.to_string(),
                    }
                }
            },
        }
    }
    Ok((
        TrialAnalysis {
            record: Some(record),
            values,
            instructions,
        },
        summary,
    ))
}

/// Fills the summary of a complete trial.
fn measure(
    record: &TrialRecord,
    read: packets::TrialPackets,
    summary: &mut TrialSummary,
) -> TrialValues {
    let mut warnings = record.warnings.clone();
    warnings.extend(read.warnings.iter().cloned());
    for (host, result) in &read.results {
        warnings.extend(result.warnings.iter().map(|w| format!("{host}: {w}")));
        if let Some(reason) = &result.failed {
            summary.state = TrialState::Done(Outcome::Infra {
                reason: format!("{host}: {reason}"),
            });
        }
    }
    let plans = &record.plan.flows;
    let only = |plan: &FlowPlan| plans.iter().filter(|other| other.to == plan.to).count() == 1;
    let flows: Vec<_> = plans
        .iter()
        .map(|plan| flow::of_flow(&read, plan, only(plan)))
        .collect();
    let total = flow::total(&read, &flows);
    for (metrics, _) in &flows {
        let least = metrics.delay.map(|d| d.min);
        if let (Some(min), Some(bound)) = (least, metrics.delay_bound_ns)
            && min < -bound
        {
            warnings.push(format!(
                "flow to {}: a delay of {min} ns is further below zero than the bound of {bound} ns allows: the \
                 clock bound does not hold",
                metrics.to
            ));
        }
    }
    summary.domains = cpu::by_domain(&read, &record.clocks, &mut warnings);
    summary.containers = containers::containers(&read.results);
    summary.transactions = transactions::transactions(&read.results, plans);
    summary.sent = read.results.iter().find_map(|(_, r)| r.sent.clone());
    warnings.extend(capture_warnings(&read.captures));
    let containers = containers::histograms(&read.results);
    let series = Series::of(&read, record.plan.warmup.nanos() as i64);
    summary.captures = read.captures;
    summary.warnings = warnings;
    let (metrics, mut values): (Vec<_>, Vec<_>) = flows.into_iter().unzip();
    for of_flow in &mut values {
        of_flow.keep_for_figures();
    }
    summary.flows = metrics;
    summary.total = Some(total);
    TrialValues {
        flows: values,
        series,
        containers,
    }
}

fn capture_warnings(captures: &[CaptureCount]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut sources: Vec<&str> = captures
        .iter()
        .map(|c| c.timestamp_source.as_str())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    if sources.len() > 1 {
        lines.push(format!(
            "packets were stamped by different clocks ({}): no delay is claimed from one to another",
            sources.join(", ")
        ));
    }
    for capture in captures {
        let mut say = |n: u64, what: &str| {
            if n > 0 {
                lines.push(format!("{}: {n} {what}", capture.file));
            }
        };
        say(
            capture.dropped_kernel,
            "packets dropped by the kernel while capturing",
        );
        say(
            capture.dropped_interface,
            "packets dropped by the interface while capturing",
        );
        say(
            capture.dropped_application,
            "packets not written, because the capture had reached its limit",
        );
        say(
            capture.unknown_flow,
            "packets of a flow that the plan does not have",
        );
        say(capture.stray, "packets of a flow to another guest");
        say(
            capture.corrupt,
            "damaged packets (other bytes than were sent)",
        );
        say(
            capture.cut,
            "packets cut too short to be read: the snap length is too small",
        );
        if !capture.nanoseconds {
            lines.push(format!("{}: stamps are cut to microseconds", capture.file));
        }
    }
    lines
}
