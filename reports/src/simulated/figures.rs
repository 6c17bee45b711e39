//! Figures of a simulation.

use vifbench_model::experiment::Outcome;
use vifbench_model::pareto::Choice;
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::units::{Rate, Span};

use crate::figures::axis::{Scale, time_unit};
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Note, Plot, Point};
use crate::figures::front::front as front_of;
use crate::figures::style::{FAINT, Look, look};
use crate::simulated::{SIMULATED_MARK, Simulation};
use crate::text::{count, plural};

/// Points of a drawn distribution.
const STEPS: usize = 240;
/// Points of a line over samples.
const SAMPLES: usize = 120;
/// Distributions are drawn for so many points of the sweep at most: the first, the last, and some between.
const DISTRIBUTIONS: usize = 6;
/// Waits below this many nanoseconds are drawn at this: a logarithm has no zero.
const LEAST_WAIT: f64 = 100.0;

/// All figures that there is something to draw for.
pub fn figures(simulation: &Simulation<'_>) -> Vec<Figure> {
    [
        distributions(simulation),
        tails(simulation),
        against_rate(simulation),
        against_hold(simulation),
        over_time(simulation),
        front(simulation),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// On what the figures rest, and the mark that goes on every one.
pub fn basis(simulation: &Simulation<'_>) -> Vec<String> {
    let packets: u64 = simulation
        .outcomes
        .iter()
        .map(|o| o.measure.packets())
        .sum();
    let blocks = simulation.outcomes.first().map_or(0, |o| o.blocks);
    let basis = format!(
        "{} simulated packets, {}  ·  scenario {}, seed {}",
        count(packets),
        plural(blocks as usize, "block"),
        simulation.scenario.name,
        simulation.seed
    );
    vec![basis, format!("▲ {SIMULATED_MARK}")]
}

fn variants<'s>(simulation: &Simulation<'s>) -> Vec<&'s str> {
    simulation
        .scenario
        .variants
        .iter()
        .map(|v| v.name.as_str())
        .collect()
}

/// What can be drawn of waits: not what dom0 could not keep up with.
fn has_waits(outcome: &Outcome) -> bool {
    !outcome.measure.overloaded && outcome.measure.packets() > 0
}

/// Points of the sweep, in the order of the outcomes.
fn points(outcomes: &[Outcome], swept_hold: bool) -> Vec<(Option<Rate>, Option<Span>)> {
    let mut points = Vec::new();
    for outcome in outcomes {
        let point = (outcome.rate, outcome.hold.filter(|_| swept_hold));
        if !points.contains(&point) {
            points.push(point);
        }
    }
    points
}

fn point_title(rate: Option<Rate>, hold: Option<Span>) -> String {
    let parts: Vec<String> = rate
        .map(|rate| rate.to_string())
        .into_iter()
        .chain(hold.map(|hold| format!("T0 = {hold}")))
        .collect();
    if parts.is_empty() {
        "all packets".to_owned()
    } else {
        parts.join(", ")
    }
}

/// So many of them, evenly chosen, both ends among them.
fn some<T: Copy>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most {
        return all.to_vec();
    }
    (0..most)
        .map(|i| all[i * (all.len() - 1) / (most - 1)])
        .collect()
}

/// A variant's distribution of waits: each wait with the share of packets that are not above it.
type Waits = (usize, Vec<(u64, f64)>);

/// Distributions at some points of the sweep: heading and series.
fn some_waits(simulation: &Simulation<'_>) -> Vec<(String, Vec<Waits>)> {
    let names = variants(simulation);
    let swept_hold = !simulation.scenario.sweep.hold.is_empty();
    let drawn = |(rate, hold): (Option<Rate>, Option<Span>)| -> Vec<Waits> {
        names
            .iter()
            .enumerate()
            .filter_map(|(i, name)| {
                let outcome = simulation.outcomes.iter().find(|o| {
                    o.variant == *name && o.rate == rate && (!swept_hold || o.hold == hold)
                })?;
                has_waits(outcome).then(|| (i, outcome.measure.distribution(STEPS)))
            })
            .collect()
    };
    some(&points(simulation.outcomes, swept_hold), DISTRIBUTIONS)
        .into_iter()
        .map(|point| (point_title(point.0, point.1), drawn(point)))
        .filter(|(_, series)| !series.is_empty())
        .collect()
}

