//! The font of all figures: found on the system, never shipped; PDF files embed the glyphs that they show.

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

/// Regular and bold as they lie on disk, read once a process; else the paths that were tried.
fn files() -> &'static Result<[&'static [u8]; 2], Vec<String>> {
    static FILES: OnceLock<Result<[&'static [u8]; 2], Vec<String>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let read = |file: &str| -> Result<&'static [u8], Vec<String>> {
            let paths: Vec<String> = FOLDERS.iter().map(|f| format!("{f}/{file}")).collect();
            let found = paths.iter().find_map(|path| std::fs::read(path).ok());
            // Plotters keeps fonts for ever; this happens once a process.
            found.map(|bytes| &*bytes.leak()).ok_or(paths)
        };
        Ok([read("DejaVuSans.ttf")?, read("DejaVuSans-Bold.ttf")?])
    })
}

/// The font's files, regular and bold; none where there are none.
pub fn bytes() -> Option<[&'static [u8]; 2]> {
    files().as_ref().ok().copied()
}

/// Makes the font known to plotters, once a process.
pub fn register() -> Result<(), ReportError> {
    static REGISTERED: OnceLock<Result<(), Vec<String>>> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        let [regular, bold] = files().clone()?;
        for (bytes, style) in [(regular, FontStyle::Normal), (bold, FontStyle::Bold)] {
            if register_font(FAMILY, style, bytes).is_err() {
                return Err(vec![format!("DejaVu Sans ({})", style.as_str())]);
            }
        }
        Ok(())
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
