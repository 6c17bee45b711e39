//! A domain as an xl.cfg file.

use crate::DomainConfig;

/// `DomainConfig::check` has refused whatever would need an escape.
pub(super) fn text(config: &DomainConfig) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        text.push_str(key);
        text.push_str(" = ");
        text.push_str(value);
        text.push('\n');
    };
    let quoted = |value: &str| format!("\"{value}\"");
    line("type", "\"pv\"");
    line("name", &quoted(&config.name));
    line("kernel", &quoted(&config.kernel.to_string_lossy()));
    if let Some(ramdisk) = &config.ramdisk {
        line("ramdisk", &quoted(&ramdisk.to_string_lossy()));
    }
    line("cmdline", &quoted(&config.cmdline));
    // xl counts in MiB; up, so that the domain has at least what was asked for.
    line("memory", &config.memory_kib.div_ceil(1024).to_string());
    line("vcpus", &config.vcpus.to_string());
    if config.native_tsc {
        line("tsc_mode", "\"native\"");
    }
    let vifs: Vec<String> = config
        .vifs
        .iter()
        .map(|vif| {
            let mac = vif.mac.map(|octet| format!("{octet:02x}")).join(":");
            quoted(&format!("mac={mac},bridge={}", vif.bridge))
        })
        .collect();
    line("vif", &format!("[{}]", vifs.join(", ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tests::config;

    #[test]
    fn writes_what_xl_reads() {
        insta::assert_snapshot!(text(&config()), @r#"
        type = "pv"
        name = "u9"
        kernel = "/boot/guest/vmlinuz"
        ramdisk = "/boot/guest/initrd.img"
        cmdline = "console=hvc0 rdinit=/init"
        memory = 128
        vcpus = 1
        tsc_mode = "native"
        vif = ["mac=00:16:3e:00:00:09,bridge=xenbr0"]
        "#);
    }
}
