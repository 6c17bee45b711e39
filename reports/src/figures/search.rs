//! Rate against loss: every trial of a throughput search, and where it ended.

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::basis;
use crate::figures::style::look;
use crate::run_analysis::Analysis;

/// None where the scenario searches nothing.
pub fn figure(run: &Analysis) -> Option<Figure> {
    let asked = run.run.scenario.search.as_ref()?;
    let tried = || run.search.iter().flat_map(|search| &search.tried);
    tried().next()?;
    let names: Vec<&str> = run.search.iter().map(|s| s.variant.as_str()).collect();
    let percent = |part: f64| part * 100.0;
    let most = tried().map(|t| percent(t.loss())).fold(0.0, f64::max);
    let mut layers = Vec::new();
    let mut told = Vec::new();
    for (n, search) in run.search.iter().enumerate() {
        for found in &search.found {
            if let Some(rate) = found.lower {
                layers.push(Layer::new(
                    format!("{} {}", search.variant, found.goal.name()),
                    look(n),
                    Draw::Rule(rate.per_sec_f64()),
                ));
                told.push(format!("{} {} {rate}", search.variant, found.goal.name()));
            }
        }
    }
    for (n, search) in run.search.iter().enumerate() {
        let mut points: Vec<_> = search
            .tried
            .iter()
            .map(|t| (t.rate.per_sec_f64(), percent(t.loss())))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let draw = Draw::Line {
            marked: points.clone(),
            points,
        };
        layers.push(Layer::new(search.variant.clone(), look(n), draw));
    }
    let plot = Plot {
        title: String::new(),
        x: Axis::values(
            "packets/s due to each flow (log)",
            Scale::log(tried().map(|t| t.rate.per_sec_f64())),
        ),
        y: Axis::values(
            "% lost",
            Scale::linear([0.0, most.max(percent(asked.loss.of_one()) * 2.0)], true),
        ),
        layers,
        note: None,
    };
    Some(Figure {
        id: "search",
        title: "Throughput search: loss against the rate offered".to_owned(),
        caption: format!(
            "Each mark is a trial. Grey lines stand at the highest rate that a variant bears without loss (NDR) and with \
             {} of it (PDR), the largest load that passed below the smallest that did not: {}.",
            asked.loss,
            if told.is_empty() {
                "none was found".to_owned()
            } else {
                told.join("; ")
            }
        ),
        definitions: &["ndr", "loss"],
        basis: basis(run),
        keys: Key::variants(&names),
        panels: vec![plot],
    })
}
