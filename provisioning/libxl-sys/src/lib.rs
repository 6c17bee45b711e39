//! Raw bindings to libxl (Xen's toolstack library) and the part of libxentoollog that it needs.
//!
//! Made by `bindgen` from the installed header, so they fit exactly one version of Xen: [`VERSION`]. Where no header is
//! installed they are the recorded ones of Debian 12's Xen. The library is
//! not linked: [`Xenlight`] loads it at run time, so that one program runs on hosts with and without Xen.
//! Meaning and ownership of everything here are in `libxl.h`; use the crate `vifbench-libxl` instead where you can.

#![expect(unsafe_code, reason = "foreign functions are unsafe by nature")]

/// The version of Xen whose `libxl.h` these bindings were made from, as in `4.17`.
pub const VERSION: &str = env!("LIBXL_BINDINGS_VERSION");

/// The file name of the only library that these bindings fit as a whole.
pub const SONAME: &str = env!("LIBXL_SONAME");

/// Versions of Xen between which nothing differs that these bindings hold: `libxl_dominfo`, `libxl_version_info`,
/// `libxl_bitmap`, `libxl_childproc_hooks`, `xentoollog_logger`, and the functions that take them. They were compared
/// header by header (`_libxl_types.h`, `libxl.h`, `libxl_utils.h`, `libxl_event.h` and `xentoollog.h` of Debian's
/// libxen-dev). Functions that create a domain take types that do differ.
pub const ALIKE: [&str; 2] = ["4.17", "4.20"];

#[allow(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    clippy::all,
    clippy::pedantic,
    reason = "generated code follows the header's habits"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

impl std::fmt::Debug for Xenlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Xenlight({SONAME})")
    }
}

#[cfg(test)]
mod tests {
    use vifbench_testing::{Need, needs};

    use super::*;

    /// Where the bindings come from: `header` or `recorded`.
    const FROM: &str = env!("LIBXL_BINDINGS_FROM");

    #[test]
    fn the_recorded_bindings_are_what_the_header_gives() {
        if FROM == "header" && VERSION == "4.17" {
            let made = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
            assert!(
                made == include_str!("../recorded/4.17.rs"),
                "copy the bindings.rs of this build to recorded/4.17.rs"
            );
        }
    }

    /// The library comes with libxen-dev; no Xen has to run for this.
    #[test]
    fn every_function_is_in_the_library() {
        needs!(Need::Path("/usr/include/libxl.h"));
        // SAFETY: loading libxenlight runs only its own initialisers, which touch nothing of ours.
        let library = unsafe { Xenlight::new(SONAME) };
        assert!(library.is_ok(), "{:?}", library.err());
    }

    #[test]
    fn the_name_carries_the_version() {
        assert_eq!(SONAME, format!("libxenlight.so.{VERSION}"));
    }
}
