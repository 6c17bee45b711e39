//! CPU time by domain and variant.

use vifbench_scenarios::units::Rate;

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Figure, Key, Plot};
use crate::figures::grouped_bars::{Value, layers};
use crate::figures::of_run::{
    basis, detailed_caption, detailed_rates, detailed_variants, rate_title, trials_of,
};
use crate::run_analysis::Analysis;
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
    let bars = |variant: &str| -> Vec<Value> {
        let of = |(name, domain): (usize, &&str)| {
            let values = values(variant, domain);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (!values.is_empty()).then(|| Value {
                name,
                low: values.iter().copied().fold(f64::INFINITY, f64::min),
                middle: mean,
                high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                text: format!("{} %", three_digits(mean)),
            })
        };
        domains.iter().enumerate().filter_map(of).collect()
    };
    let greatest = variants
        .iter()
        .flat_map(|variant| bars(variant))
        .map(|bar| bar.high)
        .fold(0.0, f64::max);
    Plot {
        title: rate_title(rate),
        x: Axis::values("% of one CPU", Scale::linear([0.0, greatest], true)),
        y: Axis::list(domains.iter().map(|d| (*d).to_owned()).collect()),
        layers: layers(variants, bars),
        note: None,
    }
}
