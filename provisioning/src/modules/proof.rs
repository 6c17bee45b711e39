//! Proves which modules are live: what the running kernel says against what the file says, and what netback and
//! netfront agreed on in xenstore.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;
use vifbench_scenarios::lab::HostName;
use vifbench_store::ModuleProof;

use super::file_name;
use super::module_file::{BadNote, ModuleFile, NotAModule, build_id_of_note};
use crate::host::{Host, HostError, HostExt as _};

/// Why a module could not be proved live.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The host did not answer.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The module is not loaded.
    #[error(
        "{module} is not loaded on {host}; swap the modules again (`vifbench undo {host}` brings the packaged ones back)"
    )]
    NotLoaded {
        /// Where.
        host: HostName,
        /// Which.
        module: String,
    },
    /// The kernel's note on the module cannot be read.
    #[error("the build-id note of {module} on {host} {fault}")]
    Note {
        /// Where.
        host: HostName,
        /// Which.
        module: String,
        /// What is wrong.
        fault: BadNote,
    },
    /// Another module is live than the one to be proved.
    #[error(transparent)]
    OtherModule(#[from] Box<OtherModule>),
    /// The packaged module is not there, or is none.
    #[error("the packaged {module} of {host} cannot be used as a reference: {why}")]
    Packaged {
        /// Where.
        host: HostName,
        /// Which.
        module: String,
        /// Why not.
        why: String,
    },
    /// xenstore holds something unreadable.
    #[error("`xenstore-ls -f` on {host} printed a line that is no key and value: {line}")]
    Xenstore {
        /// Where.
        host: HostName,
        /// The line.
        line: String,
    },
}

/// Another module is live than the one to be proved.
#[derive(Debug, Error)]
#[error(
    "{host} runs another {module} than the {series} one: its {what} is {live}, expected {expected}; nothing measured with it would count as {series}"
)]
pub struct OtherModule {
    /// Where.
    pub host: HostName,
    /// Which.
    pub module: String,
    /// The series it should belong to.
    pub series: String,
    /// `build-id` or `srcversion`.
    pub what: &'static str,
    /// What the kernel says.
    pub live: String,
    /// What the file says.
    pub expected: String,
}

/// What the running kernel says of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveModule {
    /// Hash of its sources; none for Debian's own modules.
    pub srcversion: Option<String>,
    /// GNU build-id in hex.
    pub build_id: String,
}

/// The two ends of one vif in xenstore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VifKeys {
    /// Name of the guest's domain.
    pub domain: String,
    /// Device number within the guest.
    pub device: u32,
    /// Feature keys: (`backend/feature-sg`, `1`), sorted.
    pub features: Vec<(String, String)>,
}

/// What the running kernel says of `module`.
pub fn live(
    host: &mut dyn Host,
    module: &str,
    deadline: Duration,
) -> Result<LiveModule, ProofError> {
    let text = ask(host, module, live_command(module), deadline)?;
    parse_live(&text).map_err(|fault| bad_note(host.name(), module, fault))
}

/// What [`live_command`] ends with where the module is not there.
const NOT_LOADED: i32 = 44;

/// Prints one line with the source hash or empty, then the note's bytes.
fn live_command(module: &str) -> String {
    format!(
        "cd /sys/module/{module}/notes 2>/dev/null || exit {NOT_LOADED}; cat ../srcversion 2>/dev/null || echo; cat .note.gnu.build-id"
    )
}

/// Prints the kernel's release, the file's path, its length in bytes, and the file. `kernel/` is what the package
/// brings; `updates/` and `extra/` are the administrator's.
fn packaged_command(module: &str) -> String {
    format!(
        "r=$(uname -r) && f=$(find /lib/modules/$r/kernel -name '{}*' | head -n 1) && echo $r && echo $f && if [ -n \"$f\" ]; then wc -c < \"$f\" && cat \"$f\"; fi",
        file_name(module)
    )
}

/// Runs one of these commands, or both: each is a round trip.
fn ask(
    host: &mut dyn Host,
    module: &str,
    command: String,
    deadline: Duration,
) -> Result<Vec<u8>, ProofError> {
    let output = host.run(&command, deadline)?;
    match output.status {
        0 => Ok(output.stdout),
        NOT_LOADED => Err(ProofError::NotLoaded {
            host: host.name().clone(),
            module: module.to_owned(),
        }),
        status => Err(HostError::Failed {
            host: host.name().clone(),
            command,
            status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }
        .into()),
    }
}

fn bad_note(host: &HostName, module: &str, fault: BadNote) -> ProofError {
    ProofError::Note {
        host: host.clone(),
        module: module.to_owned(),
        fault,
    }
}

fn parse_live(bytes: &[u8]) -> Result<LiveModule, BadNote> {
    let end = bytes
        .iter()
        .position(|&b| b == b'\n')
        .ok_or(BadNote::Short)?;
    let srcversion = String::from_utf8_lossy(&bytes[..end]).trim().to_owned();
    Ok(LiveModule {
        srcversion: Some(srcversion).filter(|s| !s.is_empty()),
        build_id: build_id_of_note(&bytes[end + 1..])?,
    })
}

