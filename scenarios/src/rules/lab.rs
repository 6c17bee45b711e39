//! Reading and checking lab files.

use std::net::IpAddr;
use std::path::Path;

use super::repeats;
use crate::file::{self, Faults, FileError, PLAIN_NAME, is_plain_name, nearest};
use crate::lab::{HostSpec, Identity, Lab, Role};
use crate::yaml::{self, Cause, Mistake, Step};

impl Lab {
    /// Reads and checks a lab file. Relative paths of keys are taken from the lab file's folder, and `~/` is the user's home.
    ///
    /// # Errors
    /// When the file cannot be read or has faults; all that can be found at once are in the error.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let text = file::text_of("lab", path)?;
        let origin = path.display().to_string();
        let mut lab = Self::parse(&text, &origin)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut faults = Faults::new(&text, &origin);
        for (index, host) in lab.hosts.iter_mut().enumerate() {
            let at = ["hosts".into(), index.into(), "key".into()];
            host.key = folder.join(faults.at_home(&at, &host.key));
            if host.key.to_str().is_none() {
                faults.add(
                    &at,
                    format!(
                        "the path `{}` is not UTF-8, so no run could record it",
                        host.key.display()
                    ),
                    "move the key, or the lab file, into a folder whose name is UTF-8",
                );
            }
        }
        faults.into_result()?;
        Ok(lab)
    }

    /// Reads and checks the text of a lab file; `origin` stands for the file name in messages.
    ///
    /// # Errors
    /// See [`Lab::load`].
    pub fn parse(text: &str, origin: &str) -> Result<Self, FileError> {
        let lab: Self = file::read(text, origin, explain)?;
        check(&lab, text, origin)?;
        Ok(lab)
    }
}

/// What only a lab can say of a mistake: which host lacks what, and where to get it.
fn explain(mistake: &Mistake, text: &str) -> Option<(String, String)> {
    let Cause::MissingKey { key } = &mistake.cause else {
        return None;
    };
    let [Step::Key(hosts), Step::Index(index)] = mistake.path.as_slice() else {
        return None;
    };
    if hosts != "hosts" {
        return None;
    }
    let host = match yaml::text_at(text, &["hosts".into(), (*index).into(), "name".into()]) {
        Some(name) => format!("host `{name}`"),
        None => format!("host {}", index + 1),
    };
    let mend = match key.as_str() {
        "key" => "add `key: PATH` of the private SSH key that opens it; there are no passwords".to_owned(),
        "host_key" => {
            "add `host_key: ssh-ed25519 AAAA...` as its console shows it (/etc/ssh/ssh_host_ed25519_key.pub); no key is trusted on first use".to_owned()
        }
        "identity" => {
            "add `identity: {dmi-serial: TEXT}` or `identity: {mac: ADDRESS}`, so that no other machine is touched in its place".to_owned()
        }
        "interface" => "add `interface: NAME` of the interface that carries the test traffic".to_owned(),
        "mac" => "add `mac: ADDRESS` of its `interface`".to_owned(),
        "role" => "add `role: dom0`, `role: guest` or `role: generator`".to_owned(),
        "address" => "add `address: IP`, where SSH reaches it".to_owned(),
        other => format!("add `{other}:`"),
    };
    Some((format!("{host} has no `{key}`"), mend))
}

/// Notes all faults.
fn check(lab: &Lab, text: &str, origin: &str) -> Result<(), FileError> {
    let mut faults = Faults::new(text, origin);
    if !is_plain_name(&lab.name) {
        faults.add(
            &["name".into()],
            format!("`{}` cannot be a lab's name", lab.name),
            PLAIN_NAME,
        );
    }
    if lab.hosts.is_empty() {
        faults.add(
            &["hosts".into()],
            "the lab has no hosts",
            "add a dom0 and its guests",
        );
    } else if lab.of_role(Role::Dom0).next().is_none() {
        faults.add(
            &["hosts".into()],
            "the lab has no dom0",
            "add a host with `role: dom0`",
        );
    }
    for (index, host) in lab.hosts.iter().enumerate() {
        self::host(lab, index, host, &mut faults);
    }
    controller(lab, &mut faults);
    doubles(lab, &mut faults);
    faults.into_result()
}

