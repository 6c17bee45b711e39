//! Load for captures to bear: as many frames of 64 B as the sender can make.

use std::process::Command;

use vifbench_probes::generator::GeneratorError;
use vifbench_probes::senders::{PnetSender, Sender as _};
use vifbench_scenarios::scenario::Arrivals;
use vifbench_scenarios::units::{Rate, Size};
use vifbench_wire::packet::Template;
use vifbench_wire::protocol::FlowSpec;

use super::error::BenchError;
use super::namespaces::{End, JoinedNamespaces, address, interface, mac};
use super::tools::{self, Tool};

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// trafgen, which nobody can say was made for our captures.
    Trafgen,
    /// Our own plain sender, where trafgen is not installed.
    Own,
}

impl Load {
    /// trafgen where it is installed.
    pub fn find() -> Result<(Self, Tool), BenchError> {
        let tool = Tool::find("trafgen", Some("netsniff-ng"))?;
        let load = if tool.is_there() {
            Self::Trafgen
        } else {
            Self::Own
        };
        Ok((load, tool))
    }

    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trafgen => "trafgen on one core",
            Self::Own => "vifbench's plain sender",
        }
    }

    /// Sends so many frames, one behind the other, to the other end of the wire.
    pub fn send(self, joined: &JoinedNamespaces, packets: u32) -> Result<(), BenchError> {
        let mut template = template()?;
        match self {
            Self::Trafgen => {
                let frame: Vec<String> = template
                    .stamp(0)
                    .iter()
                    .map(|byte| format!("{byte:#04x}"))
                    .collect();
                let mut command: Command = joined.command(End::Tx, "trafgen");
                command
                    .args(["--dev", interface(End::Tx), "--cpus", "1", "--num"])
                    .arg(packets.to_string())
                    .arg(format!("{{ {} }}", frame.join(", ")));
                tools::run("send at full speed", &mut command).map(drop)
            }
            Self::Own => joined
                .inside(End::Tx, || -> Result<(), GeneratorError> {
                    let name = interface(End::Tx);
                    let mut sender = PnetSender::open(name)?;
                    for seq in 0..packets {
                        template.number(seq);
                        sender.push(template.stamp(0));
                        sender.flush().map_err(|refused| GeneratorError::Gone {
                            interface: name.to_owned(),
                            sent: u64::from(seq),
                            error: refused.error,
                        })?;
                    }
                    Ok(())
                })?
                .map_err(BenchError::from),
        }
    }
}

fn template() -> Result<Template, BenchError> {
    let ip = |end| {
        address(end)
            .parse()
            .map_err(|error| BenchError::Wrong(format!("{}: {error}", address(end))))
    };
    let spec = FlowSpec {
        flow: 1,
        source_mac: mac(End::Tx).to_owned(),
        destination_mac: mac(End::Rx).to_owned(),
        source: ip(End::Tx)?,
        destination: ip(End::Rx)?,
        size: Size::from_bytes(64).into(),
        arrivals: Arrivals::Cbr {
            rate: Rate::per_sec(1_000_000),
        },
        seed: 1,
    };
    Template::new(&spec, 64).map_err(|error| BenchError::Generator(error.into()))
}
