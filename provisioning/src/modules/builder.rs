//! Builds both modules from the distribution's source at a host's exact kernel version, with a part of the series
//! applied.
//!
//! Debian's `linux-source-*` package gives the source, `linux-headers-*` the configuration, the symbol versions
//! and the compiler's name. Both must be of one version, for a module is only comparable with the packaged one when
//! nothing but the patches differs. Results are kept by a hash of everything that goes into them.
//!
//! They are this machine's own where it has them. For a kernel that the virtual lab takes from another suite, they come
//! into a [`Root`] of that suite: its tools do not run on this machine's libc.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use vifbench_scenarios::lab::HostName;
use vifbench_wait::{Cancel, Limit, Over};

use super::module_file::{ModuleFile, NotAModule};
use super::root::Root;
use super::series::{Patch, Series, SeriesError};
use super::{NETBACK, NETFRONT, file_name};
use crate::data::{DataDir, DataError};
use crate::host::{Host, HostError, Output};
use crate::lab::Combination;
use crate::local::LocalHost;
use crate::shell::{quote, quote_path};

/// Unpacking 130 MB of xz takes 10 s on a slow core.
const UNPACK_DEADLINE: Duration = Duration::from_secs(600);
/// Both modules take 10 s on two cores.
const BUILD_DEADLINE: Duration = Duration::from_secs(1200);
const TOOL_DEADLINE: Duration = Duration::from_secs(120);
/// Another vifbench may be building the same.
const LOCK_DEADLINE: Duration = Duration::from_secs(1800);
/// 400 MB of packages; 20 s where they are near.
const ROOT_DEADLINE: Duration = Duration::from_secs(1800);

/// What is taken from the source package: both drivers, the headers that patches may change, the style checker.
const SOURCE_PARTS: &[&str] = &[
    "drivers/net/Kconfig",
    "drivers/net/xen-netback",
    "drivers/net/xen-netfront.c",
    "include/xen",
    "scripts/checkpatch.pl",
    "scripts/const_structs.checkpatch",
    "scripts/spelling.txt",
];

/// Our own `include/` stands before the packaged headers, since patches may change it.
const KBUILD_TOP: &str =
    "LINUXINCLUDE := -I$(src)/include $(LINUXINCLUDE)\nobj-m += drivers/net/\n";
const KBUILD_NET: &str = "obj-m += xen-netback/ xen-netfront.o\n";
/// W=1 only adds warnings. The source hash (srcversion), which Debian leaves out, is put in. The path of the build
/// is taken out of the debug information, so that the same input gives the same build-id anywhere.
const MAKE_OPTIONS: &str =
    "W=1 CONFIG_MODULE_SRCVERSION_ALL=y KCFLAGS=-ffile-prefix-map=\"$PWD\"=.";

/// Part of every hash: raise it when the way of building changes.
const RECIPE: u32 = 2;

