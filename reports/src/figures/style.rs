//! Colours, dashes and markers: told apart by colour-blind readers, and in grey.

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

/// Text and axes.
pub const INK: Colour = Colour(0x1a, 0x1a, 0x1a);
/// Text of less weight.
pub const SOFT: Colour = Colour(0x59, 0x59, 0x59);
/// Grid.
pub const GRID: Colour = Colour(0xe2, 0xe2, 0xe2);
/// Shaded stretches.
pub const SHADE: Colour = Colour(0xf1, 0xf1, 0xf1);
/// Background.
pub const PAPER: Colour = Colour(0xff, 0xff, 0xff);

/// Opacity of bands and boxes: what lies below shows through.
pub const PALE: f64 = 0.25;
/// Lines that only lead the eye.
pub const FAINT: Colour = Colour(0xb5, 0xb5, 0xb5);

/// How one series looks: colour, dash and marker all differ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Colour, after Okabe and Ito 2008, in an order that alternates dark and light.
    pub colour: Colour,
    /// Dash lengths.
    pub dash: &'static [f64],
    /// Marker.
    pub marker: Option<Marker>,
}

/// A point's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Disc,
    /// A square.
    Square,
    /// A triangle on its base.
    Up,
    /// A square on its corner.
    Diamond,
}

const LOOKS: [Look; 12] = [
    Look {
        colour: Colour(0x00, 0x72, 0xb2),
        dash: &[],
        marker: Some(Marker::Disc),
    },
    Look {
        colour: Colour(0xd5, 0x5e, 0x00),
        dash: &[9.0, 5.0],
        marker: Some(Marker::Square),
    },
    Look {
        colour: Colour(0x00, 0x00, 0x00),
        dash: &[2.0, 4.0],
        marker: Some(Marker::Up),
    },
    Look {
        colour: Colour(0x00, 0x9e, 0x73),
        dash: &[12.0, 4.0, 2.0, 4.0],
        marker: Some(Marker::Diamond),
    },
    Look {
        colour: Colour(0x8f, 0x3f, 0x6f),
        dash: &[5.0, 3.0],
        marker: Some(Marker::Disc),
    },
    Look {
        colour: Colour(0x56, 0xb4, 0xe9),
        dash: &[16.0, 5.0],
        marker: Some(Marker::Square),
    },
    // The colours again, with other markers and dashes.
    Look {
        colour: Colour(0xd5, 0x5e, 0x00),
        dash: &[],
        marker: Some(Marker::Up),
    },
    Look {
        colour: Colour(0x00, 0x72, 0xb2),
        dash: &[4.0, 4.0],
        marker: Some(Marker::Diamond),
    },
    Look {
        colour: Colour(0x00, 0x9e, 0x73),
        dash: &[],
        marker: Some(Marker::Square),
    },
    Look {
        colour: Colour(0x00, 0x00, 0x00),
        dash: &[14.0, 4.0],
        marker: Some(Marker::Disc),
    },
    Look {
        colour: Colour(0x56, 0xb4, 0xe9),
        dash: &[3.0, 3.0],
        marker: Some(Marker::Up),
    },
    Look {
        colour: Colour(0x8f, 0x3f, 0x6f),
        dash: &[],
        marker: Some(Marker::Diamond),
    },
];

/// The look of the `n`th variant; after twelve they repeat.
pub fn look(n: usize) -> Look {
    LOOKS[n % LOOKS.len()]
}

/// Three tones for the parts of a stack, dark to light, and the text colour that reads on each.
pub const PARTS: [(Colour, Colour); 3] = [
    (Colour(0x23, 0x4e, 0x70), PAPER),
    (Colour(0x6b, 0xa4, 0xb8), INK),
    (Colour(0xf2, 0xc1, 0x4e), INK),
];

impl Marker {
    /// The corners of a marker of this size around a point.
    pub fn corners(self, (x, y): (f64, f64), size: f64) -> Vec<(f64, f64)> {
        let r = size / 2.0;
        match self {
            Self::Disc => (0..16)
                .map(|i| {
                    let angle = f64::from(i) * std::f64::consts::TAU / 16.0;
                    (x + r * angle.cos(), y + r * angle.sin())
                })
                .collect(),
            Self::Square => {
                let r = r * 0.9;
                vec![
                    (x - r, y - r),
                    (x + r, y - r),
                    (x + r, y + r),
                    (x - r, y + r),
                ]
            }
            Self::Up => {
                let r = r * 1.15;
                vec![(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)]
            }
            Self::Diamond => {
                let r = r * 1.2;
                vec![(x, y - r), (x + r, y), (x, y + r), (x - r, y)]
            }
        }
    }
}
