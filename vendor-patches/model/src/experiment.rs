//! A scenario, asked of the model: every variant on every point of the sweep, on the packets that a lab's run with the
//! same seed would send.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vifbench_scenarios::plan::{Plan, TrialPlan};
use vifbench_scenarios::scenario::{
    Arrivals, FillRule, FrameSize, Patches, Regulator, Scenario, Variant,
};
use vifbench_scenarios::timing::{Captured, Sizes, Timing, TimingError, first_requests};
use vifbench_scenarios::units::{Rate, Span};

use crate::arrivals::Source;
use crate::container::{Fill, Layout};
use crate::engine::{Delivery, Flow};
use crate::measure::Measure;
use crate::service::Service;
use crate::simulate::{DEFAULT_UNIT, Handling, Model};

/// More than this would take hours.
const MOST_PACKETS: f64 = 1e11;
/// What a core does at least, for the estimate of a time.
const PACKETS_A_SECOND: f64 = 1e7;
/// Frames on the wire have a checksum that the drivers never see.
const FCS: u32 = 4;

/// What went wrong with a capture, in the words of who reads it.
pub type CaptureError = Box<dyn std::error::Error + Send + Sync>;
/// The frames of a capture.
pub type Frames = Box<dyn Iterator<Item = Result<Captured, CaptureError>>>;

/// Opens captures: the model itself reads no files.
pub trait Captures: Sync {
    /// Opens the capture that a scenario names.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    fn open(&self, file: &Path) -> Result<Frames, CaptureError>;
}

/// For scenarios without captures.
#[derive(Debug, Clone, Copy)]
pub struct NoCaptures;

impl Captures for NoCaptures {
    fn open(&self, file: &Path) -> Result<Frames, CaptureError> {
        Err(format!("{} cannot be replayed here", file.display()).into())
    }
}

/// Why a scenario cannot be simulated.
#[derive(Debug, Error)]
pub enum SimulationError {
    /// It would take too long.
    #[error(
        "the scenario asks for {packets:.1e} packets in all: that would take about {hours:.0} hours; lower the duration, the rates or the blocks, to {MOST_PACKETS:.0e} packets at most"
    )]
    TooLong {
        /// Over all variants, points and blocks.
        packets: f64,
        /// Estimated.
        hours: f64,
    },
    /// A capture cannot be replayed.
    #[error("cannot replay {}: {why}", file.display())]
    Capture {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It holds nothing.
    #[error("cannot replay {}: it holds no packet; give a capture with traffic", .0.display())]
    EmptyCapture(PathBuf),
    /// Packets that cannot be spaced.
    #[error("flow {flow}: {source}")]
    Timing {
        /// Which flow.
        flow: usize,
        /// What is wrong.
        source: TimingError,
    },
    /// The model has no sender, no TCP, no `net_dim`, and no holding without containers.
    #[error("the model cannot answer this scenario: {}; use `vifbench run`, which asks a lab", .0.join(", "))]
    OnlyMeasured(Vec<String>),
}

/// One variant on one point of the sweep, over all blocks.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its name.
    pub variant: String,
    /// Its rule, where it has one.
    pub regulator: Option<Regulator>,
    /// The rate of the flows, where it is the same for all.
    pub rate: Option<Rate>,
    /// T0, where it matters.
    pub hold: Option<Span>,
    /// Blocks that were simulated.
    pub blocks: u32,
    /// What came out.
    pub measure: Measure,
    /// Mean wait of each block by itself, in nanoseconds: how sure the mean is.
    pub block_means: Vec<f64>,
}

/// An outcome as tools read it. What means nothing is null: everything about waits where dom0 could not keep up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The variant.
    pub variant: String,
    /// Its rule.
    pub regulator: Option<String>,
    /// Rate of each flow, as in the scenario; null where flows differ.
    pub rate: Option<Rate>,
    /// T0.
    pub hold_us: Option<f64>,
    /// Blocks that were simulated, each with a seed of its own.
    pub blocks: u32,
    /// Measured packets.
    pub packets: u64,
    /// From arrival at the vif to delivery in the guest.
    pub mean_wait_us: Option<f64>,
    /// The standard error of the mean over the blocks; null for a single one.
    pub mean_wait_se_us: Option<f64>,
    /// Median.
    pub p50_wait_us: Option<f64>,
    /// 99 % are not above.
    pub p99_wait_us: Option<f64>,
    /// RFC 3393, over successive packets of a flow.
    pub mean_abs_ipdv_us: Option<f64>,
    /// Packets a transfer to a guest; under shadow accounting: a would-be container.
    pub packets_per_container: Option<f64>,
    /// Of the containers, those that a deadline released.
    pub timeout_fraction: Option<f64>,
    /// Answers a second of all closed loops.
    pub samples_per_s: Option<f64>,
    /// Packets too late for their playout.
    pub late: u64,
    /// Dom0 could not keep up.
    pub overloaded: bool,
}

