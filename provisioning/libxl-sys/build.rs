//! Makes the bindings from the installed `libxl.h`, and notes which library they fit. Without the header it takes the
//! bindings recorded in `recorded/`, so that everything can be built and tested without Xen's headers.
//!
//! libxl has no stable ABI: its file name carries Xen's version (`libxenlight.so.4.17`), and bindings fit only
//! the library of that name. The header does not say its version, the linker's name for the library does.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// What the safe wrapper calls.
const FUNCTIONS: [&str; 19] = [
    "libxl_bitmap_dispose",
    "libxl_bitmap_init",
    "libxl_bitmap_set",
    "libxl_childproc_setmode",
    "libxl_cpu_bitmap_alloc",
    "libxl_ctx_alloc",
    "libxl_ctx_free",
    "libxl_domain_info",
    "libxl_domid_to_name",
    "libxl_dominfo_dispose",
    "libxl_dominfo_init",
    "libxl_dominfo_list_free",
    "libxl_error_to_string",
    "libxl_get_max_cpus",
    "libxl_get_version_info",
    "libxl_list_domain",
    "libxl_set_vcpuaffinity",
    // libxentoollog comes along as a dependency of libxenlight, so its functions are found through the same handle.
    "xtl_createlogger_stdiostream",
    "xtl_logger_destroy",
];

/// Constants of types that the functions take as plain integers.
const CONSTANTS: &str = "LIBXL_VERSION|XTL_STDIOSTREAM_HIDE_PROGRESS|libxl_sigchld_owner_.*";

const PACKAGE: &str = "install the package libxen-dev: apt-get install libxen-dev";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CC");
    match generate() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            println!("cargo::error={}", message.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// The version of Xen (Debian 12's) whose bindings are recorded. A test compares them with what the header gives.
const RECORDED: &str = "4.17";

fn generate() -> Result<(), String> {
    println!("cargo::rerun-if-changed=recorded");
    let out = env::var("OUT_DIR")
        .map_err(|error| format!("OUT_DIR is not set ({error}); run this through cargo"))?;
    let file = Path::new(&out).join("bindings.rs");
    let Some(soname) = soname()? else {
        println!("cargo::rustc-env=LIBXL_SONAME=libxenlight.so.{RECORDED}");
        println!("cargo::rustc-env=LIBXL_BINDINGS_VERSION={RECORDED}");
        println!("cargo::rustc-env=LIBXL_BINDINGS_FROM=recorded");
        let recorded = Path::new("recorded").join(format!("{RECORDED}.rs"));
        return fs::copy(&recorded, &file).map(|_| ()).map_err(|error| {
            format!(
                "cannot copy {} to {}: {error}",
                recorded.display(),
                file.display()
            )
        });
    };
    let version = soname.strip_prefix("libxenlight.so.").ok_or_else(|| {
        format!("libxenlight.so leads to {soname}, which carries no version; {PACKAGE}")
    })?;
    println!("cargo::rustc-env=LIBXL_SONAME={soname}");
    println!("cargo::rustc-env=LIBXL_BINDINGS_VERSION={version}");
    println!("cargo::rustc-env=LIBXL_BINDINGS_FROM=header");

    let builder = bindgen::Builder::default()
        .header_contents(
            "libxl-sys.h",
            "#include <libxl.h>\n#include <libxl_utils.h>\n#include <xentoollog.h>\n",
        )
        .dynamic_library_name("Xenlight")
        .dynamic_link_require_all(true)
        .allowlist_function(FUNCTIONS.join("|"))
        .allowlist_var(CONSTANTS)
        .allowlist_type("xentoollog_logger")
        .prepend_enum_name(false)
        .wrap_unsafe_ops(true)
        .generate_comments(false)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    let bindings = builder
        .generate()
        .map_err(|error| format!("cannot make bindings from libxl.h: {error}; {PACKAGE}"))?;
    bindings
        .write_to_file(&file)
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// The library's run-time name, from the link that libxen-dev installs for the linker; none where it is not installed.
fn soname() -> Result<Option<String>, String> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let output = Command::new(&compiler)
        .arg("-print-file-name=libxenlight.so")
        .output()
        .map_err(|error| {
            format!("cannot run the C compiler {compiler}: {error}; install the package gcc")
        })?;
    // The compiler repeats the bare name when it finds no such library.
    let link = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !link.is_absolute() {
        return Ok(None);
    }
    println!("cargo::rerun-if-changed={}", link.display());
    let target = fs::read_link(&link)
        .map_err(|error| format!("{} is not a link ({error}); {PACKAGE}", link.display()))?;
    target
        .file_name()
        .and_then(|name| name.to_str())
        .map(|name| Some(name.to_owned()))
        .ok_or_else(|| format!("{} leads nowhere; {PACKAGE}", link.display()))
}
