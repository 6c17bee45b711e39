//! Which kernel and which hypervisor a virtual lab has, from the Debian suites that `images/suites` lists.

use std::fmt;

use super::LabError;

const SUITES: &str = include_str!("../../images/suites");

/// The architecture's part of a kernel's release, which every release here has.
const ARCHITECTURE: &str = "-amd64";

/// A line of kernels, for dom0 and all guests, or a release of it, on a version of Xen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    line: &'static str,
    /// As `6.1.0-50`; the newest of the line without one.
    release: Option<String>,
    xen: &'static str,
}

impl Combination {
    /// What a lab has without being asked: the first kernel and the first hypervisor of the list.
    pub fn usual() -> Self {
        Self {
            line: Self::kernels()[0],
            release: None,
            xen: Self::xens()[0],
        }
    }

    /// With these versions, the usual ones where none is given. A kernel is a line, as `6.12`, or a release, as `uname -r` tells
    /// it, with or without its architecture.
    ///
    /// # Errors
    /// No suite of the list has one of them. Whether there is such a release of a line that is known, Debian tells when
    /// images are built.
    pub fn new(kernel: Option<&str>, xen: Option<&str>) -> Result<Self, LabError> {
        let usual = Self::usual();
        let unknown = |what, version: &str, known: Vec<&str>| LabError::UnknownVersion {
            what,
            version: version.to_owned(),
            known: known.join(", "),
        };
        let (line, release) = match kernel {
            None => (usual.line, None),
            Some(kernel) => {
                line_and_release(kernel).ok_or_else(|| unknown("Linux", kernel, Self::kernels()))?
            }
        };
        let xen = match xen {
            None => usual.xen,
            Some(xen) => *(Self::xens().iter().find(|one| **one == xen))
                .ok_or_else(|| unknown("Xen", xen, Self::xens()))?,
        };
        Ok(Self { line, release, xen })
    }

    /// The kernel lines that there are, as `6.12`; the usual one first.
    pub fn kernels() -> Vec<&'static str> {
        versions("kernel")
    }

    /// The versions of Xen that there are, as `4.20`; the usual one first.
    pub fn xens() -> Vec<&'static str> {
        versions("xen")
    }

    /// The kernel's line, as `6.12`.
    pub fn line(&self) -> &'static str {
        self.line
    }

    /// The kernel as it is asked for: a release, as `6.1.0-50`, or a line, of which the newest release is meant.
    pub fn kernel(&self) -> &str {
        self.release.as_deref().unwrap_or(self.line)
    }

    /// The hypervisor's version, as `4.20`.
    pub fn xen(&self) -> &'static str {
        self.xen
    }

    /// What such a lab is called: `name` itself where it is the usual combination, so that labs of several can stand
    /// side by side.
    pub fn lab_name(&self, name: &str) -> String {
        if *self == Self::usual() {
            name.to_owned()
        } else {
            format!("{name}{}", self.suffix())
        }
    }

    /// The combination of a lab by the name that [`Self::lab_name`] gave it, and the name without it.
    pub fn of_lab(lab: &str) -> (Self, &str) {
        let parts = || {
            let (name, versions) = lab.rsplit_once("-linux-")?;
            let (kernel, xen) = versions.split_once("-xen-")?;
            let kernel = with_dots(kernel);
            Some((Self::new(Some(&kernel), Some(&with_dots(xen))).ok()?, name))
        };
        parts().unwrap_or((Self::usual(), lab))
    }

    /// The options of a command that choose this lab, each with a space behind it; none of the usual one.
    pub fn options(&self) -> String {
        if *self == Self::usual() {
            String::new()
        } else {
            format!("--kernel {} --xen {} ", self.kernel(), self.xen)
        }
    }

    /// The names of namespaces have neither dots nor pluses.
    fn suffix(&self) -> String {
        format!("-linux-{}-xen-{}", self.kernel(), self.xen).replace(['.', '+'], "-")
    }

    /// What `images/build.sh` is told.
    pub(super) fn arguments(&self) -> [&str; 4] {
        ["--kernel", self.kernel(), "--xen", self.xen]
    }
}