/// The release of the running kernel, and the packaged module for it, fetched from the host.
pub fn packaged(
    host: &mut dyn Host,
    module: &str,
    deadline: Duration,
) -> Result<(String, ModuleFile), ProofError> {
    let text = ask(host, module, packaged_command(module), deadline)?;
    let (release, file, _) = parse_packaged(host.name(), module, &text)?;
    Ok((release, file))
}

/// Release, file, and what follows it.
fn parse_packaged<'a>(
    host: &HostName,
    module: &str,
    bytes: &'a [u8],
) -> Result<(String, ModuleFile, &'a [u8]), ProofError> {
    let mut parts = bytes.splitn(4, |&b| b == b'\n');
    let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (release, path, length) = (line(), line(), line());
    let fault = |why| ProofError::Packaged {
        host: host.clone(),
        module: module.to_owned(),
        why,
    };
    if path.is_empty() {
        return Err(fault(format!(
            "it is not under /lib/modules/{release}/kernel"
        )));
    }
    let rest = parts.next().unwrap_or_default();
    let (file, rest) = length
        .trim()
        .parse()
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| fault(format!("{path} came only in part")))?;
    let file =
        ModuleFile::parse(file).map_err(|why: NotAModule| fault(format!("{path}: {why}")))?;
    Ok((release, file, rest))
}

/// Proves that `expected`, of that series, is what the kernel runs. `features` are put into the proof.
pub fn prove(
    host: &mut dyn Host,
    series: &str,
    expected: &ModuleFile,
    features: Vec<(String, String)>,
    deadline: Duration,
) -> Result<ModuleProof, ProofError> {
    let live = live(host, &expected.name, deadline)?;
    compare(host.name(), series, expected, live, features)
}

/// As [`prove`], against the packaged file of that host.
///
/// # Errors
/// As [`prove`] and [`packaged`].
pub fn prove_packaged(
    host: &mut dyn Host,
    module: &str,
    features: Vec<(String, String)>,
    deadline: Duration,
) -> Result<ModuleProof, ProofError> {
    let command = format!("{} && {}", packaged_command(module), live_command(module));
    let text = ask(host, module, command, deadline)?;
    let (_, expected, rest) = parse_packaged(host.name(), module, &text)?;
    let live = parse_live(rest).map_err(|fault| bad_note(host.name(), module, fault))?;
    compare(host.name(), "stock", &expected, live, features)
}

fn compare(
    host: &HostName,
    series: &str,
    expected: &ModuleFile,
    live: LiveModule,
    features: Vec<(String, String)>,
) -> Result<ModuleProof, ProofError> {
    let other = |what, live: &str, wanted: &str| {
        Box::new(OtherModule {
            host: host.clone(),
            module: expected.name.clone(),
            series: series.to_owned(),
            what,
            live: live.to_owned(),
            expected: wanted.to_owned(),
        })
    };
    if live.build_id != expected.build_id {
        return Err(other("build-id", &live.build_id, &expected.build_id).into());
    }
    if live.srcversion != expected.srcversion {
        let text = |s: &Option<String>| s.clone().unwrap_or_else(|| "none".to_owned());
        return Err(other(
            "srcversion",
            &text(&live.srcversion),
            &text(&expected.srcversion),
        )
        .into());
    }
    Ok(ModuleProof {
        host: host.0.clone(),
        module: expected.name.clone(),
        series: series.to_owned(),
        srcversion: live.srcversion.unwrap_or_default(),
        build_id: live.build_id,
        features,
    })
}

/// What the ends of every vif of this dom0 offer and ask for.
pub fn vif_keys(dom0: &mut dyn Host, deadline: Duration) -> Result<Vec<VifKeys>, ProofError> {
    // Everything by one program: starting one for each domain took more than reading what is not of interest.
    let command = "xenstore-ls -f /local/domain 2>/dev/null; true";
    let text = dom0.check(command, deadline)?.text();
    parse_keys(&text).map_err(|line| ProofError::Xenstore {
        host: dom0.name().clone(),
        line,
    })
}

/// Keys that say what an end can do and what it asks of the other.
fn is_feature(key: &str) -> bool {
    ["feature-", "request-", "multi-queue-", "split-"]
        .iter()
        .any(|p| key.starts_with(p))
        || key == "state"
}

