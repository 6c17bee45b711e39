//! Rate against loss: every trial of a throughput search, and where it ended.

use crate::analysis::Analysis;
use crate::figures::Figure;
use crate::figures::axis::Scale;
use crate::figures::frame::{Frame, Key, Panel, grid, plain, rows};
use crate::figures::scene::Across;
use crate::figures::style::{SHADE, SMALL, SOFT, look};

const ROW: f64 = 360.0;

/// None where the scenario searches nothing.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let asked = run.run.scenario.search.as_ref()?;
    let searches: Vec<_> = run.search.iter().filter(|s| !s.tried.is_empty()).collect();
    if searches.is_empty() {
        return None;
    }
    let names: Vec<&str> = run.search.iter().map(|s| s.variant.as_str()).collect();
    let title = "Throughput search: loss against the rate offered to each flow";
    let mut frame = Frame::new(title, run, &Key::variants(&names), rows(1, 1) * ROW);
    let tried = || searches.iter().flat_map(|s| &s.tried);
    let most = tried().map(|t| t.loss() * 100.0).fold(0.0, f64::max);
    let allowed = asked.loss.of_one() * 100.0;
    let x = Scale::log(tried().map(|t| t.rate.per_sec_f64()));
    let y = Scale::linear([0.0, most.max(allowed * 2.0)], true);
    for cell in grid(frame.top, 1, 1, ROW) {
        let panel = Panel::in_cell(cell, x, y);
        let scene = &mut frame.scene;
        // What a partial drop rate may lose.
        let (_, limit) = panel.at(0.0, allowed);
        scene.rect(panel.left, limit, panel.right, panel.bottom, SHADE);
        panel.draw(scene, "", ("packets/s due to each flow", "% lost"), true);
        let note = format!("a partial drop rate may lose {}", asked.loss);
        let at = (panel.left + 8.0, (limit - 9.0).max(panel.top + 9.0));
        plain(scene, &note, at, Across::Left, SMALL, SOFT);
        for (n, search) in run.search.iter().enumerate() {
            let look = look(n);
            for found in &search.found {
                let Some(rate) = found.lower else { continue };
                let (x, _) = panel.at(rate.per_sec_f64(), 0.0);
                scene.line(
                    vec![(x, panel.top), (x, panel.bottom)],
                    look.colour,
                    1.2,
                    look.dash,
                );
                let name = format!("{} {}", found.goal.name(), rate);
                let down = 12.0 + 14.0 * (n * 2 + usize::from(found.goal.name() == "PDR")) as f64;
                // On the side of the line that has room.
                let middle = f64::midpoint(panel.left, panel.right);
                let (at, across) = if x < middle {
                    ((x + 5.0, panel.top + down), Across::Left)
                } else {
                    ((x - 5.0, panel.top + down), Across::Right)
                };
                plain(scene, &name, at, across, SMALL, look.colour);
            }
            for trial in &search.tried {
                let at = panel.at(trial.rate.per_sec_f64(), trial.loss() * 100.0);
                look.mark(scene, at, 8.0);
            }
        }
    }
    Some(Figure {
        id: "search",
        title: title.to_owned(),
        caption: "Each mark is a trial. A line stands at the highest rate that a variant bears without loss (NDR) and with \
                  the loss allowed (PDR, shaded): the largest load that passed below the smallest that did not."
            .to_owned(),
        definitions: &["ndr", "loss"],
        scene: frame.scene,
    })
}
