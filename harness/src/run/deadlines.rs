//! How long a host may take for what is requested of it.

use std::time::Duration;

/// One remote step may take this long: an emulated machine is slow, and a dead one must not hold up a night.
pub const STEP: Duration = Duration::from_secs(60);