/// Why modules could not be built.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The series.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// A kernel release that names no kernel line.
    #[error(
        "`{release}` is no kernel release (expected one such as 6.1.0-56-amd64, as `uname -r` prints)"
    )]
    BadRelease {
        /// What was given.
        release: String,
    },
    /// No headers of any kernel of this line.
    #[error(
        "no headers of Linux {line} are installed; run `apt-get install linux-headers-amd64`, or install the linux-headers package of the host's kernel"
    )]
    NoHeadersOfLine {
        /// Kernel line.
        line: String,
    },
    /// The headers of this release are missing.
    #[error("the headers of {release} are not installed (looked in {}); run `apt-get install {package}`", path.display())]
    NoHeaders {
        /// Kernel release.
        release: String,
        /// Where they would be.
        path: PathBuf,
        /// Which package brings them.
        package: String,
    },
    /// The source package is missing.
    #[error("the source of {release} is not installed: run `apt-get install {package}={version}`")]
    NoSource {
        /// Kernel release.
        release: String,
        /// Which package brings it.
        package: String,
        /// At which version.
        version: String,
    },
    /// A root of another suite could not be made.
    #[error("cannot make a root to build modules for {release} in: {why}")]
    NoRoot {
        /// Kernel release.
        release: String,
        /// What the script said.
        why: String,
    },
    /// Source and headers are of different versions.
    #[error(
        "{source_package} is of version {source_version}, but {headers_package} of {headers_version}: modules built so would differ from the packaged ones by more than the patches; run `apt-get update && apt-get install {source_package}={headers_version}` (or bring both to the newest version and reboot the host into it)"
    )]
    VersionsDiffer {
        /// The package with the source.
        source_package: String,
        /// Its version.
        source_version: String,
        /// The package with the headers.
        headers_package: String,
        /// Its version.
        headers_version: String,
    },
    /// A tool failed in a way that has nothing to do with the patches.
    #[error("cannot {doing}: `{command}` failed with status {status}: {stderr}{}", hint(*status))]
    Tool {
        /// What it was for.
        doing: &'static str,
        /// The command.
        command: String,
        /// Its exit status.
        status: i32,
        /// Its complaint.
        stderr: String,
    },
    /// A patch does not apply.
    #[error("the patch {patch} does not apply to {source_name}: {} of {file}\n{output}", hunk.as_ref().map_or_else(|| "no hunk".to_owned(), |h| format!("hunk {h}")))]
    DoesNotApply {
        /// File name of the patch.
        patch: String,
        /// Source package and version.
        source_name: String,
        /// The first file that it fails on.
        file: String,
        /// The first hunk that fails there, from 1; none if the file is missing.
        hunk: Option<u32>,
        /// All that `patch` said.
        output: String,
    },
    /// The compiler refuses.
    #[error("the modules do not build for {release} with {what}; the log is {}:\n{tail}", log.display())]
    DoesNotBuild {
        /// Kernel release.
        release: String,
        /// Which patches were applied.
        what: String,
        /// The whole log.
        log: PathBuf,
        /// Its errors, or else its last lines.
        tail: String,
    },
    /// What came out is no usable module.
    #[error("{} cannot be used: {why}", path.display())]
    NotAModule {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: NotAModule,
    },
    /// What came out is a module for another kernel.
    #[error("{} was built for `{vermagic}` and not for {release}", path.display())]
    WrongKernel {
        /// The file.
        path: PathBuf,
        /// What it says.
        vermagic: String,
        /// What was asked for.
        release: String,
    },
    /// A symbol that the kernel does not have, or not with that version.
    #[error("{} wants the symbol {symbol} with CRC {wanted:#010x}, but {release} has {}", path.display(), found.map_or_else(|| "none".to_owned(), |c| format!("{c:#010x}")))]
    Symbol {
        /// The file.
        path: PathBuf,
        /// Symbol name.
        symbol: String,
        /// CRC in the module.
        wanted: u32,
        /// CRC in the kernel.
        found: Option<u32>,
        /// Kernel release.
        release: String,
    },
    /// A file of this machine.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Someone else holds the build for too long.
    #[error("another build has held {} for {LOCK_DEADLINE:?}; end it and try again", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// vifbench's own scripts.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Interrupted, or a tool that does not end.
    #[error(transparent)]
    Local(#[from] HostError),
}

fn hint(status: i32) -> &'static str {
    if status == 127 {
        "; run `apt-get install build-essential patch xz-utils perl`"
    } else {
        ""
    }
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BuildError + 'a {
    move |source| BuildError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// A kernel that modules can be built for: headers and source are installed in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` prints it: `6.1.0-56-amd64`.
    pub release: String,
    /// Its line: `6.1`.
    pub line: String,
    /// Version of the packages: `6.1.192-2`.
    pub version: String,
    /// Where its headers, source and compiler are.
    pub root: Root,
    /// The headers' build folder, as seen there.
    pub headers: String,
    /// The source package's archive.
    pub archive: PathBuf,
    /// First line of the compiler's `--version`.
    pub compiler: String,
}

impl Kernel {
    fn source_package(&self) -> String {
        format!("linux-source-{}", self.line)
    }
    fn source_name(&self) -> String {
        format!("{} {}", self.source_package(), self.version)
    }
}

/// `6.1` of `6.1.0-56-amd64`.
pub fn line_of(release: &str) -> Option<String> {
    let mut parts = release.split(['.', '-', '+']);
    let (major, minor) = (parts.next()?, parts.next()?);
    let number = |text: &str| text.parse::<u16>().is_ok();
    let plain = release
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.+~".contains(c));
    (number(major) && number(minor) && plain).then(|| format!("{major}.{minor}"))
}

/// One built module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltModule {
    /// The stripped `.ko`.
    pub path: PathBuf,
    /// What it says of itself.
    pub file: ModuleFile,
}

