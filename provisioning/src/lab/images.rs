//! Building the images, or finding them in the cache: both by the recipe's own script.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use vifbench_scenarios::progress::Progress;

use super::starts::hold_starts;
use super::{Combination, LabError, console, files};
use crate::data::DataDir;

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

/// The builds that this process waits for, each a process group of its own.
static BUILDS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
static BUILD_ENDED: Condvar = Condvar::new();

/// A build that was told to end has so long to remove what it made.
const GRACE: Duration = Duration::from_secs(20);
const TOLD_AGAIN: Duration = Duration::from_millis(100);

/// Runs its arguments, and ends them with all that they started on the first SIGTERM, which the kernel sends when the process
/// that waits for the build is gone. That process has the number in the first argument; it may be gone already.
const TIED: &str = r#"
[ "$PPID" = "$1" ] || exit 143
shift
trap 'trap "" TERM
  tries=0
  while kill -0 "$child" 2> /dev/null; do
    if [ "$tries" -lt 200 ]; then kill -TERM 0; else kill -KILL 0; fi
    tries=$((tries + 1))
    sleep 0.1
  done
  wait "$child"
  exit' TERM
"$@" &
child=$!
wait "$child"
"#;

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

/// The releases of a combination's line of kernels that Debian has, as `6.1.0-50`, the oldest first.
pub fn releases(
    combination: &Combination,
    progress: &dyn Progress,
) -> Result<Vec<String>, LabError> {
    let task = progress.start(&format!("releases of Linux {}", combination.line()), None);
    let printed = build_sh(combination, &["--releases"])?;
    let releases: Vec<String> = printed.lines().map(str::to_owned).collect();
    task.finish(&format!("{}", releases.len()));
    Ok(releases)
}

/// Builds the images, or finds them built. Runs `provisioning/images/build.sh`, which may also be run by hand.
pub fn build(combination: &Combination, progress: &dyn Progress) -> Result<Images, LabError> {
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
    files::need_space(&files::cache_root(), 2048, "VIFBENCH_CACHE")?;
    let task = progress.start(&format!("lab images, {combination}"), None);
    let printed = match build_sh(combination, &[]) {
        Ok(printed) => printed,
        Err(error) => {
            task.finish("failed");
            return Err(error);
        }
    };
    let path = PathBuf::from(printed.lines().last().unwrap_or_default());
    task.finish(&format!("{}", path.display()));
    Images::open(&path)
}

/// What the recipe's script prints.
fn build_sh(combination: &Combination, more: &[&str]) -> Result<String, LabError> {
    let script = DataDir::from_env().image_script()?;
    let cache = files::cache_root();
    fs::create_dir_all(&cache).map_err(files::failed("create", &cache))?;
    // Labs of several combinations may be built at the same time.
    let log = cache.join(combination.lab_name("images-build") + ".log");
    let stderr = File::create(&log).map_err(files::failed("write", &log))?;
    let mut command = tied(&script);
    command
        .args(combination.arguments())
        .args(more)
        .env("VIFBENCH_CACHE", &cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr);
    let output = await_build(&mut command).map_err(files::failed("run", &script))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let tail = console::tail(&log, 15)?;
    Err(LabError::ImagesFailed { log, tail })
}

/// A command that ends when this process does, however that happens. It needs a process group of its own.
fn tied(script: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "bash", "-c", TIED, "bash"])
        .arg(std::process::id().to_string())
        .arg(script);
    command
}

/// Runs a build to its end, or until [`end_builds`].
fn await_build(command: &mut Command) -> io::Result<Output> {
    // Not between a build's begin and its entry: whoever ends all builds has to know of it.
    let starting = hold_starts();
    let child = command.process_group(0).spawn()?;
    let group = Pid::from_child(&child);
    builds().push(group);
    drop(starting);
    let output = child.wait_with_output();
    builds().retain(|other| *other != group);
    BUILD_ENDED.notify_all();
    output
}

