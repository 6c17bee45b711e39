//! `nowait`: a frame never waits for others; what is queued when the consumer gets to it goes together.
//!
//! Source: the bounded batching of IX (OSDI 2014), which batches only what is there already.

use super::Regulator;

/// Hold 0. Batches form only behind a busy consumer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWait;

impl Regulator for NoWait {
    const JOINS_BACKLOG: bool = true;

    #[inline]
    fn sample(&mut self, _gap: u64) {}

    #[inline]
    fn deadline(&mut self, now: u64, _opened: u64, _frames: u32) -> u64 {
        now
    }
}