fn parse_keys(text: &str) -> Result<Vec<VifKeys>, String> {
    let mut vifs: Vec<VifKeys> = Vec::new();
    let mut names = BTreeMap::new();
    let mut keys = Vec::new();
    for line in text.lines() {
        let (path, value) = line.split_once(" = ").ok_or_else(|| line.to_owned())?;
        let value = value.trim().trim_matches('"');
        let parts: Vec<&str> = path.split('/').collect();
        // Queue keys lie one level deeper and are not of interest.
        match parts[..] {
            ["", "local", "domain", id, "name"] => {
                names.insert(id.to_owned(), value.to_owned());
            }
            [
                "",
                "local",
                "domain",
                "0",
                "backend",
                "vif",
                id,
                device,
                key,
            ] => {
                keys.push((
                    line,
                    "backend",
                    id.to_owned(),
                    device.to_owned(),
                    key.to_owned(),
                    value,
                ));
            }
            ["", "local", "domain", id, "device", "vif", device, key] => {
                keys.push((
                    line,
                    "frontend",
                    id.to_owned(),
                    device.to_owned(),
                    key.to_owned(),
                    value,
                ));
            }
            _ => {}
        }
    }
    for (line, end, id, device, key, value) in keys {
        let device = device.parse().map_err(|_| line.to_owned())?;
        // One without a name is going, or another's leavings.
        let Some(domain) = names.get(&id).cloned() else {
            continue;
        };
        let index = vifs
            .iter()
            .position(|v| v.domain == domain && v.device == device)
            .unwrap_or_else(|| {
                vifs.push(VifKeys {
                    domain: domain.clone(),
                    device,
                    features: Vec::new(),
                });
                vifs.len() - 1
            });
        if is_feature(&key) {
            vifs[index]
                .features
                .push((format!("{end}/{key}"), value.to_owned()));
        }
    }
    for vif in &mut vifs {
        vif.features.sort();
    }
    Ok(vifs)
}

/// The keys for the proof of a module: of all vifs (netback), or of one guest's (netfront).
pub fn features(vifs: &[VifKeys], domain: Option<&str>) -> Vec<(String, String)> {
    vifs.iter()
        .filter(|v| domain.is_none_or(|d| v.domain == d))
        .flat_map(|v| {
            v.features
                .iter()
                .map(|(k, value)| (format!("{}/{}/{k}", v.domain, v.device), value.clone()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTE: &[u8] = b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\xde\xad\xbe\xef";

    #[test]
    fn a_live_module_with_and_without_source_hash() {
        let with = [b"B2A1C3\n".as_slice(), NOTE].concat();
        let live = parse_live(&with).expect("reads");
        assert_eq!(
            (live.srcversion.as_deref(), live.build_id.as_str()),
            (Some("B2A1C3"), "deadbeef")
        );
        let without = [b"\n".as_slice(), NOTE].concat();
        assert_eq!(parse_live(&without).expect("reads").srcversion, None);
        assert_eq!(parse_live(b"\n"), Err(BadNote::None));
        assert_eq!(parse_live(b""), Err(BadNote::Short));
    }

    #[test]
    fn keys_of_both_ends_are_joined() {
        let text = "\
/local/domain/0/name = \"Domain-0\"
/local/domain/0/backend/vif/1/0/frontend = \"/local/domain/1/device/vif/0\"
/local/domain/0/backend/vif/1/0/feature-sg = \"1\"
/local/domain/0/backend/vif/1/0/state = \"4\"
/local/domain/0/backend/vif/2/3/feature-sg = \"0\"
/local/domain/0/backend/vif/9/0/feature-sg = \"1\"
/local/domain/1/name = \"u1\"
/local/domain/1/device/vif/0/queue-0 = \"\"
/local/domain/1/device/vif/0/request-rx-copy = \"1\"
/local/domain/1/device/vif/0/state = \"4\"
/local/domain/2/name = \"two words\"
";
        let vifs = parse_keys(text).expect("reads");
        assert_eq!(vifs.len(), 2);
        assert_eq!(
            features(&vifs, Some("u1")),
            [
                ("u1/0/backend/feature-sg", "1"),
                ("u1/0/backend/state", "4"),
                ("u1/0/frontend/request-rx-copy", "1"),
                ("u1/0/frontend/state", "4"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
        assert_eq!(
            features(&vifs, None).last(),
            Some(&("two words/3/backend/feature-sg".to_owned(), "0".to_owned()))
        );
        assert_eq!(parse_keys("rubbish"), Err("rubbish".to_owned()));
    }

    #[test]
    fn a_packaged_file_that_came_in_part_is_refused() {
        let host = HostName("u1".to_owned());
        for text in [
            "6.1\n",
            "6.1\n\n",
            "6.1\n/lib/x.ko\n",
            "6.1\n/lib/x.ko\n9\nshort",
            "6.1\n/lib/x.ko\n5\nno ELF",
        ] {
            let error = parse_packaged(&host, "xen_netfront", text.as_bytes()).expect_err("bad");
            assert!(matches!(error, ProofError::Packaged { .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC{0,60}\n){0,5}") {
            if let Err(line) = parse_keys(&text) {
                prop_assert!(text.contains(&line));
            }
        }
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(live) = parse_live(&bytes) {
                prop_assert!(!live.build_id.is_empty());
            }
        }
    }

    /// This kernel's own modules stand in where it has any with a note: the proof is of the reading, not of Xen.
    #[test]
    fn a_module_that_is_not_loaded_is_told() {
        let mut host = crate::local::LocalHost::new(HostName("here".to_owned()));
        let error =
            live(&mut host, "no_such_module", Duration::from_secs(10)).expect_err("not loaded");
        assert!(matches!(error, ProofError::NotLoaded { .. }), "{error}");
    }
}
