//! Domains through the command `xl`: the fallback where libxl does not fit.
//!
//! `xl` shows CPU time in tenths of a second (`xl list`, `xl vcpu-list`; `xentop` only whole seconds, and `xl list -l`
//! none at all), so that is the resolution here.

mod output;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Domain, Domains, Error, Version};

/// The command, and why it is used.
#[derive(Debug, Clone)]
pub struct XlTool {
    program: PathBuf,
    reason: String,
}

impl XlTool {
    /// Finds `xl` and sees whether it can reach Xen. `reason` says why libxl is not used.
    ///
    /// # Errors
    /// When there is no `xl`, or it does not work.
    pub fn open(reason: impl Into<String>) -> Result<Self, Error> {
        let tool = Self {
            program: find()?,
            reason: reason.into(),
        };
        tool.version()?;
        Ok(tool)
    }

    /// Why libxl is not used.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Runs it and gives what it wrote to stdout.
    fn run(&self, arguments: &[&str]) -> Result<String, Error> {
        let command = format!("xl {}", arguments.join(" "));
        let output = Command::new(&self.program)
            .args(arguments)
            .env("LC_ALL", "C")
            .output()
            .map_err(|source| Error::Io {
                what: format!("run {}", self.program.display()),
                source,
            })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Xl {
            command,
            status: output.status.to_string(),
            stderr,
        })
    }

    /// A domain id is checked first, because `xl` tells a missing domain from other failures only in words.
    fn require(&self, domid: u32) -> Result<Domain, Error> {
        self.list()?
            .into_iter()
            .find(|domain| domain.domid == domid)
            .ok_or(Error::NoSuchDomain { domid })
    }
}

/// On the PATH, or where Debian keeps it: `/usr/sbin/xl` is a script that starts the one of the running version.
fn find() -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path)
        .map(|folder| folder.join("xl"))
        .collect();
    places.push("/usr/sbin/xl".into());
    if let Ok(entries) = std::fs::read_dir("/usr/lib") {
        let versions = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let is_xen = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("xen-"))
        };
        places.extend(versions.filter(is_xen).map(|folder| folder.join("bin/xl")));
    }
    places
        .into_iter()
        .find(|place| is_program(place))
        .ok_or(Error::NoXl)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

impl Domains for XlTool {
    fn list(&self) -> Result<Vec<Domain>, Error> {
        output::list(&self.run(&["list", "-v"])?)
    }

    fn cpu_times(&self) -> Result<Vec<(u32, u64)>, Error> {
        Ok(self
            .list()?
            .into_iter()
            .map(|domain| (domain.domid, domain.cpu_ns))
            .collect())
    }

    fn cpu_time(&self, domid: u32) -> Result<u64, Error> {
        Ok(self.require(domid)?.cpu_ns)
    }

    fn resolution_ns(&self) -> u64 {
        output::TIME_STEP_NS
    }

    fn pin(&self, domid: u32, vcpu: u32, cpus: &[u32]) -> Result<(), Error> {
        self.require(domid)?;
        if cpus.is_empty() {
            let why = "name at least one".to_owned();
            return Err(Error::BadPin {
                domid,
                vcpu,
                cpus: Vec::new(),
                why,
            });
        }
        let cpus = cpus
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",");
        self.run(&["vcpu-pin", &domid.to_string(), &vcpu.to_string(), &cpus])
            .map(drop)
    }

    fn version(&self) -> Result<Version, Error> {
        output::version(&self.run(&["info"])?)
    }
}
