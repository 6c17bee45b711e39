//! Where the instructions of a packet go: a flame graph of domains, parts and functions, and what differs between variants.

use crate::figures::axis::Scale;
use crate::figures::chart::{Axis, Bar, Draw, Figure, Key, Layer, Plot};
use crate::figures::of_run::{basis, rate_title};
use crate::figures::style::{Colour, FAINT, INK, Look, PAPER, SOFT, look};
use crate::instructions::{Part, Place, VariantInstructions, differences};
use crate::run_analysis::Analysis;
use crate::text::three_digits;

/// A function with a smaller share of a packet's instructions is drawn together with its likes.
const SHARE: f64 = 0.005;
/// So many functions stand in the figure of differences.
const LARGEST: usize = 14;
/// So many variants are drawn.
const VARIANTS: usize = 6;

/// From top to bottom: what is split further below.
const LEVELS: [&str; 3] = ["domain", "part", "function"];

/// Domains, parts and functions by their instructions a packet; none where nothing was counted.
pub fn flames(run: &Analysis) -> Option<Figure> {
    let (counted, left_out) = drawn(run);
    let all = |one: &VariantInstructions| one.sum(|_| true).instructions;
    let widest = counted.iter().map(all).fold(0.0, f64::max);
    let (mut layers, mut names) = (Vec::new(), Vec::new());
    for one in &counted {
        let top = names.len();
        names.push(format!("{}: {}", title(one), LEVELS[0]));
        names.extend(LEVELS[1..].iter().map(|level| (*level).to_owned()));
        layers.extend(flame(one, top));
    }
    (!counted.is_empty()).then(|| Figure {
        id: "instructions",
        title: "Where the instructions of a packet go".to_owned(),
        caption: format!(
            "Instructions a packet that was sent, split by domain, part and function from above; functions with less than {} % \
             together at the end of their part. Counted by QEMU, each instruction of each trial; the agent through which the \
             controller speaks is left out.{left_out}",
            SHARE * 100.0
        ),
        definitions: &["instructions"],
        basis: basis(run),
        keys: keys(),
        panels: vec![Plot {
            title: String::new(),
            x: Axis::values(
                "instructions a packet",
                Scale::Linear {
                    from: 0.0,
                    to: widest,
                },
            ),
            y: Axis::list(names),
            layers,
            note: None,
        }],
    })
}

/// What is drawn, and the end of the caption where that is not all.
fn drawn(run: &Analysis) -> (Vec<VariantInstructions>, String) {
    let mut counted = run.instructions();
    let all = counted.len();
    // Of a sweep the last point, where there is most to do.
    let last = counted.last().and_then(|one| one.rate);
    counted.retain(|one| one.rate == last);
    counted.truncate(VARIANTS);
    let left_out = if counted.len() < all {
        format!(
            " Drawn: {} of {all} variants and rates; the tables have all.",
            counted.len()
        )
    } else {
        String::new()
    };
    (counted, left_out)
}

fn title(one: &VariantInstructions) -> String {
    match one.rate {
        Some(_) => format!("{}, {}", one.variant, rate_title(one.rate)),
        None => one.variant.clone(),
    }
}

/// Eight areas side by side: each has a colour of its own, and a text colour that reads on it.
fn colours(part: Part) -> (Colour, Colour) {
    match part {
        Part::Netback => (Colour(0x00, 0x72, 0xb2), PAPER),
        Part::Netfront => (Colour(0xd5, 0x5e, 0x00), PAPER),
        Part::Bridge => (INK, PAPER),
        Part::Captures => (Colour(0x00, 0x9e, 0x73), PAPER),
        Part::Stack => (Colour(0x8f, 0x3f, 0x6f), PAPER),
        Part::Kernel => (Colour(0x56, 0xb4, 0xe9), INK),
        Part::Programs => (FAINT, INK),
        Part::Hypervisor => (Colour(0xf2, 0xc1, 0x4e), INK),
    }
}

fn area(colour: Colour) -> Look {
    Look {
        colour,
        dash: &[],
        marker: None,
    }
}

fn keys() -> Vec<Key> {
    let key = |part: &Part| Key {
        name: part.name().to_owned(),
        look: area(colours(*part).0),
        area: true,
    };
    Part::ALL.iter().map(key).collect()
}

/// Every second of several neighbours of one colour is paler, so that one sees where each ends.
fn paler(Colour(r, g, b): Colour) -> Colour {
    let pale = |c: u8| c + (255 - c) / 4;
    Colour(pale(r), pale(g), pale(b))
}

