//! What `xl` prints.

use crate::domain::Flags;
use crate::{Domain, Error, State, Version};

/// `xl list` prints seconds with one decimal.
pub(super) const TIME_STEP_NS: u64 = 100_000_000;

const LIST: &str = "xl list -v";

/// `xl list -v`: name, id, MiB, vCPUs, state, seconds, UUID, shutdown reason, label. A name may hold blanks, so
/// the columns are counted from the end.
pub(super) fn list(text: &str) -> Result<Vec<Domain>, Error> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    match lines.next() {
        Some(title) if title.starts_with("Name") && title.contains("UUID") => {}
        other => {
            return Err(unknown(
                LIST,
                other.unwrap_or_default(),
                "no title with Name and UUID",
            ));
        }
    }
    lines
        .map(|line| domain(line).map_err(|why| unknown(LIST, line, why)))
        .collect()
}

fn unknown(command: &str, line: &str, why: &'static str) -> Error {
    Error::XlOutput {
        command: command.to_owned(),
        line: line.to_owned(),
        why,
    }
}

fn domain(line: &str) -> Result<Domain, &'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    // The state is the last word of six flags that is followed by a time; labels and names do not look like that.
    let state = (4..words.len().saturating_sub(1))
        .rev()
        .find(|&at| flags(words[at]).is_some() && tenths(words[at + 1]).is_some())
        .ok_or("no state and time")?;
    let number = |at: usize, why| words[at].parse::<u32>().map_err(|_| why);
    let domid = number(state - 3, "no domain id")?;
    let mib = number(state - 2, "no memory")?;
    let vcpus = number(state - 1, "no number of vCPUs")?;
    let flags = flags(words[state]).ok_or("no state")?;
    let cpu_ns = tenths(words[state + 1])
        .and_then(|t| t.checked_mul(TIME_STEP_NS))
        .ok_or("no time")?;
    let uuid = words
        .get(state + 2)
        .filter(|word| is_uuid(word))
        .map(|word| (*word).to_owned());
    // Words are parts of the line, so the id's address says how far the name reaches.
    let id_column = words[state - 3].as_ptr() as usize - line.as_ptr() as usize;
    let name = line[..id_column].trim_end().to_owned();
    // xl prints this for a domain that has no name (any more).
    let name = if name == "(null)" {
        String::new()
    } else {
        name
    };
    Ok(Domain {
        domid,
        name,
        uuid,
        cpu_ns,
        vcpus,
        memory_kib: u64::from(mib) * 1024,
        state: State::from(flags),
    })
}

/// `r-----`: running, blocked, paused, shut down, crashed, dying.
fn flags(word: &str) -> Option<Flags> {
    let bytes: [u8; 6] = word.as_bytes().try_into().ok()?;
    let flag = |at: usize, letter: u8| match bytes[at] {
        b'-' => Some(false),
        found if found == letter => Some(true),
        _ => None,
    };
    Some(Flags {
        running: flag(0, b'r')?,
        blocked: flag(1, b'b')?,
        paused: flag(2, b'p')?,
        shutdown: flag(3, b's')?,
        crashed: flag(4, b'c')?,
        dying: flag(5, b'd')?,
    })
}

