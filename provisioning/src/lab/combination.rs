//! Which kernel and which hypervisor a virtual lab has, from the Debian suites that `images/suites` lists.

use std::fmt;

use super::LabError;

const SUITES: &str = include_str!("../../images/suites");

/// A line of kernels, for dom0 and all guests, on a version of Xen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combination {
    kernel: &'static str,
    xen: &'static str,
}

impl Combination {
    /// What a lab has without being asked: the first kernel and the first hypervisor of the list.
    pub fn usual() -> Self {
        Self {
            kernel: Self::kernels()[0],
            xen: Self::xens()[0],
        }
    }

    /// With these versions, the usual ones where none is given.
    ///
    /// # Errors
    /// No suite of the list has one of them.
    pub fn new(kernel: Option<&str>, xen: Option<&str>) -> Result<Self, LabError> {
        let usual = Self::usual();
        let find = |what, known: Vec<&'static str>, version: Option<&str>, usual| {
            let Some(version) = version else {
                return Ok(usual);
            };
            known
                .iter()
                .find(|one| **one == version)
                .copied()
                .ok_or_else(|| LabError::UnknownVersion {
                    what,
                    version: version.to_owned(),
                    known: known.join(", "),
                })
        };
        Ok(Self {
            kernel: find("Linux", Self::kernels(), kernel, usual.kernel)?,
            xen: find("Xen", Self::xens(), xen, usual.xen)?,
        })
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
    pub fn kernel(&self) -> &'static str {
        self.kernel
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
        let all = Self::kernels().into_iter().flat_map(|kernel| {
            let of = move |xen| Self { kernel, xen };
            Self::xens().into_iter().map(of)
        });
        for one in all {
            if let Some(name) = lab.strip_suffix(one.suffix().as_str()) {
                return (one, name);
            }
        }
        (Self::usual(), lab)
    }

    /// The options of a command that choose this lab, each with a space behind it; none of the usual one.
    pub fn options(&self) -> String {
        if *self == Self::usual() {
            String::new()
        } else {
            format!("--kernel {} --xen {} ", self.kernel, self.xen)
        }
    }

    /// The names of namespaces have no dots.
    fn suffix(&self) -> String {
        format!("-linux-{}-xen-{}", self.kernel, self.xen).replace('.', "-")
    }

    /// What `images/build.sh` is told.
    pub(super) fn arguments(&self) -> [&'static str; 4] {
        ["--kernel", self.kernel, "--xen", self.xen]
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linux {} on Xen {}", self.kernel, self.xen)
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
    fn an_unknown_version_is_told_with_those_that_are_known() {
        let error = Combination::new(None, Some("4.19")).expect_err("no suite has it");
        assert_eq!(
            error.to_string(),
            "no Debian suite that vifbench knows has Xen 4.19; known are 4.17, 4.20 (provisioning/images/suites)"
        );
    }
}
