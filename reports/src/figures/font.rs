//! The font of all figures: found on the system, never bundled.

use std::sync::OnceLock;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

use crate::error::ReportError;

/// The family as it stands in SVG files: a browser without the first takes the next.
pub const FAMILY: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

/// Plotters takes a font's size as 1.24 times its em where it writes SVG.
pub const SIZE_PER_EM: f64 = 1.24;

/// Folders that distributions put the font in.
const FOLDERS: [&str; 4] = [
    "/usr/share/fonts/truetype/dejavu",
    "/usr/share/fonts/dejavu-sans-fonts",
    "/usr/share/fonts/dejavu",
    "/usr/share/fonts/TTF",
];

/// Makes the font known to plotters, once a process.
pub fn register() -> Result<(), ReportError> {
    static REGISTERED: OnceLock<Result<(), Vec<String>>> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        let mut tried = Vec::new();
        for (file, style) in [
            ("DejaVuSans.ttf", FontStyle::Normal),
            ("DejaVuSans-Bold.ttf", FontStyle::Bold),
        ] {
            let paths: Vec<String> = FOLDERS.iter().map(|f| format!("{f}/{file}")).collect();
            let found = paths.iter().find_map(|path| std::fs::read(path).ok());
            // Plotters keeps fonts for ever; this happens once a process.
            let known =
                found.is_some_and(|bytes| register_font(FAMILY, style, Vec::leak(bytes)).is_ok());
            if !known {
                tried.extend(paths);
            }
        }
        if tried.is_empty() { Ok(()) } else { Err(tried) }
    });
    registered
        .clone()
        .map_err(|tried| ReportError::Font { tried })
}

/// The font at a height of `em` pixels.
pub fn font(em: f64, bold: bool) -> FontDesc<'static> {
    let style = if bold {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    FontDesc::new(FontFamily::Name(FAMILY), em * SIZE_PER_EM, style)
}

/// How many pixels a text takes across. Without a font it is estimated; drawing then fails anyway.
pub fn width(text: &str, em: f64, bold: bool) -> f64 {
    // Measured large, because plotters rounds to whole pixels.
    font(em * 8.0, bold)
        .box_size(text)
        .map_or(text.chars().count() as f64 * em * 0.6, |(across, _)| {
            f64::from(across) / 8.0
        })
}
