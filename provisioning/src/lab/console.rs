//! The serial consoles, which QEMU keeps in files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::{LabError, files};

/// Lines that a crashed hypervisor or kernel prints.
const CRASHES: [&str; 5] = [
    "Kernel panic - not syncing",
    "Panic on CPU",
    "Hardware Dom0 crashed",
    "Hardware Dom0 shutdown",
    "Domain 0 crashed",
];

/// Does the line tell of a crash?
pub fn is_crash(line: &str) -> bool {
    CRASHES.iter().any(|crash| line.contains(crash))
}

/// The last `n` lines of a file, without control characters.
pub fn tail(path: &Path, n: usize) -> Result<Vec<String>, LabError> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(files::failed("read", path))?;
    let length = file.metadata().map_err(files::failed("read", path))?.len();
    // No console line is longer than this on the whole.
    let start = length.saturating_sub(512 * (n as u64 + 1));
    file.seek(SeekFrom::Start(start))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(files::failed("read", path))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(clean).filter(|l| !l.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(n)..].to_vec())
}

/// A line as text: without the carriage return and terminal codes.
fn clean(line: &str) -> String {
    line.chars()
        .filter(|c| !c.is_control())
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// Reads the whole lines of a growing file, from an offset on.
#[derive(Debug)]
pub struct Follower {
    file: File,
    partial: Vec<u8>,
}

impl Follower {
    pub fn open(path: &Path, from_offset: u64) -> Result<Self, LabError> {
        let mut file = File::open(path).map_err(files::failed("read", path))?;
        file.seek(SeekFrom::Start(from_offset))
            .map_err(files::failed("read", path))?;
        Ok(Self {
            file,
            partial: Vec::new(),
        })
    }

    /// The lines that have been completed since the last call.
    pub fn lines(&mut self) -> std::io::Result<Vec<String>> {
        self.file.read_to_end(&mut self.partial)?;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.partial.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(clean).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn follows_whole_lines_only() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        write!(file, "old\r\nvifbench: tri").expect("write");
        let mut follower = Follower::open(file.path(), 5).expect("open");
        assert!(follower.lines().expect("read").is_empty());
        write!(file, "al 3 ended\r\n\u{1b}more").expect("write");
        assert_eq!(follower.lines().expect("read"), ["vifbench: trial 3 ended"]);
    }

    #[test]
    fn the_tail_is_the_tail() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        for n in 0..100 {
            writeln!(file, "line {n}\r").expect("write");
        }
        assert_eq!(tail(file.path(), 2).expect("tail"), ["line 98", "line 99"]);
        assert!(tail(Path::new("/nowhere"), 2).is_err());
    }

    #[test]
    fn knows_a_crash() {
        assert!(is_crash(
            "[   12.3] Kernel panic - not syncing: Fatal exception"
        ));
        assert!(is_crash(
            "(XEN) Hardware Dom0 crashed: 'noreboot' set - not rebooting."
        ));
        assert!(!is_crash("[    0.1] printk: console [hvc0] enabled"));
    }
}
