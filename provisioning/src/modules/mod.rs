//! Kernel modules: built from the distribution's source at the host's version, swapped, and proved live.