fn host(lab: &Lab, index: usize, host: &HostSpec, faults: &mut Faults<'_>) {
    let at = |key: &str| -> [Step; 3] { ["hosts".into(), index.into(), key.into()] };
    let name = &host.name;
    if !is_plain_name(&name.0) {
        faults.add(
            &at("name"),
            format!("`{name}` cannot be a host's name"),
            PLAIN_NAME,
        );
    }
    if name.0 == "controller" {
        faults.add(
            &at("name"),
            "`controller` is the name of this machine",
            "give the host another name",
        );
    }
    home(lab, index, host, faults);
    address6(
        &at("address6"),
        &format!("host `{name}`"),
        host.address6,
        faults,
    );
    mac(&at("mac"), &format!("host `{name}`"), &host.mac, faults);
    interface(
        &at("interface"),
        &format!("host `{name}`"),
        &host.interface,
        faults,
    );
    if let Some(bridge) = &host.bridge {
        interface(&at("bridge"), &format!("host `{name}`"), bridge, faults);
    }
    if host.port == 0 {
        faults.add(
            &at("port"),
            format!("host `{name}` has port 0"),
            "give its SSH port, or leave `port` out for 22",
        );
    }
    if host.user != "root" {
        faults.add(
            &at("user"),
            format!(
                "host `{name}` is reached as `{}`, who may not swap modules",
                host.user
            ),
            "use `user: root`, or leave `user` out",
        );
    }
    if host.key.as_os_str().is_empty() {
        faults.add(
            &at("key"),
            format!("the `key` of host `{name}` is empty"),
            "give the path of its private SSH key",
        );
    }
    if !is_host_key(&host.host_key) {
        faults.add(
            &at("host_key"),
            format!("the `host_key` of host `{name}` is not a public SSH key"),
            "write it as in known_hosts: `ssh-ed25519 AAAA...`, without the host name",
        );
    }
    match &host.identity {
        Identity::Mac(text) => {
            mac(
                &["hosts".into(), index.into(), "identity".into()],
                &format!("the identity of host `{name}`"),
                text,
                faults,
            );
        }
        Identity::DmiSerial(serial) if serial.trim().is_empty() => faults.add(
            &at("identity"),
            format!("the DMI serial of host `{name}` is empty"),
            "use what /sys/class/dmi/id/product_serial says there, or `identity: {mac: ADDRESS}`",
        ),
        Identity::DmiSerial(_) => {}
    }
}

/// Where a host runs.
fn home(lab: &Lab, index: usize, host: &HostSpec, faults: &mut Faults<'_>) {
    let at: [Step; 3] = ["hosts".into(), index.into(), "on".into()];
    let name = &host.name;
    match (&host.on, host.role) {
        (None, Role::Guest) => {
            faults.add(
                &at,
                format!("guest `{name}` has no `on`"),
                "add `on: NAME` of the dom0 it runs on",
            );
        }
        (Some(on), Role::Dom0) => {
            faults.add(
                &at,
                format!("dom0 `{name}` cannot run on `{on}`"),
                "remove `on`, or change its `role`",
            );
        }
        (Some(on), Role::Guest | Role::Generator)
            if !lab.of_role(Role::Dom0).any(|dom0| &dom0.name == on) =>
        {
            let names: Vec<_> = lab
                .of_role(Role::Dom0)
                .map(|dom0| dom0.name.0.as_str())
                .collect();
            let mend = match nearest(&on.0, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "add that dom0".to_owned(),
                None => format!("the lab's dom0s are {}", quoted(&names)),
            };
            faults.add(
                &at,
                format!("`{name}` runs on `{on}`, which is no dom0 of this lab"),
                mend,
            );
        }
        _ => {}
    }
}

fn controller(lab: &Lab, faults: &mut Faults<'_>) {
    let Some(controller) = &lab.controller else {
        return;
    };
    let at = |key: &str| -> [Step; 2] { ["controller".into(), key.into()] };
    address6(
        &at("address6"),
        "the controller",
        controller.address6,
        faults,
    );
    mac(&at("mac"), "the controller", &controller.mac, faults);
    interface(
        &at("interface"),
        "the controller",
        &controller.interface,
        faults,
    );
}

