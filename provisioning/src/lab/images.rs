//! Building the images, or finding them in the cache: both by the recipe's own script.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vifbench_scenarios::progress::Progress;

use super::{Combination, LabError, console, files};

/// What the build script leaves; see its head for what the files are.
const PARTS: [&str; 7] = [
    "xen",
    "vmlinux",
    "dom0.cpio",
    "machines",
    "versions",
    "kernel",
    "digest",
];

/// A complete folder of images.
#[derive(Debug, Clone)]
pub struct Images {
    path: PathBuf,
}

impl Images {
    /// Takes a folder that the build script printed.
    pub fn open(path: &Path) -> Result<Self, LabError> {
        for part in PARTS {
            if !path.join(part).is_file() {
                return Err(LabError::BadImages {
                    path: path.to_owned(),
                    why: format!("it has no file `{part}`"),
                });
            }
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel release of dom0 and of the guests, such as `6.1.0-56-amd64`.
    pub fn kernel(&self) -> Result<String, LabError> {
        Ok(files::read(&self.path.join("kernel"))?.trim().to_owned())
    }

    /// Names the content of every file, keys included.
    pub fn digest(&self) -> Result<String, LabError> {
        files::read(&self.path.join("digest"))
    }
}

/// Builds the images, or finds them built. Runs `provisioning/images/build.sh`, which may also be run by hand.
pub fn build(combination: &Combination, progress: &dyn Progress) -> Result<Images, LabError> {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("images");
    let script = recipe.join("build.sh");
    for (program, package) in [
        ("mmdebstrap", "mmdebstrap"),
        ("gcc", "gcc"),
        ("cpio", "cpio"),
        ("xz", "xz-utils"),
        ("zstd", "zstd"),
        ("ssh-keygen", "openssh-client"),
    ] {
        need_program(program, package)?;
    }
    let cache = files::cache_root();
    files::need_space(&cache, 2048, "VIFBENCH_CACHE")?;

    // Labs of several combinations may be built at the same time.
    let log = cache.join(combination.lab_name("images-build") + ".log");
    let task = progress.start(&format!("lab images, {combination}"), None);
    let stderr = File::create(&log).map_err(files::failed("write", &log))?;
    let output = Command::new(&script)
        .args(combination.arguments())
        .env("VIFBENCH_CACHE", &cache)
        .stdin(Stdio::null())
        .stderr(stderr)
        .output()
        .map_err(files::failed("run", &script))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let Some(path) = printed
        .lines()
        .last()
        .filter(|_| output.status.success())
        .map(PathBuf::from)
    else {
        task.finish("failed");
        let tail = console::tail(&log, 15)?;
        return Err(LabError::ImagesFailed { log, tail });
    };
    task.finish(&format!("{}", path.display()));
    Images::open(&path)
}

/// Is a program on the PATH?
pub fn need_program(program: &'static str, package: &'static str) -> Result<(), LabError> {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    if found {
        Ok(())
    } else {
        Err(LabError::MissingProgram { program, package })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_package_of_a_missing_program() {
        let error = need_program("no-such-program", "some-package").expect_err("is missing");
        assert_eq!(
            error.to_string(),
            "the virtual lab needs `no-such-program`: apt-get install some-package"
        );
    }

    #[test]
    fn half_a_folder_is_refused() {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("xen"), "").expect("write");
        let error = Images::open(folder.path()).expect_err("is not whole");
        assert!(error.to_string().contains("no file `vmlinux`"), "{error}");
    }
}
