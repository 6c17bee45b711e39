//! The ready scenarios, carried inside the program.

use crate::file::{FileError, nearest};
use crate::scenario::Scenario;

/// One ready scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name; the scenario in `text` has the same.
    pub name: &'static str,
    /// The file, with the comments that explain it.
    pub text: &'static str,
}

impl Entry {
    /// The scenario.
    ///
    /// # Errors
    /// None in a released program: a test reads them all.
    pub fn scenario(&self) -> Result<Scenario, FileError> {
        Scenario::parse(self.text, &format!("scenarios/library/{}.yaml", self.name))
    }
}

macro_rules! entries {
    ($($name:literal),*) => {
        [$(Entry { name: $name, text: include_str!(concat!("../library/", $name, ".yaml")) }),*]
    };
}

const ENTRIES: [Entry; 15] = entries![
    "quickstart",
    "small-packets",
    "two-guests",
    "ipv6",
    "open-path",
    "aggregation",
    "throughput",
    "saturated",
    "paper-experiment",
    "paper-table1",
    "paper-theory",
    "bursts",
    "mixed-sizes",
    "tcp",
    "aa"
];

/// All ready scenarios, the easiest first.
pub fn all() -> &'static [Entry] {
    &ENTRIES
}

/// The ready scenario of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// The ready scenario whose name is near to what was asked for.
pub fn near(name: &str) -> Option<&'static Entry> {
    nearest(name, ENTRIES.iter().map(|entry| entry.name)).and_then(find)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_sound_and_explains_itself() {
        for entry in all() {
            let scenario = entry.scenario().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, entry.name);
            assert!(
                entry.text.starts_with("# "),
                "{} begins without a comment",
                entry.name
            );
        }
    }

    #[test]
    fn a_slip_is_understood() {
        assert_eq!(
            near("quikstart").map(|entry| entry.name),
            Some("quickstart")
        );
        assert_eq!(near("nothing-like-it"), None);
    }
}
