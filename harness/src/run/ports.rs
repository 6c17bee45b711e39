//! Where packets pass in dom0: the address of its reference interface, the vif of each domain, and the files of netback's queues.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vifbench_provisioning::host::{Host, HostExt as _};
use vifbench_scenarios::lab::HostName;

use super::deadlines::STEP;
use crate::error::Failure;

/// Where a patched netback has a folder for each vif. A stock netback has none.
const NETBACK_FILES: &str = "/sys/kernel/debug/xen-netback";

/// The network of dom0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The MAC address of the interface that answers clock exchanges.
    pub reference_mac: String,
    /// Domains and their vifs, which are named by domain id and so change with every start of a guest.
    vifs: Vec<(HostName, String)>,
    /// The files of all queues.
    queues: Vec<PathBuf>,
}

impl Ports {
    /// Queries dom0 by one command, because starting programs is most of what a short trial costs.
    pub fn query<H: Host + ?Sized>(
        dom0: &mut H,
        interface: &str,
        domains: &[HostName],
    ) -> Result<Self, Failure> {
        let domids: Vec<String> = domains
            .iter()
            .map(|domain| format!(" && xl domid '{domain}'"))
            .collect();
        let domids = domids.concat();
        let command = format!(
            "cat /sys/class/net/{interface}/address{domids} && for file in {NETBACK_FILES}/vif*/agg_q*; do [ ! -e $file ] || echo $file; done"
        );
        let text = dom0.check(&command, STEP)?.text();
        Ok(Self::parse(&text, domains))
    }

    fn parse(text: &str, domains: &[HostName]) -> Self {
        let mut lines = text.lines();
        let mut line = || lines.next().map(str::to_owned).unwrap_or_default();
        let reference_mac = line();
        let vifs = domains
            .iter()
            .map(|domain| (domain.clone(), format!("vif{}.0", line())))
            .collect();
        Self {
            reference_mac,
            vifs,
            queues: lines.map(PathBuf::from).collect(),
        }
    }

    /// A domain's vif.
    pub fn vif(&self, domain: &HostName) -> Result<String, Failure> {
        let found = self.vifs.iter().find(|(name, _)| name == domain);
        found.map(|(_, vif)| vif.clone()).ok_or_else(|| {
            Failure::Internal(format!("the vif of {domain} was not looked up on dom0"))
        })
    }

    /// The files of those vifs' queues, in the vifs' order.
    pub fn queues_of(&self, vifs: &[(HostName, String)]) -> Vec<PathBuf> {
        vifs.iter()
            .flat_map(|(_, vif)| {
                let folder = Path::new(NETBACK_FILES).join(vif);
                self.queues
                    .iter()
                    .filter(move |file| file.starts_with(&folder))
            })
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_its_own_vif_and_queues() {
        let name = |name: &str| HostName(name.to_owned());
        let text = "02:00:00:00:00:01\n1\n11\n\
                    /sys/kernel/debug/xen-netback/vif1.0/agg_q0\n\
                    /sys/kernel/debug/xen-netback/vif11.0/agg_q0\n\
                    /sys/kernel/debug/xen-netback/vif11.0/agg_q1\n";
        let ports = Ports::parse(text, &[name("u1"), name("u2")]);
        assert_eq!(ports.reference_mac, "02:00:00:00:00:01");
        assert_eq!(ports.vif(&name("u2")).expect("known"), "vif11.0");
        assert!(ports.vif(&name("u3")).is_err());
        let of = |vif: &str| ports.queues_of(&[(name("x"), vif.to_owned())]).len();
        assert_eq!((of("vif1.0"), of("vif11.0"), of("vif2.0")), (1, 2, 0));
    }
}
