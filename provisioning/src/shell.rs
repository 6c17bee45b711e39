//! Words of a shell command line.

/// `word` as one word of a POSIX shell, whatever it contains (but NUL, which no command line can carry).
///
/// ```
/// assert_eq!(vifbench_provisioning::shell::quote("a b"), "'a b'");
/// assert_eq!(vifbench_provisioning::shell::quote("it's"), r"'it'\''s'");
/// assert_eq!(vifbench_provisioning::shell::quote("plain-1.0"), "plain-1.0");
/// ```
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A path as one word, never read as an option.
pub fn quote_path(path: &std::path::Path) -> String {
    let text = path.to_string_lossy();
    if text.starts_with('-') {
        quote(&format!("./{text}"))
    } else {
        quote(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// What a real shell makes of the word.
    fn through_sh(word: &str) -> Vec<u8> {
        Command::new("sh")
            .arg("-c")
            .arg(format!("printf %s {}", quote(word)))
            .output()
            .expect("sh runs")
            .stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn a_shell_gives_the_word_back(word in "[^\0]{0,40}") {
            prop_assert_eq!(through_sh(&word), word.as_bytes());
        }
        #[test]
        fn also_of_the_characters_that_matter(word in r#"[ '"\\$`!*?~;&|<>(){}\[\]\n\t#=-]{1,20}"#) {
            prop_assert_eq!(through_sh(&word), word.as_bytes());
        }
    }

    #[test]
    fn a_path_is_never_an_option() {
        assert_eq!(quote_path(std::path::Path::new("-rf")), "./-rf");
    }
}
