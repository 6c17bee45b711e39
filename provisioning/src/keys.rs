//! SSH host keys as text: what a lab file holds and what a message shows.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A host's public key, as in `known_hosts`: `ssh-ed25519 AAAA...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    blob: Vec<u8>,
}

/// Why a host key could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostKeyError {
    /// There is no second word.
    #[error(
        "`{text}` is not a host key: write it as in known_hosts, `ssh-ed25519 AAAA...` (`vifbench enrol` prints the line)"
    )]
    Shape {
        /// What stood there.
        text: String,
    },
    /// The second word is not base64 of a key.
    #[error("the host key `{text}` is damaged: {why}; enrol the host again")]
    Damaged {
        /// What stood there.
        text: String,
        /// What is wrong with it.
        why: String,
    },
}

impl HostKey {
    /// From the bytes that the SSH session shows.
    pub(crate) fn from_blob(blob: &[u8]) -> Option<Self> {
        let key = Self {
            blob: blob.to_vec(),
        };
        key.algorithm_bytes()?;
        Some(key)
    }

    fn algorithm_bytes(&self) -> Option<&str> {
        let (length, rest) = self.blob.split_first_chunk::<4>()?;
        let name = rest.get(..u32::from_be_bytes(*length) as usize)?;
        let name = std::str::from_utf8(name).ok()?;
        (name.len() < 64 && name.bytes().all(|b| b.is_ascii_graphic())).then_some(name)
    }

    /// `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`, ...
    pub fn algorithm(&self) -> &str {
        // Every constructor has checked that it is there.
        self.algorithm_bytes().unwrap_or_default()
    }

    /// As `ssh-keygen -l` shows it: `SHA256:...`.
    pub fn fingerprint(&self) -> String {
        format!(
            "SHA256:{}",
            STANDARD_NO_PAD.encode(Sha256::digest(&self.blob))
        )
    }
}

/// The signature algorithms to ask a server for: those of the enrolled key first, so that a server with several
/// keys shows that one; then all others, so that a server without it shows what it has.
pub(crate) fn preference(enrolled: Option<&HostKey>) -> String {
    const ALL: [&str; 7] = [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-rsa",
    ];
    let kind = enrolled.map_or("", HostKey::algorithm);
    let of_this_key = |name: &str| name == kind || (kind == "ssh-rsa" && name.starts_with("rsa-"));
    let (first, rest): (Vec<&str>, Vec<&str>) = ALL.into_iter().partition(|n| of_this_key(n));
    [first, rest].concat().join(",")
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm(), STANDARD.encode(&self.blob))
    }
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(text: &str) -> Result<Self, HostKeyError> {
        let mut words = text.split_whitespace();
        let (Some(algorithm), Some(data)) = (words.next(), words.next()) else {
            return Err(HostKeyError::Shape {
                text: text.to_owned(),
            });
        };
        let damaged = |why: String| HostKeyError::Damaged {
            text: text.to_owned(),
            why,
        };
        let blob = STANDARD.decode(data).map_err(|e| damaged(e.to_string()))?;
        let key = Self::from_blob(&blob)
            .ok_or_else(|| damaged("the data does not begin with the name of a key type".into()))?;
        if key.algorithm() != algorithm {
            return Err(damaged(format!(
                "the data is of an {} key",
                key.algorithm()
            )));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ed25519(key: [u8; 32]) -> HostKey {
        let mut blob = 11_u32.to_be_bytes().to_vec();
        blob.extend(b"ssh-ed25519");
        blob.extend(32_u32.to_be_bytes());
        blob.extend(key);
        HostKey::from_blob(&blob).expect("well-formed")
    }

    proptest! {
        #[test]
        fn text_and_back(key: [u8; 32]) {
            let key = ed25519(key);
            prop_assert_eq!(format!("{key} root@host").parse::<HostKey>(), Ok(key));
        }
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            if let Ok(key) = text.parse::<HostKey>() {
                prop_assert!(!key.algorithm().is_empty());
            }
        }
    }

    #[test]
    fn agrees_with_ssh_keygen() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("key");
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let file = file.with_extension(kind);
            let made = std::process::Command::new("ssh-keygen")
                .args(["-q", "-N", "", "-t", kind, "-f"])
                .arg(&file)
                .status()
                .expect("ssh-keygen runs");
            assert!(made.success());
            let public = file.with_extension(format!("{kind}.pub"));
            let text = std::fs::read_to_string(&public).expect("public key");
            let key: HostKey = text.parse().expect("parses");
            let shown = std::process::Command::new("ssh-keygen")
                .arg("-lf")
                .arg(&public)
                .output()
                .expect("ssh-keygen runs");
            let shown = String::from_utf8(shown.stdout).expect("text");
            assert!(
                shown.contains(&key.fingerprint()),
                "{shown} lacks {}",
                key.fingerprint()
            );
            assert!(preference(Some(&key)).starts_with(match kind {
                "rsa" => "rsa-sha2-512,rsa-sha2-256,ssh-rsa",
                _ => key.algorithm(),
            }));
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!(
            "AAAA".parse::<HostKey>(),
            Err(HostKeyError::Shape { .. })
        ));
        assert!(matches!(
            "ssh-ed25519 !!".parse::<HostKey>(),
            Err(HostKeyError::Damaged { .. })
        ));
        let swapped = ed25519([7; 32])
            .to_string()
            .replace("ssh-ed25519", "ssh-rsa");
        assert!(matches!(
            swapped.parse::<HostKey>(),
            Err(HostKeyError::Damaged { .. })
        ));
    }
}
