//! Figures of a simulation.

use vifbench_model::experiment::Outcome;
use vifbench_model::pareto::Choice;
use vifbench_scenarios::scenario::Regulator;
use vifbench_scenarios::units::{Rate, Span};

use crate::figures::Figure;
use crate::figures::axis::{Scale, time_unit};
use crate::figures::frame::{Cell, Frame, Key, Panel, grid, plain, rows};
use crate::figures::scene::{Across, Scene};
use crate::figures::style::{Look, SMALL, SOFT, look};
use crate::simulated::{SIMULATED_MARK, Simulation};
use crate::text::count;

/// Points of a drawn distribution.
const STEPS: usize = 400;
/// Distributions are drawn for so many points of the sweep at most: the first, the last, and some between.
const DISTRIBUTIONS: usize = 6;
const ROW: f64 = 330.0;
/// Waits below this many nanoseconds are drawn at this: a logarithm has no zero.
const LEAST_WAIT: f64 = 100.0;

/// All figures that there is something to draw for.
pub fn figures(simulation: &Simulation<'_>) -> Vec<Figure> {
    [
        distributions(simulation),
        against_rate(simulation),
        against_hold(simulation),
        front(simulation),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn frame(simulation: &Simulation<'_>, title: &str, keys: &[Key], height: f64) -> Frame {
    let packets: u64 = simulation
        .outcomes
        .iter()
        .map(|o| o.measure.packets())
        .sum();
    let basis = format!(
        "{} simulated packets  ·  scenario {}, seed {}",
        count(packets),
        simulation.scenario.name,
        simulation.seed
    );
    Frame::with_lines(title, &[basis, format!("▲ {SIMULATED_MARK}")], keys, height)
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

fn distributions(simulation: &Simulation<'_>) -> Option<Figure> {
    let names = variants(simulation);
    let swept_hold = !simulation.scenario.sweep.hold.is_empty();
    let drawn = |(rate, hold): (Option<Rate>, Option<Span>)| -> Vec<(usize, Vec<(u64, f64)>)> {
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
    let panels: Vec<_> = some(&points(simulation.outcomes, swept_hold), DISTRIBUTIONS)
        .into_iter()
        .map(|point| (point_title(point.0, point.1), drawn(point)))
        .filter(|(_, series)| !series.is_empty())
        .collect();
    if panels.is_empty() {
        return None;
    }
    let columns = panels.len().min(2);
    let title = "Waits: distribution by variant";
    let height = rows(columns, panels.len()) * ROW;
    let mut frame = frame(simulation, title, &Key::variants(&names), height);
    for ((name, series), cell) in panels
        .iter()
        .zip(grid(frame.top, columns, panels.len(), ROW))
    {
        let ends = series
            .iter()
            .flat_map(|(_, points)| [points.first(), points.last()])
            .flatten();
        let ends: Vec<f64> = ends
            .map(|(wait, _)| (*wait as f64).max(LEAST_WAIT))
            .collect();
        let (unit, unit_name) = time_unit(ends.iter().copied().fold(0.0, f64::max));
        let scale = Scale::log(ends).in_unit(unit);
        let panel = Panel::in_cell(cell, scale, Scale::Linear { from: 0.0, to: 1.0 });
        let x_title = format!("wait ({unit_name}, log; left edge: none)");
        panel.draw(
            &mut frame.scene,
            name,
            (&x_title, "share of packets not above"),
            true,
        );
        for (i, points) in series {
            let look = look(*i);
            let at = |wait: u64, share: f64| panel.at((wait as f64).max(LEAST_WAIT) / unit, share);
            let mut line = vec![at(points[0].0, 0.0)];
            let mut before = 0.0;
            for (wait, share) in points {
                // Steps, so that a share that waits equally long stands upright.
                line.push(at(*wait, before));
                line.push(at(*wait, *share));
                before = *share;
            }
            line.push((panel.right, panel.at(1.0, before).1));
            line.dedup();
            frame.scene.line(line, look.colour, 2.2, look.dash);
            for share in [0.1, 0.5, 0.9, 0.99] {
                if let Some((wait, _)) = points.iter().find(|(_, s)| *s >= share) {
                    look.mark(&mut frame.scene, at(*wait, share), 9.0);
                }
            }
        }
    }
    Some(Figure {
        id: "waits",
        title: title.to_owned(),
        caption: "Every measured packet of all blocks. A curve further left is faster; a steeper one varies less. \
                  Markers stand at p10, p50, p90 and p99."
            .to_owned(),
        definitions: &["wait", "simulated"],
        scene: frame.scene,
    })
}

/// One line: a variant's values along an axis.
type Line = (usize, Vec<(f64, f64)>);

/// A panel of lines over a logarithmic axis.
struct Plot<'p> {
    name: &'p str,
    x_title: &'p str,
    y_title: String,
    y: Scale,
    lines: Vec<Line>,
}

impl Plot<'_> {
    fn draw(&self, scene: &mut Scene, cell: Cell) {
        let xs = self
            .lines
            .iter()
            .flat_map(|(_, points)| points.iter().map(|p| p.0));
        let panel = Panel::in_cell(cell, Scale::log(xs), self.y);
        panel.draw(scene, self.name, (self.x_title, &self.y_title), true);
        for (i, points) in &self.lines {
            let look = look(*i);
            let places: Vec<_> = points.iter().map(|(x, y)| panel.at(*x, *y)).collect();
            scene.line(places.clone(), look.colour, 2.2, look.dash);
            for at in places {
                look.mark(scene, at, 9.0);
            }
        }
    }
}

/// Lines of all variants: `x` of an outcome, and `y` where it has one.
fn lines(
    simulation: &Simulation<'_>,
    x: impl Fn(&Outcome) -> Option<f64>,
    y: impl Fn(&Outcome) -> Option<f64>,
) -> Vec<Line> {
    variants(simulation)
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let mut points: Vec<(f64, f64)> = simulation
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

fn waits_plot<'p>(name: &'p str, x_title: &'p str, lines: Vec<Line>) -> Plot<'p> {
    let all: Vec<f64> = lines
        .iter()
        .flat_map(|(_, points)| points.iter().map(|p| p.1))
        .collect();
    let (unit, unit_name) = time_unit(all.iter().copied().fold(0.0, f64::max));
    let y = Scale::log(all).in_unit(unit);
    Plot {
        name,
        x_title,
        y_title: format!("mean wait ({unit_name}, log)"),
        y,
        lines: lines
            .into_iter()
            .map(|(i, points)| {
                (
                    i,
                    points.into_iter().map(|(x, ns)| (x, ns / unit)).collect(),
                )
            })
            .collect(),
    }
}

fn mean_wait(outcome: &Outcome) -> Option<f64> {
    outcome
        .measure
        .mean_wait()
        .filter(|_| has_waits(outcome))
        .map(|wait| wait.max(LEAST_WAIT))
}

fn count_plot<'p>(name: &'p str, x_title: &'p str, y_title: &str, lines: Vec<Line>) -> Plot<'p> {
    let all: Vec<f64> = lines
        .iter()
        .flat_map(|(_, points)| points.iter().map(|p| p.1))
        .collect();
    Plot {
        name,
        x_title,
        y_title: y_title.to_owned(),
        y: Scale::log(all),
        lines,
    }
}

fn against_rate(simulation: &Simulation<'_>) -> Option<Figure> {
    if simulation.scenario.sweep.rate.len() < 2 || simulation.scenario.sweep.hold.len() > 1 {
        return None;
    }
    let rate = |o: &Outcome| o.rate.map(|rate| rate.per_sec_f64() / 1000.0);
    let x_title = "1000 packets a second of each flow (log)";
    let waits = lines(simulation, rate, mean_wait);
    let packets = lines(simulation, rate, |o| o.measure.packets_per_transfer());
    two_plots(
        simulation,
        "against-rate",
        "Wait and packets a container against the rate",
        "A line ends where dom0 could no longer keep up. Waits of less than 0.1 µs are drawn at 0.1 µs.",
        &[
            waits_plot("What a packet waits", x_title, waits),
            count_plot(
                "What a transfer carries",
                x_title,
                "packets a container (log)",
                packets,
            ),
        ],
    )
}

fn against_hold(simulation: &Simulation<'_>) -> Option<Figure> {
    if simulation.scenario.sweep.hold.len() < 2 || simulation.scenario.sweep.rate.len() > 1 {
        return None;
    }
    let hold = |o: &Outcome| o.hold.map(|hold| hold.nanos() as f64 / 1000.0);
    let x_title = "T0 (µs, log)";
    let waits = lines(simulation, hold, mean_wait);
    let samples = lines(simulation, hold, |o| o.measure.samples_per_s());
    let second = if samples.is_empty() {
        let packets = lines(simulation, hold, |o| o.measure.packets_per_transfer());
        count_plot(
            "What a transfer carries",
            x_title,
            "packets a container (log)",
            packets,
        )
    } else {
        count_plot(
            "What the closed loops reach",
            x_title,
            "samples a second (log)",
            samples,
        )
    };
    two_plots(
        simulation,
        "against-hold",
        "What the hold does",
        "Variants that hold nothing are the same at every T0. Waits of less than 0.1 µs are drawn at 0.1 µs.",
        &[waits_plot("What a packet waits", x_title, waits), second],
    )
}

fn two_plots(
    simulation: &Simulation<'_>,
    id: &'static str,
    title: &str,
    caption: &str,
    plots: &[Plot<'_>; 2],
) -> Option<Figure> {
    if plots.iter().all(|plot| plot.lines.is_empty()) {
        return None;
    }
    let keys = Key::variants(&variants(simulation));
    let mut frame = frame(simulation, title, &keys, ROW * 1.15);
    for (plot, cell) in plots.iter().zip(grid(frame.top, 2, 2, ROW * 1.15)) {
        plot.draw(&mut frame.scene, cell);
    }
    Some(Figure {
        id,
        title: title.to_owned(),
        caption: caption.to_owned(),
        definitions: &["wait", "container", "simulated"],
        scene: frame.scene,
    })
}

/// A regulator keeps its look whichever of them are drawn; our own stands out.
fn regulator_look(regulator: Regulator) -> Look {
    let place = Regulator::ALL
        .iter()
        .position(|r| *r == regulator)
        .unwrap_or(0);
    // `breakeven` is the last, and gets the first and strongest look.
    look((place + 1) % Regulator::ALL.len())
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
    let keys: Vec<Key> = Regulator::ALL
        .into_iter()
        .map(|regulator| Key {
            name: regulator.name().to_owned(),
            look: Some(Look {
                dash: &[],
                ..regulator_look(regulator)
            }),
            area: None,
        })
        .collect();
    let shown = some(&rates, DISTRIBUTIONS);
    let columns = shown.len().min(2);
    let row = if columns == 1 { 440.0 } else { 380.0 };
    let title = "The front: mean wait against transfers a packet, all regulators and holds";
    let mut frame = frame(simulation, title, &keys, rows(columns, shown.len()) * row);
    for (rate, cell) in shown.iter().zip(grid(frame.top, columns, shown.len(), row)) {
        let here: Vec<&Choice> = choices.iter().filter(|c| c.rate == *rate).collect();
        draw_front(&mut frame.scene, cell, &point_title(*rate, None), &here);
    }
    Some(Figure {
        id: "front",
        title: title.to_owned(),
        caption: "A point is a regulator with one hold, from 20 µs to 20 ms. Further down is less wait, further left is \
                  less work; the grey line joins those that nothing beats. Waits of less than 0.1 µs are drawn at the \
                  lower edge."
            .to_owned(),
        definitions: &["front", "wait", "simulated"],
        scene: frame.scene,
    })
}

fn draw_front(scene: &mut Scene, cell: Cell, name: &str, choices: &[&Choice]) {
    let wait = |c: &Choice| (c.mean_wait_us * 1000.0).max(LEAST_WAIT);
    let largest = choices.iter().map(|c| wait(c)).fold(0.0, f64::max);
    let (unit, unit_name) = time_unit(largest);
    let x = Scale::log(choices.iter().map(|c| c.transfers_per_packet));
    let y = Scale::log(choices.iter().map(|c| wait(c))).in_unit(unit);
    let panel = Panel::in_cell(cell, x, y);
    let y_title = format!("mean wait ({unit_name}, log)");
    panel.draw(scene, name, ("transfers a packet (log)", &y_title), true);
    let at = |c: &Choice| panel.at(c.transfers_per_packet, wait(c) / unit);
    let mut best: Vec<&&Choice> = choices.iter().filter(|c| c.on_front).collect();
    best.sort_by(|a, b| b.transfers_per_packet.total_cmp(&a.transfers_per_packet));
    // Between two of them nothing is promised: steps, not slopes.
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for choice in best {
        let (x, y) = at(choice);
        if let Some((_, before)) = steps.last().copied() {
            steps.push((x, before));
        }
        steps.push((x, y));
    }
    scene.line(
        steps,
        crate::figures::style::Colour(0xb5, 0xb5, 0xb5),
        4.0,
        &[],
    );
    for regulator in Regulator::ALL {
        let look = regulator_look(regulator);
        let ours = regulator == Regulator::BreakEven;
        let mut own: Vec<&&Choice> = choices
            .iter()
            .filter(|c| c.regulator == regulator)
            .collect();
        own.sort_by_key(|c| c.hold);
        let places: Vec<_> = own.iter().map(|c| at(c)).collect();
        scene.line(
            places.clone(),
            look.colour,
            if ours { 1.8 } else { 0.7 },
            &[],
        );
        for place in places {
            look.mark(scene, place, if ours { 10.0 } else { 7.0 });
        }
    }
    let beaten = choices.iter().filter(|c| !c.on_front).count();
    let note = format!(
        "{} of {} on the front",
        choices.len() - beaten,
        choices.len()
    );
    let corner = (panel.right - 8.0, panel.top + 12.0);
    plain(scene, &note, corner, Across::Right, SMALL, SOFT);
}
