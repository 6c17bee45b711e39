//! What `pcap` 2.5 leaves out of libpcap: the precision that was granted, the time stamps on offer, and the library's
//! version.

use std::ffi::{CStr, c_char, c_int, c_void};

use pcap::{Activated, Capture};

#[link(name = "pcap")]
#[expect(
    unsafe_code,
    reason = "functions of libpcap that the pcap crate does not bind"
)]
unsafe extern "C" {
    fn pcap_get_tstamp_precision(handle: *mut c_void) -> c_int;
    fn pcap_lib_version() -> *const c_char;
    fn pcap_list_tstamp_types(handle: *mut c_void, types: *mut *mut c_int) -> c_int;
    fn pcap_free_tstamp_types(types: *mut c_int);
}

const PCAP_TSTAMP_PRECISION_NANO: c_int = 1;
const PCAP_TSTAMP_ADAPTER_UNSYNCED: c_int = 4;

/// Whether the interface's NIC can stamp every packet that it receives, by its own clock: what `ethtool -T` calls
/// hardware-receive and hardware-raw-clock, as libpcap sees it. The `pcap` crate would ignore a refusal.
pub fn offers_adapter_stamps(interface: &str) -> Result<bool, pcap::Error> {
    let capture = Capture::from_device(interface)?;
    let mut types = std::ptr::null_mut();
    #[expect(
        unsafe_code,
        reason = "functions of libpcap that the pcap crate does not bind"
    )]
    // SAFETY: the handle lives as long as `capture`. libpcap returns how many types it put into a list of its own, or
    // an error (then, and for 0, there is no list); the list is read within that length and given back once.
    let offered = unsafe {
        let n = pcap_list_tstamp_types(capture.as_ptr().cast(), &raw mut types);
        let Ok(n) = usize::try_from(n) else {
            return Ok(false);
        };
        if types.is_null() {
            return Ok(false);
        }
        let offered = std::slice::from_raw_parts(types, n).contains(&PCAP_TSTAMP_ADAPTER_UNSYNCED);
        pcap_free_tstamp_types(types);
        offered
    };
    Ok(offered)
}

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
