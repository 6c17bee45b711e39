//! Domains through libxl.

#![expect(unsafe_code, reason = "this is the safe wrapper of a C library")]

mod log;

use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use libxl_sys as sys;
use libxl_sys::Xenlight;

use crate::domain::Flags;
use crate::{Domain, Domains, Error, State, Version};
use log::Log;

/// A context of libxl. Not for use from several threads at once; each thread may open its own.
#[derive(Debug)]
pub struct Libxl {
    library: &'static Xenlight,
    version: &'static str,
    context: Context,
    // Behind the context, which logs until it is gone: fields are dropped in this order.
    log: Log,
}

/// Owns libxl's context.
#[derive(Debug)]
struct Context {
    library: &'static Xenlight,
    raw: *mut sys::libxl_ctx,
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by libxl_ctx_alloc and not freed yet. It always gives 0.
        unsafe {
            self.library.libxl_ctx_free(self.raw);
        }
    }
}

/// Children of libxl (hotplug scripts) are its own business, all others ours: it must not reap what
/// `std::process` waits for. libxl keeps a pointer to this for as long as its context lives.
static CHILDREN: sys::libxl_childproc_hooks = sys::libxl_childproc_hooks {
    chldowner: sys::libxl_sigchld_owner_libxl_always_selective_reap,
    fork_replacement: None,
    reaped_callback: None,
};

/// A library and the version that its name carries.
type Loaded = (Xenlight, &'static str);

/// Loads the library once; it stays for the life of the program, because libxl leaves handlers in it.
fn library() -> Result<&'static Loaded, Error> {
    static LIBRARY: OnceLock<Result<Loaded, String>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| load(sys::VERSION).or_else(|why| load_alike().ok_or(why)))
        .as_ref()
        .map_err(|why| Error::Load {
            tried: sys::SONAME,
            version: sys::VERSION,
            why: why.clone(),
        })
}

fn load(version: &'static str) -> Result<Loaded, String> {
    // SAFETY: the initialisers of libxenlight and its dependencies have no preconditions. The name carries the
    // version, so that the types of the bindings are those of the library, or at least those that are used here.
    unsafe { Xenlight::new(format!("libxenlight.so.{version}")) }
        .map(|library| (library, version))
        .map_err(|error| error.to_string())
}

/// A library of another version, between which and the bindings' own nothing differs that is called here.
fn load_alike() -> Option<Loaded> {
    let alike = sys::ALIKE;
    if !alike.contains(&sys::VERSION) {
        return None;
    }
    alike.into_iter().find_map(|version| load(version).ok())
}

fn out_of_memory(what: &str) -> Error {
    Error::Io {
        what: what.to_owned(),
        source: std::io::Error::from(std::io::ErrorKind::OutOfMemory),
    }
}

impl Libxl {
    /// Loads libxl and opens a context.
    ///
    /// # Errors
    /// When the library is missing, does not fit the running hypervisor, or cannot talk to Xen or xenstore.
    pub fn open() -> Result<Self, Error> {
        let (library, version) = library()?;
        let log = Log::new(library).ok_or_else(|| out_of_memory("make a log for libxl"))?;
        let mut raw = ptr::null_mut();
        // SAFETY: the logger outlives the context (field order of Libxl).
        let code = unsafe {
            library.libxl_ctx_alloc(&raw mut raw, sys::LIBXL_VERSION as c_int, 0, log.logger())
        };
        if code != 0 {
            return Err(failure(library, &log, "open a context", code));
        }
        let libxl = Self {
            library,
            version,
            context: Context { library, raw },
            log,
        };
        // SAFETY: the hooks are static; nothing of this context has a child yet.
        unsafe { library.libxl_childproc_setmode(raw, &raw const CHILDREN, ptr::null_mut()) };
        let running = libxl.version()?;
        if format!("{}.{}", running.major, running.minor) != *version {
            return Err(Error::VersionDiffers {
                library: version,
                hypervisor: running.to_string(),
            });
        }
        Ok(libxl)
    }

