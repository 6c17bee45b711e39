//! `nowait`: a frame never waits for others; what is queued when the consumer gets to it goes together.
//!
//! Source: the bounded batching of IX (OSDI 2014), which batches only what is there already.

use super::{NEVER, Regulator};

/// No deadline: the consumer drains the container when it gets to it. Batches form only behind a busy consumer.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWait;

impl Regulator for NoWait {
    const WAITS_FOR_CONSUMER: bool = true;

    #[inline]
    fn arrive(&mut self, _gap: Option<u64>) {}

    #[inline]
    fn deadline(&mut self, _now: u64, _opened: u64, _frames: u32) -> u64 {
        NEVER
    }
}