/// Three rows of bars, from `top` on.
fn flame(one: &VariantInstructions, top: usize) -> Vec<Layer> {
    let whole = one.sum(|_| true).instructions;
    let mut layers = Vec::new();
    let mut at = 0.0;
    let mut bar =
        |level: usize, from: f64, wide: f64, series: String, text: &str, (colour, ink)| {
            let bar = Bar {
                at: (top + level) as f64,
                thick: 0.96,
                from,
                to: from + wide,
                inside: Some((text.to_owned(), ink)),
                behind: None,
            };
            layers.push(Layer::new(series, area(colour), Draw::Bars(vec![bar])));
        };
    for (n, domain) in one.domains().into_iter().enumerate() {
        let in_domain = one.sum(|(of, ..)| of == domain).instructions;
        let mut within = at;
        for part in Part::ALL {
            let spent = one
                .sum(|(of, is, _)| of == domain && *is == part)
                .instructions;
            if spent == 0.0 {
                continue;
            }
            let (colour, ink) = colours(part);
            let series = format!("{domain}: {}", part.name());
            bar(1, within, spent, series, part.name(), (colour, ink));
            let mut here = within;
            for (n, (name, spent)) in functions(one, domain, part, SHARE * whole)
                .iter()
                .enumerate()
            {
                let colour = if n % 2 == 0 { colour } else { paler(colour) };
                bar(
                    2,
                    here,
                    *spent,
                    format!("{domain}: {name}"),
                    name,
                    (colour, ink),
                );
                here += spent;
            }
            within += spent;
        }
        let colour = if n % 2 == 0 { SOFT } else { INK };
        bar(0, at, in_domain, domain.to_owned(), domain, (colour, PAPER));
        at += in_domain;
    }
    layers
}

/// A part's functions, the largest first; those below a limit together at the end.
fn functions(
    one: &VariantInstructions,
    domain: &str,
    part: Part,
    limit: f64,
) -> Vec<(String, f64)> {
    let of_part = one
        .by
        .iter()
        .filter(|((of, is, _), _)| of == domain && *is == part);
    let all = of_part.map(|((.., name), spent)| (name.clone(), spent.instructions));
    let (mut large, small): (Vec<_>, Vec<_>) = all.partition(|(_, spent)| *spent >= limit);
    large.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    if !small.is_empty() {
        let rest = small.iter().map(|(_, spent)| spent).sum();
        large.push((format!("{} others", small.len()), rest));
    }
    large
}

/// The functions in which variants differ most from the first.
pub fn against_first(run: &Analysis) -> Option<Figure> {
    let (counted, left_out) = drawn(run);
    let (first, others) = counted.split_first()?;
    let found = largest(first, others);
    if found.is_empty() {
        return None;
    }
    // The first variant's look is taken: it is what the others are held against.
    let looks = || others.iter().zip(1..).map(|(other, n)| (other, look(n)));
    let thick = 0.8 / others.len() as f64;
    let mut layers: Vec<Layer> = looks()
        .enumerate()
        .map(|(v, (other, look))| {
            let bars = found.iter().enumerate().map(|(n, place)| {
                let more = more(first, other, place);
                Bar {
                    at: n as f64 + (v as f64 + 0.5 - others.len() as f64 / 2.0) * thick,
                    thick: thick * 0.88,
                    from: 0.0,
                    to: more,
                    inside: None,
                    behind: Some(signed(more)),
                }
            });
            Layer::new(title(other), look, Draw::Bars(bars.collect()))
        })
        .collect();
    layers.push(Layer::new("", area(INK), Draw::Rule(0.0)));
    let totals: Vec<String> = others
        .iter()
        .map(|other| {
            let total = other.sum(|_| true).instructions - first.sum(|_| true).instructions;
            format!("{} {}", title(other), signed(total))
        })
        .collect();
    let ends = found
        .iter()
        .flat_map(|place| others.iter().map(|other| more(first, other, place)));
    let axis = Axis::values(
        format!("instructions a packet against {}", title(first)),
        Scale::linear(ends.collect::<Vec<f64>>(), true),
    );
    let name = |(domain, _, function): &Place| format!("{domain}: {function}");
    let names = found.iter().map(name).collect();
    Some(Figure {
        id: "instruction-differences",
        title: format!("Instructions a packet, against {}", title(first)),
        caption: format!(
            "The {} functions in which variants differ most from {}: instructions a packet more (to the right) or fewer. All functions \
             together: {}. Exact: the same trials again give the same counts.{left_out}",
            found.len(),
            title(first),
            totals.join(", "),
        ),
        definitions: &["instructions"],
        basis: basis(run),
        keys: looks()
            .map(|(other, look)| Key {
                name: title(other),
                look,
                area: true,
            })
            .collect(),
        panels: vec![Plot {
            title: String::new(),
            x: axis,
            y: Axis::list(names),
            layers,
            note: None,
        }],
    })
}

fn signed(n: f64) -> String {
    let sign = if n < 0.0 { "\u{2212}" } else { "+" };
    format!("{sign}{}", three_digits(n.abs()))
}

fn more(first: &VariantInstructions, other: &VariantInstructions, place: &Place) -> f64 {
    let of = |one: &VariantInstructions| one.by.get(place).map_or(0.0, |spent| spent.instructions);
    of(other) - of(first)
}

/// Where any variant differs most from the first, the largest difference first.
fn largest(first: &VariantInstructions, others: &[VariantInstructions]) -> Vec<Place> {
    let mut all: Vec<(f64, &Place)> = others
        .iter()
        .flat_map(|other| differences(first, other, LARGEST))
        .map(|d| (d.more().abs(), d.place))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let mut places: Vec<Place> = Vec::new();
    for (_, place) in all {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    places.truncate(LARGEST);
    places
}
