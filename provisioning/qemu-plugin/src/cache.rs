//! Simulated caches: two of the first level and one of the last, each with the line that was used longest ago going first.

/// Bytes of a line, as a power of two.
pub const LINE_BITS: u32 = 6;

/// One cache of `SETS` sets of `WAYS` lines each.
#[derive(Debug)]
pub struct Cache<const SETS: usize, const WAYS: usize> {
    /// Lines of each set, the one used last first. Zero is no line: the first page of memory holds no code and no data.
    sets: Box<[[u64; WAYS]]>,
}

impl<const SETS: usize, const WAYS: usize> Default for Cache<SETS, WAYS> {
    fn default() -> Self {
        Self {
            sets: vec![[0; WAYS]; SETS].into_boxed_slice(),
        }
    }
}

impl<const SETS: usize, const WAYS: usize> Cache<SETS, WAYS> {
    /// Uses a line; was it there?
    #[inline]
    pub fn touch(&mut self, line: u64) -> bool {
        let set = &mut self.sets[line as usize % SETS];
        if set[0] == line {
            return true;
        }
        let found = set.iter().position(|known| *known == line);
        let place = found.unwrap_or(WAYS - 1);
        set.copy_within(..place, 1);
        set[0] = line;
        found.is_some()
    }

    /// Nothing is in it any more.
    pub fn empty(&mut self) {
        self.sets.fill([0; WAYS]);
    }
}

/// Where a use of a line was served from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// The first level.
    First,
    /// The last level.
    Last,
    /// Memory.
    Memory,
}

/// The caches of one processor: 32 KiB of instructions, 32 KiB of data, 8 ways each, and 1 MiB of both in 16 ways, which is
/// what one core of a server of the last ten years has of its own. No prefetch, no TLB, no other processor.
#[derive(Debug, Default)]
pub struct Caches {
    instructions: Cache<64, 8>,
    data: Cache<64, 8>,
    last: Cache<1024, 16>,
}

impl Caches {
    /// An instruction is fetched from a line.
    #[inline]
    pub fn fetch(&mut self, line: u64) -> Served {
        if self.instructions.touch(line) {
            Served::First
        } else {
            self.beyond(line)
        }
    }

    /// A line is read or written.
    #[inline]
    pub fn access(&mut self, line: u64) -> Served {
        if self.data.touch(line) {
            Served::First
        } else {
            self.beyond(line)
        }
    }

    fn beyond(&mut self, line: u64) -> Served {
        if self.last.touch(line) {
            Served::Last
        } else {
            Served::Memory
        }
    }

    /// Nothing is in them any more.
    pub fn empty(&mut self) {
        self.instructions.empty();
        self.data.empty();
        self.last.empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_used_longest_ago_goes_first() {
        let mut cache: Cache<1, 2> = Cache::default();
        assert!(!cache.touch(1));
        assert!(!cache.touch(2));
        assert!(cache.touch(1));
        assert!(!cache.touch(3), "takes the place of 2");
        assert!(cache.touch(1));
        assert!(!cache.touch(2));
        assert!(!cache.touch(3), "had to give way");
    }

    #[test]
    fn a_loop_over_more_than_a_cache_holds_misses_each_time() {
        let mut caches = Caches::default();
        // 64 KiB are twice the first level and fit the last.
        let lines = 1..=1024;
        for line in lines.clone() {
            assert_eq!(caches.access(line), Served::Memory);
        }
        for line in lines.clone() {
            assert_eq!(caches.access(line), Served::Last);
        }
        for line in 1000..=1024 {
            assert_eq!(caches.access(line), Served::First);
        }
        assert_eq!(caches.fetch(1024), Served::Last, "code has its own");
        caches.empty();
        assert_eq!(caches.access(1024), Served::Memory);
    }
}
