//! Messages between controller and probe.

#![no_main]

#[path = "../../tests/hostile/checks.rs"]
#[expect(dead_code, reason = "each target uses a part")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    checks::message(bytes);
});
