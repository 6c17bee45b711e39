//! What the packets say: tables, statistics, figures and pages.
//!
//! Data flow one way: [`vifbench_store`] (what the harness wrote) -> [`packets`] (four captures joined) -> [`metrics`] (one
//! file a definition) -> [`stats`], [`compare`] and [`verdict`] -> [`summary`] (everything as one value) -> tables, figures and
//! the page. Nothing here needs root, a network or a Xen host.

pub mod analyze;
pub mod calibration;
mod capture_reader;
pub mod ci;
pub mod clock;
pub mod compare;
pub mod cost_model;
pub mod cross;
mod data_hash;
pub mod definitions;
pub mod error;
pub mod figures;
pub mod held_requests;
pub mod history;
pub mod instructions;
mod latex;
pub mod matrix;
pub mod metrics;
pub mod packets;
mod page;
pub mod report;
pub mod ruler;
pub mod run_analysis;
pub mod search_results;
pub mod simulated;
pub mod stats;
mod stored_numbers;
pub mod summary;
mod tables;
mod tex_tables;
pub mod text;
pub mod trial_summary;
pub mod verdict;

pub use analyze::{PairAnalysis, analyze_pair};
pub use error::ReportError;
pub use report::{Rendered, render};
pub use run_analysis::analyze_run;
