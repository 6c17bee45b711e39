//! Offered against achieved rate over time.

use vifbench_scenarios::units::Rate;

use crate::analysis::Analysis;
use crate::figures::Figure;
use crate::figures::axis::Scale;
use crate::figures::font;
use crate::figures::frame::{Frame, Key, Panel, grid, plain, rows, trials_of};
use crate::figures::scene::Across;
use crate::figures::style::{Colour, Look, SHADE, SMALL, SOFT, look};
use crate::metrics::rate::Series;

const ROW: f64 = 260.0;

/// Offered: wide and pale, so that what lies on it is seen.
const OFFERED: Look = Look {
    colour: Colour(0xb5, 0xb5, 0xb5),
    dash: &[],
    marker: None,
};

/// None where nothing was measured.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let variants = run.summary.variant_names();
    let mut panels: Vec<(Option<Rate>, &str, Vec<&Series>)> = Vec::new();
    for rate in run.summary.rates() {
        for variant in &variants {
            let series: Vec<&Series> = trials_of(run, rate, variant)
                .filter_map(|i| run.trials[i].values.as_ref().map(|v| &v.series))
                .collect();
            if !series.is_empty() {
                panels.push((rate, variant, series));
            }
        }
    }
    if panels.is_empty() {
        return None;
    }
    let keys = [
        ("offered: due by the schedule", OFFERED),
        ("achieved: captured at tx", look(0)),
        ("received: arrived at rx, by send time", look(1)),
    ]
    .map(|(name, look)| Key {
        name: name.to_owned(),
        look: Some(look),
        area: None,
    });
    let columns = variants.len().clamp(1, 2);
    let title = "Offered against achieved rate over time, all flows";
    let mut frame = Frame::new(title, run, &keys, rows(columns, panels.len()) * ROW);
    let cells = grid(frame.top, columns, panels.len(), ROW);
    for ((rate, variant, series), cell) in panels.iter().zip(cells) {
        let Some(first) = series.first() else {
            continue;
        };
        // Trials of one point of the sweep have the same bins; a mean over them is drawn.
        let mean = |pick: fn(&Series) -> &Vec<u32>| -> Vec<f64> {
            (0..pick(first).len())
                .map(|bin| {
                    let sum: f64 = series
                        .iter()
                        .filter_map(|s| pick(s).get(bin))
                        .map(|n| f64::from(*n))
                        .sum();
                    sum / series.len() as f64 / (first.bin_ns as f64 / 1e9)
                })
                .collect()
        };
        let lines = [
            (OFFERED, mean(|s| &s.due)),
            (look(0), mean(|s| &s.tx)),
            (look(1), mean(|s| &s.rx)),
        ];
        let seconds = |bin: f64| (first.from_ns as f64 + bin * first.bin_ns as f64) / 1e9;
        let end = seconds(first.tx.len() as f64);
        let panel = Panel::in_cell(
            cell,
            Scale::Linear {
                from: seconds(0.0),
                to: end,
            },
            Scale::linear(lines.iter().flat_map(|(_, l)| l.iter().copied()), true),
        );
        let scene = &mut frame.scene;
        if first.from_ns < 0 {
            let zero = panel.at(0.0, 0.0).0;
            scene.rect(panel.left, panel.top, zero, panel.bottom, SHADE);
        }
        let name = match rate {
            Some(rate) => format!("{variant}, {rate} a flow"),
            None => (*variant).to_owned(),
        };
        panel.draw(
            scene,
            &name,
            ("time since the measured part began (s)", "packets/s"),
            true,
        );
        if first.from_ns < 0 {
            let zero = panel.at(0.0, 0.0).0;
            let room = zero - panel.left - 8.0;
            if font::width("warm-up", SMALL, false) <= room {
                let at = (panel.left + 5.0, panel.bottom - 10.0);
                plain(scene, "warm-up", at, Across::Left, SMALL, SOFT);
            }
        }
        for (n, (look, line)) in lines.iter().enumerate() {
            let points: Vec<_> = line
                .iter()
                .enumerate()
                .map(|(bin, rate)| panel.at(seconds(bin as f64 + 0.5), *rate))
                .collect();
            let width = if n == 0 { 6.0 } else { 2.0 };
            scene.line(points.clone(), look.colour, width, look.dash);
            if n > 0 {
                // Markers alternate, so that one line does not hide the other's.
                for at in points.into_iter().skip(n * 4).step_by(10) {
                    look.mark(scene, at, 8.0);
                }
            }
        }
    }
    Some(Figure {
        id: "rates",
        title: title.to_owned(),
        caption: "Mean over the trials of a variant. Where achieved leaves offered, the generator did not send what \
                  was asked; where received leaves achieved, packets were lost. The warm-up is shaded and not \
                  counted."
            .to_owned(),
        definitions: &["rate", "gap", "measured"],
        scene: frame.scene,
    })
}