/// Both modules, built with the same patches for the same kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltModules {
    /// Variant of the series (`shadow`), or the number of patches where a beginning without a name was built.
    pub series: String,
    /// The kernel.
    pub release: String,
    /// Version of the packages it was built from.
    pub version: String,
    /// Hash of all input, in hex: the name under which the result is kept.
    pub hash: String,
    /// `xen-netback.ko`.
    pub netback: BuiltModule,
    /// `xen-netfront.ko`.
    pub netfront: BuiltModule,
    /// What make printed.
    pub log: PathBuf,
    /// It was there already.
    pub cached: bool,
}

/// What `checkpatch.pl --strict` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Its findings, a line each.
    pub findings: Vec<String>,
}

/// How one patch fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchCheck {
    /// The patch.
    pub patch: Patch,
    /// Style.
    pub style: Style,
    /// The modules built with it and all before it.
    pub built: BuiltModules,
    /// Compiler warnings that were not there without it.
    pub warnings: Vec<String>,
}

impl PatchCheck {
    /// Nothing to complain about.
    pub fn passes(&self) -> bool {
        self.style.findings.is_empty() && self.warnings.is_empty()
    }
}

/// Kept beside the modules: the hashes of their bytes, so that a damaged cache is seen.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    files: BTreeMap<String, String>,
}

/// Builds modules and keeps them.
#[derive(Debug, Clone)]
pub struct ModuleBuilder {
    patches_dir: PathBuf,
    cache_dir: PathBuf,
    cancel: Option<Cancel>,
}

/// `$VIFBENCH_CACHE`, or `vifbench` in `$XDG_CACHE_HOME` or `~/.cache`.
pub fn default_cache_dir() -> PathBuf {
    let folder = |name| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    folder("VIFBENCH_CACHE").unwrap_or_else(|| {
        folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(|| PathBuf::from("/var/cache"))
            .join("vifbench")
    })
}