/// Panels of distributions; `line` makes a line of a distribution whose waits are in the axis' unit.
fn wait_plots(
    simulation: &Simulation<'_>,
    y: &Axis,
    line: impl Fn(&[Point], f64) -> Draw,
) -> Vec<Plot> {
    let names = variants(simulation);
    some_waits(simulation)
        .into_iter()
        .map(|(title, series)| {
            let ends: Vec<f64> = series
                .iter()
                .flat_map(|(_, points)| [points.first(), points.last()])
                .flatten()
                .map(|(wait, _)| (*wait as f64).max(LEAST_WAIT))
                .collect();
            let (unit, unit_name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
            let scale = Scale::log(ends).in_unit(unit);
            let right = match scale {
                Scale::Linear { to, .. } | Scale::Log { to, .. } => to,
            };
            let layers = series.iter().map(|(i, points)| {
                let points: Vec<Point> = points
                    .iter()
                    .map(|(wait, share)| ((*wait as f64).max(LEAST_WAIT) / unit, *share))
                    .collect();
                Layer::new(names[*i], look(*i), line(&points, right))
            });
            Plot {
                title,
                x: Axis::values(format!("wait ({unit_name}, log; left edge: none)"), scale),
                y: y.clone(),
                layers: layers.collect(),
                note: None,
            }
        })
        .collect()
}

fn distributions(simulation: &Simulation<'_>) -> Option<Figure> {
    let y = Axis::values(
        "share of packets not above",
        Scale::Linear { from: 0.0, to: 1.0 },
    );
    let panels = wait_plots(simulation, &y, |points, right| {
        let mut line: Vec<Point> = points.first().map(|p| (p.0, 0.0)).into_iter().collect();
        let mut before = 0.0;
        for (wait, share) in points {
            // Steps, so that a share that waits equally long stands upright.
            line.extend([(*wait, before), (*wait, *share)]);
            before = *share;
        }
        line.push((right, before));
        line.dedup();
        let marked = [0.1, 0.5, 0.9, 0.99].into_iter().filter_map(|share| {
            let (wait, _) = points.iter().find(|(_, s)| *s >= share)?;
            Some((*wait, share))
        });
        Draw::Line {
            points: line,
            marked: marked.collect(),
        }
    });
    (!panels.is_empty()).then(|| Figure {
        id: "waits",
        title: "Waits: distribution by variant".to_owned(),
        caption: "Every measured packet of all blocks. A curve further left is faster; a steeper one varies less. \
                  Markers stand at p10, p50, p90 and p99."
            .to_owned(),
        definitions: &["wait", "simulated"],
        basis: basis(simulation),
        keys: Key::variants(&variants(simulation)),
        panels,
    })
}

/// The smallest share that a tail is drawn to: what comes after rests on few packets.
const LEAST_SHARE: f64 = 1e-4;

fn tails(simulation: &Simulation<'_>) -> Option<Figure> {
    let scale = Scale::Log {
        from: LEAST_SHARE,
        to: 1.0,
    };
    let y = Axis::values("share of packets above (log)", scale);
    let panels = wait_plots(simulation, &y, |points, _| {
        let mut line: Vec<Point> = Vec::new();
        let mut before = 1.0;
        for (wait, share) in points {
            let above = (1.0 - share).max(LEAST_SHARE);
            line.extend([(*wait, before), (*wait, above)]);
            before = above;
        }
        line.dedup();
        let marked = [0.5, 0.1, 0.01, 0.001].into_iter().filter_map(|above| {
            let (wait, _) = points.iter().find(|(_, s)| 1.0 - *s <= above)?;
            Some((*wait, above))
        });
        Draw::Line {
            points: line,
            marked: marked.collect(),
        }
    });
    (!panels.is_empty()).then(|| Figure {
        id: "wait-tails",
        title: "Waits: the tail by variant".to_owned(),
        caption: "The share of packets that wait longer, on two logarithmic axes, down to one in 10,000. Markers stand at \
                  p50, p90, p99 and p99.9."
            .to_owned(),
        definitions: &["wait", "simulated"],
        basis: basis(simulation),
        keys: Key::variants(&variants(simulation)),
        panels,
    })
}

/// One line: a variant's values along an axis: x, and the smallest block, the mean and the largest block.
type Line = (usize, Vec<(f64, [f64; 3])>);

/// Lines of all variants: `x` of an outcome, and `y` where it has one.
fn lines(
    simulation: &Simulation<'_>,
    x: impl Fn(&Outcome) -> Option<f64>,
    y: impl Fn(&Outcome) -> Option<[f64; 3]>,
) -> Vec<Line> {
    variants(simulation)
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let mut points: Vec<(f64, [f64; 3])> = simulation
                .outcomes
                .iter()
                .filter(|o| o.variant == *name)
                .filter_map(|o| Some((x(o)?, y(o)?)))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            (i, points)
        })
        .filter(|(_, points)| !points.is_empty())
        .collect()
}