/// The line that is known of a kernel, and its release if it is more than a line.
fn line_and_release(kernel: &str) -> Option<(&'static str, Option<String>)> {
    let release = kernel.strip_suffix(ARCHITECTURE).unwrap_or(kernel);
    for line in Combination::kernels() {
        if release == line {
            return Some((line, None));
        }
        // As `6.1.0-50` and `6.12.117+deb12`; what a lab's name could not tell is no release of Debian's either.
        let of_line = release
            .strip_prefix(line)
            .is_some_and(|rest| rest.starts_with('.'));
        let name = release.replace(['.', '+'], "-");
        if of_line && name.split('-').all(is_part) && with_dots(&name) == release {
            return Some((line, Some(release.to_owned())));
        }
    }
    None
}

fn is_part(part: &str) -> bool {
    let mut bytes = part.bytes();
    !part.is_empty() && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// A version as a lab's name has it, as it was: the first three numbers are parted by dots, and a plus stands before Debian's.
fn with_dots(version: &str) -> String {
    let mut all = String::new();
    for (n, part) in version.split('-').enumerate() {
        all += match n {
            0 => "",
            1 | 2 => ".",
            _ if part.starts_with("deb") => "+",
            _ => "-",
        };
        all += part;
    }
    all
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {} on Xen {}", self.kernel(), self.xen)
    }
}

/// The second column of the rows that begin so.
fn versions(kind: &str) -> Vec<&'static str> {
    let rows = SUITES.lines().map(|line| line.split_whitespace());
    rows.filter_map(|mut row| (row.next()? == kind).then(|| row.next())?)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_what_the_labs_need() {
        assert_eq!(Combination::kernels(), ["6.1", "6.12", "7.3"]);
        assert_eq!(Combination::xens(), ["4.17", "4.20"]);
        let rows = SUITES.lines().filter(|line| !line.starts_with('#'));
        for row in rows {
            assert_eq!(row.split_whitespace().count(), 4, "{row}");
        }
    }

    #[test]
    fn a_lab_tells_its_combination_by_its_name() {
        let one = Combination::new(Some("6.12"), Some("4.20")).expect("is known");
        assert_eq!(one.lab_name("virtual"), "virtual-linux-6-12-xen-4-20");
        assert_eq!(one.options(), "--kernel 6.12 --xen 4.20 ");
        assert_eq!(
            Combination::of_lab("virtual-linux-6-12-xen-4-20"),
            (one, "virtual")
        );
        // 6.1 is no part of 6.12.
        let old = Combination::new(Some("6.1"), Some("4.20")).expect("is known");
        assert_eq!(
            Combination::of_lab(&old.lab_name("a-linux-lab")),
            (old, "a-linux-lab")
        );
        let usual = Combination::new(None, None).expect("is known");
        assert_eq!(usual.lab_name("virtual"), "virtual");
        assert_eq!(usual.options(), "");
        assert_eq!(Combination::of_lab("virtual"), (usual, "virtual"));
    }

    #[test]
    fn a_release_is_of_its_line_and_lies_in_a_name_too() {
        for (asked, line, kernel, lab) in [
            (
                "6.1.0-50-amd64",
                "6.1",
                "6.1.0-50",
                "a-linux-6-1-0-50-xen-4-17",
            ),
            ("6.1.0-50", "6.1", "6.1.0-50", "a-linux-6-1-0-50-xen-4-17"),
            (
                "6.12.117+deb12-amd64",
                "6.12",
                "6.12.117+deb12",
                "a-linux-6-12-117-deb12-xen-4-17",
            ),
        ] {
            let one = Combination::new(Some(asked), None).expect("is of a known line");
            assert_eq!((one.line(), one.kernel()), (line, kernel));
            assert_eq!(one.lab_name("a"), lab);
            assert_eq!(Combination::of_lab(lab), (one, "a"));
        }
        for unknown in [
            "6.2",
            "6.10.3",
            "6.1.",
            "6.1.0 50",
            "6.1.0/../x",
            "6.1.0.5",
            "6.1x",
        ] {
            Combination::new(Some(unknown), None).expect_err(unknown);
        }
    }

    #[test]
    fn an_unknown_version_is_told_with_those_that_are_known() {
        let error = Combination::new(None, Some("4.19")).expect_err("no suite has it");
        assert_eq!(
            error.to_string(),
            "no Debian suite that vifbench knows has Xen 4.19; known are 4.17, 4.20 (provisioning/images/suites)"
        );
    }
}
