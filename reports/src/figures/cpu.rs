//! CPU time by domain and variant.

use vifbench_scenarios::units::Rate;

use crate::analysis::Analysis;
use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Bar, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::{
    basis, detailed_caption, detailed_rates, detailed_variants, rate_title, trials_of,
};
use crate::figures::style::{INK, Look, look};
use crate::text::three_digits;

/// None where no domain was sampled.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let variants = detailed_variants(run);
    let mut domains: Vec<(u32, &str)> = Vec::new();
    for domain in run.summary.trials.iter().flat_map(|t| &t.domains) {
        // A guest that was made again has another id, but keeps its name.
        match domains.iter_mut().find(|(_, name)| *name == domain.name) {
            Some((id, _)) => *id = (*id).min(domain.domid),
            None => domains.push((domain.domid, &domain.name)),
        }
    }
    domains.sort_unstable();
    let domains: Vec<&str> = domains.into_iter().map(|(_, name)| name).collect();
    if domains.is_empty() {
        return None;
    }
    let sampled = |rate: &Option<Rate>| {
        let mut trials = run.summary.trials.iter();
        trials.any(|t| t.rate == *rate && !t.domains.is_empty())
    };
    let plots = detailed_rates(run)
        .into_iter()
        .filter(sampled)
        .map(|rate| plot(run, rate, &variants, &domains));
    Some(Figure {
        id: "cpu",
        title: "CPU time by domain and variant".to_owned(),
        caption: detailed_caption(
            run,
            "Mean over the trials of a variant, with the smallest and largest trial where there are several.",
        ),
        definitions: &["cpu"],
        basis: basis(run),
        keys: Key::areas(&variants),
        panels: plots.collect(),
    })
}

fn plot(run: &Analysis, rate: Option<Rate>, variants: &[&str], domains: &[&str]) -> Plot {
    let values = |variant: &str, domain: &str| -> Vec<f64> {
        trials_of(run, rate, variant)
            .filter_map(|i| {
                run.summary.trials[i]
                    .domains
                    .iter()
                    .find(|d| d.name == domain)
            })
            .map(|d| d.percent)
            .collect()
    };
    let thick = 0.8 / variants.len() as f64;
    let mut greatest = 0.0_f64;
    let mut layers = Vec::new();
    for (v, variant) in variants.iter().enumerate() {
        let (mut bars, mut spans) = (Vec::new(), Vec::new());
        for (d, domain) in domains.iter().enumerate() {
            let values = values(variant, domain);
            if values.is_empty() {
                continue;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            greatest = greatest.max(high);
            let at = d as f64 + (v as f64 + 0.5 - variants.len() as f64 / 2.0) * thick;
            bars.push(Bar {
                at,
                thick: thick * 0.88,
                from: 0.0,
                to: mean,
                inside: None,
                behind: Some(format!("{} %", three_digits(mean))),
            });
            if high > low {
                spans.push((at, low, mean, high));
            }
        }
        layers.push(Layer::new(*variant, look(v), Draw::Bars(bars)));
        let ends = Look {
            colour: INK,
            dash: &[],
            marker: None,
        };
        layers.push(Layer::new(*variant, ends, Draw::Intervals(spans)).weight(0.7));
    }
    Plot {
        title: rate_title(rate),
        x: Axis::values("% of one CPU", Scale::linear([0.0, greatest], true)),
        y: Axis::list(domains.iter().map(|d| (*d).to_owned()).collect()),
        layers,
        note: None,
    }
}
