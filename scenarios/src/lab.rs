//! A lab: hosts, guests, NICs and the generator, as one YAML file.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::file::FileError;
pub use crate::host_name::HostName;
use crate::scenario::{Mode, Protocol};
use crate::yaml;

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
    Mac(#[serde(deserialize_with = "mac_address")] String),
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
    #[serde(deserialize_with = "ip_address")]
    pub address: IpAddr,
    /// The IPv6 address of the test interface, for IPv6 flows.
    #[serde(
        default,
        deserialize_with = "some_ip_address",
        skip_serializing_if = "Option::is_none"
    )]
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
    /// The MAC address of `interface`, in lower case with colons.
    #[serde(deserialize_with = "mac_address")]
    pub mac: String,
    /// For dom0: the bridge that joins the NIC and the vifs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

impl HostSpec {
    /// Its address for flows of that protocol, if it has one.
    pub fn address_for(&self, protocol: Protocol) -> Option<IpAddr> {
        address_for(protocol, self.address, self.address6)
    }

    /// The interface of dom0's that all its domains can speak to, for clock exchanges: its bridge, or its NIC without one.
    pub fn reference_interface(&self) -> &str {
        self.bridge.as_deref().unwrap_or(&self.interface)
    }
}

/// A MAC address as `ip link` prints it, whichever case or separator it is written with. What is none stays as it is: the
/// lab's rules report it with its place.
fn mac_address<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    let text = String::deserialize(value)?;
    let octets: Vec<&str> = text.split([':', '-']).collect();
    let is_one = octets.len() == 6
        && octets
            .iter()
            .all(|o| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit()));
    Ok(if is_one {
        octets.join(":").to_ascii_lowercase()
    } else {
        text
    })
}

fn ip_address<'de, D: Deserializer<'de>>(value: D) -> Result<IpAddr, D::Error> {
    parse_ip(&String::deserialize(value)?)
}

fn some_ip_address<'de, D: Deserializer<'de>>(value: D) -> Result<Option<IpAddr>, D::Error> {
    let text = Option::<String>::deserialize(value)?;
    text.as_deref().map(parse_ip).transpose()
}

fn parse_ip<E: serde::de::Error>(text: &str) -> Result<IpAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!(
            "`{text}` is not an IP address; write one, as in `198.18.0.2`; names are not looked up"
        ))
    })
}

fn address_for(protocol: Protocol, address: IpAddr, address6: Option<IpAddr>) -> Option<IpAddr> {
    if protocol.is_v6() {
        address6.or(Some(address)).filter(IpAddr::is_ipv6)
    } else {
        Some(address).filter(IpAddr::is_ipv4)
    }
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
    #[serde(deserialize_with = "ip_address")]
    pub address: IpAddr,
    /// Its IPv6 address.
    #[serde(
        default,
        deserialize_with = "some_ip_address",
        skip_serializing_if = "Option::is_none"
    )]
    pub address6: Option<IpAddr>,
    /// Its MAC address, in lower case with colons.
    #[serde(deserialize_with = "mac_address")]
    pub mac: String,
    /// The named network namespace it lies in; SSH goes through it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
}

impl Controller {
    /// Its address for flows of that protocol, if it has one.
    pub fn address_for(&self, protocol: Protocol) -> Option<IpAddr> {
        address_for(protocol, self.address, self.address6)
    }
}

/// Who sends the traffic of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender<'a> {
    /// A machine of the lab, over SSH.
    Host(&'a HostSpec),
    /// This machine.
    Controller(&'a Controller),
}

impl Sender<'_> {
    /// Its name in messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(host) => &host.name.0,
            Self::Controller(_) => "controller",
        }
    }
    /// Its address for flows of that protocol, if it has one.
    pub fn address_for(&self, protocol: Protocol) -> Option<IpAddr> {
        match self {
            Self::Host(host) => host.address_for(protocol),
            Self::Controller(controller) => controller.address_for(protocol),
        }
    }
    /// The interface it sends on.
    pub fn interface(&self) -> &str {
        match self {
            Self::Host(host) => &host.interface,
            Self::Controller(controller) => &controller.interface,
        }
    }
    /// The MAC address of that interface.
    pub fn mac(&self) -> &str {
        match self {
            Self::Host(host) => &host.mac,
            Self::Controller(controller) => &controller.mac,
        }
    }
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
    /// Who sends in that mode: sealed, the first generator that is a domU; open, the first generator that is a
    /// machine of its own, else the controller.
    pub fn sender(&self, mode: Mode) -> Option<Sender<'_>> {
        let generator = |domu: bool| {
            self.of_role(Role::Generator)
                .find(|h| h.on.is_some() == domu)
                .map(Sender::Host)
        };
        match mode {
            Mode::Sealed => generator(true),
            Mode::Open => {
                generator(false).or_else(|| self.controller.as_ref().map(Sender::Controller))
            }
        }
    }

    /// The lab as a lab file.
    ///
    /// # Errors
    /// When a key's path is not UTF-8: YAML cannot hold it.
    pub fn to_yaml(&self) -> Result<String, FileError> {
        yaml::write(self).map_err(|error| FileError::Write {
            kind: "lab",
            why: error.to_string(),
        })
    }
}
