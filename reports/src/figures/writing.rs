//! Text in figures: shortened or broken to the room that it has.

use crate::figures::font;
use crate::figures::scene::{Across, Scene, Text};
use crate::figures::style::Colour;

/// Control characters have no glyph, and names may come from a host.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Shortens a text to the room that it has.
pub fn fit(text: &str, size: f64, room: f64) -> String {
    shorten(text, size, room, |chars, left| {
        chars[..left].iter().chain(&['…']).collect()
    })
}

/// Shortens names to the room that they have. Where that makes two the same, ends are kept instead of beginnings.
pub fn fit_names(names: &[String], size: f64, room: f64) -> Vec<String> {
    let fitted: Vec<String> = names.iter().map(|name| fit(name, size, room)).collect();
    let same = |one: usize| {
        (0..names.len()).any(|two| fitted[one] == fitted[two] && names[one] != names[two])
    };
    (0..names.len())
        .map(|index| {
            if same(index) {
                shorten(&names[index], size, room, |chars, left| {
                    ['…'].iter().chain(&chars[chars.len() - left..]).collect()
                })
            } else {
                fitted[index].clone()
            }
        })
        .collect()
}

/// The longest that fits of what `cut` makes when it keeps so many characters.
fn shorten(text: &str, size: f64, room: f64, cut: impl Fn(&[char], usize) -> String) -> String {
    let clean = clean(text);
    if font::width(&clean, size, false) <= room {
        return clean;
    }
    let chars: Vec<char> = clean.chars().collect();
    (0..chars.len())
        .rev()
        .map(|left| cut(&chars, left))
        .find(|short| font::width(short, size, false) <= room)
        .unwrap_or_else(|| "…".to_owned())
}

/// Breaks a text into lines between its words; a word that is too long for a line is shortened.
pub fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in clean(text).split(' ').filter(|w| !w.is_empty()) {
        if let Some(last) = lines.last_mut() {
            let longer = format!("{last} {word}");
            if font::width(&longer, size, false) <= room {
                *last = longer;
                continue;
            }
        }
        lines.push(fit(word, size, room));
    }
    lines
}

/// Adds ordinary text.
pub fn plain(
    scene: &mut Scene,
    text: &str,
    (x, y): (f64, f64),
    across: Across,
    size: f64,
    colour: Colour,
) {
    let text = text.to_owned();
    scene.text(Text {
        text,
        x,
        y,
        size,
        colour,
        across,
        bold: false,
        upright: false,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_apart_where_they_are_shortened() {
        font::register().expect("a font");
        let names = ["Linux 6.12, Xen 4.17", "Linux 6.12, Xen 4.20", "stock"];
        let names = names.map(str::to_owned);
        let room = font::width("Linux 6.12, Xen 4", 10.0, false);
        let fitted = fit_names(&names, 10.0, room);
        assert!(fitted.iter().all(|f| font::width(f, 10.0, false) <= room));
        assert_ne!(fitted[0], fitted[1]);
        assert!(fitted[0].starts_with('…') && fitted[0].ends_with("4.17"));
        assert_eq!(fitted[2], "stock");
        // Alone it keeps its beginning, and the same name twice is the same.
        let twice = [names[0].clone(), names[0].clone()];
        let fitted = fit_names(&twice, 10.0, room);
        assert!(
            fitted
                .iter()
                .all(|f| f.starts_with("Linux") && f.ends_with('…'))
        );
    }

    #[test]
    fn lines_end_between_words_and_lose_none() {
        font::register().expect("a font");
        let text = "times are instruction times: no caches, no bus, no parallel CPUs";
        let lines = wrap(text, 10.0, 120.0);
        assert!(lines.len() > 2, "{lines:?}");
        assert!(lines.iter().all(|l| font::width(l, 10.0, false) <= 120.0));
        assert_eq!(lines.join(" "), text);
        assert_eq!(wrap("", 10.0, 120.0), Vec::<String>::new());
        let long = wrap("a-name-that-is-much-too-long-for-any-line", 10.0, 60.0);
        assert!(long[0].ends_with('…'), "{long:?}");
    }
}
