//! The file that plugin and controller share: a header, then a record for every instruction that was ever translated.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The first word of the file: `VIFCNT01`.
pub const MAGIC: u64 = u64::from_le_bytes(*b"VIFCNT01");
/// Where the records begin.
pub const RECORDS: usize = 4096;
/// Distinct instructions that a session of QEMU may translate.
pub const CAPACITY: usize = 4 << 20;
/// The whole file, which is sparse: only what is used takes room.
pub const SIZE: usize = RECORDS + CAPACITY * size_of::<Record>();

/// The beginning of the file.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`], once the plugin runs.
    pub magic: u64,
    /// Records in use.
    pub used: u64,
    /// Instructions for which there was no record: the counts are not whole.
    pub lost: u64,
    /// Counted up by the controller while the machine stands still: from then on the caches are empty, whatever ran before.
    pub epoch: u64,
}

/// One instruction of a kernel or the hypervisor, or a line of a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// Its virtual address; of programs that lie somewhere else each time, none.
    pub address: u64,
    /// Where QEMU holds it: its place in the machine's memory, counted from where QEMU maps that.
    pub host: u64,
    /// How often it was begun.
    pub executed: u64,
    /// Misses of its own line in the first level's instruction cache.
    pub fetch_l1: u64,
    /// Of these, misses in the last level too.
    pub fetch_ll: u64,
    /// Its reads and writes of memory.
    pub accesses: u64,
    /// Of these, misses in the first level's data cache.
    pub data_l1: u64,
    /// Of these, misses in the last level too.
    pub data_ll: u64,
}

impl Record {
    const WORDS: usize = size_of::<Self>() / size_of::<u64>();

    fn of(words: [u64; Self::WORDS]) -> Self {
        let [
            address,
            host,
            executed,
            fetch_l1,
            fetch_ll,
            accesses,
            data_l1,
            data_ll,
        ] = words;
        Self {
            address,
            host,
            executed,
            fetch_l1,
            fetch_ll,
            accesses,
            data_l1,
            data_ll,
        }
    }

    /// What was added since an earlier look at the same instruction. Counts only grow.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            address: self.address,
            host: self.host,
            executed: self.executed.wrapping_sub(earlier.executed),
            fetch_l1: self.fetch_l1.wrapping_sub(earlier.fetch_l1),
            fetch_ll: self.fetch_ll.wrapping_sub(earlier.fetch_ll),
            accesses: self.accesses.wrapping_sub(earlier.accesses),
            data_l1: self.data_l1.wrapping_sub(earlier.data_l1),
            data_ll: self.data_ll.wrapping_sub(earlier.data_ll),
        }
    }
}

/// The controller's end.
#[derive(Debug)]
pub struct Counts {
    file: File,
}

impl Counts {
    /// Opens the file of a QEMU that runs.
    ///
    /// # Errors
    /// It cannot be opened, or the plugin has not written its header.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let this = Self { file };
        let magic = this.word(0)?;
        if magic == MAGIC {
            Ok(this)
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it begins with {magic:#x}: the plugin has not started"),
            ))
        }
    }

    fn word(&self, index: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, index * 8)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The caches are empty from here on. The machine must stand still.
    pub fn empty_caches(&self) -> io::Result<()> {
        let epoch = self.word(3)? + 1;
        self.file.write_all_at(&epoch.to_le_bytes(), 24)
    }

    /// Every instruction that was translated so far. The machine must stand still.
    ///
    /// # Errors
    /// The file cannot be read, or had no room for some instructions.
    pub fn read(&self) -> io::Result<Vec<Record>> {
        let (used, lost) = (self.word(1)?, self.word(2)?);
        if lost > 0 || used > CAPACITY as u64 {
            return Err(io::Error::other(format!(
                "it has {used} instructions and lacks {lost}: start the lab anew"
            )));
        }
        let mut bytes = vec![0; used as usize * size_of::<Record>()];
        self.file.read_exact_at(&mut bytes, RECORDS as u64)?;
        let records = bytes.chunks_exact(size_of::<Record>()).map(|record| {
            let mut words = [0; Record::WORDS];
            for (word, bytes) in words.iter_mut().zip(record.chunks_exact(8)) {
                let mut whole = [0; 8];
                whole.copy_from_slice(bytes);
                *word = u64::from_le_bytes(whole);
            }
            Record::of(words)
        });
        Ok(records.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_the_plugin_s_header_is_refused() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = folder.path().join("counts");
        std::fs::write(&file, vec![0; RECORDS]).expect("write");
        let error = Counts::open(&file).expect_err("no header");
        assert!(error.to_string().contains("has not started"), "{error}");
    }

    #[test]
    fn counts_grow_and_the_difference_is_the_trial_s() {
        let before = Record {
            address: 1,
            executed: 5,
            ..Record::default()
        };
        let after = Record {
            executed: 12,
            data_ll: 2,
            ..before
        };
        let trial = after.since(&before);
        assert_eq!((trial.executed, trial.data_ll), (7, 2));
    }
}