impl Outcome {
    /// As tools read it.
    pub fn row(&self) -> Row {
        let measure = &self.measure;
        let us = |ns: Option<f64>| ns.filter(|_| !measure.overloaded).map(|ns| ns / 1000.0);
        let quantile = |per_mille| us(measure.quantile(per_mille).map(|ns| ns as f64));
        Row {
            variant: self.variant.clone(),
            regulator: self.regulator.map(|r| r.name().to_owned()),
            rate: self.rate,
            hold_us: self.hold.map(|hold| hold.nanos() as f64 / 1000.0),
            blocks: self.blocks,
            packets: measure.packets(),
            mean_wait_us: us(measure.mean_wait()),
            mean_wait_se_us: us(standard_error(&self.block_means)),
            p50_wait_us: quantile(500),
            p99_wait_us: quantile(990),
            mean_abs_ipdv_us: us(measure.mean_abs_ipdv()),
            packets_per_container: measure.packets_per_transfer(),
            timeout_fraction: measure.timeout_fraction(),
            samples_per_s: measure.samples_per_s(),
            late: measure.late,
            overloaded: measure.overloaded,
        }
    }
}

fn standard_error(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    (values.len() > 1).then(|| {
        let mean = values.iter().sum::<f64>() / n;
        let square: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        libm::sqrt(square / (n - 1.0) / n)
    })
}

/// One delivery of a simulation, with where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct Traced<'a> {
    /// The variant.
    pub variant: &'a str,
    /// Point of the sweep.
    pub rate: Option<Rate>,
    /// T0.
    pub hold: Option<Span>,
    /// The block.
    pub block: u32,
    /// The frame.
    pub delivery: Delivery,
}

/// A variant at a rate and with a hold: what is simulated, and merged over the blocks.
struct Cell<'s> {
    variant: &'s Variant,
    rate: Option<Rate>,
    hold: Option<Span>,
}

/// What is asked beside the scenario.
pub struct Question<'q> {
    /// The scenario.
    pub scenario: &'q Scenario,
    /// Seed of the plan: the same seed sends the same packets as a lab's run.
    pub seed: u64,
    /// Instead of the scenario's blocks.
    pub blocks: Option<u32>,
    /// Where captures come from.
    pub captures: &'q dyn Captures,
    /// Called after each of so many simulations.
    pub progress: &'q (dyn Fn(usize, usize) + Sync),
}

/// Simulates everything, on all cores.
///
/// # Errors
/// When the scenario asks for too much, or for what cannot be.
pub fn simulate(question: &Question<'_>) -> Result<Vec<Outcome>, SimulationError> {
    run(question, None)
}

