//! Where a figure is to be seen: on the page, or in a column of a paper.

/// Points in an inch.
const INCH: f64 = 72.0;

/// A width with the sizes of text that suit it. Lengths are pixels on the page and points on paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sheet {
    /// What follows the figure's id in file names; nothing for the page.
    pub suffix: &'static str,
    /// For a person.
    pub name: &'static str,
    /// Across.
    pub width: f64,
    /// Free space around.
    pub margin: f64,
    /// Height of an em of ordinary text.
    pub text: f64,
    /// Of small text.
    pub small: f64,
    /// Of the heading; none where the paper's caption says it.
    pub heading: Option<f64>,
    /// Panels side by side: of few, and of so many that they would be higher than a page.
    pub columns: (usize, usize),
}

/// More rows of panels than this are higher than a page of a paper.
const MOST_ROWS: usize = 3;

impl Sheet {
    /// How many of so many panels stand side by side.
    pub fn columns(&self, panels: usize) -> usize {
        let (few, many) = self.columns;
        let columns = if panels > MOST_ROWS * few { many } else { few };
        columns.min(panels).max(1)
    }
}

/// The report's page.
pub const PAGE: Sheet = Sheet {
    suffix: "",
    name: "page",
    width: 960.0,
    margin: 18.0,
    text: 13.0,
    small: 12.0,
    heading: Some(17.0),
    columns: (2, 2),
};

const fn paper(
    suffix: &'static str,
    name: &'static str,
    inches: f64,
    columns: (usize, usize),
) -> Sheet {
    Sheet {
        suffix,
        name,
        width: inches * INCH,
        margin: 2.0,
        text: 7.5,
        small: 6.8,
        heading: None,
        columns,
    }
}

/// Widths of the columns of a paper: IEEE journals and conferences (3.5 and 7.16 inches), ACM's `sigconf` (3.33 and 7).
pub const PAPERS: [Sheet; 4] = [
    paper("-ieee-1col", "IEEE, one column", 3.5, (1, 2)),
    paper("-ieee-2col", "IEEE, two columns", 7.16, (2, 3)),
    paper("-acm-1col", "ACM, one column", 3.33, (1, 2)),
    paper("-acm-2col", "ACM, two columns", 7.0, (2, 3)),
];
