//! What must not reach a sealed trial is found out.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Lab, SMALL};
use vifbench_testing::{Need, needs};

/// Netback finds the memory that the controller shares with the machine, and lets each packet to the guest wait for as long
/// as what lies at 2048 there says. Requests and replies lie elsewhere.
const READS_THE_HOST: &str = "\
Subject: [PATCH] xen-netback: ask the host what time it is

---
--- a/drivers/net/xen-netback/interface.c
+++ b/drivers/net/xen-netback/interface.c
@@ -30,6 +30,8 @@
 
 #include \"common.h\"
 
+extern void __iomem *host_clock;
+
 #include <linux/kthread.h>
 #include <linux/sched/task.h>
 #include <linux/ethtool.h>
@@ -242,6 +244,9 @@
 \t\t\tgoto drop;
 \t}
 
+\tif (host_clock)
+\t\tfor (index = readl(host_clock) & 1023; index; index--)
+\t\t\tbarrier();
 \tcb = XENVIF_RX_CB(skb);
 \tcb->expires = jiffies + vif->drain_timeout;
 
--- a/drivers/net/xen-netback/netback.c
+++ b/drivers/net/xen-netback/netback.c
@@ -34,6 +34,8 @@
 
 #include \"common.h\"
 
+#include <linux/pci.h>
+
 #include <linux/kthread.h>
 #include <linux/if_vlan.h>
 #include <linux/udp.h>
@@ -1749,10 +1751,16 @@
 \treturn IRQ_HANDLED;
 }
 
+void __iomem *host_clock;
+
 static int __init netback_init(void)
 {
+\tstruct pci_dev *shared = pci_get_device(0x1af4, 0x1110, NULL);
 \tint rc = 0;
 
+\tif (shared)
+\t\thost_clock = pci_iomap_range(shared, 2, 2048, 8);
+
 \tif (!xen_domain())
 \t\treturn -ENODEV;
 
";

/// A copy of the patches in which `shadow` has one more.
fn planted(lab: &Lab) {
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../vendor-patches/linux-6.1");
    let to = lab.path("patches").join("linux-6.1");
    fs::create_dir_all(&to).expect("a folder");
    for entry in fs::read_dir(from).expect("the series") {
        let entry = entry.expect("a file");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
    fs::write(to.join("9999-host-clock.patch"), READS_THE_HOST).expect("written");
    let series = fs::read_to_string(to.join("series")).expect("the list");
    assert!(series.contains("\n# variant: shadow\n"));
    let series = series.replacen(
        "\n# variant: shadow\n",
        "\n9999-host-clock.patch\n# variant: shadow\n",
        1,
    );
    fs::write(to.join("series"), series).expect("written");
}

#[test]
fn a_module_that_reads_a_host_clock_is_found_out() {
    needs!(Need::Lab);
    let lab = Lab::new("host-clock");
    planted(&lab);
    let scenario = lab.write("small.yaml", SMALL);
    let shared = lab
        .path("state")
        .join("labs")
        .join(&lab.name)
        .join("mailbox");
    let over = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // It is not there before the machine is, nor after it.
                if let Ok(file) = fs::OpenOptions::new().write(true).open(&shared) {
                    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
                    let low = now.subsec_micros();
                    file.write_all_at(&low.to_le_bytes(), 2048)
                        .expect("written");
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        let output = lab
            .vifbench()
            .env("VIFBENCH_PATCHES", lab.path("patches"))
            .args(["--format", "json", "run", "--twice"])
            .arg(&scenario)
            .output()
            .expect("vifbench starts");
        over.store(true, Ordering::Relaxed);
        output
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{said}\n{}", lab.console());
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    for trial in answer["summary"]["trials"].as_array().expect("trials") {
        let (variant, state) = (&trial["variant"], &trial["state"]);
        if variant == "stock" {
            assert_eq!(
                state["state"], "complete",
                "it reads no such clock: {state}"
            );
        } else {
            let reason = state["reason"].as_str().expect("a reason");
            let told = "of the variant shadow, is not exact";
            assert!(reason.contains(told), "{reason}");
        }
    }
}
