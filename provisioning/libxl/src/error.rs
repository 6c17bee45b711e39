//! What can go wrong between us and Xen.

use std::io;

use thiserror::Error;

/// Why something could not be done with domains.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no Xen here, or we may not talk to it.
    #[error(
        "cannot open {device}: {source}; run this as root in dom0 of a Xen host, with the module xen-privcmd loaded"
    )]
    NotDom0 {
        /// The device for hypercalls.
        device: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The library is not there, or is another one.
    #[error(
        "cannot load {tried}, the only libxl that these bindings fit: {why}; install the package libxenmisc{version}, or use xl"
    )]
    Load {
        /// The file name that was tried.
        tried: &'static str,
        /// The Xen version it belongs to.
        version: &'static str,
        /// What the loader said.
        why: String,
    },
    /// The library is there, but Xen is another one.
    #[error(
        "libxl is of Xen {library}, the running hypervisor is {hypervisor}; install the matching tools and reboot, or use xl"
    )]
    VersionDiffers {
        /// What libxl was made for.
        library: &'static str,
        /// What runs.
        hypervisor: String,
    },
    /// Neither libxl nor xl can be used.
    #[error("no way to Xen's domains: libxl: {libxl}; xl: {xl}")]
    NoToolstack {
        /// Why not libxl.
        libxl: String,
        /// Why not xl.
        xl: String,
    },
    /// libxl refused.
    #[error("libxl cannot {what}: {code}{}", said(log))]
    Libxl {
        /// What was attempted, on what.
        what: String,
        /// libxl's name for the error.
        code: String,
        /// What libxl logged meanwhile.
        log: String,
    },
    /// There is no such domain.
    #[error("there is no domain {domid}; `xl list` shows those that are")]
    NoSuchDomain {
        /// Its id.
        domid: u32,
    },
    /// A virtual CPU cannot be pinned so.
    #[error("cannot pin vCPU {vcpu} of domain {domid} to CPUs {cpus:?}: {why}")]
    BadPin {
        /// The domain.
        domid: u32,
        /// Its virtual CPU.
        vcpu: u32,
        /// The physical CPUs asked for.
        cpus: Vec<u32>,
        /// What is wrong with them.
        why: String,
    },
    /// There is no program `xl`.
    #[error(
        "found no program `xl` on the PATH, in /usr/sbin or in /usr/lib/xen-*/bin; install the package xen-utils-common"
    )]
    NoXl,
    /// `xl` could not be started, or memory is short.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// `xl` refused.
    #[error("`{command}` failed ({status}){}", said(stderr))]
    Xl {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it wrote to stderr.
        stderr: String,
    },
    /// `xl` printed something unknown.
    #[error(
        "cannot understand the output of `{command}`: {why} in the line {line:?}; report this with the version of Xen"
    )]
    XlOutput {
        /// The command line.
        command: String,
        /// The line.
        line: String,
        /// What was expected.
        why: &'static str,
    },
}

/// What a program or library said, on one line.
fn said(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        "; it gave no reason".to_owned()
    } else {
        format!("; it said: {}", lines.join(" | "))
    }
}
