//! How often a sealed trial is run.

/// How often a sealed trial is run. Every time must give the same results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repeat {
    /// Once; from then on its results are looked up.
    #[default]
    Never,
    /// Again, although its results are stored; they must be the same.
    Stored,
    /// Twice in this run; both must be the same, and the same as stored ones.
    Twice,
}