    /// The library's version, as in `4.20`.
    pub fn library_version(&self) -> &'static str {
        self.version
    }

    fn context(&self) -> *mut sys::libxl_ctx {
        self.context.raw
    }

    fn failed(&self, what: &str, code: c_int) -> Error {
        failure(self.library, &self.log, what, code)
    }

    fn checked(&self, what: &str, code: c_int) -> Result<(), Error> {
        if code == 0 {
            Ok(())
        } else {
            Err(self.failed(what, code))
        }
    }

    /// Calls with the state of every domain.
    fn infos<T>(&self, each: impl Fn(&sys::libxl_dominfo) -> T) -> Result<Vec<T>, Error> {
        let mut count = 0;
        // SAFETY: the context is open and `count` a place for the length.
        let list = unsafe {
            self.library
                .libxl_list_domain(self.context(), &raw mut count)
        };
        if list.is_null() {
            return Err(self.failed("list the domains", sys::ERROR_FAIL));
        }
        // SAFETY: libxl gave an array of that length; it is freed once, after the last use.
        unsafe {
            let infos = std::slice::from_raw_parts(list, count.max(0) as usize);
            let values = infos.iter().map(each).collect();
            self.library.libxl_dominfo_list_free(list, count);
            Ok(values)
        }
    }

    /// Empty for a domain that has no name (any more).
    fn name(&self, domid: u32) -> String {
        // SAFETY: gives null or a string from malloc, which is ours to free.
        unsafe {
            let name = self.library.libxl_domid_to_name(self.context(), domid);
            if name.is_null() {
                return String::new();
            }
            let text = CStr::from_ptr(name).to_string_lossy().into_owned();
            libc::free(name.cast::<c_void>());
            text
        }
    }

    fn domain(&self, info: &sys::libxl_dominfo) -> Domain {
        let crashed = info.shutdown
            && [
                sys::LIBXL_SHUTDOWN_REASON_CRASH,
                sys::LIBXL_SHUTDOWN_REASON_WATCHDOG,
            ]
            .contains(&info.shutdown_reason);
        let flags = Flags {
            running: info.running,
            blocked: info.blocked,
            paused: info.paused,
            shutdown: info.shutdown,
            crashed,
            dying: info.dying,
        };
        Domain {
            domid: info.domid,
            name: self.name(info.domid),
            uuid: Some(uuid_text(info.uuid.uuid)),
            cpu_ns: info.cpu_time,
            vcpus: info.vcpu_online,
            memory_kib: info.current_memkb + info.outstanding_memkb,
            state: State::from(flags),
        }
    }
}

