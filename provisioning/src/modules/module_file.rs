//! What a kernel module says of itself: the `.modinfo`, build-id and symbol versions of a `.ko`.

use std::collections::BTreeMap;

use object::{Object as _, ObjectSection as _};
use thiserror::Error;

/// The facts about a module that decide whether a kernel takes it, and by which it is told from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// As the kernel names it: `xen_netback`.
    pub name: String,
    /// Release and options of the kernel it was built for.
    pub vermagic: String,
    /// Hash of the sources; Debian's own modules carry none.
    pub srcversion: Option<String>,
    /// GNU build-id in hex: another file, another id.
    pub build_id: String,
    /// CRC of every kernel symbol that it imports.
    pub symbols: BTreeMap<String, u32>,
}

/// Why a file is not a module that we can use.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NotAModule {
    /// No ELF file.
    #[error("it is not an ELF file: {0}")]
    Elf(String),
    /// Compressed modules are not read.
    #[error("it is compressed; modules compressed by {0} are not supported")]
    Compressed(&'static str),
    /// A section is missing or damaged.
    #[error("its section {section} {fault}")]
    Section {
        /// ELF section.
        section: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// Why bytes are not a note with a build-id.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
pub enum BadNote {
    /// A length points past the end.
    #[error("is cut short")]
    Short,
    /// Notes, but none of GNU's build-id type.
    #[error("holds no GNU build-id")]
    None,
}

const MODINFO: &str = ".modinfo";
const BUILD_ID: &str = ".note.gnu.build-id";
const VERSIONS: &str = "__versions";

/// Size of the kernel's `struct modversion_info` on 64-bit machines: a CRC in a long, and a name.
const VERSION_ENTRY: usize = 64;

impl ModuleFile {
    /// Reads a module's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAModule> {
        match bytes {
            [0xfd, b'7', b'z', ..] => return Err(NotAModule::Compressed("xz")),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Err(NotAModule::Compressed("zstd")),
            [0x1f, 0x8b, ..] => return Err(NotAModule::Compressed("gzip")),
            _ => {}
        }
        let elf = object::File::parse(bytes).map_err(|e| NotAModule::Elf(e.to_string()))?;
        let section = |section: &'static str| {
            elf.section_by_name(section)
                .ok_or(NotAModule::Section {
                    section,
                    fault: "is missing",
                })?
                .data()
                .map_err(|_| NotAModule::Section {
                    section,
                    fault: "lies outside of the file",
                })
        };
        let info = parse_modinfo(section(MODINFO)?);
        let field = |key: &str, fault| {
            info.get(key).cloned().ok_or(NotAModule::Section {
                section: MODINFO,
                fault,
            })
        };
        Ok(Self {
            name: field("name", "has no name")?,
            vermagic: field("vermagic", "has no vermagic")?,
            srcversion: info.get("srcversion").cloned(),
            build_id: build_id_of_note(section(BUILD_ID)?).map_err(|fault| {
                NotAModule::Section {
                    section: BUILD_ID,
                    fault: match fault {
                        BadNote::Short => "is cut short",
                        BadNote::None => "holds no GNU build-id",
                    },
                }
            })?,
            symbols: match elf.section_by_name(VERSIONS) {
                // A kernel without MODVERSIONS makes none.
                None => BTreeMap::new(),
                Some(_) => parse_versions(section(VERSIONS)?).ok_or(NotAModule::Section {
                    section: VERSIONS,
                    fault: "is damaged",
                })?,
            },
        })
    }
}

