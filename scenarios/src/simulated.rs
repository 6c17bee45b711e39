//! What the model can answer and a lab cannot yet, and the other way round.

use crate::scenario::{Arrivals, FrameSize, Patches, Regulator, Scenario};

impl Scenario {
    /// What in this scenario only `vifbench simulate` honours, one phrase each; empty if a lab can run it all.
    pub fn only_simulated(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (index, flow) in self.traffic.iter().enumerate() {
            if !matches!(
                flow.arrivals,
                Arrivals::Cbr { .. } | Arrivals::Poisson { .. }
            ) {
                found.push(format!(
                    "`traffic[{index}].arrivals` is `{}`",
                    flow.arrivals.word()
                ));
            }
            if !matches!(flow.size, FrameSize::Fixed(_)) {
                found.push(format!("`traffic[{index}].size` is `{}`", flow.size));
            }
        }
        if !self.sweep.hold.is_empty() {
            found.push("`sweep` has `hold`".to_owned());
        }
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
        if self.service.is_some() {
            found.push("`service` is given".to_owned());
        }
        found
    }

    /// What in this scenario only a lab can answer, one phrase each; empty if the model can simulate it all.
    pub fn only_measured(&self) -> Vec<String> {
        let mut found = Vec::new();
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
