//! Finds import cycles between the modules of this workspace's crates; the test `import_cycles` fails for each that is
//! not known.
//!
//! [`tree`] reads the modules of a crate and what each of them uses, [`cycles`] finds the modules that need each other,
//! and [`workspace`] asks cargo for the crates.

pub mod cycles;
mod error;
pub mod tree;
pub mod workspace;

pub use error::Error;
