//! What each command does: one file a command.

pub mod analyze;
pub mod bench;
pub mod bisect;
pub mod calibrate;
pub mod child;
pub mod compare;
pub mod doctor;
pub mod enrol;
pub mod history;
pub mod lab;
pub mod matrix;
pub mod nightly;
pub mod patches;
pub mod report;
pub mod run;
pub mod scenario;
pub mod shell_help;
pub mod simulate;
pub mod trust;
pub mod undo;
pub mod verify;