fn failure(library: &Xenlight, log: &Log, what: &str, code: c_int) -> Error {
    // SAFETY: gives null or a static string.
    let name = unsafe {
        let name = library.libxl_error_to_string(code);
        if name.is_null() {
            format!("error {code}")
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    };
    Error::Libxl {
        what: what.to_owned(),
        code: name,
        log: log.take(),
    }
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

impl Domains for Libxl {
    fn list(&self) -> Result<Vec<Domain>, Error> {
        self.infos(|info| self.domain(info))
    }

    fn cpu_times(&self) -> Result<Vec<(u32, u64)>, Error> {
        self.infos(|info| (info.domid, info.cpu_time))
    }

    fn cpu_time(&self, domid: u32) -> Result<u64, Error> {
        let mut info = MaybeUninit::<sys::libxl_dominfo>::zeroed();
        // SAFETY: initialised by libxl, filled by libxl, read only where that succeeded, and disposed of once.
        let (code, time) = unsafe {
            self.library.libxl_dominfo_init(info.as_mut_ptr());
            let code = self
                .library
                .libxl_domain_info(self.context(), info.as_mut_ptr(), domid);
            let time = info.assume_init_ref().cpu_time;
            self.library.libxl_dominfo_dispose(info.as_mut_ptr());
            (code, time)
        };
        if code == sys::ERROR_DOMAIN_NOTFOUND {
            return Err(Error::NoSuchDomain { domid });
        }
        self.checked(&format!("read the CPU time of domain {domid}"), code)?;
        Ok(time)
    }

    fn resolution_ns(&self) -> u64 {
        1
    }

    fn pin(&self, domid: u32, vcpu: u32, cpus: &[u32]) -> Result<(), Error> {
        let bad = |why: String| Error::BadPin {
            domid,
            vcpu,
            cpus: cpus.to_vec(),
            why,
        };
        // SAFETY: the context is open.
        let most = unsafe { self.library.libxl_get_max_cpus(self.context()) };
        if most <= 0 {
            return Err(self.failed("count the CPUs", most));
        }
        if cpus.is_empty() {
            return Err(bad("name at least one".to_owned()));
        }
        // libxl tells a missing domain from other failures only in its log.
        self.cpu_time(domid)?;
        if let Some(cpu) = cpus.iter().find(|&&cpu| cpu >= most as u32) {
            return Err(bad(format!(
                "there is no CPU {cpu}, the last is {}",
                most - 1
            )));
        }
        let mut map = MaybeUninit::<sys::libxl_bitmap>::zeroed();
        // SAFETY: the bitmap is initialised and given room for `most` CPUs before a bit is set; it is disposed of once.
        let code = unsafe {
            self.library.libxl_bitmap_init(map.as_mut_ptr());
            let mut code =
                self.library
                    .libxl_cpu_bitmap_alloc(self.context(), map.as_mut_ptr(), most);
            if code == 0 {
                for &cpu in cpus {
                    self.library
                        .libxl_bitmap_set(map.as_mut_ptr(), cpu as c_int);
                }
                code = self.library.libxl_set_vcpuaffinity(
                    self.context(),
                    domid,
                    vcpu,
                    map.as_ptr(),
                    ptr::null(),
                );
            }
            self.library.libxl_bitmap_dispose(map.as_mut_ptr());
            code
        };
        self.checked(
            &format!("pin vCPU {vcpu} of domain {domid} to CPUs {cpus:?}"),
            code,
        )
    }

    fn version(&self) -> Result<Version, Error> {
        // SAFETY: the answer belongs to the context and stays valid with it.
        let info = unsafe { self.library.libxl_get_version_info(self.context()).as_ref() };
        let Some(info) = info else {
            return Err(self.failed("read the hypervisor's version", sys::ERROR_FAIL));
        };
        let extra = if info.xen_version_extra.is_null() {
            String::new()
        } else {
            // SAFETY: a string of the context.
            unsafe { CStr::from_ptr(info.xen_version_extra) }
                .to_string_lossy()
                .into_owned()
        };
        // libxl marks what it could not read with -1.
        match (
            u32::try_from(info.xen_version_major),
            u32::try_from(info.xen_version_minor),
        ) {
            (Ok(major), Ok(minor)) => Ok(Version {
                major,
                minor,
                extra,
            }),
            _ => Err(self.failed("read the hypervisor's version", sys::ERROR_FAIL)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library itself is installed wherever this is built, Xen is not: libxl must say so, and its words be kept.
    #[test]
    fn without_xen_libxl_says_why() {
        if std::path::Path::new("/dev/xen/privcmd").exists() {
            assert!(Libxl::open().is_ok());
            return;
        }
        let error = Libxl::open().expect_err("there is no Xen").to_string();
        assert!(
            error.starts_with("libxl cannot open a context: "),
            "{error}"
        );
        assert!(
            error.contains("; it said: ") && error.contains("No such file or directory"),
            "{error}"
        );
    }

    #[test]
    fn uuids_are_written_as_xl_does() {
        let bytes = [
            0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        assert_eq!(uuid_text(bytes), "12345678-9abc-def0-0102-030405060708");
    }
}