/// `12.3` in tenths.
fn tenths(word: &str) -> Option<u64> {
    let (whole, tenth) = word.split_once('.')?;
    if tenth.len() != 1 {
        return None;
    }
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(10)?
        .checked_add(tenth.parse().ok()?)
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(at, b)| {
            if [8, 13, 18, 23].contains(&at) {
                b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}

/// `xl info`: lines of `key : value`.
pub(super) fn version(text: &str) -> Result<Version, Error> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    let number = |key: &str| value(key).and_then(|value| value.parse().ok());
    match (number("xen_major"), number("xen_minor")) {
        (Some(major), Some(minor)) => Ok(Version {
            major,
            minor,
            extra: value("xen_extra").unwrap_or_default(),
        }),
        _ => Err(unknown(
            "xl info",
            text.lines().next().unwrap_or_default(),
            "no xen_major and xen_minor",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The title and the first two lines are of Xen 4.17.7, the others in the same format (`xl_list.c`).
    const LISTED: &str = "\
Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label
Domain-0                                     0   768     1     r-----      18.8 00000000-0000-0000-0000-000000000000        -                -
u1                                           1   160     1     -b----       7.2 7942ca66-dc1b-43f4-93d2-f64fab016255        -                -
a name of words                             12   127     2     --p---       0.0 3f2c1f0e-8a54-4c55-9a3b-0d8e1c5b7a12        -                -
(null)                                      13     0     1     --ps-d       3.4 3f2c1f0e-8a54-4c55-9a3b-0d8e1c5b7a13        0                -
crashed                                     14   127     1     ---sc-       3.4 3f2c1f0e-8a54-4c55-9a3b-0d8e1c5b7a14        3                -
";

    #[test]
    fn reads_a_list() {
        let domains = list(LISTED).expect("a list");
        let short: Vec<_> = domains
            .iter()
            .map(|d| {
                (
                    d.domid,
                    d.name.as_str(),
                    d.vcpus,
                    d.memory_kib,
                    d.cpu_ns,
                    d.state,
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                (0, "Domain-0", 1, 786_432, 18_800_000_000, State::Running),
                (1, "u1", 1, 163_840, 7_200_000_000, State::Blocked),
                (12, "a name of words", 2, 130_048, 0, State::Paused),
                (13, "", 1, 0, 3_400_000_000, State::Dying),
                (14, "crashed", 1, 130_048, 3_400_000_000, State::Crashed),
            ]
        );
        assert_eq!(
            domains[1].uuid.as_deref(),
            Some("7942ca66-dc1b-43f4-93d2-f64fab016255")
        );
    }

    #[test]
    fn says_which_line_it_does_not_know() {
        let error = list("Name ID UUID\nu1 what is this\n")
            .expect_err("no list")
            .to_string();
        assert!(
            error.contains("u1 what is this") && error.contains("no state and time"),
            "{error}"
        );
        assert!(list("").is_err());
        assert!(list("xl: something else\n").is_err());
    }

    #[test]
    fn reads_the_version() {
        let text = "host                   : dom0\nxen_major              : 4\nxen_minor              : 17\nxen_extra              : .7\n";
        let version = version(text).expect("a version");
        assert_eq!(version.to_string(), "4.17.7");
        assert!(super::version("host : dom0\n").is_err());
    }

    proptest! {
        #[test]
        fn any_listed_domain_is_read_back(
            name in "[a-zA-Z0-9_.-]{1,20}( [a-zA-Z0-9_.-]{1,8}){0,2}",
            domid in 0..32_752_u32, mib in 0..1_000_000_u32, vcpus in 1..128_u32, time in 0..100_000_000_u64,
        ) {
            let line = format!(
                "{name:<40} {domid:>5} {mib:>5} {vcpus:>5}     -b----  {:>8} 3f2c1f0e-8a54-4c55-9a3b-0d8e1c5b7a11        -                -",
                format!("{}.{}", time / 10, time % 10),
            );
            let read = domain(&line).expect("a domain");
            prop_assert_eq!(read.domid, domid);
            prop_assert_eq!(read.name, name);
            prop_assert_eq!(read.vcpus, vcpus);
            prop_assert_eq!(read.cpu_ns, time * TIME_STEP_NS);
        }

        #[test]
        fn never_panics(text in ".*", line in "([-rbpscd0-9.a-z]{1,8} {1,3}){0,12}") {
            prop_assert!(list(&text).is_err());
            if let Ok(domain) = domain(&line) {
                prop_assert!(line.contains(&domain.domid.to_string()) && line.starts_with(&domain.name));
            }
        }
    }
}
