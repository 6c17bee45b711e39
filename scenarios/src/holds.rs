//! The sweep of holds: for a lab, a variant with another hold is another variant.

use crate::scenario::{Patches, Regulator, Scenario, Variant};
use crate::units::Span;

impl Variant {
    /// Whether T0 matters to it.
    pub fn has_hold(&self) -> bool {
        match self.patches {
            Patches::Stock => false,
            Patches::Shadow => true,
            Patches::Aggregation | Patches::Hold => self.regulator.is_some_and(Regulator::has_hold),
        }
    }

    /// The same with another hold, which is in its name: `static-500us`.
    fn held_for(&self, hold: Span) -> Self {
        let text = hold.to_string().replace(' ', "");
        Self {
            name: format!("{}-{text}", self.name),
            hold: Some(hold),
            ..self.clone()
        }
    }
}

impl Scenario {
    /// The same scenario with each variant that holds once for each hold of the sweep, and no sweep of holds: what a lab
    /// runs, one trial a variant.
    #[must_use]
    pub fn each_hold(&self) -> Self {
        let mut each = self.clone();
        let holds = std::mem::take(&mut each.sweep.hold);
        if !holds.is_empty() {
            each.variants = self
                .variants
                .iter()
                .flat_map(|variant| {
                    if variant.has_hold() {
                        holds.iter().map(|hold| variant.held_for(*hold)).collect()
                    } else {
                        vec![variant.clone()]
                    }
                })
                .collect();
        }
        each
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
name: x
about: x
traffic: [{to: u1, size: 64 B, arrivals: {cbr: {rate: 10/s}}}]
sweep: {hold: [500 us, 2 ms]}
variants:
  - {name: stock}
  - {name: nowait, patches: aggregation, regulator: nowait}
  - {name: static, patches: aggregation, regulator: static, hold: 1 ms}
duration: 1 s
";

    #[test]
    fn what_holds_nothing_runs_once() {
        let scenario = Scenario::parse(TEXT, "x").unwrap().each_hold();
        let found: Vec<_> = scenario
            .variants
            .iter()
            .map(|v| (v.name.as_str(), v.hold.map(|h| h.to_string())))
            .collect();
        let expected = [
            ("stock", None),
            ("nowait", None),
            ("static-500us", Some("500 us".to_owned())),
            ("static-2ms", Some("2 ms".to_owned())),
        ];
        assert_eq!(found, expected);
        // What is stored with the run is a good scenario itself.
        let text = scenario.to_yaml().unwrap();
        assert_eq!(Scenario::parse(&text, "again").unwrap(), scenario);
        assert_eq!(scenario.each_hold(), scenario);
    }

    #[test]
    fn names_that_come_to_be_the_same_are_refused() {
        let text = TEXT.replace("name: nowait,", "name: static-2ms,");
        let error = Scenario::parse(&text, "x").unwrap_err().to_string();
        assert!(
            error.contains("a variant is called `static-2ms`"),
            "{error}"
        );
    }
}
