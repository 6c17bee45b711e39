//! Capture files: pcap, modified pcap and pcapng, plain, under gzip or under zstd, and each packet in them.

#![no_main]

#[path = "../../tests/hostile/checks.rs"]
#[expect(dead_code, reason = "each target uses a part")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::read(bytes.to_vec());
});