/// A panel of lines over two logarithmic axes; values are divided by `unit`.
fn plot(
    simulation: &Simulation<'_>,
    title: &str,
    x_title: &str,
    y_title: String,
    lines: &[Line],
    unit: f64,
) -> Plot {
    let names = variants(simulation);
    let x = Scale::log(lines.iter().flat_map(|(_, l)| l.iter().map(|p| p.0)));
    let ends = lines
        .iter()
        .flat_map(|(_, l)| l.iter().flat_map(|p| [p.1[0], p.1[2]]));
    let mut layers = Vec::new();
    for (i, line) in lines {
        if line.iter().any(|(_, [low, _, high])| low < high) {
            let band = line
                .iter()
                .map(|(x, [low, _, high])| (*x, low / unit, high / unit));
            layers.push(Layer::new(names[*i], look(*i), Draw::Band(band.collect())));
        }
        let points: Vec<Point> = line.iter().map(|(x, y)| (*x, y[1] / unit)).collect();
        let draw = Draw::Line {
            marked: points.clone(),
            points,
        };
        layers.push(Layer::new(names[*i], look(*i), draw));
    }
    Plot {
        title: title.to_owned(),
        x: Axis::values(x_title, x),
        y: Axis::values(y_title, Scale::log(ends).in_unit(unit)),
        layers,
        note: None,
    }
}

fn waits_plot(simulation: &Simulation<'_>, x_title: &str, lines: &[Line]) -> Plot {
    let all = lines.iter().flat_map(|(_, l)| l.iter().map(|p| p.1[2]));
    let (unit, unit_name) = time_unit(all.fold(0.0, f64::max));
    let y_title = format!("mean wait ({unit_name}, log)");
    plot(
        simulation,
        "What a packet waits",
        x_title,
        y_title,
        lines,
        unit,
    )
}

fn transfers_plot(simulation: &Simulation<'_>, x_title: &str, lines: &[Line]) -> Plot {
    let y_title = "packets a container (log)".to_owned();
    plot(
        simulation,
        "What a transfer carries",
        x_title,
        y_title,
        lines,
        1.0,
    )
}

fn mean_wait(outcome: &Outcome) -> Option<[f64; 3]> {
    let mean = outcome.measure.mean_wait().filter(|_| has_waits(outcome))?;
    let low = outcome.block_means.iter().copied().fold(mean, f64::min);
    let high = outcome.block_means.iter().copied().fold(mean, f64::max);
    Some([low, mean, high].map(|wait| wait.max(LEAST_WAIT)))
}

fn alone(value: Option<f64>) -> Option<[f64; 3]> {
    value.map(|v| [v; 3])
}

fn against_rate(simulation: &Simulation<'_>) -> Option<Figure> {
    if simulation.scenario.sweep.rate.len() < 2 || simulation.scenario.sweep.hold.len() > 1 {
        return None;
    }
    let rate = |o: &Outcome| o.rate.map(Rate::per_sec_f64);
    let x_title = "offered packets/s of each flow (log)";
    let waits = lines(simulation, rate, mean_wait);
    let packets = lines(simulation, rate, |o| {
        alone(o.measure.packets_per_transfer())
    });
    let plots = [
        waits_plot(simulation, x_title, &waits),
        transfers_plot(simulation, x_title, &packets),
    ];
    swept(
        simulation,
        "against-rate",
        "Wait and packets a container against the rate",
        "A line ends where dom0 could no longer keep up. Bands go from the smallest to the largest mean of a block. Waits \
         of less than 0.1 µs are drawn at 0.1 µs.",
        plots,
    )
}

