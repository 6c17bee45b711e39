//! Other layouts of the virtual lab's memory. They show which differences follow from where things happen to lie, and not from
//! a patch.
//!
//! A PV kernel knows no KASLR: the hypervisor's builder starts it at its own address, the decompressor that would move it
//! never runs, so `kaslr_enabled()` is false and modules are loaded one after the other from the same address on. What
//! can be moved is moved before a pair of modules is loaded: the modules (a stock module takes the old one's place), pages
//! (a file in memory takes some), and the time since the boot. It is a function of the layout's number, so that all
//! variants of a block share it, and every run finds the same states in the cache.

use vifbench_provisioning::modules::swap::FOLDER;
use vifbench_scenarios::lab::{HostName, Role};

/// Pages that a file takes, at most: 4 MiB.
const PAGES: u64 = 1024;
/// Microseconds that are waited, at most: a tick of a kernel at 100 Hz.
const WAIT_US: u64 = 10_000;

/// The state's name with its layout; the one that the lab boots into has none.
pub fn tagged(tag: String, layout: u32) -> String {
    match layout {
        0 => tag,
        layout => format!("{tag}-layout{layout}"),
    }
}

/// What moves the layout of one machine, before modules are swapped on it; nothing for layout 0.
pub fn command(layout: u32, role: Role, host: &HostName) -> Option<String> {
    if layout == 0 {
        return None;
    }
    let pages = 1 + derive(layout, host, "pages") % PAGES;
    let wait = 1 + derive(layout, host, "wait") % WAIT_US;
    // Stock modules that nothing uses and that do nothing by themselves.
    let spacer = match role {
        Role::Dom0 => "sch_netem",
        Role::Guest | Role::Generator => "xen-evtchn",
    };
    // Every second layout moves modules, and there is but one place to move them to.
    let spacer = if layout % 2 == 1 {
        format!("mkdir -p -m 700 {FOLDER} && echo {spacer} > {FOLDER}/spacer && ")
    } else {
        String::new()
    };
    Some(format!(
        "{spacer}dd if=/dev/zero of=/run/vifbench-spacer bs=4096 count={pages} 2>/dev/null && usleep {wait}"
    ))
}

fn derive(layout: u32, host: &HostName, what: &str) -> u64 {
    let hash = blake3::hash(format!("{layout} {host} {what}").as_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_a_function_of_its_number_and_the_machine() {
        let (u1, u2) = (HostName("u1".to_owned()), HostName("u2".to_owned()));
        let of = |layout, host| command(layout, Role::Guest, host);
        assert_eq!(of(0, &u1), None);
        assert_eq!(of(1, &u1), of(1, &u1));
        assert_ne!(of(1, &u1), of(1, &u2));
        assert_ne!(of(1, &u1), of(3, &u1));
        let (one, two) = (of(1, &u1).expect("moves"), of(2, &u1).expect("moves"));
        assert!(
            one.contains("echo xen-evtchn >") && !two.contains("spacer &&"),
            "{one} {two}"
        );
        assert_eq!(tagged("stock-1".to_owned(), 0), "stock-1");
        assert_eq!(tagged("stock-1".to_owned(), 2), "stock-1-layout2");
    }
}