/// Ends the builds that run; what they made so far is removed by themselves. For a process that is about to end and holds
/// [`hold_starts`], so that no other build begins.
pub fn end_builds() -> Result<(), LabError> {
    let begun = Instant::now();
    let mut all = builds();
    while !all.is_empty() {
        let signal = if begun.elapsed() < GRACE {
            Signal::TERM
        } else {
            Signal::KILL
        };
        for group in all.iter() {
            match kill_process_group(*group, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(errno) => {
                    return Err(LabError::Command {
                        doing: "end the build of images".to_owned(),
                        why: errno.to_string(),
                    });
                }
            }
        }
        // Told again until it is gone: a process that a shell was just starting can miss it.
        let waited = BUILD_ENDED.wait_timeout(all, TOLD_AGAIN);
        all = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    Ok(())
}

fn builds() -> MutexGuard<'static, Vec<Pid>> {
    BUILDS.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::io::BufRead as _;

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
    fn a_build_ends_with_all_that_it_started() {
        let (reader, writer) = io::pipe().expect("pipe");
        let waiting = std::thread::spawn(move || {
            let mut command = Command::new("bash");
            // The shell waits for its child, as for mmdebstrap, and cleans up for longer than until it is told again.
            command
                .args([
                    "-c",
                    "trap 'sleep 0.3; echo cleaned' EXIT; trap 'trap \"\" TERM; exit 143' TERM; echo ready >&2; sleep 600",
                ])
                .stdout(Stdio::piped())
                .stderr(writer);
            await_build(&mut command).expect("runs")
        });
        let mut line = String::new();
        // Stays open: the shell says there that its child was killed, and would die of a closed pipe.
        let mut said = io::BufReader::new(reader);
        said.read_line(&mut line).expect("read");
        assert_eq!(line, "ready\n");
        // As whoever ends builds does: the build is entered by then.
        let starts = hold_starts();
        end_builds().expect("ends");
        drop(starts);
        let output = waiting.join().expect("thread");
        drop(said);
        assert_eq!(output.status.code(), Some(143), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "cleaned\n");
        assert!(builds().is_empty());
    }

    /// The kernel sends its signal when the thread is gone that started the build, which a process's end is too.
    #[test]
    fn a_build_ends_when_who_waits_for_it_is_gone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("tempdir");
        let script = folder.path().join("build.sh");
        // As the recipe's script: it cleans up, and says so, while it waits for a child.
        let text = "#!/bin/bash\ntrap 'sleep 0.3; echo cleaned' EXIT\ntrap 'trap \"\" TERM; exit 143' TERM\necho ready\nsleep 600\n";
        fs::write(&script, text).expect("write");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("mode");
        let starting = std::thread::spawn(move || {
            let mut child = tied(&script)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .expect("setpriv of util-linux starts");
            let mut said = io::BufReader::new(child.stdout.take().expect("piped"));
            let mut line = String::new();
            said.read_line(&mut line).expect("read");
            assert_eq!(line, "ready\n");
            (child, said)
        });
        let (mut child, mut said) = starting.join().expect("thread");
        let mut rest = String::new();
        // To the end: nobody holds the pipe any more.
        io::Read::read_to_string(&mut said, &mut rest).expect("read");
        assert_eq!(rest, "cleaned\n");
        let group = Pid::from_child(&child);
        assert_eq!(child.wait().expect("ends").code(), Some(143));
        let left = rustix::process::test_kill_process_group(group);
        assert_eq!(left, Err(Errno::SRCH), "all of it is gone");
    }

    #[test]
    fn a_build_of_a_process_that_is_gone_does_not_begin() {
        let output = Command::new("bash")
            .args(["-c", TIED, "bash", "1", "echo", "begun"])
            .output()
            .expect("bash starts");
        assert_eq!(output.status.code(), Some(143));
        assert!(output.stdout.is_empty());
    }

    #[test]
    fn half_a_folder_is_refused() {
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("xen"), "").expect("write");
        let error = Images::open(folder.path()).expect_err("is not whole");
        assert!(error.to_string().contains("no file `vmlinux`"), "{error}");
    }
}
