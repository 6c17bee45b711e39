//! What `pcap` 2.5 leaves out of libpcap: the precision that was granted, and the library's version.

use std::ffi::{CStr, c_char, c_int, c_void};

use pcap::{Activated, Capture};

#[link(name = "pcap")]
#[expect(
    unsafe_code,
    reason = "two functions of libpcap that the pcap crate does not bind"
)]
unsafe extern "C" {
    fn pcap_get_tstamp_precision(handle: *mut c_void) -> c_int;
    fn pcap_lib_version() -> *const c_char;
}

const PCAP_TSTAMP_PRECISION_NANO: c_int = 1;

/// Whether an open capture gives nanoseconds. The `pcap` crate throws away libpcap's word on whether it took
/// the precision that was asked for, so ask for what is in force.
pub fn has_nanoseconds<T: Activated + ?Sized>(capture: &Capture<T>) -> bool {
    #[expect(
        unsafe_code,
        reason = "a function of libpcap that the pcap crate does not bind"
    )]
    // SAFETY: the handle is open for as long as `capture` is borrowed, and the function only reads it.
    let precision = unsafe { pcap_get_tstamp_precision(capture.as_ptr().cast()) };
    precision == PCAP_TSTAMP_PRECISION_NANO
}

/// The library's own words: `libpcap version 1.10.3 (with TPACKET_V3)`.
pub fn version() -> String {
    #[expect(
        unsafe_code,
        reason = "a function of libpcap that the pcap crate does not bind"
    )]
    // SAFETY: libpcap returns a NUL-terminated string that lives as long as the library.
    let version = unsafe { CStr::from_ptr(pcap_lib_version()) };
    version.to_string_lossy().into_owned()
}