fn against_hold(simulation: &Simulation<'_>) -> Option<Figure> {
    if simulation.scenario.sweep.hold.len() < 2 || simulation.scenario.sweep.rate.len() > 1 {
        return None;
    }
    let hold = |o: &Outcome| o.hold.map(|hold| hold.nanos() as f64 / 1000.0);
    let x_title = "T0 (µs, log)";
    let waits = lines(simulation, hold, mean_wait);
    let samples = lines(simulation, hold, |o| alone(o.measure.samples_per_s()));
    let second = if samples.is_empty() {
        let packets = lines(simulation, hold, |o| {
            alone(o.measure.packets_per_transfer())
        });
        transfers_plot(simulation, x_title, &packets)
    } else {
        let title = "What the closed loops reach";
        let y_title = "samples/s (log)".to_owned();
        plot(simulation, title, x_title, y_title, &samples, 1.0)
    };
    swept(
        simulation,
        "against-hold",
        "What the hold does",
        "Variants that hold nothing are the same at every T0. Bands go from the smallest to the largest mean of a block. \
         Waits of less than 0.1 µs are drawn at 0.1 µs.",
        [waits_plot(simulation, x_title, &waits), second],
    )
}

fn swept(
    simulation: &Simulation<'_>,
    id: &'static str,
    title: &str,
    caption: &str,
    plots: [Plot; 2],
) -> Option<Figure> {
    let panels: Vec<Plot> = plots
        .into_iter()
        .filter(|plot| !plot.layers.is_empty())
        .collect();
    (!panels.is_empty()).then(|| Figure {
        id,
        title: title.to_owned(),
        caption: caption.to_owned(),
        definitions: &["wait", "container", "simulated"],
        basis: basis(simulation),
        keys: Key::variants(&variants(simulation)),
        panels,
    })
}

/// Closed loops over time: the counterpart of the paper's figures 5 and 6, which show `JMeter`'s throughput so far.
fn over_time(simulation: &Simulation<'_>) -> Option<Figure> {
    let names = variants(simulation);
    let mut points: Vec<(Option<Rate>, Option<Span>)> = Vec::new();
    for answers in simulation.answers {
        let swept = !simulation.scenario.sweep.hold.is_empty();
        let point = (answers.rate, answers.hold.filter(|_| swept));
        // Stock drivers have no hold, and belong to every point.
        if !points.contains(&point) && (point.1.is_some() || !swept) {
            points.push(point);
        }
    }
    let mut panels = Vec::new();
    for (rate, hold) in some(&points, DISTRIBUTIONS) {
        let mut layers = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let answers = simulation.answers.iter().find(|a| {
                a.variant == *name && a.rate == rate && (a.hold == hold || a.hold.is_none())
            });
            if let Some(points) = answers.map(|a| so_far(&a.delivered_ns))
                && !points.is_empty()
            {
                let marked = points.iter().copied().skip(i * 3).step_by(24).collect();
                layers.push(Layer::new(*name, look(i), Draw::Line { points, marked }));
            }
        }
        let all = || {
            layers.iter().flat_map(|layer: &Layer| match &layer.draw {
                Draw::Line { points, .. } => points.clone(),
                _ => Vec::new(),
            })
        };
        if layers.is_empty() {
            continue;
        }
        panels.push(Plot {
            title: point_title(rate, hold),
            x: Axis::values(
                "samples answered, all loops",
                Scale::linear(all().map(|p| p.0), true),
            ),
            y: Axis::values("samples/s so far (log)", Scale::log(all().map(|p| p.1))),
            layers,
            note: None,
        });
    }
    (!panels.is_empty()).then(|| Figure {
        id: "over-time",
        title: "Closed loops: samples a second so far".to_owned(),
        caption: "As JMeter's graph shows throughput, which is what figures 5 and 6 of the paper show for a static and for an \
                  adaptive time-out: samples answered by the time that they took together, of the first block. Only \
                  ratios between variants can be compared with the paper, which tells neither its T0 nor its round trip."
            .to_owned(),
        definitions: &["samples", "simulated"],
        basis: basis(simulation),
        keys: Key::variants(&names),
        panels,
    })
}

