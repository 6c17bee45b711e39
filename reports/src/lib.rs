//! What the packets say: tables, statistics, figures and pages.
pub mod store;
