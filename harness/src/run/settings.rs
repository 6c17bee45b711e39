//! What a variant sets in its modules once they are live. They go with the modules: no way back is needed of their own.

use vifbench_provisioning::modules::NETBACK;
use vifbench_scenarios::scenario::{Patches, Regulator, Variant};

/// The paper's time-out where a variant does not set it.
const DEFAULT_HOLD_US: u64 = 1000;

/// The time unit that the paper's printed formulas leave open, where a variant does not set it.
const DEFAULT_UNIT_US: u64 = 1000;

/// Parameters of the live modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of netback: name and value. Vifs without settings of their own go by them from the next packet on.
    pub netback: Vec<(&'static str, String)>,
    /// Playout in the guests: how late a packet is delivered at most, in microseconds.
    pub playout_us: Option<u64>,
}

impl Settings {
    /// What the variant asks for.
    pub fn of(variant: &Variant) -> Self {
        let hold = variant
            .hold
            .map_or(DEFAULT_HOLD_US, |hold| hold.nanos() / 1000);
        let held = ("rx_agg_hold_max_us", hold.to_string());
        let netback = match variant.patches {
            Patches::Stock => Vec::new(),
            Patches::Shadow => vec![held, ("rx_agg_shadow", "1".to_owned())],
            Patches::Aggregation | Patches::Hold => {
                let unit = variant.unit.map_or(DEFAULT_UNIT_US, |u| u.nanos() / 1000);
                let regulator = variant.regulator.unwrap_or(Regulator::Static);
                let containers = u8::from(variant.patches == Patches::Aggregation);
                vec![
                    held,
                    ("rx_agg_unit_us", unit.to_string()),
                    ("rx_agg_containers", containers.to_string()),
                    ("rx_agg_regulator", regulator.name().to_owned()),
                ]
            }
        };
        Self {
            netback,
            playout_us: (variant.regulator == Some(Regulator::Playout)).then_some(hold),
        }
    }

    /// The command for dom0, which fails where a parameter does not take its value.
    pub fn for_dom0(&self) -> Option<String> {
        let folder = format!("/sys/module/{NETBACK}/parameters");
        let writes: Vec<String> = self
            .netback
            .iter()
            .map(|(name, value)| format!("echo {value} > {folder}/{name}"))
            .collect();
        (!writes.is_empty()).then(|| writes.join(" && "))
    }

    /// The command for a guest whose interface that is.
    pub fn for_guest(&self, interface: &str) -> Option<String> {
        self.playout_us
            .map(|late| format!("ethtool -C '{interface}' rx-usecs {late}"))
    }
}

#[cfg(test)]
mod tests {
    use vifbench_scenarios::scenario::Scenario;

    use super::*;

    #[test]
    fn a_variant_becomes_parameters() {
        let scenario = Scenario::parse(
            "name: x\nabout: y\n\
             traffic: [{to: u1, size: 64 B, arrivals: {cbr: {rate: 10/s}}}]\n\
             variants:\n  - {name: stock}\n  - {name: shadow, patches: shadow, hold: 200 us}\n  \
             - {name: even, patches: aggregation, regulator: playout, hold: 2 ms}\n  \
             - {name: batch, patches: hold, regulator: dim, hold: 5 ms}\n\
             duration: 1 s\n",
            "test",
        )
        .expect("a good scenario");
        assert_eq!(Settings::of(&scenario.variants[0]).for_dom0(), None);
        assert_eq!(
            Settings::of(&scenario.variants[1]).for_dom0().as_deref(),
            Some(
                "echo 200 > /sys/module/xen_netback/parameters/rx_agg_hold_max_us && \
                 echo 1 > /sys/module/xen_netback/parameters/rx_agg_shadow"
            )
        );
        assert_eq!(Settings::of(&scenario.variants[1]).for_guest("eth0"), None);
        let even = Settings::of(&scenario.variants[2]);
        let dom0 = even.for_dom0().expect("parameters");
        assert!(
            dom0.ends_with("echo playout > /sys/module/xen_netback/parameters/rx_agg_regulator"),
            "{dom0}"
        );
        assert!(
            dom0.contains("echo 1 > /sys/module/xen_netback/parameters/rx_agg_containers"),
            "{dom0}"
        );
        assert_eq!(
            even.for_guest("eth0").as_deref(),
            Some("ethtool -C 'eth0' rx-usecs 2000")
        );
        assert_eq!(
            Settings::of(&scenario.variants[3]).netback,
            [
                ("rx_agg_hold_max_us", "5000".to_owned()),
                ("rx_agg_unit_us", "1000".to_owned()),
                ("rx_agg_containers", "0".to_owned()),
                ("rx_agg_regulator", "dim".to_owned()),
            ]
        );
    }
}
