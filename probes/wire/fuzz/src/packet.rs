//! Packets of every link type: the first byte chooses, the next four are the length on the wire.

#![no_main]

#[path = "../../tests/hostile/checks.rs"]
#[expect(dead_code, reason = "each target uses a part")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    const KINDS: [u32; 9] = [1, 0, 12, 101, 108, 113, 228, 229, 276];
    if let Some(([kind, a, b, c, d], packet)) = bytes.split_first_chunk() {
        let kind = KINDS[usize::from(*kind) % KINDS.len()];
        checks::look(kind, packet, u32::from_le_bytes([*a, *b, *c, *d]));
    }
});
