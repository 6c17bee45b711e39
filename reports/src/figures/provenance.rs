//! What a figure says of itself, in the metadata of every file that it is in.

use crate::figures::chart::Figure;

/// Where the numbers of a run's or a simulation's figures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The run, or what makes a simulation: scenario and seed.
    pub run: String,
    /// Trials and packets that it rests on, with its marks.
    pub basis: String,
    /// Build-ids of the module pairs that were live; none of a simulation.
    pub modules: Vec<String>,
    /// Version of vifbench.
    pub vifbench: String,
    /// Hash of the data that were read (`crate::data_hash`).
    pub data: String,
}

/// What one figure says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The figure's heading.
    pub title: String,
    /// Its caption, with what it rests on.
    pub caption: String,
    /// Where its numbers come from.
    pub origin: Origin,
}

impl Provenance {
    /// Of a figure.
    pub fn of(figure: &Figure, origin: &Origin) -> Self {
        Self {
            title: figure.title.clone(),
            caption: format!("{} {}.", figure.caption, figure.basis.join("; ")),
            origin: origin.clone(),
        }
    }

    /// Key and value of each fact.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let of = &self.origin;
        let mut facts = vec![("run", of.run.clone()), ("basis", of.basis.clone())];
        facts.extend(of.modules.iter().map(|m| ("module", m.clone())));
        facts.extend([("vifbench", of.vifbench.clone()), ("data", of.data.clone())]);
        facts
    }
}
