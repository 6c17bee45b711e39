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
    let clean = clean(text);
    if font::width(&clean, size, false) <= room {
        return clean;
    }
    let mut kept: Vec<char> = clean.chars().collect();
    while !kept.is_empty() {
        kept.pop();
        let short: String = kept.iter().chain(&['…']).collect();
        if font::width(&short, size, false) <= room {
            return short;
        }
    }
    "…".to_owned()
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
