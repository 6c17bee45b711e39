//! Real builds against this machine's packages.

use vifbench_testing::{Need, needs};

use super::*;

const SERIES_HEAD: &str = "From: A <a@example.org>\nSubject: [PATCH] a test\n\n---\n";

/// What Debian's packages linux-source-6.1 and kmod bring.
const SOURCE: Need = Need::Path("/usr/src/linux-source-6.1.tar.xz");
/// `depmod` and its kin are not on an ordinary user's path.
const KMOD: Need = Need::Path("/usr/sbin/modinfo");

fn quiet(_: &str) {}

/// A folder with a series of these patches, each a variant of its own.
fn patches(parts: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("temporary folder");
    let folder = root.path().join("linux-6.1");
    fs::create_dir(&folder).expect("mkdir");
    let mut series = Vec::new();
    for (name, diff) in parts {
        fs::write(
            folder.join(format!("{name}.patch")),
            format!("{SERIES_HEAD}{diff}"),
        )
        .expect("write");
        series.push(format!("{name}.patch\n# variant: {name}\n"));
    }
    fs::write(folder.join("series"), series.concat()).expect("write");
    root
}

fn own_patches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vendor-patches")
}

#[test]
fn the_own_series_builds_checks_and_is_kept() {
    needs!(SOURCE, KMOD);
    let cache = tempfile::tempdir().expect("temporary folder");
    let builder = ModuleBuilder::new(own_patches(), cache.path());
    let kernel = builder
        .newest_kernel("6.1")
        .expect("headers and source are installed");

    let checks = builder.check(&kernel, &quiet).expect("every step builds");
    for check in &checks {
        assert!(check.passes(), "{check:#?}");
    }
    let shadow = builder.build("shadow", &kernel, &quiet).expect("builds");
    assert!(shadow.cached, "the check has built it already");
    assert_eq!(
        (
            shadow.netback.file.name.as_str(),
            shadow.netfront.file.name.as_str()
        ),
        (NETBACK, NETFRONT)
    );
    assert!(
        shadow
            .netback
            .file
            .vermagic
            .starts_with(&format!("{} ", kernel.release))
    );
    assert!(
        shadow.netback.file.symbols.len() > 100,
        "{:?}",
        shadow.netback.file.symbols
    );

    let stock = builder
        .build_patches("0", &[], &kernel, &quiet)
        .expect("builds");
    let source = |m: &BuiltModule| m.file.srcversion.clone().expect("is put in");
    assert_ne!(source(&shadow.netback), source(&stock.netback));
    assert_ne!(shadow.netback.file.build_id, stock.netback.file.build_id);
    assert_eq!(
        shadow.netfront.file, stock.netfront.file,
        "the patch leaves netfront alone"
    );

    // The same input gives the same bytes in another place, and a damaged result is not used.
    let elsewhere = tempfile::tempdir().expect("temporary folder");
    std::os::unix::fs::symlink(cache.path().join("source"), elsewhere.path().join("source"))
        .expect("link");
    let again = ModuleBuilder::new(own_patches(), elsewhere.path());
    let second = again.build("shadow", &kernel, &quiet).expect("builds");
    assert!(!second.cached);
    assert_eq!(second.hash, shadow.hash);
    let bytes = |m: &BuiltModule| fs::read(&m.path).expect("is there");
    assert!(
        bytes(&second.netback) == bytes(&shadow.netback),
        "the build depends on its place"
    );
    fs::write(&second.netback.path, b"damaged").expect("write");
    let mended = again.build("shadow", &kernel, &quiet).expect("builds");
    assert!(!mended.cached);
    assert_eq!(mended.netback.file, shadow.netback.file);
}

#[test]
fn patches_that_fail_are_named_with_the_place() {
    needs!(SOURCE, KMOD);
    let root = patches(&[
        (
            "header",
            "--- a/include/xen/interface/io/netif.h\n+++ b/include/xen/interface/io/netif.h\n@@ -14,4 +14,5 @@\n #include \"../grant_table.h\"\n \n+#define VIFBENCH_TEST 1\n /*\n  * Older implementation of Xen network frontend / backend has an\n--- a/drivers/net/xen-netback/Makefile\n+++ b/drivers/net/xen-netback/Makefile\n@@ -1,4 +1,4 @@\n # SPDX-License-Identifier: GPL-2.0-only\n obj-$(CONFIG_XEN_NETDEV_BACKEND) := xen-netback.o\n \n-xen-netback-y := netback.o xenbus.o interface.o hash.o rx.o\n+xen-netback-y := netback.o xenbus.o interface.o hash.o rx.o extra.o\n--- /dev/null\n+++ b/drivers/net/xen-netback/extra.c\n@@ -0,0 +1,4 @@\n+#include \"common.h\"\n+#ifndef VIFBENCH_TEST\n+#error the packaged header was used\n+#endif\n",
        ),
        (
            "fault",
            "--- a/drivers/net/xen-netback/extra.c\n+++ b/drivers/net/xen-netback/extra.c\n@@ -2,3 +2,4 @@\n #ifndef VIFBENCH_TEST\n #error the packaged header was used\n #endif\n+int broken = no_such_thing;\n",
        ),
        (
            "misfit",
            "--- a/drivers/net/xen-netback/rx.c\n+++ b/drivers/net/xen-netback/rx.c\n@@ -30,3 +30,4 @@\n this is not\n what stands\n there\n+nor this\n",
        ),
    ]);
    let cache = tempfile::tempdir().expect("temporary folder");
    let builder = ModuleBuilder::new(root.path(), cache.path());
    let kernel = builder
        .newest_kernel("6.1")
        .expect("headers and source are installed");

    builder
        .build("header", &kernel, &quiet)
        .expect("our copy of netif.h is used");
    match builder.build("fault", &kernel, &quiet) {
        Err(BuildError::DoesNotBuild {
            log, tail, what, ..
        }) => {
            assert!(tail.contains("no_such_thing"), "{tail}");
            assert!(
                fs::read_to_string(&log)
                    .expect("is kept")
                    .contains("extra.c")
            );
            assert_eq!(what, "the patches up to fault.patch");
        }
        other => panic!("{other:?}"),
    }
    match builder.build("misfit", &kernel, &quiet) {
        Err(error @ BuildError::DoesNotApply { .. }) => {
            let text = error.to_string();
            assert!(
                text.contains("the patch misfit.patch does not apply to linux-source-6.1 "),
                "{text}"
            );
            assert!(
                text.contains("hunk 1 of drivers/net/xen-netback/rx.c"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        builder.check(&kernel, &quiet),
        Err(BuildError::DoesNotBuild { .. })
    ));
    let leftovers = fs::read_dir(cache.path().join("modules")).expect("is there");
    assert!(
        leftovers
            .flatten()
            .all(|e| !e.file_name().to_string_lossy().starts_with('.')),
        "a build left its folder"
    );
}

#[test]
fn a_kernel_without_headers_says_what_to_install() {
    let builder = ModuleBuilder::new(own_patches(), "/nonexistent");
    let error = builder
        .kernel("6.1.0-1-amd64", &quiet)
        .expect_err("not installed")
        .to_string();
    assert!(
        error.ends_with("run `apt-get install linux-headers-6.1.0-1-amd64`"),
        "{error}"
    );
    let error = builder
        .newest_kernel("5.99")
        .expect_err("not installed")
        .to_string();
    assert!(
        error.starts_with("no headers of Linux 5.99 are installed"),
        "{error}"
    );
    assert!(matches!(
        builder.kernel("x", &quiet),
        Err(BuildError::BadRelease { .. })
    ));
}
