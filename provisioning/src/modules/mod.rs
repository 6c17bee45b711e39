//! Kernel modules: built from the distribution's source at the host's version, swapped, and proved live.
//!
//! In order: [`series`] says which patches there are, [`builder`] makes modules of them, [`swap`] loads them in dom0
//! and the guests, [`proof`] shows which modules are live. [`module_file`] reads what a `.ko` says of itself; [`root`] is
//! where a kernel's headers and compiler lie.

pub mod builder;
pub mod module_file;
pub mod proof;
pub mod root;
pub mod series;
pub mod swap;

use thiserror::Error;

use crate::host::HostError;

/// Why modules could not be built, swapped or proved.
#[derive(Debug, Error)]
pub enum ModuleError {
    /// The patch series.
    #[error(transparent)]
    Series(#[from] series::SeriesError),
    /// The build.
    #[error(transparent)]
    Build(#[from] builder::BuildError),
    /// The proof.
    #[error(transparent)]
    Proof(#[from] proof::ProofError),
    /// The swap.
    #[error(transparent)]
    Swap(#[from] swap::SwapError),
}

impl ModuleError {
    /// The host that did not do its part, where that was the reason; the modules are not to blame then.
    pub fn host_error(&self) -> Option<&HostError> {
        use proof::ProofError;
        use swap::SwapError;
        match self {
            Self::Swap(SwapError::Host(error) | SwapError::Proof(ProofError::Host(error)))
            | Self::Proof(ProofError::Host(error)) => Some(error),
            _ => None,
        }
    }
}

/// The backend's module, as the kernel names it.
pub const NETBACK: &str = "xen_netback";
/// The frontend's module, as the kernel names it.
pub const NETFRONT: &str = "xen_netfront";

/// The file of a module: the kernel writes `_` where file names have `-`.
fn file_name(module: &str) -> String {
    format!("{}.ko", module.replace('_', "-"))
}
