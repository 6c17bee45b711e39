//! Xen's domains: listing them, their CPU time, and pinning their virtual CPUs.
//!
//! [`Toolstack::open`] uses libxl where the library on the host is the one that this program's bindings were made
//! from or one of the versions that are alike (`libxl_sys::ALIKE`), and where it fits the running hypervisor; else the
//! command `xl`, and says why.
//!
//! ```no_run
//! use vifbench_libxl::{Domains, Toolstack};
//!
//! let xen = Toolstack::open()?;
//! println!("through {}", xen.describe());
//! for domain in xen.list()? {
//!     println!("{} {} {} ns", domain.domid, domain.name, domain.cpu_ns);
//! }
//! # Ok::<(), vifbench_libxl::Error>(())
//! ```

mod domain;
mod error;
mod native;
mod xl;

use std::fs::OpenOptions;
use std::io;

pub use domain::{Domain, State, Version};
pub use error::Error;
pub use native::Libxl;
pub use xl::XlTool;

/// What can be done with domains, whatever does it.
pub trait Domains {
    /// Every domain, dom0 first.
    fn list(&self) -> Result<Vec<Domain>, Error>;

    /// Domain id and CPU time in nanoseconds since its creation, of every domain, without asking xenstore for names.
    /// For sampling few domains that are known, [`Domains::cpu_time`] of each disturbs less.
    fn cpu_times(&self) -> Result<Vec<(u32, u64)>, Error>;

    /// CPU time of one domain in nanoseconds since its creation; see [`Domains::resolution_ns`].
    fn cpu_time(&self, domid: u32) -> Result<u64, Error>;

    /// The step in which CPU times are known, in nanoseconds.
    fn resolution_ns(&self) -> u64;

    /// Lets a virtual CPU run on these physical CPUs only.
    fn pin(&self, domid: u32, vcpu: u32, cpus: &[u32]) -> Result<(), Error>;

    /// The running hypervisor's version.
    fn version(&self) -> Result<Version, Error>;
}

/// The toolstack in use.
#[derive(Debug)]
pub enum Toolstack {
    /// The library.
    Libxl(Libxl),
    /// The command `xl`; it knows why the library is not used.
    XlTool(XlTool),
}

impl Toolstack {
    /// Opens libxl, or `xl` where libxl does not fit.
    ///
    /// # Errors
    /// [`Error::NotDom0`] where there is no Xen to talk to, [`Error::NoToolstack`] where neither way works.
    pub fn open() -> Result<Self, Error> {
        privileged()?;
        let libxl = match Libxl::open() {
            Ok(libxl) => return Ok(Self::Libxl(libxl)),
            Err(error) => error.to_string(),
        };
        tracing::warn!("using xl: {libxl}");
        match XlTool::open(libxl.clone()) {
            Ok(xl) => Ok(Self::XlTool(xl)),
            Err(error) => Err(Error::NoToolstack {
                libxl,
                xl: error.to_string(),
            }),
        }
    }

    /// `libxl 4.17`, or `xl (why not libxl)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Libxl(libxl) => format!("libxl {}", libxl.library_version()),
            Self::XlTool(xl) => format!("xl ({})", xl.reason()),
        }
    }

    fn domains(&self) -> &dyn Domains {
        match self {
            Self::Libxl(libxl) => libxl,
            Self::XlTool(xl) => xl,
        }
    }
}

impl Domains for Toolstack {
    fn list(&self) -> Result<Vec<Domain>, Error> {
        self.domains().list()
    }
    fn cpu_times(&self) -> Result<Vec<(u32, u64)>, Error> {
        self.domains().cpu_times()
    }
    fn cpu_time(&self, domid: u32) -> Result<u64, Error> {
        self.domains().cpu_time(domid)
    }
    fn resolution_ns(&self) -> u64 {
        self.domains().resolution_ns()
    }
    fn pin(&self, domid: u32, vcpu: u32, cpus: &[u32]) -> Result<(), Error> {
        self.domains().pin(domid, vcpu, cpus)
    }
    fn version(&self) -> Result<Version, Error> {
        self.domains().version()
    }
}

/// Whether hypercalls are possible at all: both ways need the device.
fn privileged() -> Result<(), Error> {
    let device = "/dev/xen/privcmd";
    match OpenOptions::new().read(true).write(true).open(device) {
        Ok(_) => Ok(()),
        // Older kernels have it here.
        Err(source)
            if source.kind() == io::ErrorKind::NotFound
                && std::path::Path::new("/proc/xen/privcmd").exists() =>
        {
            Ok(())
        }
        Err(source) => Err(Error::NotDom0 { device, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where these tests run there is no Xen; on a Xen host the toolstack must open instead.
    #[test]
    fn without_xen_the_error_says_what_is_missing() {
        match Toolstack::open() {
            Err(error) => {
                assert!(matches!(error, Error::NotDom0 { .. }), "{error}");
                assert!(
                    error
                        .to_string()
                        .starts_with("cannot open /dev/xen/privcmd: "),
                    "{error}"
                );
            }
            Ok(xen) => assert!(!xen.list().expect("a Xen host lists its domains").is_empty()),
        }
    }
}
