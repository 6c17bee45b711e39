//! libxl's description of a domain to be made.

use std::ffi::{CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::path::Path;

use libxl_sys as sys;
use libxl_sys::Xenlight;

use super::out_of_memory;
use crate::{DomainConfig, Error};

/// The description, freed with all that it owns.
pub(super) struct Form {
    library: &'static Xenlight,
    raw: Box<MaybeUninit<sys::libxl_domain_config>>,
}

impl Form {
    /// An empty form for a PV domain.
    pub(super) fn new(library: &'static Xenlight) -> Self {
        let mut form = Self {
            library,
            raw: Box::new(MaybeUninit::zeroed()),
        };
        // SAFETY: this initialises every field of it.
        unsafe { library.libxl_domain_config_init(form.raw.as_mut_ptr()) };
        let raw = form.raw();
        raw.c_info.type_ = sys::LIBXL_DOMAIN_TYPE_PV;
        // SAFETY: the form is initialised. The type may be set once only; libxl aborts the program otherwise.
        unsafe {
            library
                .libxl_domain_build_info_init_type(&raw mut raw.b_info, sys::LIBXL_DOMAIN_TYPE_PV);
        }
        form
    }

    pub(super) fn raw(&mut self) -> &mut sys::libxl_domain_config {
        // SAFETY: initialised in `new`, before anything else is done with it.
        unsafe { self.raw.assume_init_mut() }
    }

    /// Fills in all but the bitmap of virtual CPUs. To be called once: what stood there before would leak.
    pub(super) fn fill(&mut self, config: &DomainConfig) -> Result<(), Error> {
        let library = self.library;
        let raw = self.raw();
        raw.c_info.name = owned(&config.name)?;
        // SAFETY: fills 16 bytes of the form.
        unsafe { library.libxl_uuid_generate(&raw mut raw.c_info.uuid) };
        raw.b_info.max_vcpus = config.vcpus as c_int;
        raw.b_info.max_memkb = config.memory_kib;
        raw.b_info.target_memkb = config.memory_kib;
        raw.b_info.kernel = owned_path(&config.kernel)?;
        raw.b_info.cmdline = owned(&config.cmdline)?;
        if let Some(ramdisk) = &config.ramdisk {
            raw.b_info.ramdisk = owned_path(ramdisk)?;
        }
        if config.native_tsc {
            raw.b_info.tsc_mode = sys::LIBXL_TSC_MODE_NATIVE;
        }
        self.add_vifs(config)
    }

    fn add_vifs(&mut self, config: &DomainConfig) -> Result<(), Error> {
        if config.vifs.is_empty() {
            return Ok(());
        }
        let library = self.library;
        let raw = self.raw();
        // SAFETY: calloc, because libxl frees the array. Each element is initialised before it is counted, so that
        // the form never holds one that is not; all indices are below the length.
        unsafe {
            let nics = libc::calloc(config.vifs.len(), size_of::<sys::libxl_device_nic>())
                .cast::<sys::libxl_device_nic>();
            if nics.is_null() {
                return Err(out_of_memory("make room for the vifs"));
            }
            raw.nics = nics;
            for (index, vif) in config.vifs.iter().enumerate() {
                let nic = nics.add(index);
                library.libxl_device_nic_init(nic);
                raw.num_nics = index as c_int + 1;
                (*nic).devid = index as c_int;
                (*nic).mac = vif.mac;
                (*nic).bridge = owned(&vif.bridge)?;
            }
        }
        Ok(())
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, disposed of once.
        unsafe {
            self.library
                .libxl_domain_config_dispose(self.raw.as_mut_ptr());
        }
    }
}

/// Text that libxl frees with the structure it is put into.
fn owned(text: &str) -> Result<*mut c_char, Error> {
    let text = CString::new(text).map_err(|_| Error::Io {
        what: format!("pass {text:?} to libxl"),
        source: std::io::Error::from(std::io::ErrorKind::InvalidInput),
    })?;
    // SAFETY: a string that ends with a zero.
    let copy = unsafe { libc::strdup(text.as_ptr()) };
    if copy.is_null() {
        Err(out_of_memory("copy a text for libxl"))
    } else {
        Ok(copy)
    }
}

fn owned_path(path: &Path) -> Result<*mut c_char, Error> {
    // DomainConfig::check has refused paths that are not UTF-8.
    owned(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::domain::tests::config;

    #[test]
    fn holds_what_was_asked_for_and_is_freed() {
        let library = &super::super::library().expect("libxen-dev is installed").0;
        let mut form = Form::new(library);
        form.fill(&config()).expect("memory");
        let raw = form.raw();
        assert_eq!(
            (raw.c_info.type_, raw.b_info.type_),
            (sys::LIBXL_DOMAIN_TYPE_PV, sys::LIBXL_DOMAIN_TYPE_PV)
        );
        assert_eq!((raw.b_info.max_vcpus, raw.b_info.max_memkb), (1, 131_072));
        assert_eq!(raw.num_nics, 1);
        // SAFETY: `fill` put strings and one vif there.
        let (kernel, nic) = unsafe { (CStr::from_ptr(raw.b_info.kernel), &*raw.nics) };
        assert_eq!(kernel, c"/boot/guest/vmlinuz");
        assert_eq!(nic.mac, config().vifs[0].mac);
        assert_ne!(raw.c_info.uuid.uuid, [0; 16]);
    }

    #[test]
    fn an_unfinished_form_is_freed_too() {
        let library = &super::super::library().expect("libxen-dev is installed").0;
        let mut broken = config();
        broken.vifs.push(crate::Vif {
            mac: [2, 0, 0, 0, 0, 1],
            bridge: "a\0b".into(),
        });
        let mut form = Form::new(library);
        assert!(form.fill(&broken).is_err());
        assert_eq!(form.raw().num_nics, 2);
    }
}