impl ModuleBuilder {
    /// `patches_dir` holds `linux-<line>/series`; results go to `modules/<hash>` in `cache_dir`.
    pub fn new(patches_dir: impl Into<PathBuf>, cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            patches_dir: patches_dir.into(),
            cache_dir: cache_dir.into(),
            cancel: None,
        }
    }

    /// Ends every step early when cancelled.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// The series for a kernel line.
    pub fn series(&self, line: &str) -> Result<Series, SeriesError> {
        Series::read(&self.patches_dir, line)
    }

    /// The kernel of that release, if everything to build for it is installed, or else comes from the suite that the
    /// virtual lab has it from; `progress` hears when it must come.
    pub fn kernel(&self, release: &str, progress: &dyn Fn(&str)) -> Result<Kernel, BuildError> {
        let line = line_of(release).ok_or_else(|| BuildError::BadRelease {
            release: release.to_owned(),
        })?;
        let here = self.kernel_in(Root::Here, release, &line);
        let missing = matches!(
            here,
            Err(BuildError::NoHeaders { .. } | BuildError::NoSource { .. })
        );
        // The usual kernel's packages are for every user of this machine to install.
        let other = line != Combination::usual().line();
        if missing && other && Combination::kernels().contains(&line.as_str()) {
            progress(&format!("fetching what builds modules for {release}"));
            return self.kernel_in(self.root(release, &line)?, release, &line);
        }
        here
    }

    /// A root of the suite that has the line.
    fn root(&self, release: &str, line: &str) -> Result<Root, BuildError> {
        make_folder(&self.cache_dir)?;
        let command = format!(
            "VIFBENCH_CACHE={} {} {} {}",
            quote_path(&absolute(&self.cache_dir)?),
            quote_path(&DataDir::from_env().root_script()?),
            quote(line),
            quote(release)
        );
        let output = self.run(&command, ROOT_DEADLINE)?;
        if output.status == 0 {
            return Ok(Root::Of(PathBuf::from(output.text().trim())));
        }
        Err(BuildError::NoRoot {
            release: release.to_owned(),
            why: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn kernel_in(&self, root: Root, release: &str, line: &str) -> Result<Kernel, BuildError> {
        // Where the kernel's own link to its build folder leads to; but it is absolute.
        let headers = format!("/usr/src/linux-headers-{release}");
        let headers_package = format!("linux-headers-{release}");
        let makefile = root.path(&headers).join("Makefile");
        let version = self
            .package_version(&root, &headers_package)?
            .filter(|_| makefile.exists());
        let Some(version) = version else {
            return Err(BuildError::NoHeaders {
                release: release.to_owned(),
                path: root.path(&headers),
                package: headers_package,
            });
        };
        let source_package = format!("linux-source-{line}");
        let archive = root.path(&format!("/usr/src/{source_package}.tar.xz"));
        match self.package_version(&root, &source_package)? {
            Some(source_version) if source_version != version => {
                return Err(BuildError::VersionsDiffer {
                    source_package,
                    source_version,
                    headers_package,
                    headers_version: version,
                });
            }
            Some(_) if archive.exists() => {}
            _ => {
                return Err(BuildError::NoSource {
                    release: release.to_owned(),
                    package: source_package,
                    version,
                });
            }
        }
        let compiler = self.compiler(&root, &headers)?;
        Ok(Kernel {
            release: release.to_owned(),
            line: line.to_owned(),
            version,
            root,
            headers,
            archive,
            compiler,
        })
    }

    /// The newest kernel of a line that headers are installed for.
    pub fn newest_kernel(&self, line: &str) -> Result<Kernel, BuildError> {
        let folder = Path::new("/lib/modules");
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries
                .collect::<Result<Vec<_>, _>>()
                .map_err(io_error("list", folder))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(io_error("list", folder)(e)),
        };
        let newest = entries
            .iter()
            .filter(|e| e.path().join("build/Makefile").exists())
            .filter_map(|e| e.file_name().into_string().ok())
            .filter(|release| line_of(release).as_deref() == Some(line))
            // The flavours for clouds and real time are no dom0 kernels.
            .filter(|release| !release.contains("-cloud") && !release.contains("-rt"))
            .max_by_key(|release| numbers(release));
        match newest {
            Some(release) => self.kernel(&release, &|_| ()),
            None => Err(BuildError::NoHeadersOfLine {
                line: line.to_owned(),
            }),
        }
    }

    /// Both modules with the patches of a variant; `progress` hears each step.
    pub fn build(
        &self,
        variant: &str,
        kernel: &Kernel,
        progress: &dyn Fn(&str),
    ) -> Result<BuiltModules, BuildError> {
        let series = self.series(&kernel.line)?;
        self.build_patches(variant, series.variant(variant)?, kernel, progress)
    }

    /// Both modules with the first so many patches of the series; with none, they differ from the packaged ones only in
    /// who built them.
    pub fn build_first(
        &self,
        count: usize,
        kernel: &Kernel,
        progress: &dyn Fn(&str),
    ) -> Result<BuiltModules, BuildError> {
        let series = self.series(&kernel.line)?;
        let patches = &series.patches[..count.min(series.patches.len())];
        self.build_patches(&format!("step {count}"), patches, kernel, progress)
    }

    /// Applies, checks the style of, and builds every beginning of the series, so that each step can be bisected.
    pub fn check(
        &self,
        kernel: &Kernel,
        progress: &dyn Fn(&str),
    ) -> Result<Vec<PatchCheck>, BuildError> {
        let series = self.series(&kernel.line)?;
        let source = self.source(kernel, progress)?;
        let mut known = compiler_warnings(&self.build_patches("0", &[], kernel, progress)?.log)?;
        let mut checks = Vec::new();
        for (index, patch) in series.patches.iter().enumerate() {
            progress(&format!("checking {}", patch.name));
            let style = self.style(&source, patch)?;
            let name = match series.variants.iter().find(|v| v.patches == index + 1) {
                Some(variant) => variant.name.clone(),
                None => (index + 1).to_string(),
            };
            let built = self.build_patches(&name, &series.patches[..=index], kernel, progress)?;
            let now = compiler_warnings(&built.log)?;
            let warnings = now.difference(&known).cloned().collect();
            known.extend(now);
            checks.push(PatchCheck {
                patch: patch.clone(),
                style,
                built,
                warnings,
            });
        }
        Ok(checks)
    }

    fn build_patches(
        &self,
        name: &str,
        patches: &[Patch],
        kernel: &Kernel,
        progress: &dyn Fn(&str),
    ) -> Result<BuiltModules, BuildError> {
        let hash = input_hash(kernel, patches)?;
        let all = self.cache_dir.join("modules");
        make_folder(&all)?;
        let folder = all.join(&hash);
        let _lock = self.lock(&all.join(format!("{hash}.lock")))?;
        if folder.exists() {
            if is_whole(&folder)? {
                return describe(name, &folder, hash, kernel, true);
            }
            tracing::warn!(folder = %folder.display(), "a kept build is damaged and is made anew");
            fs::remove_dir_all(&folder).map_err(io_error("remove", &folder))?;
        }

        let source = self.source(kernel, progress)?;
        let work = tempfile::Builder::new()
            .prefix(".building-")
            .tempdir_in(&all)
            .map_err(io_error("make a folder in", &all))?;
        let tree = work.path().join("tree");
        make_folder(&tree)?;
        self.tool(
            "copy the source",
            &format!("cp -a {}/. {}", quote_path(&source), quote_path(&tree)),
            TOOL_DEADLINE,
        )?;
        for patch in patches {
            progress(&format!("applying {}", patch.name));
            self.apply(&tree, patch, kernel)?;
        }
        progress(&format!(
            "building xen-netback and xen-netfront for {}",
            kernel.release
        ));
        let log = work.path().join("log");
        if let Err(tail) = self.make(&tree, &log, kernel)? {
            let kept = all.join(format!("{hash}.log"));
            fs::rename(&log, &kept).map_err(io_error("keep", &log))?;
            let what = match patches {
                [] => "no patch".to_owned(),
                [.., last] => format!("the patches up to {}", last.name),
            };
            return Err(BuildError::DoesNotBuild {
                release: kernel.release.clone(),
                what,
                log: kept,
                tail,
            });
        }

        let result = work.path().join("result");
        make_folder(&result)?;
        let built = [
            (NETBACK, "drivers/net/xen-netback/xen-netback.ko"),
            (NETFRONT, "drivers/net/xen-netfront.ko"),
        ];
        for (module, path) in built {
            let to = result.join(file_name(module));
            self.tool(
                "strip the debug information",
                &format!(
                    "strip -g -o {} {}",
                    quote_path(&to),
                    quote_path(&tree.join(path))
                ),
                TOOL_DEADLINE,
            )?;
            check_module(&to, kernel)?;
        }
        fs::rename(&log, result.join("log")).map_err(io_error("keep", &log))?;
        write_manifest(&result)?;
        fs::rename(&result, &folder).map_err(io_error("put in place", &folder))?;
        describe(name, &folder, hash, kernel, false)
    }

    /// The parts of the source package that we need, unpacked once.
    fn source(&self, kernel: &Kernel, progress: &dyn Fn(&str)) -> Result<PathBuf, BuildError> {
        let all = self.cache_dir.join("source");
        make_folder(&all)?;
        // The same version may be packed again, but not with another size and time. Another recipe may take other parts.
        let meta = fs::metadata(&kernel.archive).map_err(io_error("read", &kernel.archive))?;
        let changed = meta.modified().map_err(io_error("read", &kernel.archive))?;
        let age = changed
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        let folder = all.join(format!(
            "{}_{}_{age}_{}_{RECIPE}",
            kernel.source_package(),
            kernel.version,
            meta.len()
        ));
        let _lock = self.lock(&all.join("lock"))?;
        if folder.exists() {
            return Ok(folder);
        }
        progress(&format!("unpacking {}", kernel.source_name()));
        let work = tempfile::Builder::new()
            .prefix(".unpacking-")
            .tempdir_in(&all)
            .map_err(io_error("make a folder in", &all))?;
        let parts: Vec<_> = SOURCE_PARTS
            .iter()
            .map(|p| format!("{}/{p}", kernel.source_package()))
            .collect();
        self.tool(
            "unpack the source",
            &format!(
                "tar -xJf {} -C {} --strip-components=1 --no-same-owner {}",
                quote_path(&kernel.archive),
                quote_path(work.path()),
                parts.join(" ")
            ),
            UNPACK_DEADLINE,
        )?;
        fs::rename(work.path(), &folder).map_err(io_error("put in place", &folder))?;
        Ok(folder)
    }

    fn apply(&self, tree: &Path, patch: &Patch, kernel: &Kernel) -> Result<(), BuildError> {
        // No fuzz, as `git am` has none: a patch that fits only roughly is to be looked at.
        let command = format!(
            "patch -p1 --force --fuzz=0 --no-backup-if-mismatch -r - -d {} -i {} 2>&1",
            quote_path(tree),
            quote_path(&absolute(&patch.path)?)
        );
        let output = self.run(&command, TOOL_DEADLINE)?;
        if output.status == 0 {
            return Ok(());
        }
        let text = output.text();
        // 1: some hunks failed; anything above is trouble of another kind (such as a damaged patch, also the patch's fault).
        if output.status > 2 {
            return Err(BuildError::Tool {
                doing: "apply a patch",
                command,
                status: output.status,
                stderr: text,
            });
        }
        let (file, hunk) = first_failure(&text);
        Err(BuildError::DoesNotApply {
            patch: patch.name.clone(),
            source_name: kernel.source_name(),
            file,
            hunk,
            output: text,
        })
    }

    /// Runs make; what it printed of interest if it failed.
    fn make(
        &self,
        tree: &Path,
        log: &Path,
        kernel: &Kernel,
    ) -> Result<Result<(), String>, BuildError> {
        let write =
            |path: PathBuf, text: &str| fs::write(&path, text).map_err(io_error("write", &path));
        write(tree.join("Kbuild"), KBUILD_TOP)?;
        write(tree.join("drivers/net/Kbuild"), KBUILD_NET)?;
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let make = format!(
            "env -u MAKEFLAGS -u MAKELEVEL LC_ALL=C make -j{jobs} -C {} M=\"$PWD\" {MAKE_OPTIONS} modules",
            quote(&kernel.headers),
        );
        let command = format!(
            "{{ {}; }} > {} 2>&1 < /dev/null",
            kernel.root.run_in(tree, &make),
            quote_path(&absolute(log)?),
        );
        let output = self.run(&command, BUILD_DEADLINE)?;
        match output.status {
            0 => Ok(Ok(())),
            127 => Err(BuildError::Tool {
                doing: "build the modules",
                command,
                status: 127,
                stderr: tail_of(log)?,
            }),
            _ => Ok(Err(tail_of(log)?)),
        }
    }

    fn style(&self, source: &Path, patch: &Patch) -> Result<Style, BuildError> {
        // The new files lie where MAINTAINERS has an entry already; checkpatch cannot know that without the tree.
        // It keeps a list of names in mixed case in the folder in which it runs.
        let command = format!(
            "folder=$(mktemp -d) && cd \"$folder\" && {{ {}/scripts/checkpatch.pl --no-tree --strict --terse --show-types --no-summary --ignore FILE_PATH_CHANGES {}; status=$?; rm -r \"$folder\"; exit $status; }}",
            quote_path(&absolute(source)?),
            quote_path(&absolute(&patch.path)?)
        );
        let output = self.run(&command, TOOL_DEADLINE)?;
        let findings: Vec<String> = output
            .text()
            .lines()
            .filter(|l| !l.is_empty())
            .map(str::to_owned)
            .collect();
        match output.status {
            0 | 1 if output.status == 0 || !findings.is_empty() => Ok(Style { findings }),
            status => Err(BuildError::Tool {
                doing: "check a patch's style",
                command,
                status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    fn package_version(&self, root: &Root, package: &str) -> Result<Option<String>, BuildError> {
        let command = format!(
            "{} -W -f '${{db:Status-Status}} ${{Version}}' {}",
            root.dpkg_query(),
            quote(package)
        );
        let output = self.run(&command, TOOL_DEADLINE)?;
        match output.status {
            0 => Ok(output.text().strip_prefix("installed ").map(str::to_owned)),
            1 => Ok(None),
            status => Err(BuildError::Tool {
                doing: "look up a package's version",
                command,
                status,
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            }),
        }
    }

    /// The compiler that the headers name.
    fn compiler(&self, root: &Root, headers: &str) -> Result<String, BuildError> {
        let headers = root.path(headers);
        let config = headers.join(".config");
        let text = fs::read_to_string(&config).map_err(io_error("read", &config))?;
        let name = text
            .lines()
            .find_map(|l| {
                l.strip_prefix("CONFIG_CC_VERSION_TEXT=\"")?
                    .split_whitespace()
                    .next()
            })
            .unwrap_or("gcc");
        let output = self.tool(
            "ask the compiler for its version",
            &root.run_in(&headers, &format!("{} --version", quote(name))),
            TOOL_DEADLINE,
        )?;
        Ok(output.text().lines().next().unwrap_or_default().to_owned())
    }

    fn lock(&self, path: &Path) -> Result<File, BuildError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(io_error("open", path))?;
        let limit = Limit::new(LOCK_DEADLINE, self.cancel.clone());
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(io_error("lock", path)(e)),
            }
            // Locks cannot be waited for with an end, so they are asked for again.
            limit
                .pause(Duration::from_millis(100))
                .map_err(|over| match over {
                    Over::Deadline => BuildError::Locked {
                        path: path.to_owned(),
                    },
                    Over::Cancelled => BuildError::Local(HostError::Interrupted {
                        host: this_machine(),
                        doing: "wait for another build".to_owned(),
                    }),
                    Over::Poll(e) => io_error("wait for", path)(e),
                })?;
        }
    }

    fn run(&self, command: &str, deadline: Duration) -> Result<Output, BuildError> {
        let mut host = LocalHost::new(this_machine());
        if let Some(cancel) = &self.cancel {
            host = host.with_cancel(cancel.clone());
        }
        Ok(host.run(command, deadline)?)
    }

    /// Runs a command that has to succeed.
    fn tool(
        &self,
        doing: &'static str,
        command: &str,
        deadline: Duration,
    ) -> Result<Output, BuildError> {
        let output = self.run(command, deadline)?;
        if output.status == 0 {
            return Ok(output);
        }
        Err(BuildError::Tool {
            doing,
            command: command.to_owned(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn this_machine() -> HostName {
    HostName("this machine".to_owned())
}

fn make_folder(path: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(path).map_err(io_error("make the folder", path))
}

fn absolute(path: &Path) -> Result<PathBuf, BuildError> {
    std::path::absolute(path).map_err(io_error("find", path))
}

/// The numbers in a release, for ordering: 6.1.0-9 comes before 6.1.0-10.
fn numbers(release: &str) -> Vec<u64> {
    release
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect()
}

/// Everything that can make the result another one.
fn input_hash(kernel: &Kernel, patches: &[Patch]) -> Result<String, BuildError> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(&RECIPE.to_le_bytes());
    for text in [
        KBUILD_TOP,
        KBUILD_NET,
        MAKE_OPTIONS,
        &kernel.release,
        &kernel.version,
        &kernel.compiler,
    ] {
        add(text.as_bytes());
    }
    for patch in patches {
        add(&fs::read(&patch.path).map_err(io_error("read", &patch.path))?);
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// The first file, and hunk of it, that `patch` could not do.
fn first_failure(text: &str) -> (String, Option<u32>) {
    let mut file = None;
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix("patching file ")
            .or_else(|| line.strip_prefix("checking file "))
        {
            file = Some(name.trim_matches('\'').to_owned());
        } else if let Some(hunk) = line
            .strip_prefix("Hunk #")
            .and_then(|rest| rest.split_once(" FAILED"))
        {
            return (
                file.unwrap_or_else(|| "an unnamed file".to_owned()),
                hunk.0.parse().ok(),
            );
        } else if let Some(name) = line
            .strip_prefix("|+++ b/")
            .or_else(|| line.strip_prefix("|+++ "))
        {
            // Quoted from the patch behind "can't find file to patch".
            return (name.split('\t').next().unwrap_or(name).to_owned(), None);
        } else if line.contains("FAILED") || line.contains("already exists!") {
            return (file.unwrap_or_else(|| "an unnamed file".to_owned()), None);
        }
    }
    (file.unwrap_or_else(|| "an unnamed file".to_owned()), None)
}

/// The errors in a build log, or its last lines where no line says "error".
fn tail_of(log: &Path) -> Result<String, BuildError> {
    const LINES: usize = 15;
    let text = fs::read(log).map_err(io_error("read", log))?;
    let text = String::from_utf8_lossy(&text);
    let errors: Vec<&str> = text
        .lines()
        .filter(|l| l.contains("error:") || l.starts_with("ERROR:"))
        .take(LINES)
        .collect();
    if !errors.is_empty() {
        return Ok(errors.join("\n"));
    }
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

/// The compiler's warnings in a build log, without folders and line numbers, which patches move.
fn compiler_warnings(log: &Path) -> Result<BTreeSet<String>, BuildError> {
    let text = fs::read(log).map_err(io_error("read", log))?;
    Ok(String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let (place, what) = line
                .split_once(" warning: ")
                .or_else(|| line.split_once("WARNING: "))?;
            let path = place.split(':').next().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            Some(format!("{file}: {what}"))
        })
        .collect())
}

/// The module was built for that kernel, and every symbol it wants is there in the version it wants.
fn check_module(path: &Path, kernel: &Kernel) -> Result<ModuleFile, BuildError> {
    let file = read_module(path)?;
    if file.vermagic.split(' ').next() != Some(kernel.release.as_str()) {
        return Err(BuildError::WrongKernel {
            path: path.to_owned(),
            vermagic: file.vermagic,
            release: kernel.release.clone(),
        });
    }
    let symvers = kernel.root.path(&kernel.headers).join("Module.symvers");
    let text = fs::read_to_string(&symvers).map_err(io_error("read", &symvers))?;
    let exported: BTreeMap<&str, u32> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let crc = u32::from_str_radix(fields.next()?.strip_prefix("0x")?, 16).ok()?;
            Some((fields.next()?, crc))
        })
        .collect();
    for (symbol, &wanted) in &file.symbols {
        // The version of the layout of struct module itself: exported by the kernel proper like all others.
        let found = exported.get(symbol.as_str()).copied();
        if found != Some(wanted) {
            return Err(BuildError::Symbol {
                path: path.to_owned(),
                symbol: symbol.clone(),
                wanted,
                found,
                release: kernel.release.clone(),
            });
        }
    }
    Ok(file)
}

fn read_module(path: &Path) -> Result<ModuleFile, BuildError> {
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    ModuleFile::parse(&bytes).map_err(|why| BuildError::NotAModule {
        path: path.to_owned(),
        why,
    })
}

const MANIFEST: &str = "manifest.json";

fn hashes(folder: &Path) -> Result<BTreeMap<String, String>, BuildError> {
    [file_name(NETBACK), file_name(NETFRONT), "log".to_owned()]
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            let bytes = fs::read(&path).map_err(io_error("read", &path))?;
            Ok((name, blake3::hash(&bytes).to_hex().to_string()))
        })
        .collect()
}

fn write_manifest(folder: &Path) -> Result<(), BuildError> {
    let path = folder.join(MANIFEST);
    let text = serde_json::to_string_pretty(&Manifest {
        files: hashes(folder)?,
    })
    .map_err(|e| io_error("write", &path)(e.into()))?;
    fs::write(&path, text).map_err(io_error("write", &path))
}

/// Is every file of a kept build there, as it was written?
fn is_whole(folder: &Path) -> Result<bool, BuildError> {
    let Ok(text) = fs::read(folder.join(MANIFEST)) else {
        return Ok(false);
    };
    let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else {
        return Ok(false);
    };
    match hashes(folder) {
        Ok(files) => Ok(files == manifest.files),
        Err(BuildError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn describe(
    name: &str,
    folder: &Path,
    hash: String,
    kernel: &Kernel,
    cached: bool,
) -> Result<BuiltModules, BuildError> {
    let module = |module| {
        let path = folder.join(file_name(module));
        Ok::<_, BuildError>(BuiltModule {
            file: read_module(&path)?,
            path,
        })
    };
    Ok(BuiltModules {
        series: name.to_owned(),
        release: kernel.release.clone(),
        version: kernel.version.clone(),
        hash,
        netback: module(NETBACK)?,
        netfront: module(NETFRONT)?,
        log: folder.join("log"),
        cached,
    })
}

#[cfg(test)]
mod build_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn releases_name_their_line() {
        assert_eq!(line_of("6.1.0-56-amd64").as_deref(), Some("6.1"));
        assert_eq!(line_of("6.12.117+deb12-amd64").as_deref(), Some("6.12"));
        assert_eq!(line_of("amd64"), None);
        assert_eq!(line_of("6.1.0/../../x"), None);
        assert!(numbers("6.1.0-10-amd64") > numbers("6.1.0-9-amd64"));
    }

    #[test]
    fn failures_of_patch_are_found() {
        let text = "patching file drivers/net/a.c\nHunk #1 succeeded at 5.\npatching file drivers/net/b.c\nHunk #2 FAILED at 30.\n1 out of 2 hunks FAILED";
        assert_eq!(first_failure(text), ("drivers/net/b.c".to_owned(), Some(2)));
        let text = "can't find file to patch at input line 5\nPerhaps you used the wrong -p or --strip option?\nThe text leading up to this was:\n--------------------------\n|--- a/x/none.c\n|+++ b/x/none.c\n";
        assert_eq!(first_failure(text), ("x/none.c".to_owned(), None));
    }

    proptest! {
        #[test]
        fn a_failed_hunk_is_found_in_any_output(text in "[ -,.-GI-~]{0,200}", hunk in 1_u32..999) {
            let output = ["patching file x/y.c", text.as_str(), &format!("Hunk #{hunk} FAILED at 3.")].join("\n");
            let (file, found) = first_failure(&output);
            prop_assert!(!file.is_empty());
            prop_assert!(found == Some(hunk) || found.is_none());
        }
    }
}
