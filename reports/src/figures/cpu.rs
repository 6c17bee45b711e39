//! CPU time by domain and variant.

use vifbench_scenarios::units::Rate;

use crate::analysis::Analysis;
use crate::figures::Figure;
use crate::figures::axis::Scale;
use crate::figures::font;
use crate::figures::frame::{Frame, Key, Panel, fit, grid, plain, rows, trials_of};
use crate::figures::scene::Across;
use crate::figures::style::{INK, SMALL, TEXT, look};
use crate::text::three_digits;

const ROW: f64 = 320.0;

/// None where no domain was sampled.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let variants = run.summary.variant_names();
    let mut domains: Vec<(u32, &str)> = Vec::new();
    for domain in run.summary.trials.iter().flat_map(|t| &t.domains) {
        // A guest that was made again has another id, but keeps its name.
        match domains.iter_mut().find(|(_, name)| *name == domain.name) {
            Some((id, _)) => *id = (*id).min(domain.domid),
            None => domains.push((domain.domid, &domain.name)),
        }
    }
    domains.sort_unstable();
    if domains.is_empty() {
        return None;
    }
    let rates: Vec<Option<Rate>> = run
        .summary
        .rates()
        .into_iter()
        .filter(|rate| {
            run.summary
                .trials
                .iter()
                .any(|t| t.rate == *rate && !t.domains.is_empty())
        })
        .collect();
    let columns = if domains.len() * variants.len() > 6 {
        1
    } else {
        rates.len().min(2)
    };
    let title = "CPU time by domain and variant";
    let mut frame = Frame::new(
        title,
        run,
        &Key::areas(&variants),
        rows(columns, rates.len()) * ROW,
    );
    for (rate, cell) in rates.iter().zip(grid(frame.top, columns, rates.len(), ROW)) {
        let values = |variant: &str, domain: &str| -> Vec<f64> {
            trials_of(run, *rate, variant)
                .filter_map(|i| {
                    run.summary.trials[i]
                        .domains
                        .iter()
                        .find(|d| d.name == domain)
                })
                .map(|d| d.percent)
                .collect()
        };
        let all = variants
            .iter()
            .flat_map(|v| domains.iter().flat_map(|(_, d)| values(v, d)));
        let all: Vec<f64> = all.collect();
        // Room above the bars for their values.
        let greatest = all.iter().copied().fold(0.0, f64::max) * 1.12;
        let panel = Panel::in_cell(
            cell,
            Scale::Linear {
                from: -0.5,
                to: domains.len() as f64 - 0.5,
            },
            Scale::linear([0.0, greatest], true),
        );
        let scene = &mut frame.scene;
        let name = rate.map_or_else(String::new, |r| format!("{r} a flow"));
        panel.draw(scene, &name, ("domain", "% of one CPU"), false);
        let slot = (panel.right - panel.left) / domains.len() as f64;
        let bar = (slot * 0.8 / variants.len() as f64).min(70.0);
        for (d, (_, domain)) in domains.iter().enumerate() {
            let (middle, _) = panel.at(d as f64, 0.0);
            let label = fit(domain, TEXT, slot - 8.0);
            plain(
                scene,
                &label,
                (middle, panel.bottom + 14.0),
                Across::Middle,
                SMALL,
                INK,
            );
            for (v, variant) in variants.iter().enumerate() {
                let values = values(variant, domain);
                let Some(mean) = mean(&values) else { continue };
                let left = middle + (v as f64 - variants.len() as f64 / 2.0) * bar;
                let (_, top) = panel.at(0.0, mean);
                scene.rect(
                    left + 2.0,
                    top,
                    left + bar - 2.0,
                    panel.bottom,
                    look(v).colour,
                );
                let (low, high) = (
                    values.iter().copied().fold(f64::INFINITY, f64::min),
                    values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                );
                let centre = left + bar / 2.0;
                let (_, y_high) = panel.at(0.0, high);
                let (_, y_low) = panel.at(0.0, low);
                // Less than this cannot be seen.
                if y_low - y_high > 1.5 {
                    scene.line(vec![(centre, y_low), (centre, y_high)], INK, 1.6, &[]);
                    for y in [y_low, y_high] {
                        scene.line(vec![(centre - 5.0, y), (centre + 5.0, y)], INK, 1.6, &[]);
                    }
                }
                let value = three_digits(mean);
                if font::width(&value, SMALL, false) <= bar + 4.0 {
                    let at = (centre, y_high - 9.0);
                    plain(scene, &value, at, Across::Middle, SMALL, INK);
                }
            }
        }
    }
    Some(Figure {
        id: "cpu",
        title: title.to_owned(),
        caption: "Mean over the trials of a variant, with the smallest and largest trial where there are several."
            .to_owned(),
        definitions: &["cpu"],
        scene: frame.scene,
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
