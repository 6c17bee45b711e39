//! How long a container waits: one file a rule, all behind one trait.
//!
//! A regulator sees the gap before every arrival and says, after each frame that was put into a container, when the
//! container is due. It is kept by a queue for as long as that lives. Times are nanoseconds of one clock that never
//! goes back. What is done in which order is in [`crate::stage`].

mod breakeven;
mod gated;
mod literal;
mod nowait;
mod paper;
mod ramjee1;
mod ramjee2;
mod ramjee3;
mod ramjee4;
mod static_hold;

pub use breakeven::BreakEven;
pub use gated::Gated;
pub use literal::Literal;
pub use nowait::NoWait;
pub use paper::Paper;
pub use ramjee1::Ramjee1;
pub use ramjee2::Ramjee2;
pub use ramjee3::Ramjee3;
pub use ramjee4::Ramjee4;
pub use static_hold::StaticHold;

/// A deadline that never comes: the container waits for its consumer.
pub const NEVER: u64 = u64::MAX;

/// A rule of release.
pub trait Regulator {
    /// Whether a container stays open past its deadline, for as long as the consumer is busy with others.
    const WAITS_FOR_CONSUMER: bool = false;

    /// A frame arrives, `gap` after the one before; the queue's first has none. Called before the frame is put
    /// anywhere.
    fn arrive(&mut self, gap: Option<u64>);

    /// The frame that just arrived opens a container.
    fn open(&mut self) {}

    /// When the container is due that was opened at `opened` and holds `frames` frames, the last of which came `now`.
    /// The stage caps it to `opened` + T0.
    fn deadline(&mut self, now: u64, opened: u64, frames: u32) -> u64;

    /// The container left with `frames` frames. `overdue`: its deadline passed without another arrival.
    fn release(&mut self, frames: u32, overdue: bool) {
        let _ = (frames, overdue);
    }
}