/// `key=value` strings, each ended by NUL. Of keys that come more than once (`alias`, `parm`) the first is kept.
fn parse_modinfo(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut info = BTreeMap::new();
    for entry in bytes.split(|&b| b == 0) {
        if let Some((key, value)) = String::from_utf8_lossy(entry).split_once('=') {
            info.entry(key.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    info
}

fn parse_versions(bytes: &[u8]) -> Option<BTreeMap<String, u32>> {
    let (entries, rest) = bytes.as_chunks::<VERSION_ENTRY>();
    if !rest.is_empty() {
        return None;
    }
    entries
        .iter()
        .map(|entry| {
            let crc = u32::from_le_bytes(*entry.first_chunk()?);
            let name = entry[8..].split(|&b| b == 0).next()?;
            Some((std::str::from_utf8(name).ok()?.to_owned(), crc))
        })
        .collect()
}

/// The build-id, in hex, of an ELF note section: what `/sys/module/X/notes/.note.gnu.build-id` holds.
pub fn build_id_of_note(mut bytes: &[u8]) -> Result<String, BadNote> {
    /// `NT_GNU_BUILD_ID`.
    const BUILD_ID_TYPE: u32 = 3;
    while !bytes.is_empty() {
        let name_size = take_u32(&mut bytes)?;
        let id_size = take_u32(&mut bytes)?;
        let kind = take_u32(&mut bytes)?;
        let name = take_padded(&mut bytes, name_size)?;
        let id = take_padded(&mut bytes, id_size)?;
        if kind == BUILD_ID_TYPE && name == b"GNU\0" && !id.is_empty() {
            return Ok(hex(id));
        }
    }
    Err(BadNote::None)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |d: u8| char::from_digit(d.into(), 16).unwrap_or_default();
    bytes
        .iter()
        .flat_map(|b| [digit(b >> 4), digit(b & 15)])
        .collect()
}

fn take_u32(bytes: &mut &[u8]) -> Result<u32, BadNote> {
    let (number, rest) = bytes.split_first_chunk().ok_or(BadNote::Short)?;
    *bytes = rest;
    Ok(u32::from_le_bytes(*number))
}

/// Takes `size` bytes and the padding to a multiple of 4 behind them (which the last note may lack).
fn take_padded<'a>(bytes: &mut &'a [u8], size: u32) -> Result<&'a [u8], BadNote> {
    let size = usize::try_from(size).map_err(|_| BadNote::Short)?;
    let (taken, rest) = bytes.split_at_checked(size).ok_or(BadNote::Short)?;
    *bytes = rest.get(size.wrapping_neg() % 4..).unwrap_or_default();
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(name: &[u8], id: &[u8], kind: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((id.len() as u32).to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        for part in [name, id] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn a_real_note() {
        // What binutils puts into a module: 20 bytes of id.
        let bytes = note(b"GNU\0", &(0..20).collect::<Vec<u8>>(), 3);
        assert_eq!(
            build_id_of_note(&bytes),
            Ok("000102030405060708090a0b0c0d0e0f10111213".to_owned())
        );
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert_eq!(
            ModuleFile::parse(b"\xfd7zXZ\0"),
            Err(NotAModule::Compressed("xz"))
        );
        assert!(matches!(
            ModuleFile::parse(b"not a module"),
            Err(NotAModule::Elf(_))
        ));
        // This test program is ELF, but no module.
        let own = std::fs::read("/proc/self/exe").expect("readable");
        assert_eq!(
            ModuleFile::parse(&own),
            Err(NotAModule::Section {
                section: ".modinfo",
                fault: "is missing"
            })
        );
    }

    proptest! {
        #[test]
        fn any_id_comes_back(before in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..9), 4_u32..9), 0..4),
                             id in prop::collection::vec(any::<u8>(), 1..40)) {
            let mut bytes: Vec<u8> = before.iter().flat_map(|(data, kind)| note(b"Xen\0", data, *kind)).collect();
            prop_assert_eq!(build_id_of_note(&bytes), Err(BadNote::None));
            bytes.extend(note(b"GNU\0", &id, 3));
            let text = build_id_of_note(&bytes).expect("is there");
            let back: Vec<u8> = (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).expect("hex")).collect();
            prop_assert_eq!(back, id);
        }
        #[test]
        fn cut_notes_are_refused(id in prop::collection::vec(any::<u8>(), 1..40), cut in 1_usize..12) {
            let bytes = note(b"GNU\0", &id, 3);
            let padding = id.len().next_multiple_of(4) - id.len();
            let result = build_id_of_note(&bytes[..bytes.len() - padding - cut.min(id.len())]);
            prop_assert_eq!(result, Err(BadNote::Short));
        }
        #[test]
        fn any_bytes_end_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(id) = build_id_of_note(&bytes) {
                prop_assert!(!id.is_empty());
            }
            prop_assert!(ModuleFile::parse(&bytes).is_err());
            parse_modinfo(&bytes);
            if parse_versions(&bytes).is_some() {
                prop_assert_eq!(bytes.len() % VERSION_ENTRY, 0);
            }
        }
        #[test]
        fn modinfo_keeps_values(entries in prop::collection::btree_map("[a-z]{1,8}", "[^\0]{0,20}", 0..6)) {
            let bytes: Vec<u8> = entries.iter().flat_map(|(k, v)| format!("{k}={v}\0").into_bytes()).collect();
            prop_assert_eq!(parse_modinfo(&bytes), entries);
        }
    }
}
