//! What only the model can answer, and what only a lab can.

use crate::scenario::{Arrivals, Patches, Regulator, Scenario};

impl Scenario {
    /// What in this scenario only `vifbench simulate` honours, one phrase each; empty if a lab can run it all. What
    /// dom0's work costs (`service`) is for the model alone, and no hindrance: a lab measures it.
    pub fn only_simulated(&self) -> Vec<String> {
        let mut found = Vec::new();
        for variant in &self.variants {
            let name = &variant.name;
            for (key, given) in [
                ("container", variant.container.is_some()),
                ("framing", variant.framing.is_some()),
                ("fill", variant.fill.is_some()),
            ] {
                if given {
                    found.push(format!("variant `{name}` has `{key}`"));
                }
            }
        }
        found
    }

    /// What in this scenario only `vifbench run` honours, one phrase each; empty if the model can answer it all.
    pub fn only_measured(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, flow) in self.traffic.iter().enumerate() {
            if matches!(
                flow.arrivals,
                Arrivals::Saturate { .. } | Arrivals::TcpRr { .. } | Arrivals::TcpBulk {}
            ) {
                found.push(format!(
                    "`traffic[{index}].arrivals` is `{}`",
                    flow.arrivals.word()
                ));
            }
        }
        for variant in &self.variants {
            let name = &variant.name;
            if variant.patches == Patches::Hold {
                found.push(format!("variant `{name}` has `patches: hold`"));
            }
            if variant.regulator == Some(Regulator::Dim) {
                found.push(format!("variant `{name}` has `regulator: dim`"));
            }
        }
        found
    }
}
