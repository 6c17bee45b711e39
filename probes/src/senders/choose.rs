//! Which sender a trial gets: the one that the scenario names, or the one that suits its traffic.

use vifbench_scenarios::scenario::{Arrivals, SendBy};
use vifbench_wire::protocol::{Generate, Pace};

use super::gso::GsoSender;
use super::mmsg::MmsgSender;
use super::pnet::PnetSender;
use super::raw::RawSender;
use super::ring::RingSender;
use super::sender::{Sender, SenderError};
use super::txtime::TxtimeSender;
use super::xdp::XdpSender;

/// A sender, and what is to be said of it in the report.
pub struct Chosen {
    /// The sender.
    pub sender: Box<dyn Sender>,
    /// Its word in scenarios, and why it was taken where nobody named it.
    pub said: String,
}

/// Opens the sender of a plan.
///
/// # Errors
/// When the one that was named cannot work here. `auto` always finds one where raw sockets can be had.
pub fn open(plan: &Generate) -> Result<Chosen, SenderError> {
    match plan.sender {
        SendBy::Auto => automatic(plan),
        named => Ok(Chosen {
            sender: named_sender(plan, named)?,
            said: named.word().to_owned(),
        }),
    }
}

fn named_sender(plan: &Generate, named: SendBy) -> Result<Box<dyn Sender>, SenderError> {
    let interface = &plan.interface;
    Ok(match named {
        SendBy::Auto | SendBy::Raw => Box::new(RawSender::open(interface)?),
        SendBy::Pnet => Box::new(PnetSender::open(interface)?),
        SendBy::Txtime => Box::new(TxtimeSender::open(interface)?),
        SendBy::Mmsg => Box::new(MmsgSender::open(interface)?),
        SendBy::Ring => Box::new(RingSender::open(interface)?),
        SendBy::Gso => Box::new(GsoSender::open(interface)?),
        SendBy::Xdp => Box::new(XdpSender::open(interface)?),
    })
}

/// Where machines share a CPU, what costs the others least: packets that the kernel sends at their times where it can, else
/// one packet a call that waits for room. For traffic that saturates, super-packets where the kernel cuts them up; else
/// straight to the driver.
fn automatic(plan: &Generate) -> Result<Chosen, SenderError> {
    let saturates = |arrivals: &Arrivals| matches!(arrivals, Arrivals::Saturate { .. });
    let saturates = plan.flows.iter().any(|flow| saturates(&flow.arrivals));
    let shared = "the machine's CPU is shared";
    let (best, why, plain) = match (plan.pace, saturates) {
        (Pace::Sleep, false) => (Some(SendBy::Txtime), shared, SendBy::Raw),
        (Pace::Sleep, true) => (None, shared, SendBy::Raw),
        (Pace::Spin, true) => (
            Some(SendBy::Gso),
            "some of the traffic saturates",
            SendBy::Mmsg,
        ),
        (Pace::Spin, false) => (
            None,
            "paced traffic goes straight to the driver",
            SendBy::Mmsg,
        ),
    };
    let chosen = |sender, of: SendBy, why: &str| Chosen {
        sender,
        said: format!("{} (auto: {why})", of.word()),
    };
    let mut why = why.to_owned();
    if let Some(best) = best {
        match named_sender(plan, best) {
            Ok(sender) => return Ok(chosen(sender, best, &why)),
            Err(error @ SenderError::Unable { .. }) => why = error.to_string(),
            Err(error) => return Err(error),
        }
    }
    Ok(chosen(named_sender(plan, plain)?, plain, &why))
}
