//! A scene as PDF: vectors, text as text in an embedded subset of the font, and what the figure says of itself.
//!
//! Written from the scene, not converted from its SVG: `svg2pdf` would have `polars` compiled again (docs/decisions/0034).
//! No date and no random number goes in: the same scene is the same file.

use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{CidFontType, FontFlags, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};
use subsetter::GlyphRemapper;
use ttf_parser::{Face, GlyphId};

use crate::figures::font;
use crate::figures::provenance::Provenance;
use crate::figures::scene::{Across, Scene, Shape, Text};
use crate::figures::style::Colour;

/// How far below its middle a line of text stands on its baseline, in em.
const BASELINE: f64 = 0.34;
/// Best compression: such files are small.
const LEVEL: u8 = 9;

/// A font as far as it is used.
struct Embedded<'f> {
    bytes: &'f [u8],
    face: Face<'f>,
    glyphs: GlyphRemapper,
    /// The character that each glyph was asked for, for copying text and searching.
    characters: Vec<(u16, char)>,
    /// Advances of the new glyphs in thousandths of an em.
    widths: Vec<f32>,
}

impl<'f> Embedded<'f> {
    fn new(bytes: &'f [u8]) -> Result<Self, String> {
        let face = Face::parse(bytes, 0).map_err(|e| format!("the font: {e}"))?;
        let mut font = Self {
            bytes,
            face,
            glyphs: GlyphRemapper::new(),
            characters: Vec::new(),
            widths: Vec::new(),
        };
        font.widths.push(font.advance(GlyphId(0)));
        Ok(font)
    }

    fn advance(&self, glyph: GlyphId) -> f32 {
        let units = f32::from(self.face.units_per_em());
        f32::from(self.face.glyph_hor_advance(glyph).unwrap_or(0)) * 1000.0 / units
    }

    /// The text as glyphs of the subset, and its length in em.
    fn encode(&mut self, text: &str) -> (Vec<u8>, f64) {
        let (mut bytes, mut length) = (Vec::new(), 0.0);
        for c in text.chars() {
            // What the font lacks shows as its empty box.
            let old = self.face.glyph_index(c).unwrap_or(GlyphId(0));
            let new = self.glyphs.remap(old.0);
            let advance = self.advance(old);
            if usize::from(new) == self.widths.len() {
                self.widths.push(advance);
                self.characters.push((new, c));
            }
            length += f64::from(advance) / 1000.0;
            bytes.extend(new.to_be_bytes());
        }
        (bytes, length)
    }
}

/// The scene as a PDF of one page.
///
/// # Errors
/// There is no font, or it cannot be read.
pub fn pdf(scene: &Scene, about: &Provenance) -> Result<Vec<u8>, String> {
    let [regular, bold] = font::bytes().ok_or("there is no font")?;
    let mut fonts = [Embedded::new(regular)?, Embedded::new(bold)?];
    let mut opacities: Vec<f64> = Vec::new();
    let content = contents(scene, &mut fonts, &mut opacities);

    let mut next = 0;
    let mut new = || {
        next += 1;
        Ref::new(next)
    };
    let (catalog, pages, page_id, content_id, info) = (new(), new(), new(), new(), new());
    let font_ids = [new(), new()];
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([page_id]).count(1);
    let mut page = pdf.page(page_id);
    let size = Rect::new(0.0, 0.0, scene.width as f32, scene.height as f32);
    page.media_box(size).parent(pages).contents(content_id);
    let mut resources = page.resources();
    let mut named = resources.fonts();
    for (n, (font, id)) in fonts.iter().zip(font_ids).enumerate() {
        if !font.characters.is_empty() {
            named.pair(Name(FONTS[n]), id);
        }
    }
    named.finish();
    let mut states = resources.ext_g_states();
    for (n, opacity) in opacities.iter().enumerate() {
        let mut state = states
            .insert(Name(&state_name(n)))
            .start::<pdf_writer::writers::ExtGraphicsState<'_>>();
        state.non_stroking_alpha(*opacity as f32);
    }
    states.finish();
    resources.finish();
    page.finish();
    stream(&mut pdf, content_id, &content);
    for (font, id) in fonts.iter().zip(font_ids) {
        if !font.characters.is_empty() {
            let ids = [id, new(), new(), new(), new()];
            embed(&mut pdf, font, ids)?;
        }
    }
    let keywords: Vec<String> = about
        .facts()
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    pdf.document_info(info)
        .title(TextStr(&about.title))
        .subject(TextStr(&about.caption))
        .keywords(TextStr(&keywords.join("; ")))
        .creator(TextStr(&format!("vifbench {}", about.origin.vifbench)));
    Ok(pdf.finish())
}

