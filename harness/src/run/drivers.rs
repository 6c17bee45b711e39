//! The drivers of one variant: netback and netfront as built or as packaged, and their parameters.

use vifbench_provisioning::modules::swap::Pair;

use super::settings::Settings;

/// What is done to a machine before it is saved with drivers live. Change it when that changes.
const PREPARED: &[u8] = b"3";

/// What makes a variant live.
pub struct Drivers<'a> {
    /// The modules.
    pub pair: Pair,
    /// The parameters of the live modules.
    pub settings: Settings,
    /// The probe's program, which is saved together with the modules.
    pub vifprobe: &'a [u8],
}

impl Drivers<'_> {
    /// The name of the saved state in which the modules are live. It names their content, so that rebuilt modules have a
    /// state of their own. `made_for` is what the state is made for: `sealed` or `open` trials.
    pub fn state_tag(&self, made_for: &str) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.vifprobe);
        hash.update(PREPARED);
        hash.update(made_for.as_bytes());
        if let Pair::Built(modules) = &self.pair {
            hash.update(modules.hash.as_bytes());
        }
        format!(
            "{}-{}",
            self.pair.series().replace(' ', "-"),
            &hash.finalize().to_hex()[..16]
        )
    }

    /// What of the drivers decides a sealed trial. The same modules with and without settings are two things.
    pub fn content(&self) -> String {
        format!("{} {:?}", self.state_tag("sealed"), self.settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_is_named_as_by_earlier_versions() {
        let drivers = Drivers {
            pair: Pair::Stock,
            settings: Settings::default(),
            vifprobe: b"the probe",
        };
        assert_eq!(drivers.state_tag("sealed"), "stock-02bd6b5f72910deb");
        assert_eq!(drivers.state_tag("open"), "stock-1354e65e47edf32f");
        assert_eq!(
            drivers.content(),
            "stock-02bd6b5f72910deb Settings { netback: [], playout_us: None }"
        );
    }
}
