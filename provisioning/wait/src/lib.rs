//! Waits that end at a deadline, at a moment of the host's clock, or when a shared token is cancelled.
//!
//! No wait polls in a loop: in the virtual lab an idle loop costs instructions that a measurement would see.
//!
//! - [`Cancel`] is the one cancellation token, for controller and probes alike.
//! - [`Limit`] is the deadline of one step. It is reckoned by the monotonic clock.
//! - [`Alarm`] waits for a moment of `CLOCK_REALTIME`, by which trials are armed.

mod alarm;
mod cancel;
mod limit;
mod readiness;

pub use alarm::{Alarm, sleep_until};
pub use cancel::Cancel;
pub use limit::{Limit, Over};
pub use readiness::{Woken, until_cancelled, until_readable, wait_readable};