/// Samples answered, and samples a second up to then.
fn so_far(delivered_ns: &[u64]) -> Vec<Point> {
    let mut times = delivered_ns.to_vec();
    times.sort_unstable();
    let every = times.len().div_ceil(SAMPLES).max(1);
    let first = times.first().copied().unwrap_or(0);
    times
        .iter()
        .enumerate()
        .skip(every)
        .step_by(every)
        .filter(|(_, at)| **at > first)
        .map(|(n, at)| (n as f64, n as f64 / ((at - first) as f64 / 1e9)))
        .collect()
}

/// A regulator keeps its look whichever of them are drawn; our own stands out.
fn regulator_look(regulator: Regulator) -> Look {
    let place = Regulator::ALL
        .iter()
        .position(|r| *r == regulator)
        .unwrap_or(0);
    // `breakeven` is the last, and gets the first and strongest look.
    Look {
        dash: &[],
        ..look((place + 1) % Regulator::ALL.len())
    }
}

fn front(simulation: &Simulation<'_>) -> Option<Figure> {
    let choices = simulation.choices;
    let mut rates: Vec<Option<Rate>> = Vec::new();
    for choice in choices {
        if !rates.contains(&choice.rate) {
            rates.push(choice.rate);
        }
    }
    if rates.is_empty() {
        return None;
    }
    let keys = Regulator::ALL.into_iter().map(|regulator| Key {
        name: regulator.name().to_owned(),
        look: regulator_look(regulator),
        area: false,
    });
    let panels = some(&rates, DISTRIBUTIONS).into_iter().map(|rate| {
        let here: Vec<&Choice> = choices.iter().filter(|c| c.rate == rate).collect();
        front_plot(&point_title(rate, None), &here)
    });
    Some(Figure {
        id: "front",
        title: "The front: mean wait against transfers a packet, all regulators and holds".to_owned(),
        caption: "A point is a regulator with one hold, from 20 µs to 20 ms. Further down is less wait, further left is \
                  less work; the grey line joins those that nothing beats. Waits of less than 0.1 µs are drawn at the \
                  lower edge."
            .to_owned(),
        definitions: &["front", "wait", "simulated"],
        basis: basis(simulation),
        keys: keys.collect(),
        panels: panels.collect(),
    })
}

fn front_plot(title: &str, choices: &[&Choice]) -> Plot {
    let wait = |c: &Choice| (c.mean_wait_us * 1000.0).max(LEAST_WAIT);
    let (unit, unit_name) = time_unit(choices.iter().map(|c| wait(c)).fold(0.0, f64::max));
    let at = |c: &&Choice| (c.transfers_per_packet, wait(c) / unit);
    let best: Vec<Point> = choices.iter().filter(|c| c.on_front).map(at).collect();
    let steps = Look {
        colour: FAINT,
        dash: &[],
        marker: None,
    };
    let line = Draw::Line {
        points: front_of(&best),
        marked: Vec::new(),
    };
    let mut layers = vec![Layer::new("front", steps, line).weight(1.8)];
    for regulator in Regulator::ALL {
        let mut own: Vec<&&Choice> = choices
            .iter()
            .filter(|c| c.regulator == regulator)
            .collect();
        own.sort_by_key(|c| c.hold);
        let points: Vec<Point> = own.into_iter().map(at).collect();
        let draw = Draw::Line {
            marked: points.clone(),
            points,
        };
        let weight = if regulator == Regulator::BreakEven {
            0.9
        } else {
            0.45
        };
        layers.push(Layer::new(regulator.name(), regulator_look(regulator), draw).weight(weight));
    }
    Plot {
        title: title.to_owned(),
        x: Axis::values(
            "transfers a packet (log)",
            Scale::log(choices.iter().map(|c| c.transfers_per_packet)),
        ),
        y: Axis::values(
            format!("mean wait ({unit_name}, log)"),
            Scale::log(choices.iter().map(|c| wait(c))).in_unit(unit),
        ),
        layers,
        note: Some(Note {
            text: format!("{} of {} on the front", best.len(), choices.len()),
            on_top: true,
        }),
    }
}
