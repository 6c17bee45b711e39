//! What puts frames on the wire, one file a way of doing it; which one is taken is decided in `choose`.

mod choose;
mod frame_queue;
mod gso;
mod mmsg;
mod pnet;
mod qdisc;
mod raw;
mod ring;
mod sender;
mod sys;
mod txtime;
mod xdp;

pub use self::choose::{Chosen, open};
pub use self::gso::GsoSender;
pub use self::mmsg::MmsgSender;
pub use self::pnet::PnetSender;
pub use self::raw::RawSender;
pub use self::ring::RingSender;
pub use self::sender::{Refused, Sender, SenderError, is_fatal};
pub use self::txtime::TxtimeSender;
pub use self::xdp::XdpSender;