/// The same on one core, with every delivery told.
///
/// # Errors
/// As [`simulate`].
pub fn trace(
    question: &Question<'_>,
    mut tell: impl FnMut(Traced<'_>),
) -> Result<Vec<Outcome>, SimulationError> {
    run(question, Some(&mut tell))
}

type Tell<'t> = &'t mut dyn FnMut(Traced<'_>);

fn run(
    question: &Question<'_>,
    mut tell: Option<Tell<'_>>,
) -> Result<Vec<Outcome>, SimulationError> {
    let scenario = question.scenario;
    let only_measured = scenario.only_measured();
    if !only_measured.is_empty() {
        return Err(SimulationError::OnlyMeasured(only_measured));
    }
    let plan = Plan::new(scenario, question.seed, question.blocks);
    let cells = cells(scenario);
    let jobs: Vec<(usize, &TrialPlan)> = cells
        .iter()
        .enumerate()
        .flat_map(|(index, cell)| {
            plan.trials
                .iter()
                .filter(move |t| t.variant.name == cell.variant.name && t.rate == cell.rate)
                .map(move |trial| (index, trial))
        })
        .collect();
    check_length(scenario, &jobs)?;
    let work = |(cell, trial): (usize, &TrialPlan), tell: Option<Tell<'_>>| {
        let cell = &cells[cell];
        let mut told = tell.map(|tell| {
            move |delivery| {
                tell(Traced {
                    variant: &cell.variant.name,
                    rate: cell.rate,
                    hold: cell.hold,
                    block: trial.block,
                    delivery,
                });
            }
        });
        let told = told.as_mut().map(|told| told as &mut dyn FnMut(Delivery));
        one(scenario, cell, trial, question.captures, told)
    };
    let mut results: Vec<Option<Result<Measure, SimulationError>>> = Vec::new();
    if let Some(tell) = &mut tell {
        for (done, job) in jobs.iter().enumerate() {
            results.push(Some(work(*job, Some(*tell))));
            (question.progress)(done + 1, jobs.len());
        }
    } else {
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let slots: Vec<Mutex<Option<_>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..threads.min(jobs.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(job), Some(slot)) = (jobs.get(index), slots.get(index)) else {
                            break;
                        };
                        let result = work(*job, None);
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                        (question.progress)(done, jobs.len());
                    }
                });
            }
        });
        results.extend(
            slots
                .into_iter()
                .map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner)),
        );
    }
    let mut outcomes: Vec<Outcome> = cells
        .iter()
        .map(|cell| Outcome {
            variant: cell.variant.name.clone(),
            regulator: cell.variant.regulator,
            rate: cell.rate.or_else(|| common_rate(scenario)),
            hold: cell.hold,
            blocks: 0,
            measure: Measure::default(),
            block_means: Vec::new(),
        })
        .collect();
    // In the order of the plan, so that sums come out the same whoever was first.
    for ((cell, _), result) in jobs.iter().zip(results) {
        let Some(result) = result else { continue };
        let measure = result?;
        let outcome = &mut outcomes[*cell];
        outcome.blocks += 1;
        outcome.block_means.extend(measure.mean_wait());
        outcome.measure.merge(&measure);
    }
    Ok(outcomes)
}

/// Every variant on every point: rates, then holds, then variants.
fn cells(scenario: &Scenario) -> Vec<Cell<'_>> {
    let mut cells = Vec::new();
    for rate in scenario.sweep.points() {
        let holds: Vec<Option<Span>> = if scenario.sweep.hold.is_empty() {
            vec![None]
        } else {
            scenario.sweep.hold.iter().copied().map(Some).collect()
        };
        for swept in holds {
            for variant in &scenario.variants {
                let matters = match variant.patches {
                    Patches::Stock => false,
                    Patches::Shadow => true,
                    Patches::Aggregation | Patches::Hold => {
                        variant.regulator.is_none_or(Regulator::has_hold)
                    }
                };
                cells.push(Cell {
                    variant,
                    rate,
                    hold: swept
                        .or(variant.hold)
                        .filter(|_| matters || swept.is_some()),
                });
            }
        }
    }
    cells
}

/// The rate of all flows, if it is one.
fn common_rate(scenario: &Scenario) -> Option<Rate> {
    let mut rates = scenario.traffic.iter().map(|flow| flow.arrivals.rate());
    let first = rates.next()??;
    rates.all(|rate| rate == Some(first)).then_some(first)
}

fn check_length(scenario: &Scenario, jobs: &[(usize, &TrialPlan)]) -> Result<(), SimulationError> {
    let seconds = scenario.warmup.secs_f64() + scenario.duration.secs_f64();
    let packets: f64 = jobs
        .iter()
        .flat_map(|(_, trial)| &trial.flows)
        .map(|flow| match &flow.arrivals {
            Arrivals::ClosedLoop {
                round_trip,
                outstanding,
                samples,
            } => {
                let fitting = f64::from(*outstanding) * seconds / round_trip.secs_f64();
                samples.map_or(fitting, |samples| fitting.min(samples as f64))
            }
            // Unknown before it is read, and nobody has a capture of so many.
            Arrivals::Trace { .. } => 0.0,
            Arrivals::Ramp { from, to, .. } => from.max(to).per_sec_f64() * seconds,
            arrivals => arrivals
                .rate()
                .map_or(0.0, |rate| rate.per_sec_f64() * seconds),
        })
        .sum();
    // What is not a number is too long too.
    if packets <= MOST_PACKETS {
        Ok(())
    } else {
        Err(SimulationError::TooLong {
            packets,
            hours: packets / PACKETS_A_SECOND / 3600.0,
        })
    }
}

