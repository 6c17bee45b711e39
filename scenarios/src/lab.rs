//! A lab: hosts, guests, NICs and the generator, as one YAML file.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The name of a host or guest in a lab file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(pub String);

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs Xen and netback.
    Dom0,
    /// A domU that receives the traffic.
    Guest,
    /// Sends the traffic: a guest (`on` is set) or a machine of its own.
    Generator,
}

/// What identifies the machine behind an address, besides its SSH host key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identity {
    /// `/sys/class/dmi/id/product_serial`.
    DmiSerial(String),
    /// The MAC address of `interface`, in lower case with colons.
    Mac(String),
}

/// One machine reached over SSH.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSpec {
    /// Its name in scenarios and reports.
    pub name: HostName,
    /// What it is for.
    pub role: Role,
    /// For a domU: the dom0 it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<HostName>,
    /// Where SSH and, for guests and generators, the test traffic goes.
    pub address: IpAddr,
    /// The IPv6 address of the test interface, for IPv6 flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address6: Option<IpAddr>,
    /// SSH port.
    #[serde(default = "default_port")]
    pub port: u16,
    /// SSH user; must be root, because modules are swapped.
    #[serde(default = "default_user")]
    pub user: String,
    /// Private key file. There are no passwords.
    pub key: PathBuf,
    /// The host's public key, as in `known_hosts`: `ssh-ed25519 AAAA...`.
    pub host_key: String,
    /// What else must be true of the machine before it is touched.
    pub identity: Identity,
    /// The interface that carries the test traffic: a guest's vif, dom0's NIC, a generator's NIC.
    pub interface: String,
    /// The MAC address of `interface`.
    pub mac: String,
    /// For dom0: the bridge that joins the NIC and the vifs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

fn default_port() -> u16 {
    22
}
fn default_user() -> String {
    "root".to_owned()
}

/// The controller's own end of the test network, for open trials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// The interface that reaches the lab.
    pub interface: String,
    /// Its address.
    pub address: IpAddr,
    /// Its IPv6 address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address6: Option<IpAddr>,
    /// Its MAC address.
    pub mac: String,
    /// The named network namespace it lies in; SSH goes through it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
}

/// A lab file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// The lab's name.
    pub name: String,
    /// True for a lab that runs in QEMU's virtual time: its results carry that mark.
    #[serde(default, rename = "virtual")]
    pub is_virtual: bool,
    /// The controller's end of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Controller>,
    /// Every machine.
    pub hosts: Vec<HostSpec>,
}

impl Lab {
    /// The machine of that name.
    pub fn host(&self, name: &HostName) -> Option<&HostSpec> {
        self.hosts.iter().find(|h| &h.name == name)
    }
    /// All machines of a role, in file order.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &HostSpec> {
        self.hosts.iter().filter(move |h| h.role == role)
    }
}