/// No two machines may share a name, an address or a MAC address.
fn doubles(lab: &Lab, faults: &mut Faults<'_>) {
    let hosts = || lab.hosts.iter().enumerate();
    let at =
        |index: usize, key: &str| -> Vec<Step> { vec!["hosts".into(), index.into(), key.into()] };
    let names: Vec<_> = hosts()
        .map(|(index, host)| (at(index, "name"), host.name.0.clone()))
        .collect();
    let mut addresses: Vec<_> = hosts()
        .map(|(index, host)| (at(index, "address"), host.address.to_string()))
        .collect();
    addresses.extend(
        hosts()
            .filter_map(|(index, host)| Some((at(index, "address6"), host.address6?.to_string()))),
    );
    let mut macs: Vec<_> = hosts()
        .map(|(index, host)| (at(index, "mac"), host.mac.clone()))
        .collect();
    if let Some(controller) = &lab.controller {
        let at = |key: &str| -> Vec<Step> { vec!["controller".into(), key.into()] };
        addresses.push((at("address"), controller.address.to_string()));
        addresses.extend(
            controller
                .address6
                .map(|address| (at("address6"), address.to_string())),
        );
        macs.push((at("mac"), controller.mac.clone()));
    }
    for (what, values) in [
        ("name", names),
        ("address", addresses),
        ("MAC address", macs),
    ] {
        for (index, earlier) in repeats(values.iter().map(|(_, value)| value)) {
            let (path, value) = &values[index];
            faults.add(
                path,
                format!(
                    "the {what} `{value}` belongs to {} already",
                    owner(lab, &values[earlier].0)
                ),
                format!("give each machine its own {what}"),
            );
        }
    }
}

/// Whose value a path leads to.
fn owner(lab: &Lab, path: &[Step]) -> String {
    match path {
        [_, Step::Index(index), ..] => lab.hosts.get(*index).map_or_else(String::new, |host| {
            format!("host `{}` (host {})", host.name, index + 1)
        }),
        _ => "the controller".to_owned(),
    }
}

fn quoted(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn address6(path: &[Step], whose: &str, address: Option<IpAddr>, faults: &mut Faults<'_>) {
    if let Some(address @ IpAddr::V4(_)) = address {
        faults.add(
            path,
            format!("the `address6` of {whose} is the IPv4 address {address}"),
            "give an IPv6 address",
        );
    }
}

fn mac(path: &[Step], whose: &str, text: &str, faults: &mut Faults<'_>) {
    let octets: Vec<_> = text.split(':').collect();
    let well_formed = octets.len() == 6
        && octets.iter().all(|o| {
            o.len() == 2
                && o.bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
    if !well_formed {
        faults.add(
            path,
            format!("`{text}` of {whose} is not a MAC address"),
            "write six pairs of hexadecimal digits with colons, as in `00:16:3e:00:00:01`",
        );
    } else if u8::from_str_radix(octets[0], 16).is_ok_and(|first| first & 1 == 1) {
        faults.add(
            path,
            format!("`{text}` of {whose} is a group address"),
            "use the interface's own address, whose first octet is even",
        );
    }
}

/// Linux: IFNAMSIZ is 16 with the closing zero, and no slash or space.
fn interface(path: &[Step], whose: &str, name: &str, faults: &mut Faults<'_>) {
    let sound = (1..=15).contains(&name.len())
        && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace());
    if !sound {
        faults.add(
            path,
            format!("`{name}` of {whose} cannot be an interface"),
            "use 1 to 15 characters without spaces, slashes and colons, as `ip link` shows them",
        );
    }
}

/// Type, then base64; a comment may follow. Whether it is the right key is for SSH to find.
fn is_host_key(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let kind = words.next().is_some_and(|kind| {
        ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
            .iter()
            .any(|known| kind.starts_with(known))
    });
    let body = words.next().is_some_and(|body| {
        body.len() >= 32
            && body.starts_with("AAAA")
            && body
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    });
    kind && body
}