const FONTS: [&[u8]; 2] = [b"F0", b"F1"];

fn state_name(n: usize) -> Vec<u8> {
    format!("O{n}").into_bytes()
}

fn stream(pdf: &mut Pdf, id: Ref, bytes: &[u8]) {
    let small = compress_to_vec_zlib(bytes, LEVEL);
    pdf.stream(id, &small).filter(Filter::FlateDecode);
}

fn contents(scene: &Scene, fonts: &mut [Embedded<'_>; 2], opacities: &mut Vec<f64>) -> Vec<u8> {
    let mut content = Content::new();
    // The scene counts downwards.
    content.transform([1.0, 0.0, 0.0, -1.0, 0.0, scene.height as f32]);
    for shape in &scene.shapes {
        match shape {
            Shape::Text(text) => write_text(&mut content, text, fonts),
            Shape::Line {
                points,
                colour,
                width,
                dash,
            } => {
                let [r, g, b] = parts(*colour);
                content
                    .set_stroke_rgb(r, g, b)
                    .set_line_width(*width as f32);
                content.set_dash_pattern(dash.iter().map(|d| *d as f32), 0.0);
                path(&mut content, points);
                content.stroke();
            }
            Shape::Polygon {
                points,
                colour,
                opacity,
            } => {
                let state = opacities.iter().position(|o| o.total_cmp(opacity).is_eq());
                let state = state.unwrap_or_else(|| {
                    opacities.push(*opacity);
                    opacities.len() - 1
                });
                content.set_parameters(Name(&state_name(state)));
                let [r, g, b] = parts(*colour);
                content.set_fill_rgb(r, g, b);
                path(&mut content, points);
                content.fill_nonzero();
            }
        }
    }
    content.finish().into_vec()
}

fn path(content: &mut Content, points: &[(f64, f64)]) {
    for (n, (x, y)) in points.iter().enumerate() {
        if n == 0 {
            content.move_to(*x as f32, *y as f32);
        } else {
            content.line_to(*x as f32, *y as f32);
        }
    }
}

fn parts(Colour(r, g, b): Colour) -> [f32; 3] {
    [r, g, b].map(|part| f32::from(part) / 255.0)
}

fn write_text(content: &mut Content, text: &Text, fonts: &mut [Embedded<'_>; 2]) {
    // A font of which no glyph is shown is not in the file, so nothing may ask for it either.
    if text.text.is_empty() {
        return;
    }
    let which = usize::from(text.bold);
    let (glyphs, em) = fonts[which].encode(&text.text);
    let back = match text.across {
        Across::Left => 0.0,
        Across::Middle => em * text.size / 2.0,
        Across::Right => em * text.size,
    };
    let down = BASELINE * text.size;
    let matrix = if text.upright {
        let at = (text.x + down, text.y + back);
        [0.0, -1.0, -1.0, 0.0, at.0 as f32, at.1 as f32]
    } else {
        let at = (text.x - back, text.y + down);
        [1.0, 0.0, 0.0, -1.0, at.0 as f32, at.1 as f32]
    };
    let [r, g, b] = parts(text.colour);
    content.begin_text().set_fill_rgb(r, g, b);
    content.set_font(Name(FONTS[which]), text.size as f32);
    content
        .set_text_matrix(matrix)
        .show(Str(&glyphs))
        .end_text();
}

/// Writes a composite font: its subset, metrics, and what its glyphs mean.
fn embed(pdf: &mut Pdf, font: &Embedded<'_>, ids: [Ref; 5]) -> Result<(), String> {
    let [id, cid, descriptor, file, cmap] = ids;
    let subset = subsetter::subset(font.bytes, 0, &font.glyphs)
        .map_err(|e| format!("the font cannot be cut down: {e}"))?;
    let face = &font.face;
    let names = ttf_parser::name_id::POST_SCRIPT_NAME;
    let name = face
        .names()
        .into_iter()
        .filter(|n| n.name_id == names)
        .find_map(|n| n.to_string())
        .unwrap_or_else(|| "Font".to_owned());
    // Six letters mark a subset; which they are does not matter in a file with one of each.
    let name = format!("VIFBEN+{name}");
    let system = SystemInfo {
        registry: Str(b"Adobe"),
        ordering: Str(b"Identity"),
        supplement: 0,
    };
    pdf.type0_font(id)
        .base_font(Name(name.as_bytes()))
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(cid)
        .to_unicode(cmap);
    let mut written = pdf.cid_font(cid);
    written
        .subtype(CidFontType::Type2)
        .base_font(Name(name.as_bytes()))
        .system_info(system)
        .font_descriptor(descriptor)
        .default_width(0.0)
        .cid_to_gid_map_predefined(Name(b"Identity"));
    written.widths().consecutive(0, font.widths.iter().copied());
    written.finish();
    let per_em = 1000.0 / f32::from(face.units_per_em());
    let scaled = |value: i16| f32::from(value) * per_em;
    let bounds = face.global_bounding_box();
    pdf.font_descriptor(descriptor)
        .name(Name(name.as_bytes()))
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(
            scaled(bounds.x_min),
            scaled(bounds.y_min),
            scaled(bounds.x_max),
            scaled(bounds.y_max),
        ))
        .italic_angle(0.0)
        .ascent(scaled(face.ascender()))
        .descent(scaled(face.descender()))
        .cap_height(scaled(face.capital_height().unwrap_or(face.ascender())))
        .stem_v(if face.is_bold() { 140.0 } else { 80.0 })
        .font_file2(file);
    stream(pdf, file, &subset);
    let mut meaning = UnicodeCmap::new(Name(b"Custom"), system);
    for (glyph, c) in &font.characters {
        meaning.pair(*glyph, *c);
    }
    let meaning = meaning.finish();
    let small = compress_to_vec_zlib(meaning.as_slice(), LEVEL);
    pdf.cmap(cmap, &small).filter(Filter::FlateDecode);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::provenance::Origin;

    fn about() -> Provenance {
        Provenance {
            title: "title".into(),
            caption: "caption".into(),
            origin: Origin {
                run: "r".into(),
                basis: "1 trial".into(),
                modules: vec![],
                vifbench: "0".into(),
                data: "d".into(),
            },
        }
    }

    /// The streams of a PDF, inflated.
    fn streams(pdf: &[u8]) -> Vec<Vec<u8>> {
        let find = |from: usize, what: &[u8]| {
            let at = pdf[from..].windows(what.len()).position(|w| w == what)?;
            Some(from + at)
        };
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = find(from, b"\nstream\n") {
            let end = find(start, b"\nendstream").expect("an end");
            let bytes = &pdf[start + 8..end];
            let inflated = miniz_oxide::inflate::decompress_to_vec_zlib(bytes);
            found.push(inflated.expect("a zlib stream"));
            from = end;
        }
        found
    }

    fn text(text: &str, bold: bool) -> Text {
        Text {
            text: text.into(),
            x: 126.0,
            y: 50.0,
            size: 8.0,
            colour: Colour(0, 0, 0),
            across: Across::Middle,
            bold,
            upright: false,
        }
    }

    #[test]
    fn text_stays_text_and_its_font_is_in_the_file() {
        font::register().expect("a font");
        let mut scene = Scene::new(252.0, 100.0);
        scene.text(text("61 µs", false));
        // The title of a panel that has none.
        scene.text(text("", true));
        scene.line(
            vec![(0.0, 0.0), (252.0, 100.0)],
            Colour(255, 0, 0),
            1.0,
            vec![2.0],
        );
        scene.area(
            vec![(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)],
            Colour(0, 0, 255),
            0.25,
        );
        let pdf = pdf(&scene, &about()).expect("a PDF");
        let text = String::from_utf8_lossy(&pdf);
        assert!(text.contains("/MediaBox [0 0 252 100]"), "{text}");
        assert!(text.contains("/FontFile2") && text.contains("/BaseFont /VIFBEN+DejaVuSans\n"));
        assert!(
            !text.contains("DejaVuSans-Bold"),
            "a font that shows nothing is in the file"
        );
        assert!(text.contains("/ca 0.25"));
        let streams = streams(&pdf);
        assert_eq!(streams.len(), 3, "contents, font, meaning of the glyphs");
        let meaning = String::from_utf8_lossy(&streams[2]).to_lowercase();
        for c in ["<0036>", "<0031>", "<0020>", "<00b5>", "<0073>"] {
            assert!(meaning.contains(c), "{c}: {meaning}");
        }
        let face = Face::parse(&streams[1], 0).expect("the subset is a font");
        assert_eq!(
            face.number_of_glyphs(),
            6,
            "five characters and the empty box"
        );
        // Five glyphs of two bytes each are shown, and no font is asked for that is not there.
        assert!(streams[0].windows(2).any(|w| w == b"Tj"));
        assert!(!streams[0].windows(3).any(|w| w == b"/F1"));
        assert_eq!(super::pdf(&scene, &about()).as_deref(), Ok(pdf.as_slice()));
    }
}
