//! `vifbench enrol`: a host's key, to be compared with its own console before it goes into a lab file.

use std::net::SocketAddr;

use serde_json::json;
use vifbench_provisioning::enrol::fetch_host_key;
use vifbench_scenarios::lab::HostName;

use crate::cli::Format;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::stdout;
use crate::run::awake::Awake;
use crate::run::deadlines::STEP;

/// Carries out the command. Nothing is sent to the host beyond SSH's own greeting.
pub fn run(address: &str, netns: Option<&str>, format: Format) -> Result<Exit, Failure> {
    let socket: SocketAddr = match address.parse() {
        Ok(socket) => socket,
        Err(_) => SocketAddr::new(
            address.parse().map_err(|_| {
                Failure::Usage(format!(
                    "`{address}` is no address: write 198.18.0.2 or 198.18.0.2:22"
                ))
            })?,
            22,
        ),
    };
    let _awake = match netns {
        Some(netns) => Awake::of_netns(netns, "enrol")?,
        None => None,
    };
    let key = fetch_host_key(&HostName(address.to_owned()), socket, netns, STEP, None)?;
    match format {
        Format::Text => {
            writeln!(
                stdout(),
                "# compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console"
            )?;
            writeln!(stdout(), "# {}", key.fingerprint())?;
            writeln!(stdout(), "host_key: {key}")?;
            writeln!(
                stdout(),
                "# identity: the MAC address of its interface ({{mac: '...'}}) or its DMI serial ({{dmi-serial: '...'}})"
            )?;
        }
        Format::Json => {
            stdout()
                .json(&json!({"host_key": key.to_string(), "fingerprint": key.fingerprint()}))?;
        }
    }
    Ok(Exit::Pass)
}