/// The container of a variant, and whether sizes count with FCS.
pub fn layout(variant: &Variant) -> (Layout, bool) {
    let fill = match variant.fill {
        Some(FillRule::F2) => Fill::Overflow,
        Some(FillRule::F1) | None => Fill::Ahead,
    };
    if variant.container.is_none() && variant.framing.is_none() {
        return (
            Layout {
                fill,
                ..Layout::WIRE
            },
            false,
        );
    }
    let bytes = |size: Option<vifbench_scenarios::units::Size>, default| {
        size.map_or(default, |size| {
            u32::try_from(size.bytes()).unwrap_or(u32::MAX)
        })
    };
    let bare = Layout::bare(bytes(variant.container, 4096), bytes(variant.framing, 8));
    (Layout { fill, ..bare }, true)
}

/// The model of a variant with a hold.
fn model(scenario: &Scenario, variant: &Variant, hold: Option<Span>) -> (Model, bool) {
    let (layout, with_fcs) = layout(variant);
    let handling = match (variant.patches, variant.regulator) {
        (Patches::Stock, _) => Handling::Stock,
        (Patches::Shadow, _) => Handling::Shadow,
        // A scenario without a regulator here does not pass its check.
        (Patches::Aggregation | Patches::Hold, regulator) => {
            Handling::Containers(regulator.unwrap_or(Regulator::Static))
        }
    };
    let service = scenario.service.map_or_else(Service::default, |times| {
        Service::from_nanos(times.transfer.nanos(), times.packet.nanos())
    });
    let model = Model {
        handling,
        // Shadow accounting reckons with 1 ms unless told otherwise, as its module does.
        hold: hold.map_or(1_000_000, Span::nanos),
        unit: variant.unit.map_or(DEFAULT_UNIT, Span::nanos),
        layout,
        service,
    };
    (model, with_fcs)
}

/// Simulates one trial.
fn one(
    scenario: &Scenario,
    cell: &Cell<'_>,
    trial: &TrialPlan,
    captures: &dyn Captures,
    tell: Option<&mut dyn FnMut(Delivery)>,
) -> Result<Measure, SimulationError> {
    let (model, with_fcs) = model(scenario, cell.variant, cell.hold);
    let failed = Arc::new(Mutex::new(None));
    let (queues, flows) = flows(scenario, trial, with_fcs, captures, &failed)?;
    let warmup = scenario.warmup.nanos();
    let stop = warmup.saturating_add(scenario.duration.nanos());
    let measure = model.run(queues, flows, (warmup..stop, stop), tell);
    match failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => Ok(measure),
    }
}

type Failed = Arc<Mutex<Option<SimulationError>>>;

/// The flows of a trial, and the number of guests that they go to.
fn flows(
    scenario: &Scenario,
    trial: &TrialPlan,
    with_fcs: bool,
    captures: &dyn Captures,
    failed: &Failed,
) -> Result<(usize, Vec<Flow>), SimulationError> {
    let mut guests: Vec<&str> = Vec::new();
    let mut flows = Vec::new();
    for (index, (traffic, planned)) in scenario.traffic.iter().zip(&trial.flows).enumerate() {
        let to = traffic.to.0.as_str();
        let queue = guests
            .iter()
            .position(|guest| *guest == to)
            .unwrap_or_else(|| {
                guests.push(to);
                guests.len() - 1
            });
        let fcs = if with_fcs { 0 } else { FCS };
        let parts: Vec<(u32, u32)> = traffic
            .size
            .parts()
            .into_iter()
            .map(|(weight, size)| ((size.bytes() as u32).saturating_sub(fcs), weight))
            .collect();
        let sizes = match parts[..] {
            [] => Sizes::Fixed(0),
            [(len, _)] => Sizes::Fixed(len),
            _ => Sizes::mix(&parts, planned.seed),
        };
        let timing = Timing::of(&planned.arrivals, planned.seed).map_err(|source| {
            SimulationError::Timing {
                flow: index,
                source,
            }
        })?;
        let source = match &planned.arrivals {
            Arrivals::ClosedLoop {
                round_trip,
                outstanding,
                samples,
            } => {
                let all = samples.unwrap_or(u64::MAX);
                let first = u64::from(*outstanding).min(all);
                Source::ClosedLoop {
                    round_trip: round_trip.nanos(),
                    start: first_requests(*round_trip, first, planned.seed),
                    samples: samples.map(|_| all - first),
                }
            }
            Arrivals::Trace { file, speed } => replay(
                (file, *speed),
                captures,
                with_fcs,
                traffic.size == FrameSize::Captured,
                failed,
            )?,
            arrivals => timing.map(Source::from).ok_or_else(|| {
                let word = arrivals.word();
                let what = format!("`traffic[{index}].arrivals` is `{word}`");
                SimulationError::OnlyMeasured(vec![what])
            })?,
        };
        flows.push(Flow {
            queue,
            source,
            sizes,
        });
    }
    Ok((guests.len(), flows))
}

