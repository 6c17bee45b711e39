//! `static`: every container waits T0 after its first frame.
//!
//! Source: Bourguiba, Haddadou and Pujolle (Computer Communications 35(3), 2012), as the paper describes it.

use super::Regulator;

/// A fixed hold.
#[derive(Debug, Clone, Copy)]
pub struct StaticHold {
    hold: u64,
}

impl StaticHold {
    /// Holds for `hold` nanoseconds: T0.
    pub const fn new(hold: u64) -> Self {
        Self { hold }
    }
}

impl Regulator for StaticHold {
    #[inline]
    fn arrive(&mut self, _gap: Option<u64>) {}

    #[inline]
    fn deadline(&mut self, _now: u64, opened: u64, _frames: u32) -> u64 {
        opened.saturating_add(self.hold)
    }
}
