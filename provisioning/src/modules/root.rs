//! Where a kernel's headers, its source and the compiler for it lie: on this machine, or in a root of another Debian
//! suite, which `build-root.sh` makes.

use std::path::{Path, PathBuf};

use crate::shell::{quote, quote_path};

/// Where the tree to build is seen in a root; `build-root.sh` makes the folder.
const BUILD: &str = "/build";

/// A root with everything that building for one kernel needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// This machine's own.
    Here,
    /// The folder of another.
    Of(PathBuf),
}

impl Root {
    /// Where a file of the root is seen from outside. What lies on the way to it must be no absolute link.
    pub fn path(&self, inside: &str) -> PathBuf {
        match self {
            Self::Here => PathBuf::from(inside),
            Self::Of(root) => root.join(inside.trim_start_matches('/')),
        }
    }

    /// `dpkg-query` for what is installed there.
    pub(super) fn dpkg_query(&self) -> String {
        match self {
            Self::Here => "dpkg-query".to_owned(),
            Self::Of(root) => {
                let database = root.join("var/lib/dpkg");
                format!("dpkg-query --admindir={}", quote_path(&database))
            }
        }
    }

    /// A shell command, run there in `folder`. In another root nothing else of this machine is seen but the processes
    /// (objtool looks at its own limits); the mounts end with the command.
    pub(super) fn run_in(&self, folder: &Path, command: &str) -> String {
        let (outside, inside) = match self {
            Self::Here => return format!("cd {} && {command}", quote_path(folder)),
            Self::Of(root) => (root, format!("cd {BUILD} && {command}")),
        };
        let mounted = format!(
            "mount --bind {} {} && mount --bind /proc {} && exec chroot {} /bin/sh -c {}",
            quote_path(folder),
            quote_path(&outside.join(BUILD.trim_start_matches('/'))),
            quote_path(&outside.join("proc")),
            quote_path(outside),
            quote(&inside),
        );
        format!("unshare --mount /bin/sh -c {}", quote(&mounted))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use vifbench_testing::{Need, needs};

    use vifbench_scenarios::lab::HostName;

    use super::*;
    use crate::host::Host as _;
    use crate::local::LocalHost;

    #[test]
    fn here_a_command_runs_in_its_folder() {
        let folder = tempfile::Builder::new()
            .prefix("it's ")
            .tempdir()
            .expect("tempdir");
        let command = Root::Here.run_in(folder.path(), "pwd");
        let mut host = LocalHost::new(HostName("here".to_owned()));
        let output = host.run(&command, Duration::from_secs(60)).expect("runs");
        assert_eq!(Path::new(output.text().trim()), folder.path());
    }

    #[test]
    fn in_another_root_a_command_sees_that_one_and_its_folder() {
        needs!(Need::Root);
        let root = tempfile::Builder::new()
            .prefix("it's ")
            .tempdir()
            .expect("tempdir");
        // This machine's programs, seen through a root that has nothing else of its own.
        for name in ["bin", "lib", "lib64", "usr"] {
            let path = Path::new("/").join(name);
            let link = std::fs::read_link(&path);
            match link {
                Ok(to) => std::os::unix::fs::symlink(to, root.path().join(name)).expect("link"),
                Err(_) => std::fs::create_dir(root.path().join(name)).expect("folder"),
            }
        }
        for name in ["build", "proc"] {
            std::fs::create_dir(root.path().join(name)).expect("folder");
        }
        let folder = tempfile::tempdir().expect("tempdir");
        std::fs::write(folder.path().join("a"), "one\n").expect("write");
        let usr = quote_path(&root.path().join("usr"));
        let there = Root::Of(root.path().to_owned()).run_in(
            folder.path(),
            "cat a && echo two > b && pwd && ls / && ls /proc/self/limits",
        );
        let command = format!(
            "unshare --mount /bin/sh -c {}",
            quote(&format!("mount --bind /usr {usr} && {there}"))
        );
        let mut host = LocalHost::new(HostName("here".to_owned()));
        let output = host.run(&command, Duration::from_secs(60)).expect("runs");
        assert_eq!(
            output.text(),
            "one\n/build\nbin\nbuild\nlib\nlib64\nproc\nusr\n/proc/self/limits",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let written = std::fs::read_to_string(folder.path().join("b")).expect("written");
        assert_eq!(written, "two\n");
        // Nothing stays mounted.
        let seen = std::fs::read_dir(root.path().join("build")).expect("list");
        assert_eq!(seen.count(), 0);
    }
}
