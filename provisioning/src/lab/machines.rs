//! The table of the lab's machines, which the images carry too (`images/common/etc/machines`).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::{LabError, files};

/// The table that the images of this program's own recipes carry.
const OWN: &str = include_str!("../../images/common/etc/machines");

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub name: String,
    pub address: Ipv4Addr,
    pub address6: Ipv6Addr,
    pub mac: String,
}

/// Reads `machines` of a folder of images.
pub fn read(images: &Path) -> Result<Vec<Machine>, LabError> {
    let text = files::read(&images.join("machines"))?;
    parse(&text).map_err(|why| LabError::BadImages {
        path: images.to_owned(),
        why,
    })
}

/// The table of this program's own images, which need not be built yet.
pub fn own() -> Result<Vec<Machine>, LabError> {
    parse(OWN).map_err(|why| LabError::BadImages {
        path: "provisioning/images".into(),
        why,
    })
}

/// The machine of that name; `images` is where the table is from, for the message.
pub fn named<'a>(table: &'a [Machine], name: &str, images: &Path) -> Result<&'a Machine, LabError> {
    table
        .iter()
        .find(|machine| machine.name == name)
        .ok_or_else(|| LabError::BadImages {
            path: images.to_owned(),
            why: format!("`machines` has no line for {name}"),
        })
}

fn parse(text: &str) -> Result<Vec<Machine>, String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, address, address6, mac] = fields[..] else {
                return Err(format!("`{line}` in `machines` has not four fields"));
            };
            Ok(Machine {
                name: name.to_owned(),
                address: address
                    .parse()
                    .map_err(|_| format!("`{address}` in `machines` is not an IPv4 address"))?,
                address6: address6
                    .parse()
                    .map_err(|_| format!("`{address6}` in `machines` is not an IPv6 address"))?,
                mac: mac.to_owned(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_recipe_s_own_table() {
        let machines = own().expect("the table is right");
        let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["controller", "dom0", "u1", "u2", "gen"]);
        // RFC 2544 and RFC 5180: nothing outside of the benchmark ranges.
        for machine in &machines {
            assert_eq!(machine.address.octets()[..2], [198, 18]);
            assert_eq!(machine.address6.segments()[..3], [0x2001, 2, 0]);
        }
    }

    #[test]
    fn says_which_line_is_wrong() {
        assert!(parse("u1 198.18.0.1").expect_err("short").contains("u1"));
        assert!(parse("u1 x y z").expect_err("no address").contains("`x`"));
    }
}
