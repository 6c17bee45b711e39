//! Named network namespaces: doing something in one without moving this thread into it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps the namespace of that name.
pub fn path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// Runs `work` on a thread of its own inside the named namespace. Sockets opened and processes started there
/// stay in it; this thread does not move.
///
/// # Errors
/// When the namespace is not there, this process may not enter it, or no thread could be started.
pub fn inside<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = File::open(path(name))?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name(format!("netns {name}"))
            .spawn_scoped(scope, move || -> io::Result<T> {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            })?;
        match thread.join() {
            Ok(result) => result,
            // A panic in `work` is the caller's own.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vifbench_testing::{Need, needs};

    #[test]
    fn works_inside_and_leaves_this_thread_outside() {
        needs!(Need::Root, Need::Program("ip"));
        let name = format!("vb-prov-ns-{}", std::process::id());
        let ip = |verb: &str| {
            std::process::Command::new("ip")
                .args(["netns", verb, &name])
                .status()
                .expect("ip runs")
        };
        assert!(ip("add").success());
        let here = std::fs::read_link("/proc/thread-self/ns/net").expect("ns");
        let there = inside(&name, || {
            std::fs::read_link("/proc/thread-self/ns/net").expect("ns")
        });
        let child = inside(&name, || {
            std::process::Command::new("readlink")
                .arg("/proc/self/ns/net")
                .output()
                .expect("runs")
        });
        assert!(ip("del").success());
        let there = there.expect("entered");
        assert_ne!(here, there);
        assert_eq!(
            here,
            std::fs::read_link("/proc/thread-self/ns/net").expect("ns")
        );
        // A process started inside stays inside: what the local host relies on.
        let child = String::from_utf8(child.expect("entered").stdout).expect("text");
        assert_eq!(child.trim(), there.to_string_lossy());
    }

    #[test]
    fn a_missing_namespace_is_an_error() {
        let error = inside("vb-prov-not-there", || ()).expect_err("is not there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