/// A capture as a source: it begins at the first frame, and notes what goes wrong later.
fn replay(
    (file, speed): (&Path, f64),
    captures: &dyn Captures,
    with_fcs: bool,
    own_sizes: bool,
    failed: &Failed,
) -> Result<Source, SimulationError> {
    let fail = {
        let file = file.to_owned();
        move |why: &CaptureError| SimulationError::Capture {
            file: file.clone(),
            why: why.to_string(),
        }
    };
    let mut frames = captures.open(file).map_err(|why| fail(&why))?;
    let first = match frames.next() {
        None => return Err(SimulationError::EmptyCapture(file.to_owned())),
        Some(first) => first.map_err(|why| fail(&why))?,
    };
    let failed = Arc::clone(failed);
    let start = first.at;
    let timed = std::iter::once(Ok(first))
        .chain(frames)
        .map_while(move |frame| match frame {
            Ok(frame) => {
                let fcs = if with_fcs { FCS } else { 0 };
                let frame = Captured {
                    at: frame.at.saturating_sub(start),
                    len: frame.len.saturating_add(fcs),
                };
                Some(frame.at_speed(speed))
            }
            Err(why) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(fail(&why));
                None
            }
        });
    Ok(if own_sizes {
        Source::Replay(Box::new(timed))
    } else {
        Source::Times(Box::new(timed.map(|frame| frame.at)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<Vec<Outcome>, SimulationError> {
        let scenario = Scenario::parse(text, "s.yaml").expect("a good scenario");
        simulate(&Question {
            scenario: &scenario,
            seed: 1,
            blocks: None,
            captures: &NoCaptures,
            progress: &|_, _| {},
        })
    }

    const TEXT: &str = "\
name: x
about: x
traffic:
  - {to: u1, size: 64 B, arrivals: {poisson: {rate: 2000/s}}}
sweep: {rate: [200/s, 20000/s]}
variants:
  - {name: stock}
  - {name: shadow, patches: shadow, hold: 1 ms}
  - {name: static, patches: aggregation, regulator: static, hold: 1 ms, framing: 0 B}
duration: 10 s
blocks: 4
";

    #[test]
    fn every_variant_on_every_point() {
        let rows: Vec<Row> = ask(TEXT).unwrap().iter().map(Outcome::row).collect();
        let names: Vec<(&str, String)> = rows
            .iter()
            .map(|r| (r.variant.as_str(), r.rate.unwrap().to_string()))
            .collect();
        assert_eq!(names[0], ("stock", "200/s".into()));
        assert_eq!(names[5], ("static", "20000/s".into()));
        assert_eq!(
            (rows[3].mean_wait_us, rows[3].packets_per_container),
            (Some(0.0), Some(1.0))
        );
        // Shadow accounting holds nothing and counts what would be.
        assert_eq!(rows[4].mean_wait_us, Some(0.0));
        assert!((rows[4].packets_per_container.unwrap() - 21.0).abs() < 0.3);
        assert!(
            (rows[5].mean_wait_us.unwrap() - 523.8).abs() < 4.0 * rows[5].mean_wait_se_us.unwrap()
        );
        assert_eq!(rows[5].samples_per_s, None);
    }

    #[test]
    fn the_same_for_a_seed_whoever_is_first() {
        let rows = || {
            ask(TEXT)
                .unwrap()
                .iter()
                .map(Outcome::row)
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(), rows());
    }

    #[test]
    fn a_trace_tells_every_delivery() {
        let scenario = Scenario::parse(TEXT, "s.yaml").expect("a good scenario");
        let question = Question {
            scenario: &scenario,
            seed: 1,
            blocks: Some(1),
            captures: &NoCaptures,
            progress: &|_, _| {},
        };
        let mut told = 0;
        let outcomes = trace(&question, |traced| {
            assert!(traced.delivery.arrived <= traced.delivery.released);
            told += 1;
        })
        .unwrap();
        assert_eq!(
            told,
            outcomes.iter().map(|o| o.measure.packets()).sum::<u64>()
        );
    }

    #[test]
    fn too_much_is_refused_with_the_time_it_would_take() {
        let text = TEXT
            .replace("duration: 10 s", "duration: 100000 s")
            .replace("[200/s, 20000/s]", "[40000/s]");
        let error = ask(&text.replace("blocks: 4", "blocks: 100")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the scenario asks for 1.2e12 packets in all: that would take about 33 hours; lower the duration, the rates or the blocks, to 1e11 packets at most"
        );
    }

    #[test]
    fn larger_than_the_container_travels_alone() {
        let text = TEXT.replace("framing: 0 B", "container: 63 B, framing: 0 B");
        let rows: Vec<Row> = ask(&text).unwrap().iter().map(Outcome::row).collect();
        assert_eq!(
            (rows[5].mean_wait_us, rows[5].packets_per_container),
            (Some(0.0), Some(1.0))
        );
        assert_eq!(rows[5].timeout_fraction, None);
    }

    /// Made up of stamps and lengths, or of an error.
    struct Made(Vec<Result<Captured, String>>);

    impl Captures for Made {
        fn open(&self, _file: &Path) -> Result<Frames, CaptureError> {
            let frames: Vec<_> = self
                .0
                .iter()
                .map(|f| f.clone().map_err(CaptureError::from))
                .collect();
            Ok(Box::new(frames.into_iter()))
        }
    }

    fn replayed(frames: Vec<Result<Captured, String>>) -> Result<Vec<Outcome>, SimulationError> {
        let text = TEXT
            .replace(
                "size: 64 B, arrivals: {poisson: {rate: 2000/s}}",
                "size: captured, arrivals: {trace: {file: x.pcap}}",
            )
            .replace("sweep: {rate: [200/s, 20000/s]}\n", "");
        let scenario = Scenario::parse(&text, "s.yaml").expect("a good scenario");
        simulate(&Question {
            scenario: &scenario,
            seed: 1,
            blocks: Some(1),
            captures: &Made(frames),
            progress: &|_, _| {},
        })
    }

    #[test]
    fn a_capture_is_replayed_with_its_gaps_and_sizes() {
        let frame = |at, len| Ok(Captured { at, len });
        // It begins whenever it was taken; 4060 bytes leave no room for 60 more.
        let frames = vec![
            frame(5_000_000, 60),
            frame(5_100_000, 60),
            frame(5_200_000, 4060),
            frame(9_000_000, 60),
        ];
        let rows: Vec<Row> = replayed(frames).unwrap().iter().map(Outcome::row).collect();
        let row = &rows[2];
        assert_eq!(row.packets, 4);
        assert_eq!(row.rate, None);
        assert_eq!(row.packets_per_container, Some(4.0 / 3.0));
        // 200 and 100 us until the large one displaces them; it fills its own; 1 ms for the last.
        assert_eq!(row.mean_wait_us, Some((200.0 + 100.0 + 0.0 + 1000.0) / 4.0));
    }

    #[test]
    fn captures_that_cannot_be_replayed() {
        let error = replayed(vec![]).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot replay x.pcap: it holds no packet; give a capture with traffic"
        );
        let frame = Ok(Captured { at: 0, len: 60 });
        for frames in [
            vec![Err("cut off".to_owned())],
            vec![frame, Err("cut off".to_owned())],
        ] {
            assert_eq!(
                replayed(frames).unwrap_err().to_string(),
                "cannot replay x.pcap: cut off"
            );
        }
    }

    #[test]
    fn a_closed_loop_counts_its_samples() {
        let text = TEXT
            .replace(
                "{poisson: {rate: 2000/s}}",
                "{closed_loop: {round_trip: 500 us, samples: 500}}",
            )
            .replace(
                "sweep: {rate: [200/s, 20000/s]}\n",
                "sweep: {hold: [1 ms, 2 ms]}\n",
            );
        let rows: Vec<Row> = ask(&text).unwrap().iter().map(Outcome::row).collect();
        let found: Vec<(f64, u64)> = rows
            .iter()
            .map(|r| (r.samples_per_s.unwrap(), r.packets))
            .collect();
        assert_eq!(rows[5].hold_us, Some(2000.0));
        // X = M / (r + h), four blocks of 500.
        assert_eq!(found[0], (2000.0, 2000));
        assert!((found[2].0 - 1e6 / 1500.0).abs() < 1e-6);
        assert!((found[5].0 - 1e6 / 2500.0).abs() < 1e-6);
    }
}
