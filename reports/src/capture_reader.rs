//! One raw capture, packet by packet, in the terms of the packet table.

use std::path::Path;

use vifbench_wire::dissect::ETHERNET;
use vifbench_wire::packet::{FCS_LEN, Parsed, UdpFrame, parse};
use vifbench_wire::pcap_file::{PcapFileError, Reader};

use crate::error::ReportError;

/// One captured packet.
pub(crate) struct Seen {
    /// Stamp on the capturing host's clock.
    pub at_ns: i64,
    /// Bytes of the frame with its FCS.
    pub size: u32,
    /// What it is.
    pub content: Content,
}

/// What a captured packet turned out to be.
pub(crate) enum Content {
    /// Ours, every captured byte as it was sent.
    Ours(Mark),
    /// To our port, with other bytes than were sent.
    Corrupt,
    /// To our port, captured too short to be read.
    Cut,
    /// Someone else's.
    Foreign,
}

/// What the payload says.
pub(crate) struct Mark {
    pub flow: u16,
    pub seq: u32,
    /// Send time on the sender's clock.
    pub send_ns: i64,
    /// Bytes of UDP payload.
    pub payload: u32,
}

/// Hands every packet of a capture to `each`, in the file's order. Returns whether its stamps have nanoseconds.
pub(crate) fn read(path: &Path, mut each: impl FnMut(Seen)) -> Result<bool, ReportError> {
    let mut reader = Reader::open(path).map_err(|e| damaged(path, e))?;
    while let Some(record) = reader.read().map_err(|e| damaged(path, e))? {
        if record.link_type != ETHERNET {
            return Err(ReportError::Capture {
                path: path.to_owned(),
                source: None,
                reason: format!(
                    "its link type is {}, only Ethernet (1) is read",
                    record.link_type
                ),
            });
        }
        let content = match parse(record.bytes) {
            Parsed::Test(stamp) => {
                let payload = UdpFrame::parse(record.bytes).map_or(0, |udp| udp.payload_len);
                Content::Ours(Mark {
                    flow: stamp.flow,
                    seq: stamp.seq,
                    send_ns: signed(stamp.sent_near(record.ts_ns)),
                    payload: u32::try_from(payload).unwrap_or(u32::MAX),
                })
            }
            Parsed::Corrupt => Content::Corrupt,
            Parsed::Cut => Content::Cut,
            Parsed::Foreign => Content::Foreign,
        };
        each(Seen {
            at_ns: signed(record.ts_ns),
            size: record.len.saturating_add(FCS_LEN),
            content,
        });
    }
    Ok(reader.nanoseconds())
}

/// Pcap times end in 2106, long before the signed range does.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

fn damaged(path: &Path, error: PcapFileError) -> ReportError {
    ReportError::Capture {
        path: path.to_owned(),
        reason: error.to_string(),
        source: Some(Box::new(error)),
    }
}
