//! What must hold of any bytes whatever: a reader takes them or refuses them with a place, and never panics.

use std::io::Cursor;
use std::path::Path;

use vifbench_wire::dissect::{Dissected, cooked, dissect, ethernet_len};
use vifbench_wire::packet::{UdpFrame, parse, parse_udp};
use vifbench_wire::pcap_file::{PcapFileError, Reader};
use vifbench_wire::protocol::{Reply, Request};

const NAME: &str = "hostile.pcap";

/// Reads a file to its end or its first error, and looks into each packet.
pub fn read(bytes: Vec<u8>) {
    let size = bytes.len() as u64;
    // A small file may hold much under zstd or gzip, but not without bound.
    let packed: [&[u8]; 2] = [&[0x28, 0xb5, 0x2f, 0xfd], &[0x1f, 0x8b, 8]];
    let plain = !packed.iter().any(|head| bytes.starts_with(head));
    let told = |error: PcapFileError| {
        let text = error.to_string();
        assert!(text.contains(NAME), "{text}");
        match error {
            PcapFileError::Truncated { offset, .. } | PcapFileError::Damaged { offset, .. } => {
                assert!(text.contains(&format!("at byte {offset}")), "{text}");
                assert!(!plain || offset <= size, "{offset} of {size}: {text}");
            }
            PcapFileError::NotPcap { .. } | PcapFileError::Read { .. } => {}
        }
    };
    let mut reader = match Reader::new(Cursor::new(bytes), Path::new(NAME)) {
        Ok(reader) => reader,
        Err(error) => return told(error),
    };
    let mut records = 0u64;
    loop {
        match reader.read() {
            Ok(None) => break,
            Ok(Some(record)) => {
                assert_eq!(record.bytes.len(), record.caplen as usize);
                look(record.link_type, record.bytes, record.len);
                records += 1;
                if records > 100_000 {
                    break;
                }
            }
            Err(error) => return told(error),
        }
    }
    assert!(!plain || reader.offset() <= size);
}

/// Looks into a packet of any link type.
pub fn look(link_type: u32, bytes: &[u8], len: u32) {
    parse(bytes);
    cooked(link_type, bytes);
    let frame = ethernet_len(link_type, len, 4);
    let known = !matches!(dissect(link_type, bytes, len), Dissected::UnknownLink);
    assert_eq!(frame.is_some(), known, "{link_type}");
    if let Dissected::Ip(packet) = dissect(link_type, bytes, len) {
        assert!(packet.transport.len() <= bytes.len());
        if let Some(transport) = packet.transport() {
            assert!(transport.payload.len() <= packet.transport.len());
            assert!(transport.payload.len() <= transport.payload_len);
        }
        if let Some(inner) = packet.innermost() {
            assert!(inner.transport.len() <= packet.transport.len());
        }
        if let Some(udp) = UdpFrame::of(&packet) {
            udp.checksum_ok();
            parse_udp(&udp);
        }
    }
}

/// Reads a message of the protocol between controller and probe.
pub fn message(bytes: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(bytes) {
        // What is taken for a request is one: it can be told again.
        let text = serde_json::to_string(&request).expect("a request is told");
        assert_eq!(
            serde_json::from_str::<Request>(&text).expect("and read"),
            request
        );
    }
    drop(serde_json::from_slice::<Reply>(bytes));
}
