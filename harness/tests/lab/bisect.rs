//! A patch that costs one percent is found by three sealed trials, and costs it in another draw too.

use std::fs;

use crate::support::{Lab, SMALL};
use vifbench_testing::{Need, needs};

/// Words only: not an instruction more on the way of a packet.
const HARMLESS: &str = "\
Subject: [PATCH] xen-netback: say it in other words

---
--- a/drivers/net/xen-netback/interface.c
+++ b/drivers/net/xen-netback/interface.c
@@ -223,7 +223,7 @@
 \t/* Obtain the queue to be used to transmit this packet */
 \tindex = skb_get_queue_mapping(skb);
 \tif (index >= num_queues) {
-\t\tpr_warn_ratelimited(\"Invalid queue %hu for packet on interface %s\\n\",
+\t\tpr_warn_ratelimited(\"No such queue %hu for packet on interface %s\\n\",
 \t\t\t\t    index, vif->dev->name);
 \t\tindex %= num_queues;
 \t}
";

/// Some hundred instructions for each packet to the guest.
const PLANTED: &str = "\
Subject: [PATCH] xen-netback: think it over

---
--- a/drivers/net/xen-netback/interface.c
+++ b/drivers/net/xen-netback/interface.c
@@ -242,6 +242,8 @@
 \t\t\tgoto drop;
 \t}
 
+\tfor (index = 0; index < 240; index++)
+\t\tbarrier();
 \tcb = XENVIF_RX_CB(skb);
 \tcb->expires = jiffies + vif->drain_timeout;
 
";

#[test]
fn a_planted_regression_is_found() {
    needs!(Need::Lab);
    let lab = Lab::new("bisect");
    let series = lab.path("planted").join("linux-6.1");
    fs::create_dir_all(&series).expect("a folder");
    fs::write(
        series.join("series"),
        "0001-words.patch\n0002-planted.patch\n",
    )
    .expect("written");
    fs::write(series.join("0001-words.patch"), HARMLESS).expect("written");
    fs::write(series.join("0002-planted.patch"), PLANTED).expect("written");
    let scenario = lab.write("small.yaml", SMALL).display().to_string();
    let answer = lab.json(
        0,
        &[
            "bisect",
            "planted",
            "--metric",
            "delay_p50",
            "--scenario",
            &scenario,
            "--draws",
            "1",
        ],
    );
    assert_eq!(answer["found"]["patch"], "0002-planted.patch", "{answer}");
    let value = |step: usize| answer["steps"][step]["value"].as_f64().expect("a number");
    let (first, words, planted) = (value(0), value(1), value(2));
    assert!(
        (words - first).abs() < 0.001 * first,
        "words cost nothing: {answer}"
    );
    assert!(planted > 1.002 * first, "the loop is seen: {answer}");
    assert!(planted < 1.05 * first, "and not more: {answer}");
    let moved = &answer["found"]["moved"];
    let draws = moved["draws"].as_array().expect("asked for");
    assert_eq!(draws.len(), 1, "{answer}");
    assert_ne!(draws[0]["before"], words, "not the first draw: {answer}");
    let percent = moved["percent"].as_f64().expect("a number");
    assert!((0.2..5.0).contains(&percent), "{answer}");
}
