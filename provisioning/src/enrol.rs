//! Which machine is that? A host is touched only if it is the one in the lab file.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use vifbench_scenarios::lab::{HostName, HostSpec, Identity};
use vifbench_wait::{Cancel, Limit};

use crate::connection::{Connection, Target};
use crate::host::{Host, HostError};
use crate::keys::{self, HostKey};
use crate::shell::quote;
use crate::worker::Plug;

const DMI_SERIAL: &str = "/sys/class/dmi/id/product_serial";

/// What makers leave in the serial number's place when there is none.
const NO_SERIAL: [&str; 7] = [
    "",
    "0",
    "none",
    "not specified",
    "default string",
    "system serial number",
    "to be filled by o.e.m.",
];

fn address_file(interface: &str) -> String {
    format!("/sys/class/net/{interface}/address")
}

/// Checks that the machine behind `host` is the enrolled one. Call it before the first change. (The interface
/// whose MAC may be the identity is away for a moment while its driver is swapped: do not ask then.)
///
/// # Errors
/// [`HostError::NotEnrolled`] when it is another machine.
pub fn verify(host: &mut dyn Host, spec: &HostSpec, deadline: Duration) -> Result<(), HostError> {
    let (what, file, expected) = match &spec.identity {
        Identity::DmiSerial(serial) => ("DMI serial number", DMI_SERIAL.to_owned(), serial.clone()),
        Identity::Mac(mac) => ("MAC address", address_file(&spec.interface), mac.clone()),
    };
    let output = host.run(&format!("cat {}", quote(&file)), deadline)?;
    let got = if output.status == 0 {
        output.text()
    } else {
        // A machine without the file is not the enrolled one either.
        format!(
            "not there ({})",
            String::from_utf8_lossy(&output.stderr).trim()
        )
    };
    if got.trim().eq_ignore_ascii_case(expected.trim()) {
        return Ok(());
    }
    Err(HostError::NotEnrolled {
        host: host.name().clone(),
        what,
        expected,
        got,
    })
}

/// Asks an SSH server for its host key, without logging in and without trusting it. Show the fingerprint to
/// somebody who knows the machine before the key goes into a lab file.
///
/// # Errors
/// When nobody answers there.
pub fn fetch_host_key(
    name: &HostName,
    address: SocketAddr,
    netns: Option<&str>,
    deadline: Duration,
    cancel: Option<Cancel>,
) -> Result<HostKey, HostError> {
    let target = Target {
        host: name.clone(),
        address,
        netns: netns.map(str::to_owned),
        connect_timeout: deadline,
    };
    let limit = Limit::new(deadline, cancel);
    let (_connection, key) =
        Connection::handshake(&target, &keys::preference(None), &Plug::default(), &limit)?;
    Ok(key)
}

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its DMI serial number, where it has a real one.
    pub serial: Option<String>,
    /// The MAC address of the interface.
    pub mac: String,
}

/// Reads what may identify the machine.
///
/// # Errors
/// When the interface is not there, or the host does not answer.
pub fn identify(
    host: &mut dyn Host,
    interface: &str,
    deadline: Duration,
) -> Result<Seen, HostError> {
    use crate::host::HostExt as _;
    let mac = host
        .check(
            &format!("cat {}", quote(&address_file(interface))),
            deadline,
        )?
        .text();
    let serial = host.run(&format!("cat {DMI_SERIAL}"), deadline)?;
    let text = serial.text().trim().to_owned();
    let real = serial.status == 0 && !NO_SERIAL.contains(&text.to_lowercase().as_str());
    Ok(Seen {
        serial: real.then_some(text),
        mac: mac.to_lowercase(),
    })
}

/// The lines of a lab file that enrol a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The key it showed.
    pub host_key: HostKey,
    /// What it said of itself.
    pub seen: Seen,
}

impl Enrolment {
    /// The identity to enrol: the serial number where there is one, else the MAC address.
    pub fn identity(&self) -> Identity {
        match &self.seen.serial {
            Some(serial) => Identity::DmiSerial(serial.clone()),
            None => Identity::Mac(self.seen.mac.clone()),
        }
    }
}

impl fmt::Display for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Compare this with what the machine's own console shows.
        writeln!(f, "    # {}", self.host_key.fingerprint())?;
        writeln!(f, "    host_key: {}", self.host_key)?;
        match self.identity() {
            // A serial number may be all digits or hold anything: quoted, as YAML quotes.
            Identity::DmiSerial(s) => {
                writeln!(
                    f,
                    "    identity: {{dmi-serial: '{}'}}",
                    s.replace('\'', "''")
                )?;
            }
            Identity::Mac(mac) => writeln!(f, "    identity: {{mac: '{mac}'}}")?,
        }
        write!(f, "    mac: '{}'", self.seen.mac)
    }
}
