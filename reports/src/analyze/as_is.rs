//! The hasher of tables whose keys are hashes already.

use std::hash::Hasher;

/// Keys are hashes already, or are scattered by a multiplication.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn write_i32(&mut self, place: i32) {
        // Neighbours are to be scattered, and the upper bits are looked at too.
        self.0 = u64::from(place as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
